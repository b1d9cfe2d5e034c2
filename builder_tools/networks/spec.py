"""A row of the registry: what is known about a network before it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import keras

PRETRAINED = "pretrained"
"""The value of `weights` that requests a network's published weights."""


@dataclass(frozen=True)
class NetworkSpec:
    """A network the study can build.

    Args:
        backbone: Called as `backbone(input_size, weights)`: `input_size` in pixels or None for
            any; `weights` None for random ones or `PRETRAINED`. Returns a model named `backbone`
            from `(n, size, size, 3)` RGB 0...255 to features, with preprocessing built in.
        input_size: The size it is deployed at, in pixels.
        description: One line for help and tables.
        min_size: The smallest input it can be built for, in pixels.
        unfreeze: How many of the backbone's last layers are trained in the second phase of
            fine-tuning; None for all.
        pretrained: The source of published weights; None if it is trained from scratch.
        licence: Licence of the published weights, and of their training data if known.
        any_size: Whether it can be built for any size (`input_size` None).
        multiple_of: The input's side must be a multiple of this, in pixels.
        batch_norm: Whether it uses batch normalisation. Networks without it need lower learning
            rates.
        folded: Whether published weights come without batch normalisation statistics, which are
            then measured on training faces (`restore_batch_norm`).
        readers: Functions that read files in its publisher's layout, by suffix: called as
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
        """Return the smallest side, at least `least` pixels, that it can be built for."""
        least = max(least, self.min_size)
        return -(-least // self.multiple_of) * self.multiple_of
