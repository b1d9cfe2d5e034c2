"""`Inference` on still images: what goes in, what comes out, what is refused, what is shown."""

import io
import os
import subprocess
import sys
import textwrap
import types

import cv2
import numpy as np
import pytest
from fakes import FakeDetector, FakeModel, made_image, save_image
from PIL import Image

import builder_tools
from builder_tools.drawing import DrawBox
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.inference import Inference
from builder_tools.media import read_image


@pytest.fixture(scope="module")
def inference():
    """The shipped model and the default detector, nothing shown."""
    with Inference(show_state_mode="none") as made:
        yield made


@pytest.fixture(scope="module")
def astronaut_result(inference, astronaut):
    return inference.run(astronaut)


def fake_inference(**options):
    options = {"show_state_mode": "none", **options}
    return Inference(options.pop("model", FakeModel()), FakeDetector(), **options)


def test_the_astronaut_is_happy(astronaut_result, astronaut):
    (face,) = astronaut_result.faces
    assert face.emotion == "happy" and face.probability > 0.5
    assert list(face.probabilities) == list(NINE_EMOTIONS)
    assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-4)
    x, y = face.face.box.centre
    assert 200 < x < 250 and 80 < y < 140  # where the face is, seen by eye
    assert face.face.score > 0.6
    assert (astronaut_result.source, astronaut_result.frame, astronaut_result.time_s) == (
        *("array", 0, 0.0),
    )


def test_the_result_carries_the_drawn_image(astronaut_result, astronaut):
    drawn, box = astronaut_result.image, astronaut_result.faces[0].face.box.round()
    changed = (drawn != astronaut).any(axis=2)
    assert drawn.shape == astronaut.shape and drawn.dtype == np.uint8
    assert changed[box.y1 : box.y2, box.x1].mean() > 0.9  # a few pixels had that colour before
    assert changed[box.y2 - 1, box.x1 : box.x2].mean() > 0.9
    assert not changed[: box.y1].any()  # nothing is drawn over the forehead


def _exif_turned(image, path):
    """Stored lying on its side with the tag that says so, as phones do."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)


def _sixteen_bits(image, path):
    cv2.imwrite(str(path), np.asarray(image)[..., ::-1].astype(np.uint16) * 257)


WRITERS = {
    "grey.png": lambda image, path: image.convert("L").save(path),
    "transparent.png": lambda image, path: image.convert("RGBA").save(path),
    "16 bits.png": _sixteen_bits,
    "cmyk.jpg": lambda image, path: image.convert("CMYK").save(path, quality=95),
    "palette.png": lambda image, path: image.quantize(256).save(path),
    "turned.jpg": _exif_turned,
    "plain.bmp": lambda image, path: image.save(path),
    "plain.webp": lambda image, path: image.save(path, quality=90),
    "a b/счастливое лицо.jpg": lambda image, path: image.save(path, quality=95),
}


@pytest.mark.parametrize("name", WRITERS)
def test_any_kind_of_image(tmp_path, inference, astronaut, astronaut_result, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    WRITERS[name](Image.fromarray(astronaut), path)
    result = inference.run(str(path))
    (face,), (expected,) = result.faces, astronaut_result.faces
    assert face.emotion == "happy"
    assert face.face.box.iou(expected.face.box) > 0.8
    assert result.source == str(path) and result.image.shape == (512, 512, 3)


@pytest.mark.parametrize("shape", [(512, 512), (512, 512, 1), (512, 512, 4)])
def test_arrays_of_any_kind(inference, astronaut, shape):
    grey = cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)
    image = {2: grey, 3: np.dstack([astronaut, np.full_like(grey, 255)])}[len(shape)]
    image = grey[..., None] if shape[-1] == 1 else image
    assert image.shape == shape
    assert [face.emotion for face in inference.run(image).faces] == ["happy"]


@pytest.mark.slow
def test_fifty_megapixels(inference, astronaut):
    large = cv2.resize(astronaut, (7072, 7072), interpolation=cv2.INTER_LINEAR)
    result = inference.run(large)
    assert [face.emotion for face in result.faces] == ["happy"]
    assert result.faces[0].face.box.width > 1000


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((1, 300, 3), np.uint8),
        np.full((240, 320, 3), 200, np.uint8),
        np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8),
    ],
    ids=["1x1", "a line", "blank", "noise"],
)
def test_no_face_is_an_empty_result(inference, image):
    result = inference.run(image)
    assert result.faces == () and result.to_dict()["faces"] == []
    assert result.image.shape == image.shape


def test_the_bytes_of_a_file_are_an_image_too(inference, tmp_path, astronaut):
    path = tmp_path / "a.jpg"
    Image.fromarray(astronaut).save(path)
    result = inference.run(path.read_bytes())
    assert len(result.faces) == 1 and result.source == "bytes"


def test_images_of_all_kinds_and_lists_of_them_are_taken(tmp_path):
    image = made_image(2, 200, 120)
    path = save_image(tmp_path / "a.png", 2, 200, 120)
    data = path.read_bytes()
    sources = [path, str(path), data, memoryview(data), io.BytesIO(data), Image.open(path)]
    sources += [image, image / 255, image.astype(np.uint16) * 257, Image.fromarray(image)]
    with open(path, "rb") as file:
        results = fake_inference().run([*sources, file])
    assert all([face.emotion for face in one.faces] == ["neutral", "happy"] for one in results)
    assert [one.source for one in results] == [
        *(str(path), str(path), "bytes", "memoryview", "BytesIO", str(path)),
        *("array", "array", "array", "Image", str(path)),
    ]
    assert "neutral 62%" in repr(results[0])


def test_many_faces_are_told_apart_and_the_largest_comes_first():
    result = fake_inference().run(made_image(3, 200, 120, 20))
    assert [face.emotion for face in result.faces] == ["sad", "neutral", "happy"]
    assert [face.face.box.width for face in result.faces] == [24, 20, 16]


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (None, ValueError, "Expected a source for 'img'"),
        ("nowhere.jpg", FileNotFoundError, "No image at 'nowhere.jpg'"),
        (np.zeros((8, 8, 3), np.int32), ValueError, "uint8"),
        (np.zeros((2, 8, 8, 3), np.uint8), ValueError, "one image"),
        (3.5, ValueError, "Expected a path"),
    ],
)
def test_what_is_no_image_is_refused(source, error, message):
    with pytest.raises(error, match=message):
        fake_inference().run(source)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"show_state_mode": "window"}, r"show_state_mode.*\['cv2', 'inline', 'none'\].*'window'"),
        (
            {"inference_mode": "image"},
            r"inference_mode.*\['img', 'img_batch', 'video', 'video_rec', 'online'\].*'image'",
        ),
        ({"no_face": "skip"}, r"no_face.*'whole'.*'skip'"),
        ({"multi_face": "first"}, r"multi_face.*'largest'.*'first'"),
        ({"img_size": 0}, "img_size >= 1"),
        ({"img_size": True}, "img_size >= 1, a whole number. Received: True"),
        ({"batch_size": 0}, "batch_size >= 1"),
        ({"workers": -1}, "workers >= 1"),
        ({"workers": "2"}, "workers >= 1, a whole number. Received: '2'"),
        ({"batch_size": 2.5}, "batch_size >= 1, a whole number. Received: 2.5"),
        ({"track": "no"}, "Expected track to be True or False. Received: 'no'"),
        ({"geometry": "no"}, "Expected geometry to be True or False. Received: 'no'"),
        ({"every_face": "no"}, r"Expected every_face .* True or False. Received: 'no'"),
        ({"detector_options": 5}, "Expected detector_options to be a dict .* Received: 5"),
        ({"mirror": "no"}, r"Expected mirror .* True or False. Received: 'no'"),
    ],
)
def test_wrong_options_are_refused_with_the_choices(options, message):
    with pytest.raises(ValueError, match=message):
        fake_inference(**options)


def test_drawing_is_wanted_or_not():
    with pytest.raises(ValueError, match=r"Expected draw to be True or False\. Received: 'no'"):
        fake_inference().analyse_image(made_image(3), draw="no")
    assert fake_inference(track=np.True_).analyse_image(made_image(3), draw=0).image is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "retina"}, r"\['mediapipe'.*'haar'.*detector='retina'"),
        ({"detector_options": {"min_score": 7}}, r"min_score in \[0, 1\]. Received: 7"),
    ],
)
def test_a_wrong_detector_is_refused_before_the_first_image(options, message):
    with pytest.raises(ValueError, match=message):
        Inference(FakeModel(), show_state_mode="none", **options)


@pytest.mark.parametrize("mode", ["img", "video"])
def test_an_option_of_another_mode_is_refused(mode):
    with pytest.raises(TypeError, match="out"):
        fake_inference(inference_mode=mode).run("a.mp4", out="b.mp4")


def test_a_recording_needs_a_file():
    with pytest.raises(TypeError, match="Expected out"):
        fake_inference(inference_mode="video_rec").run("a.mp4")


@pytest.mark.parametrize("mode", ["img", "img_batch", "video", "online"])
def test_every_object_analyses_images_whatever_its_mode(mode):
    with fake_inference(inference_mode=mode) as inference:
        assert len(inference.analyse_image(made_image(2, 200)).faces) == 2
        table = inference.analyse_images([made_image(1, 200), made_image(2, 20)])
    assert [row.status for row in table] == ["ok", "multi_face"]
    assert [row.emotion for row in table] == ["happy", "sad"]


def test_images_refuse_what_is_learned_from_streams():
    with fake_inference(inference_mode="video", rest="auto") as inference:
        with pytest.raises(ValueError, match="RestingFace"):
            inference.analyse_image(made_image(1))
        with pytest.raises(ValueError, match="many people"):
            inference.analyse_images([made_image(1)])


def test_results_of_two_objects_in_two_threads_do_not_mix():
    from concurrent.futures import ThreadPoolExecutor

    def emotions(value):
        with fake_inference() as inference:
            return {inference.run(made_image(1, value)).faces[0].emotion for _ in range(50)}

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(emotions, (200, 120, 20))) == [{"happy"}, {"neutral"}, {"sad"}]


class _Notebook(types.ModuleType):
    """Stands in for `IPython.display`."""

    def __init__(self):
        super().__init__("IPython.display")
        self.shown, self.updated = [], []

    def Image(self, data, format):
        assert format == "png"
        return data

    def display(self, shown, display_id):
        assert display_id
        self.shown.append(shown)
        return types.SimpleNamespace(update=self.updated.append)


@pytest.fixture
def notebook(monkeypatch):
    display = _Notebook()
    package = types.ModuleType("IPython")
    package.display = display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return display


def test_inline_shows_the_drawn_image(notebook):
    inference = fake_inference(show_state_mode="inline")
    results = [inference.run(made_image(1, value)) for value in (200, 20)]
    assert notebook.updated == []
    for shown, result in zip(notebook.shown, results, strict=True):
        assert (read_image(shown) == result.image).all()


def test_inline_replaces_the_frames_of_a_video(notebook, face_video):
    inference = fake_inference(show_state_mode="inline", inference_mode="video")
    frames = inference.run(face_video.path, max_frames=3).drain()
    assert (frames, len(notebook.shown), len(notebook.updated)) == (3, 1, 2)


def test_inline_without_a_notebook_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(ImportError, match=r"needs a notebook.*pip install"):
        fake_inference(show_state_mode="inline").run(made_image(0))


def test_without_a_screen_an_image_is_still_read(monkeypatch, caplog):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    result = fake_inference(show_state_mode="cv2").run(made_image(1, 200))
    assert len(result.faces) == 1
    assert "not shown" in caplog.text and "DISPLAY is not set" in caplog.text


def test_another_drawer_draws():
    class Negative(DrawBox):
        def draw(self, image_rgb, faces, fps=None):
            return 255 - image_rgb

    image = made_image(1, 200)
    result = fake_inference(draw_box_obj=Negative()).run(image)
    assert (result.image == 255 - image).all()


def run_python(code, folder, environment):
    """Runs code in a fresh process that finds the package."""
    root = os.path.dirname(os.path.dirname(builder_tools.__file__))
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
        env=environment | {"PYTHONPATH": root},
    )


def test_everything_has_a_default(tmp_path, astronaut):
    """`Inference()` in a fresh process without a screen: a result, a warning, a quiet end."""
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    code = """
        from builder_tools import Inference
        inference = Inference()
        result = inference.run("a.png")
        print([face.emotion for face in result.faces])
    """
    screenless = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    done = run_python(code, tmp_path, screenless)
    assert (done.returncode, done.stdout) == (0, "['happy']\n"), done.stderr
    assert done.stderr.startswith("Results are given but not shown.")
    assert done.stderr.count("\n") == 1  # the warning and nothing else


def test_an_inference_dropped_without_closing_ends_quietly(tmp_path, astronaut):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    code = """
        from builder_tools import Inference
        inference = Inference(show_state_mode="none")
        inference.run("a.png")
        del inference
    """
    done = run_python(code, tmp_path, dict(os.environ))
    assert (done.returncode, done.stderr) == (0, "")
