"""`reports/scale.md`, made from what `benchmarks/scale.py` measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scale_archive import ALONE

NOT_SHOWN = "not shown by this run: the machine was too busy for 5 answers a second"

Found = Mapping[str, Any]


def write_report(results: Found, plan: Mapping[str, int], path: Path) -> Path:
    """Write the report on the parts that have been measured.

    Args:
        results: Figures by part, as in `scale.json`.
        plan: Sizes of a full run.
        path: Path of the report.
    """
    text = (
        "# Past one machine\n\n"
        "Measured by `python benchmarks/scale.py`; the figures are in `scale.json` beside this. "
        "Each part states its machine and load: on a busy machine wall times are long, while "
        "processor time is close to what a quiet one would show. Where a size is smaller than "
        "planned, the plan is given beside it.\n\n"
    )
    for part, tell in SECTIONS.items():
        if part in results:
            text += tell(results[part], plan)
    path.write_text(text + WHERE_IT_ENDS, encoding="utf-8")
    return path


def _cameras(found: Found, plan: Mapping[str, int]) -> str:
    visits, answers = found["visits"], found["answers_per_s"]
    is_shown = found["share_of_5"] >= 0.95
    a_core = f"{3600 / found['cpu_s_per_camera_hour']:.1f}" if is_shown else NOT_SHOWN
    rows = [
        ("cameras of 1280x720 at 15 fps", found["cameras"]),
        ("minutes", _of(f"{found['minutes']:.0f}", plan["minutes"])),
        ("processor time a camera-hour", f"{found['cpu_s_per_camera_hour']:.0f} s"),
        ("cores that the service got", f"{found['cores_busy']:.2f}"),
        ("cameras a core at 5 answers a second or more", a_core),
        ("answers a second of the slowest camera, median", f"{answers['median']:.1f}"),
        ("processor time an answer, decoding of all images included", _per_answer(found)),
        ("the least of any 5 s", f"{answers['least']:.1f}"),
        ("share of the time with 5 answers a second or more", f"{found['share_of_5']:.0%}"),
        ("memory at the beginning, at the end", "{first:.0f}, {last:.0f} MB".format(
            **found["memory_mb"])),
        ("growth, last tenth over first", f"{found['growth_mb']:+.0f} MB"),
        ("visits made, counted", f"{visits['expected']}, {visits['counted']}"),
    ]  # fmt: skip
    return (
        "## A camera-hour\n\n"
        f"One process watched {found['cameras']} made cameras (a face for 8 of 14 s) over HTTP. "
        f"{_machine(found)}\n\n{_table(('figure', 'value'), rows)}\n"
        f"Visits differ by {abs(visits['counted'] / visits['expected'] - 1):.1%} "
        "(each camera's first and last are cut off by the run's own ends).\n\n"
    )


def _per_answer(found: Found) -> str:
    return f"{found['cpu_ms_per_answer']:.0f} ms" if "cpu_ms_per_answer" in found else "not kept"


def _kills(found: Found, plan: Mapping[str, int]) -> str:
    return (
        "## Killed at random moments\n\n"
        f"`kill -9` {_of(found['kills'], plan['kills'])} times, between 4 and 14 s after each "
        f"start, with two cameras whose visitors stay for 20 s: {found['expected']} visitors came, "
        f"{found['counted']} were counted in {found['rows']} rows. Up to {found['most_met']} kills "
        f"fell into one visit; the shortest whole visit kept {found['shortest_s']:.1f} of its "
        f"20 s, and a kill cost a visit at most {found['lost_s_a_kill']:.1f} s of its dwell. "
        f"{_machine(found)}\n\n"
    )


def _database(found: Found, plan: Mapping[str, int]) -> str:
    year = found["year"]
    names = list(found["reports_s"])
    pages = list(found["reports_s"][names[0]])
    same = {True: " Both give the same to the last digit.", False: " They DIFFER."}.get(
        found.get("same"), ""
    )
    slowest = {name: max(found["reports_s"][name].values()) for name in names}
    rows = [(page, *(f"{found['reports_s'][name][page]:.3f}" for name in names)) for page in pages]
    sizes = "; ".join(
        f"{name} {found['bytes_a_visit'][name]:.0f} bytes a visit, {year['gb'][name]:.1f} GB"
        for name in names
    )
    return (
        "## The database\n\n"
        f"{_of(found['visits'], plan['visits'])} made visits over a year to 50 exhibits. "
        f"{_machine(found)}\n\n"
        f"A year of {year['cameras']} cameras with {year['visits_a_day']} visits a day each is "
        f"{year['visits']:,} visits, with indexes and hourly totals: {sizes}. `keep_days` bounds "
        "it.\n\nSeconds per report, the slowest of three. Reports read totals by day; those by "
        "hour and the heat map read totals by hour. So they grow with exhibits and days, not with "
        "visits; by day over the year is a table of 18,250 lines. The slowest: "
        f"{', '.join(f'{name} {value:.2f} s' for name, value in slowest.items())}.{same}\n\n"
        f"{_table(('report', *names), rows)}\n"
    )


def _archive(found: Found, plan: Mapping[str, int]) -> str:
    alone = found["runs"][ALONE]["wall_s"]
    rows = [
        (
            name,
            f"{run['wall_s']:.0f}",
            f"{run['cpu_s']:.0f}" if "cpu_s" in run else "",
            f"{alone / run['wall_s']:.2f}",
        )
        for name, run in found["runs"].items()
        if not name.startswith("start")
    ]
    hour = found["cpu_s_per_recording_hour"]
    return (
        "## A recording-hour\n\n"
        f"{_of(found['films'], plan['films'])} films of {found['film_s']:g} s (640x360, "
        f"{found['film_fps']} fps, one face) and {_of(found['images'], plan['images'])} images "
        f"(512x512), by `archive`; the single-file verbs (`img-batch`, `video`) in one process, "
        f"so without their starts. {_machine(found)} The load was {found['load']:.1f} on "
        "average: the gain from a second worker is bounded by what others left of the second "
        f"core.\n\n{_table(('run', 'wall s', 'processor s', 'gain'), rows)}\n"
        f"On one core a film costs {found['cpu_s_a_film']:.2f} s of processor time, an image "
        f"{1000 * found['cpu_s_an_image']:.0f} ms, and starting a worker, models included, "
        f"{found['start_s']:.1f} s. A recording-hour at {found['film_fps']} fps costs "
        f"{hour:.0f} s, so a core does {3600 / hour:.1f} hours of film an hour.\n\n"
    )


def _archive_kills(found: Found, plan: Mapping[str, int]) -> str:
    unlike = ", ".join(found["differing"])
    told = f"these files differ: {unlike}" if unlike else "every byte of every file is the same"
    return (
        "## Archives killed at random moments\n\n"
        f"`archive --workers 2` of {found['films']} films and {found['images']} images "
        f"({found['parts']} parts) was killed with `kill -9` "
        f"{_of(found['kills'], plan['kills'])} times between 1 and 8 s after its start, "
        f"together with its workers or its first process alone, in {found['rounds']} archives that "
        f"were each then run to the end. Compared with a run that was not killed, {told}. "
        f"{_machine(found)}\n\n"
    )


def _simulation(found: Found, plan: Mapping[str, int]) -> str:
    cells = [(row["nodes"], f"{row['hours']:.2f}", f"{row['gain']:.1f}") for row in found["rows"]]
    checks = [
        (
            check["nodes"],
            f"{check['simulated_s']:.0f}",
            f"{check['measured_s']:.0f}",
            f"{check['measured_s'] / check['simulated_s'] - 1:+.0%}",
        )
        for check in found["checks"]
    ]
    return (
        "## A cluster of N nodes\n\n"
        "Simulated: 1,000 recordings of 5 to 60 minutes at the cost above, largest "
        "first to whichever node (of one core) is free, with models loaded once per node. Network "
        "and storage are left out.\n\n"
        f"{_table(('nodes', 'hours', 'gain'), cells)}\n"
        "The same simulation for the films and images above, and what Ray took for them on local "
        "nodes of one core each (the single node was held to one core; two nodes share the "
        "machine's cores with the driver):\n\n"
        f"{_table(('nodes', 'simulated s', 'measured s', 'difference'), checks)}\n"
    )


WHERE_IT_ENDS = """## Where it stops scaling, and what then

- **Cameras**: one process decodes all cameras; when cores are used up, each camera is answered less
  often, fairly, and visits stay right until gaps between answers approach `gap_s`. Then a second
  `watch` with other cameras can write into the same PostgreSQL: rows are named by camera and run,
  so nothing clashes.
- **SQLite** takes one writer and one machine. A second service, or a page elsewhere, needs
  PostgreSQL.
- **Reports** read a row per exhibit and day, those by hour a row per exhibit and hour. Hundreds of
  exhibits by hour over many years would need totals by hour of the month as well.
- **Archives**: a recording is one unit of work, since identities do not survive a cut, so no run is
  shorter than its longest recording. Beyond that, all nodes read from one storage: its bandwidth is
  the next bound, and more nodes than it feeds wait.
"""

SECTIONS: dict[str, Callable[..., str]] = {
    "cameras": _cameras,
    "kills": _kills,
    "database": _database,
    "archive": _archive,
    "archive_kills": _archive_kills,
    "simulation": _simulation,
}


def _machine(found: Found) -> str:
    return f"{found['machine']} (before it began: load {found['load_before']})."


def _of(value: Any, planned: int) -> str:
    """Return a size, with the planned one if that is larger."""
    number = int(float(value))
    return f"{number:,}" if number >= planned else f"{number:,} (the plan: {planned:,})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
