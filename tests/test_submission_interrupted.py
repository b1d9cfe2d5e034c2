"""Interrupted runs for a csv: they go on where they stopped, and no other run does."""
# ruff: noqa: F811 - fixtures by their names.

import csv

import numpy as np
import pytest
from fakes import FakeDetector, FakeModel, files_of, made_image, save_image
from made_submissions import breaks_after, folder, inference, submit, whole, write_sample  # noqa: F401

from builder_tools.emotions import EmotionSet
from builder_tools.media import write_image
from builder_tools.submission import make_submission, plan_submission


@pytest.mark.parametrize("faces", [0, 1, 16, 33])
def test_an_interrupted_run_goes_on_where_it_stopped(folder, whole, tmp_path, faces):
    csv_path = tmp_path / "s.csv"
    with pytest.raises(RuntimeError, match="the model broke"):
        submit(folder, csv_path, breaks_after(faces), batch_size=4)
    assert [path.name for path in tmp_path.iterdir()] == ["s.partial.jsonl"]
    done = len((tmp_path / "s.partial.jsonl").read_text().splitlines()) - 1
    assert done <= faces + 6  # two rows of the forty are unreadable, four to a batch
    model = FakeModel()
    rows = submit(folder, csv_path, model, batch_size=3)
    assert len(rows) == 40
    assert model.seen == sum(row.status != "unreadable" for row in rows[done:])
    assert files_of(csv_path) == whole
    assert not (tmp_path / "s.partial.jsonl").exists()


@pytest.mark.parametrize(
    "tail", [b'{"image_path": "12', b"\0" * 40, '{"image_path": "ф'.encode()[:-1]]
)
def test_a_line_that_was_broken_off_is_made_again(folder, whole, tmp_path, tail):
    with pytest.raises(RuntimeError):
        submit(folder, tmp_path / "s.csv", breaks_after(12), batch_size=4)
    with open(tmp_path / "s.partial.jsonl", "ab") as file:
        file.write(tail)
    submit(folder, tmp_path / "s.csv")
    assert files_of(tmp_path / "s.csv") == whole


def test_settings_may_be_numpy_numbers(folder, tmp_path):
    """They ended in "int64 is not JSON serializable"."""
    rows = submit(folder, tmp_path / "s.csv", img_size=np.int64(8), mirror=np.False_)
    assert len(rows) == 40


def test_only_the_csv_was_missing(folder, whole, tmp_path):
    """Killed between the last row and the csv: nothing is classified again."""
    partial = tmp_path / "s.partial.jsonl"
    stream = make_submission(inference(), plan_submission(folder), tmp_path / "s.csv")
    for _ in range(40):
        next(stream)
    stream.close()
    assert partial.exists() and not (tmp_path / "s.csv").exists()
    model = FakeModel()
    submit(folder, tmp_path / "s.csv", model)
    assert model.seen == 0 and files_of(tmp_path / "s.csv") == whole


class FramesWider(FakeDetector):
    """Differs from its parent in nothing but how it frames faces."""

    crop_scale = 2.0


FramesWider.__name__ = FakeDetector.__name__  # the same class, after its code was changed


def test_the_rows_of_another_numpy_setting_are_not_taken(folder, tmp_path):
    """Settings of NumPy were left out of what tells runs apart, except float64."""
    detectors = [FakeDetector(), FakeDetector()]
    for detector, least in zip(detectors, (0.5, 0.9), strict=True):
        detector.min_score = np.float32(least)
    with pytest.raises(RuntimeError, match="the model broke"):
        submit(folder, tmp_path / "s.csv", breaks_after(8), batch_size=4, detector=detectors[0])
    with pytest.raises(ValueError, match=r"interrupted run of the same.*--restart"):
        submit(folder, tmp_path / "s.csv", detector=detectors[1])
    assert len(submit(folder, tmp_path / "s.csv", detector=detectors[0])) == 40


@pytest.mark.parametrize(
    "change",
    [
        {"no_face": "frequent"},
        {"multi_face": "best"},
        {"img_size": 8},
        {"detector": FakeDetector(1)},
        {"detector": FramesWider()},
        {"emotions": EmotionSet(("sad", "neutral", "happy"))},
        {"mirror": True},
        {"flip_average": True},
        {"decision": "balanced"},
        {"image": "41.png"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_rows_of_another_run_are_not_taken(folder, tmp_path, change):
    images, csv_path = tmp_path / "images", tmp_path / "s.csv"
    images.mkdir()
    for path in folder.iterdir():
        (images / path.name).write_bytes(path.read_bytes())
    with pytest.raises(RuntimeError, match="the model broke"):
        submit(images, csv_path, breaks_after(8), batch_size=4)
    before = (tmp_path / "s.partial.jsonl").read_bytes()
    model, options = FakeModel(), dict(change)
    for name in {"flip_average", "decision", "emotions"} & options.keys():
        setattr(model, name, options.pop(name))
    if options.pop("image", None):
        save_image(images / "41.png", 1, 20)
    with pytest.raises(ValueError, match=r"interrupted run of the same.*--restart"):
        submit(images, csv_path, model, **options)
    assert model.seen == 0 and (tmp_path / "s.partial.jsonl").read_bytes() == before
    submit(images, csv_path, model, restart=True, **options)
    assert model.seen >= 34 and csv_path.exists()


@pytest.mark.parametrize("content", [b"hello\n", b"[]\n[]\n", b'{"run": 5}\n', b"\xff\xfe\n"])
def test_a_file_of_somebody_else_is_not_taken_for_a_run(folder, tmp_path, content):
    (tmp_path / "s.partial.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=r"interrupted run of the same.*--restart"):
        submit(folder, tmp_path / "s.csv")
    assert (tmp_path / "s.partial.jsonl").read_bytes() == content


NAMES_OF_ALL_KINDS = ["лицо 1.png", "line\u2028separator.png", "next\x85line.png", 'a"b.png']


def test_names_of_all_kinds_survive_an_interruption(tmp_path):
    images = tmp_path / "images"
    for name in NAMES_OF_ALL_KINDS:
        save_image(images / name, 1, 200)
    with pytest.raises(RuntimeError):
        submit(images, tmp_path / "s.csv", breaks_after(3), batch_size=1)
    model = FakeModel()
    submit(images, tmp_path / "s.csv", model)
    assert model.seen == 1
    with open(tmp_path / "s.csv", newline="", encoding="utf-8") as file:
        names = [row[0] for row in csv.reader(file)]
    assert sorted(names[1:]) == sorted(NAMES_OF_ALL_KINDS)


def test_an_image_that_was_replaced_is_classified_again(folder, tmp_path):
    images, csv_path = tmp_path / "images", tmp_path / "s.csv"
    images.mkdir()
    for number in range(12):
        save_image(images / f"{number}.png", 1, 200)
    with pytest.raises(RuntimeError, match="the model broke"):
        submit(images, csv_path, breaks_after(9), batch_size=3)
    save_image(images / "7.png", 1, 20)
    model = FakeModel()
    rows = submit(images, csv_path, model, batch_size=3)
    assert [row.emotion for row in rows] == 7 * ["happy"] + ["sad"] + 4 * ["happy"]
    assert model.seen == 5  # 7 ... 11


def test_an_image_that_came_or_went_is_looked_at_again(folder, tmp_path):
    names = ["0.png", "1.png", "2.png", "3.png"]
    images, csv_path = tmp_path / "images", tmp_path / "s.csv"
    sample = write_sample(tmp_path / "sample.csv", names)
    save_image(images / "0.png", 1, 20)
    save_image(images / "3.png", 1, 20)
    stream = make_submission(inference(), plan_submission(images, sample), csv_path)
    assert [next(stream).status for _ in range(3)] == ["ok", "unreadable", "unreadable"]
    stream.close()
    save_image(images / "2.png", 1, 20)
    rows = submit(images, csv_path, sample=sample)
    assert [row.status for row in rows] == ["ok", "unreadable", "ok", "ok"]


def test_what_can_be_read_by_now_is_read_and_what_broke_the_detector_is_not(tmp_path, monkeypatch):
    images, csv_path = tmp_path / "images", tmp_path / "s.csv"
    for number in range(4):
        save_image(images / f"{number}.png", 1, 200)
    write_image(images / "2.png", made_image(1, 20, size=(1100, 1000)))
    find = FakeDetector.detect

    def detect(self, image):
        if image[0, 0, 0] == 9:
            raise RuntimeError("no such face")
        return find(self, image)

    monkeypatch.setattr(FakeDetector, "detect", detect)
    save_image(images / "0.png", 9)
    monkeypatch.setenv("BUILDER_TOOLS_MAX_MEGAPIXELS", "1")
    stream = make_submission(inference(), plan_submission(images), csv_path)
    assert [next(stream).status for _ in range(4)] == ["unreadable", "ok", "unreadable", "ok"]
    stream.close()
    monkeypatch.delenv("BUILDER_TOOLS_MAX_MEGAPIXELS")
    model = FakeModel()
    rows = submit(images, csv_path, model)
    assert [row.status for row in rows] == ["unreadable", "ok", "ok", "ok"]
    assert model.seen == 2


def test_a_second_run_for_the_same_csv_is_refused(folder, whole, tmp_path):
    first = make_submission(inference(), plan_submission(folder), tmp_path / "s.csv")
    next(first)
    model = FakeModel()
    for restart in (False, True):
        with pytest.raises(BlockingIOError, match="Another process is at it"):
            submit(folder, tmp_path / "s.csv", model, restart=restart)
    assert model.seen == 0
    list(first)
    assert files_of(tmp_path / "s.csv") == whole
    submit(folder, tmp_path / "s.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.csv", "s.log.csv"]
