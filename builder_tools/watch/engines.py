"""Connections to the database of visits, and what goes wrong with them, in sentences.

Nobody waits longer than `BUSY_S` for a lock, a connection or a machine that is gone: a service has
its cameras to watch.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from builder_tools.media.addresses import camera_name

BUSY_S = 10.0
"""How long to wait for another writer or reader that locks the database, and for a connection."""


class DatabaseError(OSError):
    """The database cannot be used now: it is down, full, read-only or not a database."""


def engine_of(url: str) -> sa.Engine:
    """Return an engine, which has not connected yet.

    Raises:
        ValueError: If the address is not that of a database.
    """
    address = url if "://" in url else sa.URL.create("sqlite", database=url)
    try:
        parts = sa.make_url(address)
        if (kind := parts.get_backend_name()) not in ("sqlite", "postgresql"):
            raise ArgumentError(f"{kind!r} is neither 'sqlite' nor 'postgresql'")
        if parts.get_dialect().is_async:
            raise ArgumentError("its driver is asynchronous")
        is_libpq = parts.get_driver_name() in ("psycopg", "psycopg2")  # also if none is named
        limits = {
            "connect_timeout": round(BUSY_S),
            "tcp_user_timeout": round(1000 * BUSY_S),
            # A machine that is gone is noticed also if it had received all that was sent.
            "keepalives_idle": round(BUSY_S / 2),
            "keepalives_interval": round(BUSY_S / 2),
        }
        own = {name: limits[name] for name in limits if is_libpq and name not in parts.query}
        pool: dict[str, Any] = {"pool_pre_ping": True}
        if _is_in_memory(parts):  # one connection, lent to one thread after the other
            pool |= {"poolclass": sa.QueuePool, "pool_size": 1, "max_overflow": 0}
            pool["pool_timeout"], own = BUSY_S, {"check_same_thread": False}
        engine = sa.create_engine(parts, connect_args=own, **pool)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        # A ValueError is of the port, which is the end of a password that contains an "@".
        reason = "its port is no number" if isinstance(error, ValueError) else error
        raise ValueError(
            "Expected a database: a file, sqlite:///FILE or "
            f"postgresql+psycopg://USER@HOST/NAME. Received: {camera_name(url)!r} ({reason})."
        ) from error
    if engine.dialect.name == "postgresql":
        sa.event.listen(engine, "connect", _limit_waits)
    if is_libpq:
        _limit_pings(engine)
    return engine


def name_of(engine: sa.Engine) -> str:
    """Return the address for messages, without its passwords."""
    secrets = [key for key in engine.url.query if "pass" in key]
    return engine.url.difference_update_query(secrets).render_as_string(hide_password=True)


def file_of(engine: sa.Engine) -> Path | None:
    """Return the file of a SQLite database; None for others, and for one in memory."""
    file = engine.url.database or ""
    is_file = engine.dialect.name == "sqlite" and not file.startswith(("file:", ":memory:"))
    return Path(file) if is_file and file else None


def _is_in_memory(url: sa.URL) -> bool:
    """Return whether a SQLite database ends with its last connection, whose own it is."""
    is_named = url.database and url.database != ":memory:" and url.query.get("mode") != "memory"
    return url.get_backend_name() == "sqlite" and not is_named


def follow(engine: sa.Engine, file: Path) -> None:
    """Connect anew when a SQLite file was replaced, and refuse to when it is gone.

    SQLite would go on writing, without an error, to the removed file, which nobody can read.
    """

    def identity() -> tuple[int, int] | None:
        try:
            status = file.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def refuse_none(*details: object) -> None:
        if identity() is None:
            raise DatabaseError(
                f"The database {str(file)!r} was removed or moved while in use. Put it back, or "
                "start `watch` again to begin a new one."
            )

    def note(connection, record) -> None:
        record.info["identity"] = identity()

    def compare(connection, record, proxy) -> None:
        if identity() != record.info["identity"]:
            raise sa.exc.DisconnectionError  # makes the pool connect anew

    sa.event.listen(engine, "do_connect", refuse_none)
    sa.event.listen(engine, "connect", note)
    sa.event.listen(engine, "checkout", compare)


def prepare_sqlite(connection, record) -> None:
    """Set up a new connection to a file that is ours."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute(f"PRAGMA busy_timeout={int(BUSY_S * 1000)}")
    cursor.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten
    cursor.close()


def _limit_pings(engine: sa.Engine) -> None:
    """Hang up connections that do not answer before they are used, so that others are made.

    A server that is frozen, such as a paused machine, neither answers nor hangs up by itself.
    """
    ping = engine.dialect.do_ping

    def ping_in_time(connection) -> bool:
        # Named, whatever they are: some systems do not tell the kind of a line that is cut.
        kind = (socket.AF_INET, socket.SOCK_STREAM, 0)
        line = socket.socket(*kind, fileno=connection.fileno())
        limit = threading.Timer(BUSY_S, line.shutdown, [socket.SHUT_RDWR])
        limit.start()
        try:
            return ping(connection)
        finally:
            limit.cancel()
            line.detach()  # it stays the connection's own

    engine.dialect.do_ping = ping_in_time


def _limit_waits(connection, record) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET lock_timeout = {round(1000 * BUSY_S)}")
    cursor.close()
    connection.commit()


@contextmanager
def explained(engine: sa.Engine) -> Iterator[None]:
    """Turn whatever a driver raises into a `DatabaseError` of one sentence."""
    try:
        yield
    except (DBAPIError, sa.exc.TimeoutError) as error:
        name = name_of(engine)
        raise DatabaseError(f"The database {name} cannot be used: {reason_of(error)}.") from error


def reason_of(error: sa.exc.SQLAlchemyError) -> str:
    """Return what the driver says, in one line."""
    return " ".join(str(getattr(error, "orig", error)).split())
