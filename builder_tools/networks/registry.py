"""Every network of the study, by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import keras

from builder_tools.assets import ASSETS
from builder_tools.cards import MOST_TRAINED_PX
from builder_tools.networks import (
    architectures,
    bit,
    darknet,
    efficientnet_lite,
    face_mobilenet,
    face_resnet,
    families,
    vggface,
    vit,
)
from builder_tools.networks.families import IMAGENET
from builder_tools.networks.head import Head, with_head
from builder_tools.networks.spec import PRETRAINED, NetworkSpec
from builder_tools.networks.trainable import expect_depth
from builder_tools.networks.weights import explained_offline, load_backbone_weights, reader_of

PUBLISHED_PX = 224
"""Default side in pixels for networks with published weights: the size most were trained at."""

NETWORKS: dict[str, NetworkSpec] = {
    "compact": NetworkSpec(
        architectures.compact_residual,
        48,
        "residual CNN with squeeze-and-excitation, from scratch; the shipped model's",
        min_size=16,
        any_size=True,
    ),
    "compact_tiny": NetworkSpec(
        architectures.compact_tiny,
        48,
        "compact network for int8 under half a millisecond, from scratch",
        min_size=16,
        any_size=True,
    ),
    "compact_wide": NetworkSpec(
        architectures.compact_wide,
        48,
        "compact network half as wide again, from scratch",
        min_size=16,
        any_size=True,
    ),
    "compact_late": NetworkSpec(
        architectures.compact_late,
        48,
        "compact network that is wider where maps are small, from scratch",
        min_size=16,
        any_size=True,
    ),
    "vgg16": NetworkSpec(
        families.vgg16,
        PUBLISHED_PX,
        "VGG16",
        unfreeze=4,
        pretrained=IMAGENET,
        any_size=True,
        batch_norm=False,
    ),
    "resnet50": NetworkSpec(
        families.resnet50,
        PUBLISHED_PX,
        "ResNet-50",
        unfreeze=15,
        pretrained=IMAGENET,
        any_size=True,
    ),
    "vggface_vgg16": NetworkSpec(
        vggface.vggface_vgg16,
        PUBLISHED_PX,
        "VGG16 trained on the faces of VGG-Face",
        unfreeze=4,
        pretrained=vggface.RELEASE + vggface.VGG16_FILE,
        any_size=True,
        batch_norm=False,
    ),
    "vggface_resnet50": NetworkSpec(
        vggface.vggface_resnet50,
        PUBLISHED_PX,
        "ResNet-50 trained on the faces of VGGFace2",
        unfreeze=15,
        pretrained=vggface.RELEASE + vggface.RESNET50_FILE,
        any_size=True,
    ),
    "face_mobilenet": NetworkSpec(
        face_mobilenet.face_mobilenet,
        96,
        "MobileNet v1 trained on the faces of VGGFace2",
        unfreeze=15,
        pretrained=face_mobilenet.SOURCE,
        licence=ASSETS[face_mobilenet.DATA_FILE].licence,
        any_size=True,
        folded=True,
        readers={".json": face_mobilenet.load_published},
    ),
    "face_resnet": NetworkSpec(
        face_resnet.face_resnet,
        150,
        "dlib's ResNet trained on faces",
        unfreeze=16,
        pretrained=face_resnet.SOURCE,
        licence=ASSETS[face_resnet.DATA_FILE].licence,
        folded=True,
        readers={".json": face_resnet.load_published},
    ),
    "efficientnet_lite0": NetworkSpec(
        efficientnet_lite.efficientnet_lite0,
        PUBLISHED_PX,
        "EfficientNet-Lite0",
        unfreeze=20,
        pretrained=efficientnet_lite.SOURCE,
        licence=ASSETS[efficientnet_lite.FILE].licence,
        any_size=True,
        readers={".pth": efficientnet_lite.load_published},
    ),
    "mobilenet_v2": NetworkSpec(
        families.mobilenet_v2, PUBLISHED_PX, "MobileNetV2", unfreeze=20, pretrained=IMAGENET
    ),
    "mobilenet_v3": NetworkSpec(
        families.mobilenet_v3, PUBLISHED_PX, "MobileNetV3-Large", unfreeze=18, pretrained=IMAGENET
    ),
    "mobilenet_v3_small": NetworkSpec(
        families.mobilenet_v3_small,
        PUBLISHED_PX,
        "MobileNetV3-Small",
        unfreeze=18,
        pretrained=IMAGENET,
    ),
    "inception_v3": NetworkSpec(
        families.inception_v3,
        PUBLISHED_PX,
        "Inception v3; faces under 75 px are enlarged inside",
        unfreeze=62,
        pretrained=IMAGENET,
    ),
    "inception_resnet_v2": NetworkSpec(
        families.inception_resnet_v2,
        PUBLISHED_PX,
        "Inception-ResNet v2; faces under 75 px are enlarged inside",
        unfreeze=19,
        pretrained=IMAGENET,
    ),
    "xception": NetworkSpec(
        families.xception,
        PUBLISHED_PX,
        "Xception; faces under 71 px are enlarged inside",
        unfreeze=16,
        pretrained=IMAGENET,
    ),
    "efficientnet_b0": NetworkSpec(
        families.efficientnet_b0, PUBLISHED_PX, "EfficientNet-B0", unfreeze=16, pretrained=IMAGENET
    ),
    "efficientnet_b7": NetworkSpec(
        families.efficientnet_b7, PUBLISHED_PX, "EfficientNet-B7", unfreeze=18, pretrained=IMAGENET
    ),
    "efficientnet_v2_b0": NetworkSpec(
        families.efficientnet_v2_b0,
        PUBLISHED_PX,
        "EfficientNetV2-B0",
        unfreeze=18,
        pretrained=IMAGENET,
        any_size=True,
    ),
    "efficientnet_v2_m": NetworkSpec(
        families.efficientnet_v2_m,
        PUBLISHED_PX,
        "EfficientNetV2-M",
        unfreeze=18,
        pretrained=IMAGENET,
        any_size=True,
    ),
    "bit_m_r50x1": NetworkSpec(
        bit.bit_m_r50x1,
        PUBLISHED_PX,
        "Big Transfer ResNet-50x1: group normalisation, standardised weights",
        unfreeze=36,
        readers={".npz": bit.load_published},
        pretrained=bit.ADDRESS,
        any_size=True,
        batch_norm=False,
    ),
    "vit_b8": NetworkSpec(
        vit.vit_b8,
        PUBLISHED_PX,
        "vision transformer ViT-B over patches of 8 px",
        unfreeze=17,
        readers={".npz": vit.load_published},
        pretrained=vit.ADDRESS,
        multiple_of=8,
        batch_norm=False,
    ),
    "vit_small": NetworkSpec(
        vit.vit_small,
        48,
        "small vision transformer over patches of 6 px, from scratch",
        min_size=24,
        multiple_of=6,
        batch_norm=False,
    ),
    "darknet53": NetworkSpec(
        darknet.darknet53,
        PUBLISHED_PX,
        "Darknet-53, the backbone of YOLOv3",
        unfreeze=32,
        readers={".74": darknet.load_published, ".weights": darknet.load_published},
        pretrained=darknet.ADDRESS,
        any_size=True,
    ),
    "vgg16_scratch": NetworkSpec(
        architectures.vgg16_scratch,
        48,
        "VGG16 with batch normalisation, from scratch",
        any_size=True,
    ),
    "ferplus_vgg13": NetworkSpec(
        architectures.ferplus_vgg13,
        64,
        "the VGG13 of the FER+ paper, from scratch",
        min_size=16,
        batch_norm=False,
    ),
    "conv_lstm": NetworkSpec(
        architectures.conv_lstm,
        48,
        "convolutional LSTM that scans the face in nine windows, from scratch",
        min_size=16,
    ),
    "mini_xception": NetworkSpec(
        architectures.mini_xception,
        48,
        "Mini-Xception, from scratch",
        min_size=24,
        any_size=True,
    ),
    "cifar10_convnet": NetworkSpec(
        architectures.cifar10_convnet,
        32,
        "a small ConvNet after Keras' CIFAR-10 example, from scratch",
        min_size=16,
        batch_norm=False,
    ),
    "baseline_cnn": NetworkSpec(
        architectures.baseline_cnn,
        48,
        "four convolutions and a dense layer (32-32-128-128-256), from scratch",
        min_size=16,
        batch_norm=False,
    ),
}


def check_network(
    name: str,
    sizes: Collection[int] = (),
    weights: str | Path | None = None,
    *,
    learns: Iterable[str | int] = (),
) -> None:
    """Refuse what no network of the registry can be built from, or be trained with.

    It is built, with random weights and at the largest size, only to count its layers, if more of
    them are to be trained than is usual.

    Args:
        name: As in `build_network`.
        sizes: Sides of the faces in pixels.
        weights: As in `build_network`; the content of a file is not looked at.
        learns: What is trained, as in `set_trainable`.

    Raises:
        FileNotFoundError: If the file of weights does not exist.
        ValueError: If name, sizes or weights are not suitable, or there are fewer layers.
    """
    if name not in NETWORKS:
        raise ValueError(f"Expected one of {list(NETWORKS)}. Received: network={name!r}.")
    spec = NETWORKS[name]
    for size in sizes:
        if size < spec.min_size:
            raise ValueError(
                f"Expected input_size of at least {spec.min_size} px for {name!r}: its feature map "
                f"would vanish. Received: {size}. Enlarge the faces, or take another network."
            )
        if size > MOST_TRAINED_PX:
            raise ValueError(
                f"Expected input_size of at most {MOST_TRAINED_PX} px. Received: {size}. Faces "
                "are told apart at far less."
            )
        if size % spec.multiple_of:
            raise ValueError(
                f"Expected input_size a multiple of the patch, {spec.multiple_of} px. Received: "
                f"{size}. Try {spec.multiple_of * round(size / spec.multiple_of)}."
            )
    if weights == PRETRAINED and spec.pretrained is None:
        names = [known for known, other in NETWORKS.items() if other.pretrained]
        raise ValueError(
            f"Expected weights None or a file for {name!r}: none are published. "
            f"Received: weights={weights!r}. Published ones exist for {names}."
        )
    if weights is not None and weights != PRETRAINED:
        reader_of(Path(weights), spec.readers)
    counts = [what for what in learns if not isinstance(what, str)]
    if max(counts, default=0) > (spec.unfreeze or 0):
        size = max(sizes, default=spec.input_size)
        expect_depth(len(spec.backbone(size, None).layers), max(counts))


def build_network(
    name: str,
    num_classes: int,
    input_size: int | None = None,
    *,
    head: Head = Head(),  # noqa: B008 - frozen
    weights: str | Path | None = None,
) -> keras.Model:
    """Build a network of the registry.

    Args:
        name: Name in `NETWORKS`.
        num_classes: Number of emotions.
        input_size: Side of the face in pixels; None for any size, or for the network's own size
            if it cannot take any.
        head: The layers after the backbone, including the outputs.
        weights: Initial weights of the backbone: None for random weights, `pretrained` for the
            published ones, or a file (see `load_backbone_weights`).

    Returns:
        A model from `(n, size, size, 3)` RGB 0...255 to `(n, num_classes)` float32 (with valence
        and arousal added or instead, depending on the head's task; see `with_head`).

    Raises:
        ValueError: If name, size or weights are not suitable.
        ConnectionError: If published weights are neither available locally nor can be fetched.
    """
    check_network(name, () if input_size is None else (input_size,), weights)
    spec = NETWORKS[name]
    if input_size is None and not spec.any_size:
        input_size = spec.input_size
    published = weights == PRETRAINED
    with explained_offline(name, spec.pretrained or "none"):
        backbone = spec.backbone(input_size, PRETRAINED if published else None)
    if weights is not None and not published:
        load_backbone_weights(backbone, weights, spec.readers)
    return with_head(backbone, head, num_classes, name=name)
