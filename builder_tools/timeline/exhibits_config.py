"""The configuration of `builder-tools exhibits`: a TOML file of exhibits and their recordings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder_tools.fields import check_fields, check_keys, is_number, is_text, is_whole, read_toml
from builder_tools.media.addresses import without_file_scheme
from builder_tools.timeline.archived import is_archive

LEAST_GROUP = 5
DEFAULT_CAMERA_S = 60.0

EXAMPLE = """\
# What visitors felt at two exhibits, out of recordings:
#   builder-tools exhibits show.toml --out report
# For cameras that are watched all day, see `builder-tools watch --example`; the file of such a
# site can be given to `exhibits`, too, and reports from its database.
title = "Spring show"
minimum_group = 5             # an exhibit with fewer visits is not shown; at least 2
minimum_dwell_s = 1.0         # whoever leaves sooner is a passer-by
rank_by = "intensity"         # dwell_s, intensity, valence, arousal or an emotion
resamples = 2000              # of the bootstrap behind the intervals
seed = 0

[[exhibit]]
name = "The blue room"
source = "recordings/blue"    # a folder of videos and images, or one video; relative to this file

[[exhibit]]
name = "Entrance"
source = 0                    # a camera by its index or address ...
seconds = 120                 # ... watched for so long

# [[exhibit]]
# name = "The red room"
# source = "archive"          # a folder that `builder-tools archive` made: nothing is read twice
# files = "red/*"             # those of its files, by their names in summary.csv
"""

_EXHIBIT_KINDS = {
    "name": (is_text, "a text"),
    "source": (
        lambda source: is_text(source) or (is_whole(source) and source >= 0),
        "a path or address (a text), or a camera's index (0, 1, ...)",
    ),
    "seconds": (lambda value: is_number(value) and value > 0, "a number of seconds above 0"),
    "files": (is_text, "a text, such as room1/*"),
}
_CONFIG_KINDS = {
    "title": (is_text, "a text"),
    "minimum_group": (is_whole, "a whole number"),
    "minimum_dwell_s": (is_number, "a number of seconds"),
    "rank_by": (is_text, "a text"),
    "resamples": (lambda count: is_whole(count) and count <= 1_000_000, "a whole number"),
    "seed": (lambda seed: is_whole(seed) and seed >= 0, "a whole number, at least 0"),
}


@dataclass(frozen=True)
class Exhibit:
    """An exhibit to watch.

    Args:
        name: Its name in the report.
        source: Folder of videos and images, a video, a folder that `builder-tools archive` made,
            a camera's index or an address.
        seconds: How long to watch a camera.
        files: Which files of an archive to use, a glob.
    """

    name: str
    source: str | int
    seconds: float = DEFAULT_CAMERA_S
    files: str = "*"

    def __post_init__(self) -> None:
        check_fields(f"the exhibit {self.name!r}", vars(self), _EXHIBIT_KINDS)

    @property
    def is_camera(self) -> bool:
        """Whether the source never ends on its own."""
        return isinstance(self.source, int) or "://" in self.source


@dataclass(frozen=True)
class ExhibitConfig:
    """The configuration of `builder-tools exhibits`.

    Args:
        exhibits: The exhibits to watch.
        title: Title of the report.
        minimum_group: Visits that an exhibit needs before any of its figures are shown.
        minimum_dwell_s: Shorter visits are passers-by and do not count (images have no dwell time).
        rank_by: One of `exhibits.MEASURES`, or an emotion.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: If a value is out of range.
    """

    exhibits: tuple[Exhibit, ...]
    title: str = "Exhibits"
    minimum_group: int = LEAST_GROUP
    minimum_dwell_s: float = 1.0
    rank_by: str = "intensity"
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields("the configuration", vars(self), _CONFIG_KINDS)
        names = [exhibit.name for exhibit in self.exhibits]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"Expected one or more exhibits of distinct names. Received: {names}.")
        if self.minimum_group < 2 or not self.minimum_dwell_s >= 0 or self.resamples < 1:
            raise ValueError(
                "Expected minimum_group >= 2 (one visitor is nobody's group), minimum_dwell_s >= 0 "
                f"and resamples >= 1. Received: {self.minimum_group}, {self.minimum_dwell_s}, "
                f"{self.resamples}."
            )


def read_config(path: str | Path) -> ExhibitConfig:
    """Read a configuration, such as `EXAMPLE`.

    Raises:
        FileNotFoundError: If the file, or a source it names, does not exist.
        ValueError: If it is not TOML, or a key is unknown, missing or without effect; says which.
    """
    path = Path(path)
    content, rows = read_toml(path, "exhibit")
    exhibits = []
    for row in rows:
        check_keys("an [[exhibit]]", row, set(Exhibit.__dataclass_fields__), {"name", "source"})
        check_fields(f"the exhibit {row['name']!r}", row, _EXHIBIT_KINDS)
        source = row["source"]
        if isinstance(source, str):
            source = without_file_scheme(source)
            if "://" not in source:
                source = str(path.parent / source)
                if not Path(source).exists():
                    raise FileNotFoundError(f"Exhibit {row['name']!r}: nothing at {source!r}.")
        exhibit = Exhibit(**{**row, "source": source})
        for key, kind, has_effect in (
            ("files", "an archive", not exhibit.is_camera and is_archive(source)),
            ("seconds", "a camera", exhibit.is_camera),
        ):
            if key in row and not has_effect:
                raise ValueError(
                    f"Expected {kind} with {key!r}, which has no effect on other sources. "
                    f"Received for the exhibit {exhibit.name!r}: {source}."
                )
        exhibits.append(exhibit)
    check_keys(str(path), content, set(ExhibitConfig.__dataclass_fields__) - {"exhibits"})
    return ExhibitConfig(tuple(exhibits), **content)


def names_cameras(path: str | Path) -> bool:
    """Return whether a file is the configuration of a site for `builder-tools watch`.

    Raises:
        FileNotFoundError, ValueError: If it cannot be read.
    """
    content, cameras = read_toml(Path(path), "camera")
    return bool(cameras) and "exhibit" not in content
