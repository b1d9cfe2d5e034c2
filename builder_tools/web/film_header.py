"""The size and length of a film by its header, read in a process of its own that has limits.

FFmpeg allocates what a header asks for: one of 2 kB can ask for many gigabytes. The process is
started as `python -m builder_tools.web.film_header FILE`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread

MOST_BYTES = 500_000_000
"""Memory that reading a header may take; films of 4K take 70 MB."""
LONGEST_S = 10
"""Time that it may take: that of one core, and three times as much by the clock."""
_LOOK_EVERY_S = 0.02
_STATUS, _PEAK = Path("/proc/self/status"), re.compile(rb"VmHWM:\s*(\d+) kB")


@dataclass(frozen=True)
class FilmHeader:
    """What a film says of itself.

    Args:
        width: In pixels.
        height: In pixels.
        seconds: Its length; 0 if it says nothing.
        has_images: Whether there are any; else all numbers are 0.
    """

    width: int = 0
    height: int = 0
    seconds: float = 0.0
    has_images: bool = False


def film_header(path: Path) -> FilmHeader:
    """Read a film's header in a process of its own.

    Raises:
        ValueError: If FFmpeg cannot open the file within `MOST_BYTES` and `LONGEST_S`.
    """
    command = [sys.executable, "-P", "-m", __name__, str(path.absolute())]
    places = {"PYTHONPATH": os.pathsep.join(sys.path)}  # and not those of the current folder first
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=3 * LONGEST_S,
            stdin=subprocess.DEVNULL,
            env=os.environ | places,
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError("it takes too long to open") from error
    if done.returncode:
        raise ValueError("it cannot be opened, or takes too much memory or time")
    return FilmHeader(**json.loads(done.stdout))


def _limit() -> None:
    """End this process once it takes too much, where the system tells.

    A limit on allocations would not do: FFmpeg leaves out what it cannot allocate, and reads on.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (LONGEST_S, hard))

    def held() -> int:
        if _STATUS.exists() and (told := _PEAK.search(_STATUS.read_bytes())):
            return int(told[1]) * 1024  # on Linux, the peak in `ru_maxrss` may be the server's
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def watch() -> None:
        while held() < MOST_BYTES:
            time.sleep(_LOOK_EVERY_S)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _read(path: str) -> FilmHeader:
    from builder_tools.media.pyav import import_av, open_input, video_stream_of

    # FFmpeg may open this file and no other.
    with open_input(path, options={"protocol_whitelist": "file"}) as container:
        try:
            images = video_stream_of(container, path).codec_context
        except ValueError:
            return FilmHeader()
        seconds = (container.duration or 0) / import_av().time_base
        return FilmHeader(images.width, images.height, seconds, has_images=True)


if __name__ == "__main__":
    _limit()
    print(json.dumps(asdict(_read(sys.argv[1]))))
