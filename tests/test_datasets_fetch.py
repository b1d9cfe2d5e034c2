"""Fetching: a server on loopback, a stand-in for the kaggle client, and the verb `data`."""

import hashlib
import http.server
import os
import stat
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from toy_study import toy_faces, write_kaggle, write_official

from builder_tools.cli import main
from builder_tools.datasets import DATASETS, fetch
from builder_tools.datasets.fetch import KNOWN_DATA, fetch_data, find_data
from builder_tools.media import write_image

LABELS = b"Usage,Image name,neutral\nTraining,fer0000000.png,4\n"

CLIENT = """#!{python}
import os, shutil, sys
open(os.environ["FAKE_LOG"], "a").write(" ".join(sys.argv[1:]) + chr(10))
said = os.environ.get("FAKE_SAYS")
if said:
    print(said)
    raise SystemExit(1)
folder = sys.argv[sys.argv.index("--path") + 1]
for name in os.listdir(os.environ["FAKE_GIVES"]):
    shutil.copy(os.path.join(os.environ["FAKE_GIVES"], name), folder)
"""


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        content = self.server.content
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Length", str(len(content or b"") + self.server.missing))
        self.end_headers()
        self.wfile.write(content or b"")


@pytest.fixture
def server(monkeypatch):
    """Microsoft's server, on loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.missing = LABELS, 0
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch, "LABELS_ADDRESS", f"http://127.0.0.1:{server.server_port}/new.csv")
    monkeypatch.setattr(fetch, "LABELS_SHA256", hashlib.sha256(LABELS).hexdigest())
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def kaggle(tmp_path_factory, monkeypatch):
    """The kaggle client; gives the files of the folder it returns, logs its arguments."""
    place = tmp_path_factory.mktemp("kaggle")
    client, gives = place / "kaggle", place / "gives"
    gives.mkdir()
    client.write_text(CLIENT.format(python=sys.executable))
    client.chmod(client.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(place), prepend=os.pathsep)
    monkeypatch.setenv("FAKE_GIVES", str(gives))
    monkeypatch.setenv("FAKE_LOG", str(place / "log"))
    return gives


def asked(kaggle: Path) -> list[str]:
    return (kaggle.parent / "log").read_text().split()


@pytest.fixture
def data_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("BUILDER_TOOLS_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = main(["data", *map(str, arguments)])
    return code, *capsys.readouterr()


def competition_zip(kaggle: Path, *, without: str = "") -> None:
    """What Kaggle gives for the competition."""
    rows = [f"train/{name}/{number}.jpg" for name in ("fear", "sad") for number in range(5)]
    tests = [f"test_kaggle/{number}.jpg" for number in range(3)]
    coarse = np.random.default_rng(0).integers(0, 255, (20, 4, 4, 3), np.uint8)
    with zipfile.ZipFile(kaggle / "competition.zip", "w") as archive:
        for number, name in enumerate(rows + tests):
            image = write_image(
                kaggle.parent / "p.png", np.kron(coarse[number], np.ones((8, 8, 1), np.uint8))
            )
            if name != without:
                archive.writestr(name, image.read_bytes())
        lines = [f"{n},./{name},{name.split('/')[1]}" for n, name in enumerate(rows)]
        archive.writestr("train.csv", "\n".join([",image_path,emotion", *lines]))
        sample = [f"{name.split('/')[1]},sad" for name in tests]
        archive.writestr("sample_submission.csv", "\n".join(["image_path,emotion", *sample]))


class TestLabels:
    def test_they_are_fetched_once_and_verified(self, server, data_folder, capsys):
        place = data_folder / "ferplus/fer2013new.csv"
        assert run(capsys, "fetch", "ferplus-labels") == (0, f"{place}\n", "")
        assert place.read_bytes() == LABELS
        server.content = None
        assert run(capsys, "fetch", "ferplus-labels")[0] == 0, "not asked for again"
        place.write_bytes(b"edited")
        code, out, err = run(capsys, "fetch", "ferplus-labels")
        assert (code, out) == (2, "") and "Received: 6 bytes with sha256" in err

    @pytest.mark.parametrize(
        ("content", "missing", "reason"),
        [
            (b"<html>", 0, "with sha256"),
            (None, 0, "404"),
            (LABELS, 7, "IncompleteRead"),
        ],
    )
    def test_what_is_wrong_is_not_kept(self, server, tmp_path, capsys, content, missing, reason):
        server.content, server.missing = content, missing
        code, out, err = run(capsys, "fetch", "ferplus-labels", "--to", tmp_path / "here")
        assert (code, out) == (2, "") and reason in err and fetch.LABELS_ADDRESS in err
        assert list(tmp_path.iterdir()) == []

    def test_offline_it_says_what_to_do(self, server, tmp_path, capsys):
        server.shutdown()
        server.server_close()
        code, out, err = run(capsys, "fetch", "ferplus-labels", "--to", tmp_path / "here")
        assert (code, out) == (2, "") and err.count("\n") == 1
        for words in ("Could not fetch ferplus-labels", "MIT (Microsoft)", "download http"):
            assert words in err
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_cannot_be_written_is_named(self, server, tmp_path, capsys):
        (tmp_path / "file").write_text("in the way")
        code, _, err = run(capsys, "fetch", "ferplus-labels", "--to", tmp_path / "file/below")
        assert code == 2 and str(tmp_path / "file") in err
        assert [path.name for path in tmp_path.iterdir()] == ["file"]


class TestPixels:
    @pytest.fixture(autouse=True)
    def few_rows(self, monkeypatch):
        monkeypatch.setattr(
            fetch, "PIXELS_ROWS", {"Training": 9, "PublicTest": 9, "PrivateTest": 9}
        )

    @pytest.fixture
    def given(self, tmp_path_factory):
        faces = toy_faces({"train": 1, "valid": 1, "test": 1})
        return write_kaggle(tmp_path_factory.mktemp("given"), faces, pixels_file=fetch.PIXELS_FILE)

    @pytest.mark.parametrize("packed", [True, False])
    def test_they_are_fetched_and_join_the_labels(self, kaggle, given, data_folder, capsys, packed):
        if packed:
            with zipfile.ZipFile(kaggle / f"{fetch.PIXELS_FILE}.zip", "w") as archive:
                archive.write(given / fetch.PIXELS_FILE, fetch.PIXELS_FILE)
        else:
            (kaggle / fetch.PIXELS_FILE).write_bytes((given / fetch.PIXELS_FILE).read_bytes())
        place = data_folder / "ferplus" / fetch.PIXELS_FILE
        assert run(capsys, "fetch", "fer2013") == (0, f"{place}\n", "")
        words = asked(kaggle)
        assert words[:3] == ["competitions", "download", fetch.PIXELS_COMPETITION]
        assert words[-2:] == ["--file", fetch.PIXELS_FILE]
        assert [path.name for path in place.parent.iterdir()] == [place.name]
        (place.parent / "fer2013new.csv").write_bytes((given / "fer2013new.csv").read_bytes())
        code, out, _ = run(capsys, "verify", "ferplus")
        assert code == 0 and out.startswith("ferplus: 27 images; no complete form of FER+")

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("PublicTest", "Training", r"rows in icml_face_data.csv. Received"),
            ("pixels", "points", "Expected emotion, pixels, Usage"),
            (" 1", "1", "Not so: row"),
        ],
    )
    def test_what_is_wrong_is_not_kept(self, kaggle, given, tmp_path, capsys, old, new, message):
        text = (given / fetch.PIXELS_FILE).read_text()
        (kaggle / fetch.PIXELS_FILE).write_text(text.replace(old, new, 1))
        code, _, err = run(capsys, "fetch", "fer2013", "--to", tmp_path / "here")
        assert code == 2 and message in err
        assert list(tmp_path.iterdir()) == []

    def test_nothing_came(self, kaggle, tmp_path, capsys):
        code, _, err = run(capsys, "fetch", "fer2013", "--to", tmp_path / "here")
        assert code == 2 and "did not come" in err and list(tmp_path.iterdir()) == []


class TestCompetition:
    def test_it_is_fetched_unpacked_and_usable(self, kaggle, data_folder, capsys):
        competition_zip(kaggle)
        place = data_folder / "competition"
        assert run(capsys, "fetch", "competition") == (0, f"{place}\n", "")
        names = sorted(path.name for path in place.iterdir())
        assert names == ["sample_submission.csv", "test_kaggle", "train", "train.csv"]
        assert run(capsys, "verify", "competition")[1].startswith("competition: 10 images\n")
        assert len(DATASETS["competition"](place)) == 10
        (kaggle / "competition.zip").unlink()
        assert run(capsys, "fetch", "competition")[0] == 0, "not asked for again"
        (place / "train/sad/0.jpg").unlink()
        code, _, err = run(capsys, "fetch", "competition")
        assert code == 2 and "train/sad/0.jpg" in err

    @pytest.mark.parametrize("without", ["train/fear/3.jpg", "test_kaggle/2.jpg"])
    def test_a_missing_image_is_named_and_nothing_kept(self, kaggle, tmp_path, capsys, without):
        competition_zip(kaggle, without=without)
        code, _, err = run(capsys, "fetch", "competition", "--to", tmp_path / "here")
        assert code == 2 and without.split("/")[-1] in err and str(tmp_path / "here") in err
        assert ".part" not in err and list(tmp_path.iterdir()) == []

    def test_a_damaged_zip_is_refused(self, kaggle, tmp_path, capsys):
        (kaggle / "competition.zip").write_bytes(b"PK\x03\x04 cut short")
        code, _, err = run(capsys, "fetch", "competition", "--to", tmp_path / "here")
        assert code == 2 and "a zip from Kaggle" in err and list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("says", "reason"),
        [
            ("Authentication required to call the Kaggle API.\n\nFirst, ...", "no credentials"),
            ("401 Client Error: Unauthorized", "no credentials"),
            ("403 Client Error: Forbidden", "accept the rules first"),
            ("Warning: old\nHTTPSConnectionPool: Max retries exceeded", "Max retries exceeded"),
        ],
    )
    def test_a_refusal_is_one_sentence(self, kaggle, tmp_path, capsys, monkeypatch, says, reason):
        monkeypatch.setenv("FAKE_SAYS", says)
        code, out, err = run(capsys, "fetch", "competition", "--to", tmp_path / "here")
        assert (code, out) == (2, "") and err.count("\n") == 1
        assert "Could not fetch competition: " in err and reason in err and "Licence:" in err
        assert list(tmp_path.iterdir()) == []

    def test_a_missing_client_is_named(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(fetch, "find_spec", lambda name: None)
        code, _, err = run(capsys, "fetch", "competition", "--to", tmp_path / "here")
        assert code == 2 and "pip install 'builder-tools[kaggle]'" in err
        assert list(tmp_path.iterdir()) == []

    def test_a_full_folder_is_left_alone(self, kaggle, tmp_path, capsys):
        (tmp_path / "mine.txt").write_text("keep")
        code, _, err = run(capsys, "fetch", "competition", "--to", tmp_path)
        assert code == 2 and "not empty" in err
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


class TestVerb:
    def test_the_list_says_where_and_what_to_do(self, data_folder, capsys):
        code, out, err = run(capsys, "list")
        assert (code, err) == (0, "") and str(data_folder) in out.splitlines()[0]
        for name, known in KNOWN_DATA.items():
            assert f"\n{name}: {known.about}" in out and known.licence in out
        assert "missing: no ferplus.zip or ferplus/FER2013Train/label.csv" in out
        assert "to get it: builder-tools data fetch ferplus-labels" in out
        write_official(data_folder / "ferplus", toy_faces({"train": 1, "valid": 1, "test": 1}))
        assert find_data(KNOWN_DATA["ferplus"]) == data_folder / "ferplus/FER2013Train/label.csv"
        assert f"present: {data_folder}/ferplus/FER2013Train" in run(capsys, "list")[1]

    def test_verify_counts_what_is_there(self, data_folder, capsys):
        assert run(capsys, "verify")[0] == 2
        write_official(data_folder / "ferplus", toy_faces())
        code, out, _ = run(capsys, "verify")
        assert code == 0
        rows = [line.split() for line in out.splitlines()]
        assert rows[1] == ["split", "train", "valid", "test"]
        assert rows[2] == ["anger", "6", "3", "3"] and rows[-1] == ["all", "54", "27", "27"]
        (data_folder / "competition").mkdir()
        (data_folder / "competition/train.csv").write_text("malformed")
        code, out, err = run(capsys, "verify")
        assert code == 1 and out.startswith("ferplus") and "failed: competition" in err

    def test_verify_of_what_is_wrong(self, data_folder, tmp_path, capsys):
        assert "--source" in run(capsys, "verify", "folders")[2]
        assert run(capsys, "verify", "--source", tmp_path)[0] == 2
        code, out, err = run(capsys, "verify", "folders", "--source", tmp_path)
        assert (code, out) == (2, "") and "There are none" in err

    def test_any_data_set_becomes_class_folders(self, data_folder, tmp_path, capsys):
        write_official(data_folder / "ferplus", toy_faces())
        out = tmp_path / "faces"
        arguments = ("folders", "ferplus", "--out", out, "--per-class", 2, "--seed", 3)
        assert run(capsys, *arguments) == (0, f"{out}\n", "")
        assert len(list(out.rglob("*.png"))) == 2 * 9 * 3
        code, _, err = run(capsys, *arguments)
        assert code == 2 and "not empty" in err
        assert run(capsys, "verify", "folders", "--source", out)[0] == 0
        within = ("folders", "folders", "--source", out, "--out", out / "again")
        code, _, err = run(capsys, *within)
        assert code == 2 and "outside" in err and not (out / "again").exists()

    def test_unknown_names_are_refused(self):
        with pytest.raises(ValueError, match=r"Expected one of .*Received: 'ferplus'"):
            fetch_data("ferplus")
