"""Entry point: `python -m builder_tools` runs `builder-tools`."""

import sys

from builder_tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
