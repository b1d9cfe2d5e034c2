"""Networks of the study, by name: a spec says how to build one, nothing is built on import.

Every network eats `(n, size, size, 3)` RGB 0...255 and gives `(n, num_classes)` probabilities;
its preprocessing is inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras

from builder_tools.networks.architectures import compact_residual


@dataclass(frozen=True)
class NetworkSpec:
    """A network the study can build.

    Args:
        build: Called as `build(num_classes, input_size)`; `input_size` in pixels, or None for
            any size (training at several sizes).
        input_size: The size it is deployed at, pixels.
        description: One line for help and tables.
    """

    build: Callable[[int, int | None], keras.Model]
    input_size: int
    description: str


NETWORKS: dict[str, NetworkSpec] = {
    "compact": NetworkSpec(
        compact_residual,
        48,
        "residual CNN with squeeze-and-excitation, 1.6 M parameters, 0.26 GFLOP, from scratch",
    ),
}


def build_network(name: str, num_classes: int, input_size: int | None = None) -> keras.Model:
    """Builds a network of the registry.

    Raises:
        ValueError: If the name is not in `NETWORKS`.
    """
    if name not in NETWORKS:
        raise ValueError(f"Expected one of {list(NETWORKS)}. Received: network={name!r}.")
    return NETWORKS[name].build(num_classes, input_size)
