"""Cost of `archive` with one worker, two workers and cluster nodes, and its results when killed.

Parts of `scale.py`. Films and images show the astronaut. The cost of a film, an image and a start
is measured on one core; from it a cluster of N nodes is simulated, and the simulation is compared
with the time that one and two local nodes took.

    python benchmarks/scale_archive.py FOLDER OUT    # the single-file verbs alone, on all cores
"""

from __future__ import annotations

import argparse
import filecmp
import heapq
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage.data import astronaut

from builder_tools.archive.items import IMAGES_A_PART
from builder_tools.cli import main as builder_tools
from builder_tools.media import VideoWriter, write_image

FILM_S, FILM_FPS = 4.0, 15
MORE_FILMS = 10
"""Number of films after the first, whose time gives the cost of one."""
NODES = (1, 2, 4, 8, 16, 32, 64)
RECORDINGS = 1000
KILLED_FILMS, KILLED_IMAGES = 24, 640
KILL_AFTER_S = (1.0, 8.0)
ALONE, TOGETHER, VERBS = (
    "one worker held to one core",
    "two workers",
    "single-file verbs, all cores",
)
RAY = {1: "one Ray node held to one core", 2: "two Ray nodes"}

Found = dict[str, Any]


def measure_archive(options: argparse.Namespace) -> Found:
    """Process films and images with one worker, two, the verbs, and cluster nodes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        some = make_sources(folder / "some", options.films, options.images)
        first = make_sources(folder / "first", 1, 0)
        more = make_sources(folder / "more", 1 + MORE_FILMS, 0)
        runs = {
            "start and one film": timed_archive(first, folder / "0", cores={0}),
            "start and more films": timed_archive(more, folder / "00", cores={0}),
            ALONE: timed_archive(some, folder / "1", cores={0}),
            TOGETHER: timed_archive(some, folder / "2", "--workers", "2"),
            VERBS: timed([sys.executable, __file__, str(some), str(folder / "3")]),
        }
        for nodes, cores in ((1, {0}), (2, None)):
            with held_to(cores), ray_nodes(nodes) as address:
                out = folder / f"ray{nodes}"
                runs[RAY[nodes]] = timed_archive(some, out, "--ray", address, cores=cores)
            del runs[RAY[nodes]]["cpu_s"]  # nodes are daemons, not children
    film_s = (
        runs["start and more films"]["cpu_s"] - runs["start and one film"]["cpu_s"]
    ) / MORE_FILMS
    start_s = runs["start and one film"]["cpu_s"] - film_s
    images_s = runs[ALONE]["cpu_s"] - start_s - options.films * film_s
    return {
        "films": options.films,
        "images": options.images,
        "film_s": FILM_S,
        "film_fps": FILM_FPS,
        "load": os.getloadavg()[1],
        "runs": runs,
        "start_s": start_s,
        "cpu_s_a_film": film_s,
        "cpu_s_an_image": images_s / options.images,
        "cpu_s_per_recording_hour": film_s * 3600 / FILM_S,
    }


def simulated_nodes(found: Found) -> Found:
    """Return how long N one-core nodes would take, and a comparison with one and two local ones.

    As in `archive`, the largest part goes first to any free node; a node loads its models once.
    """
    hours = np.random.default_rng(0).uniform(5, 60, RECORDINGS) / 60
    recordings = (hours * found["cpu_s_per_recording_hour"]).tolist()
    alone = simulated_s(1, found["start_s"], recordings)
    rows = []
    for nodes in NODES:
        wall_s = simulated_s(nodes, found["start_s"], recordings)
        rows.append({"nodes": nodes, "hours": wall_s / 3600, "gain": alone / wall_s})
    whole, rest = divmod(found["images"], IMAGES_A_PART)
    parts = [found["cpu_s_an_image"] * size for size in (*[IMAGES_A_PART] * whole, rest)]
    parts += [found["cpu_s_a_film"]] * found["films"]
    checks = [
        {
            "nodes": nodes,
            "simulated_s": simulated_s(nodes, found["start_s"], parts),
            "measured_s": found["runs"][name]["wall_s"],
        }
        for nodes, name in RAY.items()
    ]
    return {"rows": rows, "checks": checks}


def simulated_s(nodes: int, start_s: float, services: Sequence[float]) -> float:
    """Return when the last node has finished the last part, seconds."""
    free = [start_s] * nodes
    for service_s in sorted(services, reverse=True):
        heapq.heapreplace(free, free[0] + service_s)
    return max(free)


def measure_archive_kills(options: argparse.Namespace) -> Found:
    """Kill runs of two workers at random moments; compare their parts with an undisturbed run's.

    Either all of a run is killed or its first process alone. It is restarted each time, and a new
    one begins once it has ended.
    """
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = make_sources(folder / "some", KILLED_FILMS, KILLED_IMAGES)
        timed_archive(sources, folder / "whole", "--workers", "2")
        kills, rounds = 0, []
        while kills < options.kills:
            out = folder / f"killed{len(rounds)}"
            rounds.append(out)
            while kills < options.kills:
                run = subprocess.Popen(
                    archive_command(sources, out, "--workers", "2"),
                    start_new_session=True,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                try:
                    run.wait(random.uniform(*KILL_AFTER_S))
                    break  # it ended first: another round
                except subprocess.TimeoutExpired:
                    kill = os.killpg if random.random() < 0.5 else os.kill
                    kill(run.pid, signal.SIGKILL)
                    run.wait()
                    kills += 1
            timed_archive(sources, out, "--workers", "2")
        differing = [difference(folder / "whole", out) for out in rounds]
        parts = len(list((folder / "whole" / "parts").glob("*.parquet")))
    return {
        "kills": kills,
        "rounds": len(rounds),
        "films": KILLED_FILMS,
        "images": KILLED_IMAGES,
        "parts": parts,
        "differing": sorted({one for found in differing for one in found}),
    }


def difference(one: Path, other: Path) -> list[str]:
    """Return the files that only one of two archives has, or whose bytes differ."""
    names = [
        {path.relative_to(out).as_posix() for path in out.rglob("*") if path.suffix != ".part"}
        for out in (one, other)
    ]
    both = sorted(name for name in names[0] & names[1] if (one / name).is_file())
    _, unlike, unread = filecmp.cmpfiles(one, other, both, shallow=False)
    return sorted(names[0] ^ names[1]) + unlike + unread


def make_sources(folder: Path, films: int, images: int) -> Path:
    """Write 640x360 films of a face, and images; return their folder."""
    for kind in ("films", "images"):
        (folder / kind).mkdir(parents=True)
    head = cv2.resize(np.ascontiguousarray(astronaut()[:300, 70:370]), (240, 240))
    for number in range(films):
        path = folder / "films" / f"{number:04d}.mp4"
        with VideoWriter(path, FILM_FPS, (640, 360)) as writer:
            for frame in range(int(FILM_S * FILM_FPS)):
                image = np.full((360, 640, 3), 60 + number % 60, np.uint8)
                left = 100 + (frame + 7 * number) % 200
                image[60:300, left : left + 240] = head
                writer.write(image)
    for number in range(images):
        path = folder / "images" / f"{number:04d}.jpg"
        write_image(path, np.roll(astronaut(), number % 40, axis=1))
    return folder


@contextmanager
def held_to(cores: set[int] | None) -> Iterator[None]:
    """Restrict processes started meanwhile to some cores; None for no restriction."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before if cores is None else cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def ray_nodes(nodes: int) -> Iterator[str]:
    """Run Ray nodes of one core each on this machine; yield the address."""
    from ray.cluster_utils import Cluster

    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_raylet_start_wait_time_s="120")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=1)
        yield cluster.address
    finally:
        cluster.shutdown()


def archive_command(sources: Path, out: Path, *more: str) -> list[str]:
    """Return the command that makes an archive."""
    command = [sys.executable, "-m", "builder_tools", "archive", str(sources), "--out", str(out)]
    return [*command, *more]


def timed_archive(
    sources: Path, out: Path, *more: str, cores: set[int] | None = None
) -> dict[str, float]:
    """Return the wall and processor seconds of a run of `archive`, including its workers."""
    with held_to(cores):
        return timed(archive_command(sources, out, *more))


def timed(command: Sequence[str]) -> dict[str, float]:
    """Return the wall and processor seconds of a command and its children."""
    before, begin_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": time.monotonic() - begin_s, "cpu_s": cpu_s}


def run_verbs(sources: Path, out: Path, verb: Callable[[list[str]], int] = builder_tools) -> None:
    """Process all files with `img-batch` and `video` in one process: the cost without starts."""
    out.mkdir()
    table = str(out / "images.csv")
    done = [verb(["img-batch", str(sources / "images"), "--csv", table])]
    for film in sorted((sources / "films").iterdir()):
        done.append(verb(["video", str(film), "--timeline", str(out / f"{film.stem}.parquet")]))
    assert not any(done), done


if __name__ == "__main__":
    run_verbs(Path(sys.argv[1]), Path(sys.argv[2]))
