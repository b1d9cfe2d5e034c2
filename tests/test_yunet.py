"""YuNet as it is run: as the published file answers, several images at once, on several threads."""

import threading

import numpy as np
import pytest

from builder_tools.assets import asset_path
from builder_tools.detectors import yunet
from builder_tools.detectors.lending import Memory, Sessions
from builder_tools.detectors.onnx_file import OnnxFile, convolutions
from builder_tools.detectors.yunet import FILE, YuNet
from builder_tools.detectors.yunet_network import CELLS_PX, OUTPUTS, as_onnx


@pytest.fixture(scope="module")
def published(needs_detector):
    needs_detector("yunet")
    return asset_path(FILE)


@pytest.fixture(scope="module")
def network(published):
    return YuNet(published)


def test_the_network_gives_what_the_published_file_gives(published):
    import onnxruntime

    given = np.random.default_rng(0).uniform(0, 255, (1, 3, 640, 640)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(published), options)
    names = [output.name for output in session.get_outputs()]
    told = dict(zip(names, session.run(names, {"input": given}), strict=True))
    with Sessions(as_onnx(published.read_bytes())).lent() as ours:
        found = ours.run(OUTPUTS, {"input": given})
    for px, output in zip(CELLS_PX, found, strict=True):
        cells = output[0].reshape(16, -1).T
        sure = 1 / (1 + np.exp(-cells[:, :2]))
        np.testing.assert_allclose(sure[:, :1], told[f"cls_{px}"][0], atol=1e-5)
        np.testing.assert_allclose(sure[:, 1:], told[f"obj_{px}"][0], atol=1e-5)
        np.testing.assert_allclose(cells[:, 2:6], told[f"bbox_{px}"][0], atol=1e-4)
        np.testing.assert_allclose(cells[:, 6:], told[f"kps_{px}"][0], atol=1e-4)


@pytest.mark.parametrize("shape", [(700, 900), (641, 800), (97, 5200)])
def test_strips_of_a_large_image_give_what_the_whole_gives(network, astronaut, shape, monkeypatch):
    """A face across the border of strips, in images whose height is no multiple of a strip's."""
    image = np.zeros((*shape, 3), np.uint8)
    face = astronaut[60:190, 150:300]
    for y, x in ((0, 20), (shape[0] - 100, 400), (300, 300)):
        part = image[y : y + 130, x : x + 150]
        part[:] = face[: part.shape[0], : part.shape[1]]
    in_strips = network.find(image, 0.1)
    monkeypatch.setattr(yunet, "WHOLE_PIXELS", 10**9)
    whole = network.find(image, 0.1)
    assert len(in_strips) == len(whole) >= 1
    for one, other in zip(in_strips, whole, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)
        np.testing.assert_allclose(one.keypoints, other.keypoints, atol=0.01)


def test_images_looked_at_together_have_the_faces_of_each(network, astronaut):
    face = np.ascontiguousarray(astronaut[40:230, 130:320])
    images = [face, np.zeros_like(face), face[:, ::-1], face[:150, :170]]
    together = network.find_each(images, 0.3)
    assert [len(faces) for faces in together] == [1, 0, 1, 1]
    for image, faces in zip(images, together, strict=True):
        for one, alone in zip(faces, network.find(image, 0.3), strict=True):
            assert one.score == pytest.approx(alone.score, abs=0.01)
            np.testing.assert_allclose(one.box.xyxy, alone.box.xyxy, atol=1)


@pytest.mark.parametrize(("min_score", "is_any"), [(0.0, True), (1.0, False)])
def test_a_score_of_zero_or_one_is_no_error(network, astronaut, min_score, is_any):
    assert bool(network.find(astronaut[:256, :256], min_score)) == is_any


def test_a_network_written_by_hand_computes_and_is_read_again():
    """Two channels of 1 + 2 + 4 x and of x halved, joined: 16 each, the others are zeros."""
    kernels = np.array([[[[4.0]]], [[[1.0]]]], np.float32)
    file = OnnxFile((1, 1, "h", 2))
    made = file.convolved("input", kernels, np.array([3.0, 0.0]))
    halved = file.node("MaxPool", made, kernel_shape=(2, 2), strides=(2, 2))
    both = file.node("Concat", halved, halved, axis=1)
    assert file.channels[both] == 32
    content = file.content((both,))
    ((kernel, bias),) = convolutions(content)
    assert kernel.shape == (16, 1, 1, 1) and bias[:2].tolist() == [3.0, 0.0]
    with Sessions(content).lent() as session:
        given = np.array([[1, 2], [3, 4]], np.float32).reshape(1, 1, 2, 2)
        (output,) = session.run(None, {"input": given})
    assert output.shape == (1, 32, 1, 1)
    assert output[0, [0, 1, 2, 16, 17], 0, 0].tolist() == [19.0, 4.0, 0.0, 19.0, 4.0]


def test_threads_have_sessions_of_their_own_and_give_them_back():
    file = OnnxFile((1, 1, 1, 1))
    made = file.convolved("input", np.ones((1, 1, 1, 1), np.float32), np.zeros(1))
    sessions, seen = Sessions(file.content((made,))), []
    with sessions.lent() as first:

        def other():
            with sessions.lent() as second:
                seen.append(second)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen != [first]
    with sessions.lent() as one, sessions.lent() as two:
        assert {id(one), id(two)} == {id(first), id(seen[0])}


def test_memory_is_lent_to_one_at_a_time_and_used_again():
    memory = Memory()
    with memory.lent(2, 3) as one, memory.lent(3) as two:
        assert one.shape == (2, 3) and not np.shares_memory(one, two)
    with memory.lent(4) as again:
        assert np.shares_memory(again, one), "the smallest that is large enough"
    with memory.lent(7) as new:
        assert not np.shares_memory(new, one) and new.size == 7
