"""Clients that ask and do not read the answer, and requests that wait for others."""

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import pytest

pytest.importorskip("fastapi")

import uvicorn
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from builder_tools.web.engine import MOST_WAITING, Engine
from builder_tools.web.guard import Guard
from builder_tools.web.jobs import Jobs, Told
from builder_tools.web.limits import Limits, Refused
from builder_tools.web.result_store import ResultStore
from builder_tools.web.server import WebSettings, create_app, server_config
from builder_tools.web.videos import watch_video

LINES = 8000
ASKED = b"GET /job HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Turn:
    """A job whose lines are made while it holds the turn, as those of videos are."""

    def __init__(self):
        self.free, self.ended = threading.Semaphore(1), threading.Event()

    def steps(self):
        self.free.acquire()
        try:
            for _ in range(LINES):
                yield "x" * 1000
        finally:
            self.free.release()
            self.ended.set()


@pytest.fixture
def turn():
    return Turn()


@pytest.fixture
def place(tmp_path, turn):
    """A running server's address."""
    app, jobs = FastAPI(), Jobs(ResultStore(tmp_path / "store"))

    @app.get("/job")
    async def job(request: Request) -> Told:
        return Told(request, turn.steps(), jobs.begin())

    with contextlib.closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        guarded = Guard(app, password=None, hosts=[], max_bytes=1_000_000)
        server = uvicorn.Server(server_config(guarded))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()
        server.should_exit = True
        thread.join(30)


@contextlib.contextmanager
def asking(place):
    with contextlib.closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(place)
        client.sendall(ASKED)
        yield client


def test_whoever_does_not_read_the_answer_gives_the_turn_back(place, turn, monkeypatch):
    """A stranger's open connection kept everybody else's videos and batches waiting for ever."""
    monkeypatch.setattr("builder_tools.web.connections.STALL_S", 0.5)
    monkeypatch.setattr("builder_tools.web.connections.SLOWEST_BYTES", 200_000)
    with asking(place):
        assert turn.ended.wait(30)


def test_whoever_reads_in_pieces_gets_the_whole_answer(place, turn, monkeypatch):
    monkeypatch.setattr("builder_tools.web.connections.STALL_S", 3.0)
    size, rests = 0, 0
    with asking(place) as client:
        while data := client.recv(1 << 20):
            size += len(data)
            if size > (rests + 1) * LINES * 250:  # some rests that are short enough
                rests += 1
                time.sleep(1.0)
    assert size > LINES * 1000 and rests >= 3 and turn.ended.wait(10)


def test_no_more_photos_wait_than_may_and_all_else_goes_on(tmp_path, astronaut):
    """Forty took all threads: the others waited uncounted, and not even /health was answered."""
    photo, too_many = cv2.imencode(".jpg", astronaut[::2, ::2, ::-1])[1].tobytes(), 6
    engine = Engine(workers=1)
    app = create_app(WebSettings(), tmp_path / "app", engine)
    count = MOST_WAITING + too_many
    with TestClient(app, base_url="http://127.0.0.1") as client, ThreadPoolExecutor(99) as threads:
        with engine._turn:
            asked = [threads.submit(client.post, "/api/photo", content=photo) for _ in range(count)]
            end_s = time.monotonic() + 20
            while sum(one.done() for one in asked) < too_many and time.monotonic() < end_s:
                time.sleep(0.1)
            health = threads.submit(client.get, "/health")
            time.sleep(5)
            is_answered, done = health.done(), [one for one in asked if one.done()]
        assert is_answered and {one.result().status_code for one in done} == {503}
        codes = sorted(one.result().status_code for one in asked)
    assert codes == [200] * MOST_WAITING + [503] * too_many


def test_a_video_of_too_many_images_gives_the_turn_back(face_video, tmp_path, monkeypatch):
    """A film of 600 s may have millions of images of some bytes each."""
    monkeypatch.setattr("builder_tools.web.videos.MOST_FPS", 1)
    steps = watch_video(face_video.path, tmp_path, Engine(workers=1), Limits(max_video_s=10))
    with pytest.raises(Refused) as caught:
        list(steps)
    assert (caught.value.code, caught.value.facts["limit"]) == ("too_many_images", 10)
    assert len((tmp_path / "frames.jsonl").read_text().splitlines()) == 10
    assert not (tmp_path / "annotated.mp4").exists()
