"""What networks make of faces: features before the last layer, and dlib's face embedding."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.assets import ASSETS, asset_path
from builder_tools.cards import file_sha256
from builder_tools.classical.face_features import FaceFeatures
from builder_tools.detectors.dlib import import_dlib
from builder_tools.headless import headless_network, network_file
from builder_tools.media import resize_faces

DLIB_PX = 150
DLIB_NUMBERS = 128
DLIB_FILE = "dlib_face_recognition_resnet_model_v1.dat"


class NetworkFeatures(FaceFeatures):
    """A network's features before its last layer.

    Args:
        network: A shipped model (name or folder: its deployed ONNX file, at the speed it is
            used with), a `.keras` file, or a name in `networks.NETWORKS`.
        weights: Of a network of the registry: `pretrained`, or a file. Required there, for
            random weights say nothing.
        sha256: Of the network's file; another one is refused. `pinned()` fills it in.
    """

    single_process = True

    def __init__(
        self, *, network: str = "fast", weights: str | None = None, sha256: str | None = None
    ) -> None:
        self.network = network
        self.weights = weights
        self.sha256 = sha256

    def pinned(self) -> NetworkFeatures:
        """Return a copy that works with just this network's file, whatever replaces it later."""
        return NetworkFeatures(
            network=self.network, weights=self.weights, sha256=_network_sha256(self.network)
        )

    def weight_hashes(self) -> tuple[str, ...]:
        """Return the sha256 of the network's file; of one of the registry, that of its weights."""
        found = _network_sha256(self.network)
        if found is None and self.weights and Path(self.weights).is_file():
            found = _sha256(Path(self.weights))
        return (found or f"{self.network} {self.weights}",)

    def files(self) -> tuple[Path, ...]:
        """Return the network's file; none for published weights."""
        file = network_file(self.network) or Path(self.weights or "")
        return (file,) if file.is_file() else ()

    def _check_options(self) -> None:
        found = _network_sha256(self.network)
        if self.sha256 is not None and self.sha256 != found:
            raise ValueError(
                f"Expected the network {self.network!r} with sha256 {self.sha256}. Received: "
                f"{found}. It has changed since this was fitted: fit again."
            )

    def _describe(self, images: np.ndarray) -> np.ndarray:
        return _network(str(self.network), self.weights).vectors(images)

    def _names(self) -> list[str]:
        return [f"network{n}" for n in range(_network(str(self.network), self.weights).width)]


class DlibEmbeddingFeatures(FaceFeatures):
    """dlib's 128 numbers that tell people apart (King, 2017), without alignment.

    Needs the `[dlib]` extra and its file (CC0). Made to forget expressions, so a floor for what
    knowing who it is tells about what they show. About 80 ms a face.
    """

    def weight_hashes(self) -> tuple[str, ...]:
        """Return the sha256 of the network's file."""
        return (ASSETS[DLIB_FILE].sha256,)

    def files(self) -> tuple[Path, ...]:
        """Return the network's file."""
        return (asset_path(DLIB_FILE),)

    def _describe(self, images: np.ndarray) -> np.ndarray:
        network = _dlib_network()
        faces = resize_faces(images, DLIB_PX)
        return np.array([np.array(network.compute_face_descriptor(face)) for face in faces])

    def _names(self) -> list[str]:
        return [f"dlib_embedding{n}" for n in range(DLIB_NUMBERS)]


_network = cache(headless_network)


@cache
def _dlib_network() -> Any:
    return import_dlib("dlib's face embedding").face_recognition_model_v1(
        str(asset_path(DLIB_FILE))
    )


def _network_sha256(network: str) -> str | None:
    """Return the hash of the network's file; None for a name of the registry."""
    file = network_file(network)
    return None if file is None else _sha256(file)


def _sha256(path: Path) -> str:
    state = path.stat()
    return _sha256_of_state(path, state.st_mtime_ns, state.st_size)


@cache
def _sha256_of_state(path: Path, mtime_ns: int, size: int) -> str:
    """Hash a file once as long as it stays as it is: every call of `transform` asks."""
    return file_sha256(path)
