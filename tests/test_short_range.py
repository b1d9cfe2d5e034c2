"""Short range in ONNX Runtime: the same faces as MediaPipe's own task finds, from the same file."""

import numpy as np
import pytest

from builder_tools.assets import asset_path
from builder_tools.detectors.mediapipe_import import import_mediapipe, quiet_stderr
from builder_tools.detectors.short_range import SHORT_RANGE, ShortRange
from builder_tools.detectors.short_range_network import OUTPUTS, as_onnx


@pytest.fixture(scope="module")
def published(needs_detector):
    needs_detector("mediapipe")
    return asset_path(SHORT_RANGE)


@pytest.fixture(scope="module")
def views(astronaut):
    """The face in parts of the photo, wide, high and turned, and two faces."""
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(30):
        height, width = rng.integers(100, 500, 2)
        y, x = rng.integers(0, 60), rng.integers(40, 150)
        parts.append(np.ascontiguousarray(astronaut[y : y + height, x : x + width]))
    face = astronaut[40:230, 130:320]
    return [*parts, np.ascontiguousarray(np.rot90(face)), np.hstack([face, face[:, ::-1]])]


def test_as_mediapipes_own_task(published, views):
    mediapipe = import_mediapipe()
    options = mediapipe.tasks.vision.FaceDetectorOptions(
        mediapipe.tasks.BaseOptions(model_asset_path=str(published)), min_detection_confidence=0.4
    )
    with quiet_stderr():
        task = mediapipe.tasks.vision.FaceDetector.create_from_options(options)
        told = [
            task.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, view)).detections
            for view in views
        ]
        task.close()
    found = [ShortRange(published, 0.4).find(view) for view in views]
    assert [len(each) for each in found] == [len(each) for each in told]
    assert max(map(len, found)) >= 2 and sum(map(len, found)) >= 25
    for view, ours, theirs in zip(views, found, told, strict=True):
        theirs = sorted(theirs, key=lambda one: -one.categories[0].score)
        for face, one in zip(ours, theirs, strict=True):
            box = one.bounding_box
            corners = (box.origin_x, box.origin_y, box.width, box.height)
            x1, y1, x2, y2 = face.box.xyxy
            assert face.score == pytest.approx(one.categories[0].score, abs=0.01)
            assert (x1, y1, x2 - x1, y2 - y1) == pytest.approx(corners, abs=1)
            points = [(point.x * view.shape[1], point.y * view.shape[0]) for point in one.keypoints]
            np.testing.assert_allclose(face.keypoints, points, atol=0.01 * max(view.shape))


def test_the_network_gives_what_the_published_file_gives(published):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    import onnxruntime

    given = np.random.default_rng(1).uniform(-1, 1, (1, 128, 128, 3)).astype(np.float32)
    network = interpreter.Interpreter(str(published))
    network.allocate_tensors()
    network.set_tensor(network.get_input_details()[0]["index"], given)
    network.invoke()
    told = {one["name"]: network.get_tensor(one["index"]) for one in network.get_output_details()}
    session = onnxruntime.InferenceSession(as_onnx(published.read_bytes()))
    found = session.run(OUTPUTS, {"input": given.transpose(0, 3, 1, 2)})
    scores, points = [], []
    for output, anchors in zip(found, (2, 6), strict=True):  # of each cell
        cells = output[0].transpose(1, 2, 0).reshape(-1, 17 * anchors)
        scores.append(cells[:, :anchors].reshape(-1))
        points.append(cells[:, anchors:].reshape(-1, 16))
    np.testing.assert_allclose(np.concatenate(scores), told["classificators"][0, :, 0], atol=1e-3)
    np.testing.assert_allclose(np.concatenate(points), told["regressors"][0], atol=1e-3)


def test_a_score_of_zero_or_one_is_no_error(published, astronaut):
    assert len(ShortRange(published, 0.0).find(astronaut)) > 1
    assert ShortRange(published, 1.0).find(astronaut) == []
