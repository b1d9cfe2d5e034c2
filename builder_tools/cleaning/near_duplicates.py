"""The same photo more than once: within an emotion, under two emotions, in two splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import cv2
import numpy as np
import pandas as pd

from builder_tools.cleaning.config import CleaningConfig
from builder_tools.cleaning.judging import Fault, Look
from builder_tools.cleaning.sources import RawImage
from builder_tools.datasets.copies import COMPARED_PX, MAX_DIFFERENCE, worst_difference
from builder_tools.datasets.duplicates import duplicate_pairs, groups_of_pairs
from builder_tools.datasets.table import ImageTable
from builder_tools.emotions import EmotionSet
from builder_tools.media import read_image, resize_square
from builder_tools.results import Box

RANKS = {"test": 0, "valid": 1, "train": 2, "": 2}
"""If a photo is in two splits, the copy in the split with the lower rank stays."""
NO_EMOTION = EmotionSet(("",))


FACE_FILLS = 0.6
"""From this share of the image's shorter side, the face counts as filling the image."""
AROUND_FACE = 1.3


def same_face_groups(images: Sequence[RawImage], looks: Sequence[Look]) -> dict[int, int]:
    """Return the group of near-duplicates of each readable image, by the image's number.

    If the largest face is a small part of the image, copies must also match there: with a fixed
    camera, whole photographs of two expressions hardly differ.
    """
    readable = [look for look in looks if look.miniature]
    if not readable:
        return {}
    numbers = [look.number for look in readable]
    columns = {"name": numbers, "path": "", "index": range(len(readable))}
    table = pd.DataFrame({**columns, "label": 0, "emotion": "", "split": ""})
    miniatures = np.stack([look.pixels for look in readable])
    pairs = duplicate_pairs(ImageTable(table, NO_EMOTION, miniatures))
    faces = _Faces(images)
    equal = [
        faces.are_equal(readable[first], readable[second])
        for first, second in zip(pairs["first"], pairs["second"], strict=True)
    ]
    groups = groups_of_pairs(pairs[np.array(equal, bool)], len(readable))
    return dict(zip(numbers, groups.tolist(), strict=True))


class _Faces:
    """Compares the largest faces of images that look alike as a whole."""

    def __init__(self, images: Sequence[RawImage]) -> None:
        self._read = lru_cache(maxsize=64)(
            lambda number: cv2.cvtColor(read_image(images[number].path), cv2.COLOR_RGB2GRAY)
        )

    def are_equal(self, first: Look, second: Look) -> bool:
        """Return whether both images match around the largest face found in either of them."""
        seen = next((look for look in (first, second) if look.box), None)
        if seen is None or seen.face_px >= FACE_FILLS * min(seen.size_px):
            return True
        width, height = seen.size_px
        around = Box(*seen.box).square().scale(AROUND_FACE).clip(width, height)
        left, top, right, bottom = np.divide(around.xyxy, (width, height, width, height))
        cuts = []
        for grey in (self._read(look.number) for look in (first, second)):
            rows, columns = grey.shape
            part = grey[
                round(top * rows) : max(round(bottom * rows), round(top * rows) + 1),
                round(left * columns) : max(round(right * columns), round(left * columns) + 1),
            ]
            cuts.append(resize_square(part, COMPARED_PX))
        return worst_difference(*cuts) <= MAX_DIFFERENCE


def same_face_faults(
    images: Sequence[RawImage],
    groups: Mapping[int, int],
    kept: set[int],
    config: CleaningConfig,
) -> dict[int, list[Fault]]:
    """Return the faults that images have because of other images.

    Args:
        images: All images.
        groups: The group of near-duplicates of each readable image, by its index.
        kept: Indices of the images not dropped for faults of their own; only these get faults,
            and only these can be the copy that stays. Emotions are compared across all images.
        config: The settings; `duplicates`, `conflicts` and `leaks` are used.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for index in sorted(groups):
        members[groups[index]].append(index)
    found: dict[int, list[Fault]] = defaultdict(list)
    for group in members.values():
        if len(group) > 1:
            for index, fault in _group_faults(images, group, kept, config):
                found[index].append(fault)
    return dict(found)


def _group_faults(
    images: Sequence[RawImage], group: list[int], kept: set[int], config: CleaningConfig
) -> Iterator[tuple[int, Fault]]:
    staying = sorted((i for i in group if i in kept), key=lambda i: (RANKS[images[i].split], i))
    first_of: dict[tuple[str, str], int] = {}
    for index in staying:
        own, best = images[index], images[staying[0]]
        may_drop = own.split != "test"
        if RANKS[own.split] > RANKS[best.split]:
            reason = f"the same photo stands in {best.split}: {best.name}"
            yield index, Fault("duplicate", reason, config.leaks == "drop", staying[0])
        other = next((i for i in group if images[i].emotion != own.emotion), None)
        if other is not None:
            reason = f"the same photo is {images[other].emotion} in {images[other].name}"
            drops = may_drop and config.conflicts == "drop"
            yield index, Fault("duplicate", reason, drops, other)
        first = first_of.setdefault((own.split, own.emotion), index)
        if first != index:
            drops = may_drop and config.duplicates == "drop"
            reason = f"the same photo as {images[first].name}"
            yield index, Fault("duplicate", reason, drops, first)
