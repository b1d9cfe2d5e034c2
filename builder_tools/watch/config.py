"""The configuration of `builder-tools watch`: a TOML file of a site and its cameras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.fields import (
    check_choice,
    check_fields,
    check_keys,
    is_number,
    is_text,
    is_whole,
    is_whole_in,
    read_toml,
)
from builder_tools.media.addresses import without_file_scheme

EXAMPLE = """\
# A museum with two cameras. `builder-tools watch show.toml` runs until it is stopped;
# `builder-tools watch show.toml --report --since 2026-11-01` tells what it saw.
title = "Spring show"
zone = "Europe/Berlin"        # of the visitors' clock; times are stored in UTC
database = "visits.db"        # a file beside this one, or postgresql+psycopg://user@host/name
consent = "Signs at both doors tell that faces are analysed and that no image is kept."

minimum_group = 5             # nothing is told of fewer visits
minimum_dwell_s = 2.0         # whoever leaves sooner is a passer-by
gap_s = 10.0                  # out of sight for longer is another visit
keep_days = 365               # older visits are deleted while it runs
rank_by = "share_happy"       # dwell, intensity, valence, arousal or share_EMOTION

[[camera]]
name = "north"                # names are told apart in --status and in the database
exhibit = "The blue room"     # several cameras may watch one exhibit
source = "rtsp://192.0.2.10/stream"

[[camera]]
name = "door"
exhibit = "Entrance"
source = 0                    # a camera of this machine by its index, an address, or a film
"""

MOST_DAYS = 36_500
"""Visits can be kept for a century, or without a limit; dates do not go back for ever."""

MOST_GROUP = 1_000_000
"""The largest minimum group; databases have no numbers of any size."""

_EXHIBITS_WORDS = {"dwell_s": "dwell"} | {name: f"share_{name}" for name in NINE_EMOTIONS}
"""What `exhibits` calls measures -> what they are called here; `rank_by` may be either."""
_TEXT = (is_text, "a text")
_SECONDS = (lambda value: is_number(value) and value >= 0, "a number of seconds, at least 0")
_SITE_KINDS = {
    **dict.fromkeys(("title", "zone", "database", "consent", "rank_by"), _TEXT),
    "minimum_group": (
        is_whole_in(2, MOST_GROUP),
        f"a whole number, at least 2 and at most {MOST_GROUP}",
    ),
    "minimum_dwell_s": _SECONDS,
    "gap_s": _SECONDS,
    "keep_days": (
        is_whole_in(1, MOST_DAYS),
        f"a whole number of 1 to {MOST_DAYS} (leave it out to keep visits for ever)",
    ),
}
_CAMERA_KINDS = {
    "name": _TEXT,
    "exhibit": _TEXT,
    "source": (
        lambda source: is_text(source) or (is_whole(source) and source >= 0),
        "an address, a film (a text) or a camera's index (0, 1, ...)",
    ),
}


@dataclass(frozen=True)
class Camera:
    """A camera of the site.

    Args:
        name: Unique name.
        exhibit: The exhibit it watches; several cameras may watch the same one.
        source: Index, device, address, or a film, which is played once at its own speed.
    """

    name: str
    exhibit: str
    source: str | int


@dataclass(frozen=True)
class Site:
    """The configuration of a site.

    Args:
        cameras: At least one; their names are unique.
        title: Title of reports.
        zone: Time zone of the visitors' clock.
        database: A file or an address.
        consent: How visitors were asked for consent; quoted in every report.
        minimum_group: Visits that a group needs before any of its figures are shown.
        minimum_dwell_s: Shorter visits are passers-by.
        gap_s: Longest time out of view within a visit.
        keep_days: How long visits are kept; None keeps them forever.
        rank_by: Measure by which exhibits are ranked.
    """

    cameras: tuple[Camera, ...]
    title: str = "Exhibits"
    zone: str = "UTC"
    database: str = "visits.db"
    consent: str = ""
    minimum_group: int = 5
    minimum_dwell_s: float = 2.0
    gap_s: float = 10.0
    keep_days: int | None = None
    rank_by: str = "intensity"

    @property
    def zone_info(self) -> ZoneInfo:
        """The time zone as a `ZoneInfo`."""
        return ZoneInfo(self.zone)


def read_site(path: str | Path) -> Site:
    """Read a configuration; paths in it are relative to it.

    Raises:
        FileNotFoundError: If the file, or a film that a camera names, does not exist.
        ValueError: If it is not TOML, a key is unknown or missing, a value is out of range, or two
            cameras share a name; says which.
    """
    path = Path(path)
    content, rows = read_toml(path, "camera")
    if not rows:
        raise ValueError(f"Expected one or more [[camera]] tables in {path}. Received: none.")
    check_keys(str(path), content, _SITE_KINDS)
    check_fields(str(path), content, _SITE_KINDS)
    cameras = []
    for row in rows:
        check_keys("a [[camera]]", row, _CAMERA_KINDS, needed=_CAMERA_KINDS)
        check_fields(f"the camera {row['name']!r}", row, _CAMERA_KINDS)
        source = row["source"]
        if isinstance(source, str):
            source = without_file_scheme(source)
            if "://" not in source and not source.startswith("/dev/"):
                source = str(path.parent / source)
                if not Path(source).is_file():
                    raise FileNotFoundError(f"Camera {row['name']!r}: no film at {source!r}.")
        cameras.append(Camera(row["name"], row["exhibit"], source))
    names = [camera.name for camera in cameras]
    if len(set(names)) < len(names):
        raise ValueError(f"Expected cameras of distinct names in {path}. Received: {names}.")
    database = _database(content.get("database", Site.database), path.parent)
    from builder_tools.watch.tables import MEASURES  # needs the extra; --example does not

    measure = content.get("rank_by", Site.rank_by)
    measure = _EXHIBITS_WORDS.get(measure, measure)
    check_choice("rank_by", measure, (*MEASURES, *_EXHIBITS_WORDS))
    site = Site(tuple(cameras), **{**content, "database": database, "rank_by": measure})
    try:
        site.zone_info  # noqa: B018 - checks that the zone exists
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: "Europe", a folder
        raise ValueError(
            f"Expected a time zone such as 'Europe/Berlin'. Received: zone={site.zone!r}."
        ) from error
    return site


def _database(address: str, folder: Path) -> str:
    """Return the file or address of a database; files are relative to a folder."""
    if "://" not in address:
        return str(folder / address)
    import sqlalchemy as sa  # needs the extra; --example does not

    try:
        url = sa.make_url(address)
    except (sa.exc.ArgumentError, ValueError):
        return address  # refused, with what is wrong, when it is opened
    name = url.database or ":memory:"
    if url.get_backend_name() != "sqlite" or name.startswith(("file:", ":memory:")):
        return address
    file = str(folder / name)
    return url.set(database=file).render_as_string() if url.query else file
