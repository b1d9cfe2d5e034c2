"""Kill `watch` at random moments, restart it, and compare its visits with the truth.

    python benchmarks/watch_kills.py [--kills 20] [--seed 0]

Two simulated cameras (`live_streams.py`) have visitors who stay for 20 s, with nobody there for
14 s in between, longer than the gap (10 s) into which a restart must fit. No visit may be counted
twice or lost, and none may lose more than 5 s of its dwell time per kill.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import sqlalchemy as sa
from live_streams import Plan, Streams

from builder_tools.watch.database import Database
from builder_tools.watch.report import figures
from builder_tools.watch.tables import VISITS

PLAN = Plan(there_s=20.0, away_s=14.0, size=(640, 360))
GAP_S = 10.0
CAMERAS = 2
PHASE_S = 7.0
LATE_S = 5.0
"""A visit that begins less than this before the end may be too short to count."""


@dataclass(frozen=True)
class Kills:
    """What the kills did.

    Args:
        kills: Number of kills.
        expected: Visits that took place.
        counted: Visits in the totals.
        rows: Rows of visits.
        shortest_s: Shortest dwell time of a visit seen to its end, seconds; of 20.
        most_met: Largest number of kills during one visit.
        lost_s_a_kill: Largest loss of dwell time of a visit per kill during it, seconds.
    """

    kills: int
    expected: int
    counted: int
    rows: int
    shortest_s: float
    most_met: int
    lost_s_a_kill: float


def site_text(streams: Streams, cameras: int, database: str, gap_s: float) -> str:
    """Return the TOML of a site with simulated cameras, each at its own exhibit."""
    text = f"database = '{database}'\ngap_s = {gap_s}\nminimum_dwell_s = 1.0\nminimum_group = 2\n"
    for number in range(cameras):
        text += f"[[camera]]\nname = 'c{number}'\nexhibit = 'room {number}'\n"
        text += f"source = '{streams.address(number)}'\n"
    return text


def start_watch(config: Path) -> subprocess.Popen:
    """Start the service; return its process."""
    command = [sys.executable, "-m", "builder_tools", "watch", str(config)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def kill_at_random(kills: int, seed: int) -> Kills:
    """Kill the service a number of times; return what came of it."""
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        streams, config = Streams(PLAN, PHASE_S), Path(folder) / "site.toml"
        config.write_text(site_text(streams, CAMERAS, "v.db", GAP_S))
        killed_s = []
        for _ in range(kills):
            service = start_watch(config)
            time.sleep(random.uniform(4.0, 14.0))
            service.kill()
            killed_s.append(time.monotonic() - streams.begin_s)
            service.wait()
        service = start_watch(config)
        period_s = PLAN.there_s + PLAN.away_s
        time.sleep(period_s)
        end_s = time.monotonic() - streams.begin_s
        service.send_signal(signal.SIGTERM)
        service.wait()
        streams.close()
        database = Database(str(Path(folder) / "v.db"), ZoneInfo("UTC"))
        found = database.read(sa.select(VISITS.c.camera, VISITS.c.dwell).order_by("started_at"))
        counted = sum(one.visits for one in figures(database, minimum_group=1))
        database.close()
    begun = [end_s - camera * PHASE_S for camera in range(CAMERAS)]
    late = [seconds % period_s < LATE_S for seconds in begun]
    expected = sum(PLAN.visits(s) - is_late for s, is_late in zip(begun, late, strict=True))
    whole, met, lost = [], [], []
    for camera in range(CAMERAS):
        rows = zip(found["camera"], found["dwell"], strict=True)
        own = [dwell / 100 for name, dwell in rows if name == f"c{camera}"]
        for number, dwell_s in enumerate(own[:-1]):  # the end cuts the last one short
            begun_s = camera * PHASE_S + number * period_s
            met.append(sum(begun_s <= at_s <= begun_s + PLAN.there_s for at_s in killed_s))
            whole.append(dwell_s)
            lost.append((PLAN.there_s - dwell_s) / max(met[-1], 1))
    return Kills(kills, expected, counted, len(found["dwell"]), min(whole), max(met), max(lost))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(kill_at_random(options.kills, options.seed))
