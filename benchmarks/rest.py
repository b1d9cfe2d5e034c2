"""A face compared with its own rest: the table of settings, the choice, and made streams.

Two development sets whose persons are known: posed faces (read through the detector, as in use) and
faces in the wild (tight crops, read whole). Each judged image is left out of its own rest; only
images of people with another neutral image are judged. Intervals: bootstrap over people. Writes
reports/rest.md.

    python benchmarks/rest.py --posed posed_dev.zip --wild wild_dev.zip [--cache predictions.npz]
        [--strangers wild_train.zip] [--others accurate tiny] [--videos film.mp4 ...]
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from pathlib import Path

import numpy as np
from machine import describe_machine
from rest_forms import (
    FORMS,
    HEAD,
    RULE,
    WEAKLY_LABELLED,
    Choice,
    People,
    all_right,
    cells_of,
    choose,
    fixed,
    held_out_gains,
)
from rest_streams import (
    HELD_S,
    LONGEST_FILM,
    LOOKED_AT,
    cost_us,
    early_table,
    film_table,
    model_film_table,
    read_films,
    settings_table,
    stream_table,
)

from builder_tools import rest as constants
from builder_tools.cards import DEFAULT_MODEL
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.ferplus import load_ferplus
from builder_tools.emotions import FERPLUS_EIGHT
from builder_tools.evaluation import majority_eight_labels
from builder_tools.inference import Inference
from builder_tools.media import read_image, replacing
from builder_tools.rest import relative_by_person

FORM = "by spread (the package's)"
FAILED = (
    "Also tried, without success: linear heads on the network's 192 features and their "
    "difference from the rest's, taught on 9,000 faces of FER+ with made rests (the offset of "
    "another neutral face added to both, along 16 or 64 directions in which neutral faces differ): "
    "posed 0.469 to 0.479, wild 0.667 to 0.679, no anger found. FER+ does not say who is who, and "
    "what tells people apart there is not what changes their answers."
    "\n\nTried once and left for later: a usual spread for each class (variances among the "
    "strangers: anger 2.8, contempt 1.4, disgust 2.9, fear 4.4, happy 6.1, neutral 0.2, sad 1.8, "
    "surprise 5.4, uncertain 1.2), a person's spread in these units, half of the class and half of "
    "the mean, trust 0.5 / (0.5 + spread^2 / images), weight 0.15: posed 0.746, anger 14 of 30, "
    "wild 0.700, strangers 0.853. Held out +24.0, +1.4, -4.9, against +19.5, +1.2, -4.3 for one "
    "spread for all classes, searched in the same way: more for posed faces, at the strangers' "
    "cost."
)
STRANGERS = (
    "The strangers are nearly all happy or neutral, by weak labels: where there are hardly any "
    "but happy and neutral faces to tell apart, what a face shows is the better answer, and "
    "comparing has a cost. That is why both answers are given."
)


def main() -> None:
    """Predict once, measure, and write the report."""
    options = _options()
    sets, neutral_faces = _predictions(options)
    models = [options.model, *options.others]
    films_of = {model: read_films(options.videos, EmotionClassifier(model)) for model in models}
    text = "\n\n".join(
        [
            "# A face against its own rest",
            f"Written by `python benchmarks/rest.py`. {describe_machine()}.",
            *_of_settings(sets, neutral_faces),
            "## Other models\n\nThe same form and constants, `fast`'s population.",
            _model_table(options),
            *_of_streams(sets, films_of, films_of[options.model]),
            "Processor time of the estimate and the comparison (fastest of 20 rounds): "
            f"{cost_us(sets[0]):.1f} microseconds a face.",
        ]
    )
    with replacing(options.reports / "rest.md") as partial:
        partial.write_text(text + "\n")
    print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--posed", type=Path, required=True, help="zip with labels.csv (person)")
    parser.add_argument("--wild", type=Path, required=True, help="zip with labels.csv (person)")
    parser.add_argument("--strangers", type=Path, help="zip of many people, weakly labelled")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="default: %(default)s")
    parser.add_argument("--cache", type=Path, help="predictions are kept here")
    parser.add_argument("--others", nargs="*", default=[], help="models to try the choice on")
    parser.add_argument("--videos", nargs="*", default=[], help="real films, to count answers in")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    return parser.parse_args()


def _of_settings(sets: list[People], neutral_faces: np.ndarray) -> list[str]:
    """Return the sections on single images: all forms with their settings, and the chosen one."""
    forms, chosen = _form_table(sets, neutral_faces)
    return [
        _population(neutral_faces, sets[0].emotions),
        "## Forms\n\n" + RULE + " Held out: mean gain in points on the half of the people on "
        "which a setting was not chosen, 40 halves.",
        forms,
        FAILED,
        "## The chosen one",
        f"Chosen: floor {chosen.floor:g}, share, weight of the usual spread and spread between "
        f"people {chosen.settings}; in the package: {constants.FLOOR:g}, "
        f"{(constants.SHARE, constants.USUAL_WEIGHT, constants.BETWEEN_PEOPLE)}.",
        _table(sets, neutral_faces, chosen),
        STRANGERS,
    ]


def _of_streams(sets: list[People], films_of: dict, films: dict) -> list[str]:
    """Return the sections on streams: made of single images, and real films, read by each model."""
    return [
        "## Streams\n\nMade of single images, held for a second, a minute a judged image, "
        "which is not in its own stream; the rest is estimated unaided (`auto`), and the "
        "image is then judged against it. In the last one the person shows only what the "
        "judged image shows (neutral ones are not judged there).",
        stream_table(sets[:2]),
        "## Real films\n\nFaces per label, as shown and compared with their rest (smoothed "
        f"with 0.3 s, at most {LONGEST_FILM} frames of a film).",
        film_table(films),
        model_film_table(films_of),
        LOOKED_AT,
        "## The first look\n\nThe first look at a face that may be at rest counts as so many "
        "independent images; later ones count by the seconds between. Gain over no rest in "
        "points after so many seconds, mean of the streams but the last. And as in films: the "
        f"faces of all sets that are shown sad or angry, each held for {HELD_S} s; those "
        "labelled neutral are false, those labelled sad or angry true.",
        early_table(sets, films),
        "## What counts as rest\n\nGain in points over no rest. Settings: least probability of "
        "neutral, sad, anger and uncertain together, of neutral alone, and how many seconds "
        "stand for one independent image.",
        settings_table(sets[:2], films),
    ]


def _predictions(options: argparse.Namespace) -> tuple[list[People], np.ndarray]:
    """Return the sets, and the probabilities of FER+ valid's neutral faces."""
    names = ["posed", "wild", *([WEAKLY_LABELLED] if options.strangers else [])]
    classifier = EmotionClassifier(options.model)
    model, found = np.array(classifier.card.answers_sha256), {}
    if options.cache is not None and options.cache.is_file():
        found = dict(np.load(options.cache))
    if found.get("model") != model:
        found = {"model": model, "emotions": np.array(classifier.emotions.names)}
        for name in names:
            for key, values in _read(getattr(options, name), classifier, name == "posed").items():
                found[f"{name}_{key}"] = values
        valid = load_ferplus().split("valid")
        neutral = majority_eight_labels(valid.votes) == FERPLUS_EIGHT.label("neutral")
        found["neutral_faces"] = classifier.predict(valid.images[neutral])
        if options.cache is not None:
            np.savez(options.cache, **found)
    emotions = tuple(map(str, found["emotions"]))
    sets = []
    for name in names:
        labels = np.array([emotions.index(word) for word in found[f"{name}_words"]])
        rows = found[f"{name}_probabilities"].astype(float)
        sets.append(People(name, emotions, rows, labels, found[f"{name}_persons"]))
    return sets, found["neutral_faces"].astype(float)


def _read(path: Path, classifier: EmotionClassifier, detect: bool) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode())))
        images = [read_image(archive.read(row["file"])) for row in rows]
    probabilities = classifier.predict(images)
    if detect:
        with Inference(classifier, show_state_mode="none") as inference:
            for number, image in enumerate(images):
                if faces := inference.analyse(image):
                    probabilities[number] = list(faces[0].probabilities.values())
    return {
        "probabilities": probabilities,
        "words": np.array([row["emotion"] for row in rows]),
        "persons": np.array([row["person"] for row in rows]),
    }


def _table(sets: list[People], neutral_faces: np.ndarray, chosen: Choice) -> str:
    """Return the table of the chosen setting, its control, and other shares and kept shares."""
    fact = [(0.25, 0), (0.5, 0.5), (0.5, 0.75), (0.75, 0.5), (0.75, 0), (1, 0), (0.75, 1)]
    lines = [HEAD.format("compared")]
    for people in sets:
        rows = people.judged
        cells = cells_of(people, rows, people.probabilities[rows])
        lines.append(f"| {people.name} ({len(rows)}) | no rest | {' | '.join(cells)} |")
        tried = [("with the person's rest", chosen, people.neutrals_beside)]
        if people.name != WEAKLY_LABELLED:
            tried.append(("with **another person's rest**", chosen, people.other_person))
            tried += [
                (f"share {s:g}, kept {u:g}, for all", Choice(fixed, 1e-4, (s, u)), rests)
                for s, u in fact
                for rests in [people.neutrals_beside]
            ]
        for name, choice, rests in tried:
            scores = choice.scores(people, rows, rests, neutral_faces)
            lines.append(
                f"| {people.name} | {name} | {' | '.join(cells_of(people, rows, scores))} |"
            )
        unaided = relative_by_person(people.probabilities, people.emotions, people.persons)[rows]
        cells = " | ".join(cells_of(people, rows, unaided))
        lines.append(f"| {people.name} | with images that look clearly neutral as rest | {cells} |")
    return "\n".join(lines)


def _model_table(options: argparse.Namespace) -> str:
    """Return the table of what the package's constants do for other models."""
    lines = [HEAD.format("model and compared")]
    for name in options.others:
        classifier = EmotionClassifier(name)
        emotions = tuple(classifier.emotions.names)
        for kind in ("posed", "wild"):
            found = _read(getattr(options, kind), classifier, kind == "posed")
            labels = np.array([emotions.index(word) for word in found["words"]])
            rows = found["probabilities"].astype(float)
            people = People(kind, emotions, rows, labels, found["persons"])
            calm = labels == people.neutral
            compared = relative_by_person(rows, emotions, people.persons, calm)
            for how, scores in (("no rest", rows), ("with the person's rest", compared)):
                cells = " | ".join(cells_of(people, people.judged, scores[people.judged]))
                lines.append(f"| {kind} | `{name}`, {how} | {cells} |")
    return "\n".join(lines)


def _form_table(sets: list[People], neutral_faces: np.ndarray) -> tuple[str, Choice]:
    """Return the table of each form's best setting by the rule, and that of the package's form."""
    lines = [
        f"| form | settings (floor; rest) | {' | '.join(people.name for people in sets)} "
        "| anger of posed found | held out, by set |",
        "|---|---|" + "---|" * (len(sets) + 2),
    ]
    best_of_ours = None
    for name in FORMS:
        found = all_right(sets, neutral_faces, name)
        choice, right = choose(sets, found)
        best_of_ours = choice if name == FORM else best_of_ours
        accuracies = " | ".join(f"{each.mean():.3f}" for each in right)
        angry = sets[0].labels[sets[0].judged] == sets[0].emotions.index("anger")
        told = "; ".join([f"{choice.floor:g}", ", ".join(f"{s:g}" for s in choice.settings)])
        gains = ", ".join(f"{gain:+.1f}" for gain in held_out_gains(sets, found).mean(axis=0))
        lines.append(
            f"| {name} | {told} | {accuracies} | {right[0][angry].sum()} of {angry.sum()} "
            f"| {gains} |"
        )
    return "\n".join(lines), best_of_ours


def _population(neutral_faces: np.ndarray, emotions: tuple[str, ...]) -> str:
    means = np.log(np.maximum(neutral_faces, constants.FLOOR)).mean(axis=0)
    told = ", ".join(f"{name} {mean:.2f}" for name, mean in zip(emotions, means, strict=True))
    return (
        f"Population: the mean log-probabilities of {len(neutral_faces)} neutral faces of FER+ "
        f"valid (floor {constants.FLOOR:g}): {told}."
    )


if __name__ == "__main__":
    main()
