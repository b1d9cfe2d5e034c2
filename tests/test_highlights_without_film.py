"""Highlights of viewers whose film is not there: when they began, and what is cut."""

import re
from dataclasses import replace

import pandas as pd
import pytest
from made_videos import BrightFaceDetector, BrightnessModel, make_party

from builder_tools.inference import Inference
from builder_tools.media import VideoReader
from builder_tools.timeline.highlights import HighlightSettings
from builder_tools.timeline.recordings import find_offsets, parse_viewers
from builder_tools.timeline.signals import SignalSettings
from builder_tools.timeline.viewers import search

SETTINGS = HighlightSettings(count=3, seconds=3, signal=SignalSettings(measure="surprise"))
FRAME_S = 1 / 25


@pytest.fixture(scope="module")
def party(tmp_path_factory):
    return make_party(tmp_path_factory.mktemp("party"))


def found_in(text, out, settings=SETTINGS):
    """Return what a search for one viewer finds."""
    with Inference(
        BrightnessModel(), BrightFaceDetector(), show_state_mode="none", inference_mode="video"
    ) as inference:
        return search(parse_viewers([text]), None, out, inference, settings)


def places_in(folder):
    """Return all times in the lists for editing programs, in seconds."""
    codes = re.findall(r"(\d\d):(\d\d):(\d\d):(\d\d)", (folder / "highlights.edl").read_text())
    weights = (3600, 60, 1, FRAME_S)
    places = [sum(w * int(n) for w, n in zip(weights, code, strict=True)) for code in codes]
    points = re.findall(r"point (.*)", (folder / "highlights.ffconcat").read_text())
    return [*places, *map(float, points)]


def check_lists(one, other):
    """Check that two searches cut the same, but for the frame to which a time is rounded."""
    assert places_in(one) == pytest.approx(places_in(other), abs=FRAME_S + 1e-6)


@pytest.mark.parametrize(
    "order", [("anna@+5", "ben", "cleo"), ("ben", "anna@+5", "cleo"), ("anna@+5", "cleo", "anna")]
)
def test_the_sound_counts_from_a_given_start(party, order):
    """Anna began 5 s after the film, so all began 3.75 s later than in the party."""
    texts = [str(party.viewers[word.split("@")[0]]) + word[4:] * ("@" in word) for word in order]
    viewers = parse_viewers(texts)
    found = find_offsets(viewers, None)
    for viewer in viewers:
        seconds, origin, _, problem = found[viewer.name]
        assert seconds == pytest.approx(party.starts_s[viewer.name.split()[0]] + 3.75, abs=0.05)
        assert problem == "" and (origin == "given") == (viewer.name == "anna")


def test_a_given_start_that_is_not_heard_is_no_measure(party, tmp_path):
    """The first one is, as where no start is given."""
    table = tmp_path / "dan.csv"
    table.write_text("no sound")
    viewers = parse_viewers(
        [*(str(party.viewers[name]) for name in ("ben", "anna")), f"{table}@+9"]
    )
    found = find_offsets(viewers, None)
    assert found["ben"] == (0.0, "assumed", None, "") and found["dan"][:2] == (9.0, "given")
    assert found["anna"][0] == pytest.approx(1.25 + 1.6, abs=0.05)
    assert found["anna"][1] == "sound"


@pytest.mark.parametrize("offset_s", [20, -1])
def test_a_recording_is_cut_where_its_viewer_was_moved(party, tmp_path, offset_s):
    """Highlights are told in seconds of the film, and cut in those of the recording."""
    path = str(party.viewers["anna"])
    own = found_in(path, tmp_path / "own")
    shifted = found_in(f"{path}@{offset_s:+d}", tmp_path / "shifted")
    assert len(own.highlights) == 3
    for one, other in zip(own.highlights, shifted.highlights, strict=True):
        for name in ("start_s", "end_s", "peak_s"):
            assert getattr(other, name) - offset_s == pytest.approx(getattr(one, name), abs=0.01)
    check_lists(tmp_path / "own", tmp_path / "shifted")
    with VideoReader(tmp_path / "shifted" / "trailer.mp4") as reader:
        brightest = [max(frames) for frames in _thirds([f.image.mean() for f in reader])]
    assert min(brightest) > 40 + 200 * 0.5  # every cut shows a planted reaction


def _thirds(values):
    return [values[i * len(values) // 3 : (i + 1) * len(values) // 3] for i in range(3)]


def test_cuts_lie_in_the_recording_and_suit_its_length(party, tmp_path):
    """The cause of the first reaction lies before its beginning."""
    path, settings = str(party.viewers["anna"]), replace(SETTINGS, seconds=None, reaction_s=3.0)
    own = found_in(path, tmp_path / "own", settings)
    assert min(one.start_s for one in own.highlights) == 0
    found_in(f"{path}@+20", tmp_path / "shifted", settings)
    check_lists(tmp_path / "own", tmp_path / "shifted")
    table = tmp_path / "shifted" / "timelines" / "anna.csv"
    found_in(f"{table}@+20", tmp_path / "table", settings)
    shifted, of_table = (
        pd.read_csv(tmp_path / name / "highlights.csv") for name in ("shifted", "table")
    )
    pd.testing.assert_frame_equal(shifted, of_table)
    assert shifted["start_s"].min() == 20
