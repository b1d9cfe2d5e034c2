"""The Kaggle csv: its bytes, its order, its names, and where it cannot be made."""
# ruff: noqa: F811 - fixtures by their names.

import csv
import os
import sys
from collections import Counter

import pytest
from fakes import FakeModel, files_of, save_image
from made_submissions import folder, submit, whole  # noqa: F401

from builder_tools.submission import log_path, plan_submission


def test_the_files_byte_by_byte(tmp_path):
    images = tmp_path / "images"
    save_image(images / "10.png", 1, 20)
    save_image(images / "2.png", 2, 200, 120)
    save_image(images / "a, b.png", 0)
    csv_path = tmp_path / "new folder" / "s.csv"
    submit(images, csv_path)
    assert csv_path.read_bytes() == (
        b'image_path,emotion\n2.png,neutral\n10.png,sad\n"a, b.png",sad\n'
    )
    assert log_path(csv_path).read_text() == (
        "image_path,status,emotion,probability,num_faces,reason\n"
        "2.png,multi_face,neutral,0.6200,2,2 faces found; the largest one counts\n"
        "10.png,ok,sad,0.5200,1,\n"
        '"a, b.png",no_face,sad,0.5400,0,no face found; the whole image was classified\n'
    )
    assert sorted(path.name for path in csv_path.parent.iterdir()) == ["s.csv", "s.log.csv"]


@pytest.mark.parametrize("name", ["run.2025", "run.v1.csv", "run.txt", "run.tsv", "run"])
def test_files_beside_the_csv_have_its_whole_name(name, tmp_path):
    """The logs of run.2024 and run.2025 were one file, and the second replaced the first."""
    save_image(tmp_path / "images" / "1.png", 1, 20)
    submit(tmp_path / "images", tmp_path / "run.2024")
    submit(tmp_path / "images", tmp_path / name)
    names = {path.name for path in tmp_path.iterdir()} - {"images", "run.2024", name}
    assert names == {"run.2024.log.csv", f"{name.removesuffix('.csv')}.log.csv"}


def test_natural_order_and_statuses(folder, whole):
    rows = list(csv.reader(whole[0].decode().splitlines()))
    assert [row[0] for row in rows[1:]] == [f"{number}.png" for number in range(40)]
    log = list(csv.DictReader(whole[1].decode().splitlines()))
    statuses = {row["image_path"]: row["status"] for row in log}
    assert statuses["17.png"] == statuses["28.png"] == "unreadable"
    assert statuses["3.png"] == "no_face" and statuses["4.png"] == "multi_face"
    assert Counter(statuses.values()) == {"ok": 30, "no_face": 4, "multi_face": 4, "unreadable": 2}
    assert [row["emotion"] for row in log] == [row[1] for row in rows[1:]]


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_bytes_do_not_depend_on_batches_and_threads(folder, whole, tmp_path, batch_size, workers):
    submit(folder, tmp_path / "s.csv", batch_size=batch_size, workers=workers)
    assert files_of(tmp_path / "s.csv") == whole


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_text_keeps_its_bytes(tmp_path):
    images = tmp_path / "images"
    name = b"caf\xe9.png"
    save_image(images / "x.png", 1, 200).rename(images / os.fsdecode(name))
    submit(images, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_bytes() == b"image_path,emotion\n" + name + b",happy\n"


def test_what_is_absent_is_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="folder of images"):
        plan_submission(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="sample submission"):
        plan_submission(folder, tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match="There are none"):
        plan_submission(tmp_path)


@pytest.mark.parametrize("place", ["a folder.csv", "a file/s.csv"])
def test_a_place_that_cannot_be_written_is_refused_before_any_work(folder, tmp_path, place):
    (tmp_path / "a folder.csv").mkdir()
    (tmp_path / "a file").write_text("")
    model = FakeModel()
    with pytest.raises(OSError, match="a f"):
        submit(folder, tmp_path / place, model)
    assert model.seen == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", "a folder.csv"]


def test_sub_folders_give_relative_names_and_keep_twins_apart(tmp_path):
    images = tmp_path / "images"
    for name, value in (("1.png", 200), ("happy/person7/1.png", 120), ("sad/1.png", 20)):
        save_image(images / name, 1, value)
    (images / "notes.txt").write_text("no image")
    (images / "empty.tif").touch()
    (images / "dead.jpg").symlink_to("nowhere")
    job = plan_submission(images)
    assert job.left_out[0].startswith("1 left out because it is no image of a known format")
    submit(images, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text().splitlines()[1:] == [
        *("1.png,happy", "dead.jpg,happy", "empty.tif,happy"),
        *("happy/person7/1.png,neutral", "sad/1.png,sad"),
    ]
    log = list(csv.DictReader(log_path(tmp_path / "s.csv").read_text().splitlines()))
    assert "link to 'nowhere'" in log[1]["reason"] and "0 bytes" in log[2]["reason"]


def test_a_folder_without_images_says_what_is_there(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    with pytest.raises(ValueError, match=r"There are none. 1 left out because .*: film.mp4"):
        plan_submission(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", ["a\rb.png", "a\r\nb.png", "a\nb.png", "\r.png"])
def test_names_with_line_ends_get_their_rows(tmp_path, name):
    images = tmp_path / "images"
    for each in ("0.png", name, "z.png"):
        save_image(images / each, 1, 200)
    submit(images, tmp_path / "s.csv")
    with open(tmp_path / "s.csv", newline="", encoding="utf-8") as file:
        assert {row[0] for row in csv.reader(file)} == {"image_path", "0.png", name, "z.png"}
