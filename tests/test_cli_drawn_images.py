"""Images written drawn: a batch that was interrupted goes on, and many names cost little."""

import threading

import numpy as np
import pytest
from fakes import made_image, save_image

from builder_tools.cli import images as cli_images
from builder_tools.cli import main
from builder_tools.cli.drawn_images import UNFINISHED, DrawnImages
from builder_tools.media import guarding, images, read_image


@pytest.fixture
def photos(tmp_path):
    """Five images without a face, for the detector has nothing to do here."""
    folder = tmp_path / "photos"
    for number in range(5):
        save_image(folder / f"{number}.png", 0)
    return folder


def words(photos, *more):
    out = photos.parent
    return ["img-batch", str(photos), "--csv", str(out / "a.csv"), "--out", str(out / "o"), *more]


@pytest.fixture
def interrupted(photos, monkeypatch, capsys):
    """The folder of a batch that ended by Ctrl-C at its third drawn image."""
    write, written = DrawnImages.write, []

    def stop_at_third(self, image, wanted):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(wanted)
        return write(self, image, wanted)

    monkeypatch.setattr(DrawnImages, "write", stop_at_third)
    assert main(words(photos)) == 130
    monkeypatch.undo()
    capsys.readouterr()
    out = photos.parent / "o"
    assert names(out) == ["0.png", "1.png", UNFINISHED]
    return out


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_goes_on_where_it_stopped(photos, interrupted, capsys):
    before = [(interrupted / name).stat().st_mtime_ns for name in ("0.png", "1.png")]
    assert main(words(photos)) == 0
    assert names(interrupted) == [f"{number}.png" for number in range(5)]
    assert before == [(interrupted / name).stat().st_mtime_ns for name in ("0.png", "1.png")]
    assert "5 images drawn" in capsys.readouterr().err


def test_an_image_that_went_is_drawn_again(photos, interrupted, capsys):
    (interrupted / "1.png").unlink()
    assert main(words(photos)) == 0
    assert names(interrupted) == [f"{number}.png" for number in range(5)]


def test_an_image_that_was_replaced_is_drawn_again(photos, interrupted, capsys):
    save_image(photos / "1.png", 0, 90)
    assert main(words(photos)) == 0
    assert "1.png is there already; written:" in capsys.readouterr().err
    assert (read_image(interrupted / "1_2.png") == read_image(photos / "1.png")).all()
    assert "0_2.png" not in names(interrupted)


def test_an_image_that_was_replaced_has_no_others_drawn_again(photos, interrupted, capsys):
    save_image(photos / "0.png", 0, 90)
    assert main(words(photos)) == 0
    assert names(interrupted) == ["0.png", "0_2.png", *(f"{number}.png" for number in range(1, 5))]
    assert "5 images drawn" in capsys.readouterr().err


def test_an_image_replaced_after_its_faces_were_found_is_not_drawn(photos, monkeypatch, capsys):
    """They may be elsewhere in the new one, and would be seen with --blur-faces."""

    def replaced_meanwhile(*found):
        save_image(photos / "1.png", 0, 90)
        return draw_batch(*found)

    draw_batch = cli_images.draw_batch
    monkeypatch.setattr(cli_images, "draw_batch", replaced_meanwhile)
    assert main(words(photos)) == 1
    said = capsys.readouterr().err
    assert "1.png: cannot write it drawn: it changed after its faces were found" in said
    assert "4 images drawn" in said and "1.png" not in names(photos.parent / "o")
    assert "The same command draws the others, and only them" in said
    monkeypatch.undo()
    assert main(words(photos)) == 0
    assert names(photos.parent / "o") == names(photos)


def test_other_options_are_refused_before_the_work(photos, interrupted, capsys):
    (photos.parent / "a.csv").unlink()
    assert main(words(photos, "--bars")) == 2
    assert "images and options of what is drawn" in capsys.readouterr().err
    assert not (photos.parent / "a.csv").exists()
    assert main(words(photos, "--bars", "--restart")) == 0
    drawn = [f"{number}.png" for number in range(5)]
    assert names(interrupted) == sorted([*drawn, "0_2.png", "1_2.png"]), "what is there stays"


def test_a_journal_of_something_else_is_refused(photos, interrupted, capsys):
    journal = interrupted / UNFINISHED
    head = journal.read_text().splitlines()[0]
    journal.write_text(f'{head}\n{{"image": "0.png"}}\n')
    assert main(words(photos)) == 2
    assert "or damaged" in capsys.readouterr().err and journal.is_file()


@pytest.mark.parametrize("stops", [["3.png"], ["3.png", "4.png"]])
def test_what_failed_is_tried_again_when_it_goes_on(photos, monkeypatch, capsys, stops):
    """As on a disk that was full: it was told as failed again, though there is room by now."""
    write = DrawnImages.write

    def fail_then_stop(self, image, wanted):
        if wanted.name == "1.png" and len(stops) == at_first:
            raise OSError("No space left on device")
        if stops and wanted.name == stops[0]:
            raise KeyboardInterrupt
        return write(self, image, wanted)

    at_first = len(stops)
    monkeypatch.setattr(DrawnImages, "write", fail_then_stop)
    while stops:
        assert main(words(photos)) == 130
        del stops[0]
    capsys.readouterr()
    assert main(words(photos)) == 0
    said = capsys.readouterr().err
    assert "No space left" not in said and "there already" not in said and "5 images drawn" in said
    assert names(photos.parent / "o") == names(photos)


def test_a_name_costs_as_much_after_many_as_at_first(tmp_path, monkeypatch):
    """Of 2,000 images all names of before were looked up for each: 53 s."""
    asked, key = [], guarding.place_key
    monkeypatch.setattr(guarding, "place_key", lambda path: asked.append(path) or key(path))
    drawn = DrawnImages()
    for number in range(30):
        drawn.write(made_image(0), tmp_path / f"{number}.png")
    assert len(asked) <= 60


def test_equal_names_do_not_cost_more_and_more(tmp_path, monkeypatch):
    looked, lexists = [], guarding.os.path.lexists
    drawn = DrawnImages()
    monkeypatch.setattr(
        guarding.os.path, "lexists", lambda path: looked.append(path) or lexists(path)
    )
    for _ in range(40):
        drawn.write(made_image(0), tmp_path / "frame.png")
    assert len(looked) <= 80
    assert {"frame.png", "frame_2.png", "frame_40.png"} <= set(names(tmp_path))


def test_two_runs_into_one_folder_do_not_replace_each_others_images(tmp_path, monkeypatch):
    """Both look for a free name before either writes."""
    both, replacing = threading.Barrier(2), images.replacing

    def meet(path, **options):
        if path.name == "a.png":
            both.wait(10)
        return replacing(path, **options)

    monkeypatch.setattr(images, "replacing", meet)
    runs = [
        threading.Thread(target=DrawnImages().write, args=(np.full((8, 8, 3), grey, np.uint8), out))
        for grey, out in ((10, tmp_path / "a.png"), (200, tmp_path / "a.png"))
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    greys = {int(read_image(tmp_path / name)[0, 0, 0]) for name in ("a.png", "a_2.png")}
    assert greys == {10, 200} and names(tmp_path) == ["a.png", "a_2.png"]


def test_what_is_drawn_into_a_subfolder_is_not_read_by_the_next_run(photos, capsys):
    run = ["img-batch", str(photos), "--csv", str(photos.parent / "a.csv"), "--out"]
    for _ in range(2):
        assert main([*run, str(photos / "drawn")]) == 0
    told = capsys.readouterr().err
    assert "1 left out because it is the folder that results are written to: drawn" in told
    assert len((photos.parent / "a.csv").read_text().splitlines()) == 1 + 5
    assert not (photos / "drawn" / "drawn").exists()
    assert main([*run, str(photos)]) == 2
    assert "other than the folder that is read" in capsys.readouterr().err
    assert len(names(photos)) == 5 + 1
