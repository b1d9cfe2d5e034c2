"""How much a server holds at once, whoever asks: decoded images, bytes on disk, jobs."""

import asyncio
import shutil
import socket
import struct
import tempfile
import time
from contextlib import ExitStack

import cv2
import httpx
import numpy as np
import pytest
from web_server import running

pytest.importorskip("fastapi")

from starlette.requests import Request
from starlette.testclient import TestClient

from builder_tools.web import jobs as jobs_module
from builder_tools.web import photos
from builder_tools.web import result_store as results
from builder_tools.web.engine import Engine
from builder_tools.web.jobs import Jobs
from builder_tools.web.limits import Limits, Refused
from builder_tools.web.result_store import ResultStore
from builder_tools.web.server import WebSettings, create_app
from builder_tools.web.uploads import read_image_upload

JOB_PATHS = ("/en/video", "/ru/batch", "/api/video", "/api/batch")


@pytest.fixture(scope="module")
def engine():
    made = Engine(workers=2)
    yield made
    made.close()


@pytest.fixture
def make_client(engine, tmp_path):
    def made(**limits):
        app = create_app(WebSettings(limits=Limits(**limits)), tmp_path / "app", engine)
        client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
        return client, tmp_path / "app"

    return made


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "private", most_bytes=1000)


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when told: `clock["s"] += 1`."""
    now = {"s": 1000.0}
    monkeypatch.setattr(results.time, "monotonic", lambda: now["s"])
    return now


# memory


def test_no_image_is_decoded_before_its_turn(make_client, astronaut, monkeypatch):
    """Nobody gets a turn here; whoever decoded first would fill the memory while waiting."""
    decoded = []

    def read_image(data, **limits):
        decoded.append(len(data))
        return astronaut

    monkeypatch.setattr("builder_tools.web.engine.MOST_WAITING", 0)
    monkeypatch.setattr(photos, "read_image", read_image)
    client, _ = make_client()
    photo = cv2.imencode(".jpg", astronaut)[1].tobytes()
    answer = client.post("/api/photo", content=photo)
    assert (answer.status_code, answer.json()["error"]) == (503, "busy")
    assert "Too many requests" in client.post("/en/photo", content=photo).text
    for path in ("/api/camera", "/en/camera"):
        with client.websocket_connect(f"ws://127.0.0.1{path}") as camera:
            camera.send_bytes(struct.pack("<I", 1) + photo)
            assert camera.receive_json()["error"] == "busy"
    assert decoded == []


def test_a_turn_lasts_until_the_decoded_image_is_no_longer_needed(
    make_client, engine, astronaut, monkeypatch
):
    def photo_html(*_, **__):
        with pytest.raises(Refused), engine.turn():
            pass  # there is another one
        return "<p>"

    monkeypatch.setattr("builder_tools.web.engine.MOST_WAITING", 1)
    monkeypatch.setattr("builder_tools.web.markup.photo_html", photo_html)
    client, _ = make_client()
    photo = cv2.imencode(".jpg", astronaut)[1].tobytes()
    assert client.post("/en/photo", content=photo).text == "<p>"
    with engine.turn():
        pass
