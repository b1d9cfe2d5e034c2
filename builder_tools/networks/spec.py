"""A row of the registry: what is known of a network before it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import keras

PRETRAINED = "pretrained"
"""The value of `weights` that asks for a network's published weights."""


@dataclass(frozen=True)
class NetworkSpec:
    """A network the study can build.

    Args:
        backbone: Called as `backbone(input_size, weights)`: `input_size` in pixels or None for
            any; `weights` None for random ones or `PRETRAINED`. Gives a model named `backbone`
            from `(n, size, size, 3)` RGB 0...255 to features, preprocessing inside.
        input_size: The size it is deployed at, pixels.
        description: One line for help and tables.
        min_size: The smallest input it can be built for, pixels.
        unfreeze: How many of the backbone's last layers learn in the second phase of
            fine-tuning; None for all.
        pretrained: Where published weights come from; None if it is trained from scratch.
        licence: Of the published weights, and of what they were trained on, where it is known.
        any_size: Whether it can be built for any size (`input_size` None).
        multiple_of: The input's side must be a multiple of this, pixels.
        batch_norm: Whether it normalises by batch. Networks that do not want lower rates.
        folded: Whether published weights come without the statistics of batch normalisation,
            which are then measured on training faces (`restore_batch_norm`).
        readers: How files in its publisher's layout are read, by suffix: called as
            `reader(backbone, path)`. Keras' own `.keras` and `.h5` need none.
    """

    backbone: Callable[[int | None, str | None], keras.Model]
    input_size: int
    description: str
    min_size: int = 32
    unfreeze: int | None = None
    pretrained: str | None = None
    licence: str = ""
    any_size: bool = False
    multiple_of: int = 1
    batch_norm: bool = True
    folded: bool = False
    readers: Mapping[str, Callable[[keras.Model, Path], None]] = field(default_factory=dict)

    def size_from(self, least: int) -> int:
        """Return the smallest side it can be built for that is at least so large, pixels."""
        least = max(least, self.min_size)
        return -(-least // self.multiple_of) * self.multiple_of
