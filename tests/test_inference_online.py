"""`online` on a real MJPEG stream over loopback: live, shown, recorded, lost, let go."""

import functools
import itertools
import json
import re
import sys
import threading
import time

import pytest
from conftest import wait_until
from fakes import Busy, FakeDetector, FakeModel

import builder_tools.media.camera
import builder_tools.media.window
from builder_tools.cli import main
from builder_tools.drawing import DrawBox
from builder_tools.inference import Inference
from builder_tools.media import CameraReader, VideoReader

HEADLESS = ["online", "--headless", "--detector", "haar"]


class PassOn:
    """Draws nothing and remembers the speeds it was asked to write."""

    def __init__(self):
        self.speeds = []

    def draw(self, image_rgb, faces, fps=None):
        self.speeds.append(fps)
        return image_rgb


def online(model=None, drawer=None, **options):
    options = {"show_state_mode": "none", **options}
    return Inference(
        model or FakeModel(),
        FakeDetector(1),
        drawer or PassOn(),
        inference_mode="online",
        **options,
    )


class FakeWindow:
    """A window on no screen, in which nobody presses a key."""

    def __init__(self, title):
        self.title, self.closed = title, False

    def show(self, image, *, wait_ms=1):
        return None

    def close(self):
        self.closed = True


@pytest.fixture
def impatient(monkeypatch):
    """Cameras that are given up after half a second."""
    quick = functools.partial(
        CameraReader, retries=2, first_delay_s=0.1, longest_delay_s=0.1, timeout_s=1
    )
    monkeypatch.setattr(builder_tools.media.camera, "CameraReader", quick)


def test_a_network_camera_is_watched(mjpeg_server):
    with (
        Inference(inference_mode="online", show_state_mode="none") as inference,
        inference.run(mjpeg_server.url, max_frames=5) as stream,
    ):
        results = list(stream)
    assert [[face.emotion for face in result.faces] for result in results] == [["happy"]] * 5
    frames = [result.frame for result in results]
    assert frames == sorted(set(frames))
    assert all(one.time_s < other.time_s for one, other in itertools.pairwise(results))
    assert {result.source for result in results} == {mjpeg_server.url}


def test_the_speed_is_given_to_the_drawer(mjpeg_server):
    drawer = PassOn()
    online(drawer=drawer).run(mjpeg_server.url, max_frames=15).drain()
    assert drawer.speeds[0] is None
    assert 0 < drawer.speeds[-1] < 100  # the camera gives 25 frames a second, a busy machine less


class Noting(DrawBox):
    """Remembers what it was asked to write."""

    def __init__(self):
        super().__init__()
        self.notes = []

    def draw(self, image_rgb, faces, fps=None, *, dropped=None):
        self.notes.append(dropped)
        return super().draw(image_rgb, faces, fps, dropped=dropped)


def test_dropped_images_are_shown(mjpeg_server):
    drawer, results = Noting(), []
    with online(drawer=drawer).run(mjpeg_server.url) as stream:
        while not results or drawer.notes[-1] < 6:  # 25 frames a second, 5 of them looked at
            results.append(next(stream))
            time.sleep(0.2)
    assert drawer.notes == [result.frame - shown for shown, result in enumerate(results)]


def test_the_newest_image_wins(mjpeg_server):
    """A consumer of three frames a second skips most of the 25 and is never far in the past."""
    results = []
    with online().run(mjpeg_server.url, max_frames=6) as stream:
        for result in stream:
            behind = mjpeg_server.counter - mjpeg_server.counter_in(result.image)
            results.append((result, behind))
            time.sleep(0.33)
    # After the sleep the image waiting is new; a queue would fall 7 more behind each time.
    assert results[-1][1] < 25
    assert stream.dropped >= 10


def test_detector_model_and_looker_work_at_the_same_time(mjpeg_server):
    busy = Busy()

    class Detector(FakeDetector):
        def detect(self, image_rgb):
            return super().detect(busy.work("detector", 0.2)(image_rgb))

    class Model(FakeModel):
        def predict(self, faces):
            return super().predict(busy.work("model", 0.2)(faces))

    inference = Inference(
        Model(), Detector(1), PassOn(), inference_mode="online", show_state_mode="none"
    )
    look, count = busy.work("looker", 0.2), 0
    with inference, inference.run(mjpeg_server.url) as stream:
        while {"detector", "model", "looker"} not in busy.together or stream.dropped < 10:
            result, count = look(next(stream)), count + 1
    assert stream.dropped == result.frame - count + 1


def test_what_goes_wrong_in_a_stage_is_told_and_the_camera_let_go(mjpeg_server):
    class Broken(FakeModel):
        def predict(self, faces):
            raise ArithmeticError("the model broke")

    with pytest.raises(ArithmeticError, match="the model broke"):
        online(Broken()).run(mjpeg_server.url).drain()
    wait_until(lambda: mjpeg_server.num_clients == 0)


def test_a_window_listens_while_the_camera_is_away(mjpeg_server, monkeypatch):
    """Before, q was heard only with the next image."""
    patient = functools.partial(CameraReader, retries=50, first_delay_s=0.2, longest_delay_s=0.2)
    monkeypatch.setattr(builder_tools.media.camera, "CameraReader", patient)

    class PressesQ(FakeWindow):
        def show(self, image, *, wait_ms=1):
            return None if mjpeg_server.num_clients else "q"

    monkeypatch.setattr(builder_tools.media.window, "Window", PressesQ)
    with online(show_state_mode="cv2").run(mjpeg_server.url) as stream:
        next(stream)
        mjpeg_server.stop()
        stream.drain()
        assert stream.source.error is None, "q ends it, not the last of 50 attempts"


def test_a_camera_that_comes_back_goes_on(mjpeg_server, monkeypatch, caplog):
    patient = functools.partial(CameraReader, retries=50, first_delay_s=0.1, longest_delay_s=0.1)
    monkeypatch.setattr(builder_tools.media.camera, "CameraReader", patient)
    with online().run(mjpeg_server.url) as stream:
        before = [next(stream) for _ in range(3)]
        mjpeg_server.stop()
        back = threading.Timer(0.7, mjpeg_server.start)
        back.start()
        after = [next(stream) for _ in range(6)]
        back.join()
    assert after[-1].frame > before[-1].frame and after[-1].time_s > before[-1].time_s + 0.3
    assert "Lost" in caplog.text and "is back" in caplog.text
    assert stream.source.error is None


def test_a_camera_that_stays_away_is_exit_1_and_a_sentence(
    mjpeg_server, impatient, monkeypatch, capsys, caplog
):
    read = CameraReader.read

    def last(self, timeout_s=None):
        frame = read(self, timeout_s)
        if mjpeg_server.num_clients:
            mjpeg_server.stop()
        return frame

    monkeypatch.setattr(CameraReader, "read", last)
    assert main([*HEADLESS, "--camera", mjpeg_server.url]) == 1
    assert "2 attempts to reconnect failed" in caplog.text and mjpeg_server.url in caplog.text
    assert capsys.readouterr().out.count("\n") >= 1  # what was seen before


def test_headless_prints_json_lines_and_ends(mjpeg_server, capsys):
    code = main(["online", "--headless", "--camera", mjpeg_server.url, "--max-frames=4", "--json"])
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and len(lines) == 4
    assert [[face["emotion"] for face in line["faces"]] for line in lines] == [["happy"]] * 4
    assert re.search(r"\d+ frames? dropped to stay live", err)


def test_a_password_is_not_printed(mjpeg_server, capsys):
    address = mjpeg_server.url.replace("http://", "http://guest:secret@")
    assert main([*HEADLESS, "--camera", address, "--max-frames", "1", "--json"]) == 0
    assert "secret" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("camera", "tried"), [("61", "camera 61"), ("http://127.0.0.1:9/", "http://127.0.0.1:9/")]
)
def test_no_camera_is_exit_2_and_what_was_tried(camera, tried, capsys):
    assert main([*HEADLESS, "--camera", camera]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Tried: " in err and tried in err and "Traceback" not in err


def test_what_names_no_camera_is_exit_2(capsys):
    assert main([*HEADLESS, "--camera", "film.mp4"]) == 2
    assert "camera index" in capsys.readouterr().err


def test_without_a_screen_a_window_is_refused(monkeypatch, mjpeg_server, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(RuntimeError, match=r"DISPLAY is not set.*--headless"):
        online(show_state_mode="cv2").run(mjpeg_server.url)
    assert main(["online", "--camera", mjpeg_server.url]) == 2
    said = capsys.readouterr().err
    assert "--headless" in said and "--out" not in said  # which `online` has not
    assert mjpeg_server.num_clients == 0  # the camera was not even opened


@pytest.mark.parametrize("early", [False, True])
def test_what_a_camera_shows_is_recorded(mjpeg_server, tmp_path, early):
    """A camera has no end of its own, so one that is ended early keeps its film."""
    out = tmp_path / "visit.mp4"
    with online() as inference:
        results = inference.run(mjpeg_server.url, out=out, max_frames=6)
        taken = [next(results) for _ in range(5)] if early else list(results)
        results.close()
    with VideoReader(out) as film:
        times = [frame.time_s for frame in film]
    wanted = [result.time_s - taken[0].time_s for result in taken]
    assert times == pytest.approx(wanted, abs=0.001)
    assert [path.name for path in tmp_path.iterdir()] == ["visit.mp4"]


def test_a_recording_is_kept_after_an_error_elsewhere(mjpeg_server, tmp_path):
    def break_late(seen):
        if seen == 5:
            raise ArithmeticError("the model broke")

    out, given = tmp_path / "visit.mp4", []
    with online(FakeModel(break_late)) as inference:
        results = inference.run(mjpeg_server.url, out=out)
        with pytest.raises(ArithmeticError, match="the model broke"):
            given.extend(results)
    with VideoReader(out) as film:
        assert len(list(film)) == len(given) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["visit.mp4"]


def test_a_snapshot_that_cannot_be_saved_ends_nothing(mjpeg_server, tmp_path, monkeypatch, caplog):
    class PressesS(FakeWindow):
        def show(self, image, *, wait_ms=1):
            return "s"

    monkeypatch.setattr(builder_tools.media.window, "Window", PressesS)
    (tmp_path / "file").touch()
    with online(show_state_mode="cv2", snapshot_folder=tmp_path / "file") as inference:
        results = inference.run(mjpeg_server.url, out=tmp_path / "visit.mp4", max_frames=3)
        assert results.drain() == 3
    assert caplog.text.count("No snapshot is saved") == 3 and str(tmp_path / "file") in caplog.text
    with VideoReader(tmp_path / "visit.mp4") as film:
        assert len(list(film)) == 3


def test_a_camera_that_is_not_looked_at_leaves_no_film(mjpeg_server, tmp_path):
    with online() as inference:
        inference.run(mjpeg_server.url, out=tmp_path / "visit.mp4").close()
    assert list(tmp_path.iterdir()) == []


def test_an_early_close_lets_the_camera_go(mjpeg_server):
    for frames_read in (0, 2):
        stream = online().run(mjpeg_server.url)
        for _ in range(frames_read):
            next(stream)
        assert mjpeg_server.num_clients == 1
        stream.close()
        wait_until(lambda: mjpeg_server.num_clients == 0)
        assert list(stream) == []


def test_a_window_is_closed_where_the_source_cannot_be_opened(monkeypatch):
    opened = []

    class Noted(FakeWindow):
        def __init__(self, title):
            super().__init__(title)
            opened.append(self)

    monkeypatch.setattr(builder_tools.media.window, "Window", Noted)
    with pytest.raises(ConnectionError):
        online(show_state_mode="cv2").run("http://127.0.0.1:9/")
    assert [window.closed for window in opened] == [True]
