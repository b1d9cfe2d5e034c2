"""The content of MediaPipe's `face_landmarker.task`: two networks and a model of face shape."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from builder_tools.assets import asset_path

BUNDLE_FILE = "face_landmarker.task"
NUMBERS_A_VERTEX = 5
"""x, y, z in cm (x to the person's left, y up, z out of the face), and two texture coordinates."""


@dataclass(frozen=True)
class Bundle:
    """The parts of the file.

    Args:
        landmarks: The network from a face to 478 landmarks, LiteRT.
        blendshapes: The network from landmarks to 52 blendshapes, LiteRT.
        vertices_cm: `(468, 3)`, the shape of an average face looking straight ahead.
        triangles: `(898, 3)`, the vertices at the corners of each triangle of its surface.
        steady: Indices of the landmarks that expressions hardly move.
        weights: How much each of these says about the head pose.
    """

    landmarks: bytes
    blendshapes: bytes
    vertices_cm: np.ndarray
    triangles: np.ndarray
    steady: np.ndarray
    weights: np.ndarray


@cache
def read_bundle() -> Bundle:
    """Read the file, downloading and verifying it first if it is missing.

    Raises:
        FileNotFoundError: If it cannot be obtained; says what was tried.
    """
    with zipfile.ZipFile(asset_path(BUNDLE_FILE)) as archive:
        landmarks = archive.read("face_landmarks_detector.tflite")
        blendshapes = archive.read("face_blendshapes.tflite")
        metadata = archive.read("geometry_pipeline_metadata_landmarks.binarypb")
    messages = list(_fields(metadata))
    mesh = list(_fields(next(value for number, value in messages if number == 1)))
    vertices = np.frombuffer(b"".join(v for number, v in mesh if number == 3), "<f4")
    triangles = np.array([value for number, value in mesh if number == 4])
    basis = [dict(_fields(value)) for number, value in messages if number == 2]
    return Bundle(
        landmarks,
        blendshapes,
        vertices.reshape(-1, NUMBERS_A_VERTEX)[:, :3].astype(float),
        triangles.reshape(-1, 3),
        np.array([point[1] for point in basis]),
        np.array([struct.unpack("<f", point[2])[0] for point in basis]),
    )


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and value of each field of a protocol buffer from a verified file."""
    position = 0

    def varint() -> int:
        nonlocal position
        value, shift = 0, 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            yield number, varint()
            continue
        length = {1: 8, 5: 4}[kind] if kind != 2 else varint()
        yield number, message[position : position + length]
        position += length
