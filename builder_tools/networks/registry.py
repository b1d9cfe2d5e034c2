"""Every network of the study, by name."""

from __future__ import annotations

from pathlib import Path

import keras

from builder_tools.networks.architectures import baseline_cnn, compact_residual
from builder_tools.networks.head import Head, with_head
from builder_tools.networks.spec import PRETRAINED, NetworkSpec
from builder_tools.networks.weights import load_backbone_weights

NETWORKS: dict[str, NetworkSpec] = {
    "compact": NetworkSpec(
        compact_residual,
        48,
        "residual CNN with squeeze-and-excitation, 1.6 M parameters, 0.26 GFLOP, from scratch",
        min_size=16,
        any_size=True,
    ),
    "baseline_cnn": NetworkSpec(
        baseline_cnn, 48, "four convolutions, from scratch", min_size=16, any_size=True
    ),
}


def build_network(
    name: str,
    num_classes: int,
    input_size: int | None = None,
    *,
    head: Head = Head(),  # noqa: B008 - frozen
    weights: str | Path | None = None,
) -> keras.Model:
    """Builds a network of the registry.

    Args:
        name: In `NETWORKS`.
        num_classes: Length of the output.
        input_size: Side of the face, pixels; None for any size, or for the network's own where
            it cannot take any.
        head: What follows the backbone.
        weights: What the backbone starts from: None for random weights, `pretrained` for the
            published ones, or a file (see `load_backbone_weights`).

    Returns:
        A model from `(n, size, size, 3)` RGB 0...255 to `(n, num_classes)` float32.

    Raises:
        ValueError: If name, size or weights do not fit.
        ConnectionError: If published weights can neither be found here nor fetched.
    """
    spec = _known(name)
    if input_size is None and not spec.any_size:
        input_size = spec.input_size
    _refuse_small(name, spec, input_size)
    _refuse_unpublished(name, spec, weights)
    published = weights == PRETRAINED
    backbone = spec.backbone(input_size, PRETRAINED if published else None)
    if weights is not None and not published:
        load_backbone_weights(backbone, weights)
    return with_head(backbone, head, num_classes, name=name)


def _known(name: str) -> NetworkSpec:
    if name not in NETWORKS:
        raise ValueError(f"Expected one of {list(NETWORKS)}. Received: network={name!r}.")
    return NETWORKS[name]


def _refuse_small(name: str, spec: NetworkSpec, input_size: int | None) -> None:
    if input_size is not None and input_size < spec.min_size:
        raise ValueError(
            f"Expected input_size of at least {spec.min_size} px for {name!r}: its feature map "
            f"would vanish. Received: {input_size}. Enlarge the faces, or take another network."
        )


def _refuse_unpublished(name: str, spec: NetworkSpec, weights: str | Path | None) -> None:
    if weights == PRETRAINED and spec.pretrained is None:
        names = [name for name, other in NETWORKS.items() if other.pretrained]
        raise ValueError(
            f"Expected weights None or a file for {name!r}: none are published. "
            f"Received: weights={weights!r}. Published ones exist for {names}."
        )
