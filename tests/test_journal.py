"""The journal of work under way: what is done stays done, of the same work, for one process."""

import json
import subprocess
import sys

import pytest

from builder_tools.journal import Journal, only_one_in


def begun(path, run="a", **options):
    with Journal(path, run, of="images") as journal:
        return journal.begin(lambda value: value["n"], **options)


def written(path, *numbers):
    with Journal(path, "a", of="images") as journal:
        journal.begin(lambda value: value["n"])
        for number in numbers:
            journal.add({"n": number})
    return path


def test_what_is_done_is_known_again(tmp_path):
    path = written(tmp_path / "j", 3, 4)
    assert begun(path) == [3, 4]
    assert begun(written(path, 5)) == [3, 4, 5]


@pytest.mark.parametrize("broken", [b'{"n": 5', b'{"n": 5}', b"\xff\xfe"])
def test_a_line_that_broke_off_is_cut_off(tmp_path, broken):
    path = written(tmp_path / "j", 3)
    path.write_bytes(path.read_bytes() + broken)
    assert begun(path) == [3]
    assert begun(written(path, 6)) == [3, 6]


def test_items_are_done_again_from_the_first_that_no_longer_holds(tmp_path):
    path = written(tmp_path / "j", 3, 4, 5)
    assert begun(path, holds=lambda place, value: (place, value["n"]) != (1, 4)) == [3]
    assert begun(path) == [3], "what followed is gone"


def test_all_are_forgotten_on_request(tmp_path):
    path = written(tmp_path / "j", 3)
    assert begun(path, "b", restart=True) == []
    assert json.loads(path.read_text()) == {"run": "b"}


@pytest.mark.parametrize(
    "content",
    [b'{"run": "b"}\n', b'{"run": "a"}\nnone\n', b'{"run": "a"}\n{"m": 1}\n', b"3\n", b"\xff\n"],
)
def test_other_work_and_damage_are_refused_and_left(tmp_path, content):
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"interrupted run of the same images.*--restart"):
        begun(path)
    assert path.read_bytes() == content


def test_one_process_at_a_time(tmp_path):
    path = tmp_path / "j"
    with Journal(path, "a", of="images") as journal:
        with pytest.raises(BlockingIOError, match="only one"):
            Journal(path, "a", of="images")
        journal.remove()
    assert not path.exists()


def test_only_one_process_works_in_a_folder(tmp_path):
    """The second is refused at once, and leaves nothing; when the first has ended another may."""
    work = (
        "import sys; from pathlib import Path; from builder_tools.journal import only_one_in\n"
        "with only_one_in(Path(sys.argv[1])): print('begun', flush=True); sys.stdin.read()"
    )
    given = [sys.executable, "-c", work, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(given, **pipes) as first:
        assert first.stdout.readline() == "begun\n"
        with pytest.raises(BlockingIOError, match="Another process"), only_one_in(tmp_path):
            pass
        first.communicate()
    with only_one_in(tmp_path):
        assert list(tmp_path.iterdir()) == []
