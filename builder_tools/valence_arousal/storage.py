"""A fitted labeller as one `.npz` of arrays and a line of JSON, written and read without pickle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from builder_tools.emotions import EmotionSet
from builder_tools.media.partial import replacing
from builder_tools.valence_arousal.orientation import Orientation

if TYPE_CHECKING:
    from builder_tools.valence_arousal.labeller import ValenceArousalLabeller

FORMAT = "builder_tools valence-arousal labeller 1"
_REDUCER = "reducer_"


def save_labeller(labeller: ValenceArousalLabeller, path: Path) -> Path:
    """Write a fitted labeller; see `ValenceArousalLabeller.save`."""
    arrays = {f"{_REDUCER}{name}": value for name, value in labeller.reducer_.to_arrays().items()}
    arrays |= {
        "landmark_rows": labeller.landmark_rows_,
        "centres": labeller.centres_,
        "rotation": labeller.orientation_.rotation,
        "shift": labeller.orientation_.shift,
    }
    if labeller.axes_ is not None:
        arrays |= {"mean": labeller.mean_, "axes": labeller.axes_}
    options = labeller.get_params(deep=False)
    options |= {
        "emotions": list(labeller.emotions),
        "network": None if labeller.network is None else str(labeller.network),
    }
    about = {
        "format": FORMAT,
        "options": options,
        "scale": labeller.orientation_.scale,
        "clipped_share": labeller.clipped_share_,
        "network_sha256": getattr(labeller, "network_sha256_", None),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)
    return path


def load_labeller(path: Path) -> ValenceArousalLabeller:
    """Read a fitted labeller; see `ValenceArousalLabeller.load`."""
    from builder_tools.valence_arousal.labeller import ValenceArousalLabeller

    if not path.is_file():
        raise FileNotFoundError(f"Expected a saved labeller. Nothing is at {str(path)!r}.")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
        about = json.loads(str(arrays.pop("about")))
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']!r}")
        options = about["options"] | {"emotions": EmotionSet(about["options"]["emotions"])}
        labeller = ValenceArousalLabeller(**options)
        parts = {n.removeprefix(_REDUCER): a for n, a in arrays.items() if n.startswith(_REDUCER)}
        labeller.reducer_ = labeller._reducer().from_arrays(parts)
        labeller.orientation_ = Orientation(arrays["rotation"], about["scale"], arrays["shift"])
        labeller.mean_, labeller.axes_ = arrays.get("mean"), arrays.get("axes")
        labeller.centres_, labeller.landmark_rows_ = arrays["centres"], arrays["landmark_rows"]
        labeller.clipped_share_ = about["clipped_share"]
    except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"Expected a saved labeller in {path}. It is none: {error}.") from error
    if about["network_sha256"] is None:
        return labeller
    labeller._vectorise()
    if labeller.network_sha256_ != about["network_sha256"]:
        raise ValueError(
            f"Expected the network the labeller was fitted with. {labeller.network} has changed "
            "since: fit the labeller again."
        )
    return labeller
