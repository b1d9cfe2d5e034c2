"""`img_batch`: one row an image, in order, whatever the image, the batch or the threads."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeDetector, FakeModel, save_image

from builder_tools.cards import ModelCard
from builder_tools.inference import BatchRow, BatchTable, Inference
from builder_tools.inference import batch as batch_module
from builder_tools.media import open_image, write_image
from builder_tools.media.budget import BYTES_PER_WORKER, Budget

NAMES = [f"{number}.png" for number in range(12)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve images: one face, two, none, empty, broken, and again one."""
    folder = tmp_path_factory.mktemp("mixed images")
    for number in range(12):
        save_image(folder / f"{number}.png", 1, 200)
    save_image(folder / "1.png", 2, 20, 120)  # the larger face is the second
    save_image(folder / "2.png", 0)
    (folder / "3.png").write_bytes(b"")
    (folder / "4.png").write_bytes(b"no image at all" * 9)
    save_image(folder / "10.png", 1, 20)
    (folder / "notes.txt").write_text("not an image")
    return folder


def batch(model=None, **options):
    return Inference(
        model or FakeModel(),
        FakeDetector(),
        show_state_mode="none",
        inference_mode="img_batch",
        **options,
    )


def test_one_row_an_image_in_natural_order(folder):
    table = batch().run(folder)
    assert [row.image_path for row in table] == NAMES
    statuses = ["ok", "multi_face", "no_face", "unreadable", "unreadable"] + 7 * ["ok"]
    assert [row.status for row in table] == statuses
    assert [row.num_faces for row in table] == [1, 2, 0, 0, 0] + 7 * [1]
    assert repr(table) == (
        "BatchTable(12 images: {'ok': 8, 'no_face': 1, 'multi_face': 1, 'unreadable': 2})"
    )


def test_what_the_rows_say(folder):
    table = batch().run(str(folder))
    assert table[0] == BatchRow("0.png", "ok", "happy", pytest.approx(0.7, abs=1e-6), 1, "")
    assert table[10].emotion == "sad"
    assert "0 bytes" in table[3].reason and "no image" in table[4].reason
    assert table[3].probability is None
    assert "\n" not in "".join(row.reason for row in table)


@pytest.mark.parametrize(("policy", "expected"), [("largest", "neutral"), ("best", "sad")])
def test_policies_for_many_faces(folder, policy, expected):
    row = batch(multi_face=policy).run(folder)[1]
    assert row.emotion == expected
    assert row.reason == f"2 faces found; the {policy} one counts"


def test_policies_for_no_face(folder):
    model = FakeModel()
    whole = batch(model, no_face="whole").run(folder)[2]
    assert whole.emotion == "sad" and whole.probability > 0.5  # the image is dark
    assert (64, 96, 3) in [face.shape for call in model.calls for face in call]
    frequent = batch(_with_card({"sad": 3, "neutral": 9, "happy": 1}), no_face="frequent")
    row = frequent.run(folder)[2]
    assert (row.emotion, row.probability, row.num_faces) == ("neutral", None, 0)
    assert "most frequent class" in row.reason


def _with_card(class_counts):
    model = FakeModel()
    model.card = ModelCard(
        "fake", "x.onnx", tuple(model.emotions), 8, "", {"class_counts": class_counts}
    )
    return model


def test_an_unreadable_image_gets_the_most_frequent_class_of_the_training(folder):
    assert batch().run(folder)[3].emotion == "happy"  # nothing is known: the first class
    assert batch(_with_card({"happy": 1, "sad": 5})).run(folder)[3].emotion == "sad"


def test_a_row_does_not_repeat_an_image_written_as_a_text():
    for text in ("data:image/jpeg;base64,/9j/secret", "/9j/" + "secret" * 20):
        (row,) = batch().run([text])
        assert row.status == "unreadable" and row.image_path == "image in base64"
        assert "secret" not in repr(row)
        with pytest.raises(ValueError, match="b64decode") as refused:
            batch().run(text)
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_batches_and_threads_do_not_matter(folder, batch_size, workers):
    expected = list(batch(batch_size=32, workers=1).run(folder))
    model = FakeModel()
    assert list(batch(model, batch_size=batch_size, workers=workers).run(folder)) == expected
    assert max(map(len, model.calls)) <= batch_size
    assert model.seen == 10  # twelve images less two unreadable ones


def test_paths_instead_of_a_folder_keep_their_order(folder):
    paths = [folder / "10.png", folder / "2.png", folder / "nowhere.png"]
    rows = batch().run(paths)
    assert [row.image_path for row in rows] == ["10.png", "2.png", "nowhere.png"]
    assert [row.status for row in rows] == ["ok", "no_face", "unreadable"]


def test_an_empty_folder_is_an_empty_table(tmp_path):
    table = batch().run(tmp_path)
    assert len(table) == 0 and table.to_pandas().columns[0] == "image_path"


@pytest.mark.parametrize(
    ("name", "error"), [("nowhere", FileNotFoundError), ("0.png", NotADirectoryError)]
)
def test_what_is_no_folder_is_refused(folder, name, error):
    with pytest.raises(error, match="Expected a folder of images"):
        batch().run(folder / name)


def test_the_table_is_a_sequence_and_a_frame(folder):
    pytest.importorskip("pandas")
    table = batch().run(folder)
    frame = table.to_pandas()
    assert list(frame.columns) == [
        *("image_path", "status", "emotion", "probability", "num_faces", "reason"),
    ]
    assert frame.image_path.tolist() == NAMES
    assert [row.image_path for row in table.with_status("no_face")] == ["2.png"]
    assert table[-1].image_path == "11.png" and len(table[2:4]) == 2


def test_only_a_few_images_are_in_work_at_a_time(folder):
    """A folder of any size runs in constant memory: images are read as rows are taken."""
    read = []

    def paths():
        for _ in range(1000):
            read.append(1)
            yield folder / "0.png"

    rows = batch(batch_size=4, workers=2).batch_rows(paths())
    next(rows)
    assert len(read) < 50
    rows.close()
    assert len(read) < 50


@pytest.mark.parametrize("name", ["0.png", "2.png"])
def test_only_what_the_model_needs_is_kept(folder, tmp_path, name):
    """Neither faces nor images without one wait whole until their batch is classified."""
    model = _with_card({"happy": 1})
    batch(model).run([folder / name])
    assert model.calls[0][0].shape == (8, 8, 3)  # the card's input size
    unknown = FakeModel()
    batch(unknown).run([write_image(tmp_path / "large.png", np.zeros((40, 3000, 3), np.uint8))])
    assert unknown.calls[0][0].shape == (14, 1024, 3)


def test_images_that_are_decoded_share_a_budget(folder, monkeypatch):
    monkeypatch.setattr(batch_module, "open_image", _opened_with(lambda: gate()))
    running, most, two = [], [], threading.Barrier(2)

    def gate():
        running.append(1)
        most.append(len(running))
        two.wait(60)
        running.pop()

    rows = batch(workers=4)
    rows_of = rows.batch_rows([folder / "0.png"] * 24)
    assert len(list(rows_of)) == 24 and max(most) == 2


def _opened_with(before):
    def open_it(source):
        opened = open_image(source)

        def decode():
            before()
            return opened.decode()

        return replace(opened, needed_bytes=2 * BYTES_PER_WORKER, decode=decode)

    return open_it


def test_who_needs_more_than_the_budget_gets_it_alone():
    budget = Budget(10)
    with budget.lend(10**12):
        waiting = threading.Thread(target=lambda: budget.lend(1).__enter__(), daemon=True)
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
    waiting.join(60)
    assert not waiting.is_alive()


class TroubledDetector(FakeDetector):
    def detect(self, image_rgb):
        if image_rgb[0, 0, 0] == 2:
            raise RuntimeError("remap\nfailed")
        return super().detect(image_rgb)


def test_an_image_no_detector_takes_is_a_row(folder):
    inference = Inference(
        FakeModel(), TroubledDetector(), show_state_mode="none", inference_mode="img_batch"
    )
    rows = inference.run([folder / "0.png", folder / "1.png", folder / "5.png"])
    assert [row.status for row in rows] == ["ok", "unreadable", "ok"]
    assert rows[1].reason == "the detector failed: remap failed"


def test_sources_of_all_kinds_have_names(folder):
    data = (folder / "0.png").read_bytes()
    sources = [folder / "0.png", data, np.zeros((64, 96, 3), np.uint8), 3.5]
    rows = batch().run(sources)
    assert [row.image_path for row in rows] == ["0.png", "bytes 1", "array 2", "float 3"]
    assert [row.status for row in rows] == ["ok", "ok", "no_face", "unreadable"]


def test_one_image_is_a_batch_of_one(folder):
    for source in ((folder / "0.png").read_bytes(), np.zeros((64, 96, 3), np.uint8)):
        assert len(batch().run(source)) == 1


def test_a_row_says_what_was_decoded(tmp_path):
    path = save_image(tmp_path / "1.png", 1, 200)
    path.write_bytes(path.read_bytes()[:-40])
    (row,) = batch().run(tmp_path)
    assert row.status == "ok" and row.reason.startswith("it is cut short or damaged; about ")


def test_sub_folders_are_looked_into_and_the_rest_is_said(folder, tmp_path, caplog):
    save_image(tmp_path / "a" / "1.png", 1, 200)
    save_image(tmp_path / "1.png", 1, 200)
    (tmp_path / "b.txt").touch()
    assert [row.image_path for row in batch().run(tmp_path)] == ["1.png", "a/1.png"]
    assert "1 left out because it is no image" in caplog.text


def test_a_failure_of_the_model_ends_the_run(folder):
    def fail(seen):
        if seen >= 4:
            raise RuntimeError("the model broke")

    rows = batch(FakeModel(fail), batch_size=2).batch_rows([folder / name for name in NAMES])
    with pytest.raises(RuntimeError, match="the model broke"):
        list(rows)


def test_the_defaults_on_real_images(tmp_path, astronaut):
    write_image(tmp_path / "2 one face.jpg", astronaut)
    write_image(tmp_path / "10 two faces.jpg", np.concatenate([astronaut, astronaut], axis=1))
    write_image(tmp_path / "1 лицо.png", astronaut[:200, 120:330])
    write_image(tmp_path / "3 none.webp", np.full((200, 200, 3), 128, np.uint8))
    with Inference(show_state_mode="none", inference_mode="img_batch") as inference:
        table = inference.run(tmp_path)
    assert [(row.image_path, row.status) for row in table] == [
        ("1 лицо.png", "ok"),
        ("2 one face.jpg", "ok"),
        ("3 none.webp", "no_face"),
        ("10 two faces.jpg", "multi_face"),
    ]
    assert [table[index].emotion for index in (0, 1, 3)] == ["happy"] * 3
    assert BatchTable(table).with_status("multi_face")[0].num_faces == 2


@pytest.mark.parametrize("error", [FileNotFoundError("No weights"), ConnectionError("gone")])
def test_what_a_detector_lacks_for_every_image_ends_the_run(error, folder, monkeypatch):
    """Without its file, every image was "unreadable" and got the most frequent class."""

    def fail(self, image):
        raise error

    monkeypatch.setattr(FakeDetector, "detect", fail)
    with pytest.raises(type(error), match=str(error)):
        batch().run(folder)
