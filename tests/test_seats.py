"""The viewers of one recording, and that the page sees the peaks which the command line sees."""

from argparse import Namespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from builder_tools.cli import main
from builder_tools.cli.over_time import plot_timeline
from builder_tools.timeline.faces import BestSights
from builder_tools.timeline.highlights import highlights_of
from builder_tools.timeline.people import PersonRule
from builder_tools.timeline.reading import read_timeline
from builder_tools.timeline.seats import viewers_in
from builder_tools.timeline.writer import columns_of

RULE = PersonRule(0.5, 0.0)


def timeline(people: dict[int, tuple[float, float, float]], seconds: float = 20.0) -> pd.DataFrame:
    """People by track: first and last second in sight, and when they are aroused."""
    rows = []
    for frame, time_s in enumerate(np.arange(0, seconds, 0.1)):
        there = {t: one for t, one in people.items() if one[0] <= time_s < one[1]}
        for track, (_, _, peak_s) in there.items():
            arousal = float(np.exp(-(((time_s - peak_s) / 0.5) ** 2)))
            face = [frame, time_s, track, 50.0 + track, 0.9, "happy", 1.0, 1.0, 0.0]
            rows.append([*face, 0.1, arousal, 0.5, "model", 0])
        if not there:
            rows.append([frame, time_s, *[None] * 12])
    table = pd.DataFrame(rows, columns=columns_of(("happy", "sad")))
    return table.astype({"track": "Int64", "face_px": float, "arousal": float})


def test_who_comes_after_another_has_left_takes_over_the_seat():
    """1 is lost and found as 3 beside 2; 4 is there too briefly to be a viewer."""
    people = {1: (0, 8, 5), 2: (0, 20, 5), 3: (9, 20, 12), 4: (5, 7, 6)}
    first, second = sorted(viewers_in(timeline(people), RULE), key=lambda seat: seat["track"].min())
    assert set(first["track"]) == {1, 3} and set(second["track"]) == {2}


def test_the_largest_face_is_one_viewer():
    (one,) = viewers_in(timeline({1: (0, 20, 5), 2: (10, 20, 5)}), None)
    assert one.groupby("track").size().to_dict() == {1: 100, 2: 100}


def test_faces_without_identities_are_one_viewer_and_nobody_is_none():
    table = timeline({1: (0, 20, 5)})
    assert len(viewers_in(table.assign(track=pd.NA), RULE)) == 1
    assert viewers_in(timeline({}), RULE) == viewers_in(timeline({}), None) == []


@pytest.mark.parametrize(
    ("people", "peaks"),
    [
        ({1: (0, 20, 8)}, [8.0]),
        ({1: (0, 20, 8), 2: (0, 20, 8)}, [8.0]),
        ({1: (0, 20, 5), 2: (0, 20, 10), 3: (0, 20, 15)}, []),
    ],
)
def test_page_and_command_line_agree(tmp_path, people, peaks):
    timeline(people).to_csv(tmp_path / "family.csv", index=False)
    options = ["--out", str(tmp_path / "cut"), "--detector", "haar"]
    assert main(["highlights", f"{tmp_path}/family.csv@+0", *options]) == 0
    told = pd.read_csv(tmp_path / "cut" / "highlights.csv")
    shown = highlights_of(read_timeline(tmp_path / "family.csv"), 20.0, RULE)
    assert told["peak_s"].tolist() == [h.peak_s for h in shown] == pytest.approx(peaks, abs=0.11)
    assert told["score"].tolist() == [round(h.score, 4) for h in shown]
    viewers = pd.read_csv(tmp_path / "cut" / "viewers.csv")
    assert viewers["people"].tolist() == [len(people)]


def test_the_plot_frames_what_the_page_does(tmp_path, monkeypatch):
    """It left out the time for which the last image is shown: here half a second of 20."""
    drawn = {}
    monkeypatch.setattr(
        "builder_tools.plots.timeline.plot_video",
        lambda *args, **options: drawn.update(options) or plt.figure(),
    )
    timeline({1: (0, 20, 8)}).iloc[::5].to_csv(tmp_path / "slow.csv", index=False)
    given = Namespace(
        timeline=tmp_path / "slow.csv",
        plot=tmp_path / "p.png",
        plot_faces=False,
        file="film.mp4",
        rotate=0,
        language="en",
        **{"detector": "haar", "person_s": None, "person_score": None},
    )
    plot_timeline(given, BestSights())
    (page,) = highlights_of(read_timeline(tmp_path / "slow.csv"), 20.0, RULE)
    assert drawn["highlights"] == [(page.start_s, page.end_s)]
    assert page.end_s - page.start_s == pytest.approx(4)
