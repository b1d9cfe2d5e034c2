"""The record of a run under way, so that an interrupted run goes on where it stopped.

One JSON line an image, after a first line that says which run it is. A line is written once the
image's file is in place; a line that broke off is cut off when the run goes on.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import IO

from builder_tools.cleaning.judging import Look
from builder_tools.media.partial import replacing


class Journal:
    """The journal of one run.

    Args:
        path: The file.
        run: Names the run: its images and settings.
    """

    def __init__(self, path: Path, run: str) -> None:
        self.path, self.run = path, run

    def begin(self) -> list[Look]:
        """Return the images already looked at, in order, and make the file ready to append to.

        Raises:
            ValueError: If the file is of another run, or damaged.
        """
        lines = self._whole_lines() if self.path.is_file() else []
        looks = self._looks(lines)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as whole:
            whole.write_bytes(b"".join(lines) or _line({"run": self.run}).encode())
        return looks

    def open(self) -> IO[str]:
        """Open for appending; each line reaches the file when it is written."""
        return open(self.path, "a", encoding="ascii", buffering=1)

    def _whole_lines(self) -> list[bytes]:
        lines = self.path.read_bytes().splitlines(keepends=True)
        return [line for line in lines if line.endswith(b"\n")]

    def _looks(self, lines: list[bytes]) -> list[Look]:
        try:
            head, *rows = [json.loads(line) for line in lines] or [{"run": self.run}]
            looks = [Look(**{**row, "box": row["box"] and tuple(row["box"])}) for row in rows]
        except (ValueError, TypeError, KeyError):
            head, looks = None, []  # Not even lines of such a file.
        if head != {"run": self.run} or [look.number for look in looks] != list(range(len(looks))):
            raise ValueError(
                f"Expected {self.path.parent} to hold an interrupted run of the same "
                "images and settings. It is of others, or damaged. Use those, choose another "
                "folder, or start anew with --restart."
            )
        return looks


def journal_line(look: Look) -> str:
    """Return the line of one image, in ASCII: what breaks off never breaks a letter."""
    return _line(asdict(look))


def _line(value: dict) -> str:
    return json.dumps(value) + "\n"
