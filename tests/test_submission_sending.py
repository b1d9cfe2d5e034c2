"""Sending a csv: what is refused, what is put into the standard form, what the client says."""
# ruff: noqa: F811 - fixtures by their names.

import os

import pytest
from fakes import files_of
from made_submissions import folder, submit, whole, write_sample  # noqa: F401

from builder_tools.datasets import fetch
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.inference import BatchRow
from builder_tools.submission import (
    send_submission,
    standard_submission,
    validate_submission,
    write_submission,
)

THREE = ("happy", "neutral", "sad")
PLAIN = "image_path,emotion\n0.jpg,sad\n1.jpg,anger\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.replace("anger", "Anger!"), r"line 3.*'Anger!'"),
        (PLAIN.replace("anger", ""), "line 3"),
        (PLAIN + "0.jpg,sad\n", r"each image once.*'0.jpg'"),
        (PLAIN.replace("image_path", "id"), "header"),
        (PLAIN + ",sad\n", "name in every row"),
        (PLAIN + "2.jpg,sad,1\n", "line 4"),
        ("image_path,emotion\n", "at least"),
        ("", "header"),
    ],
)
def test_a_wrong_submission_is_refused_without_a_sample_too(text, message, tmp_path):
    csv_path = tmp_path / "s.csv"
    csv_path.write_text(PLAIN)
    assert "itself only" in standard_submission(csv_path, NINE_EMOTIONS)[1]
    csv_path.write_text(text)
    with pytest.raises(ValueError, match=message):
        standard_submission(csv_path, NINE_EMOTIONS)


OTHER_FORMS = {
    "semicolons": PLAIN.replace(",", ";"),
    "a mark": "\ufeff" + PLAIN,
    "Excel": "sep=;\r\n" + PLAIN.replace(",", ";").replace("\n", "\r\n"),
    "tabs": PLAIN.replace(",", "\t"),
    "spaces": PLAIN.replace(",", " , "),
    "capitals": PLAIN.replace("image_path,emotion", "Image_Path,EMOTION").replace("sad", "Sad"),
    "blank lines": PLAIN.replace("\n", "\n\n"),
    "quotes": "".join(
        f'"{line.replace(",", chr(34) + ";" + chr(34))}"\n' for line in PLAIN.split()
    ),
}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_a_submission_in_another_form_is_sent_in_the_standard_one(tmp_path, form):
    csv_path, standard = tmp_path / "s.csv", tmp_path / "s.standard.csv"
    csv_path.write_text(OTHER_FORMS[form], encoding="utf-8", newline="")
    given = csv_path.read_bytes()
    path, against = standard_submission(csv_path, NINE_EMOTIONS)
    assert path == standard and "itself only" in against
    assert standard.read_text() == PLAIN and csv_path.read_bytes() == given
    assert standard_submission(standard, NINE_EMOTIONS)[0] == standard
    csv_path.write_text(OTHER_FORMS[form].casefold().replace("anger", "angry"), encoding="utf-8")
    with pytest.raises(ValueError, match="'angry'"):
        standard_submission(csv_path, NINE_EMOTIONS)


@pytest.mark.parametrize(
    "names", ["0 1", "0.JPG 1.JPG", "test/0.jpg test/1.jpg", "TEST\\0 TEST\\1"]
)
def test_ids_in_another_spelling_are_those_of_the_sample(tmp_path, names):
    csv_path, sample = tmp_path / "s.csv", write_sample(tmp_path / "a.csv", ["0.jpg", "1.jpg"])
    first, second = names.split()
    csv_path.write_text(f"image_path,emotion\n{first},sad\n{second},anger\n")
    path, _ = standard_submission(csv_path, NINE_EMOTIONS, sample)
    assert path.read_text() == PLAIN
    csv_path.write_text(f"image_path,emotion\n{second},sad\n{second},anger\n")
    with pytest.raises(ValueError, match="each image once"):
        standard_submission(csv_path, NINE_EMOTIONS, sample)


def test_a_submission_is_compared_with_its_log(folder, tmp_path):
    submit(folder, tmp_path / "s.csv")
    assert "s.log.csv" in standard_submission(tmp_path / "s.csv", NINE_EMOTIONS)[1]
    lines = (tmp_path / "s.csv").read_text().splitlines(keepends=True)
    (tmp_path / "s.csv").write_text("".join(lines[:-1]))
    with pytest.raises(ValueError, match=r"Expected 40 rows.*Received: 39"):
        standard_submission(tmp_path / "s.csv", NINE_EMOTIONS)


GOOD = "image_path,emotion\na.png,happy\nb.png,sad\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("image_path", "path"), "header image_path,emotion"),
        ("", "header image_path,emotion"),
        (GOOD + "c.png,sad\n", "2 rows.*Received: 3"),
        ("image_path,emotion\na.png,happy\n", "2 rows.*Received: 1"),
        (GOOD.replace("b.png", "c.png"), r"'b.png'.*line 3.*'c.png'"),
        ("image_path,emotion\nb.png,sad\na.png,happy\n", r"'a.png'.*line 2"),
        (GOOD.replace("sad", "sadness"), r"\['happy', 'neutral', 'sad'\].*line 3.*'sadness'"),
        (GOOD.replace("sad", "sad,0.9"), "line 3"),
    ],
)
def test_an_invalid_csv_is_found_out(tmp_path, text, message):
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        validate_submission(path, ["a.png", "b.png"], THREE)
    path.write_text(GOOD)
    validate_submission(path, ["a.png", "b.png"], THREE)


def test_an_invalid_run_leaves_the_earlier_files_as_they_were(folder, tmp_path, whole):
    csv_path = tmp_path / "s.csv"
    submit(folder, csv_path)
    rows = [BatchRow("0.png", "ok", "joyful", 0.5, 1, "")]
    with pytest.raises(ValueError, match="joyful"):
        write_submission(rows, csv_path, ["0.png"], THREE)
    assert files_of(csv_path) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.csv", "s.log.csv"]


def test_a_dry_run_gives_the_command(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text(GOOD)
    assert send_submission(path, "first try") == [
        *("kaggle", "competitions", "submit", "skillbox-computer-vision-project"),
        *("-f", str(path), "-m", "first try"),
    ]
    assert "other" in send_submission(path, "x", competition="other")


def test_sending_needs_the_csv_and_the_client(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="img-batch"):
        send_submission(tmp_path / "s.csv", "x")
    (tmp_path / "s.csv").write_text(GOOD)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(fetch, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"kaggle client: pip install 'builder-tools\[kaggle\]'"):
        send_submission(tmp_path / "s.csv", "x", dry_run=False)


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for the client is a shell script")
def test_sending_calls_the_client_and_passes_its_refusal_on(tmp_path, monkeypatch):
    client = tmp_path / "kaggle"
    client.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n'
        'test -z "$REFUSE" || { echo "$REFUSE"; echo "Try later"; exit 1; }\n'
    )
    client.chmod(0o755)
    (tmp_path / "s.csv").write_text(GOOD)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    send_submission(tmp_path / "s.csv", "x", dry_run=False)
    assert (tmp_path / "calls").read_text().startswith("competitions submit skillbox")
    for refusal, told in (
        ("Closed", r"^Nothing was sent: the kaggle client refused: Try later\.$"),
        ("Authentication required", "no credentials: `kaggle auth login`"),
    ):
        monkeypatch.setenv("REFUSE", refusal)
        with pytest.raises(RuntimeError, match=told):
            send_submission(tmp_path / "s.csv", "x", dry_run=False)


def test_the_client_of_an_environment_that_is_not_activated_is_found(tmp_path, monkeypatch):
    package = tmp_path / "kaggle"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(f"open({str(tmp_path / 'called')!r}, 'w').close()")
    (tmp_path / "s.csv").write_text(GOOD)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    send_submission(tmp_path / "s.csv", "x", dry_run=False)
    assert (tmp_path / "called").exists()
