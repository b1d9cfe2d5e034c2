"""The expression network of face-api: a teacher trained elsewhere.

323,687 parameters, seven emotions. Its training data is described only as public data sets and
images from the web, so it may have seen any data set used to evaluate its students.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from builder_tools.networks.inputs import face_input
from builder_tools.networks.tensorflow_js import read_tensorflow_js

MANIFEST_FILE = "face_expression_model-weights_manifest.json"
DATA_FILE = "face_expression_model.bin"
SOURCE = f"the package @vladmandic/face-api 1.7.15 ({DATA_FILE})"

EMOTIONS = ("neutral", "happy", "sad", "anger", "fear", "disgust", "surprise")
"""Our names for its classes, in the order of its outputs."""

INSIDE_PX = 112
MEAN_RGB = (122.782, 117.001, 104.298)
WIDTHS = (32, 64, 128, 256)


def face_expression(input_size: int, manifest, data) -> keras.Model:
    """Build the network with its published weights.

    Faces are resized to 112 px as TensorFlow.js did when it was trained: bilinearly, without
    half-pixel centres (source = index * scale). With today's usual resizing, a tenth of its
    predictions change.

    Args:
        input_size: Side of the face in pixels.
        manifest: Path of the published manifest.
        data: Path of the published data.

    Returns:
        A frozen model from `(n, size, size, 3)` RGB 0...255 to `(n, 7)` probabilities in the
        order of `EMOTIONS`, float32.

    Raises:
        ValueError: If they are not the published files.
    """
    arrays = read_tensorflow_js(manifest, data)
    inputs = face_input(input_size)
    x = inputs
    if input_size != INSIDE_PX:
        x = _CornerBilinear(INSIDE_PX, dtype="float32", name="to_inside")(x)
    x = layers.Rescaling(1 / 255, [-mean / 255 for mean in MEAN_RGB], dtype="float32")(x)
    for block, width in enumerate(WIDTHS):
        x = _dense_block(x, width, block)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(len(EMOTIONS), activation="softmax", name="fc", dtype="float32")(x)
    model = keras.Model(inputs, x, name="face_expression")
    for layer in model.layers:
        names = [f"{layer.name.replace('_', '/')}/{name}" for name in _array_names(layer)]
        if not names:
            continue
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(
                f"Expected the arrays of face-api's expression network in {manifest}. Received: "
                f"none named {missing}."
            )
        values = [arrays[name] for name in names]
        layer.set_weights(values)
    model.trainable = False
    return model


def _array_names(layer) -> tuple[str, ...]:
    if isinstance(layer, layers.SeparableConv2D):
        return ("depthwise_filter", "pointwise_filter", "bias")
    if isinstance(layer, layers.Conv2D):
        return ("filters", "bias")
    return ("weights", "bias") if isinstance(layer, layers.Dense) else ()


def _dense_block(x, width: int, block: int):
    def convolution(x, number: int, stride: int = 1):
        name = f"dense{block}_conv{number}"
        kind = layers.Conv2D if block == number == 0 else layers.SeparableConv2D
        return kind(width, 3, strides=stride, padding="same", name=name)(x)

    first = layers.ReLU()(convolution(x, 0, 2))
    second = convolution(first, 1)
    third = convolution(layers.ReLU()(layers.Add()([first, second])), 2)
    fourth = convolution(layers.ReLU()(layers.Add()([first, second, third])), 3)
    return layers.ReLU()(layers.Add()([first, second, third, fourth]))


@keras.saving.register_keras_serializable("builder_tools")
class _CornerBilinear(layers.Layer):
    """Resize images `(n, S, S, c)` bilinearly with corners aligned at 0: source = index * scale.

    The last source pixel is repeated at the far edge.
    """

    def __init__(self, size: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.size = size

    def build(self, input_shape) -> None:
        self.matrix = interpolation_matrix(input_shape[1], self.size)
        super().build(input_shape)

    def call(self, images):
        matrix = ops.convert_to_tensor(self.matrix)
        rows = ops.einsum("ah,nhwc->nawc", matrix, images)
        return ops.einsum("bw,nawc->nabc", matrix, rows)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.size, self.size, input_shape[3])

    def get_config(self):
        return {**super().get_config(), "size": self.size}


def interpolation_matrix(source: int, target: int) -> np.ndarray:
    """Return the `(target, source)` interpolation weights; rows sum to 1."""
    places = np.arange(target) * (source / target)
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, source - 1)
    share = (places - low).astype(np.float32)
    matrix = np.zeros((target, source), np.float32)
    np.add.at(matrix, (np.arange(target), low), 1 - share)
    np.add.at(matrix, (np.arange(target), high), share)
    return matrix
