"""Tables over time: writing, reading, summaries, signals, figures."""

import csv
import math

import numpy as np
import pandas as pd
import pytest

from builder_tools.results import Box, Face, FaceEmotion, FrameResult
from builder_tools.timeline.affect import affect_of
from builder_tools.timeline.people import PersonRule
from builder_tools.timeline.summary import SummaryMaker, describe_people, describe_video
from builder_tools.timeline.writer import TimelineWriter

EMOTIONS = ("happy", "neutral", "sad")


def person(track, happy, neutral=0.0, valence=None, arousal=None, side=40):
    probabilities = {"happy": happy, "neutral": neutral, "sad": 1 - happy - neutral}
    return FaceEmotion(
        Face(Box(0, 0, side, side), 0.9, track=track), probabilities, valence, arousal
    )


def frames(*people_by_frame, step_s=0.5):
    return [
        FrameResult("film", index, index * step_s, tuple(people))
        for index, people in enumerate(people_by_frame)
    ]


def write(path, results):
    with TimelineWriter(path, EMOTIONS) as writer:
        for result in results:
            writer.write(result)
    return path


def test_affect_from_the_model():
    affect = affect_of(person(1, 0.5, valence=-0.6, arousal=0.8))
    assert (affect.valence, affect.arousal, affect.source) == (-0.6, 0.8, "model")
    assert affect.intensity == pytest.approx(1.0)


def test_affect_from_the_probabilities():
    affect = affect_of(person(1, 0.5, 0.3))  # happy (0.81, 0.51), sad (-0.63, -0.27)
    assert affect.valence == pytest.approx(0.5 * 0.81 - 0.2 * 0.63)
    assert affect.arousal == pytest.approx(0.5 * 0.51 - 0.2 * 0.27)
    assert affect.intensity == pytest.approx(0.7) and affect.source == "anchors"


def test_affect_in_the_words_of_another_data_set():
    shares = {"Ahegao": 0.1, "Angry": 0.2, "Neutral": 0.7}
    affect = affect_of(FaceEmotion(Face(Box(0, 0, 9, 9), 1.0), shares))
    assert affect.intensity == pytest.approx(0.3)
    assert affect.valence == pytest.approx(0.2 / 0.9 * -0.51)


def test_affect_of_emotions_without_a_place():
    face = FaceEmotion(Face(Box(0, 0, 9, 9), 1.0), {"bored": 0.7, "amused": 0.3})
    assert affect_of(face).valence is None and affect_of(face).intensity == 0.0


def test_a_timeline_has_a_row_a_face_and_one_for_nobody(tmp_path):
    path = write(
        tmp_path / "new folder" / "t.csv",
        frames([person(1, 0.9), person(2, 0.1, 0.9)], [], [person(1, 0.2)]),
    )
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["track"] for row in rows] == ["1", "2", "", "1"]
    assert [row["time_s"] for row in rows] == ["0.0", "0.0", "0.5", "1.0"]
    assert [row["emotion"] for row in rows] == ["happy", "neutral", "", "sad"]
    assert rows[0]["p_happy"] == "0.9" and rows[0]["affect_from"] == "anchors"
    assert rows[0]["doubtful"] == "0"
    assert rows[1]["intensity"] == "0.1" and rows[2]["p_sad"] == ""
    assert [p.name for p in path.parent.iterdir()] == ["t.csv"]


def test_a_broken_off_timeline_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), TimelineWriter(tmp_path / "t.csv", EMOTIONS) as writer:
        writer.write(frames([person(1, 0.9)])[0])
        raise KeyError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "message"), [("t.txt", r"\.csv"), ("a file/t.csv", "Cannot")])
def test_a_place_that_takes_no_timeline(tmp_path, name, message):
    (tmp_path / "a file").write_text("")
    with pytest.raises((ValueError, OSError), match=message):
        TimelineWriter(tmp_path / name, EMOTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


def test_parquet_holds_the_same(tmp_path):
    results = frames([person(1, 0.9), person(2, 0.1)], [], [person(1, 0.2)])
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match="pip install pyarrow"):
            TimelineWriter(tmp_path / "t.parquet", EMOTIONS)
        assert list(tmp_path.iterdir()) == []
        return
    from builder_tools.timeline.reading import read_timeline

    tables = [read_timeline(write(tmp_path / name, results)) for name in ("t.csv", "t.parquet")]
    pd.testing.assert_frame_equal(*tables, check_dtype=False)


def test_memory_does_not_grow_with_the_length(tmp_path):
    import tracemalloc

    results = frames([person(1, 0.9), person(2, 0.1)])
    maker = SummaryMaker(EMOTIONS)
    sizes = []
    with TimelineWriter(tmp_path / "t.csv", EMOTIONS) as writer:
        tracemalloc.start()
        for index in range(4000):
            frame = FrameResult("film", index, index / 30, results[0].faces)
            writer.write(frame)
            maker.add(frame)
            if index % 1000 == 999:
                sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert max(sizes[1:]) - sizes[0] < 20_000


def test_people_and_video_in_figures_by_hand():
    maker = SummaryMaker(EMOTIONS, PersonRule(0.0, 0.0))
    for result in frames(
        [person(1, 1.0)], [person(1, 0.4), person(2, 0.0)], [], [person(1, 0.4)], [person(1, 1.0)]
    ):
        maker.add(result)
    one, two = maker.people()
    # weights: 0.001 at first sight, then 0.5, 1.0 (over a frame unseen) and 0.5 s
    total = 0.001 + 0.5 + 1.0 + 0.5
    assert one.seen_s == pytest.approx(2.0) and (one.first_s, one.last_s) == (0.0, 2.0)
    assert one.probabilities["happy"] == pytest.approx((0.001 + 0.2 + 0.4 + 0.5) / total)
    assert sum(one.probabilities.values()) == pytest.approx(1)
    assert one.shown["sad"] == pytest.approx(1.5 / total)
    assert one.changes == 2 and one.changes_per_minute == pytest.approx(60)
    assert (two.track, two.seen_s, two.emotion) == (2, 0.0, "sad")
    whole = maker.whole()
    assert whole.seen_s == pytest.approx(2.0) and whole.track is None
    assert "2 people; faces in 80% of frames; everybody" in describe_video(maker)
    assert describe_people(maker.people(), most=1)[1].startswith("... and 1")


def test_without_tracks_every_face_counts_alike():
    """Of two faces in each frame, the second hardly counted."""
    maker = SummaryMaker(EMOTIONS)
    for result in frames(*[[person(None, 1.0), person(None, 0.0)]] * 21, step_s=0.1):
        maker.add(result)
    whole = maker.whole()
    shares = (whole.probabilities["happy"], whole.shown["happy"])
    assert shares == pytest.approx((0.5, 0.5))
    assert whole.seen_s == pytest.approx(2 * 2.0) and whole.changes == 0


def test_a_video_without_faces():
    maker = SummaryMaker(EMOTIONS)
    maker.add(frames([])[0])
    assert maker.people() == [] and maker.whole() is None
    assert describe_video(maker) == "0 people: no face in 1 frames"


def test_reading_back(tmp_path):
    from builder_tools.timeline.reading import emotions_of, measure_column, read_timeline

    table = read_timeline(write(tmp_path / "t.csv", frames([person(1, 0.9)], [])))
    assert tuple(emotions_of(table)) == EMOTIONS
    assert table["track"].tolist() == [1, pd.NA]
    assert measure_column(table, "sad") == "p_sad"
    with pytest.raises(ValueError, match="measure='anger'"):
        measure_column(table, "anger")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("no.csv", None, "No timeline"), ("t.csv", "a,b\n1,2\n", "lacks"), ("t.csv", "", "Cannot")],
)
def test_what_is_no_timeline(tmp_path, name, text, message):
    from builder_tools.timeline.reading import read_timeline

    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises((ValueError, OSError), match=message):
        read_timeline(tmp_path / name)


def _table(values, times_s):
    return pd.DataFrame(
        {
            "frame": range(len(values)),
            "time_s": times_s,
            "face_px": np.where(np.isfinite(values), 40.0, np.nan),
            "arousal": values,
            "p_happy": 0.5,
        }
    )


def test_missing_faces_are_gaps_not_zeros():
    from builder_tools.timeline.signals import SignalSettings, reaction, sample

    times = np.arange(0, 20, 0.1)
    values = np.where((times > 5) & (times < 8) | (np.abs(times - 12) < 0.15), np.nan, 0.3)
    settings = SignalSettings(baseline_s=10)
    got = sample(_table(values, times), settings, times)
    assert np.isnan(got[(times > 5.05) & (times < 7.95)]).all()
    assert np.isfinite(got[np.abs(times - 12) < 0.5]).all()  # a short one is bridged
    assert got[np.isfinite(got)] == pytest.approx(0.3)
    assert np.nanmax(np.abs(reaction(got, settings))) == pytest.approx(0, abs=1e-6)


def test_habits_are_removed_and_single_frames_do_not_count():
    from builder_tools.timeline.signals import SignalSettings, reaction, sample

    times = np.arange(0, 60, 0.1)
    rng = np.random.default_rng(0)
    bump = 0.4 * np.exp(-0.5 * ((times - 30) / 0.8) ** 2)
    settings = SignalSettings(baseline_s=30)
    grumpy = -0.4 + bump + rng.normal(0, 0.02, len(times))
    merry = 0.5 + 0.3 * times / 60 + bump + rng.normal(0, 0.02, len(times))
    got = [reaction(sample(_table(v, times), settings, times), settings) for v in (grumpy, merry)]
    for values in got:
        assert times[values.argmax()] == pytest.approx(30, abs=0.5)
        assert abs(np.median(values)) < 0.3
    assert got[0].max() == pytest.approx(got[1].max(), rel=0.25)


def test_the_largest_face_is_the_viewer():
    from builder_tools.timeline.signals import largest_faces

    table = pd.DataFrame(
        {
            "frame": [0, 0, 1, 2],
            "time_s": [0.0, 0.0, 0.1, 0.2],
            "face_px": [30.0, 80.0, np.nan, 25.0],
            "track": [1, 2, None, 1],
        }
    )
    assert largest_faces(table)["face_px"].fillna(0).tolist() == [80.0, 0.0, 25.0]


@pytest.mark.parametrize("wrong", [{"step_s": 0}, {"smooth_s": -1}, {"baseline_s": math.nan}])
def test_signal_settings_out_of_range(wrong):
    from builder_tools.timeline.signals import SignalSettings

    with pytest.raises(ValueError, match=r"above 0|a finite number"):
        SignalSettings(**wrong)


def test_figures(tmp_path):
    pytest.importorskip("matplotlib").use("agg")
    import matplotlib.pyplot as plt

    from builder_tools.plots.timeline import plot_affect_path, plot_emotions_over_time, plot_video
    from builder_tools.timeline.reading import read_timeline

    results = frames([person(1, 0.9)], [person(1, 0.1), person(2, 0.5)], [], [person(1, 0.3)])
    table = read_timeline(write(tmp_path / "t.csv", results))
    ax = plot_emotions_over_time(table, 1)
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == list(EMOTIONS)[::-1]
    assert plot_affect_path(table).get_xlabel() == "valence"
    assert len(plot_video(table).axes) >= 4
    with pytest.raises(ValueError, match="Expected a face"):
        plot_emotions_over_time(table, 9)
    plt.close("all")


def test_the_video_verb_writes_a_timeline_and_draws_it(face_video, tmp_path, capsys):
    from builder_tools.cli import main

    out, plot = tmp_path / "t.csv", tmp_path / "t.png"
    options = ["--timeline", str(out), "--plot", str(plot), "--max-frames", "40", "--smooth", "0.2"]
    assert main(["video", str(face_video.path), *options]) == 0
    text = capsys.readouterr()
    lines = text.out.splitlines()
    assert len(lines) == 2 and "person 1" in lines[0] and "1 person; faces" in lines[1]
    rows = out.read_text().splitlines()
    assert len(rows) == 41 and rows[0].startswith("frame,time_s,track")
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert main(["video", str(face_video.path), "--plot", str(plot)]) == 2
    assert "--timeline" in capsys.readouterr().err


def test_a_camera_leaves_a_timeline_only_and_ctrl_c_keeps_it(
    mjpeg_server, tmp_path, monkeypatch, capsys
):
    from builder_tools.cli import main, use

    seen = []

    def interrupt(result):
        seen.append(result)
        if len(seen) == 4:
            raise KeyboardInterrupt

    out = tmp_path / "visit.csv"
    options = ["online", "--headless", "--camera", mjpeg_server.url, "--timeline", str(out)]
    assert main([*options, "--max-frames", "3"]) == 0
    assert len(out.read_text().splitlines()) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["visit.csv"]
    monkeypatch.setattr(use, "print_json", interrupt)
    out.unlink()
    assert main([*options, "--json"]) == 130
    assert "Written" in capsys.readouterr().err
    assert len(out.read_text().splitlines()) == 5
