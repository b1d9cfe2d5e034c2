"""YuNet (Wu, Peng & Yu, 2023): a small network that finds faces from 10 px up, many at once.

It is run by ONNX Runtime on one thread, about three times as fast as OpenCV's `FaceDetectorYN`.
The published file is for images of 640x640 px only; its two sides are made free when it is loaded.
Three grids of cells 8, 16 and 32 px wide each give, in every cell, how sure they are of a face
there (the root of a class score times an objectness), its box and five key points.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from builder_tools.assets import asset_path
from builder_tools.detectors.base import BaseDetector, enlarge, shrink
from builder_tools.results import Box, Face

FILE = "face_detection_yunet_2023mar.onnx"
NMS_IOU = 0.3
CELLS_PX = (8, 16, 32)
FAINT_BELOW, MOST_FAINT_CELLS = 0.2, 1000
"""Of the cells that are less sure only the surest ones are given."""
FIXED_SIDES = b"\x08\x80\x05\x0a\x03\x08\x80\x05"
"""The file's input size: two dimensions of 640 in a row, as protocol buffers have them."""
FREE_SIDES = b"\x12\x01h\x0a\x03\x12\x01w"
"""The same two dimensions, named h and w."""


class YuNetDetector(BaseDetector):
    """Faces of many sizes with five key points: eyes, nose tip, corners of the mouth.

    Args:
        min_score: Faces scored lower are left out.
        min_size_px: Faces smaller than this are left out.
        max_side_px: Larger images are searched at this size; the cost goes with its square.
    """

    crop_scale: ClassVar[float] = 0.94
    crop_shift_y: ClassVar[float] = 0.01
    sure_score: ClassVar[float | None] = 0.88

    def __init__(
        self, *, min_score: float = 0.6, min_size_px: float = 0.0, max_side_px: int = 1024
    ) -> None:
        super().__init__(min_score=min_score, min_size_px=min_size_px)
        self.max_side_px = max_side_px
        self._network = YuNet(asset_path(FILE))

    def _find(self, image_rgb: np.ndarray) -> list[Face]:
        small, factor = shrink(image_rgb, self.max_side_px)
        return [enlarge(face, factor) for face in self._network.find(small, self.min_score)]


class YuNet:
    """The network: an image in, faces in its pixels out. May be shared by threads.

    Args:
        path: The published file.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # it plans for each size of image: 80 MB more
        options.log_severity_level = 3  # warns of each output that the file gives a fixed size
        model = path.read_bytes().replace(FIXED_SIDES, FREE_SIDES)
        providers = ["CPUExecutionProvider"]
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=providers)
        self._memory: list[np.ndarray] = []
        self._outputs = [
            f"{kind}_{px}" for px in CELLS_PX for kind in ("cls", "obj", "bbox", "kps")
        ]

    def find(self, image_rgb: np.ndarray, min_score: float) -> list[Face]:
        """Return the faces in an `(H, W, 3)` uint8 RGB image, best score first, each once."""
        memory, blob = self._blob(image_rgb)
        outputs = self._session.run(self._outputs, {"input": blob})
        self._memory.append(memory)
        found = [
            _cells(outputs[4 * level : 4 * level + 4], px, blob.shape[3], min_score)
            for level, px in enumerate(CELLS_PX)
        ]
        found = [cells for cells in found if len(cells[0])]
        if not found:
            return []
        scores, boxes, points = (np.concatenate(part) for part in zip(*found, strict=True))
        faint = np.flatnonzero(scores < FAINT_BELOW)
        if len(faint) > MOST_FAINT_CELLS:  # noise has thousands
            fainter = faint[scores[faint].argsort()[:-MOST_FAINT_CELLS]]
            scores, boxes, points = (np.delete(x, fainter, axis=0) for x in (scores, boxes, points))
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), min_score, NMS_IOU)
        return [_face(boxes[index], float(scores[index]), points[index]) for index in kept]

    def _blob(self, image_rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return memory, and in it `(1, 3, H, W)` float32 BGR, sides filled up to whole cells.

        Memory that is given back to `_memory` is used again, by one thread at a time: new memory
        for each image costs ten times what filling it does.
        """
        height, width = image_rgb.shape[:2]
        shape = (1, 3, height + -height % CELLS_PX[-1], width + -width % CELLS_PX[-1])
        try:
            memory = self._memory.pop()
        except IndexError:
            memory = np.empty(0, np.float32)
        if memory.size < math.prod(shape):
            memory = np.empty(math.prod(shape), np.float32)
        blob = memory[: math.prod(shape)].reshape(shape)
        blob[:, :, height:], blob[..., width:] = 0, 0
        for channel in range(3):
            blob[0, channel, :height, :width] = image_rgb[..., 2 - channel]
        return memory, blob


def _cells(outputs: list[np.ndarray], px: int, width_px: int, min_score: float):
    """Return scores, boxes (x, y, width, height) and key points of the cells that show a face."""
    classes, objects, boxes, points = (output[0] for output in outputs)
    both = (classes * objects)[:, 0]
    sure = np.flatnonzero(both >= min_score**2)
    if not len(sure):
        return sure, sure, sure
    rows, columns = np.divmod(sure, width_px // px)
    corner = np.stack([columns, rows], axis=1).astype(np.float64)
    size = np.exp(boxes[sure, 2:].astype(np.float64)) * px
    corners = (corner + boxes[sure, :2]) * px - size / 2
    keypoints = (points[sure].reshape(-1, 5, 2) + corner[:, None]) * px
    return np.sqrt(both[sure]), np.hstack([corners, size]), keypoints


def _face(box: np.ndarray, score: float, keypoints: np.ndarray) -> Face:
    x, y, width, height = box.tolist()
    return Face(Box(x, y, x + width, y + height), score, keypoints)
