"""Write the astronaut photograph to a file, for the demo and the benchmarks.

The image (Eileen Collins, NASA, public domain) is part of the scikit-image
package; it is copied from there, so neither a network connection nor the (slow)
import of scikit-image is needed.
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path


def astronaut_path() -> Path:
    """Return the path of the photograph in the installed scikit-image package."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ImportError(
            "The demo photograph comes with scikit-image: pip install 'builder-tools[demo]'"
        )
    return Path(spec.origin).parent / "data" / "astronaut.png"


def write_photo(target: Path) -> Path:
    """Copy the photograph to `target`, creating its folder, and return `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(astronaut_path(), target)
    return target


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Expected one argument: python benchmarks/demo_photo.py IMAGE.png")
    write_photo(Path(sys.argv[1]))
