"""The identity of data: a hash of images, labels and splits; and images that appear twice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from builder_tools.datasets.table import ImageTable


def data_sha256(data: ImageTable) -> str:
    """Return a hash of images, labels (or votes, if any) and splits, which identifies the data."""
    if data.images is not None:
        content = np.ascontiguousarray(data.images[data.table["index"].to_numpy()]).data
    else:
        content = "".join(_content(data, row) for row in range(len(data))).encode()
    digest = hashlib.sha256(content)
    digest.update((data.labels if data.votes is None else data.votes).tobytes())
    digest.update("\n".join(data.table["split"]).encode())
    return digest.hexdigest()


def names_also_in_train(data: ImageTable) -> frozenset[str]:
    """Return the valid and test images that are also, byte for byte, in train."""
    contents = np.array([_content(data, row) for row in range(len(data))], object)
    in_train = (data.table["split"] == "train").to_numpy()
    trained = set(contents[in_train])
    names = data.table["name"].to_numpy()[~in_train]
    return frozenset(
        name for name, own in zip(names, contents[~in_train], strict=True) if own in trained
    )


def _content(data: ImageTable, row: int) -> str:
    number = data.table["index"].iat[row]
    if number >= 0:
        return hashlib.sha256(data.images[number].tobytes()).hexdigest()
    return hashlib.sha256(Path(data.table["path"].iat[row]).read_bytes()).hexdigest()
