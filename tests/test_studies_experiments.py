"""Experiments: plans are sound, a trial gives its row, a plan goes on, gains are paired."""

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
from studies.experiments import PLANS, Trial, plans, run_plan, run_trial, schedule
from studies.experiments.__main__ import main
from studies.experiments.plans import find_trial
from studies.experiments.report import screening_table, write_reports
from studies.experiments.summary import (
    add_prediction,
    read_predictions,
    summarise,
)
from studies.experiments.trial import training_samples


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
    trials = [
        toy_trial(variant, seed, **options)
        for seed in (0, 1)
        for variant, options in (("baseline", {}), ("adjusted", adjusted))
    ]
    monkeypatch.setitem(PLANS, "ablations", lambda: iter(trials))

    def run_here(trial, runs, source, jobs, deadline):
        run_trial(trial, runs, source=source)
        return True, ""

    monkeypatch.setattr(schedule, "_run_in_process", run_here)
    return trials


def test_every_plan_has_different_trials_that_can_be_built():
    for name, plan in PLANS.items():
        trials = list(plan())
        keys = [trial.key for trial in trials]
        assert len(set(keys)) == len(keys)
        for trial in trials:
            assert trial.study == name
            assert trial.balancer in BALANCERS
            assert trial.labels in plans.LABELS
            assert trial.decision in plans.DECISIONS
            assert trial.training_key in keys
            assert find_trial(name, trial.key) == trial


def test_ablations_differ_from_the_baseline_in_what_they_say_only():
    trials = list(PLANS["ablations"]())
    base = trials[0].config
    assert {trial.config.seed for trial in trials} == {0, 1, 2}
    assert {trial.config.epochs for trial in trials} == {base.epochs}
    assert {trial.config.epoch_faces for trial in trials} == {base.epoch_faces}
    balancing = [trial for trial in trials if trial.balancer != "none" and trial.config.seed == 0]
    assert {trial.config for trial in balancing} == {base}
    assert {trial.balancer for trial in balancing} == set(BALANCERS) - {"none"}


def test_screening_covers_the_registry_on_the_same_faces():
    trials = list(PLANS["screening"]())
    assert {trial.config.network for trial in trials} >= set(NETWORKS) - {"tiny"}
    assert len({trial.train_faces for trial in trials}) == 1
    for trial in trials:
        assert trial.config.stages[0].size >= NETWORKS[trial.config.network].min_size
    low = {trial.config.network for trial in trials if trial.config.learning_rate < 1e-3}
    assert {"vgg16", "vit_b8", "ferplus_vgg13"} < low and not {"compact", "resnet50"} & low


def test_an_unknown_trial_is_refused():
    with pytest.raises(ValueError, match=r"Expected a trial of the plan 'ablations'.*'no-such'"):
        find_trial("ablations", "no-such")


@pytest.mark.slow
def test_a_trial_gives_its_row_and_its_predictions(source, tmp_path):
    row = run_trial(toy_trial(), tmp_path, source=source)
    assert (row["trial"], row["network"], row["seed"]) == ("baseline-baseline-s0", "tiny", 0)
    assert (row["train_faces"], row["labels"], row["balancer"]) == ("all", "hard", "none")
    for split in ("valid", "test"):
        found = np.load(tmp_path / "ablations/baseline-baseline-s0" / f"{split}.npy")
        assert found.shape == (27, 9)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=0.01)
    assert set(FERPLUS_EIGHT) == {
        c.removeprefix("test_eight_recall_") for c in row if c.startswith("test_eight_recall_")
    }
    assert 0 <= row["valid_nine_accuracy"] <= 1
    assert json.loads((tmp_path / "ablations/baseline-baseline-s0/row.json").read_text()) == row
    assert run_trial(toy_trial(), tmp_path, source=tmp_path / "gone") == row, "only read"


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
def test_a_plan_goes_on_where_it_stopped(toy_plan, source, tmp_path):
    table = tmp_path / "experiments.csv"
    options = {"table": table, "runs": tmp_path / "runs", "source": source}
    assert run_plan("ablations", **options, groups=["baseline"]) == []
    assert [trial.key for trial in schedule.pending_trials("ablations", table)] == [
        "toys-adjusted-s0",
        "toys-adjusted-s1",
    ]
    first = table.read_text()
    assert run_plan("ablations", **options) == []
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["trial"] for row in rows) == sorted(trial.key for trial in toy_plan)
    assert table.read_text().startswith(first)
    predictions = read_predictions(tmp_path / schedule.PREDICTIONS)
    assert set(predictions) == {trial.key for trial in toy_plan}
    assert all(labels.shape == (27,) and labels.max() < 8 for labels in predictions.values())

    trained = {path.parent.name for path in (tmp_path / "runs/ablations").glob("*/last.keras")}
    assert trained == {"baseline-baseline-s0", "baseline-baseline-s1"}, "judged twice, trained once"

    written = write_reports(table, tmp_path / schedule.PREDICTIONS, tmp_path, source)
    assert all(path.stat().st_size for path in written)
    report = (tmp_path / "ablations.md").read_text()
    assert "| toys | adjusted | 2 |" in report and "builder-tools experiment" in report


@pytest.mark.slow
def test_a_failed_trial_is_named_and_the_others_run(toy_plan, source, tmp_path, monkeypatch):
    run_here = schedule._run_in_process

    def fail_once(trial, *rest):
        return (True, "exit code 1: no") if trial.variant == "baseline" else run_here(trial, *rest)

    monkeypatch.setattr(schedule, "_run_in_process", fail_once)
    options = {"table": tmp_path / "e.csv", "runs": tmp_path / "runs", "source": source}
    failed = run_plan("ablations", **options)
    assert failed == ["baseline-baseline-s0", "baseline-baseline-s1"]
    assert len(pd.read_csv(tmp_path / "e.csv")) == 2


def test_no_trial_begins_after_the_time(tmp_path):
    ran, message = schedule._run_in_process(toy_trial(), tmp_path, None, 1, deadline=0)
    assert (ran, message) == (False, "")
    assert list(tmp_path.iterdir()) == []


def test_a_trial_in_a_process_of_its_own_says_why_it_failed(tmp_path):
    trial = dataclasses.replace(toy_trial(), study="screening", variant="gone")
    ran, message = schedule._run_in_process(trial, tmp_path, None, 1, deadline=float("inf"))
    assert ran and message.startswith("exit code 2") and "log.txt" in message


def test_list_prints_what_is_pending(toy_plan, tmp_path, capsys):
    assert main(["ablations", "--list", "--table", str(tmp_path / "no.csv")]) == 0
    assert capsys.readouterr().out.splitlines() == [trial.key for trial in toy_plan]


def trials_table(*variants: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trial": [f"{v}-s{seed}" for v in variants for seed in (0, 1)],
            "group": ["baseline" if v == "baseline" else "g" for v in variants for _ in (0, 1)],
            "variant": [v for v in variants for _ in (0, 1)],
        }
    )


def test_a_summary_by_hand():
    """Two classes, one face left out. The variant finds one more of the second class."""
    labels = np.array([0, 0, 0, 1, 1, -1])
    predictions = {
        "baseline-s0": np.array([0, 0, 0, 0, 0, 5]),
        "baseline-s1": np.array([0, 0, 1, 1, 0, 5]),
        "better-s0": np.array([0, 0, 0, 1, 0, 0]),
        "better-s1": np.array([0, 0, 1, 1, 1, 0]),
    }
    summary = summarise(trials_table("baseline", "better"), predictions, labels)
    base, better = summary.to_dict("records")
    assert base["accuracy"] == pytest.approx((3 / 5 + 3 / 5) / 2)
    assert better["accuracy"] == pytest.approx((4 / 5 + 4 / 5) / 2)
    assert better["accuracy_gain"] == pytest.approx(0.2)
    assert better["mean_recall"] == pytest.approx(((1 + 1 / 2) / 2 + (2 / 3 + 1) / 2) / 2)
    # F1 of the first seed 6/7 and 2/3, of the second 4/5 and 4/5.
    assert better["macro_f1"] == pytest.approx(((6 / 7 + 2 / 3) / 2 + 4 / 5) / 2)
    second = f"recall_{FERPLUS_EIGHT.names[1]}"
    assert (base[second], better[second]) == (pytest.approx(0.25), pytest.approx(0.75))
    assert base["accuracy_gain"] == base["accuracy_gain_low"] == 0
    assert better["accuracy_gain_low"] >= 0 <= better["accuracy_gain_high"]
    assert better["accuracy_low"] < better["accuracy"] < better["accuracy_high"]
    assert base["accuracy_sd"] == 0


def test_a_summary_needs_the_baseline():
    with pytest.raises(ValueError, match="baseline among the trials"):
        summarise(
            trials_table("better"),
            {"better-s0": np.zeros(3, int), "better-s1": np.zeros(3, int)},
            np.array([0, 0, 1]),
        )


def test_predictions_are_added(tmp_path):
    file = tmp_path / "p.npz"
    add_prediction(file, "one", np.array([1, 2]))
    add_prediction(file, "two", np.array([3, 4]))
    found = read_predictions(file)
    assert {name: labels.tolist() for name, labels in found.items()} == {
        "one": [1, 2],
        "two": [3, 4],
    }
    assert list(tmp_path.iterdir()) == [file]


def test_the_screening_table_joins_costs_and_is_sorted():
    rows = pd.DataFrame(
        {
            "network": ["slow", "quick", "quick"],
            "parameters": [2, 1, 1],
            "size": 48,
            "learning_rate": [1e-3, 1e-3, 1e-4],
            "valid_eight_accuracy": [0.4, 0.45, 0.5],
            "test_eight_accuracy": [0.41, 0.55, 0.51],
            "test_eight_macro_f1": 0.2,
            "minutes": 1.0,
        }
    )
    costs = pd.DataFrame({"network": ["quick"], "gflop": [0.1], "ms_per_face": [2.0]})
    table = screening_table(rows, costs)
    assert table["network"].tolist() == ["quick", "slow"]
    assert table["rate"].tolist() == [1e-4, 1e-3]  # the better on valid, whatever test says
    assert table["ms_per_face"].iloc[0] == 2.0 and np.isnan(table["ms_per_face"].iloc[1])
