"""The same photo more than once: within an emotion, under two emotions, in two splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from builder_tools.cleaning.config import CleaningConfig
from builder_tools.cleaning.judging import Fault, Look
from builder_tools.cleaning.sources import RawPicture
from builder_tools.datasets.duplicates import duplicate_groups
from builder_tools.datasets.table import PictureTable
from builder_tools.emotions import EmotionSet

RANKS = {"test": 0, "valid": 1, "train": 2, "": 2}
"""Of a photo in two splits, the copy in the split of the lower rank stays."""
NO_EMOTION = EmotionSet(("",))


def twin_groups(looks: Sequence[Look]) -> dict[int, int]:
    """Gives the group of near-duplicates of each readable picture, by its number."""
    readable = [look for look in looks if look.miniature]
    if not readable:
        return {}
    numbers = [look.number for look in readable]
    columns = {"name": numbers, "path": "", "index": range(len(readable))}
    table = pd.DataFrame({**columns, "label": 0, "emotion": "", "split": ""})
    miniatures = np.stack([look.pixels for look in readable])
    groups = duplicate_groups(PictureTable(table, NO_EMOTION, miniatures))
    return dict(zip(numbers, groups.tolist(), strict=True))


def twin_faults(
    pictures: Sequence[RawPicture],
    groups: Mapping[int, int],
    kept: set[int],
    config: CleaningConfig,
) -> dict[int, list[Fault]]:
    """Gives what is wrong with pictures because of other pictures.

    Args:
        pictures: All of them.
        groups: The group of near-duplicates of each readable picture, by its index.
        kept: Indices of the pictures not dropped for faults of their own; only these get faults,
            and only these count as the copy that stays. Emotions are compared with all of them.
        config: Its `duplicates`, `conflicts` and `leaks` count.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for index in sorted(groups):
        members[groups[index]].append(index)
    found: dict[int, list[Fault]] = defaultdict(list)
    for group in members.values():
        if len(group) > 1:
            for index, fault in _group_faults(pictures, group, kept, config):
                found[index].append(fault)
    return dict(found)


def _group_faults(
    pictures: Sequence[RawPicture], group: list[int], kept: set[int], config: CleaningConfig
) -> Iterator[tuple[int, Fault]]:
    staying = sorted((i for i in group if i in kept), key=lambda i: (RANKS[pictures[i].split], i))
    first_of: dict[tuple[str, str], int] = {}
    for index in staying:
        own, best = pictures[index], pictures[staying[0]]
        may_drop = own.split != "test"
        if RANKS[own.split] > RANKS[best.split]:
            reason = f"the same photo stands in {best.split}: {best.name}"
            yield index, Fault("duplicate", reason, config.leaks == "drop", staying[0])
        other = next((i for i in group if pictures[i].emotion != own.emotion), None)
        if other is not None:
            reason = f"the same photo is {pictures[other].emotion} in {pictures[other].name}"
            drops = may_drop and config.conflicts == "drop"
            yield index, Fault("duplicate", reason, drops, other)
        first = first_of.setdefault((own.split, own.emotion), index)
        if first != index:
            drops = may_drop and config.duplicates == "drop"
            reason = f"the same photo as {pictures[first].name}"
            yield index, Fault("duplicate", reason, drops, first)
