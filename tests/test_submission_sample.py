"""Sample submissions in many forms: order and ids are kept; those of other images are refused."""
# ruff: noqa: F811 - fixtures by their names.

import unicodedata

import pytest
from fakes import save_image
from made_submissions import folder, submit, write_sample  # noqa: F401

from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.submission import plan_submission, standard_submission


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


@pytest.mark.parametrize(("in_sample", "in_folder"), [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("suffix", [".png", ""])
def test_letters_may_be_composed_otherwise_in_the_sample(tmp_path, in_sample, in_folder, suffix):
    """As macOS composes names: such an image was "unreadable", of the most frequent class."""
    path = tmp_path / "images" / unicodedata.normalize(in_folder, "\u0439.png")
    save_image(path, 1, 200)
    name = unicodedata.normalize(in_sample, "\u0439") + suffix
    sample = write_sample(tmp_path / "sample.csv", [name])
    job = plan_submission(tmp_path / "images", sample)
    assert (job.names, job.paths) == ((name,), (path,))
    (tmp_path / "s.csv").write_text(f"image_path,emotion\n{path.name},sad\n", encoding="utf-8")
    standard, _ = standard_submission(tmp_path / "s.csv", NINE_EMOTIONS, sample)
    assert standard.read_text(encoding="utf-8").splitlines()[1] == f"{name},sad"


def test_an_empty_sample_file_is_refused(folder, tmp_path):
    (tmp_path / "sample.csv").write_text("")
    with pytest.raises(ValueError, match="image_path"):
        plan_submission(folder, tmp_path / "sample.csv")


def test_a_sample_finds_images_in_sub_folders(tmp_path):
    images = tmp_path / "images"
    for name in ("a/1.png", "b/2.png", "c/2.png"):
        save_image(images / name, 1, 200)
    sample = write_sample(tmp_path / "sample.csv", ["1.png", "2.png"])
    job = plan_submission(images, sample)
    assert job.names == ("1.png", "2.png")
    assert job.paths == (images / "a" / "1.png", images / "2.png")  # which 2.png, nobody knows
    assert job.extra == ("b/2.png", "c/2.png")
