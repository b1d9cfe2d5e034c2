"""The database of visits: SQLite in a file (the default) or PostgreSQL by its address.

The schema is versioned: opening a database upgrades it (`migrations/`). The row of a visit is
rewritten while the visit lasts; ending it adds it to the totals in the same transaction, and only
if it was still open, so it is counted exactly once, even after retries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from builder_tools.watch.engines import (
    DatabaseError,
    engine_of,
    explained,
    file_of,
    follow,
    name_of,
    prepare_sqlite,
    reason_of,
)
from builder_tools.watch.tables import CAMERAS, DAY_TOTALS, MEASURES, RULES, TOTALS, UNIT, VISITS
from builder_tools.watch.visits import Visit

__all__ = ["Database", "DatabaseError", "Rules", "Sighting"]

MIGRATIONS = Path(__file__).with_name("migrations")
ALONE = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(20261126)",
}
"""Makes two processes that open a new database at the same time upgrade it in turn, which may take
minutes."""


@dataclass(frozen=True)
class Sighting:
    """Where and when a visit takes place, for its row.

    Args:
        camera: Name of the camera.
        exhibit: Name of the exhibit.
        run: Identifies the run of the service, so that a visit has one row.
        started_at: When the visit began, UTC.
        seen_at: When its visitor was last seen, UTC.
    """

    camera: str
    exhibit: str
    run: str
    started_at: datetime
    seen_at: datetime


@dataclass(frozen=True)
class Rules:
    """What services say about reading their visits.

    Args:
        minimum_group: Visits that a group needs before any of its figures are shown.
        zone: Time zone of the visitors' clock.
    """

    minimum_group: int
    zone: str


class Database:
    """The database of a site's visits.

    Args:
        url: `visits.db` (a file), `sqlite:///...` or `postgresql+psycopg://user@host/name`.
        zone: The site's time zone, for the day, hour and weekday of reports.

    Raises:
        DatabaseError: If it cannot be opened; says why.
        ValueError: If the address is not that of a database.
    """

    def __init__(self, url: str, zone: ZoneInfo) -> None:
        self.zone = zone
        self._engine = engine_of(url)
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", prepare_sqlite)
        with explained(self._engine):
            self._migrate()
        if (file := file_of(self._engine)) is not None:
            self._engine.dispose()  # connections from before the file was followed
            follow(self._engine, file)

    @classmethod
    def with_visits(cls, url: str, zone: ZoneInfo) -> Self:
        """Open a database for reading, without creating one that does not exist yet.

        Raises:
            DatabaseError: If it cannot be opened, or holds no table of visits.
            ValueError: If the address is not that of a database.
        """
        engine = engine_of(url)
        file, name = file_of(engine), name_of(engine)
        then = "`watch` makes it: run it first, or look whether the configuration names another."
        if file is not None and not file.exists():
            raise DatabaseError(f"No database of visits at {str(file)!r}. {then}")
        with explained(engine):
            version = _version_of(engine)
        engine.dispose()
        if version is None:
            raise DatabaseError(f"The database {name} holds no visits. {then}")
        return cls(url, zone)

    @property
    def address(self) -> str:
        """The address for messages, without its password."""
        return name_of(self._engine)

    def write(
        self,
        going_on: Iterable[tuple[Visit, Sighting]],
        ended: Iterable[tuple[Visit, Sighting]],
        left: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        """Write ongoing visits and visits that ended, all or none.

        Args:
            going_on: Ongoing visits, whose rows stay open.
            ended: Visits that ended; their rows are closed and counted exactly once.
            left: Open rows that are closed and counted as they are, except those whose visitor was
                seen again after they were read.

        Raises:
            DatabaseError: If nothing was written; says why.
        """
        closed: list[Mapping[str, Any]] = []
        with explained(self._engine), self._engine.begin() as connection:
            for visit, sighting in going_on:
                self._put(connection, visit, sighting)
            for visit, sighting in ended:
                self._put(connection, visit, sighting)
                key = {"camera": sighting.camera, "run": sighting.run, "number": visit.number}
                own = sa.and_(*(VISITS.c[name] == value for name, value in key.items()))
                closed += _close(connection, own)
            # All services lock rows in the same order, so that none waits for one that waits.
            for row in sorted(left, key=lambda row: row["id"]):
                same = sa.and_(VISITS.c.id == row["id"], VISITS.c.seen_at == row["seen_at"])
                closed += _close(connection, same)
            for totals in (TOTALS, DAY_TOTALS):
                self._count(connection, totals, closed)

    def open_rows(self) -> list[dict[str, Any]]:
        """Return the open visits of all cameras, also of those no longer configured."""
        query = sa.select(VISITS).where(VISITS.c.is_open)
        with explained(self._engine), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def forget(self, keep_days: int, now: datetime) -> int:
        """Delete visits and totals older than `keep_days`; return the number of visits deleted.

        An open visit is as old as its last sighting: it may have been left open for ever.
        """
        limit = now - timedelta(days=keep_days)
        day = limit.replace(tzinfo=UTC).astimezone(self.zone).date().isoformat()
        with explained(self._engine), self._engine.begin() as connection:
            for totals in (TOTALS, DAY_TOTALS):
                connection.execute(sa.delete(totals).where(totals.c.day < day))
            is_over = sa.or_(sa.not_(VISITS.c.is_open), VISITS.c.seen_at < limit)
            gone = connection.execute(sa.delete(VISITS).where(VISITS.c.day < day, is_over))
            return gone.rowcount

    def tell(self, states: Iterable[Mapping[str, Any]]) -> None:
        """Write the state of the cameras, one row each."""
        self._replace(CAMERAS, states)

    def record(self, rules: Rules, cameras: Iterable[str], now: datetime) -> None:
        """Write the rules of a service, replacing earlier ones of its cameras."""
        row = {"minimum_group": rules.minimum_group, "zone": rules.zone, "recorded_at": now}
        self._replace(RULES, [{"camera": camera, **row} for camera in cameras])

    def rules(self) -> Rules | None:
        """Return the largest minimum group of all cameras, also of former ones, and the last zone.

        None if no service has recorded its rules.
        """
        query = sa.select(RULES).order_by(RULES.c.recorded_at, RULES.c.camera)
        with explained(self._engine), self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        if not rows:
            return None
        return Rules(max(row["minimum_group"] for row in rows), rows[-1]["zone"])

    def drop_states(self, kept: Iterable[str], since: datetime, until: datetime) -> None:
        """Delete the states of cameras, except those kept and those told of in a period."""
        is_told = CAMERAS.c.told_at.between(since, until)
        gone = sa.delete(CAMERAS).where(CAMERAS.c.camera.not_in(list(kept)), sa.not_(is_told))
        with explained(self._engine), self._engine.begin() as connection:
            connection.execute(gone)

    def states(self) -> list[dict[str, Any]]:
        """Return the states of the cameras, sorted by name."""
        query = sa.select(CAMERAS).order_by(CAMERAS.c.camera)
        with explained(self._engine), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def read(self, query: sa.Select) -> dict[str, tuple]:
        """Return the results of a query by column, as a report by day has very many rows."""
        with explained(self._engine), self._engine.connect() as connection:
            found = connection.execute(query)
            names, rows = list(found.keys()), found.fetchall()
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return dict(zip(names, columns, strict=True))

    def close(self) -> None:
        """Close the database; may be called twice."""
        self._engine.dispose()

    def _migrate(self) -> None:
        """Upgrade the schema, locking nothing if it is up to date."""
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        newest_first = [
            one.revision for one in ScriptDirectory.from_config(config).walk_revisions()
        ]
        version = _version_of(self._engine)
        if version == newest_first[0]:
            return
        name = self.address
        if version is not None and version not in newest_first:
            raise DatabaseError(
                f"Expected the database {name} to be of version {newest_first[0]} or earlier. "
                f"Received: version {version}, which a later builder-tools wrote. Try that one."
            )
        try:
            with self._engine.begin() as connection:
                connection.exec_driver_sql(ALONE[self._engine.dialect.name])
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except DBAPIError as error:
            if version is None:
                raise
            raise DatabaseError(
                f"The database {name} is of version {version} and cannot be brought to "
                f"{newest_first[0]}: {reason_of(error)}. Open it once where it can be written."
            ) from error

    def _put(self, connection: sa.Connection, visit: Visit, sighting: Sighting) -> None:
        """Insert or update the row of a visit; a row that was closed stays as it is."""
        local = sighting.started_at.replace(tzinfo=UTC).astimezone(self.zone)
        own = {
            "camera": sighting.camera,
            "exhibit": sighting.exhibit,
            "run": sighting.run,
            "number": visit.number,
        }
        changing = {
            "started_at": sighting.started_at,  # these, too: the clock may have been set meanwhile
            "day": local.date().isoformat(),
            "hour": local.hour,
            "weekday": local.weekday(),
            "seen_at": sighting.seen_at,
            "is_open": True,
            "sights": visit.sights,
            "quality": round(UNIT * visit.quality),
            "x_px": round(visit.place.x_px),
            "y_px": round(visit.place.y_px),
            "side_px": round(visit.place.side_px),
            **visit.measures(),
        }
        connection.execute(
            self._insert(VISITS)
            .values(**(own | changing))
            .on_conflict_do_update(
                index_elements=["camera", "run", "number"], set_=changing, where=VISITS.c.is_open
            )
        )

    def _count(
        self, connection: sa.Connection, totals: sa.Table, rows: Iterable[Mapping[str, Any]]
    ) -> None:
        """Add visits to the totals of their hour or day, also while other services do so."""
        key = [column.name for column in totals.primary_key]
        for row in sorted(rows, key=lambda row: [row[name] for name in key]):
            numbers = {name: row[name] or 0 for name in MEASURES}
            added = {"visits": 1, "placed": int(row["valence"] is not None)}
            added |= {f"{name}_sum": value for name, value in numbers.items()}
            added |= {f"{name}_squares": value * value for name, value in numbers.items()}
            own = {name: row[name] for name in (*key, "weekday")}
            grown = {name: totals.c[name] + value for name, value in added.items()}
            put = self._insert(totals).values(**own, **added)
            connection.execute(put.on_conflict_do_update(index_elements=key, set_=grown))

    def _replace(self, table: sa.Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert or update one row for each camera."""
        with explained(self._engine), self._engine.begin() as connection:
            for row in rows:
                put = self._insert(table).values(**row)
                put = put.on_conflict_do_update(index_elements=["camera"], set_=dict(row))
                connection.execute(put)

    def _insert(self, table: sa.Table):
        makers = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
        return makers[self._engine.dialect.name](table)


def _version_of(engine: sa.Engine) -> str | None:
    """Return the version of a database's schema, or None if there is none.

    Raises:
        DatabaseError: If it is the version of another program's tables.
    """
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
        # Ours has one version; other programs may have several at once.
        version = ", ".join(MigrationContext.configure(connection).get_current_heads())
        if version and not sa.inspect(connection).has_table(VISITS.name):
            raise DatabaseError(
                f"The database {name_of(engine)} is another program's: its tables are of version "
                f"{version}, and none holds visits. Give `watch` one of its own."
            )
        return version or None


def _close(connection: sa.Connection, own) -> list[Mapping[str, Any]]:
    """End a visit; return its row, to be counted, unless that was done before."""
    closed = sa.update(VISITS).where(own, VISITS.c.is_open).values(is_open=False)
    if not connection.execute(closed).rowcount:
        return []
    return [connection.execute(sa.select(VISITS).where(own)).mappings().one()]
