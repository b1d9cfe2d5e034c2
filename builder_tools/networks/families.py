"""Published image classifiers from `keras.applications`, without their tops.

Faces are given as RGB 0...255; each family's own preprocessing comes first inside the network.
Weights are random by default; `PRETRAINED` uses those trained on ImageNet (1,000 classes), which
Keras fetches once. Networks that halve the image five times leave 2x2 features of a 48 px face and
1x1 of a 32 px one, so faces are better enlarged for them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import keras
from keras import layers, ops

from builder_tools.networks.inputs import backbone_model, bgr_around, centred, face_input
from builder_tools.networks.spec import PRETRAINED
from builder_tools.networks.weights import load_fetched

IMAGENET = "ImageNet-1k, fetched by keras.applications"
"""The source of the weights of every family here."""

MOBILENET_V2_ADDRESS = (
    "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
    "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
)
INCEPTION_MIN_PX = 75
XCEPTION_MIN_PX = 71
CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)
MEAN_RGB = (0.485, 0.456, 0.406)
STDDEV_RGB = (0.229, 0.224, 0.225)


def vgg16(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build VGG16 (Simonyan and Zisserman, 2015, arXiv:1409.1556).

    Sixteen plain layers; input: BGR minus the mean of ImageNet. 14.7 M parameters with nine
    classes.
    """
    prepare = partial(bgr_around, mean_rgb=CAFFE_MEAN_RGB)
    return _application(keras.applications.VGG16, input_size, weights, prepare=prepare)


def resnet50(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build ResNet-50 (He et al., 2016, arXiv:1512.03385).

    Input: BGR minus the mean of ImageNet. 23.6 M parameters with nine classes.
    """
    prepare = partial(bgr_around, mean_rgb=CAFFE_MEAN_RGB)
    return _application(keras.applications.ResNet50, input_size, weights, prepare=prepare)


def mobilenet_v2(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381).

    Inverted residuals; input -1...1. 2.3 M parameters with nine classes.
    """
    backbone = _application(keras.applications.MobileNetV2, input_size, None, prepare=centred)
    if weights == PRETRAINED:
        load_fetched(backbone, MOBILENET_V2_ADDRESS)  # the only file that Keras does not verify
    return backbone


def mobilenet_v3(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build MobileNetV3-Large (Howard et al., 2019, arXiv:1905.02244).

    Found by architecture search, with squeeze-and-excitation; rescales internally. 3.0 M
    parameters with nine classes.
    """
    return _application(keras.applications.MobileNetV3Large, input_size, weights)


def mobilenet_v3_small(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build MobileNetV3-Small (Howard et al., 2019, arXiv:1905.02244).

    Rescales internally. 0.9 M parameters with nine classes.
    """
    return _application(keras.applications.MobileNetV3Small, input_size, weights)


def inception_v3(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build Inception v3 (Szegedy et al., 2016, arXiv:1512.00567).

    Input -1...1; faces under 75 px, its minimum, are enlarged to that internally. 21.8 M
    parameters with nine classes.
    """
    return _application(
        keras.applications.InceptionV3,
        input_size,
        weights,
        prepare=centred,
        enlarge_to=INCEPTION_MIN_PX,
    )


def inception_resnet_v2(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build Inception-ResNet v2 (Szegedy et al., 2017, arXiv:1602.07261).

    Input -1...1; faces under 75 px, its minimum, are enlarged to that internally. 54.4 M
    parameters with nine classes.
    """
    return _application(
        keras.applications.InceptionResNetV2,
        input_size,
        weights,
        prepare=centred,
        enlarge_to=INCEPTION_MIN_PX,
    )


def xception(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build Xception (Chollet, 2017, arXiv:1610.02357).

    Separable convolutions; input -1...1; faces under 71 px, its minimum, are enlarged to that
    internally. 20.9 M parameters with nine classes.
    """
    return _application(
        keras.applications.Xception,
        input_size,
        weights,
        prepare=centred,
        enlarge_to=XCEPTION_MIN_PX,
    )


def efficientnet_b0(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build EfficientNet-B0 (Tan and Le, 2019, arXiv:1905.11946).

    Normalises internally. 4.1 M parameters with nine classes.
    """
    return _efficientnet(keras.applications.EfficientNetB0, input_size, weights)


def efficientnet_b7(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build EfficientNet-B7 (Tan and Le, 2019, arXiv:1905.11946), the largest of its family.

    Normalises internally. 64.1 M parameters with nine classes.
    """
    return _efficientnet(keras.applications.EfficientNetB7, input_size, weights)


def efficientnet_v2_b0(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build EfficientNetV2-B0 (Tan and Le, 2021, arXiv:2104.00298).

    Input normalised by ImageNet's mean and standard deviation. 5.9 M parameters with nine classes.
    """
    # Without Keras' own first layers: their constants do not survive the conversion to ONNX.
    build = partial(keras.applications.EfficientNetV2B0, include_preprocessing=False)
    return _application(build, input_size, weights, prepare=_imagenet_normalised)


def efficientnet_v2_m(input_size: int | None, weights: str | None = None) -> keras.Model:
    """Build EfficientNetV2-M (Tan and Le, 2021, arXiv:2104.00298).

    Rescales internally. 53.2 M parameters with nine classes.
    """
    return _application(keras.applications.EfficientNetV2M, input_size, weights)


@keras.saving.register_keras_serializable("builder_tools")
class ImageNetNormalisation(layers.Normalization):
    """Normalise by `(x - mean) / stddev` of ImageNet's channels, for x in 0...1.

    Keras stores both as weights and reads them once, when they are loaded: a network whose weights
    are set afterwards would go on using the old ones. Here they are stored only so that published
    files fit, and are not read.
    """

    def call(self, inputs):
        mean, stddev = (ops.cast(v, inputs.dtype) for v in (MEAN_RGB, STDDEV_RGB))
        return (inputs - mean) / stddev


def _application(
    build: Callable[..., keras.Model],
    input_size: int | None,
    weights: str | None,
    *,
    prepare: Callable[[keras.KerasTensor], keras.KerasTensor] = lambda inputs: inputs,
    enlarge_to: int = 0,
) -> keras.Model:
    inputs = face_input(input_size)
    x = prepare(enlarged(inputs, enlarge_to))
    source = "imagenet" if weights == PRETRAINED else None
    model = build(include_top=False, weights=source, input_tensor=x)
    return backbone_model(inputs, model.output)


def _imagenet_normalised(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Return `(x / 255 - mean) / stddev`, channel by channel."""
    pairs = list(zip(MEAN_RGB, STDDEV_RGB, strict=True))
    scale = [1 / (255 * stddev) for _, stddev in pairs]
    offset = [-mean / stddev for mean, stddev in pairs]
    return layers.Rescaling(scale, offset=offset, dtype="float32")(inputs)


def enlarged(inputs: keras.KerasTensor, least: int) -> keras.KerasTensor:
    """Return images of at least `least` pixels per side; those of unknown size as they are."""
    size = inputs.shape[1]
    if size is None or size >= least:
        return inputs
    # Not layers.Resizing: called without `training`, as in an export, it sets all that follows to
    # training (Keras 3.15), and batch normalisation then uses the batch.
    return ops.image.resize(inputs, (least, least))


def _efficientnet(
    build: Callable[..., keras.Model], input_size: int | None, weights: str | None
) -> keras.Model:
    """Build the same layers with and without published weights, so that files fit either."""
    plain = _application(build, input_size, weights)
    backbone = keras.models.clone_model(plain, clone_function=_with_constant_normalisation)
    backbone.set_weights(plain.get_weights())
    return backbone_model(backbone.input, backbone.output)


def _with_constant_normalisation(layer: keras.Layer) -> keras.Layer:
    """Clone a layer, dropping what Keras adds to the normalisation for published weights."""
    if isinstance(layer, layers.Normalization):
        return ImageNetNormalisation(axis=-1, name=layer.name)
    if isinstance(layer, layers.Rescaling) and not isinstance(layer.scale, float):
        return layers.Identity(name=layer.name)
    return layer.__class__.from_config(layer.get_config())
