"""A machine for tests of `watch`: its clocks and what its camera shows follow a script."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from made_videos import BrightFaceDetector, BrightnessModel

from builder_tools.inference.threads import DetectorPool
from builder_tools.media import Frame
from builder_tools.watch import service
from builder_tools.watch.config import Camera, Site
from builder_tools.watch.database import Database
from builder_tools.watch.feeds import WATCHING
from builder_tools.watch.service import Watch

NORTH = Camera("north", "Blue", 0)
STEP_S = 0.5


class Machine:
    """Clocks that a script moves, and cameras before which somebody stands or not.

    Args:
        monkeypatch: Puts them in the place of the real ones.
        now: What the wall clock says at first, UTC.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
        self.now = now
        self._awake_s = self._asleep_s = 0.0
        self._somebody: bool | None = False
        self.state = WATCHING
        machine = self

        class Clock(datetime):
            @classmethod
            def now(cls, zone=None):
                return machine.now.replace(tzinfo=UTC)

        class ScriptedFeed:
            """A camera that has an image in every step, or none."""

            message, waits, is_over = "", True, False

            def __init__(self, camera, news) -> None:
                pass

            @property
            def state(self) -> str:
                return machine.state

            def take(self) -> Frame | None:
                if machine._somebody is None:
                    return None
                grey = 140 if machine._somebody else 0
                return Frame(0, machine._awake_s, np.full((64, 64, 3), grey, np.uint8))

            def close(self) -> None:
                pass

        clocks = types.SimpleNamespace(
            monotonic=lambda: self._awake_s + self._asleep_s * (sys.platform == "win32"),
            clock_gettime=lambda clock: self._awake_s + self._asleep_s,
            CLOCK_BOOTTIME=7,
            CLOCK_MONOTONIC=1,
        )
        monkeypatch.setattr(service, "time", clocks)
        self.clock = Clock
        monkeypatch.setattr(service, "datetime", Clock)
        monkeypatch.setattr(service, "Feed", ScriptedFeed)
        # A script knows what is written by when, however slow the disk is.
        monkeypatch.setattr(service, "ANSWER_S", service.LAST_ANSWER_S)

    def passes(self, seconds: float, *, somebody: bool | None = False) -> Iterator[bool]:
        """Let time pass in steps; the service works in each.

        Args:
            seconds: How long.
            somebody: Whether somebody stands before the cameras; None if these give no image.
        """
        self._somebody = somebody
        for _ in range(round(seconds / STEP_S)):
            self._awake_s += STEP_S
            self.now += timedelta(seconds=STEP_S)
            yield True

    def sleep(self, **time: float) -> None:
        """Suspend the machine for so many hours, seconds, ..."""
        self._asleep_s += timedelta(**time).total_seconds()
        self.now += timedelta(**time)

    def watch(self, database: Database, script: Iterator[bool], *cameras: Camera, **site) -> Watch:
        """Run a service until its script ends."""
        rules = {"minimum_dwell_s": 0.2, "gap_s": 5.0, **site}
        detectors = DetectorPool(BrightFaceDetector(), "", {})
        running = Watch(
            Site(cameras or (NORTH,), **rules), database, BrightnessModel(), detectors, workers=1
        )
        running.run(lambda: next(script, False))
        return running
