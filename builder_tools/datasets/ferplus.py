"""FER+: the pictures of FER2013 with ten crowd votes each (Barsoum et al., 2016, arXiv:1608.01041).

Two layouts are read: the official one (folders `FER2013Train`, `FER2013Valid`, `FER2013Test`
with `ferNNNNNNN.png` and `label.csv`, in a folder or one zip) and the Kaggle one (`fer2013.csv`
or `icml_face_data.csv` with columns `emotion,pixels,Usage`, joined by row with
`fer2013new.csv`). The labels are MIT licensed (Microsoft); the pictures are FER2013's, for
research use.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from builder_tools.emotions import FERPLUS_TO_EMOTION, FERPLUS_VOTE_COLUMNS, NINE_EMOTIONS

SPLIT_FOLDERS = {"train": "FER2013Train", "valid": "FER2013Valid", "test": "FER2013Test"}
SPLIT_OF_USAGE = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
FACE_SIZE_PX = 48


@dataclass(frozen=True)
class FaceTable:
    """Faces and what is known of them, row by row.

    Args:
        images: `(n, 48, 48)` uint8 grey.
        table: One row a face: `name`, `split` (train|valid|test) and the ten vote columns of
            `FERPLUS_VOTE_COLUMNS` (int).
    """

    images: np.ndarray
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    @property
    def votes(self) -> np.ndarray:
        """The vote counts, `(n, 10)` int64 in the order of `FERPLUS_VOTE_COLUMNS`."""
        return self.table[list(FERPLUS_VOTE_COLUMNS)].to_numpy(np.int64)

    def rows(self, mask: np.ndarray) -> FaceTable:
        """Gives the faces where the boolean mask `(n,)` holds."""
        return FaceTable(self.images[mask], self.table[mask].reset_index(drop=True))

    def split(self, name: str) -> FaceTable:
        """Gives the faces of one split: train, valid or test."""
        if name not in SPLIT_FOLDERS:
            raise ValueError(f"Expected one of {list(SPLIT_FOLDERS)}. Received: split={name!r}.")
        return self.rows((self.table["split"] == name).to_numpy())

    @property
    def sha256(self) -> str:
        """A hash of the pictures, splits and votes: names the data a model was trained on."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).tobytes())
        digest.update(self.votes.tobytes())
        digest.update("\n".join(self.table["split"]).encode())
        return digest.hexdigest()


def data_folder() -> Path:
    """Gives the folder data sets are looked for in.

    `BUILDER_TOOLS_DATA` where set, else `../shared/data` beside the repository where it exists,
    else the repository's `data/`.
    """
    named = os.environ.get("BUILDER_TOOLS_DATA")
    if named:
        return Path(named)
    repository = Path(__file__).resolve().parents[2]
    beside = repository.parent / "shared" / "data"
    return beside if beside.is_dir() else repository / "data"


def load_ferplus(source: str | Path | None = None) -> FaceTable:
    """Reads FER+ from a zip, a folder of the official layout, or a folder of the Kaggle form.

    Args:
        source: The zip or folder; by default `ferplus.zip`, then `ferplus/`, in `data_folder()`.

    Raises:
        FileNotFoundError: If nothing is there; says what was looked for.
        ValueError: If a file is malformed; names the file and the row.
    """
    path = Path(source) if source is not None else _default_source()
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


def vote_distribution(votes: np.ndarray, *, no_majority_uncertain: float = 0.5) -> np.ndarray:
    """Gives the soft label of each face: the share of its votes by emotion.

    Single votes are dropped as in the FER+ paper. Votes for "not a face" are left out. Where no
    class holds more than half of the votes, people disagree, and `no_majority_uncertain` of the
    mass moves to `uncertain`: the nine-class protocol's label for such faces.

    Args:
        votes: `(n, 10)` counts in the order of `FERPLUS_VOTE_COLUMNS`.
        no_majority_uncertain: Share in [0, 1].

    Returns:
        `(n, 9)` float32 in `NINE_EMOTIONS` order; rows sum to 1. A face without any remaining
        vote is wholly `uncertain`.
    """
    kept = np.where(votes > 1, votes, 0).astype(np.float64)
    counts = np.zeros((len(kept), len(NINE_EMOTIONS)))
    for column, name in enumerate(FERPLUS_VOTE_COLUMNS[:-1]):
        counts[:, NINE_EMOTIONS.label(FERPLUS_TO_EMOTION[name])] = kept[:, column]
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    divided = shares.max(axis=1, keepdims=True) <= 0.5
    uncertain = np.eye(len(NINE_EMOTIONS))[NINE_EMOTIONS.label("uncertain")]
    weight = np.where(total == 0, 1.0, np.where(divided, no_majority_uncertain, 0.0))
    return ((1 - weight) * shares + weight * uncertain).astype(np.float32)


def is_face(votes: np.ndarray) -> np.ndarray:
    """Tells which pictures people took for faces: `(n,)` bool, False where NF has the majority."""
    kept = np.where(votes > 1, votes, 0)
    return kept[:, -1] * 2 <= kept.sum(axis=1)


class _ZipFiles:
    """The official layout inside a zip, at its top or one folder down."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.name = archive.filename or "zip"
        self._archive = archive
        labels = [n for n in archive.namelist() if n.endswith("FER2013Train/label.csv")]
        self._root = labels[0].removesuffix("FER2013Train/label.csv") if labels else ""

    def read(self, name: str) -> bytes:
        try:
            return self._archive.read(self._root + name)
        except KeyError:
            raise FileNotFoundError(f"Expected {name} in {self.name}. It is not there.") from None


class _FolderFiles:
    """The official layout as a folder."""

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        self._root = root

    def read(self, name: str) -> bytes:
        path = self._root / name
        if not path.is_file():
            raise FileNotFoundError(f"Expected {name} in {self.name}. It is not there.")
        return path.read_bytes()


def _default_source() -> Path:
    folder = data_folder()
    packed = folder / "ferplus.zip"
    return packed if packed.is_file() else folder / "ferplus"


def _read_official(files: _ZipFiles | _FolderFiles) -> FaceTable:
    images, rows = [], []
    for split, folder in SPLIT_FOLDERS.items():
        for number, (name, votes) in enumerate(_label_rows(files, folder), start=1):
            images.append(_decode(files, f"{folder}/{name}", number))
            rows.append((name, split, *votes))
    return FaceTable(np.stack(images), _table(rows))


def _label_rows(files: _ZipFiles | _FolderFiles, folder: str) -> Iterator[tuple[str, list[int]]]:
    text = files.read(f"{folder}/label.csv").decode("utf-8-sig")
    for number, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        if row:
            yield row[0], _votes(row[2:], f"{files.name}: {folder}/label.csv, row {number}")


def _votes(cells: list[str], place: str) -> list[int]:
    try:
        votes = [int(cell) for cell in cells]
    except ValueError:
        votes = []
    if len(votes) != len(FERPLUS_VOTE_COLUMNS) or min(votes) < 0:
        raise ValueError(f"Expected ten vote counts ({place}). Received: {cells}.")
    return votes


def _decode(files: _ZipFiles | _FolderFiles, name: str, number: int) -> np.ndarray:
    data = np.frombuffer(files.read(name), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
    if image is None or image.shape != (FACE_SIZE_PX, FACE_SIZE_PX):
        found = "an unreadable file" if image is None else f"{image.shape[1]}x{image.shape[0]}"
        raise ValueError(
            f"Expected a 48x48 picture ({files.name}: {name}, row {number} of label.csv). "
            f"Received: {found}."
        )
    return image


def _read_kaggle(folder: Path) -> FaceTable:
    pixels_file = next(
        (folder / n for n in ("fer2013.csv", "icml_face_data.csv") if (folder / n).is_file()), None
    )
    if pixels_file is None:
        raise FileNotFoundError(
            f"Expected fer2013.csv or icml_face_data.csv beside {folder / 'fer2013new.csv'}. "
            "Neither is there."
        )
    pixels = pd.read_csv(pixels_file).rename(columns=str.strip)
    labels = pd.read_csv(folder / "fer2013new.csv").rename(columns=str.strip)
    _check_kaggle(pixels, labels, pixels_file)
    images = [_parse_pixels(text, pixels_file, row) for row, text in enumerate(pixels["pixels"])]
    names = labels["Image name"].fillna("")
    votes = labels[list(FERPLUS_VOTE_COLUMNS)].to_numpy(np.int64)
    rows = [
        (name, SPLIT_OF_USAGE[usage], *vote)
        for name, usage, vote in zip(names, pixels["Usage"], votes, strict=True)
    ]
    named = (names != "").to_numpy()
    return FaceTable(np.stack(images), _table(rows)).rows(named)


def _check_kaggle(pixels: pd.DataFrame, labels: pd.DataFrame, file: Path) -> None:
    for column in ("pixels", "Usage"):
        if column not in pixels:
            raise ValueError(f"Expected a column {column!r} in {file}. It has {list(pixels)}.")
    missing = {"Image name", *FERPLUS_VOTE_COLUMNS} - set(labels)
    if missing:
        raise ValueError(f"Expected columns {sorted(missing)} in fer2013new.csv beside {file}.")
    if len(pixels) != len(labels):
        raise ValueError(
            f"Expected as many rows in {file.name} as in fer2013new.csv (they are joined by "
            f"row). Received: {len(pixels)} and {len(labels)}."
        )
    unknown = set(pixels["Usage"]) - set(SPLIT_OF_USAGE)
    if unknown:
        raise ValueError(
            f"Expected Usage to be one of {list(SPLIT_OF_USAGE)} in {file}. "
            f"Received: {sorted(map(str, unknown))}."
        )


def _parse_pixels(text: str, file: Path, row: int) -> np.ndarray:
    try:
        values = np.array(str(text).split(), dtype=np.uint8)
    except (ValueError, OverflowError):
        values = np.empty(0, np.uint8)
    if values.size != FACE_SIZE_PX**2:
        raise ValueError(
            f"Expected 2304 grey values 0...255 ({file}, row {row + 2}). "
            f"Received: {len(str(text).split())} items."
        )
    return values.reshape(FACE_SIZE_PX, FACE_SIZE_PX)


def _table(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["name", "split", *FERPLUS_VOTE_COLUMNS])
