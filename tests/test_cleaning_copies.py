"""Cleaning before a fixed camera: copies go, expressions stay; nothing goes unseen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from cleaning_folders import PLAIN, class_folders, clean, files, made_image
from made_faces import with_other_mouth

from builder_tools.cleaning import CleaningConfig, clean_folder
from builder_tools.cli import main
from builder_tools.media import read_image, write_image

MOUTH_IN_ASTRONAUT = {"middle": (225 / 512, 162 / 512), "size": (0.05, 0.025)}
SHIFTS_PX = {"sad": -7, "neutral": -3, "happy": 3, "surprise": 7}


def fixed_camera(root: Path, astronaut: np.ndarray, cut: tuple[slice, slice]) -> Path:
    """Write one person with four expressions before one background, each in its class."""
    for emotion, shift in SHIFTS_PX.items():
        shot = with_other_mouth(astronaut, shift, **MOUTH_IN_ASTRONAUT)[cut]
        write_image(root / emotion / "shot.png", shot)
    return root


@pytest.mark.parametrize(
    ("cut", "config"),
    [
        ((slice(0, 240), slice(100, 340)), CleaningConfig.already_cropped()),
        ((slice(0, 512), slice(0, 512)), CleaningConfig(size_px=64)),
    ],
    ids=["crops", "photographs"],
)
def test_expressions_stay_and_copies_go(astronaut, tmp_path, cut, config):
    root = fixed_camera(tmp_path / "raw", astronaut, cut)
    for emotion in SHIFTS_PX:
        shot = read_image(root / emotion / "shot.png")
        side = shot.shape[0]
        write_image(root / emotion / "shot_exact.png", shot)
        half = cv2.resize(shot, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
        write_image(root / emotion / "shot_half.png", half)
        coded = cv2.imencode(".jpg", shot[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
        (root / emotion / "shot_recompressed.jpg").write_bytes(coded.tobytes())
    report = clean_folder(root, tmp_path / "out", config=config, max_dropped=1)
    kept = report.manifest[report.manifest["kept"]]["image_path"].tolist()
    assert kept == sorted(f"{emotion}/shot.png" for emotion in SHIFTS_PX)
    assert report.counts["duplicate"] == 12


def test_one_photograph_in_two_classes_is_reported_and_kept(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "raw")
    for name in ("happy/copy.png", "sad/copy.png"):
        write_image(root / name, read_image(root / "happy/0.png"))
    report = clean(root, tmp_path / "out")
    rows = report.manifest.set_index("image_path")
    assert rows.loc[["happy/0.png", "sad/copy.png"], "kept"].tolist() == [True, True]
    assert rows.loc["sad/copy.png", "reason"] == "the same photo is happy in happy/0.png"
    assert not rows.loc["happy/copy.png", "kept"]
    asked = clean(root, tmp_path / "asked", replace(PLAIN, conflicts="drop"))
    assert asked.num_kept == 7


def test_stops_where_more_than_a_fifth_would_go_and_goes_on_when_allowed(tmp_path: Path) -> None:
    root, out = class_folders(tmp_path / "raw", images=4), tmp_path / "out"
    for index in range(3):
        write_image(root / "happy" / f"none {index}.png", made_image(0, 50 + index))
    sentence = r"at most 20% of 11 images\. Received: 3 would go \(3 no_face\)\. Nothing was"
    with pytest.raises(ValueError, match=sentence) as caught:
        clean(root, out, max_dropped=0.2)
    assert not out.exists()
    assert "--max-dropped 0.28" in str(caught.value)
    sheets = {path.name for path in tmp_path.rglob("preview/*")}
    assert sheets == {"no_face.png", "manifest.csv"}
    report = clean(root, out, max_dropped=0.28)
    assert report.num_kept == 8
    assert not list(tmp_path.rglob("preview"))


def test_unreadable_images_do_not_count_for_the_stop(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "raw")
    for index in range(5):
        (root / "happy" / f"broken {index}.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    assert clean(root, tmp_path / "out", max_dropped=0).num_kept == 8


def test_preview_shows_what_would_go_and_drops_nothing(tmp_path: Path, capsys) -> None:
    root, out = class_folders(tmp_path / "raw", images=12), tmp_path / "out"
    write_image(root / "happy" / "none.png", made_image(0, 50))
    write_image(root / "happy" / "two.png", made_image(2, 51))
    write_image(root / "sad" / "copy.png", read_image(root / "sad/0.png"))
    preview = clean(root, out, preview=True)
    assert not out.exists() and preview.num_dropped == 3
    names = {path.name for path in preview.out.iterdir()}
    assert names == {"no_face.png", "multi_face.png", "duplicate.png", "manifest.csv"}
    for name, columns in (("no_face.png", 1), ("multi_face.png", 1), ("duplicate.png", 2)):
        assert read_image(preview.out / name).shape == (112 + 14, columns * (112 + 2), 3)
    assert files(clean(root, out).out) == files(clean(root, tmp_path / "other").out)


def test_preview_on_the_command_line(astronaut, tmp_path: Path, capsys) -> None:
    root = fixed_camera(tmp_path / "raw", astronaut, (slice(0, 240), slice(100, 340)))
    for top in (300, 330, 360):
        write_image(root / "sad" / f"ground {top}.png", astronaut[top : top + 150, :200])
    command = ["clean", str(root), "--out", str(tmp_path / "out")]
    assert main([*command, "--preview"]) == 0
    said = capsys.readouterr().out
    assert "3 of 7 images would go (3 no_face). Nothing was dropped" in said
    assert main(command) == 2
    assert "Expected to drop at most 20% of 7 images" in capsys.readouterr().err
    assert main([*command, "--max-dropped", "0.5"]) == 0
    assert "4 kept and 3 dropped" in capsys.readouterr().out
    assert main([*command, "--max-dropped", "2"]) == 2


def test_a_stopped_run_leaves_the_source_alone(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "raw")
    before = files(root)
    with pytest.raises(ValueError, match="--max-dropped"):
        clean(root, tmp_path / "out", CleaningConfig(surround=False), max_dropped=0)
    assert files(root) == before
    assert clean(root, tmp_path / "out", PLAIN, restart=True).num_kept == 8
