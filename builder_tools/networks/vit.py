"""Vision transformers (Dosovitskiy et al., 2021, arXiv:2010.11929), plain and pre-normalised.

Implemented here because keras-hub's `ViTBackbone` has no published weights for patches of 8 px,
takes 238 MB of disk space (its text tokenisers) and would be needed again wherever a trained
network is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from builder_tools.networks.inputs import (
    backbone_model,
    centred,
    face_input,
    standardised_grey,
)
from builder_tools.networks.spec import PRETRAINED
from builder_tools.networks.weights import load_fetched, opened_npz, set_published

ADDRESS = (
    "https://storage.googleapis.com/vit_models/augreg/"
    "B_8-i21k-300ep-lr_0.001-aug_medium2-wd_0.1-do_0.0-sd_0.0.npz"
)
"""Weights trained on ImageNet-21k (Steiner et al., 2021, arXiv:2106.10270), at 224 px."""


@dataclass(frozen=True)
class TransformerShape:
    """Side of a patch in pixels, width of a token, and numbers of blocks and heads."""

    patch: int
    width: int
    depth: int
    heads: int


BASE_8 = TransformerShape(patch=8, width=768, depth=12, heads=12)
SMALL_FACE = TransformerShape(patch=6, width=192, depth=8, heads=3)


def vit_b8(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build ViT-B/8: twelve blocks over patches of 8 px; the class token is the feature vector.

    Dosovitskiy et al., 2021, arXiv:2010.11929. Input -1...1, its side a multiple of 8; the
    published position embeddings are interpolated to other sizes. 85.8 M parameters at 224 px as
    published.
    """
    inputs = face_input(input_size)
    tokens = _embedded(centred(inputs), BASE_8)
    tokens = PlaceEmbedding(name="places")(ClassToken(name="class_token")(tokens))
    tokens = _encoded(tokens, BASE_8)
    backbone = backbone_model(inputs, tokens[:, 0])
    if weights == PRETRAINED:
        load_fetched(backbone, ADDRESS, load_published)
    return backbone


def vit_small(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build a small ViT for small faces: eight blocks, width 192, patches of 6 px (8x8 at 48 px).

    Width and heads of DeiT-Ti (Touvron et al., 2021, arXiv:2012.12877); no class token: the
    head pools the map of patches, which learns faster from scratch (Beyer et al., 2022,
    arXiv:2205.01580). Grey input, its side a multiple of 6. 3.6 M parameters with nine classes.
    """
    inputs = face_input(input_size)
    tokens = _embedded(standardised_grey(inputs), SMALL_FACE)
    tokens = _encoded(PlaceEmbedding(name="places")(tokens), SMALL_FACE, dropout=0.1)
    side = input_size // SMALL_FACE.patch
    return backbone_model(inputs, layers.Reshape((side, side, SMALL_FACE.width))(tokens))


def load_published(backbone: keras.Model, path: str | Path) -> None:
    """Fill a ViT-B/8 from an `.npz` file in the layout of Google's `vision_transformer`.

    Raises:
        ValueError: If an array is missing or has the wrong shape.
    """
    with opened_npz(path) as file:
        arrays = dict(file)
    places = "Transformer/posembed_input/pos_embedding"
    if places in arrays:
        length = backbone.get_layer("places").table.shape[1]
        arrays[places] = resized_places(arrays[places], length)
    names = [
        ("embedding", ["embedding/kernel", "embedding/bias"]),
        ("class_token", ["cls"]),
        ("places", [places]),
    ]
    for number in range(BASE_8.depth):
        file, layer = f"Transformer/encoderblock_{number}", f"block_{number}"
        attention = f"{file}/MultiHeadDotProductAttention_1"
        parts = [f"{attention}/{part}" for part in ("query", "key", "value", "out")]
        names += [
            (f"{layer}_norm_1", _scale_and_bias(f"{file}/LayerNorm_0")),
            (f"{layer}_attention", [f"{part}/{a}" for part in parts for a in KERNEL_BIAS]),
            (f"{layer}_norm_2", _scale_and_bias(f"{file}/LayerNorm_2")),
            (f"{layer}_dense_1", [f"{file}/MlpBlock_3/Dense_0/{a}" for a in KERNEL_BIAS]),
            (f"{layer}_dense_2", [f"{file}/MlpBlock_3/Dense_1/{a}" for a in KERNEL_BIAS]),
        ]
    names.append(("norm", _scale_and_bias("Transformer/encoder_norm")))
    set_published(backbone, names, arrays)


def resized_places(places: np.ndarray, length: int) -> np.ndarray:
    """Interpolate learnt position embeddings of a square of patches to another number of patches.

    Args:
        places: `(1, 1 + side * side, width)`, the class token's first.
        length: Wanted number of tokens, a square number plus one.

    Returns:
        `(1, length, width)`.
    """
    if places.shape[1] == length:
        return places
    width = places.shape[2]
    old, new = (round((count - 1) ** 0.5) for count in (places.shape[1], length))
    grid = places[:, 1:].reshape(1, old, old, width)
    grid = ops.convert_to_numpy(ops.image.resize(grid, (new, new), antialias=new < old))
    return np.concatenate([places[:, :1], grid.reshape(1, new * new, width)], axis=1)


@keras.saving.register_keras_serializable("builder_tools")
def tanh_gelu(x):
    """Apply the approximation of GELU used by the published networks, which converts to ONNX."""
    return ops.gelu(x, approximate=True)


@keras.saving.register_keras_serializable("builder_tools")
class ClassToken(layers.Layer):
    """Prepend a learnt token to the others: `(n, t, width)` to `(n, 1 + t, width)`."""

    def build(self, input_shape):
        self.token = self.add_weight(
            shape=(1, 1, input_shape[-1]), initializer="zeros", name="token"
        )

    def call(self, tokens):
        shape = (ops.shape(tokens)[0], 1, tokens.shape[-1])
        first = ops.broadcast_to(ops.cast(self.token, tokens.dtype), shape)
        return ops.concatenate([first, tokens], axis=1)

    def compute_output_shape(self, input_shape):
        batch, count, width = input_shape
        return batch, count + 1, width


@keras.saving.register_keras_serializable("builder_tools")
class PlaceEmbedding(layers.Layer):
    """Add a learnt position embedding to each token."""

    def build(self, input_shape):
        self.table = self.add_weight(
            shape=(1, *input_shape[1:]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="table",
        )

    def call(self, tokens):
        return tokens + ops.cast(self.table, tokens.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


def _embedded(x: keras.KerasTensor, shape: TransformerShape) -> keras.KerasTensor:
    """Return one token per patch, `(n, patches, width)`."""
    x = layers.Conv2D(shape.width, shape.patch, strides=shape.patch, name="embedding")(x)
    return layers.Reshape((-1, shape.width))(x)


def _encoded(tokens, shape: TransformerShape, *, dropout: float = 0.0):
    for block in range(shape.depth):
        name = f"block_{block}"
        x = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm_1")(tokens)
        x = layers.MultiHeadAttention(
            shape.heads, shape.width // shape.heads, dropout=dropout, name=f"{name}_attention"
        )(x, x)
        tokens = layers.Add(name=f"{name}_add_1")([tokens, x])
        x = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm_2")(tokens)
        x = layers.Dense(4 * shape.width, activation=tanh_gelu, name=f"{name}_dense_1")(x)
        x = layers.Dense(shape.width, name=f"{name}_dense_2")(x)
        x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
        tokens = layers.Add(name=f"{name}_add_2")([tokens, x])
    return layers.LayerNormalization(epsilon=1e-6, name="norm")(tokens)


KERNEL_BIAS = ("kernel", "bias")


def _scale_and_bias(place: str) -> list[str]:
    return [f"{place}/scale", f"{place}/bias"]
