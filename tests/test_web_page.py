"""What the page's buttons do, called as Gradio calls them, without a browser."""

import json
import re
import shutil
import zipfile
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest

from builder_tools.media import VideoReader, VideoWriter, write_image
from builder_tools.submission import validate_submission

pytest.importorskip("gradio")

from builder_tools.timeline.reading import read_timeline
from builder_tools.web import page as page_module
from builder_tools.web.engine import Engine
from builder_tools.web.limits import Limits
from builder_tools.web.page import Page
from builder_tools.web.result_store import ResultStore
from builder_tools.web.server import private_folder
from builder_tools.web.texts import Words

CHOICE = ("fast", "mediapipe")


@pytest.fixture(scope="module")
def engine():
    made = Engine()
    yield made
    made.close()


@pytest.fixture
def make_page(engine):
    with private_folder() as folder:
        store = ResultStore(folder)
        yield lambda language="en", **limits: Page(engine, store, Limits(**limits), Words(language))


def uploaded(page, path, name=None):
    """Puts a file where Gradio puts uploads."""
    folder = page.store.uploads / f"sha-{path.name}"
    folder.mkdir(exist_ok=True)
    return str(shutil.copy(path, folder / (name or path.name)))


@pytest.fixture
def photo(tmp_path, astronaut):
    return write_image(tmp_path / "her face.jpg", astronaut)


def last(steps):
    """Gives the HTML of the last step; every step empties the upload field."""
    steps = list(steps)
    assert all(upload is None for upload, _ in steps)
    return steps[-1][1]


def results(page):
    return list((page.store.root / "results").iterdir())


def is_refusal(html):
    return 'role="alert"' in html


def test_a_photo_is_answered_and_its_upload_marked_for_deletion(make_page, photo):
    page = make_page()
    upload, html = page.on_photo(uploaded(page, photo), *CHOICE)
    assert upload is None and "her face.jpg: faces found: 1" in html and "happy" in html
    assert len(page.store._used) == 1 and not results(page)


@pytest.mark.parametrize(
    ("content", "said"), [(b"no image", "Это не изображение"), (b"", "Файл пуст")]
)
def test_what_is_no_photo_is_refused_in_the_pages_language(make_page, tmp_path, content, said):
    page = make_page("ru")
    (tmp_path / "a.jpg").write_bytes(content)
    _, html = page.on_photo(uploaded(page, tmp_path / "a.jpg"), *CHOICE)
    assert is_refusal(html) and said in html


def test_files_that_are_no_uploads_are_never_read(make_page, photo):
    page = make_page()
    for path in (photo, "/etc/hostname"):
        assert is_refusal(page.on_photo(str(path), *CHOICE)[1])
        assert is_refusal(last(page.on_video(str(path), *CHOICE)))
        assert is_refusal(last(page.on_batch([str(path)], *CHOICE)))
    assert photo.exists() and not results(page)


def test_an_error_inside_is_told_without_its_details(make_page, photo, monkeypatch, caplog):
    page = make_page()
    monkeypatch.setattr(page_module, "answer_photo", lambda *_: 1 / 0)
    _, html = page.on_photo(uploaded(page, photo), *CHOICE)
    assert is_refusal(html) and "division" not in html and "division" in caplog.text


def test_a_video_gives_progress_then_its_timeline_and_files(make_page, face_video):
    page = make_page()
    steps = list(page.on_video(uploaded(page, face_video.path), *CHOICE))
    assert "<progress" in steps[0][1]
    html = steps[-1][1]
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


def test_a_video_that_is_stopped_leaves_nothing(make_page, face_video):
    page = make_page()
    with closing(page.on_video(uploaded(page, face_video.path), *CHOICE)) as steps:
        next(steps)
        next(steps)
        assert results(page)
    assert not results(page)
    assert page.engine.take_long_turn(0.1)
    page.engine.end_long_turn()


def test_a_video_is_stopped_by_the_button_of_its_own_browser_only(make_page, face_video):
    page = make_page()
    one, other = (SimpleNamespace(session_hash=name) for name in ("one", "other"))
    steps = page.on_video(uploaded(page, face_video.path), *CHOICE, one)
    next(steps)
    page.on_stop(other)
    assert "<progress" in next(steps)[1]
    page.on_stop(one)
    assert "Stopped; nothing was kept." in last(steps)
    assert not results(page)


def test_a_second_long_job_waits_its_turn_and_says_so(make_page, face_video, monkeypatch):
    page = make_page()
    monkeypatch.setattr(page_module, "WAIT_S", 0.01)
    assert page.engine.take_long_turn(1)
    with closing(page.on_video(uploaded(page, face_video.path), *CHOICE)) as steps:
        assert "next in line" in next(steps)[1]
        page.engine.end_long_turn()
        assert any("<progress" in html for _, html in steps)


@pytest.mark.parametrize(
    ("content", "limits", "said"),
    [
        (b"#EXTM3U\n/etc/passwd", {}, "no video"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(99), {}, "damaged"),
        (None, {"max_video_s": 1}, "longer than 1 s"),
    ],
)
def test_videos_that_are_refused_leave_nothing(
    make_page, tmp_path, face_video, content, limits, said
):
    page = make_page(**limits)
    path = tmp_path / "video.mp4"
    path.write_bytes(content or face_video.path.read_bytes())
    html = last(page.on_video(uploaded(page, path), *CHOICE))
    assert is_refusal(html) and said in html and not results(page)


def test_a_video_longer_than_it_says_is_stopped(make_page, face_video, monkeypatch):
    page = make_page(max_video_s=1)
    monkeypatch.setattr("builder_tools.web.videos.check_video", lambda *_: None)
    html = last(page.on_video(uploaded(page, face_video.path), *CHOICE))
    assert is_refusal(html) and "longer than 1 s" in html and not results(page)


def test_a_video_without_faces_says_so(make_page, tmp_path):
    page = make_page()
    with VideoWriter(tmp_path / "grey.mp4", 10, (160, 120)) as writer:
        for _ in range(10):
            writer.write(np.full((120, 160, 3), 90, np.uint8))
    html = last(page.on_video(uploaded(page, tmp_path / "grey.mp4"), *CHOICE))
    assert "faces in 0% of the frames, people: 0" in html and "<svg" not in html


def test_a_zip_gives_a_valid_csv(make_page, tmp_path, photo):
    page = make_page("ru")
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.write(photo, "test/10.jpg")
        archive.write(photo, "test/2.jpg")
        archive.writestr("test/1.jpg", b"damaged")
        archive.writestr("readme.txt", b"text")
    html = last(page.on_batch([uploaded(page, tmp_path / "faces.zip")], *CHOICE))
    assert "одно лицо 2, не читается 1" in html and "Файлов, не являющихся фото: 1" in html
    (folder,) = results(page)
    emotions = tuple(page.engine.classifier().emotions)
    validate_submission(folder / "submission.csv", ["1.jpg", "2.jpg", "10.jpg"], emotions)
    assert {path.name for path in folder.iterdir()} == {"submission.csv", "submission.log.csv"}


def test_photos_of_one_name_all_get_a_row(make_page, tmp_path, photo):
    page = make_page()
    other = write_image(tmp_path / "other.jpg", np.zeros((64, 64, 3), np.uint8))
    uploads = [uploaded(page, photo, "a.jpg"), uploaded(page, other, "a.jpg")]
    html = last(page.on_batch(uploads, *CHOICE))
    assert "one face 1" in html and "no face 1" in html and "a.jpg: a_2.jpg" in html


def test_batches_that_are_refused_leave_nothing(make_page, tmp_path, photo):
    page = make_page(max_images=1)
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../evil.jpg", b"x")
    for uploads, said in (
        ([tmp_path / "evil.zip"], "leads out of it"),
        ([photo, tmp_path / "evil.zip"], "at most 1"),
    ):
        html = last(page.on_batch([uploaded(page, path) for path in uploads], *CHOICE))
        assert is_refusal(html) and said in html and not results(page)


def test_nothing_chosen_is_said(make_page):
    page = make_page()
    assert "Choose a video first" in last(page.on_video(None, *CHOICE))
    assert "Choose photos or a zip first" in last(page.on_batch(None, *CHOICE))


def test_unknown_choices_are_refused(make_page, photo):
    page = make_page()
    for choice in (("nobody", "mediapipe"), ("fast", "eyes")):
        assert is_refusal(page.on_photo(uploaded(page, photo), *choice)[1])
        assert is_refusal(page.on_detector(*choice))
    assert page.on_detector(*CHOICE) == ""


def test_no_event_is_an_endpoint_of_gradios_own_api(make_page):
    blocks = make_page().blocks
    assert not blocks.analytics_enabled
    assert {one.api_visibility for one in blocks.fns.values()} == {"private"}
