"""Detectors compared on the same images, the figures of cleaning, and the verb `clean`."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pandas as pd
import pytest
from fakes import FakeDetector, made_image

from builder_tools.cleaning import compare_detectors
from builder_tools.cli import main
from builder_tools.datasets.table import ImageTable
from builder_tools.emotions import EmotionSet
from builder_tools.media import read_image, write_image
from builder_tools.plots.cleaning import (
    plot_contact_sheet,
    plot_detectors,
    plot_dropped,
    plot_sharpness,
    plot_statuses,
)
from builder_tools.results import Face

matplotlib.use("Agg")


class _Shifted(FakeDetector):
    """Sees what `FakeDetector` sees, 12 px to the right."""

    def detect(self, image_rgb: np.ndarray) -> list[Face]:
        return [Face(face.box.shift(12, 0), face.score) for face in super().detect(image_rgb)]


def test_shares_and_agreement_by_hand() -> None:
    images = [made_image(n) for n in (0, 1, 1, 2)]
    detectors = {"fake": FakeDetector(), "one": FakeDetector(1), "shifted": _Shifted()}
    found = compare_detectors(images, detectors, surround=False).set_index("detector")
    assert found["images"].tolist() == [4, 4, 4]
    assert found["found"].tolist() == [0.75, 1.0, 0.75]
    assert found["many"].tolist() == [0.25, 0.0, 0.25]
    # "one" sees a face where there is none, and of two faces the other one.
    # Two boxes of 16 px, 12 px apart, overlap by 4 of 28.
    assert found["agreement"].tolist() == [1.0, 0.5, 0.25]
    assert (found["ms_p95"] >= found["ms_median"]).all()


def test_reference_limits_and_unreadable_images(tmp_path: Path) -> None:
    paths = [write_image(tmp_path / f"{n}.png", made_image(n)) for n in (1, 0, 1)]
    (tmp_path / "broken.png").write_bytes(b"no image")
    found = compare_detectors(
        [tmp_path / "broken.png", *paths],
        {"one": FakeDetector(1), "fake": FakeDetector()},
        reference="fake",
        limits={"one": 3},
        surround=False,
    ).set_index("detector")
    assert found["images"].to_dict() == {"one": 2, "fake": 3}
    assert found["agreement"].to_dict() == {"one": 0.5, "fake": 1.0}


def test_a_wrong_limit_in_the_environment_is_no_fault_of_the_images(tmp_path, monkeypatch) -> None:
    path = write_image(tmp_path / "1.png", made_image(1))
    monkeypatch.setenv("BUILDER_TOOLS_MAX_SIDE", "many")
    with pytest.raises(RuntimeError, match="BUILDER_TOOLS_MAX_SIDE"):
        compare_detectors([path], {"fake": FakeDetector()})


def test_images_of_a_table_in_memory() -> None:
    rows = {"name": ["a", "b"], "path": "", "index": [1, 0], "label": 0, "emotion": "happy"}
    images = np.stack([made_image(0), made_image(1)])
    table = ImageTable(pd.DataFrame({**rows, "split": ""}), EmotionSet(("happy",)), images)
    found = compare_detectors(table, {"fake": FakeDetector()}, surround=False)
    assert found["found"].tolist() == [0.5]


@pytest.mark.parametrize(
    ("images", "detectors", "reference"),
    [([], ["haar"], None), ([made_image(1)], [], None), ([made_image(1)], ["haar"], "yunet")],
)
def test_nothing_to_compare(images: list, detectors: list, reference: str | None) -> None:
    with pytest.raises(ValueError, match="reference among them"):
        compare_detectors(images, detectors, reference=reference)


def test_real_detectors_agree_on_a_portrait(astronaut: np.ndarray, needs_detector) -> None:
    needs_detector("yunet")
    found = compare_detectors([astronaut, astronaut[300:, :200]], ["mediapipe", "yunet"])
    assert found["found"].tolist() == [0.5, 0.5]
    assert found["agreement"].tolist() == [1.0, 1.0]


@pytest.fixture
def manifest() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_path": ["a.png", "b.png", "c.png", "d.png"],
            "emotion": ["sad", "happy", "happy", "sad"],
            "status": ["ok", "ok", "no_face", "blurred"],
            "kept": [True, True, False, False],
            "sharpness": [200.0, 400.0, np.nan, 20.0],
        }
    )


def test_statuses_are_stacked(manifest: pd.DataFrame) -> None:
    ax = plot_statuses(manifest)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["ok (2)", "no face (1)", "blurred (1)"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["happy", "sad"]
    widths = [[bar.get_width() for bar in group] for group in ax.containers]
    assert widths == [[1, 1], [1, 0], [0, 1]]


def test_sharpness_counts_what_is_under_the_limit(manifest: pd.DataFrame) -> None:
    ax = plot_sharpness(manifest, 100)
    assert ax.get_title() == "1 of 3 under 100"
    assert sum(bar.get_height() for bar in ax.patches) == 3
    with pytest.raises(ValueError, match="sharpness"):
        plot_sharpness(manifest.assign(sharpness=np.nan))


def test_detectors_are_named_in_their_figure() -> None:
    columns = {"detector": ["quick", "slow", "absent"], "found": [0.9, 1.0, np.nan]}
    times = {"ms_median": [2.0, 50.0, np.nan], "ms_p95": [3.0, 90.0, np.nan]}
    ax = plot_detectors(pd.DataFrame({**columns, **times}))
    assert [text.get_text() for text in ax.texts] == ["quick", "slow"]


def test_contact_sheet_of_images_and_one_that_cannot_be_read(tmp_path: Path) -> None:
    red = np.full((10, 20, 3), (255, 0, 0), np.uint8)
    ax = plot_contact_sheet([red, red, tmp_path / "absent.png"], columns=2, size_px=20)
    sheet = ax.images[0].get_array()
    assert sheet.shape == (2 * 22, 2 * 22, 3)
    assert sheet[12, 10].tolist() == [255, 0, 0]  # the middle of the first
    assert sheet[4, 10].tolist() == [255, 255, 255]  # above it: wider than high
    assert sheet[34, 10].tolist() == [200, 200, 200]
    for wrong in ([], [red]):
        with pytest.raises(ValueError, match="images"):
            plot_contact_sheet(wrong, ["one", "two"])


def test_dropped_images_are_shown_with_their_status(manifest: pd.DataFrame, tmp_path: Path) -> None:
    for name in ("c.png", "d.png"):
        write_image(tmp_path / name, np.zeros((8, 8, 3), np.uint8))
    ax = plot_dropped(tmp_path, manifest)
    assert [text.get_text() for text in ax.texts] == ["blurred", "no face"]
    with pytest.raises(ValueError, match="dropped"):
        plot_dropped(tmp_path, manifest[manifest["kept"]])


@pytest.fixture
def portraits(tmp_path: Path, astronaut: np.ndarray) -> Path:
    root = tmp_path / "raw"
    write_image(root / "happy" / "portrait.jpg", astronaut)
    write_image(root / "happy" / "ground.jpg", astronaut[300:, :200])
    write_image(root / "sad" / "mirrored.png", cv2.convertScaleAbs(astronaut[:, ::-1], alpha=0.7))
    return root


def test_verb_writes_a_folder_and_a_summary(portraits: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["clean", str(portraits), "--out", str(out), "--size", "48"]) == 0
    assert "2 kept and 1 dropped of 3 images (2 ok, 1 no_face)" in capsys.readouterr().out
    assert read_image(out / "happy" / "portrait.png").shape == (48, 48, 3)


def test_verb_takes_zero_for_a_value_and_presets(portraits: Path, tmp_path: Path, capsys) -> None:
    out, faces = tmp_path / "out", tmp_path / "faces"
    assert main(["clean", str(portraits), "--out", str(out), "--already-cropped"]) == 0
    assert (out / "happy" / "ground.jpg").read_bytes() == (
        portraits / "happy" / "ground.jpg"
    ).read_bytes()
    arguments = ["--shift-y", "0", "--min-face", "0", "--margin", "1.5", "--align-eyes"]
    assert main(["clean", str(portraits), "--out", str(faces), *arguments]) == 0
    settings = (faces / "cleaning.json").read_text()
    assert '"shift_y": 0.0' in settings and '"min_face_px": 0.0' in settings


def test_verb_tells_of_unreadable_images(portraits: Path, tmp_path: Path, capsys) -> None:
    (portraits / "sad" / "broken.jpg").write_bytes(b"")
    arguments = ["clean", str(portraits), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert "unreadable: sad/broken.jpg: " in capsys.readouterr().err
    assert main([*arguments, "--strict"]) == 1


def test_verb_says_what_to_try_where_nothing_is_kept(tmp_path: Path, capsys) -> None:
    write_image(tmp_path / "raw" / "blank.png", np.zeros((200, 200, 3), np.uint8))
    assert main(["clean", str(tmp_path / "raw"), "--out", str(tmp_path / "out")]) == 1
    assert "--already-cropped" in capsys.readouterr().err


def test_verb_with_wrong_usage(portraits: Path, tmp_path: Path, capsys) -> None:
    assert main(["clean", str(portraits), "--out", str(portraits / "in")]) == 2
    assert "apart from the source" in capsys.readouterr().err
    assert main(["clean", str(tmp_path / "no"), "--out", str(tmp_path / "out")]) == 2
    with pytest.raises(SystemExit) as caught:
        main(["clean", str(portraits), "--out", str(tmp_path / "out"), "--size", "-3"])
    assert caught.value.code == 2
    assert not (tmp_path / "out").exists()


def test_help_of_the_verb_shows_examples(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["clean", "--help"])
    text = capsys.readouterr().out
    assert "--already-cropped" in text and "examples:" in text
