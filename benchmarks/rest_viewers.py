"""One baseline, never two: viewers' reactions and visitors' emotions with and without their rest.

Simulated with the images of people in two development sets (`rest.py` caches their predictions):
five viewers watch the same three minutes, look neutral, now and then show something unrelated, and
react together at known times. How well does the common reaction of `timeline.signals` reveal those
times, with the running baseline it has, with the rest in its place, and with both? And how close do
the figures of an exhibit come to what its visitors are labelled as showing? Writes
reports/rest_viewers.md.

    python benchmarks/rest_viewers.py --cache predictions.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from machine import describe_machine
from rest_forms import People
from sklearn.metrics import roc_auc_score

from builder_tools.emotions import EmotionSet
from builder_tools.media import replacing
from builder_tools.results import Box, Face, FaceEmotion
from builder_tools.timeline.chance import common_reaction
from builder_tools.timeline.signals import SignalSettings, reaction
from builder_tools.tracking.resting import AUTO, RestTracker

STEP_S, FILM_S, REACTION_S, HOLD_S = 0.25, 180.0, 2.0, 3.0
EVENTS, VIEWERS, FILMS = 6, 5, 40
OWN_SHARE = 0.1
"""Fraction of the time in which a viewer shows something not caused by the film."""
VISIT_S, VISITS = 30.0, 400
MEASURES = ("intensity", "happy", "surprise", "arousal")


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="predictions of rest.py")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    options = parser.parse_args()
    sets = _sets(options.cache)
    text = "\n\n".join(
        [
            "# One baseline for viewers and visitors",
            f"Written by `python benchmarks/rest_viewers.py`. {describe_machine()}.",
            "## Highlights\n\nArea under the curve with which the common reaction of "
            f"{VIEWERS} viewers tells the {EVENTS} moments of a film, mean of {FILMS} made films "
            "with a 95 % interval over films. Running: `signals.reaction` as it is, against the "
            "minute around. Whole film: the same against all of the film. Rest: what a face shows "
            "compared with its rest (`auto`, whole film), against all of the film, so that only "
            "the scale is the viewer's. Both: the running baseline on top of the rest.",
            _highlight_table(sets),
            "## Exhibits\n\nMean error (points) between the share of each emotion that visitors "
            f"are labelled to show, and what {VISITS} made visits of {VISIT_S:g} s a set give: "
            "mean probabilities of what is shown, and of what is shown compared with the rest "
            "(`auto`, whole visit); and how often each emotion is the most probable.",
            _exhibit_table(sets),
            CONCLUSION,
        ]
    )
    with replacing(options.reports / "rest_viewers.md") as partial:
        partial.write_text(text + "\n")
    print(text)


CONCLUSION = (
    "So there is one baseline: the running one of `timeline.signals` stays, and `highlights` reads "
    "what is shown, also from timelines that hold both answers. Rest in its place gains nothing "
    "beyond the intervals, except in the arousal of the posed set, where the running baseline is "
    "misled and rest does little better than chance (0.5); on the wild set rest costs up to two "
    "points, in its place or added to it. `exhibits` stays without rest, too: too little rest is "
    "learned from a visit's half minute, and comparing moves mean probabilities away from what is "
    "labelled in five cases of six. The most probable emotions compared with rest come nearer to "
    "the labels where visitors are posed, and farther from them where they are in the wild."
)


def _sets(cache: Path) -> list[People]:
    found = dict(np.load(cache))
    emotions = tuple(map(str, found["emotions"]))
    sets = []
    for name in ("posed", "wild"):
        labels = np.array([emotions.index(word) for word in found[f"{name}_words"]])
        rows = found[f"{name}_probabilities"].astype(float)
        sets.append(People(name, emotions, rows, labels, found[f"{name}_persons"]))
    return sets


def _casts(people: People) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the rows of neutral and of other images by person, for people with enough of both."""
    casts = {}
    for person in np.unique(people.persons):
        own = people.persons == person
        calm = np.flatnonzero(own & (people.labels == people.neutral))
        moved = np.flatnonzero(own & (people.labels != people.neutral))
        if len(calm) >= 2 and len(moved):
            casts[str(person)] = (calm, moved)
    return casts


def _compared(people: People, shown: np.ndarray) -> np.ndarray:
    """Return what a stream of images shows compared with the rest learnt from all of it."""
    tracker = RestTracker(AUTO, memory_s=np.inf, forget_s=np.inf)
    faces = {row: _face(people, row) for row in np.unique(shown)}
    for step, row in enumerate(shown):
        tracker.learn([faces[row]], step * STEP_S)
    told = {row: tracker.compare([face])[0] for row, face in faces.items()}
    return np.array([list(told[row].relative_probabilities.values()) for row in shown])


def _face(people: People, row: int) -> FaceEmotion:
    probabilities = dict(zip(people.emotions, people.probabilities[row].tolist(), strict=True))
    return FaceEmotion(Face(Box(0, 0, 1, 1), 1.0, track=1), probabilities)


def _measured(people: People, rows: np.ndarray, measure: str) -> np.ndarray:
    if measure == "arousal":
        return EmotionSet(people.emotions).expected_place(rows)[:, 1]
    if measure == "intensity":
        calm = [people.neutral, people.emotions.index("uncertain")]
        return 1 - rows[:, calm].sum(axis=1)
    return rows[:, people.emotions.index(measure)]


def _viewer(people: People, cast, events: np.ndarray, wanted: int | None, random) -> np.ndarray:
    """Return the image that a viewer shows at each step."""
    calm, moved = cast
    count = round(FILM_S / STEP_S)
    shown = np.repeat(random.choice(calm, int(FILM_S / HOLD_S) + 1), int(HOLD_S / STEP_S))[:count]
    own = np.repeat(
        random.random(int(FILM_S / REACTION_S) + 1) < OWN_SHARE, int(REACTION_S / STEP_S)
    )
    shown = np.where(own[:count], random.choice(moved), shown)
    reacting = moved if wanted is None else moved[people.labels[moved] == wanted]
    for event in events:
        shown[event : event + round(REACTION_S / STEP_S)] = random.choice(reacting)
    return shown


def _highlight_table(sets: list[People]) -> str:
    lines = [
        "| set | measure | running (as it is) | whole film | rest | both | whole film - running "
        "| rest - whole film | both - running |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    settings = SignalSettings(step_s=STEP_S)
    constant = SignalSettings(step_s=STEP_S, baseline_s=2 * FILM_S)
    for people in sets:
        for measure in MEASURES:
            wanted = people.emotions.index(measure) if measure in people.emotions else None
            casts = [
                cast
                for cast in _casts(people).values()
                if wanted is None or (people.labels[cast[1]] == wanted).any()
            ]
            random, areas = np.random.default_rng(0), []
            for _ in range(FILMS):
                events = np.sort(random.choice(int(FILM_S) - 4, EVENTS, replace=False) + 1)
                steps = (events / STEP_S).astype(int)
                truth = np.zeros(round(FILM_S / STEP_S), bool)
                for step in steps:
                    truth[step : step + round(REACTION_S / STEP_S)] = True
                signals = {"running": [], "constant": [], "rest": [], "both": []}
                for place in random.choice(len(casts), VIEWERS, replace=len(casts) < VIEWERS):
                    shown = _viewer(people, casts[place], steps, wanted, random)
                    plain = _measured(people, people.probabilities[shown], measure)
                    relative = _measured(people, _compared(people, shown), measure)
                    signals["running"].append(reaction(plain, settings))
                    signals["constant"].append(reaction(plain, constant))
                    signals["rest"].append(reaction(relative, constant))
                    signals["both"].append(reaction(relative, settings))
                areas.append(
                    [
                        roc_auc_score(truth, common_reaction(np.array(each).T, 0.5))
                        for each in signals.values()
                    ]
                )
            run, whole, rest, both = np.array(areas).T
            table = np.column_stack([areas, whole - run, rest - whole, both - run])
            lines.append(f"| {people.name} | {measure} | {' | '.join(_intervals(table))} |")
    return "\n".join(lines)


def _exhibit_table(sets: list[People]) -> str:
    lines = [
        "| set | neutral time | shown | compared with rest | difference | shown, most probable "
        "| compared, most probable | difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for people in sets:
        casts = list(_casts(people).values())
        for calm_share in (0.5, 0.75, 0.95):
            random, errors = np.random.default_rng(0), []
            for _ in range(VISITS):
                calm, moved = casts[random.integers(len(casts))]
                pieces = int(VISIT_S / HOLD_S)
                rows = np.where(
                    random.random(pieces) < calm_share,
                    random.choice(calm, pieces),
                    random.choice(moved, pieces),
                )
                shown = np.repeat(rows, int(HOLD_S / STEP_S))
                true = np.bincount(people.labels[shown], minlength=len(people.emotions))
                plain, relative = people.probabilities[shown], _compared(people, shown)
                found = (plain, relative, _best(plain), _best(relative))
                means = [each.mean(axis=0) - true / len(shown) for each in found]
                errors.append([100 * np.abs(mean).mean() for mean in means])
            errors = np.array(errors)
            gains = [errors[:, 1] - errors[:, 0], errors[:, 3] - errors[:, 2]]
            cells = _intervals(np.column_stack([errors[:, :2], gains[0], errors[:, 2:], gains[1]]))
            lines.append(f"| {people.name} | {calm_share:.0%} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _best(rows: np.ndarray) -> np.ndarray:
    """Return rows with 1 for the most probable emotion and 0 for the others."""
    return np.eye(rows.shape[1])[rows.argmax(axis=1)]


def _intervals(rows) -> list[str]:
    """Return the mean of each column with a 95 % bootstrap interval over the rows."""
    table = np.array(rows)
    drawn = np.random.default_rng(0).integers(0, len(table), (2000, len(table)))
    low, high = np.percentile(table[drawn].mean(axis=1), [2.5, 97.5], axis=0)
    return [
        f"{mean:.3f} [{a:.3f}, {b:.3f}]"
        for mean, a, b in zip(table.mean(axis=0), low, high, strict=True)
    ]


if __name__ == "__main__":
    main()
