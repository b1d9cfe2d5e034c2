"""What several tests share: real faces, a video made of them, a network camera, shared data."""

from __future__ import annotations

import functools
import gc
import http.server
import importlib.util
import inspect
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from builder_tools.assets import asset_path
from builder_tools.media import write_image

REPOSITORY = Path(__file__).resolve().parent.parent
FACE_IN_ASTRONAUT = (slice(0, 200), slice(120, 330))
"""Rows and columns of scikit-image's astronaut with the head and some ground."""

DETECTOR_PACKAGES = {"dlib": "dlib", "mtcnn": "mtcnn", "mediapipe": "mediapipe"}
DETECTOR_FILES = {
    "mediapipe": ("face_detection_short_range.tflite", "face_detection_full_range_sparse.tflite"),
    "yunet": ("face_detection_yunet_2023mar.onnx",),
    "ssd": ("opencv_face_detector_uint8.pb", "opencv_face_detector.pbtxt"),
}
OUTSIDE_FIXTURES = {"media_dir", "data_dir", "needs_detector", "needs_geometry"}
OUTSIDE_NAMES = re.compile(r"\b(yunet|ssd|dlib)\b")
"""Words in a test that say it uses files which need not be there."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files with slow tests first, so that several processes end at about the same time.

    And marks the tests that use outside files: `.ci/run` runs those with the files hidden, too.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    source = functools.cache(inspect.getsource)  # one function may be hundreds of tests
    for item in items:
        words = item.name + source(item.function)
        if OUTSIDE_FIXTURES & set(item.fixturenames) or OUTSIDE_NAMES.search(words):
            item.add_marker("outside")


def pytest_collection_finish() -> None:
    """Takes what importing made out of the garbage collector: it would look there for ever."""
    gc.collect()
    gc.freeze()


class FailuresAtOnce:
    """Tells of each failure as it comes: a run that is stopped prints no summary."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self.terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            lines = report.longreprtext.splitlines()[-30:]
            self.terminal.ensure_newline()
            self.terminal.write_line("\n".join([f"FAILED {report.nodeid} ({report.when})", *lines]))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal:  # not in the processes of xdist, whose reports come here, too
        config.pluginmanager.register(FailuresAtOnce(terminal))


@pytest.fixture(scope="session")
def needs_detector() -> Callable[[str], None]:
    """Skips a test whose detector's package or files are not here and cannot be had."""

    def need(name: str) -> None:
        # Looked up, not imported: importing MediaPipe plainly would bring TensorFlow in.
        package = DETECTOR_PACKAGES.get(name)
        if package and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
        for reason in filter(None, map(_why_absent, DETECTOR_FILES.get(name, ()))):
            pytest.skip(reason)

    return need


@pytest.fixture(scope="session")
def needs_geometry() -> None:
    """Skips a test of faces' geometry where LiteRT or the landmarker's file cannot be had."""
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    if reason := _why_absent("face_landmarker.task"):
        pytest.skip(reason)


@functools.cache
def _why_absent(file: str) -> str:
    """Fetches a weight file once; gives why it cannot be had, or nothing."""
    try:
        asset_path(file)
    except FileNotFoundError as error:
        return f"not to be had: {str(error).partition(' Tried:')[0]}"
    return ""


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """The portrait of Eileen Collins (NASA, public domain): `(512, 512, 3)` uint8 RGB, one face."""
    return pytest.importorskip("skimage.data").astronaut()


@pytest.fixture(scope="session")
def portrait(astronaut) -> Image.Image:
    """The same as an image of Pillow."""
    return Image.fromarray(astronaut)


@pytest.fixture(scope="module")
def photo(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same as a file: its path, with a space in it, as a command line gives it."""
    return str(write_image(tmp_path_factory.mktemp("photo") / "her face.png", astronaut))


def _shared_folder(variable: str, name: str) -> Path:
    folder = Path(os.environ.get(variable, REPOSITORY.parent / "shared" / name))
    if not folder.is_dir():
        pytest.skip(f"shared data absent: no folder {folder}; set {variable}")
    return folder


@pytest.fixture(scope="session")
def media_dir() -> Path:
    """The folder with `photos/` and `videos/`; BUILDER_TOOLS_MEDIA or ../shared/media."""
    return _shared_folder("BUILDER_TOOLS_MEDIA", "media")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the data sets; BUILDER_TOOLS_DATA or ../shared/data."""
    return _shared_folder("BUILDER_TOOLS_DATA", "data")


@dataclass(frozen=True)
class FaceVideo:
    """A video made in the test: a real face fades in, pans, grows and fades out.

    The face is fully there in `face_frames`; before `first_face` and after them it fades.
    """

    path: Path
    num_frames: int = 90
    fps: Fraction = Fraction(30000, 1001)
    size: tuple[int, int] = (640, 360)
    face_frames: range = range(15, 75)
    sound_hz: int = 440
    sound_rate: int = 44100

    def time_s(self, index: int) -> float:
        return float(index / self.fps)

    @property
    def duration_s(self) -> float:
        return self.time_s(self.num_frames)


def face_image(video: FaceVideo, index: int, head: np.ndarray) -> np.ndarray:
    """Paints frame `index`: `(360, 640, 3)` uint8 RGB."""
    width, height = video.size
    ramp = np.linspace(60, 150, width, dtype=np.float32)
    image = np.repeat(np.repeat(ramp[None, :, None], height, 0), 3, 2)
    side = 160 + index
    face = cv2.resize(head, (side, side)).astype(np.float32)
    left, top = 40 + 3 * index, 60 + index // 3
    fade = min(index / video.face_frames.start, 1.0, (video.num_frames - 1 - index) / 14)
    spot = image[top : top + side, left : left + side]
    spot += fade * (face[: spot.shape[0], : spot.shape[1]] - spot)
    return np.rint(image).astype(np.uint8)


def _write_face_video(video: FaceVideo, head: np.ndarray) -> None:
    import av

    with av.open(str(video.path), "w") as output:
        images = output.add_stream("libx264", rate=video.fps)
        images.width, images.height = video.size
        images.pix_fmt = "yuv420p"
        sound = output.add_stream("aac", rate=video.sound_rate, layout="mono")
        for index in range(video.num_frames):
            image = face_image(video, index, head)
            output.mux(images.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(images.encode(None))
        times = np.arange(round(video.duration_s * video.sound_rate)) / video.sound_rate
        wave = 0.3 * np.sin(2 * np.pi * video.sound_hz * times).astype(np.float32)
        samples = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        samples.sample_rate, samples.pts = video.sound_rate, 0
        samples.time_base = Fraction(1, video.sound_rate)
        output.mux(sound.encode(samples))
        output.mux(sound.encode(None))


@pytest.fixture(scope="session")
def face_video(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> FaceVideo:
    """A real H.264 video with AAC sound (a 440 Hz tone) and a moving face; see `FaceVideo`."""
    video = FaceVideo(tmp_path_factory.mktemp("video") / "face.mp4")
    _write_face_video(video, astronaut[FACE_IN_ASTRONAUT])
    return video


class MjpegServer:
    """A network camera on loopback: MJPEG over HTTP, with a counter burnt into every image.

    `counter` is the number of the newest image made; it grows with time whether or not
    anybody looks. `stop()` is a camera that vanishes, `start()` brings it back at the same
    address, `silent = True` keeps the connection but sends nothing.
    """

    BLOCK_PX = 16
    BITS = 16

    def __init__(self, image: np.ndarray, fps: float = 25.0) -> None:
        self.fps = fps
        self.silent = False
        self.num_clients = 0
        self._image = image
        self._port = 0
        self._start_s = time.monotonic()
        self._server: http.server.ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/stream.mjpg"

    @property
    def counter(self) -> int:
        return int((time.monotonic() - self._start_s) * self.fps)

    def start(self) -> None:
        self._stopped = threading.Event()
        self._server = _CameraHttpServer(("127.0.0.1", self._port), _CameraHandler)
        self._server.camera, self._server.stopped = self, self._stopped
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._stopped.set()
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            self._wait_for_clients()

    def _wait_for_clients(self) -> None:
        deadline_s = time.monotonic() + 3
        while self.num_clients and time.monotonic() < deadline_s:
            time.sleep(0.01)

    def jpeg(self, counter: int) -> bytes:
        image = self._image.copy()
        for bit in range(self.BITS):
            left = bit * self.BLOCK_PX
            image[: self.BLOCK_PX, left : left + self.BLOCK_PX] = 255 * (counter >> bit & 1)
        return cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()

    def counter_in(self, image_rgb: np.ndarray) -> int:
        """Reads the counter out of a received image."""
        middle = self.BLOCK_PX // 2
        row = image_rgb[middle, middle : self.BITS * self.BLOCK_PX : self.BLOCK_PX]
        return sum(int(value > 127) << bit for bit, value in enumerate(row.mean(axis=1)))


class _CameraHttpServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    camera: MjpegServer
    stopped: threading.Event


class _CameraHandler(http.server.BaseHTTPRequestHandler):
    server: _CameraHttpServer

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        self.server.camera.num_clients += 1
        try:
            self._stream()
        except OSError:
            pass  # the client has gone, which is its right
        finally:
            self.server.camera.num_clients -= 1

    def _stream(self) -> None:
        camera, last = self.server.camera, -1
        while not self.server.stopped.wait(0.2 / camera.fps):
            counter = camera.counter
            if camera.silent or counter == last:
                continue
            last, data = counter, camera.jpeg(counter)
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")


@pytest.fixture
def mjpeg_server(astronaut: np.ndarray) -> Iterator[MjpegServer]:
    """A running network camera that shows the astronaut at 25 frames a second."""
    server = MjpegServer(astronaut)
    server.start()
    yield server
    server.stop()


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Waits for what other threads or processes bring about; fails where it does not come."""
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.02)
