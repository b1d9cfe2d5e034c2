"""Networks of the study, by name: a spec says how to build each one; nothing is built on import.

Every network takes `(n, size, size, 3)` RGB 0...255 and returns `(n, num_classes)` probabilities;
preprocessing is built in. It consists of a backbone, which is a single layer named `backbone`, and
a head of the same form for all networks.
"""

from builder_tools.networks.head import POOLINGS, Head, with_head
from builder_tools.networks.normalisation import (
    batch_norm_layers,
    fused_batch_norm,
    restore_batch_norm,
    set_batch_norm_momentum,
)
from builder_tools.networks.registry import NETWORKS, build_network, check_network
from builder_tools.networks.spec import PRETRAINED, NetworkSpec
from builder_tools.networks.trainable import set_trainable
from builder_tools.networks.trained_size import trained_size_px
from builder_tools.networks.weights import load_backbone_weights, load_head_weights, read_network

__all__ = [
    "NETWORKS",
    "POOLINGS",
    "PRETRAINED",
    "Head",
    "NetworkSpec",
    "batch_norm_layers",
    "build_network",
    "check_network",
    "fused_batch_norm",
    "load_backbone_weights",
    "load_head_weights",
    "read_network",
    "restore_batch_norm",
    "set_batch_norm_momentum",
    "set_trainable",
    "trained_size_px",
    "with_head",
]
