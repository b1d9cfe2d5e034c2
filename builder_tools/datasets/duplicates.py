"""Near-duplicates: copies of one photograph, scaled, recompressed, shifted or cropped slightly.

Each image becomes a 48x48 grey miniature. Candidates are pairs whose 64-bit perceptual hashes
(signs of the 8x8 lowest DCT frequencies around their median; Zauner, 2010, "Implementation and
Benchmarking of Perceptual Image Hash Functions") differ in few bits and whose miniatures correlate;
they are confirmed part by part (`copies.worst_difference`), because two expressions of one person
in front of a fixed camera have similar hashes and correlate highly.

The thresholds were chosen on FER+ (35,710 faces) and JAFFE (213 portraits). In FER+ a hash distance
of 12 alone gives 87,000 pairs, nearly all wrong; of forty random pairs in each band of correlation,
checked by eye, none in 0.94...0.96 were wrong, one in 0.92...0.94, and six in 0.90...0.92. But 958
pairs of JAFFE correlate above 0.92, and none of them is a copy: the worst part tells them apart.
Copies with a mark written across the face, and mirrored ones, are not found.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd

from builder_tools.csv_files import any_name_in_tables
from builder_tools.datasets.copies import COMPARED_PX, MAX_DIFFERENCE, worst_difference
from builder_tools.datasets.table import PROGRESS, ImageTable

MINIATURE_PX = COMPARED_PX
HASH_FREQUENCIES = 8
MAX_DISTANCE_BITS = 12
MIN_CORRELATION = 0.92

_CELLS_AT_ONCE = 1 << 23

logger = logging.getLogger(__name__)


def duplicate_groups(
    table: ImageTable,
    *,
    max_distance_bits: int = MAX_DISTANCE_BITS,
    min_correlation: float = MIN_CORRELATION,
    max_difference: float = MAX_DIFFERENCE,
) -> np.ndarray:
    """Number the groups of near-duplicates.

    Args:
        table: Images; those that cannot be read form groups of their own (a warning says how
            many).
        max_distance_bits: Pairs whose hashes differ in more bits are not considered, 0...63.
        min_correlation: Pairs whose miniatures correlate less are not considered, in [-1, 1].
        max_difference: Pairs with a part that differs more are not duplicates; relative to the
            image's contrast (`copies.worst_difference`).

    Returns:
        `(n,)` int64 group numbers from 0, in order of first appearance; equal for images that
        are near-duplicates, directly or via others.
    """
    pairs = duplicate_pairs(
        table,
        max_distance_bits=max_distance_bits,
        min_correlation=min_correlation,
        max_difference=max_difference,
    )
    return groups_of_pairs(pairs, len(table))


def groups_of_pairs(pairs: pd.DataFrame, count: int) -> np.ndarray:
    """Number the groups linked by pairs.

    Args:
        pairs: Only its columns `first` and `second` are used.
        count: Number of images.

    Returns:
        `(count,)` int64 group numbers from 0, in order of first appearance.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = (np.ones(len(pairs), bool), (pairs["first"], pairs["second"]))
    components = connected_components(coo_array(links, shape=(count, count)))[1]
    firsts, members = np.unique(components, return_index=True, return_inverse=True)[1:]
    return np.argsort(np.argsort(firsts))[members]


def duplicate_pairs(
    table: ImageTable,
    *,
    max_distance_bits: int = MAX_DISTANCE_BITS,
    min_correlation: float = MIN_CORRELATION,
    max_difference: float = MAX_DIFFERENCE,
) -> pd.DataFrame:
    """Find pairs of near-duplicates.

    Args:
        table: See `duplicate_groups`, also for the other arguments.

    Returns:
        Columns `first`, `second` (rows of the table, first < second), `distance_bits`,
        `correlation` and `difference` (of the worst part). An image whose miniature equals an
        earlier one's is paired only with the first such image, so a thousand equal images give
        999 pairs.
    """
    from tqdm import tqdm

    rows, miniatures = _miniatures(table)
    members = pd.factorize(np.array([each.tobytes() for each in miniatures], object))[0]
    firsts = np.unique(members, return_index=True)[1]
    equal = np.flatnonzero(firsts[members] != np.arange(len(rows)))
    standard = _standardised(miniatures[firsts].reshape(-1, MINIATURE_PX**2))
    first, second, bits, correlation = _near_pairs(standard, max_distance_bits, min_correlation)
    pairs = tqdm(zip(firsts[first], firsts[second], strict=True), "alike", len(first), **PROGRESS)
    difference = np.array([worst_difference(miniatures[i], miniatures[j]) for i, j in pairs], float)
    copies = difference <= max_difference
    first, second, bits, correlation, difference = (
        column[copies] for column in (first, second, bits, correlation, difference)
    )
    near = np.sort(rows[firsts[np.stack([first, second])]], axis=0)
    found = {
        "first": np.concatenate([rows[firsts[members[equal]]], near[0]]),
        "second": np.concatenate([rows[equal], near[1]]),
        "distance_bits": np.concatenate([np.zeros(len(equal), np.int64), bits]),
        "correlation": np.concatenate([np.ones(len(equal)), correlation]),
        "difference": np.concatenate([np.zeros(len(equal)), difference]),
    }
    return pd.DataFrame(found).sort_values(["first", "second"], ignore_index=True)


@any_name_in_tables()
def duplicates_across_classes(table: ImageTable, groups: np.ndarray) -> pd.DataFrame:
    """List the groups of near-duplicates that span several classes: conflicting labels.

    Args:
        table: Images.
        groups: `(n,)` from `duplicate_groups`.

    Returns:
        One row per group: `group`, `images` (count), `emotions`, `splits` and `names`, the last
        three with the images' values separated by "|", in table order.
    """
    return _groups_across(table, groups, "emotion")


@any_name_in_tables()
def duplicates_across_splits(table: ImageTable, groups: np.ndarray) -> pd.DataFrame:
    """List groups like `duplicates_across_classes`, but those that span several splits: leaks."""
    return _groups_across(table, groups, "split")


def _groups_across(table: ImageTable, groups: np.ndarray, column: str) -> pd.DataFrame:
    images = table.table[["name", "emotion", "split"]].assign(group=groups)
    different = images.groupby("group")[column].transform("nunique") > 1
    joined = (
        images[different]
        .groupby("group")
        .agg(
            images=("name", "size"),
            emotions=("emotion", "|".join),
            splits=("split", "|".join),
            names=("name", "|".join),
        )
    )
    return joined.reset_index()


def _miniatures(table: ImageTable) -> tuple[np.ndarray, np.ndarray]:
    """Return the readable rows and their grey miniatures, `(n, 48, 48)` uint8."""
    from tqdm import tqdm

    images = table.resized(MINIATURE_PX)

    def miniature(row: int) -> np.ndarray | None:
        try:
            return cv2.cvtColor(images[row : row + 1][0], cv2.COLOR_RGB2GRAY)
        except (OSError, ValueError) as error:
            logger.debug("not compared: %s", error)
            return None

    with ThreadPoolExecutor() as pool:
        found = pool.map(miniature, range(len(table)), chunksize=64)
        all_found = list(tqdm(found, "miniatures", len(table), **PROGRESS))
    rows = np.array([row for row, each in enumerate(all_found) if each is not None], np.int64)
    if len(rows) < len(table):
        logger.warning("%d images cannot be read and were not compared", len(table) - len(rows))
    read = [each for each in all_found if each is not None]
    return rows, np.array(read, np.uint8).reshape(-1, MINIATURE_PX, MINIATURE_PX)


def _standardised(flat: np.ndarray) -> np.ndarray:
    """Return rows of mean 0 and length 1, float32; blank images all become the same unit row."""
    centred = flat.astype(np.float32)
    centred -= centred.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.eye(1, centred.shape[1], dtype=np.float32)
    return np.where(length > 1e-3, centred / np.maximum(length, 1e-3), unit)


def _hashes(standard: np.ndarray) -> np.ndarray:
    """Return the perceptual hashes, `(n,)` uint64; the bit of the mean is always 0."""
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
    """Return first, second, distance and correlation of all near pairs, block by block."""
    hashes = _hashes(standard)
    step = max(_CELLS_AT_ONCE // max(len(hashes), 1), 1)
    found = [(np.empty(0, np.int64),) * 3 + (np.empty(0, np.float32),)]
    for start in range(0, len(hashes), step):
        distance = np.bitwise_count(hashes[start : start + step, None] ^ hashes[None, start:])
        # Flattened, as NumPy then finds the few near ones among many several times faster.
        first, second = divmod(np.flatnonzero(distance <= max_distance_bits), distance.shape[1])
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
