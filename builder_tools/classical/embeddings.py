"""Embeddings of faces: a network's features before its last layer, and dlib's face embedding."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.assets import ASSETS, asset_path
from builder_tools.cards import file_sha256
from builder_tools.classical.face_features import FaceFeatures
from builder_tools.detectors.dlib import import_dlib
from builder_tools.headless import HeadlessNetwork, headless_network, network_file
from builder_tools.media import resize_faces

DLIB_PX = 150
DLIB_NUMBERS = 128
DLIB_FILE = "dlib_face_recognition_resnet_model_v1.dat"


class NetworkFeatures(FaceFeatures):
    """A network's features before its last layer.

    Args:
        network: A shipped model (name or folder: its deployed ONNX file, as fast as in normal
            use), a `.keras` file, or a name in `networks.NETWORKS`.
        weights: Weights for a network of the registry: `pretrained`, or a file. Required there,
            as random weights are meaningless.
        sha256: SHA-256 of the network's file; any other file is refused. `pinned()` fills it in.
    """

    single_process = True

    def __init__(
        self, *, network: str = "fast", weights: str | None = None, sha256: str | None = None
    ) -> None:
        self.network = network
        self.weights = weights
        self.sha256 = sha256

    def pinned(self) -> NetworkFeatures:
        """Return a copy that only works with the network's current file."""
        return NetworkFeatures(
            network=self.network, weights=self.weights, sha256=_network_sha256(self.network)
        )

    def weight_hashes(self) -> tuple[str, ...]:
        """Return the SHA-256 of the network's file or, for one of the registry, its weight file.

        Published weights are identified by their names instead.
        """
        found = _network_sha256(self.network)
        if found is None and self.weights and Path(self.weights).is_file():
            found = _sha256(Path(self.weights))
        return (found or f"{self.network} {self.weights}",)

    def files(self) -> tuple[Path, ...]:
        """Return the network's file, or none for published weights."""
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
        return self._opened().vectors(images)

    def _names(self) -> list[str]:
        return [f"network{n}" for n in range(self._opened().width)]

    def _opened(self) -> HeadlessNetwork:
        return _network(str(self.network), self.weights, self.weight_hashes())


class DlibEmbeddingFeatures(FaceFeatures):
    """dlib's 128 numbers for telling people apart (King, 2017), without alignment.

    Needs the `[dlib]` extra and its file (CC0). It is designed to ignore expressions, so it is a
    baseline for how much a person's identity says about their expression. About 80 ms per face.
    """

    def weight_hashes(self) -> tuple[str, ...]:
        """Return the SHA-256 of the network's file."""
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


@cache
def _network(network: str, weights: str | None, hashes: tuple[str, ...]) -> HeadlessNetwork:
    """Open a network only once while its file is the one with these hashes."""
    return headless_network(network, weights)


@cache
def _dlib_network() -> Any:
    return import_dlib("dlib's face embedding").face_recognition_model_v1(
        str(asset_path(DLIB_FILE))
    )


def _network_sha256(network: str) -> str | None:
    """Return the SHA-256 of the network's file; None for a name in the registry."""
    file = network_file(network)
    return None if file is None else _sha256(file)


def _sha256(path: Path) -> str:
    state = path.stat()
    return _sha256_of_state(path, state.st_mtime_ns, state.st_size)


@cache
def _sha256_of_state(path: Path, mtime_ns: int, size: int) -> str:
    """Hash a file only once while it is unchanged, as every call of `transform` asks for it."""
    return file_sha256(path)
