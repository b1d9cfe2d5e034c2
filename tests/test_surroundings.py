"""The same work in other surroundings: no home, other letters, no folder, forked processes."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from builder_tools import Inference, assets
from builder_tools.cli import main
from builder_tools.media import write_image

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="forks and homes as POSIX knows them")


@pytest.fixture
def photo(astronaut, tmp_path):
    return write_image(tmp_path / "笑.png", astronaut)


def run(arguments, *, cwd, before="", **environment):
    """Run a command in a process of its own, after some code; keys of None are taken away."""
    changed = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    code = f"{before}\nimport sys\nfrom builder_tools.cli import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        cwd=cwd,
        env={name: value for name, value in changed.items() if value is not None},
        check=False,
        timeout=120,
    )


WITHOUT_PASSWD = """
import pwd
def nobody(*about):
    raise KeyError("no entry")
pwd.getpwuid = pwd.getpwnam = nobody
"""


@pytest.mark.parametrize("verb", ["img", "video", "assets", "models"])
def test_a_user_without_home_and_name(photo, face_video, tmp_path, verb):
    arguments = {"img": ["img", photo], "video": ["video", face_video.path, "--max-frames", "2"]}
    nothing = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "USER", "LOGNAME"))
    done = run(arguments.get(verb, [verb]), cwd=tmp_path, before=WITHOUT_PASSWD, **nothing)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout


def test_files_are_kept_where_the_cache_cannot_be_written(monkeypatch, tmp_path):
    """The cache's place is a file here: not even root can write into it."""
    asset = next(iter(assets.ASSETS.values()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    (tmp_path / "file").touch()
    monkeypatch.delenv("BUILDER_TOOLS_ASSETS", raising=False)
    monkeypatch.setattr(assets, "asset_folder", lambda: None)
    monkeypatch.setattr(assets.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    monkeypatch.setattr(assets, "from_address", lambda asset: b"weights")
    monkeypatch.setattr(assets, "_verify", lambda asset, content: None)
    kept = assets.asset_path(asset.name)
    assert kept.read_bytes() == b"weights" and (tmp_path / "temporary") in kept.parents
    assert assets.asset_path(asset.name, fetch=False) == kept


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_name_on_any_terminal(photo, tmp_path, encoding):
    odd = photo.rename(tmp_path / os.fsdecode(b"\xff\xe7\xac.png"))
    plain = write_image(tmp_path / "笑é.png", _read(odd))
    names = [plain.name, odd.name]
    done = run(["img", *names, "nowhere笑.png"], cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 1 and done.stdout.count(b"happy") == 2, done.stderr
    done = run(["img", *names, "--json"], cwd=tmp_path, PYTHONIOENCODING=encoding)
    lines = done.stdout.decode(encoding).splitlines()
    assert [json.loads(line)["source"] for line in lines] == names, done.stderr
    done = run(["img-batch", ".", "--csv", "笑.csv"], cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "笑.csv").read_bytes().splitlines()) == 3


def test_a_csv_is_the_same_in_a_locale_without_letters(photo, tmp_path):
    """The file system's names are ASCII there, and all else is kept as bytes."""
    photo.rename(tmp_path / os.fsdecode(b"\xff.png")).write_bytes(b"no image")
    write_image(tmp_path / "笑é.png", np.zeros((40, 40, 3), np.uint8))
    surroundings = {"plain": {}, "bare": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0"}}
    for name, environment in surroundings.items():
        arguments = ["img-batch", ".", "--csv", f"{name}.csv", "--faces-csv", f"{name}_faces.csv"]
        done = run(arguments, cwd=tmp_path, **environment)
        assert done.returncode == 1 and b"unreadable" in done.stderr, done.stderr
    for ending in (".csv", ".log.csv", "_faces.csv"):
        plain, bare = ((tmp_path / f"{name}{ending}").read_bytes() for name in surroundings)
        assert plain == bare


@pytest.mark.parametrize("verb", ["folders", "write", "groups", "clean", "balance"])
def test_names_that_are_no_text_go_through_tables_in_python(astronaut, tmp_path, verb):
    """The command line may tell pandas what strings are made of; a library may not."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    from builder_tools.balancing import FaceSMOTE
    from builder_tools.cleaning import clean_folder
    from builder_tools.cleaning.manifest import read_manifest
    from builder_tools.datasets.class_folders import load_class_folders, write_class_folders
    from builder_tools.datasets.duplicates import duplicate_groups, duplicates_across_classes

    faces, out = tmp_path / "faces", tmp_path / "out"
    rng = np.random.default_rng(0)
    for number in range(16):
        name = os.fsdecode(b"x\xe9%d.png" % number)
        image = rng.integers(0, 255, (24, 24, 3), np.uint8) if number else astronaut[:24, :24]
        write_image(faces / ("happy" if number % 2 else "sad") / name, image)
    with pd.option_context("mode.string_storage", "auto"):
        if verb == "clean":
            clean_folder(faces, out, workers=1, max_dropped=1)
            assert len(read_manifest(out / "manifest.csv")) == 16
            return
        if verb == "balance":
            FaceSMOTE(path_folder_train_data=faces, path_save_imgs=out, smote_value=10).run()
            assert len(list(out.rglob("*.png"))) == 20
            return
        table = load_class_folders(faces, valid=0.25, test=0.25)
        assert len(table.split("train")) == 8
        if verb == "write":
            write_class_folders(table, out)
            assert len(load_class_folders(out)) == 16
        if verb == "groups":
            same = np.zeros_like(duplicate_groups(table))
            assert "\udce9" in duplicates_across_classes(table, same)["names"][0]


@pytest.mark.parametrize("verb", ["clean", "data"])
def test_names_that_are_no_text_go_through_tables(astronaut, tmp_path, verb):
    """With pyarrow installed, too: its strings are UTF-8 only."""
    pytest.importorskip("pandas")
    for number in range(4):
        name = os.fsdecode(b"x\xe9%d.png" % number)
        write_image(tmp_path / "faces/happy" / name, np.roll(astronaut, 60 * number, axis=1))
    arguments = {
        "clean": ["clean", "faces"],
        "data": ["data", "folders", "folders", "--source", "faces"],
    }
    done = run([*arguments[verb], "--out", "out"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    kept = [path for path in (tmp_path / "out").rglob("*.*") if path.suffix in (".png", ".jpg")]
    assert len(kept) == 4


def _read(path):
    from builder_tools.media import read_image

    return read_image(path)


def test_the_current_folder_may_be_gone(photo, tmp_path):
    gone = "import os, tempfile; f = tempfile.mkdtemp(); os.chdir(f); os.rmdir(f)"
    done = run(["img", photo], cwd=tmp_path, before=gone)
    assert done.returncode == 0 and b"happy" in done.stdout, done.stderr
    done = run(["models", "nowhere"], cwd=tmp_path, before=gone)
    assert done.returncode == 2 and b"current folder was removed" in done.stderr


FORKS = """
import multiprocessing, os, sys, threading
from builder_tools import Inference
from builder_tools.media import VideoReader

photo, film = sys.argv[1:]
one = Inference(show_state_mode="none")
watching = Inference(show_state_mode="none", inference_mode="video", workers=2)
results, reader = watching.run(film), VideoReader(film)
print([face.emotion for face in one.run(photo).faces], next(results).frame, next(reader).index)
over = threading.Event()

def go_on():
    while not over.is_set():
        one.run(photo)

busy = threading.Thread(target=go_on, daemon=True)
busy.start()

def work(number):
    said = [face.emotion for face in one.run(photo).faces]
    for of_parent in (results, reader):
        try:
            next(of_parent)
        except RuntimeError as error:
            said.append("fork" in str(error) and "there" in str(error))
    own = Inference(show_state_mode="none", inference_mode="video").run(film, max_frames=2)
    return [*said, own.drain()]

with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map_async(work, range(4)).get(timeout=60))
over.set()
busy.join()
results.close()
reader.close()
child = os.fork()
if not child:  # as pre-forking servers do: the child ends by itself
    assert one.run(photo).faces
    one.close()
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print([face.emotion for face in one.run(photo).faces])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_goes_on_with_its_parents_inference(photo, face_video):
    done = subprocess.run(
        [sys.executable, "-c", FORKS, str(photo), str(face_video.path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    first, pool, code, last = done.stdout.splitlines()
    assert first == "['happy'] 0 0" and pool == str([["happy", True, True, 2]] * 4)
    assert (code, last) == ("7", "['happy']")


def test_what_cannot_be_sent_to_another_process_says_so():
    """`spawn`, the way of Windows and macOS, pickles what a worker is given."""
    with Inference(show_state_mode="none") as one:
        for each in (one, one.model):
            with pytest.raises(TypeError, match="Try to make one there"):
                pickle.dumps(each)


THREADS = """
import sys, threading
from builder_tools import Inference
found = []
def work():
    with Inference(show_state_mode="none") as inference:
        found.append([face.emotion for face in inference.run(sys.argv[1]).faces])
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(found)
"""


def test_threads_each_make_their_own(photo):
    command = [sys.executable, "-c", THREADS, str(photo)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == f"{[['happy']] * 4}\n", done.stderr


def test_films_of_any_name_go_through_timelines_figures_and_archives(
    face_video, tmp_path, monkeypatch
):
    """Bytes that are no UTF-8, and two signs between which matplotlib reads mathematics."""
    pytest.importorskip("pyarrow")
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"caf\xe9 $x_$")
    for folder in ("", "visits/"):
        film = tmp_path / f"{folder}{name}.mp4"
        film.parent.mkdir(exist_ok=True)
        film.symlink_to(face_video.path)
    shown = ["--max-frames", "9", "--timeline", f"{name}.csv", "--plot", f"{name}.png"]
    assert main(["video", f"{name}.mp4", *shown, "--person-s", "0"]) == 0
    assert (tmp_path / f"{name}.png").is_file()
    assert main(["highlights", f"{name}.csv@+0", "--out", "cut"]) == 0
    assert r"caf\xe9 $x_$,0.0" in (tmp_path / "cut/viewers.csv").read_text()
    assert main(["archive", "visits", "--out", "archive"]) == 0
    assert r"caf\xe9 $x_$.mp4,video,90" in (tmp_path / "archive/summary.csv").read_text()
    assert main(["highlights", "archive@+0", "--out", "again"]) == 0
