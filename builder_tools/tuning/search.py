"""A search: alone in this process, or as the chief of workers.

Its folder holds `search.json` (the options it was started with), `trials.csv`, `best.json` and, in
a folder named after network and data, KerasTuner's state and one folder per trial. Calling `tune`
again with the same folder resumes the search: finished trials are kept, and an interrupted one
continues after its last complete epoch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
import sys
from pathlib import Path

import keras_tuner
import numpy as np

from builder_tools.cards import file_sha256
from builder_tools.fields import check_fields, check_keys, is_text, read_json_object
from builder_tools.journal import only_one_in
from builder_tools.media import replacing
from builder_tools.training import Samples
from builder_tools.training.identity import hashed_images
from builder_tools.tuning.distribution import Chief, playing, serve
from builder_tools.tuning.hypermodel import OBJECTIVES, EmotionHyperModel
from builder_tools.tuning.trials import SearchResult, trial_table, write_config, write_table
from builder_tools.tuning.tuner import EmotionOracle, EmotionTuner, drop_networks

SEARCH_FILE, TABLE_FILE, CONFIG_FILE = "search.json", "trials.csv", "best.json"
WEIGHTS_SHA256 = "weights_sha256"
"""Entry of a search's identity: the hash of the file that its networks start from."""

logger = logging.getLogger(__name__)


def tune(
    hypermodel: EmotionHyperModel,
    train: Samples,
    valid: Samples,
    *,
    trials: int,
    folder: str | Path,
    objective: str = "val_accuracy",
    overwrite: bool = False,
    seed: int = 0,
    minutes: float | None = None,
    chief: Chief | None = None,
) -> SearchResult:
    """Search for the best configuration by Bayesian optimisation, or resume a search.

    A trial that fails (an error, out of memory, a loss that is not finite) is recorded and the
    search continues.

    Args:
        hypermodel: What is tuned.
        train: Training faces.
        valid: Faces that the objective is measured on.
        trials: Total number of trials, including those already done.
        folder: Folder of the search.
        objective: Name in `OBJECTIVES`; higher is better.
        overwrite: Whether to remove an existing search from the folder and start a new one.
        seed: Seed of the choice of points.
        minutes: Time after which no new trial is started; the next call resumes the search.
        chief: Run no trials here but hand them to workers that call `join_search` with its
            address; returns when all are done and the workers have left.

    Returns:
        The `SearchResult`.

    Raises:
        ValueError: If a number or name is invalid, no network can be built, the faces have only
            one class, or the folder holds another search.
        FileExistsError: If the folder holds no search, but files with the names of its results.
        BlockingIOError: If another process is searching in the folder.
        RuntimeError: If every trial failed (`trials.csv` says why), or none ended in time.
    """
    if trials < 1:
        raise ValueError(f"Expected trials >= 1. Received: {trials}.")
    identity = search_identity(hypermodel, train, valid, objective)
    folder = Path(folder)
    if overwrite or not (folder / SEARCH_FILE).is_file():
        hypermodel.build(keras_tuner.HyperParameters())  # fails here if it cannot be built
    folder.mkdir(parents=True, exist_ok=True)
    with only_one_in(folder):
        if overwrite and (folder / SEARCH_FILE).is_file():
            # Only the search is removed; the file that marks the folder as a search goes last.
            project = folder / Path(_read_search(folder / SEARCH_FILE)["project"]).name
            if project.is_dir():
                shutil.rmtree(project)
            for name in (TABLE_FILE, CONFIG_FILE, SEARCH_FILE):
                (folder / name).unlink(missing_ok=True)
        _begin(folder, identity)
        oracle = EmotionOracle(objective, trials=trials, seed=seed, minutes=minutes)
        # KerasTuner prints, but stdout is reserved for results.
        with contextlib.redirect_stdout(sys.stderr), playing(chief):
            tuner = EmotionTuner(
                oracle,
                hypermodel,
                folder=folder,
                project=identity["project"],
                after_trial=lambda oracle: _report(oracle, folder, identity["project"]),
            )
            if oracle.num_ended:
                logger.info("Going on: %d of %d trials are done.", oracle.num_ended, trials)
            if chief:
                serve(oracle, chief, identity["key"], after_trial=tuner.after_trial)
            else:
                tuner.search(train, valid)
        return _result(hypermodel, oracle, folder, tuner.folder)


def search_identity(
    hypermodel: EmotionHyperModel, train: Samples, valid: Samples, objective: str
) -> dict:
    """Return everything that determines the scores of a search, and its `key`.

    Args:
        hypermodel: What is tuned.
        train: Training faces.
        valid: Validation faces.
        objective: Name in `OBJECTIVES`.

    Raises:
        ValueError: If the objective is unknown, or the faces do not fit the hypermodel.
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"Expected one of {list(OBJECTIVES)}. Received: objective={objective!r}.")
    _check_faces(hypermodel, train, valid)
    # A hash of faces and targets; if images are in files, some represent all of them.
    digest = hashlib.sha256()
    for samples in (train, valid):
        digest.update(repr(tuple(samples.images.shape)).encode())
        digest.update(np.ascontiguousarray(samples.targets, np.float32).tobytes())
        digest.update(np.ascontiguousarray(hashed_images(samples.images)).tobytes())
    data = digest.hexdigest()
    identity = {**hypermodel.to_dict(), "objective": objective, "data": data}
    if hypermodel.weights and Path(hypermodel.weights).is_file():
        identity[WEIGHTS_SHA256] = file_sha256(hypermodel.weights)
    identity = json.loads(json.dumps(identity))
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return {"project": f"{hypermodel.network}-{data[:12]}", "key": key[:16], **identity}


def _check_faces(hypermodel: EmotionHyperModel, train: Samples, valid: Samples) -> None:
    for name, samples in {"train": train, "valid": valid}.items():
        shape = np.shape(samples.targets)
        if len(shape) != 2 or shape[1] != hypermodel.num_classes or not shape[0]:
            raise ValueError(
                f"Expected {name} targets (n, {hypermodel.num_classes}), n >= 1. Received: {shape}."
            )
        if len(samples.images) != shape[0]:
            raise ValueError(
                f"Expected a target for each {name} face. Received: {len(samples.images)} faces, "
                f"{shape[0]} targets."
            )
        if len(np.unique(samples.targets.argmax(axis=1))) < 2:
            raise ValueError(
                f"Expected {name} faces of at least two classes: with one, every configuration "
                f"is perfect. Received: label {samples.targets[0].argmax()} only."
            )


def _begin(folder: Path, identity: dict) -> None:
    """Write the options the search is started with, or compare them with the stored ones."""
    file = folder / SEARCH_FILE
    if not file.is_file():
        if others := [name for name in (TABLE_FILE, CONFIG_FILE) if (folder / name).exists()]:
            raise FileExistsError(
                f"Expected a folder for a search. Received: {folder}, which holds none, but files "
                f"of the names {others}, which it would replace. Name another folder."
            )
        with replacing(file) as partial:
            partial.write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")
        return
    begun = _read_search(file)
    names = (begun.keys() | identity.keys()) - {"project", "key"}
    if WEIGHTS_SHA256 not in begun.keys() & identity.keys():
        names -= {WEIGHTS_SHA256}  # begun by earlier code, or ended where the file is not
    changed = [name for name in sorted(names) if begun.get(name) != identity.get(name)]
    other = {name: begun.get(name) for name in changed}
    if other:
        raise ValueError(
            f"Expected {folder} to hold this search or none. It holds one begun with {other}. Use "
            "those values to go on with it, name another folder, or overwrite it."
        )


def _read_search(file: Path) -> dict:
    try:
        begun = read_json_object(file)
        check_fields(str(file), begun, {"project": (is_text, "a text")})
        check_keys(str(file), begun, begun, ["project"])
        return begun
    except ValueError as error:
        raise ValueError(
            f"Expected {file} to say what a search was begun with. It is damaged ({error}). Name "
            "another folder, or remove this one."
        ) from None


def _report(oracle: EmotionOracle, folder: Path, project: str) -> None:
    """Write the table, remove networks no longer needed and log the progress."""
    table = trial_table(oracle, folder / project)
    write_table(table, folder / TABLE_FILE)
    drop_networks(oracle, folder / project)
    if table["score"].notna().any():
        best = table.loc[table["score"].astype(float).idxmax()]
        logger.info(
            "%d of %d trials done; best %s %.4f (trial %d)",
            oracle.num_ended,
            oracle.max_trials,
            oracle.objective.name,
            best["score"],
            best["trial"],
        )


def _result(
    hypermodel: EmotionHyperModel, oracle: EmotionOracle, folder: Path, project: Path
) -> SearchResult:
    table = trial_table(oracle, project)
    write_table(table, folder / TABLE_FILE)
    if not oracle.num_ended:
        raise RuntimeError("Expected time for a trial. None ended. Allow more minutes.")
    best = oracle.get_best_trials(1)[0]
    if best.status != "COMPLETED":
        raise RuntimeError(
            f"Expected a trial that ends well. All {len(table)} failed, the last with: "
            f"{table['error'].iloc[-1]} See {folder / TABLE_FILE}."
        )
    config = hypermodel.config(best.hyperparameters, monitor=oracle.objective.name)
    write_config(config, folder / CONFIG_FILE)
    network = project / f"trial_{best.trial_id}" / "run" / "best.keras"
    return SearchResult(
        trials=table.astype({"score": float}),
        best=config,
        table=folder / TABLE_FILE,
        config=folder / CONFIG_FILE,
        network=network if network.is_file() else None,
    )
