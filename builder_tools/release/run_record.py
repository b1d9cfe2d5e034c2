"""What a card says about the run its network comes from, and about the runs before it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.cards import ModelCard, find_model
from builder_tools.datasets.identity import data_sha256
from builder_tools.datasets.table import SPLITS, ImageTable
from builder_tools.fields import check_keys, read_json_object
from builder_tools.machine import hardware
from builder_tools.media import replacing
from builder_tools.release.run_data import CONFIG_FILE, card_beside
from builder_tools.release.teachers import reservations, teaching_in

HISTORY_FILE = "history.csv"
ORIGIN_FILE = "begun_from.json"
"""File in a run's folder that records what it started from; earlier runs lack it."""


def data_record(table: ImageTable, data: str) -> dict[str, Any]:
    """Return what a card says about the data set a model was trained on."""
    counts = np.bincount(table.split("train").labels, minlength=len(table.emotions))
    return {
        "data": data,
        "data_sha256": data_sha256(table),
        "pictures": {split: len(table.split(split)) for split in SPLITS},
        "class_counts": dict(zip(table.emotions, counts.tolist(), strict=True)),
    }


def run_record(folder: str | Path) -> dict[str, Any]:
    """Return what a card says about a run: targets, seed, commit, budget, configuration.

    If it started from the network of another run or of a model, `begun_from` holds the record of
    that run, or what the model's card says about its training.

    Args:
        folder: Folder of the run, with `config.json` and `history.csv`.

    Raises:
        ValueError: If one of its files is damaged; names it.
    """
    from builder_tools.training.checkpoints import read_history

    folder = Path(folder)
    config = read_json_object(folder / CONFIG_FILE)
    check_keys(str(folder / CONFIG_FILE), config, config, ("seed", "commit"))
    history = read_history(folder / HISTORY_FILE)
    record = {
        "teaching": teaching_in(folder),
        "seed": config["seed"],
        "commit": config["commit"],
        "budget": {
            "epochs": len(history),
            "minutes": round(float(history["seconds"].sum()) / 60, 1),
            "machine": config.get("machine", hardware()),
        },
        "config": config,
    }
    weights = Path(str(config.get("weights") or ""))
    if not weights.suffix:
        return record
    noted = folder / ORIGIN_FILE
    origin = read_json_object(noted) if noted.is_file() else _origin_of(weights)
    if origin:
        record["begun_from"] = origin
    # The card names the file and its run or model: where they are is nobody's business.
    owner = f"{weights.parent.name}/" if origin else ""
    record["config"] = {**config, "weights": f"{owner}{weights.name}"}
    return record


def note_origin(run_folder: str | Path, weights: str | Path) -> None:
    """Write down the run or model that a run starts from, which may be gone when it ends.

    Args:
        run_folder: Folder of the run.
        weights: The file of weights that it starts from.
    """
    with replacing(Path(run_folder) / ORIGIN_FILE) as partial:
        partial.write_text(json.dumps(_origin_of(Path(weights)), indent=2), encoding="utf-8")


def _origin_of(weights: Path) -> dict[str, Any]:
    """Return the record of the run or model that a file of weights belongs to; {} if of none."""
    if is_run(weights):
        return run_record(weights.parent)
    card = card_beside(weights)
    return dict(card.training) if card is not None and "config" in card.training else {}


def teaching_of(name: str) -> dict[str, Any]:
    """Return what a teacher was itself taught, from its run or card; {} if neither says so.

    What the members of a mean were taught, and the run or model that it began from, is in
    `taught_by`, beside what its teachers were.

    Args:
        name: As in `mean_answers`.
    """
    from builder_tools.networks.teachers import EXPRESSION_NETWORKS

    if name in EXPRESSION_NETWORKS:
        return {}
    if not name.endswith(".keras"):
        return _teaching_in(ModelCard.read(find_model(name)).training)
    network = Path(name)
    return _teaching_in(_origin_of(network) or {"teaching": teaching_in(network.parent)})


def _teaching_in(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the network of a record was taught, and those that it was made of."""
    teaching = dict(record.get("teaching", {}))
    earlier = {
        f"{member.get('name', place)} ({str(member.get('sha256'))[:12]})": member
        for place, member in enumerate(record.get("members", ()))
    }
    if "begun_from" in record:
        earlier[record["config"]["weights"]] = record["begun_from"]
    found = {name: taught for name, run in earlier.items() if (taught := _teaching_in(run))}
    taught_by = {**teaching.get("taught_by", {}), **found}
    return teaching | ({"taught_by": taught_by} if taught_by else {})


def is_run(network: Path) -> bool:
    """Return whether a `.keras` file is in the folder of a run."""
    return all(network.with_name(name).is_file() for name in (CONFIG_FILE, HISTORY_FILE))


def reservations_of(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return disclosures due to the teachers of runs' networks, or of those they started from."""
    told = [
        sentence
        for record in records
        for run in _runs(record)
        for sentence in reservations(run["teaching"])
    ]
    return list(dict.fromkeys(told))


def origins_of(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the published weights that the networks of runs started from, with their licences."""
    from builder_tools.networks import NETWORKS, PRETRAINED

    specs = [
        NETWORKS[run["config"]["network"]]
        for record in records
        for run in _runs(record)
        if run["config"].get("weights") == PRETRAINED
    ]
    told = [
        f"Begun from published weights: {spec.description}, {spec.pretrained}"
        + (f", {spec.licence}." if spec.licence else "; see there for their licence.")
        for spec in specs
    ]
    return list(dict.fromkeys(told))


def _runs(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a run and those it started from."""
    while record:
        if "config" in record:
            yield {"teaching": {}, **record}
        record = record.get("begun_from", {})
