"""Zips of labelled images: names as their packers wrote them, and archives that are wrong."""

import zipfile

import numpy as np
import pytest
from made_folders import made_image

from builder_tools.datasets.labelled import list_labelled
from builder_tools.media import write_image


@pytest.fixture
def image(tmp_path):
    write_image(tmp_path / "image.png", made_image(1))
    return (tmp_path / "image.png").read_bytes()


def packed(path, names, image, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name in names:
            archive.writestr(name, image)
    return path


@pytest.mark.parametrize("encoding", ["cp866", "cp1251", "utf-8"])
def test_names_in_the_encoding_of_their_packer(tmp_path, image, encoding, monkeypatch):
    """Folders named by a Mac or a Russian Windows were classes such as `╨│╨╜╨╡╨▓`."""

    def unmarked(entry):
        return entry.filename.encode(encoding), 0

    with monkeypatch.context() as patched:
        patched.setattr(zipfile.ZipInfo, "_encodeFilenameFlags", unmarked)
        path = packed(tmp_path / "faces.zip", ["Радость/1.png", "Грусть/2.png"], image)
    table = list_labelled(path)
    assert table.table["emotion"].tolist() == ["sad", "happy"]
    np.testing.assert_array_equal(table.image(1), made_image(1))


def test_folders_as_some_programs_of_windows_separate_them(tmp_path, image):
    path = packed(tmp_path / "faces.zip", ["happy\\1.png", "sad\\2.png"], image)
    assert list_labelled(path).table["name"].tolist() == ["happy/1.png", "sad/2.png"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["happy/1.png", "../happy/1.png", "/happy/./1.png"])
def test_two_files_in_one_place_are_refused(tmp_path, image, other):
    """The first was lost."""
    path = packed(tmp_path / "faces.zip", ["happy/1.png", other, "sad/1.png"], image)
    with pytest.raises(ValueError, match=r"different names in .*faces\.zip.*\['happy/1\.png'\]"):
        list_labelled(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_zip_is_named(tmp_path, image, method):
    names = ["happy/1.png", "sad/1.png"]
    path = packed(tmp_path / "faces.zip", names, image * 20, compression=method)
    content = bytearray(path.read_bytes())
    content[100:300] = b"\x55" * 200
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a whole zip without a password: .*faces\.zip\."):
        list_labelled(path)


def test_what_is_wrong_in_a_zip_is_told_with_its_name(tmp_path, image):
    path = packed(tmp_path / "faces.zip", ["1.png"], image)
    with pytest.raises(ValueError, match=r"class folders .*faces\.zip\. There are none"):
        list_labelled(path)
