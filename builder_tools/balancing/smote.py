"""`FaceSMOTE`: brings every class in a set of faces to the same number of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from builder_tools.balancing.making import carry_targets, make_images, provenance_of
from builder_tools.balancing.neighbours import Search
from builder_tools.balancing.plan import Shares, plan_classes


class FaceSMOTE(BaseEstimator):
    """Balances faces by interpolation between neighbours and by augmentation.

    Classes below `smote_value` get synthetic images: a share `modify_coef` of the missing ones are
    mixes of a face and one of its nearest faces of the same class (SMOTE: Chawla et al., 2002,
    arXiv:1106.1813), and the rest come from `gen_model`. Classes above it are undersampled with a
    seed. Originals that stay are never changed.

    A mix is always made from the pixels of the two faces, whatever space the neighbour was found
    in: only a mix of pixels is an image in every space, and going back from mixed principal
    components would give the same image without what the components leave out (PCA is linear),
    i.e. a blurred one.

    What is made from what (`provenance_`) and every interpolated image are determined by the
    arguments alone. The pixels of augmented images also depend on the Keras backend, as random
    generators differ, and on the state of a given `gen_model`.

    Args:
        path_folder_train_data: For folders (`run`): class folders, optionally under `train/`.
        path_save_imgs: For folders: output folder; must not exist yet, or be empty.
        smote_value: Final number of images per class; None for the size of the largest class.
        gen_model: Function from `(n, H, W, C)` float32 0...255 to the same, called with
            `training=True`; None for `augmentation_model(seed=random_state)`.
        face_detector: For folders: detector used to crop the largest face of each image first.
        image_size: For folders: side that images are resized to, px; needed if sizes differ.
        train_part: Share of each class's originals, in [0, 1], that is kept out of augmentation
            and interpolation: copied unchanged, and never a parent of a synthetic image.
        modify_coef: Share of the missing images, in [0, 1], made by interpolation.
        k_neighbors: Number of neighbours to choose from; reduced, with a warning, in small
            classes.
        space: Where neighbours are searched: `pixel`, `pca` (64 components) or `embedding`.
        embed: Function from faces, as given, to features `(n, d)`; for `embedding`.
        kind: `regular`, `borderline` or `adasyn`: which parents are likely (see
            `neighbours.Search`). The last two look at all classes at once and need arrays.
        random_state: A whole number >= 0.

    Attributes:
        provenance_: DataFrame, one row per image of the result: `row`, `label`, `origin`
            (original|interpolated|augmented), `parent` and `neighbour` (rows of the input; -1 for
            no neighbour), `weight` of the neighbour.
        manifest_: After `run`: DataFrame, one row per written image.
    """

    def __init__(
        self,
        path_folder_train_data: str | Path | None = None,
        path_save_imgs: str | Path | None = None,
        smote_value: int | None = None,
        gen_model: Callable | None = None,
        face_detector: object | None = None,
        image_size: int | None = None,
        train_part: float = 0.3,
        modify_coef: float = 0.5,
        *,
        k_neighbors: int = 5,
        space: str = "pixel",
        embed: Callable[[np.ndarray], np.ndarray] | None = None,
        kind: str = "regular",
        random_state: int = 0,
    ) -> None:
        self.path_folder_train_data = path_folder_train_data
        self.path_save_imgs = path_save_imgs
        self.smote_value = smote_value
        self.gen_model = gen_model
        self.face_detector = face_detector
        self.image_size = image_size
        self.train_part = train_part
        self.modify_coef = modify_coef
        self.k_neighbors = k_neighbors
        self.space = space
        self.embed = embed
        self.kind = kind
        self.random_state = random_state

    def fit_resample(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return balanced images and their labels.

        Args:
            images: `(n, H, W)` grey or `(n, H, W, 3)` RGB, uint8.
            labels: `(n,)` numbers or names.

        Returns:
            Images, uint8, and labels: first the kept originals in the given order, then the
            synthetic images, class by class.

        Raises:
            ValueError: If the images are not uint8, a number is out of range, or a class is too
                small to make images from it.
        """
        images, labels = expect_faces(images, labels)
        shares, search = Shares(self.train_part, self.modify_coef), self._search()
        plans = list(plan_classes(labels, self.smote_value, shares, self.random_state))
        self.provenance_ = provenance_of(images, labels, plans, search, self.random_state)
        made = make_images(
            images, self.provenance_, gen_model=self.gen_model, seed=self.random_state
        )
        return made, labels[self.provenance_["parent"].to_numpy()]

    def run(self) -> pd.DataFrame:
        """Balance `path_folder_train_data` into `path_save_imgs`; see `balance_folder`.

        Returns:
            The manifest, with one row per written image (also in `manifest_` and `manifest.csv`).
        """
        from builder_tools.balancing.folders import FaceCutter, balance_folder

        source, out = self.path_folder_train_data, self.path_save_imgs
        if source is None or out is None:
            name = "path_folder_train_data" if source is None else "path_save_imgs"
            raise ValueError(f"Expected {name}, a folder. Received: {name}=None.")
        if self.kind != "regular":
            raise ValueError(
                "Expected kind='regular' for folders, which are balanced class by class. "
                f"Received: kind={self.kind!r}. Try fit_resample on arrays."
            )
        self.manifest_ = balance_folder(
            source,
            out,
            count=self.smote_value,
            shares=Shares(self.train_part, self.modify_coef),
            search=self._search(),
            cutter=FaceCutter(self.face_detector, self.image_size),
            gen_model=self.gen_model,
            seed=self.random_state,
        )
        return self.manifest_

    def carry_targets(self, targets: np.ndarray) -> np.ndarray:
        """Return the targets of the last result from those of the originals; see `carry_targets`.

        Args:
            targets: `(n, k)`, one row per original, e.g. soft labels.
        """
        return carry_targets(self.provenance_, targets)

    def _search(self) -> Search:
        return Search(self.space, self.kind, self.k_neighbors, self.embed)


def expect_faces(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels as arrays.

    Raises:
        ValueError: If they are not uint8 images of one size, or their number differs from that of
            the labels, or labels are missing or of several types.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    colour = images.ndim == 4 and images.shape[3] == 3
    if images.dtype != np.uint8 or not (images.ndim == 3 or colour):
        raise ValueError(
            "Expected images (n, H, W) or (n, H, W, 3) uint8. Received: "
            f"shape={images.shape}, dtype={images.dtype}. Try "
            "(images * 255).round().astype('uint8') if they run 0...1."
        )
    if labels.shape != (len(images),) or not len(images):
        raise ValueError(
            f"Expected one label an image and at least one image. Received: {len(images)} "
            f"images, labels of shape {labels.shape}."
        )
    try:
        known = bool((labels == labels).all()) and len(np.unique(labels)) > 0
    except TypeError:  # strings and numbers together cannot be sorted
        known = False
    if not known:
        raise ValueError("Expected labels of one type, none of them missing. Received: others.")
    return images, labels
