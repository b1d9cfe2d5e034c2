"""The service: all cameras in one process, one model, one database.

A round takes at most one image from each camera, always its newest. So cameras share the machine
fairly, and on a slow machine each is processed less often but without delay. The faces of a round
are detected on all cores and classified together. Visits are written by a thread of their own, so
that the cameras go on however long the database takes to answer.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from builder_tools.inference import EmotionModel
from builder_tools.inference.reader import face_emotions, read_faces
from builder_tools.inference.threads import DetectorPool, run_apart, run_now
from builder_tools.media import Frame
from builder_tools.results import Face, Readings
from builder_tools.watch.config import Site
from builder_tools.watch.database import Database, DatabaseError, Rules, Sighting
from builder_tools.watch.feeds import WATCHING, Feed
from builder_tools.watch.health import STALE_S
from builder_tools.watch.visits import Visit, VisitKeeper, resumed_visit
from builder_tools.watch.watched import Watched

CHECKPOINT_S = 2.0
"""Interval at which open visits are written: the most that a crash can lose."""
ANSWER_S = 1.0
"""How long the cameras wait for the database at a checkpoint; it usually answers at once."""
LAST_ANSWER_S = 30.0
"""How long the end of the service waits for it, longer than for any lock."""
FORGET_S = 3600.0
IDLE_S = 0.25

logger = logging.getLogger(__name__)

Seen = tuple[Watched, Frame, list[Face], list[np.ndarray]]


class Watch:
    """Watches the cameras of a site until it is stopped.

    Args:
        site: The cameras and rules.
        database: The database to write visits to.
        model: Predicts emotions.
        detectors: Lends detectors.
        workers: Threads that detect; None for one per core.

    Raises:
        DatabaseError: If its rules cannot be recorded, or visits that were left open not be read.
    """

    def __init__(
        self,
        site: Site,
        database: Database,
        model: EmotionModel,
        detectors: DetectorPool,
        *,
        workers: int | None = None,
    ) -> None:
        self.site, self.database, self.model, self.detectors = site, database, model, detectors
        self.run_name = uuid.uuid4().hex
        self._start_s = _clock_s()
        self._news = threading.Condition()
        self._workers = workers or os.cpu_count() or 1
        self._trouble = ""
        self._asked_s: float | None = None
        self._forgot_s = 0.0
        self._told: dict[str, datetime] = {}
        self._rival, self._rival_s = "", -math.inf
        self._written: Future[list[Visit]] = run_now(list)
        self._left: list[dict[str, Any]] = []
        names = [camera.name for camera in site.cameras]
        database.record(Rules(site.minimum_group, site.zone), names, _now())
        keepers = self._resume()
        self._drop_former_cameras()
        self._watched = [
            Watched(camera, Feed(camera, self._news), keeper)
            for camera, keeper in zip(site.cameras, keepers, strict=True)
        ]

    def run(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Watch until `goes_on` returns False or all sources have ended; then end every visit.

        If an exception (such as a signal's) ends it early, visits are still written.
        """
        checkpoint_s = self._forgot_s = self._now_s()
        try:
            self._try(self._tell)  # so that another service leaves visits to these cameras alone
            with ThreadPoolExecutor(self._workers, "detector") as pool:
                while goes_on() and not all(one.feed.is_over for one in self._watched):
                    self._round(pool)
                    now_s = self._now_s()
                    if now_s - checkpoint_s >= CHECKPOINT_S:
                        self._checkpoint(now_s - checkpoint_s)
                        checkpoint_s = now_s
        finally:
            for one in self._watched:
                one.feed.close()
                one.ended += one.keeper.finish()
            try:
                self._checkpoint(max(self._now_s() - checkpoint_s, 1e-3), last=True)
            finally:
                lost = self._lost()
                if lost and sys.exc_info()[1] is not None:  # a signal's, or our own; it hides this
                    logger.error(lost)
            if lost:
                raise DatabaseError(lost)

    def forget(self) -> int:
        """Delete visits older than the site keeps them; return their number."""
        return self.database.forget(self.site.keep_days, _now())

    def health(self) -> dict[str, Any]:
        """Return the state of the cameras and the database, as plain values."""
        return {
            "database": self._silence(STALE_S) or self._trouble or self._rivalry() or "ok",
            "cameras": [self._state(w) for w in self._watched],
        }

    def _silence(self, least_s: float) -> str:
        """Say for how long the database has not answered; "" if for less than `least_s`."""
        asked_s = self._asked_s  # another thread sets it
        silent_s = 0.0 if asked_s is None else self._now_s() - asked_s
        return f"The database has not answered for {silent_s:.0f} s." if silent_s > least_s else ""

    def _lost(self) -> str:
        """Say how many visits that ended are not written; "" if all are."""
        lost = self._with_places(_now(), lambda one: one.ended)
        count = "One visit was" if len(lost) == 1 else f"{len(lost)} visits were"
        trouble = self._silence(0.0) or self._trouble
        return f"{count} not written. {trouble}".strip() if lost else ""

    def _resume(self) -> list[VisitKeeper]:
        """Return the keepers of the cameras' visits, after ending those left open too long ago.

        All others that are open are noted in `_left`, to be ended once the gap is over unless their
        visitor is seen again: nobody may come back, or their camera is no longer in the site.
        Those of cameras that another service watches are its own to end.
        """
        resumed: dict[tuple[str, str], list[Visit]] = {}
        now, late = _now(), []
        rows = self.database.open_rows()
        elsewhere = self._elsewhere()
        for row in rows:
            # If the clock was set back, visits seen "in the future" count as just seen.
            away_s = max((now - row["seen_at"]).total_seconds(), 0.0)
            if away_s > self.site.gap_s and row["camera"] not in elsewhere:
                late.append(row)
                continue
            self._left.append(row)
            place = (row["camera"], row["exhibit"])
            resumed.setdefault(place, []).append(resumed_visit(row, -away_s))
        if late:
            self.database.write((), (), late)
        return [
            VisitKeeper(self.site.gap_s, resumed.get((camera.name, camera.exhibit), ()))
            for camera in self.site.cameras
        ]

    def _elsewhere(self) -> set[str]:
        """Return the cameras that another service tells of now, under its own rules."""
        now, stale = _now(), timedelta(seconds=STALE_S)
        told = {s["camera"] for s in self.database.states() if abs(now - s["told_at"]) <= stale}
        return told - {camera.name for camera in self.site.cameras}

    def _to_end(self) -> list[dict[str, Any]]:
        """Return the visits in `_left`, except those of cameras that another service watches."""
        elsewhere = self._elsewhere() if self._left else set()
        return [row for row in self._left if row["camera"] not in elsewhere]

    def _drop_former_cameras(self) -> None:
        """Delete the states of cameras of an earlier configuration, which nobody will update.

        Cameras that another service tells of now are kept.
        """
        now, stale = _now(), timedelta(seconds=STALE_S)
        names = [camera.name for camera in self.site.cameras]
        self.database.drop_states(names, now - stale, now + stale)

    def _round(self, pool: ThreadPoolExecutor) -> None:
        with self._news:
            self._news.wait_for(lambda: any(w.feed.waits for w in self._watched), IDLE_S)
        taken = [(one, one.feed.take()) for one in self._watched]
        seen = list(pool.map(self._detect, [(one, f) for one, f in taken if f is not None]))
        if not seen:
            return
        now_s = self._now_s()
        readings = read_faces(self.model, [image for *_, images in seen for image in images], None)
        first = 0
        for one, _, faces, _ in seen:
            rows = slice(first, first + len(faces))
            first = rows.stop
            named = one.tracker.update(faces, now_s)
            own = Readings(readings.probabilities[rows], readings.places[rows])
            one.ended += one.keeper.update(face_emotions(self.model, named, own), now_s)
            one.in_sight, one.answers = len(faces), one.answers + 1

    def _detect(self, item: tuple[Watched, Frame]) -> Seen:
        one, frame = item
        with self.detectors.lend() as detector:
            faces = one.find(detector, frame)
        return one, frame, faces, self.detectors.cut(frame.image, faces)

    def _checkpoint(self, passed_s: float, *, last: bool = False) -> None:
        """Have open and ended visits written, unless the database has yet to answer.

        Those that cannot be written are kept for next time.
        """
        now_s = self._now_s()
        # The wall clock is read every time: it may have been wrong, or set, since the last.
        began_at = _now() - timedelta(seconds=now_s)
        for one in self._watched:
            one.ended += one.keeper.wait(now_s)  # also if it is lost, or gives no image
            one.answers_per_s, one.answers = one.answers / passed_s, 0
        is_answered = self._is_answered(LAST_ANSWER_S if last else 0.0)
        going_on = [] if last else self._with_places(began_at, lambda one: one.keeper.open)
        ended = self._with_places(began_at, lambda one: one.ended)
        if is_answered:
            over = [visit for one in self._watched for visit in one.ended]
            # Visits that go on change while they are being written.
            work = (deepcopy(going_on), ended, over, now_s, last)
            self._written = run_apart(self._write, *work)
            self._is_answered(LAST_ANSWER_S if last else ANSWER_S)

    def _is_answered(self, wait_s: float) -> bool:
        """Wait for the database; return whether it has answered, and drop visits it has now.

        Raises:
            Exception: If the writing failed otherwise than for the database.
        """
        try:
            self._written.exception(wait_s)
        except TimeoutError:
            return False
        answer, self._written = self._written, run_now(list)  # an error is raised once
        written = {id(visit) for visit in answer.result()}
        for one in self._watched:
            one.ended = [visit for visit in one.ended if id(visit) not in written]
        return True

    def _write(
        self,
        going_on: list[tuple[Visit, Sighting]],
        ended: list[tuple[Visit, Sighting]],
        over: list[Visit],
        now_s: float,
        last: bool,
    ) -> list[Visit]:
        """Write visits, and tell of the cameras; return `over` if the visits were written.

        On a thread of its own: nothing else uses the database meanwhile.
        """
        is_left_over = last or now_s > self.site.gap_s
        works: list[Callable[[], Any]] = [
            lambda: self.database.write(going_on, ended, self._to_end() if is_left_over else ()),
            self._tell,
        ]
        if self.site.keep_days and now_s - self._forgot_s >= FORGET_S:
            works.append(self.forget)
            self._forgot_s = now_s
        is_written, *_ = self._try(*works)
        # By then a service that was killed is silent, and one that is not ends its own.
        if is_written and now_s > self.site.gap_s + 2 * STALE_S:
            self._left = []
        return over if is_written else []

    def _with_places(
        self, began_at: datetime, visits_of: Callable[[Watched], Sequence[Visit]]
    ) -> list[tuple[Visit, Sighting]]:
        """Return the visits to write, each with its place and time.

        They are long enough to count, or were when an earlier run wrote them. Visits that only
        earlier runs have seen so far are left as they are.

        Args:
            began_at: When this run began, by the clock as it is set now.
            visits_of: Gives the visits of a camera.
        """
        return [
            (
                visit,
                Sighting(
                    one.camera.name,
                    one.camera.exhibit,
                    visit.run or self.run_name,
                    began_at + timedelta(seconds=visit.started_s),
                    began_at + timedelta(seconds=visit.seen_s),
                ),
            )
            for one in self._watched
            for visit in visits_of(one)
            if visit.seen_s > 0 and (visit.run or visit.dwell_s >= self.site.minimum_dwell_s)
        ]

    def _try(self, *works: Callable[[], Any]) -> list[bool]:
        """Run functions that need the database; return which of them succeeded.

        Log once when one fails, and once when all succeed again.
        """
        done, troubles = [], []
        for work in works:
            self._asked_s = self._now_s()
            try:
                work()
                done.append(True)
            except DatabaseError as error:
                done.append(False)
                troubles.append(str(error))
            finally:
                self._asked_s = None
        trouble = next(iter(troubles), "")
        if trouble and trouble != self._trouble:
            logger.error("%s Visits are kept in memory meanwhile.", trouble)
        elif self._trouble and not trouble:
            logger.warning("The database can be used again.")
        self._trouble = trouble
        return done

    def _tell(self) -> None:
        """Write the state of the cameras; notice if another service has written it meanwhile."""
        own, self._told = self._told, {}
        told = {state["camera"]: state["told_at"] for state in self.database.states()}
        rivals = [name for name, told_at in own.items() if told.get(name, told_at) != told_at]
        if rivals:
            known, names = self._rivalry(), ", ".join(map(repr, rivals))
            self._rival, self._rival_s = (
                f"Another service watches {names}, too: visits are counted twice. End one of them.",
                self._now_s(),
            )
            if not known:
                logger.error(self._rival)
        states = [self._state(one) for one in self._watched]
        self.database.tell(states)
        self._told = {state["camera"]: state["told_at"] for state in states}

    def _rivalry(self) -> str:
        """Say that another service watches the same cameras; "" if none was noticed of late."""
        return self._rival if self._now_s() - self._rival_s < STALE_S else ""

    def _state(self, one: Watched) -> dict[str, Any]:
        return {
            "camera": one.camera.name,
            "exhibit": one.camera.exhibit,
            "state": one.feed.state,
            "message": one.feed.message,
            "answers_per_s": round(one.answers_per_s, 2),
            "in_sight": one.in_sight if one.feed.state == WATCHING else 0,
            "told_at": _now(),
        }

    def _now_s(self) -> float:
        return _clock_s() - self._start_s


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _clock_s() -> float:
    """Return the seconds of a clock that is never set and does not stop in sleep.

    `time.monotonic` stands still while Linux or macOS is suspended.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.monotonic()
