"""Cameras: frames in real time, lost ones that come back, and clean ends."""

import logging
import socket
import subprocess
import sys
import time
from functools import partial
from itertools import takewhile
from threading import Thread

import cv2
import numpy as np
import pytest
from conftest import wait_until

from builder_tools.media import CameraReader, VideoReader
from builder_tools.media.addresses import camera_name
from builder_tools.media.connections import camera_of

PATIENCE_S = 30.0
"""Far more than anything here takes, even on a busy machine."""


def test_every_read_is_a_newer_image(mjpeg_server, astronaut):
    with CameraReader(mjpeg_server.url) as camera:
        frames = [camera.read(PATIENCE_S) for _ in range(12)]
        assert camera.size == (512, 512)
    counters = [mjpeg_server.counter_in(frame.image) for frame in frames]
    assert (np.diff(counters) > 0).all()
    assert (np.diff([frame.index for frame in frames]) > 0).all()
    assert (np.diff([frame.time_s for frame in frames]) > 0).all()
    assert 0 <= frames[0].time_s < 5
    image = frames[-1].image[32:].astype(int)
    assert np.abs(image - astronaut[32:]).mean() < 6  # red is red and blue is blue


def test_a_slow_reader_sees_now_and_not_the_past(mjpeg_server):
    with CameraReader(mjpeg_server.url) as camera:
        camera.read(PATIENCE_S)
        time.sleep(1.2)
        frame = camera.read(PATIENCE_S)
        behind = mjpeg_server.counter - mjpeg_server.counter_in(frame.image)
        assert camera.dropped >= 10
        assert frame.index >= camera.dropped
    assert behind <= 15  # a queue would be about 30 behind


def test_a_read_in_vain_ends_in_time(mjpeg_server):
    with CameraReader(mjpeg_server.url) as camera:
        camera.read(PATIENCE_S)
        mjpeg_server.silent = True
        time.sleep(0.5)
        camera.read(0)
        start_s = time.monotonic()
        assert camera.read(0.2) is None and not camera.ended
        assert 0.15 < time.monotonic() - start_s < 5


def test_a_camera_that_comes_back_goes_on(mjpeg_server, caplog):
    with (
        caplog.at_level(logging.WARNING),
        CameraReader(
            mjpeg_server.url, retries=50, first_delay_s=0.1, longest_delay_s=0.1
        ) as camera,
    ):
        before = camera.read(PATIENCE_S)
        mjpeg_server.stop()
        wait_until(lambda: "Connection refused" in caplog.text)
        camera.read(0)
        mjpeg_server.start()
        after = camera.read(PATIENCE_S)
        assert after is not None and camera.error is None and not camera.ended
        assert after.index > before.index and after.time_s > before.time_s
    assert "Lost http" in caplog.text and "is back" in caplog.text


def test_a_camera_that_stays_away_ends_cleanly_with_growing_pauses(mjpeg_server, caplog):
    with (
        caplog.at_level(logging.WARNING),
        CameraReader(mjpeg_server.url, retries=3, first_delay_s=0.1, longest_delay_s=0.2) as camera,
    ):
        camera.read(PATIENCE_S)
        mjpeg_server.stop()
        assert len(list(camera)) <= 1
        assert camera.ended and camera.read(0) is None
    assert mjpeg_server.url in camera.error
    assert "3 attempts to reconnect failed: Connection refused" in camera.error
    pauses = [line.split(" in ")[-1] for line in caplog.messages if "Attempt" in line]
    assert pauses == ["0.1 s.", "0.2 s.", "0.2 s."]


def test_a_silent_camera_counts_as_lost(mjpeg_server):
    with CameraReader(mjpeg_server.url, timeout_s=0.5, retries=0) as camera:
        camera.read(PATIENCE_S)
        mjpeg_server.silent = True
        list(camera)
        assert "silent for 0.5 s" in camera.error


def test_closing_never_hangs(mjpeg_server):
    camera = CameraReader(mjpeg_server.url, timeout_s=30)
    mjpeg_server.silent = True
    time.sleep(0.3)
    start_s = time.monotonic()
    camera.close()
    camera.close()
    assert time.monotonic() - start_s < 15
    assert camera.ended and camera.error is None
    assert list(camera)[1:] == []


def test_closing_ends_the_waiting_for_a_reconnection(mjpeg_server, caplog):
    with caplog.at_level(logging.WARNING):
        camera = CameraReader(mjpeg_server.url, first_delay_s=60, longest_delay_s=60)
        mjpeg_server.stop()
        wait_until(lambda: "Attempt 1" in caplog.text)
        start_s = time.monotonic()
        camera.close()
    assert time.monotonic() - start_s < 10


def test_leaving_without_close_ends_the_process_cleanly(mjpeg_server):
    code = (
        "import sys; from builder_tools.media import CameraReader;"
        "camera = CameraReader(sys.argv[1]); print(camera.read(9).image.shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, mjpeg_server.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "(512, 512, 3)", "")


def test_a_finite_address_ends_without_an_error(face_video):
    with CameraReader(face_video.path.as_uri(), retries=0) as camera:
        frames = list(camera)
    assert 1 <= len(frames) <= 90 and frames[-1].index == 89
    assert camera.error is None


def test_no_camera_says_what_was_tried():
    with pytest.raises(
        ConnectionError, match=r"Tried: camera 61 .*devices present|Tried: camera 61"
    ):
        CameraReader(61)
    start_s = time.monotonic()
    with pytest.raises(ConnectionError, match=r"Tried: http://127\.0\.0\.1:9/ .*refused"):
        CameraReader("http://127.0.0.1:9/", timeout_s=2)
    with pytest.raises(ConnectionError, match=r"rtsp://\*\*\*@127\.0\.0\.1:9/") as caught:
        CameraReader("rtsp://user:secret@127.0.0.1:9/", timeout_s=2)
    assert "secret" not in str(caught.value)
    assert time.monotonic() - start_s < 20


@pytest.mark.parametrize("source", ["film.mp4", "", -1, True, 1.5, None])
def test_what_cannot_name_a_camera_is_refused(source):
    with pytest.raises(ValueError, match="camera index"):
        CameraReader(source)


def test_sources_are_understood():
    assert [camera_of(s) for s in (2, "2", "/dev/video3")] == [2, 2, "/dev/video3"]
    assert camera_name("http://a:b@host/x") == "http://***@host/x"
    assert camera_name("rtsp://a:b@c@host/x@y") == "rtsp://***@host/x@y", "b@c is the password"
    assert camera_name("http://host?to=a@b") == "http://host?***"
    assert camera_name("http://host/x?user=admin&password=se/cret#a") == "http://host/x?***"
    assert camera_name("rtsp://host/user=me_password=secret_channel=1") == "rtsp://host/user=***"
    assert camera_name("rtsp://host/user=me&password=secret/1") == "rtsp://host/user=***/1"
    assert camera_name("/dev/v4l/by-id/a=b") == "/dev/v4l/by-id/a=b"


class _FakeCapture:
    """Stands in for a webcam, which test machines lack: five images, then unplugged."""

    opened = 0

    def __init__(self, camera):
        type(self).opened += 1
        self._left = 5 if self.opened < 3 else 0

    def isOpened(self):
        return self.opened < 3

    def set(self, key, value):
        return True

    def read(self):
        time.sleep(0.02)
        self._left -= 1
        image = np.zeros((48, 64, 3), np.uint8)
        image[..., 0] = 255  # blue, as OpenCV orders it
        return (True, image) if self._left >= 0 else (False, None)

    def release(self):
        pass


def test_a_webcam_is_read_as_rgb_and_opened_again(monkeypatch):
    monkeypatch.setattr(_FakeCapture, "opened", 0)
    monkeypatch.setattr(cv2, "VideoCapture", _FakeCapture)
    monkeypatch.setattr("builder_tools.media.connections._on_linux", lambda: False)
    with CameraReader(0, retries=1, first_delay_s=0.05) as camera:
        frames = list(camera)
    assert frames[0].image[0, 0].tolist() == [0, 0, 255] and camera.size == (64, 48)
    assert frames[-1].index == 9 and camera.dropped == 10 - len(frames)
    assert camera.error == (
        "Lost camera 0: it gives no image. 1 attempts to reconnect failed: it does not open."
    )


SESSION = b"v=0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:track1\r\n"


def serve_rtsp(server, asked):
    """Describe one film to one client, note how its images should come, and refuse that."""
    with server.accept()[0] as client:
        for request in iter(partial(request_lines, client.makefile("rb")), []):
            word = request[0].split()[0]
            number = next(line for line in request if line.startswith("CSeq"))
            asked += [line for line in request if line.startswith("Transport")]
            status = "461 Unsupported" if word == "SETUP" else "200 OK"
            body = SESSION if word == "DESCRIBE" else b""
            head = [f"RTSP/1.0 {status}", number, "Content-Type: application/sdp"]
            text = "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""])
            client.sendall(text.encode() + body)


def request_lines(file):
    return [line.decode().strip() for line in takewhile(bytes.strip, file)]


@pytest.mark.parametrize("reader", [VideoReader, partial(CameraReader, timeout_s=5)])
def test_rtsp_is_asked_for_over_tcp_as_packets_of_udp_get_lost(reader):
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve_rtsp, args=(server, asked))
        thread.start()
        with pytest.raises(OSError):
            reader(f"rtsp://127.0.0.1:{server.getsockname()[1]}/x")
        thread.join(10)
    assert asked == ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1"]
