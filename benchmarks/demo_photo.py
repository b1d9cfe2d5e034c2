"""Write the astronaut photograph to a file, for the demo and the benchmarks.

The image (Eileen Collins, NASA, public domain) lies inside the scikit-image
package; it is copied from there, so neither a network nor scikit-image's own
(slow) import is needed.
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path


def astronaut_path() -> Path:
    """Path of the photograph inside the installed scikit-image package."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ImportError(
            "The demo photograph comes with scikit-image: pip install 'builder-tools[demo]'"
        )
    return Path(spec.origin).parent / "data" / "astronaut.png"


def write_photo(target: Path) -> Path:
    """Copy the photograph to `target`, making its folder, and return `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(astronaut_path(), target)
    return target


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Expected one argument: python benchmarks/demo_photo.py IMAGE.png")
    write_photo(Path(sys.argv[1]))
