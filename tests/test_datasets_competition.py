"""The Kaggle layout, and what every loader of the registry gives."""

from pathlib import Path

import pytest
from made_folders import counts_of, made_image, write_folders
from toy_study import toy_faces, write_official

from builder_tools.datasets import DATASETS
from builder_tools.datasets.competition import competition_test, load_competition
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.media import write_image


@pytest.fixture
def competition(tmp_path) -> Path:
    """The Kaggle layout: seven images of each of three classes, five to be classified."""
    root = tmp_path / "competition"
    lines = [",image_path,emotion"]
    for folder in ("anger", "happy", "uncertain"):
        for number in range(7):
            write_image(root / f"train/{folder}/{number}.jpg", made_image(len(lines)))
            lines.append(f"{len(lines) - 1},./train/{folder}/{number}.jpg,{folder}")
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    for number in (0, 1, 2, 10, 11):
        write_image(root / f"test_kaggle/{number}.jpg", made_image(100 + number))
    return root


class TestCompetition:
    def test_the_layout_is_read_and_split(self, competition):
        table = load_competition(competition)
        assert table.emotions == NINE_EMOTIONS and table.votes is None
        assert counts_of(table) == {
            "train": {"anger": 5, "happy": 5, "uncertain": 5},
            "valid": {"anger": 1, "happy": 1, "uncertain": 1},
            "test": {"anger": 1, "happy": 1, "uncertain": 1},
        }
        assert table.table["name"].iloc[0] == "train/anger/0.jpg"
        assert table.image(20).shape == (32, 40, 3)
        assert DATASETS["competition"](competition).table.equals(table.table)

    def test_the_test_images_come_in_the_order_of_the_sample(self, competition):
        names = [path.name for path in competition_test(competition)]
        assert names == ["0.jpg", "1.jpg", "2.jpg", "10.jpg", "11.jpg"]
        sample = competition / "sample_submission.csv"
        sample.write_text("image_path,emotion\n11.jpg,anger\n0.jpg,anger\n2.jpg,anger\n")
        found = competition_test(competition)
        assert [path.name for path in found] == ["11.jpg", "0.jpg", "2.jpg"]
        assert found[0] == competition / "test_kaggle/11.jpg"
        sample.write_text("image_path,emotion\n0.jpg,anger\n7.jpg,anger\n")
        with pytest.raises(FileNotFoundError, match=r"sample_submission\.csv.*row 3: '7\.jpg"):
            competition_test(competition)
        sample.write_text("image_path,emotion\n0.jpg,anger\n0.jpg,anger\n")
        with pytest.raises(ValueError, match=r"once.*row 3"):
            competition_test(competition)

    @pytest.mark.parametrize(
        ("old", "new", "error", "message"),
        [
            ("anger/3.jpg,anger", "anger/3.jpg,angry", ValueError, r"row 5: .*angry"),
            ("anger/3.jpg,anger", "anger/3.jpg,", ValueError, r"emotion of .*row 5"),
            ("anger/3.jpg", "anger/333.jpg", FileNotFoundError, r"is there.*row 5: .*333"),
            ("anger/3.jpg", "anger/2.jpg", ValueError, r"once.*row 5"),
            ("./train/anger/3.jpg", "../secret.jpg", ValueError, r"below it.*row 5"),
            ("./train/anger/3.jpg", "", ValueError, r"below it.*row 5"),
            ("image_path", "path", ValueError, r"columns \['image_path', 'emotion'\] in .*train"),
            (",image_path,emotion", "image_path,emotion,n", ValueError, r"unnamed index"),
        ],
    )
    def test_a_wrong_row_is_named(self, competition, old, new, error, message):
        file = competition / "train.csv"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))
        with pytest.raises(error, match=message):
            load_competition(competition)

    def test_many_wrong_rows_are_counted(self, competition):
        for path in (competition / "train/happy").iterdir():
            path.unlink()
        with pytest.raises(FileNotFoundError, match=r"row 9: .*row 13: .*; and 2 more\."):
            load_competition(competition)

    def test_missing_parts_are_named(self, competition):
        (competition / "train.csv").unlink()
        with pytest.raises(FileNotFoundError, match=r"Expected train\.csv .*data/README\.md"):
            load_competition(competition)
        (competition / "train.csv").write_text("")
        with pytest.raises(ValueError, match=r"train\.csv"):
            load_competition(competition)
        with pytest.raises(FileNotFoundError, match="absent"):
            competition_test(competition / "absent")


class TestRegistry:
    def test_a_folder_must_be_named(self):
        for name in ("folders", "competition"):
            with pytest.raises(ValueError, match=rf"data set '{name}' .*--source"):
                DATASETS[name](None)

    def test_every_loader_fills_the_splits(self, tmp_path, competition):
        sources = {
            "ferplus": write_official(tmp_path / "f", toy_faces()),
            "folders": write_folders(tmp_path / "c", {"sad": 5, "fear": 5}),
            "competition": competition,
        }
        assert set(sources) == set(DATASETS)
        for name, load in DATASETS.items():
            table = load(sources[name])
            assert set(table.table["split"]) == {"train", "valid", "test"}
            assert table.table["name"].is_unique
            expected = [table.emotions.names[label] for label in table.labels]
            assert table.table["emotion"].tolist() == expected
            assert table.resized(16)[:2].shape == (2, 16, 16, 3)
