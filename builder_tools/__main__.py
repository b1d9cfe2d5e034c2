"""`python -m builder_tools` is `builder-tools`."""

import sys

from builder_tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
