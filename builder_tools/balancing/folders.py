"""Balancing class folders, read class by class and written atomically."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from builder_tools.balancing.making import (
    INTERPOLATED,
    ORIGINAL,
    concatenate_parts,
    made_chunks,
    made_parts,
)
from builder_tools.balancing.neighbours import Search
from builder_tools.balancing.plan import ClassPlan, Shares, plan_classes
from builder_tools.csv_files import any_name_in_tables, write_table
from builder_tools.datasets.made_images import MANIFEST, ORIGIN_COLUMNS, origins_of
from builder_tools.detectors import face_square
from builder_tools.fields import check_whole
from builder_tools.media import read_image, resize_square, write_image
from builder_tools.results import crop

MANIFEST_COLUMNS = ("file", "split", "emotion", *ORIGIN_COLUMNS)
MOST_PX = 4096
MAX_STEM = 80
"""Longer names of parents are cut, so that the names of images made from them stay valid."""


@dataclass(frozen=True)
class FaceCutter:
    """What is done to every image before balancing; nothing by default.

    Args:
        detector: Detector used to crop the largest face, framed like the detector's own crops; an
            image in which no face is found stays whole. None leaves images whole.
        size_px: Side of the square that images are resized to; None keeps their size.

    Raises:
        ValueError: If the size is not in 1...`MOST_PX`.
    """

    detector: object | None = None
    size_px: int | None = None

    def __post_init__(self) -> None:
        if self.size_px is not None:
            check_whole(1, MOST_PX, image_size=self.size_px)

    @property
    def changes(self) -> bool:
        return self.detector is not None or self.size_px is not None

    def cut(self, image_rgb: np.ndarray) -> np.ndarray:
        """Return the image as it will be balanced and written, `(H, W, 3)` uint8 RGB."""
        image = image_rgb
        if self.detector is not None:
            from builder_tools.cleaning.looking import find_faces

            if faces := find_faces(self.detector, image):
                image = crop(image, face_square(faces[0].box, self.detector))
        return image if self.size_px is None else resize_square(image, self.size_px)


@dataclass(frozen=True)
class _Writer:
    """Where the images of one class and split go; gives each a name that is unique in any case."""

    root: Path
    taken: set[str]

    def place(self, given: str, stem: str, suffix: str) -> Path:
        """Return a new path in the folder that the image `given` has in the source."""
        folder = self.root / Path(given).parent
        place, number = folder / f"{stem}{suffix}", 1
        while place.as_posix().casefold() in self.taken:
            number += 1
            place = folder / f"{stem}_{number}{suffix}"
        self.taken.add(place.as_posix().casefold())
        return place


@any_name_in_tables()
def balance_folder(
    source: str | Path,
    out: str | Path,
    *,
    count: int | None,
    shares: Shares,
    search: Search,
    cutter: FaceCutter,
    gen_model: Callable | None,
    seed: int,
) -> pd.DataFrame:
    """Write a balanced copy of class folders.

    Originals are copied byte for byte, unless the cutter changes images; synthetic images are PNG
    files named `smote_<parent>_<neighbour>_<number>.png` and `aug_<parent>_<number>.png`. If
    `source` holds `train`, `val` or `test`, only `train` is balanced; all other images are kept.
    Images keep their folders; one that is made goes to that of its parent. `manifest.csv` records
    what every file was made of. Images of `source` that an earlier balancing
    made keep what its manifest says about them.

    Damaged images are found before anything is written. Only the parents of one class are held in
    memory at a time.

    Args:
        source: Folder of class folders, or of split folders that hold them; not changed.
        out: A new or empty folder outside `source`.
        count: Number of images per class; None for the size of the largest class.
        shares: How missing images are made.
        search: How neighbours are searched; its kind must be `regular`.
        cutter: What is done to every image first.
        gen_model: The augmentation; None for the default.
        seed: Seed of all random draws.

    Returns:
        The manifest, one row per written image: `file` (relative to `out`), `split`, `emotion`,
        `origin` (original|interpolated|augmented), `parent` and `neighbour` (relative to `source`,
        "" if none) and `weight` of the neighbour. For images of an earlier balancing, the last
        four are copied from its manifest; if they are missing there, `origin` is unknown.

    Raises:
        FileNotFoundError, NotADirectoryError: If there is no such source.
        FileExistsError: If `out` is not empty.
        ValueError: If there are no class folders, a class is empty or too small, images are
            damaged (named in the message) or differ in size within a class, or a number is out of
            range.
        OSError: If `out` cannot be written; nothing is left there then.
    """
    from tqdm import tqdm

    from builder_tools.datasets.class_folders import list_as_written
    from builder_tools.datasets.table import PROGRESS, list_of_unreadable

    source, out = Path(source), Path(out)
    listed = list_as_written(source)
    if wrong := listed.readable()[1]:
        raise ValueError(list_of_unreadable(list(wrong.values())))
    table = listed.table.assign(**origins_of(listed.table["path"]))
    train = table[table["split"].isin(("train", ""))].reset_index(drop=True)
    plans = list(plan_classes(train["emotion"].to_numpy(str), count, shares, seed))
    others = table[~table["split"].isin(("train", ""))]
    total = len(others) + sum(len(p.kept) + p.num_interpolated + p.num_augmented for p in plans)
    with _output(source, out) as folder, tqdm(total=total, unit=" images", **PROGRESS) as bar:
        job = _Job(source, folder, cutter, search, gen_model, seed, bar)
        rows = [row for plan in plans for row in job.balance(train, plan)]
        rows += [
            row
            for _, group in others.groupby(["split", "emotion"], sort=False)
            for row in job.copy(group)
        ]
        manifest = pd.DataFrame(rows, columns=MANIFEST_COLUMNS)
        write_table(folder / MANIFEST, manifest)
    return manifest


@contextmanager
def _output(source: Path, out: Path) -> Iterator[Path]:
    """Provide the folder to write to; explain the error if it cannot be written."""
    from builder_tools.datasets.new_folder import check_folder_outside, new_folder

    check_folder_outside(out, source)
    try:
        with new_folder(out) as folder:
            yield folder
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError as error:
        raise OSError(
            f"Cannot write the balanced images to {out}: {error}. Nothing was left there."
        ) from error


@dataclass(frozen=True)
class _Job:
    """What all classes share when a folder is balanced."""

    source: Path
    out: Path
    cutter: FaceCutter
    search: Search
    gen_model: Callable | None
    seed: int
    bar: object

    def balance(self, train: pd.DataFrame, plan: ClassPlan) -> list[tuple]:
        """Write a training class: kept images, then the images made from the parents."""
        kept = train.loc[plan.kept]
        writer = _Writer(self.out, set())
        parents = set(plan.parents.tolist())
        rows, images = [], []
        for given in kept[["name", "path", *ORIGIN_COLUMNS]].itertuples():
            image = self.cutter.cut(read_image(given.path))
            rows.append(self._write_given(writer, given, image, kept))
            if given.Index in parents:
                images.append(image)
        if plan.num_interpolated + plan.num_augmented:
            names = train.loc[plan.parents, "name"].to_numpy(str)
            faces = _stacked(images, names)
            del images
            rows += self._make(writer, kept, plan, faces, names)
        return rows

    def copy(self, part: pd.DataFrame) -> list[tuple]:
        """Write a class of another split."""
        writer, rows = _Writer(self.out, set()), []
        for given in part[["name", "path", *ORIGIN_COLUMNS]].itertuples():
            image = self.cutter.cut(read_image(given.path)) if self.cutter.changes else None
            rows.append(self._write_given(writer, given, image, part))
        return rows

    def _make(self, writer, kept, plan: ClassPlan, faces, names) -> list[tuple]:
        own = replace(plan, parents=np.arange(len(faces)))
        labels = np.full(len(faces), plan.label)
        table = concatenate_parts(made_parts(faces, labels, own, self.search, self.seed))
        made_of, rows = list(table.itertuples(index=False)), []
        for numbers, images in made_chunks(faces, table, gen_model=self.gen_model, seed=self.seed):
            for number, image in zip(numbers, images, strict=True):
                made = made_of[number]
                parent, neighbour = names[made.parent], ""
                stem = f"aug_{Path(parent).stem[:MAX_STEM]}"
                if made.origin == INTERPOLATED:
                    neighbour = names[made.neighbour]
                    parents = (Path(name).stem[:MAX_STEM] for name in (parent, neighbour))
                    stem = f"smote_{'_'.join(parents)}"
                place = writer.place(parent, f"{stem}_{number}", ".png")
                write_image(place, image)
                facts = made.origin, parent, neighbour, round(float(made.weight), 6)
                rows.append(self._row(place, kept, *facts))
        return rows

    def _write_given(self, writer, given, image, part) -> tuple:
        path = Path(given.path)
        if self.cutter.changes:
            place = writer.place(given.name, path.stem, ".png")
            write_image(place, image)
        else:
            place = writer.place(given.name, path.stem, path.suffix)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        if given.origin in ("", ORIGINAL):
            return self._row(place, part, ORIGINAL, given.parent or given.name, "", 0.0)
        weight = float(given.weight or 0)
        return self._row(place, part, given.origin, given.parent, given.neighbour, weight)

    def _row(self, place: Path, part, origin: str, parent: str, neighbour: str, weight) -> tuple:
        self.bar.update()
        split, emotion = part["split"].iloc[0], part["emotion"].iloc[0]
        file = place.relative_to(self.out).as_posix()
        return file, split, emotion, origin, parent, neighbour, weight


def _stacked(images: list[np.ndarray], names: np.ndarray) -> np.ndarray:
    """Return the images as one array, `(n, H, W)` if all are grey, so that grey stays grey.

    Raises:
        ValueError: If their sizes differ; names two that do.
    """
    for image, name in zip(images, names, strict=True):
        if image.shape != images[0].shape:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (images[0].shape, image.shape)]
            raise ValueError(
                f"Expected images of one size in a class. Received: {names[0]} with {sizes[0]} "
                f"and {name} with {sizes[1]} px. Try image_size (--size)."
            )
    faces = np.stack(images)
    first = faces[..., :1]
    return faces[..., 0].copy() if (faces == first).all() else faces
