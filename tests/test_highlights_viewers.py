"""Viewers of a film as they are written, and tables of when their recordings begin."""

import os

import pytest

from builder_tools.cli import main
from builder_tools.timeline.recordings import parse_viewers, read_offsets, with_offsets
from builder_tools.timeline.writer import TimelineWriter


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_offsets_as_spreadsheets_write_them(tmp_path, encoding):
    text = "Viewer;Offset_s;note\r\nЮлия;1,25;\r\nb;-2;x\r\n;;\r\n"
    (tmp_path / "starts.csv").write_bytes(text.encode(encoding))
    assert read_offsets(tmp_path / "starts.csv") == {"Юлия": 1.25, "b": -2.0}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("a,nan", "line 2 of .*starts.csv.*nan"),
        ("a,1\nb,inf", "line 3 of .*starts.csv.*inf"),
        ("a,1\nb,", "line 3 of .*starts.csv"),
        ("a,1\nb", "line 3 of .*starts.csv"),
        ("a,1,25", "line 2 of .*starts.csv"),
        ("a,1\na,2", "each viewer once.*'a' in line 3"),
    ],
)
def test_offsets_that_are_none(tmp_path, rows, words):
    (tmp_path / "starts.csv").write_text(f"viewer,offset_s\n{rows}\n")
    with pytest.raises(ValueError, match=words):
        read_offsets(tmp_path / "starts.csv")


def test_viewers_as_written(tmp_path):
    for name in ("a.mp4", "b@home.mp4"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.mp4").write_bytes(b"x")
    texts = ["a.mp4@-0.5", "b@home.mp4", "b@home.mp4@+2", "other/a.mp4"]
    viewers = parse_viewers([str(tmp_path / text) for text in texts])
    assert [viewer.offset_s for viewer in viewers] == [-0.5, None, 2.0, None]
    assert [viewer.name for viewer in viewers] == ["a", "b@home", "b@home 2", "a 2"]
    with pytest.raises(FileNotFoundError, match=r"FILE@\+1.25"):
        parse_viewers(["absent.mp4"])
    with pytest.raises(ValueError, match="one or more recordings"):
        parse_viewers([])


def test_pipes_are_refused_with_a_sentence(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="Save it first"):
        parse_viewers([str(tmp_path / "pipe")])
    (tmp_path / "anna.csv").touch()
    command = ["highlights", str(tmp_path / "anna.csv"), "--film", str(tmp_path / "pipe")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "Save it first" in capsys.readouterr().err


def test_timelines_without_the_emotion_are_named_before_anything_is_watched(tmp_path, capsys):
    (tmp_path / "anna.mp4").write_bytes(b"would not be read as a video")
    for name, emotion in (("ben", "happy"), ("cleo", "Happy")):
        with TimelineWriter(tmp_path / f"{name}.csv", ("neutral", emotion)):
            pass
    viewers = [str(tmp_path / name) for name in ("anna.mp4", "ben.csv", "cleo.csv")]
    assert main(["highlights", *viewers, "--by", "happy", "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "'neutral', 'Happy'] for the viewer 'cleo'. Received: measure='happy'" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("again", ["anna.mp4@+2", "./anna.mp4", "link.mp4"])
def test_a_recording_given_twice_is_no_second_viewer(tmp_path, capsys, monkeypatch, again):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "anna.mp4").write_bytes(b"would not be read as a video")
    os.link("anna.mp4", "link.mp4")
    assert main(["highlights", "anna.mp4", again, "--out", "out"]) == 2
    told = capsys.readouterr().err
    assert "Expected each recording once" in told and "anna.mp4" in told
    assert not (tmp_path / "out").exists()


def test_the_film_is_no_viewer_of_itself(tmp_path, capsys, monkeypatch):
    """As with `highlights *.mp4 --film film.mp4`, where the actors would count as viewers."""
    monkeypatch.chdir(tmp_path)
    for name in ("anna.mp4", "film.mp4"):
        (tmp_path / name).write_bytes(b"would not be read as a video")
    options = ["--film", str(tmp_path / "film.mp4"), "--out", "out"]
    assert main(["highlights", "anna.mp4", "film.mp4", *options]) == 2
    told = capsys.readouterr().err
    assert "recordings of viewers beside the film" in told and "film.mp4" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["notes.txt", "notes.txt/cut"])
def test_a_file_where_the_folder_should_be(tmp_path, capsys, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    for name in ("anna.csv", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(SystemExit) as end:
        main(["highlights", "anna.csv", "--out", out])
    assert end.value.code == 2
    assert "expected a folder, and notes.txt is a file" in capsys.readouterr().err


def test_offsets_of_nobody_are_told(tmp_path, caplog):
    """A misspelt name would else leave its viewer where the sound, or nothing, says."""
    (tmp_path / "anna.csv").touch()
    viewers = parse_viewers([str(tmp_path / "anna.csv")])
    assert with_offsets(viewers, {"anna": 1.5, "bne": 2.0})[0].offset_s == 1.5
    assert "no recording of 'bne'" in caplog.text
    caplog.clear()
    with_offsets(viewers, {"anna": 1.5, **dict.fromkeys(map(str, range(2000)), 0.0)})
    assert "no recording of '0', '1', '2' and 1997 more" in caplog.text
    caplog.clear()
    with_offsets(viewers, {"anna": 1.5})
    assert not caplog.text


@pytest.mark.parametrize("name", ["median", "Median", "time_s"])
def test_a_viewer_called_like_a_column(tmp_path, name):
    """The columns of `reactions.csv` are the time, the median, and the viewers."""
    (tmp_path / f"{name}.csv").write_bytes(b"x")
    assert [viewer.name for viewer in parse_viewers([str(tmp_path / f"{name}.csv")])] == [
        f"{name} 2"
    ]


def test_what_is_written_with_a_recording_counts_more_than_the_table(tmp_path):
    """A beginning that was corrected on the command line was ignored without a word."""
    (tmp_path / "archive" / "parts").mkdir(parents=True)
    part = "video-0.parquet"
    (tmp_path / "archive" / "summary.csv").write_text(f"source,kind,part\nc.mp4,video,{part}\n")
    for name in ("anna.csv", "ben.csv", f"archive/parts/{part}"):
        (tmp_path / name).touch()
    given = ["anna.csv@+2", "ben.csv", "archive@+0"]
    viewers = parse_viewers([str(tmp_path / one) for one in given])
    found = with_offsets(viewers, {"anna": 1.25, "ben": 0.5, "c": -3.0})
    assert [one.offset_s for one in found] == [2.0, 0.5, -3.0]
