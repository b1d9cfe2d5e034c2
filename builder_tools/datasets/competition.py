"""The Kaggle competition `skillbox-computer-vision-project`, as downloaded.

It consists of `train.csv` (first column an unnamed index, then `image_path` such as
`./train/anger/0.jpg`, and `emotion`), the images it lists, `test_kaggle/<n>.jpg` without labels,
and `sample_submission.csv`, which gives the order of the answers.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pandas as pd

from builder_tools.csv_files import read_table
from builder_tools.datasets.duplicates import duplicate_groups
from builder_tools.datasets.splits import with_splits
from builder_tools.datasets.table import ImageTable, table_of_files
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.media import list_images

TRAIN_CSV, SAMPLE_CSV, TEST_FOLDER = "train.csv", "sample_submission.csv", "test_kaggle"

_SHOWN = 5


def load_competition(
    root: str | Path, *, valid: float = 0.15, test: float = 0.15, seed: int = 0
) -> ImageTable:
    """Read the labelled images, with a seeded, stratified split, near-duplicates on one side.

    Args:
        root: The folder with `train.csv` and `train/`.
        valid, test: Shares of the splits.
        seed: Seed for drawing the splits (`with_splits`, `duplicate_groups`).

    Returns:
        One row for each row of `train.csv`, in its order; `name` is the path below `root`.

    Raises:
        FileNotFoundError: If `train.csv` or an image it lists is missing; names the rows.
        ValueError: If `train.csv` is malformed; names the rows, as numbered in an editor.
    """
    table = list_competition(root)
    return with_splits(table, valid=valid, test=test, seed=seed, groups=duplicate_groups)


def list_competition(root: str | Path) -> ImageTable:
    """List the labelled images, without splits (""); check that they exist but read none."""
    root = Path(root)
    file = root / TRAIN_CSV
    rows = _read_csv(file, ("image_path", "emotion"))
    first = rows.columns[0]
    if first and not first.startswith("Unnamed"):
        raise ValueError(
            f"Expected the columns (unnamed index), image_path, emotion in {file}. "
            f"Received: {list(rows)}."
        )
    names = [PurePosixPath(text).as_posix() for text in rows["image_path"]]
    outside = [n == "." or n.startswith("/") or ".." in PurePosixPath(n).parts for n in names]
    _check_rows(file, rows, outside, "a path below it")
    _check_rows(file, rows, pd.Series(names).duplicated(), "each image once")
    paths = [root / name for name in names]
    known = rows["emotion"].isin(NINE_EMOTIONS.names)
    _check_rows(file, rows, ~known, f"an emotion of {list(NINE_EMOTIONS)}")
    absent = [not path.is_file() for path in paths]
    if any(absent):
        raise FileNotFoundError(_message(file, rows, absent, "an image that is there"))
    return table_of_files(names, paths, rows["emotion"].tolist(), NINE_EMOTIONS)


def competition_test(root: str | Path) -> list[Path]:
    """Return the images to be classified, in the order of the answers.

    Args:
        root: The folder with `test_kaggle/` and possibly `sample_submission.csv`.

    Returns:
        Paths in the order of `sample_submission.csv` if present, else in natural order.

    Raises:
        FileNotFoundError: If the folder, or an image listed in the sample, is missing.
        ValueError: If the sample is malformed or there are no images.
    """
    folder = Path(root) / TEST_FOLDER
    found = list_images(folder)
    sample = Path(root) / SAMPLE_CSV
    if not found:
        raise ValueError(f"Expected images in {folder}. There are none.")
    if not sample.is_file():
        return found
    rows = _read_csv(sample, ("image_path",))
    names = [PurePosixPath(text).name for text in rows["image_path"]]
    _check_rows(sample, rows, pd.Series(names).duplicated(), "each image once")
    absent = ~pd.Series(names).isin({path.name for path in found})
    if absent.any():
        raise FileNotFoundError(_message(sample, rows, absent, f"an image in {TEST_FOLDER}/"))
    return [folder / name for name in names]


def _read_csv(file: Path, wanted: tuple[str, ...]) -> pd.DataFrame:
    """Read a csv as strings ("" if empty), with rows numbered as in an editor."""
    if not file.is_file():
        raise FileNotFoundError(
            f"Expected {file.name} in {str(file.parent)!r}. It is not there. "
            "See data/README.md for how to get the competition's data."
        )
    rows = read_table(file, "strict")
    missing = [column for column in wanted if column not in rows]
    if missing or rows.empty:
        raise ValueError(
            f"Expected rows with the columns {list(wanted)} in {file}. Received: {len(rows)} "
            f"rows with the columns {list(rows)}."
        )
    return rows


def _check_rows(file: Path, rows: pd.DataFrame, bad: object, expected: str) -> None:
    if any(bad):
        raise ValueError(_message(file, rows, bad, expected))


def _message(file: Path, rows: pd.DataFrame, bad: object, expected: str) -> str:
    """Return a message saying what is wrong in which rows."""
    wrong = [place for place, is_bad in enumerate(bad) if is_bad]
    columns = [column for column in ("image_path", "emotion") if column in rows]
    shown = "; ".join(
        f"row {rows.index[place]}: {', '.join(rows.iloc[place][columns])!r}"
        for place in wrong[:_SHOWN]
    )
    more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return f"Expected {expected} in each row of {file}. Received: {shown}{more}."
