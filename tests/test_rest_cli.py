"""A face against its own rest on the command line: options, the verb, tables."""

import json
from dataclasses import replace
from pathlib import Path

import av
import pytest
from fakes import save_image
from rests import two

from builder_tools import EmotionClassifier, RestingFace
from builder_tools.cli import main
from builder_tools.cli.over_time import rest_of
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.media import write_image
from builder_tools.release import labelled_set
from builder_tools.timeline.reading import emotions_of, measure_column, read_timeline


@pytest.fixture
def people(tmp_path):
    """A table of labels with two people, and images that are named after them."""
    (tmp_path / "faces").mkdir()
    lines = ["file,emotion,who"]
    for number, (who, emotion) in enumerate([("ann", "neutral"), ("ann", "sad"), ("bob", "happy")]):
        save_image(tmp_path / "faces" / f"{who}-{number}.png", 1, 100)
        lines.append(f"faces/{who}-{number}.png,{emotion},{who}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize("person", ["who", r"(\w+)-\d"])
def test_persons_by_column_and_by_pattern(people, person, capsys):
    found = labelled_set(people / "labels.csv", person=person)
    assert found.images.table["person"].tolist() == ["ann", "ann", "bob"]
    command = ["evaluate", "--data", "folders", "--source", str(people / "labels.csv")]
    assert main([*command, "--person", person]) == 0
    assert "3 images of 3 classes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("person", "words"), [("age", "age"), ("(zz)", "none"), ("(", "expression"), ("(?:a)", "group")]
)
def test_persons_that_are_none(people, person, words):
    with pytest.raises(ValueError, match=words):
        labelled_set(people / "labels.csv", person=person)


def test_the_option(tmp_path):
    path = two([0.3, 0.7]).save(tmp_path / "me.json")
    assert rest_of("off") is None
    assert [rest_of("auto"), rest_of("3s"), rest_of("0.5s")] == ["auto", 3.0, 0.5]
    assert rest_of(str(path)) == two([0.3, 0.7])
    with pytest.raises(FileNotFoundError, match="--rest off, auto, seconds"):
        rest_of("3 s")


def test_a_timeline_keeps_both_and_curves_read_the_first(face_video, tmp_path, capsys):
    """`highlights` takes a viewer's usual face away itself: one baseline, never two."""
    out = tmp_path / "film.csv"
    options = ["--rest", "auto", "--timeline", str(out), "--max-frames", "5"]
    assert main(["video", str(face_video.path), *options]) == 0
    table = read_timeline(out)
    relative = [column for column in table if column.startswith("relative_p_")]
    assert [column.removeprefix("relative_p_") for column in relative] == list(NINE_EMOTIONS)
    table = table.dropna(subset="track")
    assert table[relative].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-3)
    assert set(table["relative_emotion"]) <= set(NINE_EMOTIONS)
    assert emotions_of(table).names == NINE_EMOTIONS.names
    assert measure_column(table, "sad") == "p_sad"


def test_bad_rest_files_end_in_a_sentence(face_video, tmp_path, capsys):
    path = two([0.3, 0.7]).save(tmp_path / "me.json")
    assert main(["video", str(face_video.path), "--rest", str(path)]) == 2
    assert "in this order" in capsys.readouterr().err
    assert main(["video", str(face_video.path), "--rest", str(tmp_path / "no.json")]) == 2
    assert "Expected --rest" in capsys.readouterr().err


@pytest.fixture
def portraits(astronaut, tmp_path):
    paths = []
    for number, shift in enumerate((0, 20)):
        paths.append(tmp_path / f"me{number}.png")
        write_image(paths[-1], astronaut[: 400 - shift, shift:])
    return [str(path) for path in paths]


def test_the_verb_writes_a_rest_that_images_are_compared_with(portraits, tmp_path, capsys):
    out = tmp_path / "me.json"
    assert main(["rest", *portraits, "--out", str(out)]) == 0
    assert "a rest of 2 images (mostly happy" in capsys.readouterr().err
    rest = RestingFace.load(out)
    assert (rest.frames, rest.model) == (2, EmotionClassifier().identity)
    assert str(replace(rest, frames=1)).startswith("a rest of 1 image (")
    assert main(["img", portraits[0], "--rest", str(out), "--json"]) == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert sum(face["relative_probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert face["relative_probabilities"]["happy"] < 0.5 < face["probabilities"]["happy"]
    assert main(["img", portraits[0], "--rest", str(out)]) == 0
    assert "(from rest: " in capsys.readouterr().out


def test_a_rest_is_the_same_whatever_the_decision(portraits, tmp_path):
    rests = []
    for decision in ("natural", "balanced"):
        out = tmp_path / f"{decision}.json"
        assert main(["rest", *portraits, "--decision", decision, "--out", str(out)]) == 0
        rests.append(RestingFace.load(out))
    assert rests[1].log_probabilities == pytest.approx(rests[0].log_probabilities, abs=1e-3)


def test_a_rest_counts_each_image_once(portraits, tmp_path, capsys):
    """One image named twice was believed 83 % instead of 33 %."""
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(portraits[0]).read_bytes())
    out = tmp_path / "me.json"
    images = [portraits[0], str(copy), portraits[1], portraits[0]]
    assert main(["rest", *images, "--out", str(out)]) == 0
    assert RestingFace.load(out).frames == 2
    said = capsys.readouterr().err
    assert f"left out: {copy}: the same image as {portraits[0]}" in said
    assert said.count("left out: ") == 2


def test_a_rest_of_images_without_a_face(tmp_path, capsys):
    save_image(tmp_path / "wall.png", 1, 100)
    (tmp_path / "text.png").write_text("no image")
    command = ["rest", str(tmp_path / "wall.png"), str(tmp_path / "text.png")]
    assert main([*command, "--out", str(tmp_path / "me.json")]) == 2
    said = capsys.readouterr().err
    assert "wall.png: no face found" in said and "text.png: " in said
    assert "at least one image of the resting face" in said


def test_a_rest_takes_the_place_of_a_rest_only(portraits, tmp_path, capsys):
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Ann,")
    assert main(["rest", *portraits, "--out", str(letter)]) == 2
    assert letter.read_text() == "Dear Ann,"
    assert main(["rest", *portraits, "--out", portraits[0]]) == 2
    assert main(["rest", *portraits, "--out", str(letter / "me.json")]) == 2
    out = tmp_path / "new" / "me.json"
    assert [main(["rest", *portraits, "--out", str(out)]) for _ in range(2)] == [0, 0]


def test_a_film_writes_the_rest_it_learned(face_video, tmp_path, capsys):
    out = tmp_path / "me.json"
    film = ["video", str(face_video.path), "--rest-out", str(out)]
    assert main(film) == 2
    assert "--rest auto or seconds (3s) with --rest-out" in capsys.readouterr().err
    assert main([*film, "--rest", "1s"]) == 0
    assert RestingFace.load(out).model == EmotionClassifier().identity
    out.unlink()
    assert main([*film, "--rest", "auto"]) == 1  # the astronaut laughs throughout
    assert "Look neutral" in capsys.readouterr().err and not out.exists()


def test_a_film_of_unknown_length_says_when_its_rests_are_learned(face_video, tmp_path, capsys):
    """A raw stream, as surveillance cameras give it, does not tell how long it is."""
    raw = tmp_path / "raw.h264"
    with av.open(str(face_video.path)) as source, av.open(str(raw), "w") as output:
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                output.mux(packet)
    command = ["--rest", "auto", "--detector", "haar", "--max-frames", "3"]
    assert main(["video", str(raw), *command]) == 0
    assert "learned as it goes" in capsys.readouterr().err
    assert main(["video", str(face_video.path), *command]) == 0
    told = capsys.readouterr().err
    assert "results come after its end" in told and "as it goes" not in told
