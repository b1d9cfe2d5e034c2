"""How much a server holds at once, whoever asks: decoded images, bytes on disk, jobs."""

import asyncio
import io
import json
import os
import shutil
import socket
import struct
import tempfile
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import cv2
import numpy as np
import pytest
from web_server import running

pytest.importorskip("fastapi")

from starlette.requests import Request
from starlette.testclient import TestClient

from builder_tools.web import engine as engine_module
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
def photo(astronaut):
    return cv2.imencode(".jpg", astronaut[::2, ::2, ::-1])[1].tobytes()


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


# disk


def test_what_is_promised_counts_until_the_job_ends(store, clock):
    (one, folder), (other, _) = store.new(400), store.new(500)
    clock["s"] += results.MEASURED_S + 1
    with pytest.raises(Refused) as caught:
        store.new(101)
    assert caught.value.code == "full", "nothing of it has come yet, but it may"
    (folder / ".upload").write_bytes(bytes(300))
    clock["s"] += results.MEASURED_S + 1
    with pytest.raises(Refused):
        store.new(101)
    store.finish(one)
    with pytest.raises(Refused):
        store.new(201)
    last, folder = store.new(200)
    (folder / "result").write_bytes(bytes(500))
    clock["s"] += results.MEASURED_S + 1
    with pytest.raises(Refused):
        store.new()  # more came than was promised
    assert store.delete(last) and store.delete(other)
    store.new(700)


def test_a_full_server_takes_small_files_and_no_large_ones(make_client):
    client, _ = make_client(max_stored_mb=0.002)
    for path in JOB_PATHS:
        answer = client.post(path, content=bytes(3000))
        assert (answer.status_code, answer.json()["error"]) == (503, "full"), path
        assert int(answer.headers["retry-after"]) > 0
    small = client.post("/en/video", content=b"x")
    assert small.status_code == 200 and "not a video" in small.json()["html"]


def test_a_zip_is_unpacked_only_where_there_is_room_for_its_images(make_client):
    client, folder = make_client(max_stored_mb=0.5)
    data = np.random.default_rng(0).bytes(10_000) * 20
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"{number}.jpg", data)
    assert len(packed.getvalue()) < 50_000
    told = json.dumps([{"name": "a.zip", "size": len(packed.getvalue())}]).encode() + b"\n"
    assert (
        "as many files as it may" in client.post("/en/batch", content=told + packed.getvalue()).text
    )
    answer = client.post("/api/batch", content=packed.getvalue())
    assert (answer.status_code, answer.json()["error"]) == (503, "full")
    assert list((folder / "results").iterdir()) == []


def begin_upload(address, path, *headers):
    """Begins an upload of which nothing comes."""
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    head = "\r\n".join((f"POST {path} HTTP/1.1", f"Host: {host}", *headers))
    connection.sendall(f"{head}\r\n\r\n".encode())
    return connection


def wait_until(is_true, seconds=30.0):
    end_s = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_slow_uploads_take_no_more_room_than_there_is(monkeypatch):
    """One that is sent in pieces may become of any allowed size, whatever length it claims."""
    monkeypatch.setattr(results, "MEASURED_S", -1.0)
    limits = Limits(max_upload_mb=1, max_stored_mb=2.5)
    with running(limits=limits) as (address, folder), ExitStack() as opened:
        whole, pieces = "Content-Length: 1000000", ("Transfer-Encoding: chunked",)
        for number, headers in enumerate(([whole], [*pieces, "Content-Length: 1"]), start=1):
            opened.enter_context(begin_upload(address, "/api/video", *headers))
            wait_until(lambda count=number: len(list((folder / "results").iterdir())) == count)
        for path in JOB_PATHS:
            with begin_upload(address, path, whole) as refused:
                answer = refused.recv(2000).decode()
            assert answer.startswith("HTTP/1.1 503") and "retry-after: " in answer, path
        opened.enter_context(begin_upload(address, "/en/video", "Content-Length: 400000"))
        wait_until(lambda: len(list((folder / "results").iterdir())) == 3)


def test_a_folder_that_goes_while_it_is_measured_counts_as_nothing(store, monkeypatch):
    _, folder = store.new()
    (folder / "images").mkdir()
    scandir = results.os.scandir

    def scan(path):
        if str(path).endswith("images"):
            shutil.rmtree(path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", scan)
    monkeypatch.setattr(results, "MEASURED_S", -1.0)
    _, other = store.new(1000)
    assert other.is_dir() and not (folder / "images").exists()


def form(data, boundary=b"b"):
    head = b'Content-Disposition: form-data; name="file"; filename="her.png"\r\n\r\n'
    return b"--b\r\n" + head + data + b"\r\n--b--\r\n"


def test_a_form_with_a_photo_touches_no_disk(make_client, monkeypatch):
    rolled = []
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", rolled.append)
    client, _ = make_client(max_photo_mb=3)
    pixels = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    data = cv2.imencode(".png", pixels)[1].tobytes()
    assert len(data) > 1_500_000
    answer = client.post("/api/photo", files={"file": ("her.png", data)})
    assert (answer.status_code, answer.json()["source"]) == (200, "her.png")
    assert rolled == []


def test_a_form_is_refused_as_soon_as_it_is_too_large():
    came = []

    async def receive():
        came.append(100_000)
        body = form(b"")[:-9] if len(came) == 1 else bytes(100_000)
        return {"type": "http.request", "body": body, "more_body": len(came) < 100}

    kind = b"multipart/form-data; boundary=b"
    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind)]}
    with pytest.raises(Refused) as caught:
        asyncio.run(read_image_upload(Request(scope, receive), Limits(max_photo_mb=1)))
    assert caught.value.code == "too_big" and caught.value.facts["limit_mb"] == 1
    assert sum(came) < 1_500_000


def test_a_form_that_is_none_is_refused(make_client):
    client, _ = make_client()
    for kind in ("multipart/form-data", "multipart/form-data; boundary=b"):
        answer = client.post("/api/photo", content=b"no form", headers={"content-type": kind})
        assert answer.status_code == 400, kind


# jobs


def test_no_more_jobs_than_may_by_any_way(make_client, monkeypatch):
    monkeypatch.setattr(jobs_module, "MOST_JOBS", 0)
    client, folder = make_client()
    for path in JOB_PATHS:
        answer = client.post(path, content=b"x")
        assert (answer.status_code, answer.json()["error"]) == (503, "busy"), path
    assert list((folder / "results").iterdir()) == []


def test_jobs_that_end_make_room_for_others(make_client, monkeypatch):
    monkeypatch.setattr(jobs_module, "MOST_JOBS", 1)
    client, folder = make_client()
    for _ in range(2):
        for path in JOB_PATHS:
            answer = client.post(path, content=b'[{"name": "a.mp4", "size": 1}]\nx')
            assert answer.status_code != 503, path
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {
        *("submission.csv", "submission.log.csv"),
    }


def test_a_job_that_cannot_begin_takes_no_place(store, monkeypatch):
    monkeypatch.setattr(jobs_module, "MOST_JOBS", 1)
    jobs = Jobs(store)
    with monkeypatch.context() as full:
        full.setattr("pathlib.Path.mkdir", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "")))
        for _ in range(2):
            with pytest.raises(OSError):
                jobs.begin()
    with pytest.raises(Refused):
        jobs.begin(2000)
    jobs.begin(1000).close()
    jobs.begin(1000).close()


def test_the_folder_of_results_is_made_again_if_something_deleted_it(store):
    shutil.rmtree(store.root)
    _, folder = store.new()
    assert folder.is_dir()
    for private in (store.root, folder.parent, folder):
        assert private.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("by", ["link", "user"])
def test_a_folder_that_somebody_else_made_in_its_place_is_not_used(
    store, tmp_path, monkeypatch, by
):
    """In a folder for all, such as /tmp, anybody can make what its cleaner has deleted."""
    shutil.rmtree(store.root)
    if by == "link":
        (tmp_path / "theirs").mkdir()
        store.root.symlink_to(tmp_path / "theirs")
    else:
        store.root.mkdir()
        monkeypatch.setattr(os, "getuid", lambda: store.root.stat().st_uid + 1)
    with pytest.raises(OSError, match="is not this server's"):
        store.new()
    assert not list(tmp_path.glob("*/results/*"))


@pytest.mark.parametrize("path", ["/api/photo", "/api/video"])
def test_what_nobody_foresaw_is_an_error_as_documented(make_client, photo, monkeypatch, path):
    def fails(*_):
        raise OSError("No space left on device: /home/somebody/tmp")

    client, _ = make_client()
    monkeypatch.setattr("builder_tools.web.api.answer_photo", fails)
    monkeypatch.setattr("builder_tools.web.api_jobs.save_upload", fails)
    found = client.post(path, content=photo, headers={"accept-language": "ru"})
    assert (found.status_code, found.json()["error"]) == (500, "internal")
    assert "программы" in found.json()["message"] and "somebody" not in found.text
    assert found.headers["x-content-type-options"] == "nosniff"


def test_others_are_answered_while_a_detector_is_loaded_or_fetched(make_client, photo, monkeypatch):
    """Importing TensorFlow takes 20 seconds, fetching weights minutes; anybody may ask for both."""
    loading, go_on = threading.Event(), threading.Event()

    def slow(given, name, options):
        loading.set()
        assert go_on.wait(60)
        return made(given, name, options)

    monkeypatch.setattr(engine_module, "LONGEST_LOAD_S", 0.2)
    client, _ = make_client()
    made = engine_module.DetectorPool
    monkeypatch.setattr(engine_module, "DetectorPool", slow)

    def ask(query=""):
        return client.post(f"/api/photo{query}", content=photo)

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, "?detector=haar")
        try:
            assert loading.wait(60)
            again = [pool.submit(ask, "?detector=haar") for _ in range(2)]
            assert pool.submit(ask).result(30).status_code == 200
            assert [one.result(30).json()["error"] for one in again] == ["busy"] * 2
        finally:
            go_on.set()
        assert first.result(60).status_code == 200
        assert ask("?detector=haar").status_code == 200


def test_others_are_answered_while_a_camera_learns_a_rest_with_a_model_being_loaded(
    make_client, engine, photo, monkeypatch
):
    loading, go_on = threading.Event(), threading.Event()

    def slow(*given, **options):
        loading.set()
        go_on.wait(20)
        return made(*given, **options)

    client, _ = make_client()
    made = engine_module.EmotionClassifier
    monkeypatch.setattr(engine_module, "EmotionClassifier", slow)
    monkeypatch.setattr(engine, "close", lambda: None)  # other tests use it, too
    with client, client.websocket_connect("ws://127.0.0.1/api/camera?model=tiny") as camera:
        camera.send_text("look_neutral")
        camera.send_bytes(struct.pack("<I", 1) + photo)
        assert loading.wait(60)
        began_s = time.monotonic()
        assert client.get("/health").status_code == 200
        assert time.monotonic() - began_s < 15
        go_on.set()
        assert "faces" in camera.receive_json()
