"""Searches into the folder of an earlier one, which may have been interrupted."""

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
