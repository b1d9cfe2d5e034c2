"""The csv of every face of a batch."""

import csv

import pytest
from fakes import FakeDetector, FakeModel, save_image

from builder_tools.inference import Inference
from builder_tools.submission import make_submission, plan_submission

HEADER = (
    "image_path,face,x1,y1,x2,y2,detection_score,emotion,probability,doubtful,"
    "p_happy,p_neutral,p_sad,valence,arousal"
)


def submit(folder, out, model=None, **options):
    with Inference(
        model or FakeModel(), FakeDetector(), show_state_mode="none", every_face=True, **options
    ) as inference:
        job = plan_submission(folder)
        csvs = {"csv_path": out / "s.csv", "faces_csv": out / "faces.csv"}
        return list(make_submission(inference, job, **csvs))


@pytest.fixture
def folder(tmp_path):
    """Two faces of one and 200, none, one, and one that cannot be read."""
    images = tmp_path / "images"
    save_image(images / "two.png", 2, 200, 10)
    save_image(images / "none.png", 0)
    save_image(images / "deep" / "one.png", 1, 100)
    (images / "broken.png").write_bytes(b"")
    return images


def test_every_face_has_a_row_with_all_that_is_known(folder, tmp_path):
    rows = {row.image_path: row for row in submit(folder, tmp_path)}
    lines = (tmp_path / "faces.csv").read_text().splitlines()
    assert lines == [
        HEADER,
        "two.png,1,24.0,8.0,44.0,28.0,0.8,sad,0.51,0,0.245,0.245,0.51,,",
        "two.png,2,8.0,8.0,24.0,24.0,0.9,happy,0.7,0,0.7,0.15,0.15,,",
        "deep/one.png,1,8.0,8.0,24.0,24.0,0.9,neutral,0.6,0,0.2,0.6,0.2,,",
    ]
    assert [len(rows[name].faces) for name in ("two.png", "none.png", "broken.png")] == [2, 0, 0]
    assert rows["two.png"].emotion == "sad", "the largest counts"


def test_which_face_counts_does_not_depend_on_how_many_are_classified(folder, tmp_path):
    for policy, emotion in (("largest", "sad"), ("best", "happy")):
        out = tmp_path / policy
        rows = {row.image_path: row for row in submit(folder, out, multi_face=policy)}
        assert (rows["two.png"].emotion, rows["two.png"].num_faces) == (emotion, 2)


def test_an_interrupted_run_gives_the_same_bytes(folder, tmp_path):
    submit(folder, tmp_path / "whole")

    def before(seen):
        if seen >= 3:
            raise RuntimeError("the model broke")

    with pytest.raises(RuntimeError):
        submit(folder, tmp_path / "again", FakeModel(before), batch_size=1)
    assert not (tmp_path / "again" / "faces.csv").exists()
    model = FakeModel()
    submit(folder, tmp_path / "again", model)
    assert model.seen == 1
    for name in ("faces.csv", "s.csv", "s.log.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_doubt_stands_in_the_log_and_with_the_face(tmp_path):
    class Unsure(FakeModel):
        def predict(self, faces):
            return super().predict(faces) * 0 + [0.2, 0.32, 0.48]

    save_image(tmp_path / "p" / "a.png", 1, 200)
    submit(tmp_path / "p", tmp_path, Unsure())
    with open(tmp_path / "faces.csv", newline="") as file:
        (face,) = csv.DictReader(file)
    assert (face["emotion"], face["doubtful"]) == ("sad", "1")
    assert (tmp_path / "s.log.csv").read_text().endswith("a.png,ok,sad,0.4800,1,doubtful\n")


def test_the_faces_csv_needs_every_face(tmp_path):
    save_image(tmp_path / "p" / "a.png", 1, 200)
    with Inference(FakeModel(), FakeDetector(), show_state_mode="none") as inference:
        stream = make_submission(
            inference, plan_submission(tmp_path / "p"), tmp_path / "s.csv", faces_csv="f.csv"
        )
        with pytest.raises(ValueError, match="every_face=True"):
            list(stream)
