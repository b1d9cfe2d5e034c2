"""Any labelled folder: tables with columns of any name, FER2013's csv, zips of all these."""

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from made_folders import counts_of, write_folders

from builder_tools.cli import main
from builder_tools.datasets import DATASETS
from builder_tools.datasets.labelled import list_labelled, load_labelled
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.media import read_image


def flat_folder(root: Path, header: str, row: str, name: str = "labels.csv") -> Path:
    """Write `images/1.png` ... beside a table: `row` is formatted with path, word and split."""
    words = ["happy", "Sadness"] * 6
    write_folders(root, {"images": len(words)})
    lines = [header]
    for number, word in enumerate(words, start=1):
        split = "Training" if number > 4 else "PublicTest" if number > 2 else "PrivateTest"
        lines.append(row.format(path=f"images/{number}.png", n=number, word=word, split=split))
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("header", "row", "name"),
    [
        ("file,emotion,person", "{path},{word},x", "labels.csv"),
        (",path,label", "{n},./{path},{word}", "data.csv"),
        ("Image Name;Expression", "{n}.png;{word}", "list.csv"),
        ("filename\tclass", "{n}.png\t{word}", "all.tsv"),
    ],
)
def test_tables_are_read_by_what_columns_are_called(tmp_path, header, row, name):
    root = flat_folder(tmp_path / "set", header, row, name)
    for source in (root, root / name):
        table = list_labelled(source)
        assert table.emotions == NINE_EMOTIONS
        assert table.table["emotion"].tolist() == ["happy", "sad"] * 6
        np.testing.assert_array_equal(table.image(3), read_image(root / "images/4.png"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_tables_as_windows_writes_them(tmp_path, encoding):
    root = flat_folder(tmp_path / "set", "file;emotion", "{path};{word}")
    text = (root / "labels.csv").read_text().replace("\n", "\r\n")
    (root / "labels.csv").write_bytes(text.encode(encoding))
    for source in (root, root / "labels.csv"):
        assert list_labelled(source).table["emotion"].tolist() == ["happy", "sad"] * 6


def test_tables_in_other_encodings_are_told_to_be(tmp_path):
    """In a folder they were passed over, and so its subfolders taken for classes."""
    root = flat_folder(tmp_path / "set", "file;emotion", "{path};{word}")
    table = root / "labels.csv"
    table.write_bytes(table.read_text().replace("happy", "радость").encode("cp1251"))
    for source in (root, table):
        with pytest.raises(ValueError, match=r"UTF-8 or UTF-16: .*labels\.csv.*as CSV UTF-8"):
            list_labelled(source)


@pytest.mark.parametrize(
    ("above", "head", "end", "first"),
    [
        ("sep=;\n", "file;emotion", "", 3),
        ("", "file;emotion", ";;", 2),
        ("\n", "file;emotion;;", ";;", 3),
        ("", "file;emotion", "\n;", 2),
    ],
)
def test_tables_as_spreadsheets_leave_them(tmp_path, above, head, end, first):
    """Errors name rows as an editor numbers them."""
    root = flat_folder(tmp_path / "set", head, "{path};{word}" + end)
    table = root / "labels.csv"
    table.write_text(above + table.read_text() + "\n")
    for source in (root, table):
        assert list_labelled(source).table["emotion"].tolist() == ["happy", "sad"] * 6
    table.write_text(table.read_text() + "none.png;sad" + end.partition("\n")[0])
    last = first + 12 * (1 + end.count("\n")) + 1
    with pytest.raises(FileNotFoundError, match=f"Received: row {last}: 'none.png'"):
        list_labelled(table)


def test_rows_may_begin_with_a_name_that_has_no_column(tmp_path):
    root = flat_folder(tmp_path / "set", "file emotion".replace(" ", "\t"), "{n}\t{path}\t{word}")
    assert list_labelled(root).table["emotion"].tolist() == ["happy", "sad"] * 6


def test_columns_and_classes_can_be_said(tmp_path):
    root = flat_folder(tmp_path / "set", "who,emotion,mood", "{path},person,{word}")
    columns = {"path": "who", "emotion": "mood"}
    table = load_labelled(root, columns=columns, classes={"sadness": "Blue"}, valid=0.2, test=0)
    assert table.emotions.names == ("Blue", "happy")
    assert table.table["split"].value_counts().to_dict() == {"train": 10, "valid": 2}
    left_out = list_labelled(root, columns=columns, classes={"sadness": ""})
    assert len(left_out) == 6 and set(left_out.table["emotion"]) == {"happy"}
    with pytest.raises(ValueError, match=r"names among \['who', 'emotion', 'mood'\]"):
        list_labelled(root / "labels.csv", columns={"path": "nowhere"})


def test_splits_of_a_table_are_kept(tmp_path):
    root = flat_folder(tmp_path / "set", "image,label,Usage", "{path},{word},{split}")
    assert counts_of(load_labelled(root)) == {
        "test": {"happy": 1, "sad": 1},
        "train": {"happy": 4, "sad": 4},
        "valid": {"happy": 1, "sad": 1},
    }


def test_folders_that_say_emotions_go_before_a_table(tmp_path):
    root = write_folders(tmp_path / "set", {"angry": 2, "sad": 2})
    (root / "data.csv").write_text("path,label\nangry/1.png,happy\n")
    assert set(list_labelled(root).table["emotion"]) == {"anger", "sad"}
    assert list_labelled(root / "data.csv").table["emotion"].tolist() == ["happy"]


def test_plain_fer2013(tmp_path):
    cells = [" ".join(["7"] * 2304), " ".join(str(i % 256) for i in range(2304))]
    usages = ["Training", "PublicTest", "PrivateTest"]
    rows = [f"{label},{cells[label % 2]},{usage}" for usage in usages for label in range(7)]
    file = tmp_path / "fer2013.csv"
    file.write_text("\n".join(["emotion, pixels, Usage", *rows]) + "\n")
    for source in (file, tmp_path):
        table = DATASETS["folders"](source)
        assert table.emotions == NINE_EMOTIONS
        own = ["anger", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
        assert table.split("test").table["emotion"].tolist() == own
        assert table.images.shape == (21, 48, 48) and table.images[1, 0, 5] == 5
    file.write_text(file.read_text().replace("7 7 7", "7 7", 1))
    with pytest.raises(ValueError, match=r"2304 grey values.*row 2"):
        list_labelled(file)


@pytest.mark.parametrize("top", ["", "some name/"])
def test_zips_of_folders_and_of_tables(tmp_path, top):
    root = write_folders(tmp_path / "a" / top, {"happy": 2, "sad": 2})
    (root / "labels.csv").write_text("file,emotion,person\nhappy/1.png,happy,x\n")
    packed = shutil.make_archive(str(tmp_path / "faces"), "zip", tmp_path / "a")
    table = list_labelled(packed)
    assert table.table["emotion"].tolist() == ["happy"] * 2 + ["sad"] * 2
    assert table.image(0).shape == (32, 40, 3)
    flat_folder(tmp_path / "b", "file,label", "{path},{word}")
    assert (
        len(list_labelled(shutil.make_archive(str(tmp_path / "flat"), "zip", tmp_path / "b"))) == 12
    )
    Path(packed).write_bytes(Path(packed).read_bytes()[:-30])
    with pytest.raises(ValueError, match="zip"):
        list_labelled(packed)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("images/3.png,", "images/33.png,", FileNotFoundError, "is there.*row 4: 'images/33.png'"),
        ("images/3.png,", "images/2.png,", ValueError, r"each image once.*row 4"),
        ("images/3.png,", "../3.png,", ValueError, r"below the table's folder.*row 4"),
        ("images/3.png,happy", "images/3.png,", ValueError, r"a label in.*row 4"),
        ("images/3.png,happy", "images/3.png,3", ValueError, r"numbers \['3'\].*--classes 3="),
        ("images/3.png,happy", "images/3.png,3.0", ValueError, r"numbers \['3.0'\].*classes 3.0="),
        ("images/3.png,happy", "images/3.png,-1", ValueError, r"numbers \['-1'\].*--classes=-1="),
        ("file,", "what,", ValueError, r"--columns path=NAME emotion=NAME"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, old, new, error, message):
    root = flat_folder(tmp_path / "set", "file,emotion", "{path},{word}")
    table = root / "labels.csv"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(error, match=message):
        list_labelled(table)


@pytest.mark.parametrize("other", ["test/1.png", "images/1.png"])
def test_two_rows_are_not_one_file(tmp_path, other):
    """Images not at their path are found by name, which two rows may share."""
    root = flat_folder(tmp_path / "set", "file,emotion,split", "{path},{word},{split}")
    rows = ["path,emotion,split", "train/1.png,angry,train", f"{other},happy,test"]
    (root / "labels.csv").write_text("\n".join([*rows, "2.png,sad,train"]))
    message = rf"each of its own.*labels\.csv.*row 2: 'train/1\.png'; row 3: '{other}'\.$"
    with pytest.raises(ValueError, match=message):
        list_labelled(root)


@pytest.mark.parametrize("deeper", ["", "faces/"])
def test_a_missing_image_is_not_one_of_another_folder(tmp_path, deeper):
    """The row of `train/3.png`, which was gone, was that of `test/3.png`, which nobody labelled."""
    write_folders(tmp_path, {f"train/{deeper}": 2, f"test/{deeper}": 3})
    table, rows = tmp_path / "labels.csv", ["file,emotion"]
    rows += [f"old/train/faces/{number}.png,happy" for number in (1, 2)]
    table.write_text("\n".join(rows))
    found = [Path(path).relative_to(tmp_path) for path in list_labelled(table).table["path"]]
    assert found == [Path("train", deeper, f"{number}.png") for number in (1, 2)]
    table.write_text("\n".join([*rows, "old/train/faces/3.png,sad"]))
    with pytest.raises(FileNotFoundError, match=r"row 4: 'old/train/faces/3\.png'"):
        list_labelled(table)


@pytest.mark.parametrize("named", ["\u0439/\u0451.png", "\u0451.png", "x/\u0451.png"])
def test_letters_may_be_composed_otherwise_than_in_the_table(tmp_path, named):
    """As macOS composes names, and zips made there keep them."""
    apart = unicodedata.normalize("NFD", "\u0439/\u0451.png")
    write_folders(tmp_path, {Path(apart).parent.name: 1, "other": 2})
    (tmp_path / apart).with_name("1.png").rename(tmp_path / apart)
    (tmp_path / "labels.csv").write_text(f"file,emotion\n{named},happy\nother/1.png,sad\n")
    assert Path(list_labelled(tmp_path).table["path"].iloc[0]) == tmp_path / apart


def test_names_of_several_images_are_told_to_be(tmp_path, caplog):
    """They were told not to be there."""
    write_folders(tmp_path, {"happy": 2, "sad": 2})
    (tmp_path / "who.csv").write_text("file,person\n1.png,ann\n")
    assert "person" not in list_labelled(tmp_path).table
    assert "or several are called so, such as '1.png'" in caplog.text
    (tmp_path / "who.csv").write_text("file,emotion\n1.png,sad\n")
    with pytest.raises(FileNotFoundError, match=r"the only one called so\).*row 2: '1\.png'"):
        list_labelled(tmp_path / "who.csv")


def test_two_tables_are_not_guessed_between(tmp_path):
    root = flat_folder(tmp_path / "set", "file,emotion", "{path},{word}")
    shutil.copy(root / "labels.csv", root / "other.csv")
    with pytest.raises(ValueError, match=r"one table.*labels\.csv', 'other\.csv"):
        list_labelled(root)


def test_other_files_are_no_labelled_images(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="a folder of images, a zip or a csv"):
        list_labelled(tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError, match="Nothing is there"):
        list_labelled(tmp_path / "absent")


def test_options_where_a_data_set_has_none(tmp_path):
    with pytest.raises(ValueError, match=r"no \['classes'\] with FER\+"):
        DATASETS["ferplus"](None, classes={"a": "b"})
    with pytest.raises(ValueError, match=r"--data folders --source train\.csv"):
        DATASETS["competition"](tmp_path, columns={"path": "b"})


def test_a_table_without_rows_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_text("path,emotion\n")
    with pytest.raises(ValueError, match=r"a row for each image in .*labels\.csv"):
        list_labelled(tmp_path / "labels.csv")


def test_options_may_be_given_again(tmp_path, capsys):
    """The last counted, without a word; and `-1=` needs its own `--classes=`."""
    root = flat_folder(tmp_path / "set", "who,mood,label", "{path},{word},1")
    table = root / "labels.csv"
    table.write_text(table.read_text().replace("images/3.png,happy,1", "images/3.png,happy,-1"))
    read = ["data", "verify", "folders", "--source", str(table), "--columns", "path=who"]
    assert main([*read, "--columns", "emotion=label", "--classes", "1=sad", "--classes=-1="]) == 0
    assert "folders: 11 images" in capsys.readouterr().out


def test_classes_that_are_not_there_are_named(tmp_path, caplog):
    root = flat_folder(tmp_path / "set", "file,emotion", "{path},{word}")
    list_labelled(root / "labels.csv", classes={"angy": "anger", "Happy": "happy"})
    assert "'angy' asked for, and not there" in caplog.text and "'Happy'" not in caplog.text


def test_a_class_that_is_left_out_is_there(tmp_path, caplog):
    caplog.set_level("INFO")
    write_folders(tmp_path / "set", {"happy": 3, "bored": 3})
    assert len(list_labelled(tmp_path / "set", classes={"bored": ""})) == 3
    assert "not there" not in caplog.text and "bored = left out" in caplog.text


def test_a_column_of_splits_may_be_empty(tmp_path):
    """As in a csv of label-va for images without splits."""
    root = flat_folder(tmp_path / "set", "file,emotion,split", "{path},{word},")
    assert set(list_labelled(root).table["split"]) == {""}
    assert set(load_labelled(root).table["split"]) == {"train", "valid", "test"}
    table = root / "labels.csv"
    table.write_text(table.read_text().rstrip("\n") + "train\n")
    with pytest.raises(ValueError, match="Expected a split"):
        list_labelled(root)
