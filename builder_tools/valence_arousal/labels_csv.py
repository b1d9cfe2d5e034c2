"""Labels as CSV: one row per image, `name,path,split,emotion,valence,arousal`.

`name` is the name in the image table, so labels can be matched with their images in any order:
`labels_by_name` returns them for a table.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from builder_tools.csv_files import any_name_in_tables, read_table, write_table
from builder_tools.datasets.table import ImageTable
from builder_tools.media.partial import replacing

COLUMNS = ("name", "path", "split", "emotion", "valence", "arousal")
DECIMALS = 5


def write_labels(path: str | Path, table: ImageTable, labels: np.ndarray) -> Path:
    """Write labels, atomically.

    Args:
        path: The CSV file; missing folders are created.
        table: The images.
        labels: `(n, 2)` valence and arousal in the unit disc.

    Raises:
        ValueError: If the numbers of labels and images differ, or a label is not finite.
        OSError: If the file cannot be written.
    """
    path, labels = Path(path), np.asarray(labels, np.float64)
    if labels.shape != (len(table), 2) or not np.isfinite(labels).all():
        raise ValueError(
            f"Expected finite labels ({len(table)}, 2). Received: shape={labels.shape}, "
            f"{int((~np.isfinite(labels)).sum())} values not finite."
        )
    rows = table.table[["name", "path", "split", "emotion"]].assign(
        valence=labels[:, 0].round(DECIMALS), arousal=labels[:, 1].round(DECIMALS)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        write_table(partial, rows)
    return path


@any_name_in_tables()
def read_labels(path: str | Path) -> pd.DataFrame:
    """Read and check labels written by `write_labels`, and perhaps by a spreadsheet since.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, a name is repeated, or a place lies outside the unit
            disc; names the row.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected a csv of labels. Nothing is at {str(path)!r}.")
    rows = read_table(path)
    missing = [name for name in COLUMNS if name not in rows]
    if missing:
        raise ValueError(f"Expected the columns {list(COLUMNS)} in {path}. Missing: {missing}.")
    cells = rows[["valence", "arousal"]].map(lambda cell: cell.strip().replace(",", "."))
    places = cells.apply(pd.to_numeric, errors="coerce")
    outside = ~(np.hypot(places["valence"], places["arousal"]) <= 1 + 10.0**-DECIMALS)
    wrong = outside | rows["name"].duplicated()
    if wrong.any():
        number = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"Expected unique names and places in the unit disc in {path}. "
            f"Received in row {rows.index[number]}: {rows.iloc[number].to_dict()}."
        )
    return rows.assign(**places)[list(COLUMNS)].reset_index(drop=True)


def labels_by_name(labels: pd.DataFrame, table: ImageTable) -> np.ndarray:
    """Return the labels of a table's images, `(n, 2)` float32, found by name.

    Args:
        labels: As returned by `read_labels`.
        table: The images.

    Raises:
        ValueError: If an image has no label; names it.
    """
    found = labels.set_index("name")[["valence", "arousal"]].reindex(table.table["name"])
    without = found.index[found.isna().any(axis=1)]
    if len(without):
        raise ValueError(
            f"Expected a label for each of {len(table)} images. {len(without)} have none, the "
            f"first is {without[0]!r}."
        )
    return found.to_numpy(np.float32)
