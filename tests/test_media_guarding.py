"""Outputs never take the place of inputs: links, cases, numbers."""

import os
import stat
from pathlib import Path

import pytest

from builder_tools.cli import main
from builder_tools.media.guarding import UnusedPaths, check_outputs, check_own
from builder_tools.media.partial import partial_path, replacing


def linked(kind, path):
    other = path.with_name("other.csv")
    os.link(path, other) if kind == "hard" else other.symlink_to(path)
    return other


@pytest.fixture
def read(tmp_path):
    path = tmp_path / "read.csv"
    path.write_text("mine")
    return path


@pytest.mark.parametrize("kind", ["hard", "symbolic"])
def test_a_link_to_an_input_is_an_input(kind, read):
    with pytest.raises(ValueError, match=r"the one to read. Received for --csv: .*other.csv"):
        check_outputs({"--csv": linked(kind, read)}, [read])


def test_other_ways_to_write_an_input_s_name(read, monkeypatch):
    monkeypatch.chdir(read.parent)
    for way in ("read.csv", "./read.csv", f"../{read.parent.name}/read.csv"):
        with pytest.raises(ValueError, match="the one to read"):
            check_outputs({"out": way}, [str(read)])


@pytest.mark.parametrize("way", ["missing/../read.csv", "link/../read.csv"])
def test_a_way_back_up_through_a_folder_that_will_be_made_or_is_a_link(way, tmp_path, monkeypatch):
    """Verbs make the folders of their outputs, and the parent of a link is its target's."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    monkeypatch.chdir(tmp_path)
    place = tmp_path / ("deep" if "link" in way else ".") / "read.csv"
    with pytest.raises(ValueError, match="different files for one and other"):
        check_outputs({"one": way, "other": place}, [])
    place.write_text("mine")
    with pytest.raises(ValueError, match="the one to read"):
        check_outputs({"out": way}, [place])
    with pytest.raises(ValueError, match="Something else is there"):
        check_own(Path(way), "ours")


def test_an_input_s_address_is_the_input(tmp_path):
    path = tmp_path / "a b.mp4"
    path.write_bytes(b"mine")
    with pytest.raises(ValueError, match="the one to read"):
        check_outputs({"--out": path}, [path.as_uri()])


def test_an_image_in_a_folder_that_is_read(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.jpg").write_bytes(b"a")
    (tmp_path / "out.csv").write_text("of an earlier run")
    with pytest.raises(ValueError, match="in it"):
        check_outputs({"out": tmp_path / "deep" / "a.jpg"}, [tmp_path])
    check_outputs({"out": tmp_path / "out.csv"}, [tmp_path])


@pytest.mark.parametrize(
    ("one", "other"), [("a.csv", "a.csv"), ("a.csv", "A.CSV"), ("caf\u00e9", "cafe\u0301")]
)
def test_two_outputs_of_one_name(one, other, tmp_path):
    with pytest.raises(ValueError, match="different files for --csv and --plot"):
        check_outputs({"--csv": tmp_path / one, "--plot": tmp_path / other}, [])


def test_what_is_allowed(read):
    new = read.with_name("new.csv")
    check_outputs({"a": new, "b": None}, [read, "http://host/new.csv", 0, "nowhere"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have no names here")
def test_no_file_takes_the_place_of_a_device_or_a_pipe(read, tmp_path, capsys):
    """`img-batch --csv /dev/null` of an administrator made a file of it."""
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link.csv").symlink_to("pipe.csv")
    for name in ("pipe.csv", "link.csv"):
        with pytest.raises(ValueError, match="Received a device or a pipe"):
            check_outputs({"a": tmp_path / name}, [read])
        with (
            pytest.raises(ValueError, match="Received a device or a pipe"),
            replacing(tmp_path / name),
        ):
            raise AssertionError
    folder, table = str(read.parent), str(tmp_path / "link.csv")
    assert main(["img-batch", folder, "--csv", table]) == 2
    assert "device or a pipe" in capsys.readouterr().err
    assert stat.S_ISFIFO(os.stat(table).st_mode)


def test_a_number_where_something_is(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "a_2.jpg").symlink_to("nowhere")
    unused = UnusedPaths()
    unused.take(tmp_path / "B.JPG")
    assert unused.next(tmp_path / "a.jpg") == tmp_path / "a_3.jpg"
    assert unused.next(tmp_path / "b.jpg") == tmp_path / "b_2.jpg"
    assert unused.next(tmp_path / "c.jpg") == tmp_path / "c.jpg"


def test_a_file_beside_an_output_is_replaced_only_if_it_was_written_here(tmp_path):
    path = tmp_path / "out.log.csv"
    check_own(path, "image_path,")
    for content in ("", "image_path,status\n"):
        path.write_text(content)
        check_own(path, "image_path,")
    path.write_text("my diary")
    with pytest.raises(ValueError, match=r"Something else is there"):
        check_own(path, "image_path,")


@pytest.mark.skipif(not os.path.lexists("/dev/stdout"), reason="no such names here")
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/./stdout.log.csv", "/proc/self/fd/1"])
def test_no_file_takes_the_place_of_the_name_of_an_output(name, tmp_path):
    """With stdout redirected to a file, an administrator's --csv /dev/stdout replaced its name."""
    (tmp_path / "link").symlink_to("/dev")
    for given in (name, name.replace("/dev", str(tmp_path / "link"))):
        with pytest.raises(ValueError, match="Received a name of the system's"):
            check_outputs({"a": given}, [])
        with pytest.raises(ValueError, match="Received a name of the system's"):
            partial_path(Path(given))
    check_outputs({"a": "/dev/shm/out.csv", "b": tmp_path / "dev" / "stdout"}, [])
