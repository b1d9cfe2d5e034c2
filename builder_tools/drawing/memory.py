"""What is remembered of previously drawn images: by track, for a bounded number of tracks."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from builder_tools.drawing.dial import Place
from builder_tools.drawing.placing import Point
from builder_tools.results import Box

TRACKS_KEPT = 64
"""Beyond these, tracks are forgotten as soon as their faces need no longer be hidden."""
ABSENT_DRAWS = 90
"""A track that was not drawn for this many images is forgotten."""
HIDDEN_DRAWS = 15
"""A face that was lost stays hidden for this many images."""
LEVEL_DRAWS = 30
"""Details that had no room are tried again after this many images."""


@dataclass
class Seen:
    """A person in the previous images.

    Args:
        drawn: Number of the last image with the person.
        way: Recent places on the dial.
        box: The last box, as it was given.
        slot: Place of the card beside the face; None if it was elsewhere.
        offset: Position of the card relative to the face, if it was elsewhere.
    """

    drawn: int
    way: deque[Place]
    box: Box | None = None
    slot: int | None = None
    offset: Point | None = None


@dataclass
class Memory:
    """The memory of one video or camera."""

    now: int = 0
    level: int = 0
    scale: int = 0
    level_at: int = 0
    people: OrderedDict[int, Seen] = field(default_factory=OrderedDict)

    def tick(self) -> None:
        """Count an image and forget tracks that have been absent too long."""
        self.now += 1
        for track in [t for t, seen in self.people.items() if self.now - seen.drawn > ABSENT_DRAWS]:
            del self.people[track]

    def clear(self) -> None:
        """Forget everything."""
        self.people.clear()
        self.now = self.level = self.scale = self.level_at = 0

    def see(self, track: int | None, box: Box, length: int) -> Seen:
        """Return what is remembered of a track in this image; without a track, nothing is kept.

        Args:
            track: Track of the person, or None.
            box: Where the face is.
            length: Number of recent places to keep.
        """
        seen = self.people.get(track) if track is not None else None
        if seen is None:
            seen = Seen(self.now, deque(maxlen=length))
        seen.drawn, seen.box = self.now, box
        if track is not None:
            self.people[track] = seen
            self.people.move_to_end(track)
            while len(self.people) > TRACKS_KEPT:
                oldest = next(iter(self.people))
                if self.now - self.people[oldest].drawn <= HIDDEN_DRAWS:
                    break
                del self.people[oldest]
        return seen

    def just_lost(self) -> Iterator[Box]:
        """Yield the last boxes of faces that are not in this image but were a moment ago."""
        for seen in self.people.values():
            if seen.box is not None and 0 < self.now - seen.drawn <= HIDDEN_DRAWS:
                yield seen.box

    def first_tried(self) -> tuple[int, int] | None:
        """Return the level of detail and the text scale to start at; None to try everything."""
        held = self.level_at and self.now - self.level_at < LEVEL_DRAWS
        return (self.level, self.scale) if held else None

    def keep_tried(self, level: int, scale: int) -> None:
        """Remember the level and scale that had room; worse ones are held for a while."""
        now = (level, scale)
        if now > (self.level, self.scale) or self.now - self.level_at >= LEVEL_DRAWS:
            self.level, self.scale, self.level_at = *now, self.now
