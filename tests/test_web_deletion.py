"""What is called deleted is deleted, and what a disk keeps nobody gets."""

import json
import logging
import os
import re

import numpy as np
import pytest

pytest.importorskip("fastapi")

from starlette.testclient import TestClient

from builder_tools.media import write_image
from builder_tools.web.engine import Engine
from builder_tools.web.jobs import Jobs
from builder_tools.web.limits import Refused
from builder_tools.web.result_store import ResultStore
from builder_tools.web.server import WebSettings, create_app, private_folder


@pytest.fixture
def kept_by_disk(monkeypatch):
    """Names of files that cannot be deleted, until they are taken out."""
    names: set[str] = set()
    unlink = os.unlink

    def stubborn(path, **options):
        if os.path.basename(path) in names:
            raise OSError(5, "Input/output error", path)
        unlink(path, **options)

    monkeypatch.setattr("os.unlink", stubborn)
    return names


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "private", keep_s=60, most_bytes=1000)


def finished(store, *names):
    token, folder = store.new()
    for name in names:
        (folder / name).write_bytes(bytes(300))
    store.finish(token)
    return token, folder


def test_the_server_says_that_results_are_not_deleted(tmp_path, kept_by_disk):
    engine = Engine(workers=1)
    photo = write_image(tmp_path / "a.png", np.zeros((64, 64, 3), np.uint8)).read_bytes()
    told = json.dumps([{"name": "a.png", "size": len(photo)}]).encode()
    app = create_app(WebSettings(), tmp_path / "app", engine)
    client = TestClient(app, base_url="http://127.0.0.1")
    html = json.loads(client.post("/en/batch", content=told + b"\n" + photo).text.splitlines()[-1])
    (file,) = set(re.findall(r"/results/[\w-]+/submission\.csv", html["html"]))
    assert client.get(file).status_code == 200
    kept_by_disk.add("submission.csv")
    results = os.path.dirname(file)
    for _ in range(2):
        answer = client.delete(results, headers={"accept-language": "ru"})
        assert (answer.status_code, answer.json()["error"]) == (500, "not_deleted")
        assert "Удалить" in answer.json()["message"]
        assert client.get(file).status_code == 410
    kept_by_disk.clear()
    assert client.delete(results).json() == {"deleted": True}
    assert client.delete(results).json() == {"deleted": False}
    assert list((tmp_path / "app" / "results").iterdir()) == []
    engine.close()


def test_what_cannot_be_deleted_is_not_found_and_tried_again(store, kept_by_disk, caplog):
    token, folder = finished(store, "a.csv", "b.csv", "c.csv")
    other, other_folder = finished(store, "a.csv")
    kept_by_disk.add("b.csv")
    with pytest.raises(Refused, match="not_deleted"):
        store.delete(token)
    assert [path.name for path in folder.iterdir()] == ["b.csv"], "the others have gone"
    store.finish(token)
    with pytest.raises(Refused, match="gone"):
        store.find(token, "b.csv")
    with pytest.raises(Refused, match="full"):
        store.new(500)  # it still takes its place on the disk
    store.sweep()
    store.sweep()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "Input/output error" in caplog.text
    kept_by_disk.clear()
    store.sweep()
    assert not folder.exists() and not store.delete(token)
    assert store.find(other, "a.csv").parent == other_folder
    store.new(500)


def test_a_job_whose_folder_stays_gives_its_place_free(store, kept_by_disk):
    kept_by_disk.add(".upload")
    jobs = Jobs(store)
    for _ in range(20):
        job = jobs.begin()
        (job.folder / ".upload").write_bytes(b"")
        job.close()
    kept_by_disk.clear()
    store.sweep()
    assert list((store.root / "results").iterdir()) == []


def test_results_are_not_kept_where_their_uploads_cannot_be_deleted(store, kept_by_disk):
    job = Jobs(store).begin()
    (job.folder / "images").mkdir()
    (job.folder / "images" / "her.jpg").write_bytes(b"x")
    (job.folder / "a.csv").write_bytes(b"x")
    kept_by_disk.add("her.jpg")
    with pytest.raises(OSError, match=r"her\.jpg"):
        job.keep()
    job.close()
    with pytest.raises(Refused, match="gone"):
        store.find(job.token, "a.csv")
    assert [path.name for path in job.folder.rglob("*")] == ["images", "her.jpg"]


def test_a_server_that_ends_tells_what_it_leaves(tmp_path, monkeypatch, kept_by_disk, caplog):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept_by_disk.add("her.jpg")
    with private_folder() as folder:
        (folder / "her.jpg").write_bytes(b"x")
    assert f"are left in {folder}" in caplog.text and "Input/output error" in caplog.text
