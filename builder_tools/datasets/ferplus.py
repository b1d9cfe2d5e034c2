"""FER+: the images of FER2013 with ten crowd votes each (Barsoum et al., 2016, arXiv:1608.01041).

Two layouts are read: the official one (folders `FER2013Train`, `FER2013Valid`, `FER2013Test`
with `ferNNNNNNN.png` and `label.csv`, in a folder or one zip) and the Kaggle one (`fer2013.csv`
or `icml_face_data.csv` with columns `emotion,pixels,Usage`, joined by row with
`fer2013new.csv`). The labels are MIT-licensed (Microsoft); the images are FER2013's, for
research use.
"""

from __future__ import annotations

import csv
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from builder_tools.datasets.labels import LEFT_OUT, nine_class_labels, vote_counts
from builder_tools.datasets.table import IMAGE_COLUMNS, ImageTable
from builder_tools.emotions import FERPLUS_TO_EMOTION, FERPLUS_VOTE_COLUMNS, NINE_EMOTIONS
from builder_tools.machine import clone
from builder_tools.media.zips import DAMAGED_ZIP

SPLIT_FOLDERS = {"train": "FER2013Train", "valid": "FER2013Valid", "test": "FER2013Test"}
SPLIT_OF_USAGE = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
FACE_SIZE_PX = 48
ORIGINAL_LABELS_FILE = "fer2013_labels.csv"


def data_folder() -> Path:
    """Return the folder in which data sets are looked for.

    This is `BUILDER_TOOLS_DATA` if set, else `../shared/data` next to the repository if it exists,
    else the repository's `data/`; for an installed package, `data/` in the current folder.
    """
    named = os.environ.get("BUILDER_TOOLS_DATA")
    if named:
        return Path(named)
    repository = clone()
    if repository is None:
        return Path("data")
    beside = repository.parent / "shared" / "data"
    return beside if beside.is_dir() else repository / "data"


def load_ferplus(source: str | Path | None = None) -> ImageTable:
    """Read FER+ from a zip, a folder in the official layout, or a folder in the Kaggle layout.

    Args:
        source: The zip or folder; by default `ferplus.zip`, then `ferplus/`, in `data_folder()`.

    Returns:
        Faces in memory, `(n, 48, 48)` uint8 grey, in the data set's own splits, with their votes
        and labels from `nine_class_labels` (-1, and no emotion, for non-faces).

    Raises:
        FileNotFoundError: If nothing is found; says what was looked for.
        ValueError: If a file is malformed; names the file and the row.
    """
    if source is None:
        packed = data_folder() / "ferplus.zip"
        source = packed if packed.is_file() else data_folder() / "ferplus"
    path = Path(source)
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return _read_official(_ZipFiles(archive))
    if (path / "fer2013new.csv").is_file() and not (path / "FER2013Train").is_dir():
        return _read_kaggle(path)
    if path.is_dir():
        return _read_official(_FolderFiles(path))
    raise FileNotFoundError(
        f"Expected FER+ as a zip or a folder. Received: {str(path)!r}, which is neither. "
        "See data/README.md for where to get it; name its place with --source or "
        "BUILDER_TOOLS_DATA."
    )


def ferplus_table(source: str | Path | None = None) -> ImageTable:
    """Read FER+ for the nine-class task: `nine_class_table(load_ferplus(source))`."""
    return nine_class_table(load_ferplus(source))


def nine_class_table(faces: ImageTable) -> ImageTable:
    """Return FER+'s faces for the nine-class task, without those judged not to be faces (NF)."""
    return faces.rows(faces.labels != LEFT_OUT)


def with_original_labels(part: ImageTable) -> pd.DataFrame | None:
    """Return the table with FER2013's own labels (`emotion`, `ambiguous_labels`).

    Returns None if their file is absent or does not cover all of the images.
    """
    path = data_folder() / ORIGINAL_LABELS_FILE
    if not path.is_file():
        return None
    labels = pd.read_csv(path).rename(columns={"image": "name"})
    columns = ["name", "emotion", "ambiguous_labels"]
    ours = part.table.drop(columns="emotion")
    table = ours.merge(labels[columns], on="name", how="left", validate="one_to_one")
    return table if table["emotion"].notna().all() else None


def vote_distribution(
    votes: np.ndarray | pd.DataFrame, *, no_majority_uncertain: float = 0.5
) -> np.ndarray:
    """Return the soft label of each face: the shares of its votes by emotion.

    Single votes are dropped as in the FER+ paper. Votes for "not a face" are left out. If no class
    has more than half of the votes, people disagree, and `no_majority_uncertain` of the mass moves
    to `uncertain`, the nine-class protocol's label for such faces.

    Args:
        votes: `(n, 10)` counts in the order of `FERPLUS_VOTE_COLUMNS`, or a table that has those
            columns.
        no_majority_uncertain: Share in [0, 1].

    Returns:
        `(n, 9)` float32 in `NINE_EMOTIONS` order; rows sum to 1. A face without any remaining
        votes is entirely `uncertain`.

    Raises:
        ValueError: As `vote_counts`.
    """
    found = vote_counts(votes)
    kept = np.where(found > 1, found, 0).astype(np.float64)
    counts = np.zeros((len(kept), len(NINE_EMOTIONS)))
    for column, name in enumerate(FERPLUS_VOTE_COLUMNS[:-1]):
        counts[:, NINE_EMOTIONS.label(FERPLUS_TO_EMOTION[name])] = kept[:, column]
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    divided = shares.max(axis=1, keepdims=True) <= 0.5
    uncertain = np.eye(len(NINE_EMOTIONS))[NINE_EMOTIONS.label("uncertain")]
    weight = np.where(total == 0, 1.0, np.where(divided, no_majority_uncertain, 0.0))
    return ((1 - weight) * shares + weight * uncertain).astype(np.float32)


def is_face(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Return which images people judged to be faces: `(n,)` bool, False if NF has the majority.

    Arguments and errors are those of `vote_distribution`.
    """
    found = vote_counts(votes)
    kept = np.where(found > 1, found, 0)
    return kept[:, -1] * 2 <= kept.sum(axis=1)


class _ZipFiles:
    """The official layout inside a zip, at its top or one folder down."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.name = archive.filename or "zip"
        self._archive = archive
        labels = [n for n in archive.namelist() if n.endswith("FER2013Train/label.csv")]
        self._root = labels[0].removesuffix("FER2013Train/label.csv") if labels else ""

    def read(self, name: str, place: str = "") -> bytes:
        try:
            return self._archive.read(self._root + name)
        except KeyError:
            missing = f"Expected {name} in {self.name}{place}. It is not there."
            raise FileNotFoundError(missing) from None
        except DAMAGED_ZIP as error:
            raise ValueError(
                f"Expected {name} in {self.name}{place}. It is damaged there ({error})."
            ) from None


class _FolderFiles:
    """The official layout as a folder."""

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        self._root = root

    def read(self, name: str, place: str = "") -> bytes:
        path = self._root / name
        if not path.is_file():
            raise FileNotFoundError(f"Expected {name} in {self.name}{place}. It is not there.")
        return path.read_bytes()


def _read_official(files: _ZipFiles | _FolderFiles) -> ImageTable:
    images, rows = [], []
    for split, folder in SPLIT_FOLDERS.items():
        for number, name, votes in _label_rows(files, folder):
            place = f" (row {number} of {folder}/label.csv)"
            data = np.frombuffer(files.read(f"{folder}/{name}", place), np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
            if image is None or image.shape != (FACE_SIZE_PX, FACE_SIZE_PX):
                found = (
                    "an unreadable file" if image is None else f"{image.shape[1]}x{image.shape[0]}"
                )
                raise ValueError(
                    f"Expected {folder}/{name} in {files.name}{place} to be a 48x48 image. "
                    f"Received: {found}."
                )
            images.append(image)
            rows.append((name, split, *votes))
    if not rows:
        raise ValueError(f"Expected at least one face in {files.name}. Every label.csv is empty.")
    return _image_table(images, rows)


def _label_rows(
    files: _ZipFiles | _FolderFiles, folder: str
) -> Iterator[tuple[int, str, list[int]]]:
    """Yield row number (from 1), file name and votes."""
    text = files.read(f"{folder}/label.csv").decode("utf-8-sig")
    for number, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        if not row:
            continue
        try:
            votes = [int(cell) for cell in row[2:]]
        except ValueError:
            votes = []
        if len(votes) != len(FERPLUS_VOTE_COLUMNS) or min(votes) < 0:
            raise ValueError(
                f"Expected ten vote counts ({files.name}: {folder}/label.csv, row {number}). "
                f"Received: {row[2:]}."
            )
        yield number, row[0], votes


def _read_kaggle(folder: Path) -> ImageTable:
    pixels_file = next(
        (folder / n for n in ("fer2013.csv", "icml_face_data.csv") if (folder / n).is_file()), None
    )
    if pixels_file is None:
        raise FileNotFoundError(
            f"Expected fer2013.csv or icml_face_data.csv beside {folder / 'fer2013new.csv'}. "
            "Neither is there."
        )
    labels_file = folder / "fer2013new.csv"
    pixels = _read_columns(pixels_file, ("pixels", "Usage"))
    labels = _read_columns(labels_file, ("Image name", *FERPLUS_VOTE_COLUMNS))
    if len(pixels) != len(labels):
        raise ValueError(
            f"Expected as many rows in {pixels_file} as in fer2013new.csv (they are joined by "
            f"row). Received: {len(pixels)} and {len(labels)}."
        )
    images = [parse_pixels(text, pixels_file, row) for row, text in enumerate(pixels["pixels"])]
    names = labels["Image name"].fillna("")
    for row, usage in enumerate(pixels["Usage"]):
        if usage not in SPLIT_OF_USAGE:
            raise ValueError(
                f"Expected Usage to be one of {list(SPLIT_OF_USAGE)} ({pixels_file}, row "
                f"{row + 2}). Received: {usage!r}."
            )
    splits = pixels["Usage"].map(SPLIT_OF_USAGE)
    votes = _whole_votes(labels[list(FERPLUS_VOTE_COLUMNS)], labels_file)
    rows = [(n, s, *v) for n, s, v in zip(names, splits, votes, strict=True)]
    # Names number the rows, minus those without a name. Four rows of fer2013new.csv have another's
    # name: of each pair, the row nearest to the number is right, as in the official layout.
    numbers = pd.to_numeric(names.str.extract(r"(\d+)")[0], errors="coerce")
    distance = (numbers - np.arange(len(names))).abs()
    misnamed = distance > distance.groupby(names).transform("min")
    return _image_table(images, rows).rows(((names != "") & ~misnamed).to_numpy())


def _read_columns(file: Path, wanted: tuple[str, ...]) -> pd.DataFrame:
    table = pd.read_csv(file).rename(columns=str.strip)
    missing = [column for column in wanted if column not in table]
    if missing or table.empty:
        raise ValueError(
            f"Expected rows with the columns {list(wanted)} in {file}. Received: {len(table)} "
            f"rows, without {missing}."
        )
    return table


def _whole_votes(cells: pd.DataFrame, file: Path) -> np.ndarray:
    votes = cells.apply(pd.to_numeric, errors="coerce")
    good = ((votes >= 0) & (votes % 1 == 0)).all(axis=1).to_numpy()
    if not good.all():
        row = int(good.argmin())
        raise ValueError(
            f"Expected ten vote counts ({file}, row {row + 2}). Received: "
            f"{cells.iloc[row].tolist()}."
        )
    return votes.to_numpy(np.int64)


def parse_pixels(text: str, file: Path, row: int) -> np.ndarray:
    """Read one cell of FER2013's `pixels`, `(48, 48)` uint8 grey; errors name file and row."""
    try:
        values = np.fromstring(str(text), np.int64, sep=" ")
    except ValueError:
        values = np.empty(0, np.int64)
    if values.size != FACE_SIZE_PX**2 or values.min() < 0 or values.max() > 255:
        raise ValueError(
            f"Expected 2304 grey values 0...255 ({file}, row {row + 2}). "
            f"Received: {len(str(text).split())} items."
        )
    return values.astype(np.uint8).reshape(FACE_SIZE_PX, FACE_SIZE_PX)


def _image_table(images: list[np.ndarray], rows: list[tuple]) -> ImageTable:
    """Return the table of faces with the given `(name, split, *votes)` rows."""
    known = pd.DataFrame(rows, columns=["name", "split", *FERPLUS_VOTE_COLUMNS])
    labels = nine_class_labels(known)
    emotions = np.array([*NINE_EMOTIONS, ""], object)[labels]  # LEFT_OUT is the last
    facts = {"path": "", "index": np.arange(len(known)), "label": labels, "emotion": emotions}
    table = known.assign(**facts)[[*IMAGE_COLUMNS, *FERPLUS_VOTE_COLUMNS]]
    return ImageTable(table, NINE_EMOTIONS, np.stack(images))
