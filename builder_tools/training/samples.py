"""From a table of images to faces and targets for training."""

from __future__ import annotations

import numpy as np

from builder_tools.datasets.ferplus import vote_distribution
from builder_tools.datasets.sampling import stratified_sample
from builder_tools.datasets.table import ImageTable
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.training.run import Samples


def table_samples(table: ImageTable, split: str, *, size_px: int, soft: bool = True) -> Samples:
    """Return the faces and targets of one split.

    Args:
        table: Labelled images with splits.
        split: train, valid or test.
        size_px: Side in px of images decoded from files; images in memory keep theirs.
        soft: Whether targets are the shares of the votes, if people voted and the classes are the
            nine; otherwise they are 1 for the label.

    Returns:
        Images as one uint8 array if all are in memory, else `ResizedImages`; targets `(n, k)`
        float32 in the order of `table.emotions`.

    Raises:
        ValueError: If the split is unknown or has no images, or a label is none of the classes.
    """
    part = table.split(split)
    if not len(part):
        raise ValueError(f"Expected images in {split}. Received: a table with none there.")
    indices = part.table["index"].to_numpy(np.int64)
    in_memory = part.images is not None and (indices >= 0).all()
    images = part.images[indices] if in_memory else part.resized(size_px)
    votes = part.votes if soft and part.emotions == NINE_EMOTIONS else None
    if votes is not None:
        return Samples(images, vote_distribution(votes))
    labels, k = part.labels, len(part.emotions)
    wrong = (labels < 0) | (labels >= k)
    if wrong.any():
        raise ValueError(
            f"Expected labels 0...{k - 1} in {split}. Received: {int(wrong.sum())} others, the "
            f"first {labels[wrong.argmax()]}. Leave out the images labelled -1 first."
        )
    return Samples(images, np.eye(k, dtype=np.float32)[labels])


def thinned(table: ImageTable, split: str, count: int, *, seed: int = 0) -> ImageTable:
    """Return the table with `count` images of one split, drawn proportionally from all classes.

    Every class keeps its share (to within one image, by largest remainders) and at least one
    image. The other splits stay complete.

    Args:
        table: Labelled images with splits.
        split: The split to thin out.
        count: Number of images to keep in it; all are kept if there are no more.
        seed: Seed for choosing them.

    Raises:
        ValueError: If `count` is below the number of classes in the split.
    """
    rows = np.flatnonzero((table.table["split"] == split).to_numpy())
    if len(rows) <= count:
        return table
    kept = (table.table["split"] != split).to_numpy(copy=True)
    chosen = stratified_sample(table.labels[rows], count, np.random.default_rng(seed))
    kept[rows[chosen]] = True
    return table.rows(kept)
