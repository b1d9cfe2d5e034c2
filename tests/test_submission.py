"""The Kaggle csv: its bytes, its order, its resumption, its validation, its sending."""

import csv
import os
import sys
from collections import Counter

import pytest
from fakes import FakeDetector, FakeModel, files_of, save_image

from builder_tools.datasets import fetch
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.inference import BatchRow, Inference
from builder_tools.submission import (
    log_path,
    make_submission,
    plan_submission,
    send_submission,
    standard_submission,
    validate_submission,
    write_submission,
)

THREE = ("happy", "neutral", "sad")


def inference(model=None, **options):
    return Inference(
        model or FakeModel(),
        options.pop("detector", None) or FakeDetector(),
        show_state_mode="none",
        inference_mode="img_batch",
        **options,
    )


def submit(folder, csv_path, model=None, *, sample=None, restart=False, **options):
    job = plan_submission(folder, sample)
    return list(make_submission(inference(model, **options), job, csv_path, restart=restart))


def breaks_after(faces):
    def before(seen):
        if seen >= faces:
            raise RuntimeError("the model broke")

    return FakeModel(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty images 0.png ... 39.png, some without a face, with two, unreadable."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(40):
        num_faces = {3: 0, 4: 2}.get(number % 10, 1)
        save_image(folder / f"{number}.png", num_faces, *([6 * number] * num_faces))
    (folder / "17.png").write_bytes(b"")
    (folder / "28.png").write_bytes(b"broken" * 50)
    return folder


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """The files of a run that nothing interrupted."""
    csv_path = tmp_path_factory.mktemp("whole") / "s.csv"
    submit(folder, csv_path)
    return files_of(csv_path)


def write_sample(path, names, header="image_path,emotion"):
    path.write_text("\n".join([header, *(f"{name},neutral" for name in names)]) + "\n")
    return path


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


@pytest.mark.parametrize(
    "change",
    [
        {"no_face": "frequent"},
        {"multi_face": "best"},
        {"img_size": 8},
        {"detector": FakeDetector(1)},
        {"flip_average": True},
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
    if options.pop("flip_average", False):
        model.flip_average = True
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


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_text_keeps_its_bytes(tmp_path):
    images = tmp_path / "images"
    name = b"caf\xe9.png"
    save_image(images / "x.png", 1, 200).rename(images / os.fsdecode(name))
    submit(images, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_bytes() == b"image_path,emotion\n" + name + b",happy\n"


def test_the_order_of_the_sample_is_kept(folder, tmp_path):
    names = ["7.png", "39.png", "0.png", "nowhere.jpg", "12.png"]
    sample = write_sample(tmp_path / "sample.csv", [f"./test_kaggle/{name}" for name in names])
    job = plan_submission(folder, sample)
    assert job.names == tuple(names)
    assert len(job.extra) == 36 and "1.png" in job.extra
    rows = submit(folder, tmp_path / "s.csv", sample=sample)
    assert [row.image_path for row in rows] == names
    assert rows[3].status == "unreadable" and "No image at" in rows[3].reason
    assert (tmp_path / "s.csv").read_text().splitlines()[4] == "nowhere.jpg,happy"


@pytest.mark.parametrize(
    ("header", "names", "message"),
    [
        ("file,emotion", ["0.png"], "first column 'image_path'"),
        ("image_path,emotion", ["0.png", "1.png", "0.png"], r"each image once.*\['0.png'\]"),
        ("image_path,emotion", [], r"rows.*sample\.csv"),
    ],
)
def test_a_malformed_sample_is_refused(folder, tmp_path, header, names, message):
    sample = write_sample(tmp_path / "sample.csv", names, header)
    with pytest.raises(ValueError, match=message):
        plan_submission(folder, sample)


@pytest.mark.parametrize(
    ("text", "names", "images"),
    [
        ("image_path;emotion\n0.png;sad\n2.png;sad\n", "0.png 2.png", "0.png 2.png"),
        ("\ufeffimage_path\temotion\r\n2.png\tsad\r\n", "2.png", "2.png"),
        ("sep=;\nimage_path;emotion\n2.png;sad\n", "2.png", "2.png"),
        ("Image_Path|Emotion\n2.png|sad\n", "2.png", "2.png"),
        ("image_path\n2\n10\n", "2 10", "2.png 10.png"),
        ("image_path,emotion\n2.PNG,sad\n", "2.PNG", "2.png"),
        ("image_path,emotion\n.\\test_kaggle\\2.png,sad\n", "2.png", "2.png"),
        ("image_path,emotion\n/data/test/2,sad\n", "2", "2.png"),
        ("image_path,emotion\n\n 2.png ,sad\n,\n", "2.png", "2.png"),
    ],
)
def test_samples_of_many_hands_are_understood(folder, tmp_path, text, names, images):
    """An id keeps its spelling in the csv: Kaggle compares it with its own."""
    sample = tmp_path / "sample.csv"
    sample.write_text(text, encoding="utf-8", newline="")
    job = plan_submission(folder, sample)
    assert " ".join(job.names) == names
    assert job.paths == tuple(folder / name for name in images.split())
    submit(folder, tmp_path / "s.csv", sample=sample)
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines[0] == "image_path,emotion"
    assert " ".join(line.split(",")[0] for line in lines[1:]) == names
    assert "sample.csv" in standard_submission(tmp_path / "s.csv", NINE_EMOTIONS, sample)[1]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["1000.png", "1001.png"], r"None of its ids means one.*'1000.png'.*'0.png'"),
        (["sad/0.png/"], "None of its ids"),
        (["0.png", "0"], r"different images. Several mean \['0.png'\]"),
        (["0.png", "0.PNG"], r"different images"),
        (["0.png", ""], "image's name in row 3"),
    ],
)
def test_a_sample_of_other_images_is_refused(folder, tmp_path, ids, message):
    images = tmp_path / "deep"
    save_image(images / "happy" / "7.png", 1, 200)
    sample = tmp_path / "sample.csv"
    sample.write_text("image_path,emotion\n" + "".join(f"{name},sad\n" for name in ids))
    where = images if ids[0].startswith("sad/") else folder
    with pytest.raises(ValueError, match=message):
        plan_submission(where, sample)


def test_the_same_name_in_two_folders_is_told_apart_by_the_sample(tmp_path):
    images = tmp_path / "images"
    for name in ("a/1.png", "b/1.png"):
        save_image(images / name, 1, 200)
    sample = write_sample(tmp_path / "sample.csv", ["test/b/1.png", "test/a/1"])
    job = plan_submission(images, sample)
    assert job.names == ("b/1.png", "a/1")
    assert job.paths == (images / "b" / "1.png", images / "a" / "1.png")


PLAIN = "image_path,emotion\n0.jpg,sad\n1.jpg,anger\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.replace("anger", "Anger!"), r"line 3.*'Anger!'"),
        (PLAIN.replace("anger", ""), "line 3"),
        (PLAIN + "0.jpg,sad\n", r"each image once.*'0.jpg'"),
        (PLAIN.replace("image_path", "id"), "header"),
        (PLAIN + ",sad\n", "name in every row"),
        (PLAIN + "2.jpg,sad,1\n", "line 4"),
        ("image_path,emotion\n", "at least"),
        ("", "header"),
    ],
)
def test_a_wrong_submission_is_refused_without_a_sample_too(text, message, tmp_path):
    csv_path = tmp_path / "s.csv"
    csv_path.write_text(PLAIN)
    assert "itself only" in standard_submission(csv_path, NINE_EMOTIONS)[1]
    csv_path.write_text(text)
    with pytest.raises(ValueError, match=message):
        standard_submission(csv_path, NINE_EMOTIONS)


OTHER_FORMS = {
    "semicolons": PLAIN.replace(",", ";"),
    "a mark": "\ufeff" + PLAIN,
    "Excel": "sep=;\r\n" + PLAIN.replace(",", ";").replace("\n", "\r\n"),
    "tabs": PLAIN.replace(",", "\t"),
    "spaces": PLAIN.replace(",", " , "),
    "capitals": PLAIN.replace("image_path,emotion", "Image_Path,EMOTION").replace("sad", "Sad"),
    "blank lines": PLAIN.replace("\n", "\n\n"),
    "quotes": "".join(
        f'"{line.replace(",", chr(34) + ";" + chr(34))}"\n' for line in PLAIN.split()
    ),
}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_a_submission_in_another_form_is_sent_in_the_standard_one(tmp_path, form):
    csv_path, standard = tmp_path / "s.csv", tmp_path / "s.standard.csv"
    csv_path.write_text(OTHER_FORMS[form], encoding="utf-8", newline="")
    given = csv_path.read_bytes()
    path, against = standard_submission(csv_path, NINE_EMOTIONS)
    assert path == standard and "itself only" in against
    assert standard.read_text() == PLAIN and csv_path.read_bytes() == given
    assert standard_submission(standard, NINE_EMOTIONS)[0] == standard
    csv_path.write_text(OTHER_FORMS[form].casefold().replace("anger", "angry"), encoding="utf-8")
    with pytest.raises(ValueError, match="'angry'"):
        standard_submission(csv_path, NINE_EMOTIONS)


@pytest.mark.parametrize(
    "names", ["0 1", "0.JPG 1.JPG", "test/0.jpg test/1.jpg", "TEST\\0 TEST\\1"]
)
def test_ids_in_another_spelling_are_those_of_the_sample(tmp_path, names):
    csv_path, sample = tmp_path / "s.csv", write_sample(tmp_path / "a.csv", ["0.jpg", "1.jpg"])
    first, second = names.split()
    csv_path.write_text(f"image_path,emotion\n{first},sad\n{second},anger\n")
    path, _ = standard_submission(csv_path, NINE_EMOTIONS, sample)
    assert path.read_text() == PLAIN
    csv_path.write_text(f"image_path,emotion\n{second},sad\n{second},anger\n")
    with pytest.raises(ValueError, match="each image once"):
        standard_submission(csv_path, NINE_EMOTIONS, sample)


def test_a_submission_is_compared_with_its_log(folder, tmp_path):
    submit(folder, tmp_path / "s.csv")
    assert "s.log.csv" in standard_submission(tmp_path / "s.csv", NINE_EMOTIONS)[1]
    lines = (tmp_path / "s.csv").read_text().splitlines(keepends=True)
    (tmp_path / "s.csv").write_text("".join(lines[:-1]))
    with pytest.raises(ValueError, match=r"Expected 40 rows.*Received: 39"):
        standard_submission(tmp_path / "s.csv", NINE_EMOTIONS)


def test_an_empty_sample_file_is_refused(folder, tmp_path):
    (tmp_path / "sample.csv").write_text("")
    with pytest.raises(ValueError, match="image_path"):
        plan_submission(folder, tmp_path / "sample.csv")


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


GOOD = "image_path,emotion\na.png,happy\nb.png,sad\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("image_path", "path"), "header image_path,emotion"),
        ("", "header image_path,emotion"),
        (GOOD + "c.png,sad\n", "2 rows.*Received: 3"),
        ("image_path,emotion\na.png,happy\n", "2 rows.*Received: 1"),
        (GOOD.replace("b.png", "c.png"), r"'b.png'.*line 3.*'c.png'"),
        ("image_path,emotion\nb.png,sad\na.png,happy\n", r"'a.png'.*line 2"),
        (GOOD.replace("sad", "sadness"), r"\['happy', 'neutral', 'sad'\].*line 3.*'sadness'"),
        (GOOD.replace("sad", "sad,0.9"), "line 3"),
    ],
)
def test_an_invalid_csv_is_found_out(tmp_path, text, message):
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        validate_submission(path, ["a.png", "b.png"], THREE)
    path.write_text(GOOD)
    validate_submission(path, ["a.png", "b.png"], THREE)


def test_an_invalid_run_leaves_the_earlier_files_as_they_were(folder, tmp_path, whole):
    csv_path = tmp_path / "s.csv"
    submit(folder, csv_path)
    rows = [BatchRow("0.png", "ok", "joyful", 0.5, 1, "")]
    with pytest.raises(ValueError, match="joyful"):
        write_submission(rows, csv_path, ["0.png"], THREE)
    assert files_of(csv_path) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.csv", "s.log.csv"]


def test_a_dry_run_gives_the_command(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text(GOOD)
    assert send_submission(path, "first try") == [
        *("kaggle", "competitions", "submit", "skillbox-computer-vision-project"),
        *("-f", str(path), "-m", "first try"),
    ]
    assert "other" in send_submission(path, "x", competition="other")


def test_sending_needs_the_csv_and_the_client(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="img-batch"):
        send_submission(tmp_path / "s.csv", "x")
    (tmp_path / "s.csv").write_text(GOOD)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(fetch, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"kaggle client: pip install 'builder-tools\[kaggle\]'"):
        send_submission(tmp_path / "s.csv", "x", dry_run=False)


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for the client is a shell script")
def test_sending_calls_the_client_and_passes_its_refusal_on(tmp_path, monkeypatch):
    client = tmp_path / "kaggle"
    client.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n'
        'test -z "$REFUSE" || { echo "$REFUSE"; echo "Try later"; exit 1; }\n'
    )
    client.chmod(0o755)
    (tmp_path / "s.csv").write_text(GOOD)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    send_submission(tmp_path / "s.csv", "x", dry_run=False)
    assert (tmp_path / "calls").read_text().startswith("competitions submit skillbox")
    for refusal, told in (
        ("Closed", r"^Nothing was sent: the kaggle client refused: Try later\.$"),
        ("Authentication required", "no credentials: `kaggle auth login`"),
    ):
        monkeypatch.setenv("REFUSE", refusal)
        with pytest.raises(RuntimeError, match=told):
            send_submission(tmp_path / "s.csv", "x", dry_run=False)


def test_the_client_of_an_environment_that_is_not_activated_is_found(tmp_path, monkeypatch):
    package = tmp_path / "kaggle"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(f"open({str(tmp_path / 'called')!r}, 'w').close()")
    (tmp_path / "s.csv").write_text(GOOD)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    send_submission(tmp_path / "s.csv", "x", dry_run=False)
    assert (tmp_path / "called").exists()


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


def test_a_sample_finds_images_in_sub_folders(tmp_path):
    images = tmp_path / "images"
    for name in ("a/1.png", "b/2.png", "c/2.png"):
        save_image(images / name, 1, 200)
    sample = write_sample(tmp_path / "sample.csv", ["1.png", "2.png"])
    job = plan_submission(images, sample)
    assert job.names == ("1.png", "2.png")
    assert job.paths == (images / "a" / "1.png", images / "2.png")  # which 2.png, nobody knows
    assert job.extra == ("b/2.png", "c/2.png")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", ["a\rb.png", "a\r\nb.png", "a\nb.png", "\r.png"])
def test_names_with_line_ends_get_their_rows(tmp_path, name):
    images = tmp_path / "images"
    for each in ("0.png", name, "z.png"):
        save_image(images / each, 1, 200)
    submit(images, tmp_path / "s.csv")
    with open(tmp_path / "s.csv", newline="", encoding="utf-8") as file:
        assert {row[0] for row in csv.reader(file)} == {"image_path", "0.png", name, "z.png"}


def test_a_image_that_was_replaced_is_classified_again(folder, tmp_path):
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


def test_a_image_that_came_or_went_is_looked_at_again(folder, tmp_path):
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
