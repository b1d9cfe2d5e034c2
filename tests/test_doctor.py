"""What `builder-tools doctor` finds, and when it says that something is broken."""

import json
import shutil
from importlib.metadata import PackageNotFoundError

import pytest

from builder_tools import cards, doctor
from builder_tools.assets import list_assets
from builder_tools.cards import find_model
from builder_tools.cli import main


@pytest.fixture
def quick(monkeypatch):
    """Leave out what takes time and depends on the machine."""
    checks = {name: doctor.CHECKS[name] for name in ("versions", "extras", "files", "video")}
    monkeypatch.setattr(doctor, "CHECKS", checks)


def absent_assets():
    return [type(each)(each.asset, None, "absent") for each in list_assets()]


def test_a_whole_machine_passes_every_check(capsys, needs_detector):
    needs_detector("mediapipe")
    assert main(["doctor", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {each["check"] for each in found} == {*doctor.CHECKS}
    assert "broken" not in {each["state"] for each in found}
    said = {each["check"]: each["what"] for each in found}
    assert said["answer"].startswith("a photograph of one happy face: happy")
    assert " ms a face; a photo of 512x512 " in said["speed"]


def test_only_the_file_that_the_default_cannot_do_without_is_broken(quick, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "list_assets", absent_assets)
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    (broken,) = [line for line in lines if line.startswith("BROKEN")]
    assert "short_range.tflite is not here" in broken and "(try: builder-tools assets " in broken
    yunet = next(line for line in lines if "yunet" in line)
    assert yunet.startswith("-") and "tiles" in yunet
    assert [each.state for each in (*doctor._answer(), *doctor._speed())] == ["absent"] * 2


def damaged_card(folder):
    (folder / "card.json").write_text('{"name": "fast"')


def damaged_network(folder):
    (network,) = folder.glob("*.onnx")
    network.write_bytes(network.read_bytes()[:1000])


@pytest.mark.parametrize("damage", [damaged_card, damaged_network])
def test_a_damaged_default_model_is_broken_and_the_other_checks_still_run(
    monkeypatch, tmp_path, capsys, damage, needs_detector
):
    needs_detector("mediapipe")
    shutil.copytree(find_model("fast"), tmp_path / "fast")
    damage(tmp_path / "fast")
    monkeypatch.setattr(cards, "MODEL_ROOTS", (tmp_path,))
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--json"]) == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {each["check"] for each in found} == {*doctor.CHECKS}
    broken = {each["check"]: each["what"] for each in found if each["state"] == "broken"}
    assert sorted(broken) == ["answer", "files", "speed"]
    assert str(tmp_path / "fast") in broken["files"]


def test_a_damaged_card_of_an_own_model_is_told_and_nothing_is_broken(
    quick, monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "saved_models" / "mine"
    own.mkdir(parents=True)
    damaged_card(own)
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (told,) = [line for line in lines if "model mine" in line]
    assert told.startswith("-") and "card.json" in told and "(try: export it again" in told
    assert any("model fast, " in line for line in lines)


def test_two_opencvs_and_missing_packages_are_broken(quick, monkeypatch):
    versions = {"opencv-python": "4.14", "opencv-contrib-python": "4.14"}
    monkeypatch.setattr(doctor, "requirements", lambda extra="": ["av", "opencv-contrib-python"])
    monkeypatch.setattr(doctor, "_version", lambda name: versions.get(name, ""))
    broken = {each.what: each.advice for each in doctor.examine() if each.state == "broken"}
    assert broken["not installed: av"] == "pip install av"
    twice = "2 OpenCVs overwrite one another: opencv-python, opencv-contrib-python"
    assert broken[twice].startswith("pip uninstall opencv-python opencv-contrib-python; ")


def test_an_extra_is_absent_with_its_pip_command_not_broken(quick, monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: "")
    found = [each for each in doctor._extras() if "[kaggle]" in each.what]
    assert [(each.state, each.advice) for each in found] == [
        ("absent", "pip install 'builder-tools[kaggle]'")
    ]


def test_a_folder_that_was_not_installed_is_no_fault(quick, monkeypatch, capsys):
    def lost(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "distribution", lost)
    assert main(["doctor"]) == 0
    assert "runs from a folder, not installed" in capsys.readouterr().out


def test_the_base_install_is_what_pyproject_says():
    names = doctor.requirements()
    assert {"mediapipe", "onnxruntime", "opencv-contrib-python"} <= set(names)
    assert "tensorflow" not in names and "tensorflow" in doctor.requirements("study")
