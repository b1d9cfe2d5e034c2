"""The registry of labellers, by name, for choice and comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from builder_tools.cards import DEFAULT_MODEL

if TYPE_CHECKING:
    from builder_tools.datasets.table import ImageTable
    from builder_tools.valence_arousal.anchors import AnchorLabeller
    from builder_tools.valence_arousal.labeller import ValenceArousalLabeller

    Labeller = AnchorLabeller | ValenceArousalLabeller


@dataclass(frozen=True)
class LabellerSpec:
    """A labeller of the registry.

    Args:
        make: Makes the labeller from options; it has `fit`, `transform` and `fit_transform`.
        description: What the labels are based on.
        defaults: Default options of `make`.
        needs_votes: Whether its labels are shares of votes.
    """

    make: Callable[..., Labeller]
    description: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    needs_votes: bool = False


def _by_anchors(**options: Any) -> AnchorLabeller:
    from builder_tools.valence_arousal.anchors import AnchorLabeller

    return AnchorLabeller(**options)


def _by_manifold(**options: Any) -> ValenceArousalLabeller:
    from builder_tools.valence_arousal.labeller import ValenceArousalLabeller

    labeller = ValenceArousalLabeller(**options)
    labeller.check_options()
    return labeller


LABELLERS: dict[str, LabellerSpec] = {
    "anchor": LabellerSpec(_by_anchors, "the anchor of the class"),
    "votes": LabellerSpec(
        _by_anchors, "anchors weighted by ten votes (the reference)", needs_votes=True
    ),
    "pca": LabellerSpec(_by_manifold, "PCA of pixels", {"manifold": "pca"}),
    "umap": LabellerSpec(_by_manifold, "UMAP of pixels", {"manifold": "umap", "neighbours": 15}),
    "isomap": LabellerSpec(_by_manifold, "landmark ISOMAP of pixels"),
    "isomap-network": LabellerSpec(
        _by_manifold,
        "landmark ISOMAP of a network's features",
        {"network": DEFAULT_MODEL},
    ),
}


def make_labeller(name: str, **options: Any) -> Labeller:
    """Return a labeller of the registry, not yet fitted.

    Args:
        name: Name in `LABELLERS`.
        **options: Options of the labeller, which override the registry's defaults.

    Raises:
        ValueError: If there is no such labeller, or it has no such option or value.
        FileNotFoundError: If the network to be used does not exist.
    """
    if name not in LABELLERS:
        raise ValueError(f"Expected one of {list(LABELLERS)}. Received: {name!r}.")
    spec = LABELLERS[name]
    known = set(spec.make().get_params(deep=False))
    if not set(options) <= known:
        raise ValueError(
            f"Expected options of the labeller {name!r}: {sorted(known)}. "
            f"Received: {sorted(set(options) - known)}."
        )
    return spec.make(**{**spec.defaults, **options})


def labels_for(name: str, table: ImageTable) -> np.ndarray:
    """Return the labels that a labeller needs: `(n,)` classes, or `(n, 9)` shares of votes.

    Raises:
        ValueError: If it needs votes and the table has none.
    """
    if not LABELLERS[name].needs_votes:
        return table.labels
    if table.votes is None:
        raise ValueError(f"Expected images with FER+ votes for {name!r}. Received: none.")
    from builder_tools.valence_arousal.anchors import vote_shares

    return vote_shares(table.votes)


def faces_of(table: ImageTable):
    """Return a table's faces, decoded in chunks at the size that the labellers use."""
    from builder_tools.valence_arousal.vectors import SIDE_PX

    return table.resized(SIDE_PX)
