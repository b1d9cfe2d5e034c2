"""Near-duplicates: the same photograph twice, scaled, recompressed, watermarked, shifted.

Each picture becomes a 32x32 grey miniature. Candidates are pairs whose 64-bit perceptual hashes
(signs of the 8x8 lowest DCT frequencies around their median; Zauner, 2010, "Implementation and
Benchmarking of Perceptual Image Hash Functions") differ in few bits; they are confirmed by the
correlation of the miniatures, because aligned portraits of different people hash alike.

Both thresholds were chosen on FER+ (35,710 faces), where a hash distance of 12 alone gives 87,000
pairs, nearly all wrong. Of forty random pairs in each band of correlation, looked at by eye, wrong
were: none of 0.94...0.96, one of 0.92...0.94, six of 0.90...0.92, twelve of 0.88...0.90. So 0.92
is the least correlation. Of all unequal pairs correlated so (found by comparing every miniature
with every other), 98 % are within 12 bits; 14 bits would find 1 % more of them among four times
as many candidates. Mirrored copies are not looked for.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd

from builder_tools.datasets.table import PROGRESS, PictureTable

MINIATURE_PX = 32
HASH_FREQUENCIES = 8
MAX_DISTANCE_BITS = 12
MIN_CORRELATION = 0.92

_CELLS_AT_ONCE = 1 << 23

logger = logging.getLogger(__name__)


def duplicate_groups(
    table: PictureTable,
    *,
    max_distance_bits: int = MAX_DISTANCE_BITS,
    min_correlation: float = MIN_CORRELATION,
) -> np.ndarray:
    """Numbers the groups of near-duplicates.

    Args:
        table: Pictures; those that cannot be read stand alone (a warning tells how many).
        max_distance_bits: Pairs whose hashes differ in more bits are not looked at, 0...63.
        min_correlation: Pairs whose miniatures correlate less are not duplicates, in [-1, 1].

    Returns:
        `(n,)` int64 group numbers from 0, in the order of first appearance; equal where pictures
        are near-duplicates, directly or by way of others.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = duplicate_pairs(
        table, max_distance_bits=max_distance_bits, min_correlation=min_correlation
    )
    links = (np.ones(len(pairs), bool), (pairs["first"], pairs["second"]))
    components = connected_components(coo_array(links, shape=(len(table), len(table))))[1]
    firsts, members = np.unique(components, return_index=True, return_inverse=True)[1:]
    return np.argsort(np.argsort(firsts))[members]


def duplicate_pairs(
    table: PictureTable,
    *,
    max_distance_bits: int = MAX_DISTANCE_BITS,
    min_correlation: float = MIN_CORRELATION,
) -> pd.DataFrame:
    """Finds pairs of near-duplicates.

    Args:
        table: As `duplicate_groups`, like the other arguments.

    Returns:
        Columns `first`, `second` (rows of the table, first < second), `distance_bits` and
        `correlation`. A picture whose miniature equals an earlier one's is paired with the first
        such picture only, so a thousand equal pictures give 999 pairs.
    """
    rows, miniatures = _miniatures(table)
    members = pd.factorize(np.array([each.tobytes() for each in miniatures], object))[0]
    firsts = np.unique(members, return_index=True)[1]
    equal = np.flatnonzero(firsts[members] != np.arange(len(rows)))
    standard = _standardised(miniatures[firsts].reshape(-1, MINIATURE_PX**2))
    first, second, bits, correlation = _near_pairs(standard, max_distance_bits, min_correlation)
    near = np.sort(rows[firsts[np.stack([first, second])]], axis=0)
    found = {
        "first": np.concatenate([rows[firsts[members[equal]]], near[0]]),
        "second": np.concatenate([rows[equal], near[1]]),
        "distance_bits": np.concatenate([np.zeros(len(equal), np.int64), bits]),
        "correlation": np.concatenate([np.ones(len(equal)), correlation]),
    }
    return pd.DataFrame(found).sort_values(["first", "second"], ignore_index=True)


def duplicates_across_classes(table: PictureTable, groups: np.ndarray) -> pd.DataFrame:
    """Lists the groups of near-duplicates that stand in several classes: conflicting labels.

    Args:
        table: Pictures.
        groups: `(n,)` from `duplicate_groups`.

    Returns:
        One row a group: `group`, `pictures` (count), `emotions`, `splits` and `names`, the last
        three with "|" between the pictures' values, in the order of the table.
    """
    return _groups_across(table, groups, "emotion")


def duplicates_across_splits(table: PictureTable, groups: np.ndarray) -> pd.DataFrame:
    """As `duplicates_across_classes`, for groups that stand in several splits: leaks."""
    return _groups_across(table, groups, "split")


def _groups_across(table: PictureTable, groups: np.ndarray, column: str) -> pd.DataFrame:
    pictures = table.table[["name", "emotion", "split"]].assign(group=groups)
    different = pictures.groupby("group")[column].transform("nunique") > 1
    joined = (
        pictures[different]
        .groupby("group")
        .agg(
            pictures=("name", "size"),
            emotions=("emotion", "|".join),
            splits=("split", "|".join),
            names=("name", "|".join),
        )
    )
    return joined.reset_index()


def _miniatures(table: PictureTable) -> tuple[np.ndarray, np.ndarray]:
    """Gives the rows that can be read and their grey miniatures, `(n, 32, 32)` uint8."""
    from tqdm import tqdm

    pictures = table.pictures(MINIATURE_PX)

    def miniature(row: int) -> np.ndarray | None:
        try:
            return cv2.cvtColor(pictures[row : row + 1][0], cv2.COLOR_RGB2GRAY)
        except (OSError, ValueError) as error:
            logger.debug("not compared: %s", error)
            return None

    with ThreadPoolExecutor() as pool:
        found = pool.map(miniature, range(len(table)), chunksize=64)
        all_found = list(tqdm(found, "miniatures", len(table), **PROGRESS))
    rows = np.array([row for row, each in enumerate(all_found) if each is not None], np.int64)
    if len(rows) < len(table):
        logger.warning("%d pictures cannot be read and were not compared", len(table) - len(rows))
    read = [each for each in all_found if each is not None]
    return rows, np.array(read, np.uint8).reshape(-1, MINIATURE_PX, MINIATURE_PX)


def _standardised(flat: np.ndarray) -> np.ndarray:
    """Gives rows of mean 0 and length 1, float32; a blank picture becomes the same unit row."""
    centred = flat.astype(np.float32)
    centred -= centred.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.eye(1, centred.shape[1], dtype=np.float32)
    return np.where(length > 1e-3, centred / np.maximum(length, 1e-3), unit)


def _hashes(standard: np.ndarray) -> np.ndarray:
    """Gives the perceptual hashes, `(n,)` uint64; the bit of the mean is always 0."""
    identity = np.eye(MINIATURE_PX, dtype=np.float32)
    cosines = cv2.dct(identity, flags=cv2.DCT_ROWS).T[:HASH_FREQUENCIES]
    squares = standard.reshape(-1, MINIATURE_PX, MINIATURE_PX)
    spectrum = (cosines @ squares @ cosines.T).reshape(len(standard), HASH_FREQUENCIES**2)
    bits = spectrum > np.median(spectrum[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def _near_pairs(
    standard: np.ndarray, max_distance_bits: int, min_correlation: float
) -> tuple[np.ndarray, ...]:
    """Gives first, second, distance and correlation of all near pairs, block by block."""
    hashes = _hashes(standard)
    step = max(_CELLS_AT_ONCE // max(len(hashes), 1), 1)
    found = [(np.empty(0, np.int64),) * 3 + (np.empty(0, np.float32),)]
    for start in range(0, len(hashes), step):
        distance = np.bitwise_count(hashes[start : start + step, None] ^ hashes[None, start:])
        first, second = np.nonzero(distance <= max_distance_bits)
        first, second = first[first < second], second[first < second]
        bits = distance[first, second].astype(np.int64)
        correlation = _correlations(standard, first + start, second + start)
        kept = correlation >= min_correlation
        found.append((first[kept] + start, second[kept] + start, bits[kept], correlation[kept]))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def _correlations(standard: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    found = np.empty(len(first), np.float32)
    step = _CELLS_AT_ONCE // standard.shape[1]
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        found[part] = np.einsum("ij,ij->i", standard[first[part]], standard[second[part]])
    return found
