"""A PostgreSQL server of its own, on a socket in a temporary folder, for tests and benchmarks."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BINARIES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
"""Where Debian's `postgresql` lies; None where it is not installed."""


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run the server, as a user of its own, since it refuses root; give the address."""
    with tempfile.TemporaryDirectory(prefix="pg") as place:
        user = {"user": "postgres"} if Path(place).owner() == "root" else {}
        if user:
            subprocess.run(["chown", "postgres", place], check=True)
        data, quiet = f"{place}/data", {"check": True, "stdout": subprocess.DEVNULL, "cwd": place}
        options = [f"-k {place}", "-c listen_addresses=''", "-c fsync=off"]
        initdb = [BINARIES / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8"]
        control = [BINARIES / "pg_ctl", "-D", data, "-w", "-l", f"{place}/log"]
        subprocess.run(initdb, **quiet, **user)
        subprocess.run([*control, "-o", " ".join(options), "start"], **quiet, **user)
        try:
            yield f"postgresql+psycopg://postgres@/postgres?host={place}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **quiet, **user)
