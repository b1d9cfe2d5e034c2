"""What the page answers, without a browser: as its script asks, and step by step."""

import json
import re
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from builder_tools.cards import ModelCard, write_card
from builder_tools.media import VideoReader, VideoWriter, write_image
from builder_tools.submission import validate_submission

pytest.importorskip("fastapi")

from starlette.testclient import TestClient

from builder_tools.timeline.reading import read_timeline
from builder_tools.web import page as page_module
from builder_tools.web.engine import Choice, Engine
from builder_tools.web.jobs import Jobs
from builder_tools.web.limits import Limits
from builder_tools.web.page import Page
from builder_tools.web.result_store import ResultStore
from builder_tools.web.server import WebSettings, create_app
from builder_tools.web.texts import Words

CHOICE = Choice("fast", "mediapipe")
EVIL = "<img src=x onerror=pwned()>"


@pytest.fixture(scope="module")
def engine():
    made = Engine()
    yield made
    made.close()


@pytest.fixture
def make_page(engine, tmp_path):
    jobs = Jobs(ResultStore(tmp_path / "private"))
    return lambda language="en", **limits: Page(engine, jobs, Limits(**limits), Words(language))


@pytest.fixture
def make_client(engine, tmp_path):
    """A client of the whole app, and the folder of its uploads and results."""

    def made(**limits):
        folder = tmp_path / "app"
        app = create_app(WebSettings(limits=Limits(**limits)), folder, engine)
        return TestClient(app, base_url="http://127.0.0.1"), folder

    return made


@pytest.fixture
def photo(tmp_path, astronaut):
    return write_image(tmp_path / "her face.jpg", astronaut)


def files_below(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def results(page):
    return list((page.jobs.store.root / "results").iterdir())


def video_steps(page, data, name="face.mp4", **options):
    """The steps of a video whose upload has come."""
    job = page.jobs.begin()
    (job.folder / ".upload").write_bytes(data)
    with closing(job), closing(page.video_steps(job, name, CHOICE, **options)) as steps:
        yield from steps


def batch_steps(page, *paths):
    job = page.jobs.begin()
    files = []
    for number, path in enumerate(paths):
        saved = job.folder / f".upload{number}"
        saved.write_bytes(Path(path).read_bytes())
        files.append((saved, Path(path).name))
    with closing(job), closing(page.batch_steps(job, files, CHOICE)) as steps:
        yield from steps


def several(*files):
    """The body of several files, by (name, bytes)."""
    told = json.dumps([{"name": name, "size": len(data)} for name, data in files])
    return told.encode() + b"\n" + b"".join(data for _, data in files)


def is_refusal(html):
    return 'role="alert"' in html


# a photo


def test_a_photo_is_answered_and_nothing_is_stored(make_client, photo):
    client, folder = make_client()
    asked = {"name": "her face.jpg", "model": "fast", "blur": "true", "decision": "balanced"}
    answer = client.post("/en/photo", params=asked, content=photo.read_bytes())
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    assert "Faces found in her face.jpg: 1" in answer.text and "happy" in answer.text
    assert 'download="her face_marked.jpg"' in answer.text
    assert 'download="her face.csv"' in answer.text and 'download="her face.json"' in answer.text
    assert files_below(folder) == []


@pytest.mark.parametrize(
    ("content", "said"), [(b"no image", "Это не изображение"), (b"", "Файл пуст")]
)
def test_what_is_no_photo_is_refused_in_the_pages_language(make_client, content, said):
    client, _ = make_client()
    answer = client.post("/ru/photo", content=content, headers={"accept-language": "ru"})
    assert said in (answer.text if answer.status_code == 200 else answer.json()["message"])


def test_an_error_inside_is_told_without_its_details(make_page, photo, monkeypatch, caplog):
    monkeypatch.setattr(page_module, "answer_photo", lambda *_: 1 / 0)
    html = make_page().photo_html(photo.read_bytes(), "a.jpg", CHOICE)
    assert is_refusal(html) and "division" not in html and "division" in caplog.text


def test_unknown_choices_are_refused(make_page, photo):
    for choice in (Choice("nobody"), Choice(detector="eyes"), Choice(decision="any")):
        assert is_refusal(make_page().photo_html(photo.read_bytes(), "a.jpg", choice))


def test_the_decision_counts(engine):
    natural, balanced = engine.classifier(Choice()), engine.classifier(Choice(decision="balanced"))
    assert natural is engine.classifier(Choice(decision="natural")) and natural is not balanced
    grey = np.full((1, 48, 48, 3), 90, np.uint8)
    assert not np.allclose(natural.predict(grey), balanced.predict(grey))


# a video


def test_a_video_gives_progress_then_its_timeline_and_files(make_page, face_video):
    page = make_page()
    steps = list(video_steps(page, face_video.path.read_bytes()))
    assert "<progress" in steps[0]
    html = steps[-1]
    assert html.count("<svg") == 2 and "face.mp4: 90 frames, 3.0 s" in html
    (folder,) = results(page)
    names = {path.name for path in folder.iterdir()}
    assert names == {"annotated.mp4", "timeline.csv", "frames.jsonl", "highlights.csv"}
    assert set(re.findall(r'/results/([^"/]+)/', html)) == {folder.name}
    table = read_timeline(folder / "timeline.csv")
    lines = [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]
    assert table["frame"].nunique() == len(lines) == 90
    assert {line["source"] for line in lines} == {"video"}
    shown = [face["emotion"] for line in lines for face in line["faces"]]
    assert len(shown) >= 60 and shown.count("happy") > 0.9 * len(shown)
    with VideoReader(folder / "annotated.mp4") as reader:
        assert (reader.size, reader.has_audio) == ((640, 360), True)


def test_a_video_of_two_people_gives_each_of_them_a_timeline(make_page, tmp_path, astronaut):
    page, head = make_page(), astronaut[0:200, 120:330]
    with VideoWriter(tmp_path / "two.mp4", 10, (640, 240)) as writer:
        for _ in range(12):
            image = np.full((240, 640, 3), 110, np.uint8)
            image[20:220, 60:270] = image[20:220, 380:590] = head
            writer.write(image)
    *_, html = video_steps(page, (tmp_path / "two.mp4").read_bytes())
    assert re.findall(r'data-who="(\w+)"', html) == ["all", "1", "2"]
    values = json.loads(re.search(r'data-values="([^"]+)"', html)[1].replace("&#34;", '"'))
    assert len(values["times"]) == len(values["emotions"]["happy"]) == len(values["valence"])
    assert min(values["emotions"]["happy"]) > 90


def test_a_video_that_is_left_leaves_nothing(make_page, face_video):
    page = make_page()
    with closing(video_steps(page, face_video.path.read_bytes())) as steps:
        next(steps)
        next(steps)
        assert results(page)
    assert not results(page)
    assert page.engine.take_long_turn(0.1)
    page.engine.end_long_turn()


def test_a_second_long_job_waits_its_turn_and_says_so(make_page, face_video, monkeypatch):
    page = make_page()
    monkeypatch.setattr(page_module, "WAIT_S", 0.01)
    assert page.engine.take_long_turn(1)
    with closing(video_steps(page, face_video.path.read_bytes())) as steps:
        assert "in the queue" in next(steps)
        page.engine.end_long_turn()
        assert any("<progress" in html for html in steps)


@pytest.mark.parametrize(
    ("content", "limits", "said"),
    [
        (b"#EXTM3U\n/etc/passwd", {}, "not a video"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(99), {}, "damaged"),
        (None, {"max_video_s": 1}, "longer than 1 s"),
    ],
)
def test_videos_that_are_refused_leave_nothing(make_page, face_video, content, limits, said):
    page = make_page(**limits)
    *_, html = video_steps(page, content or face_video.path.read_bytes())
    assert is_refusal(html) and said in html and not results(page)


def test_a_video_longer_than_it_says_is_stopped(make_page, face_video, monkeypatch):
    page = make_page(max_video_s=1)
    monkeypatch.setattr("builder_tools.web.videos.check_video", lambda *_: None)
    *_, html = video_steps(page, face_video.path.read_bytes())
    assert is_refusal(html) and "longer than 1 s" in html and not results(page)


def test_a_video_without_faces_says_so(make_client, tmp_path):
    with VideoWriter(tmp_path / "grey.mp4", 10, (160, 120)) as writer:
        for _ in range(10):
            writer.write(np.full((120, 160, 3), 90, np.uint8))
    client, _ = make_client()
    asked = {"name": "grey.mp4"}
    answer = client.post("/en/video", params=asked, content=(tmp_path / "grey.mp4").read_bytes())
    html = [json.loads(line)["html"] for line in answer.text.splitlines()][-1]
    assert "faces in 0% of the frames, people: 0" in html and "<svg" not in html


# a batch


def test_a_zip_gives_a_valid_csv(make_page, tmp_path, photo):
    page = make_page("ru")
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.write(photo, "test/10.jpg")
        archive.write(photo, "test/2.jpg")
        archive.writestr("test/1.jpg", b"damaged")
        archive.writestr("readme.txt", b"text")
    *_, html = batch_steps(page, tmp_path / "faces.zip")
    assert "одно лицо 2, не читается 1" in html and "Файлов, не являющихся фото: 1" in html
    assert html.count('class="bt-thumb"') == 2
    (folder,) = results(page)
    emotions = tuple(page.engine.classifier().emotions)
    validate_submission(folder / "submission.csv", ["1.jpg", "2.jpg", "10.jpg"], emotions)
    assert {path.name for path in folder.iterdir()} == {"submission.csv", "submission.log.csv"}


def test_an_image_of_a_zip_that_is_too_large_costs_its_own_row_only(make_page, tmp_path, photo):
    page = make_page(max_photo_mb=0.2)
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.write(photo, "a.jpg")
        archive.writestr("large.jpg", np.random.default_rng(0).bytes(300_000))
    *_, html = batch_steps(page, tmp_path / "faces.zip")
    assert "one face 1, unreadable 1" in html
    (folder,) = results(page)
    assert "0.3 MB are too many" in (folder / "submission.log.csv").read_text()


def test_photos_of_one_name_all_get_a_row(make_client, photo, tmp_path):
    other = write_image(tmp_path / "other.jpg", np.zeros((64, 64, 3), np.uint8))
    client, _ = make_client()
    body = several(("a.jpg", photo.read_bytes()), ("a.jpg", other.read_bytes()))
    answer = client.post("/en/batch", content=body)
    html = json.loads(answer.text.splitlines()[-1])["html"]
    assert "one face 1" in html and "no face 1" in html and "a.jpg: a_2.jpg" in html


@pytest.mark.parametrize("name", ["\ud800", "", "x" * 3000, "=1+1.jpg", "\0", "a\nb.jpg", EVIL])
def test_whatever_images_are_called_they_get_their_rows(make_client, photo, name):
    client, _ = make_client()
    told = json.dumps([{"name": name, "size": photo.stat().st_size}])
    answer = client.post("/en/batch", content=told.encode() + b"\n" + photo.read_bytes())
    html = json.loads(answer.text.splitlines()[-1])["html"]
    assert "one face 1" in html and EVIL not in html


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty"),
        (b"[]\n", "empty"),
        (b"no list\n", "gone"),
        (b'[{"name": "a.jpg", "size": 9}]\nshort', "gone"),
        (b'[{"name": "a.jpg", "size": -1}]\n', "gone"),
        (b'[{"name": 5, "size": 1}]\nx', "gone"),
        (b'{"name": "a.jpg"}\n', "gone"),
        (b"[" * 100_000 + b"\n", "gone"),
        (several(*[("a.jpg", b"x")] * 4), "too_many_files"),
        (several(("a.jpg", bytes(30_000))), "too_big"),
    ],
)
def test_bodies_that_are_no_batch_are_refused_and_leave_nothing(make_client, body, code):
    client, folder = make_client(max_images=3, max_upload_mb=0.01)
    answer = client.post("/en/batch", content=body)
    assert answer.json()["error"] == code and 400 <= answer.status_code < 500
    assert files_below(folder) == []


def test_batches_that_are_refused_leave_nothing(make_page, tmp_path, photo):
    page = make_page(max_images=1)
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../evil.jpg", b"x")
    for uploads, said in (
        ([tmp_path / "evil.zip"], "leads out of it"),
        ([photo, tmp_path / "evil.zip"], "at most 1"),
    ):
        *_, html = batch_steps(page, *uploads)
        assert is_refusal(html) and said in html and not results(page)


# the page


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_page_names_every_model_with_its_figures(make_page, language):
    page = make_page(language)
    html = page.show().body.decode()
    for name, card in page.engine.models.items():
        test = card.metrics["test"]["ferplus-majority-8"]
        assert f'data-model="{name}"' in html
        assert f"{100 * test['accuracy']:.1f}%" in html
    assert page.words("models.column.nine") in html and page.words.emotion("disgust") in html


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"accuracy": None, "accuracy_95": [None, None], "per_class_recall": {"happy": None}},
        {"accuracy": 0.5, "accuracy_95": [0.5, None], "balanced_decision": {}},
    ],
)
def test_models_with_few_figures_are_in_the_table(make_client, tmp_path, monkeypatch, figures):
    metrics = {"test": {"ferplus-nine": figures}}
    card = ModelCard("lean", "model.onnx", ("happy", "sad"), 48, "none", metrics=metrics)
    folder = tmp_path / "saved_models" / "lean"
    folder.mkdir(parents=True)
    write_card(folder, card)
    monkeypatch.chdir(tmp_path)
    client, _ = make_client()
    answer = client.get("/")
    assert answer.status_code == 200
    assert 'data-model="lean"' in answer.text and 'data-model="tiny"' in answer.text
