"""Plans of trials: they are sound, a trial gives its row, a plan goes on, gains are paired."""

import csv
import dataclasses
import json
import os

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")

from toy_study import tiny_spec, toy_faces, write_official

from builder_tools.balancing import BALANCERS
from builder_tools.datasets.ferplus import load_ferplus
from builder_tools.emotions import FERPLUS_EIGHT, NINE_EMOTIONS
from builder_tools.networks import NETWORKS
from builder_tools.training import Stage, TrainingConfig
from studies import ablations, plans, schedules, screening, transfer
from studies.ablations import ablation_trials, summarise
from studies.plans import find_trial, keep_answers, plan_command, read_answers, run_apart
from studies.screening import screening_table, screening_trials
from studies.table import Job, hash_of
from studies.trials import Trial, finished_row, run_trial, training_samples

PLANS = (ablations.PLAN, schedules.PLAN, screening.PLAN, transfer.PLAN)


@pytest.fixture(scope="module", autouse=True)
def tiny_is_a_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", tiny_spec(16))
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_official(tmp_path_factory.mktemp("ferplus"), toy_faces())


def toy_trial(variant: str = "baseline", seed: int = 0, **options) -> Trial:
    config = TrainingConfig(
        network="tiny",
        stages=(Stage(16, 1),),
        batch_size=16,
        precision="float32",
        epoch_faces=32,
        seed=seed,
    )
    group = "baseline" if variant == "baseline" else "toys"
    return Trial("ablations", group, variant, config, **options)


@pytest.fixture
def toy_plan(monkeypatch):
    """A plan of two variants and two seeds, run in this process."""
    adjusted = {"decision": "balanced", "trained_as": "baseline"}

    def toy_trials(seeds):
        for seed in seeds:
            yield toy_trial("baseline", seed)
            yield toy_trial("adjusted", seed, **adjusted)

    def run_here(trial, runs, *, source, at_once):
        return run_trial(trial, runs, source=source)

    monkeypatch.setattr(plans, "run_apart", run_here)
    return dataclasses.replace(ablations.PLAN, seeds=(0, 1), trials=toy_trials)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.study)
def test_every_plan_has_different_trials_that_can_be_built(plan):
    trials = list(plan.trials(plan.seeds))
    keys = [trial.key for trial in trials]
    assert len(set(keys)) == len(keys)
    assert len({Job("", trial.outcome, dict).config_sha256 for trial in trials}) == len(trials)
    for trial in trials:
        assert trial.study == plan.study
        assert trial.balancer in {"none", *BALANCERS}
        assert trial.labels in ("hard", "soft")
        assert trial.decision in ("natural", "balanced")
        assert trial.training_key in keys
        assert find_trial(trials, trial.key) == trial
    with pytest.raises(ValueError, match=r"Expected the key of a trial. Received: 'no-such'"):
        find_trial(trials, "no-such")


def test_ablations_differ_from_the_baseline_in_what_they_say_only():
    trials = list(ablation_trials())
    base = trials[0].config
    assert {trial.config.seed for trial in trials} == {0, 1, 2}
    assert {trial.config.epochs for trial in trials} == {base.epochs}
    assert {trial.config.epoch_faces for trial in trials} == {base.epoch_faces}
    balancing = [trial for trial in trials if trial.balancer != "none" and trial.config.seed == 0]
    assert {trial.config for trial in balancing} == {base}
    assert {trial.balancer for trial in balancing} == set(BALANCERS) - {"none"}


def test_screening_covers_the_registry_on_the_same_faces():
    trials = list(screening_trials())
    assert {trial.config.network for trial in trials} >= set(NETWORKS) - {"tiny"}
    assert len({trial.train_faces for trial in trials}) == 1
    for trial in trials:
        assert trial.config.stages[0].size >= NETWORKS[trial.config.network].min_size
    low = {trial.config.network for trial in trials if trial.config.learning_rate < 1e-3}
    assert {"vgg16", "vit_b8", "ferplus_vgg13"} < low and not {"compact", "resnet50"} & low


@pytest.mark.slow
def test_a_trial_is_judged_on_valid_alone(source, tmp_path):
    row = run_trial(toy_trial(), tmp_path, source=source)
    assert (row["trial"], row["network"], row["seed"]) == ("baseline-baseline-s0", "tiny", 0)
    assert (row["train_faces"], row["labels"], row["balancer"]) == ("all", "hard", "none")
    folder = tmp_path / "baseline-baseline-s0"
    found = np.load(folder / "valid.npy")
    assert found.shape == (27, 9)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=0.01)
    recalls = [c for c in row if c.startswith("valid_eight_recall_")]
    assert {c.removeprefix("valid_eight_recall_") for c in recalls} == set(FERPLUS_EIGHT)
    # three faces of each of the nine emotions: accuracy is the mean of the recalls
    assert row["valid_eight_accuracy"] == pytest.approx(
        np.mean([row[name] for name in recalls]), abs=1e-3
    )
    assert not [name for name in row if name.startswith("test")] and "test.npy" not in {
        path.name for path in folder.iterdir()
    }
    assert json.loads((folder / "row.json").read_text()) == row
    assert run_trial(toy_trial(), tmp_path, source=tmp_path / "gone") == row, "only read"
    assert finished_row(toy_trial(), tmp_path) == row
    assert finished_row(toy_trial(labels="soft"), tmp_path) is None, "of the same name"


@pytest.mark.parametrize("balancer", ["random_oversampling", "pixel_smote", "augmentation_smote"])
def test_balanced_samples_are_balanced(source, balancer):
    faces = load_ferplus(source).split("train")
    thinned = faces.rows(np.arange(len(faces)) % 6 < np.where(faces.votes[:, 0] > 5, 6, 4))
    samples = training_samples(toy_trial(balancer=balancer), thinned)
    assert samples.targets.sum(axis=0).tolist() == [6.0] * len(NINE_EMOTIONS)
    assert (samples.targets.max(axis=1) == 1).all()
    assert samples.images.dtype == np.uint8 and len(samples.images) == 54


def test_soft_labels_and_subsets(source):
    faces = load_ferplus(source).split("train")
    soft = training_samples(toy_trial(labels="soft"), faces)
    assert soft.targets.max() < 1
    few = training_samples(toy_trial(train_faces=18), faces)
    assert few.targets.sum(axis=0).tolist() == [2.0] * 9, "stratified"
    again = training_samples(toy_trial(seed=5, train_faces=18), faces)
    np.testing.assert_array_equal(few.images, again.images)


@pytest.mark.slow
def test_a_plan_goes_on_where_it_stopped(toy_plan, source, tmp_path, capsys):
    words = ["--reports", str(tmp_path), "--runs", str(tmp_path / "runs"), "--source", str(source)]
    assert plan_command(toy_plan, [*words, "--groups", "baseline"]) == 0
    capsys.readouterr()
    assert plan_command(toy_plan, [*words, "--list"]) == 0
    assert capsys.readouterr().out.splitlines() == ["toys-adjusted-s0", "toys-adjusted-s1"]
    table = tmp_path / "experiments.csv"
    first = table.read_text()
    assert plan_command(toy_plan, words) == 0
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    keys = {f"{name}-s{seed}" for name in ("baseline-baseline", "toys-adjusted") for seed in (0, 1)}
    assert {row["trial"] for row in rows} == keys and len(rows) == 4
    assert table.read_text().startswith(first)
    answers = read_answers(tmp_path, "valid")
    assert set(answers) == keys
    assert all(labels.shape == (27,) and labels.max() < 8 for labels in answers.values())
    trained = {path.parent.name for path in (tmp_path / "runs").glob("*/last.keras")}
    assert trained == {"baseline-baseline-s0", "baseline-baseline-s1"}, "judged twice, trained once"
    report = (tmp_path / "ablations.md").read_text()
    assert "| toys | adjusted | 2 |" in report and "python -m studies.ablations" in report
    assert "kept their answers" not in report, "all answers are those of valid"
    summary = pd.read_csv(tmp_path / "ablations.csv")
    assert summary["seeds"].tolist() == [2, 2]


@pytest.mark.slow
def test_a_failed_trial_is_named_and_the_others_run(
    toy_plan, source, tmp_path, monkeypatch, capsys
):
    run_here = plans.run_apart

    def fail_adjusted(trial, runs, **options):
        if trial.variant == "adjusted":
            raise RuntimeError("exit code 1: no")
        return run_here(trial, runs, **options)

    monkeypatch.setattr(plans, "run_apart", fail_adjusted)
    words = ["--reports", str(tmp_path), "--runs", str(tmp_path / "runs"), "--source", str(source)]
    assert plan_command(toy_plan, words) == 1
    told = capsys.readouterr().err
    assert "missing: 2" in told and "toys-adjusted-s1: exit code 1: no" in told
    assert pd.read_csv(tmp_path / "experiments.csv")["variant"].tolist() == ["baseline"] * 2


def test_a_trial_in_a_process_of_its_own_says_why_it_failed(tmp_path):
    trial = dataclasses.replace(toy_trial(), study="screening", variant="gone")
    with pytest.raises(
        RuntimeError, match=r"exit code 2: .*Received: 'baseline-gone-s0'.*log\.txt"
    ):
        run_apart(trial, tmp_path, source=None, at_once=2)


def log_rows(*variants: str) -> pd.DataFrame:
    """Rows of two seeds a variant, all figures on valid a tenth of the seed above 0.5."""
    rows = []
    for variant in variants:
        for seed in (0, 1):
            group = "baseline" if variant == "baseline" else "g"
            row = {"trial": f"{variant}-s{seed}", "group": group, "variant": variant, "seed": seed}
            value = 0.5 + 0.1 * seed + (0.2 if variant == "better" else 0)
            names = [*ablations.FIGURES, *ablations.RECALLS]
            rows.append(row | {f"valid_eight_{name}": value for name in names})
    return pd.DataFrame(rows)


LABELS = np.array([0, 0, 0, 1, 1, -1])
ANSWERS = {
    "baseline-s0": np.array([0, 0, 0, 0, 0, 5]),
    "baseline-s1": np.array([0, 0, 1, 1, 0, 5]),
    "better-s0": np.array([0, 0, 0, 1, 0, 0]),
    "better-s1": np.array([0, 0, 1, 1, 1, 0]),
}


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_summary_by_hand(split):
    """Values are the log's, of valid; answers on either split say how wide the interval is."""
    summary = summarise(log_rows("baseline", "better"), {split: ANSWERS}, {split: LABELS})
    base, better = summary.to_dict("records")
    assert (better["variant"], better["seeds"]) == ("better", 2)
    assert base["accuracy"] == pytest.approx(0.55) and better["accuracy"] == pytest.approx(0.75)
    assert base[f"recall_{FERPLUS_EIGHT.names[1]}"] == pytest.approx(0.55)
    assert base["accuracy_gain"] == base["accuracy_gain_low"] == base["accuracy_gain_sd"] == 0
    # one face of five more is right in both seeds: half of all draws of five faces give 0 to 0.4
    assert better["accuracy_gain"] == pytest.approx(0.2)
    assert better["accuracy_gain_low"] == pytest.approx(0, abs=0.05)
    assert 0.4 <= better["accuracy_gain_high"] <= 0.65
    assert better["accuracy_gain_sd"] == pytest.approx(0, abs=1e-12)


def test_gains_that_differ_between_seeds_have_wide_intervals():
    rows = log_rows("baseline", "better")
    rows.loc[rows["trial"] == "better-s1", "valid_eight_accuracy"] = 0.6  # gains 0.2 and 0
    better = summarise(rows, {"test": ANSWERS}, {"test": LABELS}).to_dict("records")[1]
    assert better["accuracy_gain"] == pytest.approx(0.1)
    # t(1) = 12.7: 12.7 * 0.1414 / sqrt(2) = 1.27 from the seeds alone
    assert better["accuracy_gain_low"] < 0.1 - 1.27 and better["accuracy_gain_high"] > 0.1 + 1.27


def test_a_summary_needs_baselines_and_answers():
    with pytest.raises(ValueError, match=r"Expected a baseline of seed 0\. Received: none"):
        summarise(log_rows("better"), {"test": ANSWERS}, {"test": LABELS})
    with pytest.raises(ValueError, match=r"Expected kept answers of baseline-s0 and baseline-s0"):
        summarise(log_rows("baseline"), {"valid": {}}, {"valid": LABELS})


def test_answers_are_kept_beside_the_log(tmp_path):
    for number, trial in enumerate((toy_trial(), toy_trial("other"))):
        (tmp_path / trial.key).mkdir()
        certain = np.eye(9)[[number, number + 1]]
        np.save(tmp_path / trial.key / "valid.npy", certain)
        row = {"config_sha256": hash_of(trial.outcome)}
        (tmp_path / trial.key / "row.json").write_text(json.dumps(row))
        keep_answers([trial, toy_trial("not run")], tmp_path, tmp_path)
    found = read_answers(tmp_path, "valid")
    assert {key: labels.tolist() for key, labels in found.items()} == {
        "baseline-baseline-s0": [0, 1],
        "toys-other-s0": [1, 2],
    }
    assert read_answers(tmp_path, "test") == {}


def test_the_screening_table_joins_costs_and_is_sorted():
    rows = pd.DataFrame(
        {
            "network": ["slow", "quick", "quick"],
            "variant": ["slow", "quick", "quick_low_rate"],
            "seed": 0,
            "parameters": [2, 1, 1],
            "size": 48,
            "learning_rate": [1e-3, 1e-3, 1e-4],
            "valid_eight_accuracy": [0.4, 0.45, 0.5],
            "valid_eight_accuracy_95": ["[0.3, 0.5]", "[0.35, 0.5]", "[0.4, 0.6]"],
            "valid_eight_macro_f1": 0.2,
            "minutes": 1.0,
        }
    )
    costs = pd.DataFrame({"network": ["quick"], "gflop": [0.1], "ms_per_face": [2.0]})
    table = screening_table(rows, costs)
    assert table["network"].tolist() == ["quick", "slow"]
    assert table["rate"].tolist() == [1e-4, 1e-3], "the better on valid"
    assert table["accuracy_low"].tolist() == [0.4, 0.3] and table["seeds"].tolist() == [1, 1]
    assert table["ms_per_face"].iloc[0] == 2.0 and np.isnan(table["ms_per_face"].iloc[1])
