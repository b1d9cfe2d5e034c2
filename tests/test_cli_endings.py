"""Commands that end early: by Ctrl-C, `kill`, a terminal that closes."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import signal
import subprocess
import sys
import threading
import time
import types
from contextlib import suppress
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from made_videos import numbered_image
from PIL import Image

from builder_tools.cli import VERBS, main, use
from builder_tools.cli.endings import Ended, ended_by_signals
from builder_tools.media import VideoReader, pipes, write_image

ROOT = Path(__file__).resolve().parents[1]
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def signals_as_in_a_terminal():
    """Hear what `nohup`, and `&` in a script, have a process ignore: its children would, too."""
    default = {number: signal.SIG_DFL for number in EXIT_CODES}
    default[signal.SIGINT] = signal.default_int_handler
    ignored = [number for number in default if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, default[number])
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def endless(tmp_path_factory, astronaut):
    """A FIFO through which a video comes that never ends."""
    folder = tmp_path_factory.mktemp("endless")
    with av.open(str(folder / "film.mkv"), "w", options={"live": "1"}) as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 512, 512, "yuvj420p"
        for _ in range(60):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(astronaut, format="rgb24")))
        output.mux(stream.encode(None))
    os.mkfifo(folder / "fifo")
    over = threading.Event()

    def give() -> None:
        with (folder / "fifo").open("wb", 0) as pipe:
            pipe.write((folder / "film.mkv").read_bytes())
            over.wait(120)

    threading.Thread(target=give, daemon=True).start()
    yield folder / "fifo"
    over.set()


def end(command, number, *, lines=5, repeat=1) -> tuple[int, str]:
    """Send a signal once so many lines are printed; give exit code and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", "builder_tools", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        for _ in range(lines):
            assert process.stdout.readline(), process.stderr.read()
        for _ in range(repeat):
            process.send_signal(number)
        _, words = process.communicate(timeout=60)
        return process.returncode, words
    finally:
        process.kill()


def rows_of(path: Path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("number", EXIT_CODES)
def test_the_rows_of_a_video_are_kept(endless, tmp_path, number):
    command = ["video", endless, "--json", "--timeline", tmp_path / "rows.csv"]
    code, words = end(command, number)
    assert code == EXIT_CODES[number], words
    rows = rows_of(tmp_path / "rows.csv")
    assert len(rows) >= 4 and all(row["emotion"] for row in rows)
    assert f"{len(rows)} rows" in words and "person 1" in words
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("number", EXIT_CODES)
def test_a_film_is_removed_wholly_and_its_rows_are_kept(endless, tmp_path, number):
    command = ["video-rec", endless, "--out", tmp_path / "o.mp4", "--json"]
    code, words = end([*command, "--timeline", tmp_path / "rows.csv"], number, repeat=3)
    assert code == EXIT_CODES[number], words
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("number", EXIT_CODES)
def test_what_a_camera_gave_is_kept(mjpeg_server, tmp_path, number):
    command = ["online", "--headless", "--json", "--camera", mjpeg_server.url]
    more = ["--record", tmp_path / "visit.mp4", "--timeline", tmp_path / "visit.csv"]
    code, words = end([*command, *more], number)
    assert code == EXIT_CODES[number], words
    assert {path.name for path in tmp_path.iterdir()} == {"visit.mp4", "visit.csv"}
    with VideoReader(tmp_path / "visit.mp4") as film:
        images = list(film)
    assert len(rows_of(tmp_path / "visit.csv")) >= 4 and len(images) >= 4


@pytest.mark.parametrize("moment", ["the encoder's last images", "the index"])
@pytest.mark.parametrize("verb", ["online", "video-rec"])
def test_an_end_leaves_a_film_that_is_finished_meanwhile(
    mjpeg_server, face_video, tmp_path, monkeypatch, verb, moment
):
    """Encoding the last images, and moving the index to the front, take longer than users wait."""

    class Part:
        def __init__(self, part) -> None:
            self._part = part

        def __getattr__(self, name):
            return getattr(self._part, name)

    class EndedWhenFlushed(Part):
        def encode(self, image):
            packets = self._part.encode(image)
            if image is None:
                signal.raise_signal(signal.SIGINT)
            return packets

    class Container(Part):
        def add_stream(self, *given, **options):
            stream = self._part.add_stream(*given, **options)
            return EndedWhenFlushed(stream) if moment.startswith("the encoder") else stream

        def close(self) -> None:
            self._part.close()
            if moment == "the index":
                signal.raise_signal(signal.SIGINT)

    def open_ended(file, mode="r", **options):
        container = opened(file, mode, **options)
        return Container(container) if mode == "w" else container

    opened, out = av.open, tmp_path / "film.mp4"
    monkeypatch.setattr(av, "open", open_ended)
    command = {
        "online": ["--headless", "--camera", mjpeg_server.url, "--record", str(out)],
        "video-rec": [str(face_video.path), "--out", str(out)],
    }
    assert main([verb, *command[verb], "--detector", "haar", "--max-frames", "5"]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
    with VideoReader(out) as film:
        assert len(list(film)) == 5


def test_an_end_before_the_first_result_leaves_nothing(tmp_path):
    """A FIFO nobody writes to: the command waits for its first byte."""
    os.mkfifo(tmp_path / "fifo")
    process = subprocess.Popen(
        [sys.executable, "-m", "builder_tools", "video-rec", "fifo", "--out", "o.mp4"],
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        time.sleep(3)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 143
    finally:
        process.kill()
    assert [path.name for path in tmp_path.iterdir()] == ["fifo"]


@pytest.mark.parametrize("verb", ["balance", "clean"])
def test_a_folder_half_made_has_no_final_name(tmp_path, verb):
    rng = np.random.default_rng(0)
    for index in range(300):
        emotion = "happy" if index % 10 else "sad"
        write_image(
            tmp_path / "raw" / emotion / f"{index}.png",
            rng.integers(0, 255, (48, 48, 3), np.uint8),
        )
    command = [sys.executable, "-m", "builder_tools", verb, "raw", "--out", "out"]
    command += ["--already-cropped"] if verb == "clean" else []
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline_s = time.monotonic() + 60
        while not [p for p in tmp_path.iterdir() if p.name not in ("raw", "out")]:
            assert process.poll() is None and time.monotonic() < deadline_s, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, words = process.communicate(timeout=60)
        assert process.returncode == 143, words
    finally:
        process.kill()
    left = {path.name for path in tmp_path.iterdir()} - {"raw"}
    assert left == ({"out.unfinished"} if verb == "clean" else set())


def test_the_rows_are_kept_when_the_disk_is_full(face_video, tmp_path, monkeypatch, capsys):
    printed = []

    def full(result) -> None:
        printed.append(result)
        if len(printed) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(use, "print_json", full)
    rows = tmp_path / "rows.csv"
    assert main(["video", str(face_video.path), "--json", "--timeline", str(rows)]) == 2
    assert len(rows_of(rows)) == 3 and "No space" in capsys.readouterr().err


def test_signals_that_are_ignored_stay_ignored(endless, tmp_path):
    """`nohup builder-tools ...` goes on when the terminal closes."""
    code = (
        "import os, signal, sys; from builder_tools.cli import main;"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN);"
        f"sys.exit(main(['video', {str(endless)!r}, '--json']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        assert all(process.stdout.readline() for _ in range(5))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 143
    finally:
        process.kill()


@pytest.mark.parametrize("number", EXIT_CODES)
def test_what_fails_while_work_is_ended_is_that_end(monkeypatch, capsys, number):
    """A pool that is shut down refuses the next image: no error of the user's."""

    def run(options):
        try:
            signal.raise_signal(number)
        finally:
            raise RuntimeError("cannot schedule new futures after shutdown")

    monkeypatch.setitem(VERBS, "models", dataclasses.replace(VERBS["models"], run=run))
    assert main(["models"]) == EXIT_CODES[number]
    assert capsys.readouterr().err == f"builder-tools: interrupted ({number.name})\n"


def small_film(form: str) -> bytes:
    """Make a video of 20 images that fits into a pipe."""
    images, file = [numbered_image(number) for number in range(20)], io.BytesIO()
    if form == "webp":
        first, *others = map(Image.fromarray, images)
        first.save(file, "webp", save_all=True, append_images=others, lossless=True)
        return file.getvalue()
    codec, live = ("mjpeg", {"live": "1"}) if form == "matroska" else ("libx264", {})
    with av.open(file, "w", format=form, options=live) as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height = 96, 54
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for image in images:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        output.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="pipes have no names here")
@pytest.mark.parametrize("place", ["read", "readinto", "seek"])
@pytest.mark.parametrize("form", ["matroska", "mp4", "webp"])
def test_an_end_is_heard_while_a_decoder_reads_a_pipe(monkeypatch, capfd, form, place):
    """FFmpeg calls Python to read it, and cannot pass on what Python raises there.

    The signal comes in the first call, then, from the beginning again, in the second, ...
    """
    film, read = small_film(form), os.read

    def read_little(pipe: int, _: int) -> bytes:
        """Give 1 kB; after the film its end, but silence once the signal came."""
        data = read(pipe, 1024) if sum(given) < len(film) or len(calls) >= call else b""
        given.append(len(data))
        return data

    def counted(*arguments):
        if threading.current_thread() is not threading.main_thread():
            return called(*arguments)  # somebody else's, outside of what is tried here
        calls.append(None)
        if len(calls) == call:
            signal.raise_signal(signal.SIGTERM)
        return called(*arguments)

    called = read_little if place == "read" else getattr(pipes._View, place)
    monkeypatch.setattr(os, "read", read_little)
    monkeypatch.setattr(os if place == "read" else pipes._View, place, counted)
    for call in range(1, 1000):
        calls, given = [], []
        receiving, giving = os.pipe()
        os.write(giving, film)
        too_late = threading.Timer(20, os.close, [giving])
        too_late.start()
        with suppress(Ended), ended_by_signals(), VideoReader(f"/dev/fd/{receiving}") as reader:
            assert sum(1 for _ in reader) == 20
        assert too_late.is_alive()
        too_late.cancel()
        os.close(giving)
        os.close(receiving)
        if len(calls) < call:
            break
    assert capfd.readouterr() == ("", "")


class Gone:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_an_end_is_heard_while_an_object_is_destroyed(capfd):
    """Python forgets what a destructor raises; so it does in callbacks of weak references."""
    with pytest.raises(Ended), ended_by_signals():
        things = [Gone()]
        things.clear()
        time.sleep(20)
        raise AssertionError
    assert capfd.readouterr() == ("", "")


def test_an_end_leaves_no_lock_taken():
    """Else the threads that want it wait for ever, and so does whoever waits for them.

    Futures and pools take such locks for each image; an end comes in the midst of it.
    """
    enter, lock, heard = partial(signal.raise_signal, signal.SIGTERM), threading.RLock(), []
    ended_at_once = types.SimpleNamespace(
        acquire=lock.acquire, release=lock.release, __enter__=enter, __exit__=lambda *error: None
    )
    with pytest.raises(Ended), ended_by_signals():
        with threading.Condition(ended_at_once):
            heard.append("inside")
        heard.append("outside")
        time.sleep(20)
        raise AssertionError
    assert heard == ["inside", "outside"]


def test_a_lost_end_does_not_come_when_all_is_over(capfd):
    with pytest.raises(Ended), ended_by_signals():
        things = [Gone()]
        things.clear()
    time.sleep(0.2)
    assert capfd.readouterr() == ("", "")
