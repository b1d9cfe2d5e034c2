"""A small run of the campaign of hostile files: `benchmarks/hostile` has the large one."""

import sys

import pytest
from conftest import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))

from hostile import campaign, inputs

SEED = 2026


def test_the_same_seed_makes_the_same_files():
    for make in (inputs.image_file, inputs.archive):
        assert [make(3, number) for number in range(20)] == [
            make(3, number) for number in range(20)
        ]
        assert make(3, 0) != make(4, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="it watches processes as POSIX has them")
def test_two_hundred_hostile_files_do_no_harm():
    pytest.importorskip("fastapi", reason="zips are unpacked by the page")
    found = campaign.run_campaign(SEED, images=140, videos=20, zips=40)
    assert [outcome.inputs for outcome in found] == [140, 20, 40]
    assert not [note for outcome in found for note in outcome.notes]
    assert [outcome.faults for outcome in found] == [0, 0, 0]
    assert all(outcome.answered and outcome.peak_mb > 0 for outcome in found)


def test_a_crash_is_counted_and_the_next_file_tried(tmp_path, monkeypatch):
    """The counting itself: a worker that dies at its second file is started again behind it."""
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import json, os, sys\n"
        "first, count = int(sys.argv[4]), int(sys.argv[5])\n"
        "for number in range(first, count):\n"
        "    if number == 1:\n"
        "        os.abort()\n"
        "    told = {'number': number, 'answered': True, 'error': '', 'left': 0, 'peak_mb': 9}\n"
        "    print(json.dumps(told), flush=True)\n"
    )
    monkeypatch.setattr(campaign, "PROGRAM", worker)
    outcome = campaign.try_files("videos", 5, 4, tmp_path)
    assert (outcome.inputs, outcome.answered, outcome.crashes, outcome.hangs) == (4, 3, 1, 0)
    assert outcome.faults == 1 and "videos 1: exit -6" in outcome.notes[0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="it watches processes as POSIX has them")
def test_eighty_hostile_requests_do_no_harm():
    for needed in ("fastapi", "websockets"):
        pytest.importorskip(needed, reason="the [web] extra is absent")
    (found,) = campaign.run_campaign(SEED, num_requests=80)
    assert not found.notes
    assert (found.inputs, found.faults) == (80, 0) and found.answered > 40
