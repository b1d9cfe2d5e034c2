"""What `img-batch` and `img` make of images as large as they are allowed to be."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from builder_tools.media import write_image

BOUND_MB = 800
"""Of two threads: some 200 MB for the program, 256 MB a thread for decoding, and some air."""


def run_measured(*arguments):
    """Run the command line; gives exit code, stderr and peak memory in MB."""
    code = (
        "import sys; from builder_tools.cli import main; code = main(sys.argv[1:]); "
        # Not getrusage: that begins at the size of the process that starts this one.
        "status = dict(line.split(':', 1) for line in open('/proc/self/status')); "
        "print(int(status['VmHWM'].split()[0]) // 1024, file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    *said, peak_mb = done.stderr.strip().splitlines()
    return done.returncode, "\n".join(said), done.stdout, int(peak_mb)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
def test_memory_of_a_batch_is_bounded_whatever_the_images(tmp_path):
    """Some kilobytes each, 75 MB decoded, without a face: once they were all held until the end."""
    folder = tmp_path / "images"
    folder.mkdir()
    data = cv2.imencode(".png", np.zeros((5000, 5000), np.uint8))[1].tobytes()
    for number in range(8):
        (folder / f"{number}.png").write_bytes(data)
    code, said, _, peak_mb = run_measured(
        "img-batch", folder, "--csv", tmp_path / "s.csv", "--workers", 2
    )
    assert code == 0 and "8 no_face" in said
    assert peak_mb < BOUND_MB


@pytest.mark.slow
def test_long_screenshots_are_answered(tmp_path, astronaut):
    """A side of 32,767 px aborted the process, whatever the other one."""
    page = np.full((33_000, 520, 3), 235, np.uint8)
    page[32_000:32_512, :512] = astronaut
    write_image(tmp_path / "page.png", page)
    write_image(tmp_path / "line.png", np.full((1, 32_767, 3), 90, np.uint8))
    code, _, printed, _ = run_measured("img", tmp_path / "page.png", tmp_path / "line.png")
    assert code == 0
    assert "page.png: face 1 of 1: happy" in printed and "line.png: no face found" in printed
