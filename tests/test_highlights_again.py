"""Searches into the folder of an earlier one, which may have been interrupted."""

import pandas as pd
import pytest
from made_videos import numbered_image
from test_highlights_left_out import write_viewer

from builder_tools.cli import main
from builder_tools.media import VideoWriter
from builder_tools.timeline import cuts
from builder_tools.timeline import viewers as searches

TABLES = {"viewers.csv", "highlights.csv", "reactions.csv"}


@pytest.fixture
def command(tmp_path):
    with VideoWriter(tmp_path / "film.mp4", 10.0, (96, 54)) as writer:
        for number in range(200):
            writer.write(numbered_image(number))
    viewer = write_viewer(tmp_path / "anna.csv")
    out = tmp_path / "out"
    return ["highlights", f"{viewer}@+0", "--film", str(tmp_path / "film.mp4"), "--out", str(out)]


def names_in(tmp_path):
    return {path.name for path in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_search_whose_tables_could_not_be_written_is_repeated(
    tmp_path, command, monkeypatch, table
):
    """The disk was full; there is room again."""

    def full(path, **options):
        if path.name == table:
            raise OSError(28, "No space left on device")
        return replacing(path, **options)

    replacing = searches.replacing
    for module in (searches, cuts):
        monkeypatch.setattr(module, "replacing", full)
    assert main(command) == 2
    monkeypatch.undo()
    assert main(command) == 0
    assert names_in(tmp_path) > TABLES


def test_no_trailer_of_an_earlier_search_lies_beside_new_tables(tmp_path, command, monkeypatch):
    """Encoding a trailer takes a while, in which users press Ctrl-C."""

    def interrupted(*arguments):
        raise KeyboardInterrupt

    assert main(command) == 0
    whole = names_in(tmp_path)
    assert whole == set(searches.OUT_FILES)
    monkeypatch.setattr(searches, "cut_trailer", interrupted)
    assert main([*command, "--seconds", "3"]) == 130
    assert not {"trailer.mp4", "highlights.png"} & names_in(tmp_path)
    monkeypatch.undo()
    assert main(command) == 0
    assert names_in(tmp_path) == whole


def test_starts_by_the_clock_on_the_wall(tmp_path):
    """Cameras tell when they began in seconds since 1970; of the film before, nothing is known."""
    tables = []
    for name, begin in (("from_0", 0), ("from_1970", 1_795_000_000)):
        viewers = [write_viewer(tmp_path / f"{who}.csv") for who in ("anna", "ben")]
        starts = [f"{viewers[0]}@+{begin}", f"{viewers[1]}@+{begin + 1}.5"]
        out = tmp_path / name
        assert main(["highlights", *starts, "--out", str(out), "--agreement", "0.1"]) == 0
        reactions = pd.read_csv(out / "reactions.csv")
        assert reactions["time_s"].iloc[0] == begin
        tables.append(reactions.assign(time_s=reactions["time_s"] - begin))
    pd.testing.assert_frame_equal(*tables, atol=1e-3)


def test_recordings_that_cannot_be_of_one_film_are_refused(tmp_path, capsys):
    """One began by the clock on the wall, the other is assumed to have begun with the film."""
    viewers = [write_viewer(tmp_path / f"{who}.csv") for who in ("anna", "ben")]
    out = tmp_path / "out"
    given = [f"{viewers[0]}@+1795000000", str(viewers[1])]
    assert main(["highlights", *given, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "Expected recordings of one film, within 168 hours" in said
    assert "anna begins at 1795000000 s" in said and "ben begins at 0 s" in said
    assert not list(out.iterdir())


def test_a_film_whose_header_declares_weeks_is_refused(tmp_path, command, capsys):
    with VideoWriter(tmp_path / "film.mp4", 10.0, (96, 54)) as writer:
        for time_s in (0.0, 1_000_000.0):
            writer.write(numbered_image(0), time_s)
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "Expected a film of at most 168 hours" in said and "declares 278." in said
    assert not (tmp_path / "out").exists()
