"""Measure what a camera-hour and a recording-hour cost, and the limits of a machine and a cluster.

    python benchmarks/scale.py [--minutes 60] [--kills 20] [--visits 1000000] [--only PART ...]

Each part keeps its figures in `reports/scale.json`; the report `reports/scale.md` is written from
all of them, so a part can be measured again by itself. The plan is in `PLAN`; the report says where
a run was smaller. Cameras are simulated (`live_streams.py`), films and images show the astronaut.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import sqlalchemy as sa
from live_streams import Plan, Streams
from machine import describe_machine
from scale_archive import measure_archive, measure_archive_kills, simulated_nodes
from scale_report import write_report
from watch_kills import kill_at_random, site_text, start_watch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from postgres_server import BINARIES, running_postgres

from builder_tools.watch.config import Camera, Site
from builder_tools.watch.database import Database
from builder_tools.watch.report import GROUPINGS, GroupFigures, figures
from builder_tools.watch.tables import DAY_TOTALS, MEASURES, TOTALS, UNIT, VISITS
from builder_tools.web.live import Asked, Live
from builder_tools.web.texts import Words

PLAN = {"cameras": 4, "minutes": 60, "kills": 20, "visits": 1_000_000, "films": 200, "images": 5000}
STREAM = Plan(there_s=8.0, away_s=6.0)
GAP_S = 3.0
PHASE_S = 3.0
YEAR_CAMERAS, VISITS_A_DAY = 50, 300
"""The museum whose database size is estimated: cameras, and visits a day of each."""
RESULTS = Path("reports/scale.json")
ZONE = ZoneInfo("UTC")
ROWS_AT_ONCE = 20_000


def ticks(pid: int) -> float:
    """Return the processor time of a running process, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Return the resident memory of a running process, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure_cameras(options: argparse.Namespace) -> dict[str, Any]:
    """Watch simulated cameras; return visits, answers, processor time and memory."""
    with tempfile.TemporaryDirectory() as folder:
        streams, config = Streams(STREAM, PHASE_S), Path(folder) / "site.toml"
        config.write_text(site_text(streams, PLAN["cameras"], "v.db", GAP_S))
        service, seconds = start_watch(config), 60.0 * options.minutes
        time.sleep(20.0)  # until models are loaded and memory has settled
        database = Database(str(Path(folder) / "v.db"), ZONE)
        begin_s, begin_cpu_s = time.monotonic(), ticks(service.pid)
        memory, slowest, together = [resident_mb(service.pid)], [], []
        while time.monotonic() - begin_s < seconds:
            time.sleep(5.0)
            if service.poll() is not None:
                raise RuntimeError(f"The service ended by itself: exit code {service.returncode}.")
            memory.append(resident_mb(service.pid))
            rates = [one["answers_per_s"] for one in database.states()]
            slowest.append(min(rates))
            together.append(sum(rates))
        wall_s, cpu_s = time.monotonic() - begin_s, ticks(service.pid) - begin_cpu_s
        # Any visitor present at the end must have been there long enough to count.
        end_s = time.monotonic() - streams.begin_s
        service.send_signal(signal.SIGTERM)
        service.wait()
        streams.close()
        counted = sum(one.visits for one in figures(database, minimum_group=1))
        database.close()
    # The service may start some seconds into a camera's first visit, which still counts.
    expected = sum(STREAM.visits(end_s - n * PHASE_S) for n in range(PLAN["cameras"]))
    tenth = max(len(memory) // 10, 1)
    return {
        "cameras": PLAN["cameras"],
        "minutes": wall_s / 60,
        "cpu_s_per_camera_hour": 3600 * cpu_s / wall_s / PLAN["cameras"],
        "cores_busy": cpu_s / wall_s,
        "answers_per_s": {"least": min(slowest), "median": float(np.median(slowest))},
        "cpu_ms_per_answer": 1000 * cpu_s / wall_s / float(np.mean(together)),
        "share_of_5": float(np.mean(np.array(slowest) >= 5.0)),
        "memory_mb": {"first": memory[0], "last": memory[-1]},
        "growth_mb": float(np.mean(memory[-tenth:]) - np.mean(memory[:tenth])),
        "visits": {"expected": expected, "counted": counted},
    }


def measure_kills(options: argparse.Namespace) -> dict[str, Any]:
    """Kill the service at random moments; return what came of it."""
    return vars(kill_at_random(options.kills, seed=0))


def made_visits(count: int) -> Iterator[list[dict[str, Any]]]:
    """Yield lists of rows of visits to 50 exhibits over a year, from 10 to 18 o'clock."""
    random = np.random.default_rng(0)
    for start in range(0, count, ROWS_AT_ONCE):
        size = min(ROWS_AT_ONCE, count - start)
        shares = random.dirichlet(np.ones(len(MEASURES) - 4), size)
        whole = np.rint(UNIT * shares).astype(int).tolist()
        places = random.integers(-UNIT, UNIT, (size, 2)).tolist()
        dwells, exhibits = random.integers(200, 30_000, size), random.integers(0, 50, size)
        days, hours = random.integers(0, 365, size), random.integers(10, 18, size)
        yield [
            _visit(start + n, int(exhibits[n]), int(days[n]), int(hours[n]), [
                int(dwells[n]), int(dwells[n]) % UNIT, *places[n], *whole[n]
            ])
            for n in range(size)
        ]  # fmt: skip


def _visit(number: int, exhibit: int, day: int, hour: int, measured: list[int]) -> dict[str, Any]:
    begun = datetime(2026, 1, 1) + timedelta(days=day, hours=hour, seconds=number % 3600)
    return {
        **{"camera": f"c{exhibit}", "exhibit": f"room {exhibit:02d}"},
        **{"run": "0123456789abcdef" * 2, "number": number, "started_at": begun},
        **{"seen_at": begun, "day": begun.date().isoformat(), "hour": hour},
        **{"weekday": begun.weekday(), "is_open": False, "sights": 50, "quality": 9000},
        **{"x_px": 640, "y_px": 360, "side_px": 200},
        **dict(zip(MEASURES, measured, strict=True)),
    }


def fill(url: str, visits: int) -> None:
    """Write visits, and each table of totals in one statement instead of visit by visit."""
    Database(url, ZONE).close()
    engine = sa.create_engine(url if "://" in url else f"sqlite:///{url}")
    wide = {name: sa.cast(sa.func.coalesce(VISITS.c[name], 0), sa.BigInteger) for name in MEASURES}
    sums = [sa.func.count(), sa.func.count(VISITS.c.valence)]
    sums += [sa.func.sum(column) for column in wide.values()]
    sums += [sa.func.sum(column * column) for column in wide.values()]
    with engine.begin() as connection:
        for rows in made_visits(visits):
            connection.execute(sa.insert(VISITS), rows)
        for totals in (TOTALS, DAY_TOTALS):
            names = [column.name for column in totals.c]
            key = [VISITS.c[name] for name in names[: names.index("visits")]]
            of_visits = sa.select(*key, *sums).group_by(*key)
            connection.execute(sa.insert(totals).from_select(names, of_visits))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))
    engine.dispose()


PERIODS = {
    "a day": (date(2026, 6, 1), date(2026, 6, 1)),
    "a month": (date(2026, 6, 1), date(2026, 6, 30)),
    "the year": (None, None),
}


def measure_reports(url: str) -> tuple[dict[str, float], list[list[GroupFigures]]]:
    """Return the slowest of three times of each report and live page, seconds, and all figures."""
    seconds, told = {}, []

    def take_time(name: str, work: Callable[[], Any]) -> Any:
        times = []
        for _ in range(3):
            begin_s = time.perf_counter()
            found = work()
            times.append(time.perf_counter() - begin_s)
        seconds[name] = max(times)
        return found

    with (
        closing(Database(url, ZONE)) as database,
        closing(Live(Site((Camera("north", "Blue", 0),), database=url))) as live,
    ):
        for by in GROUPINGS:
            for period, (since, until) in PERIODS.items():
                asked = partial(figures, database, by=by, since=since, until=until, minimum_group=5)
                told.append(take_time(f"by {by}, {period}", asked))
        for period, days in PERIODS.items():
            asked = partial(live.part, Asked("days", *days), Words("en"))
            take_time(f"live page (exhibits, ranking, heat map), {period}", asked)
    return seconds, told


def measure_database(options: argparse.Namespace) -> dict[str, Any]:
    """Fill both databases with made visits; return their sizes and the time of every report."""
    found: dict[str, Any] = {"visits": options.visits, "reports_s": {}, "bytes_a_visit": {}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.db"
        fill(str(path), options.visits)
        found["bytes_a_visit"]["SQLite"] = path.stat().st_size / options.visits
        found["reports_s"]["SQLite"], in_sqlite = measure_reports(str(path))
    if BINARIES is not None:
        with running_postgres() as url:
            fill(url, options.visits)
            engine = sa.create_engine(url)
            with engine.connect() as connection:
                size = connection.scalar(sa.text("SELECT pg_database_size(current_database())"))
            engine.dispose()
            found["bytes_a_visit"]["PostgreSQL"] = size / options.visits
            found["reports_s"]["PostgreSQL"], in_postgresql = measure_reports(url)
            found["same"] = in_sqlite == in_postgresql
    visits = YEAR_CAMERAS * VISITS_A_DAY * 365
    found["year"] = {
        "cameras": YEAR_CAMERAS,
        "visits_a_day": VISITS_A_DAY,
        "visits": visits,
        "gb": {name: visits * size / 1e9 for name, size in found["bytes_a_visit"].items()},
    }
    return found


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "cameras": measure_cameras,
    "kills": measure_kills,
    "database": measure_database,
    "archive": measure_archive,
    "archive_kills": measure_archive_kills,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("minutes", "kills", "visits", "films", "images"):
        parser.add_argument(f"--{name}", type=int, default=PLAN[name])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    for part in options.only:
        load = os.getloadavg()[0]
        found = PARTS[part](options)
        results = measured()
        results[part] = {"machine": describe_machine(), "load_before": round(load, 1), **found}
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        if "archive" in results:
            results["simulation"] = simulated_nodes(results["archive"])
        print(f"Written: {write_report(results, PLAN, Path('reports/scale.md'))}", flush=True)


def measured() -> dict[str, Any]:
    """Return the figures of the parts measured so far."""
    return json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}


if __name__ == "__main__":
    main()
