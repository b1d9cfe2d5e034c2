"""Batches of faces: targets stay beside their faces, the order follows from seed and epoch."""

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from builder_tools.augmentation import FaceBatches  # noqa: E402

pytestmark = pytest.mark.slow


def numbered(count=10):
    """Gives images and targets that both tell their number."""
    numbers = np.arange(count)
    images = np.broadcast_to(numbers[:, None, None], (count, 4, 4)).astype(np.uint8)
    return images, np.stack([numbers, -numbers], axis=1).astype(np.float32)


def order_of(batches: FaceBatches) -> list[int]:
    order = []
    for index in range(len(batches)):
        images, targets = batches[index]
        numbers = images[:, 0, 0, 0]
        assert (images == numbers[:, None, None, None]).all()
        np.testing.assert_array_equal(targets, np.stack([numbers, -numbers], axis=1))
        order += numbers.astype(int).tolist()
    return order


def test_batches_keep_targets_beside_their_faces():
    batches = FaceBatches(*numbered(), batch_size=4)
    assert [len(batches[i][0]) for i in range(len(batches))] == [4, 4, 2]
    assert batches[0][0].shape == (4, 4, 4, 1)
    assert batches[0][0].dtype == batches[0][1].dtype == np.float32
    assert order_of(batches) == list(range(10))
    colour = FaceBatches(np.zeros((3, 4, 4, 3), np.uint8), np.zeros((3, 2)), batch_size=2)
    assert colour[0][0].shape == (2, 4, 4, 3)


class Files:
    """Faces decoded when asked for: what `ResizedImages` of a table is."""

    def __init__(self, images):
        self.images, self.asked = np.repeat(images[..., None], 3, axis=-1), []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, rows):
        self.asked.append(np.asarray(rows).tolist())
        return self.images[rows]


def test_batches_of_what_is_decoded_when_asked_for():
    images, targets = numbered()
    files = Files(images)
    batches = FaceBatches(files, targets, batch_size=4)
    assert files.asked == [], "nothing is read ahead of its use"
    assert order_of(batches) == list(range(10))
    assert batches[2][0].shape == (2, 4, 4, 3)
    assert files.asked[:3] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_balanced_epochs_hold_every_class_equally_often():
    """Of 5, 3 and 10 faces an epoch of 18 takes six each; in time all of a class equally."""
    labels = np.repeat([0, 1, 2], [5, 3, 10])
    images, _ = numbered(18)
    batches = FaceBatches(images, np.eye(3)[labels], batch_size=18, shuffle_seed=2, balanced=True)
    uses, orders = np.zeros(18, int), []
    for epoch in range(15):
        batches.start_epoch(epoch)
        faces = batches[0][0][:, 0, 0, 0].astype(int)
        assert np.bincount(labels[faces]).tolist() == [6, 6, 6]
        uses += np.bincount(faces, minlength=18)
        orders.append(faces.tolist())
    # 15 epochs draw each class 90 times: 18, 30 and 9 times each face.
    assert uses.tolist() == [18] * 5 + [30] * 3 + [9] * 10
    assert len(set(map(tuple, orders))) == 15
    batches.start_epoch(3)
    assert batches[0][0][:, 0, 0, 0].astype(int).tolist() == orders[3]


def test_balanced_epochs_stay_as_long_as_before():
    labels = np.repeat([0, 4, 7], [1, 6, 4])
    batches = FaceBatches(
        numbered(11)[0], np.eye(9)[labels], batch_size=11, shuffle_seed=0, balanced=True
    )
    counts = []
    for epoch in range(6):
        batches.start_epoch(epoch)
        counts.append(np.bincount(labels[batches.order], minlength=9)[[0, 4, 7]])
    assert np.sum(counts, axis=1).tolist() == [11] * 6
    assert np.sum(counts, axis=0).tolist() == [22] * 3
    assert np.max(counts) <= 4 and np.min(counts) >= 3


def test_faces_without_targets_are_a_class_of_their_own():
    """Rows of zeros, which a teacher fills, are not faces of the first class."""
    labels = np.repeat([0, 1], [2, 4])
    targets = np.concatenate([0.3 * np.eye(2)[labels], np.zeros((12, 2))]).astype(np.float32)
    batches = FaceBatches(numbered(18)[0], targets, batch_size=18, shuffle_seed=0, balanced=True)
    for epoch in range(3):
        batches.start_epoch(epoch)
        drawn = batches.order
        counts = [(drawn < 2).sum(), ((drawn >= 2) & (drawn < 6)).sum(), (drawn >= 6).sum()]
        assert counts == [6, 6, 6]


def test_wrong_batches_are_refused():
    images, targets = numbered()
    with pytest.raises(ValueError, match="10 faces, 9 targets"):
        FaceBatches(images, targets[:9])
    with pytest.raises(ValueError, match="shuffle_seed"):
        FaceBatches(images, targets, balanced=True)


def test_threads_that_read_ahead_do_not_change_the_run():
    images, targets = numbered(40)

    def weights(workers, source):
        keras.utils.set_random_seed(0)
        batches = FaceBatches(source, targets, batch_size=4, shuffle_seed=3, workers=workers)
        model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
        model.add(keras.layers.Dense(2))
        model.compile(keras.optimizers.SGD(1e-6), "mse")
        begin = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, _: batches.start_epoch(epoch)
        )
        model.fit(batches, shuffle=False, epochs=4, verbose=0, callbacks=[begin])
        return model.get_weights()[0]

    one, many = weights(1, Files(images)), weights(3, Files(images))
    np.testing.assert_array_equal(one, many)


def test_the_order_follows_from_seed_and_epoch():
    def order(seed, epoch):
        batches = FaceBatches(*numbered(), batch_size=4, shuffle_seed=seed)
        batches.start_epoch(7)
        batches.start_epoch(epoch)
        return order_of(batches)

    orders = [order(seed, epoch) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert all(sorted(found) == list(range(10)) for found in orders)
    assert len(set(map(tuple, orders))) == 6
    assert order(1, 2) == orders[-1]
    assert order_of(FaceBatches(*numbered(), shuffle_seed=1)) == orders[3], "epoch 0 comes first"


def test_fit_sees_every_face_once_in_the_given_order():
    """Keras would shuffle batches and call the end of epochs more often than they end."""
    seen = []

    class Spy(FaceBatches):
        def __getitem__(self, index):
            images, targets = super().__getitem__(index)
            seen.append(images[:, 0, 0, 0].astype(int).tolist())
            return images, targets

    batches = Spy(*numbered(), batch_size=4, shuffle_seed=3)
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2))
    model.compile("sgd", "mse")
    begin = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, _: batches.start_epoch(epoch)
    )
    model.fit(batches, shuffle=False, epochs=2, verbose=0, callbacks=[begin])
    expected = []
    for epoch in range(2):
        plain = FaceBatches(*numbered(), batch_size=4, shuffle_seed=3)
        plain.start_epoch(epoch)
        expected += [plain[i][0][:, 0, 0, 0].astype(int).tolist() for i in range(3)]
    assert seen[-6:] == expected
