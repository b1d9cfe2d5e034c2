"""`img_batch` of images from a generator: each as it was when it was given, few held at once."""

import numpy as np
import pytest
from fakes import FakeDetector, FakeModel, made_image
from PIL import Image, ImageSequence

from builder_tools import inference as inference_module
from builder_tools.inference import Inference
from builder_tools.inference.batch import named_images
from builder_tools.media import write_image


def batch(**options):
    kind = {"show_state_mode": "none", "inference_mode": "img_batch"}
    return Inference(FakeModel(), FakeDetector(), **kind, **options)


def filled_again(images):
    """Yields one array, filled with each image in turn, as a camera's reader may."""
    kept = np.empty_like(images[0])
    for image in images:
        kept[:] = image
        yield kept


def stacked_file(images, path):
    """A file that holds several images, opened by Pillow, which shows them one after another."""
    first, *others = map(Image.fromarray, images)
    first.save(path, save_all=True, append_images=others)
    return ImageSequence.Iterator(Image.open(path))


@pytest.mark.parametrize("kind", ["array", "many.tiff", "many.gif"])
def test_an_image_that_becomes_the_next_one_is_read_before(tmp_path, kind):
    images = [made_image(1, value) for value in (20, 200, 20, 200, 120, 20, 200, 20)]
    expected = [row.emotion for row in batch().run(images)]
    assert len(set(expected)) > 1
    for names in (None, [str(number) for number in range(8)]):
        given = filled_again(images) if kind == "array" else stacked_file(images, tmp_path / kind)
        rows = list(batch(workers=2).batch_rows(given, names))
        assert [row.emotion for row in rows] == expected
        name = "array 0" if kind == "array" else kind
        assert rows[0].image_path == (name if names is None else "0")


class Film:
    """Gives one array, filled with each image in turn, without being an iterator."""

    def __init__(self, images):
        self.images = images

    def __iter__(self):
        return filled_again(self.images)


def closed_after_each(paths, how):
    for path in paths:
        with how(path) as image:
            yield image


def one_buffer(paths, how):
    kept = bytearray(max(path.stat().st_size for path in paths))
    for path in paths:
        kept[:] = path.read_bytes().ljust(len(kept), b"\0")
        yield how(kept)


def painted_over(images):
    kept = Image.fromarray(images[0])
    for image in images:
        kept.paste(Image.fromarray(image))
        yield kept


@pytest.mark.parametrize(
    "given",
    [
        lambda images, paths: Film(images),
        lambda images, paths: map(memoryview, filled_again(images)),
        lambda images, paths: painted_over(images),
        lambda images, paths: closed_after_each(paths, Image.open),
        lambda images, paths: closed_after_each(paths, lambda path: path.open("rb")),
        lambda images, paths: one_buffer(paths, lambda kept: kept),
        lambda images, paths: one_buffer(paths, memoryview),
    ],
    ids=["film", "view", "painted", "closed image", "closed file", "bytearray", "memoryview"],
)
def test_what_an_iterator_gives_may_be_changed_or_closed_afterwards(tmp_path, given):
    images = [made_image(1, value) for value in (20, 200, 20, 200, 120, 20, 200, 20)]
    paths = [write_image(tmp_path / f"{number}.bmp", one) for number, one in enumerate(images)]
    expected = [(row.status, row.emotion) for row in batch().run(images)]
    rows = batch(workers=2).run(given(images, paths))
    assert [(row.status, row.emotion) for row in rows] == expected


def test_how_an_image_of_a_generator_was_read_is_told_in_its_row():
    deep = made_image(1, 200)[..., 0].astype(np.uint16) << 4
    for image in (deep, Image.fromarray(deep)):
        expected, found = (batch().run(given) for given in ([image], iter([image])))
        assert "12 bits" in found[0].reason and list(found) == list(expected)


def test_few_large_images_of_a_generator_are_held_at_once(monkeypatch):
    monkeypatch.setattr(inference_module, "BYTES_PER_WORKER", 2 * made_image(1, 20).nbytes)
    ahead = []

    def images():
        for number in range(30):
            ahead.append(number - len(rows))
            yield made_image(1, 20)

    rows = []
    for row in batch(workers=2, batch_size=1).batch_rows(images()):
        rows.append(row)
    assert len(rows) == 30 and max(ahead) <= 6


def test_an_array_of_a_list_is_not_copied_and_what_cannot_be_read_is_told():
    class Unreadable:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("on another device")

    (row,) = batch().batch_rows(iter([Unreadable()]))
    assert row.status == "unreadable" and "on another device" in row.reason
    image = made_image(1, 20)
    assert next(named_images([image]))[1] is image
