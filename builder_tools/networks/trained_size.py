"""How large the faces were that a network was trained at, as what lies beside its file tells."""

from __future__ import annotations

from pathlib import Path

from builder_tools.cards import CARD_FILE, ModelCard
from builder_tools.csv_files import read_csv
from builder_tools.fields import read_json_object


def trained_size_px(path: str | Path) -> int | None:
    """Return the side of the faces that a network was last trained at, in pixels.

    The history of its run tells, or the run's configuration, or the card of the model whose file
    it is. None if there is none of these beside it.

    Args:
        path: A `.keras` file.

    Raises:
        ValueError: If a file beside it is damaged; names it.
    """
    path = Path(path)
    begun, history = path.with_name("config.json"), path.with_name("history.csv")
    stages = read_json_object(begun).get("stages") if begun.is_file() else None
    if stages is not None:  # a file of this name may be somebody else's
        try:
            size = stages[-1]["size"]
            if history.is_file():
                header, *rows = read_csv(history)
                size = [dict(zip(header, row, strict=True)) for row in rows][-1].get("size", size)
            return int(size)
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f"Expected {begun} and {history.name} to tell the sizes of a run's faces. They are "
                "damaged."
            ) from error
    if path.with_name(CARD_FILE).is_file():
        card = ModelCard.read(path.parent)
        return card.input_size if path.name in card.sha256 else None
    return None
