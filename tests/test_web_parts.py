"""The page's parts without a server: texts, how it is served, answers as HTML, curves."""

import asyncio
import json
import os
import re
import shutil
import threading
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import REPOSITORY
from rests import CALM, seen

from builder_tools import EmotionClassifier
from builder_tools.cards import ModelCard
from builder_tools.decisions import apply_decision
from builder_tools.emotions import NINE_EMOTIONS, EmotionSet
from builder_tools.languages import texts
from builder_tools.results import Box, Face, FaceEmotion, FrameResult

pytest.importorskip("fastapi")

from builder_tools.web import markup
from builder_tools.web.batches import classify_uploads
from builder_tools.web.camera import Cameras
from builder_tools.web.camera_facts import camera_facts
from builder_tools.web.curves import curves_svg
from builder_tools.web.engine import Choice, Engine
from builder_tools.web.limits import STATUS_OF, Limits, Refused
from builder_tools.web.server import WebSettings, listen, private_folder
from builder_tools.web.texts import Words
from builder_tools.web.videos import Curves

ENGLISH, RUSSIAN = Words("en"), Words("ru")


# texts


def test_every_refusal_has_its_text():
    assert {f"refused.{code}" for code in STATUS_OF} <= set(texts("en")["page"])


def test_words_put_facts_in_and_keep_unknown_emotions():
    assert "the 2 MB" in ENGLISH.refusal(Refused("too_big", size_mb=3, limit_mb=2))
    assert (RUSSIAN.emotion("happy"), RUSSIAN.emotion("Ahegao")) == ("радость", "Ahegao")
    assert (RUSSIAN.emotion("Angry"), ENGLISH.emotion("Angry")) == ("гнев", "Angry")
    with pytest.raises(ValueError, match="language='xx'"):
        Words("xx")


def test_the_camera_knows_the_words_of_other_models():
    facts = camera_facts(RUSSIAN)
    assert facts["emotions"]["angry"] == "гнев"
    assert facts["colours"]["angry"] == "rgb({},{},{})".format(*NINE_EMOTIONS.colour_rgb("anger"))


def test_the_camera_learns_rests_without_the_biases_of_the_decision():
    learned = []
    for decision in ("natural", "balanced"):
        classifier = EmotionClassifier(decision=decision)
        engine = SimpleNamespace(classifier=lambda choice, own=classifier: own)
        rests = Cameras(engine)._rests(Choice(None, None, decision))
        shown = np.array([CALM])
        if decision == "balanced":
            shown = apply_decision(shown, NINE_EMOTIONS, classifier.card.decision)
        rests.learn([seen(1, *shown[0])], 0.0)
        rests.learn([seen(1, *shown[0])], 0.1)
        learned.append(rests.resting_face().log_probabilities)
    assert learned[1] == pytest.approx(learned[0])


# how it is served


def test_the_folder_is_private_and_goes():
    with private_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_what_a_killed_process_left_is_deleted_and_a_living_ones_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = tmp_path / "builder_tools_web_99999999_abc"
    alive = tmp_path / f"builder_tools_web_{os.getppid()}_abc"
    other = tmp_path / "builder_tools_web_notes"
    for folder in (dead, alive, other):
        folder.mkdir()
    with private_folder():
        assert not dead.exists() and alive.exists() and other.exists()


def test_what_another_users_process_left_is_theirs(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    theirs = tmp_path / "builder_tools_web_99999999_abc"
    theirs.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: theirs.stat().st_uid + 1)
    with private_folder():
        assert theirs.exists()
    assert not caplog.records


def test_a_taken_port_is_named():
    with listen(WebSettings(port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port}.*--port"):
            listen(WebSettings(port=port))


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 70000},
        {"language": "fr"},
        {"host": "0.0.0.0"},
        {"host": "::"},
        {"host": ""},
        {"host": "192.0.2.1", "password": ""},
        {"password": "secret", "no_password": True},
        {"keep_s": 0},
        {"keep_s": -60.0},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError):
        WebSettings(**wrong)


def test_this_machine_only_by_default():
    assert WebSettings().host == "127.0.0.1" and WebSettings().is_local
    assert WebSettings(host="127.0.0.2").is_local and WebSettings(host="::1").is_local
    assert not WebSettings(host="0.0.0.0", password="secret").is_local
    assert not WebSettings(host="0.0.0.0", no_password=True).is_local


# answers as HTML


def face(emotion="happy", probability=0.9, **more):
    probabilities = {"happy": 0.0, "sad": 0.0, "fear": 0.0, emotion: probability}
    found = Face(Box(10, 10, 60, 60), 0.93)
    return FaceEmotion(found, probabilities, **{"valence": 0.5, "arousal": -0.25, **more})


def photo(faces, name="a.jpg"):
    return FrameResult(name, 0, 0.0, tuple(faces), np.full((100, 160, 3), 90, np.uint8))


def test_a_photos_html_names_emotions_bars_and_place():
    page = markup.photo_html(photo([face()]), RUSSIAN)
    assert "радость" in page and "90%" in page and 'src="data:image/jpeg;base64,' in page
    assert "Валентность +0.50, возбуждение -0.25" in page
    assert page.count('<span class="bt-bar"') == 3


def test_what_comes_from_outside_is_escaped():
    evil = '<img src=x onerror="alert(1)">.jpg'
    pages = [
        markup.photo_html(photo([face(emotion=evil)], evil), ENGLISH),
        markup.photo_html(photo([], evil), ENGLISH),
        markup.refusal(Refused("unknown_model", model=evil), ENGLISH),
    ]
    for page in pages:
        assert "<img src=x" not in page and "&lt;img" in page


def test_doubtful_faces_are_called_so():
    assert "not sure" in markup.photo_html(
        photo([face(probability=0.5, doubtful_below=0.7)]), ENGLISH
    )
    assert "not sure" not in markup.photo_html(photo([face()]), ENGLISH)


def test_many_faces_are_cut_off_and_said():
    page = markup.photo_html(photo([face()] * 20), ENGLISH)
    assert page.count('class="bt-face"') == markup.MOST_FACES and "12 largest" in page


def test_a_face_without_a_place_has_no_dial():
    assert "<svg" not in markup.photo_html(photo([face(valence=None)]), ENGLISH)


def test_large_photos_are_shown_small_with_their_boxes():
    image = np.full((3000, 4000, 3), 90, np.uint8)
    result = FrameResult("a.jpg", 0, 0.0, (face(),), image)
    assert len(markup.photo_html(result, ENGLISH)) < 200_000


# curves


@dataclass(frozen=True)
class Moment:
    rank: int = 1
    start_s: float = 1.0
    end_s: float = 2.0


def test_curves_are_svg_with_gaps_where_nobody_was():
    times_s = np.arange(10) + 0.5
    happy = np.array([1.0] * 4 + [np.nan] * 2 + [0.25] * 4)
    curves = Curves(times_s, {"happy": happy, "sad": 1 - happy}, happy, -happy, 10.0)
    page = curves_svg(curves, [Moment()], ENGLISH)
    charts = [ET.fromstring(chart) for chart in re.findall("<svg.*?</svg>", page)]
    assert len(charts) == 2
    assert charts[0].attrib["aria-label"].endswith("happy 62%, sad 38%")
    bands = [path.attrib["d"] for path in charts[0].iter("path") if "fill" in path.attrib]
    assert [band.count("M") for band in bands] == [2, 2]
    # Of the first stretch: happy fills all from 0 s to 4 s of 10.
    numbers = [float(x) for x in re.findall(r"[ML]([\d.]+) ", bands[0].split("Z")[0])]
    assert (min(numbers), max(numbers)) == (56.0, pytest.approx(56 + 0.4 * 744, abs=0.1))
    assert [text.text for text in charts[0].iter("text")].count("1") == 2  # a rank and a mark


def test_a_models_own_classes_have_colours_of_their_own():
    own = [f"class {number}" for number in range(8)]
    share = np.full(4, 1 / len(own))
    curves = Curves(np.arange(4) + 0.5, dict.fromkeys(own, share), share, share, 4.0)
    page = curves_svg(curves, [], ENGLISH)
    bands = re.findall(r'fill="(#[0-9a-f]{6})"', page)
    legend = re.findall(r'<li><span style="background:(#[0-9a-f]{6})', page)
    assert len(set(bands)) == len(own) and legend == bands
    card = ModelCard("mine", "model.onnx", tuple(own), 48, "none")
    fewer = [own[5], own[1], own[6]]
    cards = {"mine": card, "other": ModelCard("other", "model.onnx", tuple(fewer), 48, "none")}
    colours = camera_facts(ENGLISH, cards)["model_colours"]
    for model, names in (("mine", own), ("other", fewer)):
        rgb = ["rgb({},{},{})".format(*EmotionSet(names).colour_rgb(name)) for name in names]
        assert [colours[model][name] for name in names] == rgb
        assert len(set(rgb)) == len(names)


# the engine


@pytest.fixture(scope="module")
def engine():
    made = Engine(workers=2)
    yield made
    made.close()


def test_models_are_loaded_once_and_chosen_by_name_only(engine, tmp_path):
    assert engine.classifier() is engine.classifier(Choice("fast"))
    for name in ("nobody", str(tmp_path), "../saved_models/fast"):
        with pytest.raises(Refused) as caught:
            engine.classifier(Choice(name))
        assert caught.value.code == "unknown_model"


def test_a_model_without_the_decision_asked_for_says_so(tmp_path):
    folder = shutil.copytree(REPOSITORY / "saved_models" / "tiny", tmp_path / "tiny")
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "decision": None}))
    own = Engine(str(folder), workers=2)
    assert own.classifier(Choice(decision="natural")) is own.classifier()
    with pytest.raises(Refused) as caught:
        own.classifier(Choice(decision="balanced"))
    assert "Choose the other one" in ENGLISH.refusal(caught.value)
    own.close()


def test_a_detector_that_cannot_be_had_is_refused(engine, monkeypatch):
    def absent(*_):
        raise ImportError("Try: pip install dlib-bin")

    monkeypatch.setattr("builder_tools.web.engine.DetectorPool", absent)
    with pytest.raises(Refused) as caught:
        engine.check(Choice(detector="dlib"))
    assert "dlib-bin" in ENGLISH.refusal(caught.value)


def test_a_refusal_names_no_folder_of_the_server(engine, monkeypatch, tmp_path, caplog):
    def absent(*_):
        raise FileNotFoundError(f"Found no usable x.pb (a detector). Tried:\n  - folder {tmp_path}")

    monkeypatch.setattr("builder_tools.web.engine.DetectorPool", absent)
    with pytest.raises(Refused) as caught:
        engine.check(Choice(detector="ssd"))
    said = ENGLISH.refusal(caught.value)
    assert "Found no usable x.pb (a detector)." in said and str(tmp_path) not in said
    assert str(tmp_path) in caplog.text, "whoever runs the server is told"


def test_a_model_given_by_its_folder_is_called_by_its_name(tmp_path):
    from builder_tools.cards import find_model

    for name, called in (("mine", "mine"), ("fast", "fast (own)")):
        folder = tmp_path / name
        shutil.copytree(find_model("tiny"), folder)
        own = Engine(str(folder), workers=2)
        assert own.default.model == called and next(iter(own.models)) == called
        assert "fast" in own.models and own.models["fast"].name == "fast"
        assert own.classifier(Choice(called)) is own.classifier()
        assert own.classifier(Choice(called, decision="balanced")).card.name == "tiny"
        assert own.classifier(Choice("fast")).card.name == "fast"
        with pytest.raises(Refused):
            own.classifier(Choice(str(folder)))
        own.close()


def test_too_many_waiting_are_refused(engine, monkeypatch, astronaut):
    monkeypatch.setattr("builder_tools.web.engine.MOST_WAITING", 0)
    with pytest.raises(Refused) as caught, engine.turn():
        pass
    assert caught.value.status == 503
    monkeypatch.undo()
    with engine.turn():
        assert engine.read(astronaut)[0].emotion == "happy"


def test_long_jobs_take_turns(engine):
    assert engine.take_long_turn(0.01)
    assert not engine.take_long_turn(0.01)
    waiter = threading.Thread(target=lambda: engine.take_long_turn(30) and engine.end_long_turn())
    waiter.start()
    engine.end_long_turn()
    waiter.join(timeout=30)
    assert not waiter.is_alive()


def test_a_batch_of_images_that_are_too_large_or_none_still_gets_every_row(
    engine, tmp_path, astronaut
):
    from builder_tools.media import write_image
    from builder_tools.submission import validate_submission

    small = astronaut[::2, ::2]
    files = [(write_image(tmp_path / f"u{n}.png", small), f"{n}.png") for n in (10, 9)]
    files.append((write_image(tmp_path / "large.png", astronaut), "1.png"))
    (tmp_path / "none.jpg").write_bytes(b"no image")
    files.append((tmp_path / "none.jpg", "2.jpg"))
    out = tmp_path / "out"
    out.mkdir()
    limits = Limits(max_pixels=100_000)
    *_, answer = classify_uploads(files, out, engine, limits)
    names = ["1.png", "2.jpg", "9.png", "10.png"]
    validate_submission(out / "submission.csv", names, tuple(engine.classifier().emotions))
    rows = {row.image_path: (row.status, row.emotion) for row in answer.rows}
    assert rows["9.png"] == rows["10.png"] == ("ok", "happy")
    assert rows["1.png"][0] == rows["2.jpg"][0] == "unreadable"
    log = (out / "submission.log.csv").read_text()
    assert "0.3 million pixels are too many" in log and str(tmp_path) not in log


def test_a_camera_survives_whatever_an_image_does(monkeypatch):
    """The first image fails in a way nobody foresaw; the second one is answered."""
    from builder_tools.web import camera

    said = []

    class Socket:
        async def send_text(self, text):
            said.append(json.loads(text))

    def answer(self, data, choice, state, time_s):
        if data == b"bad":
            raise KeyError("nobody foresaw this")
        return {"id": 2}

    async def serve():
        slot = camera._Slot()
        cameras = camera.Cameras(engine=None)
        task = asyncio.create_task(cameras._answer_all(Socket(), slot, Choice(), ENGLISH))
        for data in (b"bad", b"good"):
            slot.put(data)
            while len(said) < (1 if data == b"bad" else 2):
                await asyncio.sleep(0.005)
        slot.end()
        await task

    monkeypatch.setattr(camera.Cameras, "_answer", answer)
    asyncio.run(asyncio.wait_for(serve(), 30))
    assert said[0]["error"] == "internal" and said[1]["id"] == 2


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["a.zip", "b.jpg"], "zip_beside_others"),
        (["b.jpg", "A.ZIP"], "zip_beside_others"),
        (["a.zip"], "no_zip"),
    ],
)
def test_a_zip_beside_other_files_is_not_called_no_zip(engine, tmp_path, names, code):
    files = [(tmp_path / str(number), name) for number, name in enumerate(names)]
    for path, _ in files:
        path.write_bytes(b"no zip")
    (tmp_path / "out").mkdir()
    with pytest.raises(Refused) as caught:
        list(classify_uploads(files, tmp_path / "out", engine, Limits()))
    assert caught.value.code == code
