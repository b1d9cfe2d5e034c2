"""Writing class folders: what is in them, and that nothing is left when it fails."""

import numpy as np
import pandas as pd
import pytest
from made_folders import counts_of, made_image, write_folders
from toy_study import toy_faces, write_official

from builder_tools.datasets.class_folders import (
    list_class_folders,
    load_class_folders,
    write_class_folders,
)
from builder_tools.datasets.ferplus import ferplus_table
from builder_tools.media import write_image


class TestWriting:
    @pytest.fixture
    def faces(self, tmp_path):
        return ferplus_table(write_official(tmp_path / "ferplus", toy_faces()))

    def test_what_is_written_reads_back(self, tmp_path, faces):
        root = write_class_folders(faces, tmp_path / "out/faces")
        assert sorted(path.name for path in root.iterdir()) == [
            "manifest.csv",
            "test",
            "train",
            "val",
        ]
        manifest = pd.read_csv(root / "manifest.csv", keep_default_na=False)
        assert list(manifest) == ["file", "split", "emotion", "source"]
        assert sorted(manifest["source"]) == sorted(faces.table["name"])
        assert all((root / file).is_file() for file in manifest["file"])
        again = load_class_folders(root)
        assert counts_of(again) == counts_of(faces) and again.emotions == faces.emotions
        name = faces.table["name"].iloc[0]
        written = again.table["path"].str.endswith(name)
        row = int(np.flatnonzero(written)[0])
        np.testing.assert_array_equal(again.image(row), faces.image(0))
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["faces"]

    def test_a_subset_is_seeded(self, tmp_path, faces):
        def names(folder, seed):
            root = write_class_folders(faces, tmp_path / folder, per_class=2, seed=seed)
            return {path.relative_to(root).as_posix() for path in root.rglob("*.png")}

        first = names("a", 0)
        assert len(first) == 2 * 9 * 3
        assert first == names("b", 0) != names("c", 1)

    def test_no_two_names_differ_in_case_alone(self, tmp_path):
        """On most disks of Windows and macOS, one of them would replace the other."""
        root = write_folders(tmp_path / "in", {"sad": 1, "happy": 1}, ".jpg")
        for name in ("IMG.bmp", "img.png"):
            write_image(root / "sad" / name, made_image(99))
        out = write_class_folders(list_class_folders(root), tmp_path / "out")
        written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
        assert len({name.casefold() for name in written}) == len(written) == 4
        assert sorted(pd.read_csv(out / "manifest.csv")["file"]) == written

    def test_without_splits_there_are_only_classes(self, tmp_path):
        root = write_folders(tmp_path / "in", {"sad": 3, "happy": 2}, ".jpg")
        write_image(root / "sad/1.bmp", made_image(99))
        out = write_class_folders(list_class_folders(root), tmp_path / "out")
        written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
        assert written == [
            *("happy/1.png", "happy/2.png"),
            *("sad/1.png", "sad/1_2.png", "sad/2.png", "sad/3.png"),
        ]

    def test_a_folder_that_is_not_empty_is_refused(self, tmp_path, faces):
        (tmp_path / "out").mkdir()
        (tmp_path / "out/mine.txt").write_text("keep")
        with pytest.raises(FileExistsError, match="not empty"):
            write_class_folders(faces, tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]

    def test_nothing_is_left_when_an_image_is_damaged(self, tmp_path):
        root = write_folders(tmp_path / "in", {"sad": 3})
        (root / "sad/2.png").write_bytes(b"damaged")
        with pytest.raises(ValueError, match=r"2\.png"):
            write_class_folders(list_class_folders(root), tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["in"]

    def test_nothing_is_left_when_the_disk_is_full(self, tmp_path, faces, monkeypatch):
        written = []

        def full_after_five(path, image):
            if len(written) == 5:
                raise OSError(28, "No space left on device")
            written.append(write_image(path, image))

        monkeypatch.setattr("builder_tools.datasets.class_folders.write_image", full_after_five)
        with pytest.raises(OSError, match="No space left"):
            write_class_folders(faces, tmp_path / "out")
        assert len(written) == 5 and [path.name for path in tmp_path.iterdir()] == ["ferplus"]

    def test_partly_split_or_empty_tables_are_refused(self, tmp_path, faces):
        faces.table.loc[0, "split"] = ""
        with pytest.raises(ValueError, match="all have a split, or none"):
            write_class_folders(faces, tmp_path / "out")
        with pytest.raises(ValueError, match="0 images"):
            write_class_folders(faces.rows(np.zeros(len(faces), bool)), tmp_path / "out")
