"""Recordings that cannot count as viewers: what is said of them, and that the others still do."""

import numpy as np
import pandas as pd
import pytest

from builder_tools.cli import main
from builder_tools.timeline.reading import read_timeline
from builder_tools.timeline.writer import columns_of

EMOTIONS = ("happy", "sad")


def write_viewer(path, peaks_s=(10.0,), seconds=20.0, tracks=(1,)):
    """Write the timeline of a viewer who is aroused at the given times."""
    rows = []
    for frame, time_s in enumerate(np.arange(0, seconds, 0.1)):
        arousal = sum(float(np.exp(-(((time_s - peak) / 0.5) ** 2))) for peak in peaks_s)
        for track in tracks:
            face = [frame, round(time_s, 6), track, 50.0, 0.9, "happy", 1.0, 1.0, 0.0]
            rows.append([*face, 0.1, arousal, 0.5, "model", 0])
    pd.DataFrame(rows, columns=columns_of(EMOTIONS)).to_csv(path, index=False)
    return path


@pytest.fixture
def viewers(tmp_path):
    return [f"{write_viewer(tmp_path / name)}@+0" for name in ("anna.csv", "ben.csv")]


def highlights_of(out):
    return pd.read_csv(out / "highlights.csv")


@pytest.mark.parametrize("content", [b"", b"no video", b"frame,time_s\n0,0\n"])
@pytest.mark.parametrize("suffix", [".mp4", ".csv"])
def test_a_recording_that_cannot_be_read_is_left_out(tmp_path, viewers, capsys, content, suffix):
    broken = tmp_path / f"cleo{suffix}"
    broken.write_bytes(content)
    out = tmp_path / "out"
    assert main(["highlights", str(broken), *viewers, "--out", str(out)]) == 1
    told = capsys.readouterr().err
    assert told.count("So it is left out.") == 1 and f"cleo{suffix}" in told
    table = pd.read_csv(out / "viewers.csv", index_col="viewer")
    assert table["people"].to_dict() == {"cleo": 0, "anna": 1, "ben": 1}
    assert table["problem"].isna().to_dict() == {"cleo": False, "anna": True, "ben": True}
    assert highlights_of(out)["viewers"].tolist() == [2]


def test_a_table_that_cannot_be_read_is_left_out_of_a_search_by_emotion(tmp_path, viewers, capsys):
    broken, out = tmp_path / "cleo.csv", tmp_path / "out"
    broken.write_bytes(b"no table")
    command = ["highlights", str(broken), *viewers, "--by", "happy", "--out", str(out)]
    assert main(command) == 1
    assert "So it is left out." in capsys.readouterr().err
    table = pd.read_csv(out / "viewers.csv", index_col="viewer")
    assert table["people"].to_dict() == {"cleo": 0, "anna": 1, "ben": 1}


def test_recordings_none_of_which_can_be_read(tmp_path, capsys):
    names = [tmp_path / "anna.mp4", tmp_path / "ben.mp4"]
    for name in names:
        name.touch()
    assert main(["highlights", *map(str, names), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "Expected a video" in told and "left out" not in told
    assert not (tmp_path / "out" / "viewers.csv").exists()


@pytest.mark.parametrize("offset_s", [-20, -500])
def test_a_recording_from_before_the_film_is_left_out(tmp_path, viewers, capsys, offset_s):
    others = [f"{write_viewer(tmp_path / f'{n}.csv')}@{offset_s:+d}" for n in range(3)]
    assert main(["highlights", *viewers, *others, "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert "0, 1, 2: none of it lies in the film" in told
    assert highlights_of(tmp_path / "out")["viewers"].tolist() == [2]


def test_a_recording_from_after_the_film_is_left_out(tmp_path, viewers, capsys, face_video):
    """Three recordings that began after its end would else be three viewers with no face."""
    film_s = float(face_video.num_frames / face_video.fps)
    late = [f"{write_viewer(tmp_path / f'{n}.csv')}@+{film_s + 1:.2f}" for n in range(3)]
    options = ["--film", str(face_video.path), "--out", str(tmp_path / "out")]
    assert main(["highlights", *viewers, *late, *options]) == 1
    assert "none of it lies in the film" in capsys.readouterr().err
    table = pd.read_csv(tmp_path / "out" / "viewers.csv", index_col="viewer")
    assert table["people"].tolist() == [1, 1, 0, 0, 0]


def test_no_recording_lies_in_the_film(tmp_path, capsys):
    viewer = write_viewer(tmp_path / "anna.csv")
    assert main(["highlights", f"{viewer}@-100", "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert "none of it lies in the film" in told and "stands out" not in told
    assert "No viewer was seen in any recording" in told


def test_a_recording_that_is_left_out_does_not_prolong_the_film(tmp_path, viewers):
    for name in ("cleo.mp4", "dan.csv"):
        (tmp_path / name).touch()
    extra = [f"{tmp_path / 'cleo.mp4'}@+500", f"{tmp_path / 'dan.csv'}@-500"]
    out = tmp_path / "out"
    assert main(["highlights", *viewers, *extra, "--out", str(out)]) == 1
    assert len(pd.read_csv(out / "reactions.csv")) == 200


def test_nobody_is_lost_where_a_file_is_called_like_one_of_several(tmp_path):
    """Anna's recording shows two; another file is called as the first of them would be."""
    family = write_viewer(tmp_path / "anna.csv", tracks=(1, 2))
    other = write_viewer(tmp_path / "Anna #1.csv")
    out = tmp_path / "out"
    assert main(["highlights", f"{family}@+0", f"{other}@+0", "--out", str(out)]) == 0
    columns = list(pd.read_csv(out / "reactions.csv", nrows=0))
    assert columns == ["time_s", "median", "anna #1 2", "anna #2", "Anna #1"]
    assert highlights_of(out)["viewers"].tolist() == [3]


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        ("time_s", "abc", "numbers in the column 'time_s'.*'abc' in row 4"),
        ("time_s", "", "numbers in the column 'time_s'.*nan in row 4"),
        ("time_s", "inf", "numbers in the column 'time_s'.*inf in row 4"),
        ("frame", "2.5", "whole numbers in the column 'frame'.*2.5 in row 4"),
        ("track", "1.5", "whole numbers in the column 'track'.*1.5 in row 4"),
        ("track", "x", "whole numbers in the column 'track'.*'x' in row 4"),
        ("face_px", "big", "numbers in the column 'face_px'.*'big' in row 4"),
        ("detection_score", "good", "numbers in the column 'detection_score'.*'good' in row 4"),
        ("p_sad", "0,1", "numbers in the column 'p_sad'.*'0,1' in row 4"),
        ("arousal", "high", "numbers in the column 'arousal'.*'high' in row 4"),
    ],
)
def test_a_timeline_with_a_cell_that_is_no_number(tmp_path, column, cell, words):
    path = write_viewer(tmp_path / "anna.csv", seconds=1.0)
    table = pd.read_csv(path, dtype=str)
    table.loc[3, column] = cell
    table.to_csv(path, index=False)
    with pytest.raises(ValueError, match=rf"Expected {words} below the header\.") as refusal:
        read_timeline(path)
    assert "anna.csv" in str(refusal.value)


def test_cells_that_may_be_empty(tmp_path):
    path = write_viewer(tmp_path / "anna.csv", seconds=1.0)
    table = pd.read_csv(path)
    table.loc[3, table.columns[2:]] = None
    table.to_csv(path, index=False)
    assert read_timeline(path)["track"].isna().sum() == 1


def test_an_assumed_beginning_stays_doubtful_in_a_second_search(tmp_path, capsys):
    """Unless somebody wrote another into the table."""
    recordings = [str(write_viewer(tmp_path / f"{name}.csv")) for name in ("anna", "ben")]
    first, second = tmp_path / "first", tmp_path / "second"
    again = ["highlights", *recordings, "--offsets", str(first / "viewers.csv")]
    assert main(["highlights", *recordings, "--out", str(first)]) == 1
    assert main([*again, "--out", str(second)]) == 1
    found = pd.read_csv(second / "viewers.csv")
    assert found["offset_from"].tolist() == ["assumed", "assumed"]
    found.assign(offset_s=[0.5, 0.0]).to_csv(first / "viewers.csv", index=False)
    main([*again, "--out", str(second)])
    found = pd.read_csv(second / "viewers.csv")
    assert found["offset_from"].tolist() == ["given", "assumed"]
    assert found["offset_s"].tolist() == [0.5, 0.0]


def test_who_leaves_before_the_film_begins_hides_no_moment(tmp_path, viewers, capsys):
    """Their recordings go on, without them."""
    for name in ("cleo", "dan", "eve"):
        table = pd.read_csv(write_viewer(tmp_path / f"{name}.csv", seconds=60.0))
        table.loc[table["time_s"] >= 30, table.columns[2:]] = np.nan
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    gone = [f"{tmp_path / name}.csv@-40" for name in ("cleo", "dan", "eve")]
    out = tmp_path / "out"
    assert main(["highlights", *viewers, *gone, "--out", str(out)]) == 1
    assert "cleo, dan, eve: nobody is seen in it during the film" in capsys.readouterr().err
    assert highlights_of(out)["viewers"].tolist() == [2]
