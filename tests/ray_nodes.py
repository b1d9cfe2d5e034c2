"""Two nodes of a Ray cluster on this machine, one of which dies in the middle of an archive.

A process of its own, as Ray takes the process it begins in for its own: its SIGTERM, its end.

    python tests/ray_nodes.py SOURCES OUT
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ray.cluster_utils import Cluster

from builder_tools.archive import Settings, archive

NO_CLUSTER = 77
"""Exit code where Ray could not begin here."""


def archive_while_one_dies(cluster: Cluster, sources: str, out: Path) -> None:
    second, killed = cluster.add_node(num_cpus=1), []

    def kill_one(done, total):
        for outcome in done:
            if not killed:
                cluster.remove_node(second, allow_graceful=False)
                killed.append(outcome)
            yield outcome

    report = archive([sources], out / "whole", Settings(), ray=cluster.address, progress=kill_one)
    assert killed and report.files == 6, report


def archive_until_ended(cluster: Cluster, sources: str, out: Path) -> None:
    command = [sys.executable, "-m", "builder_tools", "archive", sources, "--out", out / "ended"]
    ended = subprocess.Popen(
        [*command, "--ray", cluster.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list((out / "ended").glob("parts/*.parquet")) and ended.poll() is None:
        time.sleep(0.02)
    ended.send_signal(signal.SIGTERM)
    _, told = ended.communicate(timeout=60)
    assert ended.returncode == 143 and "SIGTERM" in told and "***" not in told, (ended, told)


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_raylet_start_wait_time_s"] = "120"  # noqa: SIM112
    try:
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    except Exception as error:  # of many kinds; what Ray needs is not the matter here
        print(error, file=sys.stderr)
        sys.exit(NO_CLUSTER)
    with contextlib.ExitStack() as stack:
        stack.callback(made.shutdown)
        archive_while_one_dies(made, sys.argv[1], Path(sys.argv[2]))
        archive_until_ended(made, sys.argv[1], Path(sys.argv[2]))
