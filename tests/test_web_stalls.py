"""Clients that ask and do not read the answer, and requests that wait for others."""

import contextlib
import socket
import threading
import time

import pytest

pytest.importorskip("fastapi")

import uvicorn
from fastapi import FastAPI, Request

from builder_tools.web.guard import Guard
from builder_tools.web.jobs import Jobs, Told
from builder_tools.web.result_store import ResultStore
from builder_tools.web.server import server_config

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
