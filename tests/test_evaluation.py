"""Protocols on hand-made vote tables and the real ones; figures worked by hand."""

import math
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builder_tools.datasets.ferplus import vote_distribution
from builder_tools.datasets.labels import agreement
from builder_tools.decisions import apply_decision
from builder_tools.emotions import (
    FER2013_SEVEN,
    FERPLUS_EIGHT,
    FERPLUS_VOTE_COLUMNS,
    NINE_EMOTIONS,
    EmotionSet,
)
from builder_tools.evaluation import (
    PROTOCOLS,
    balanced_decision,
    evaluate,
    expected_calibration_error,
    fer2013_seven_labels,
    format_report,
    judge,
    majority_eight_labels,
    majority_seven_labels,
    nine_class_labels,
    paired_gains,
    reliability_bins,
    restrict,
)

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("BUILDER_TOOLS_DATA", REPOSITORY.parent / "shared" / "data"))
PAIR = EmotionSet(("happy", "sad"))


def votes(**counts):
    return [counts.get(column, 0) for column in FERPLUS_VOTE_COLUMNS]


@pytest.mark.parametrize(
    ("counts", "eight", "nine"),
    [
        ({"happiness": 10}, "happy", "happy"),
        ({"happiness": 6, "neutral": 4}, "happy", "happy"),
        ({"happiness": 5, "neutral": 5}, None, "uncertain"),
        ({"happiness": 5, "neutral": 3, "sadness": 2}, None, "uncertain"),
        # Single votes go first: 5 of 5 + 4, not 5 of 10.
        ({"happiness": 5, "neutral": 4, "sadness": 1}, "happy", "happy"),
        # The single NF and unknown votes go, too.
        ({"fear": 3, "neutral": 2, "NF": 1, "unknown": 1}, "fear", "fear"),
        # Votes for unknown stay in the sum.
        ({"anger": 5, "unknown": 5}, None, "uncertain"),
        ({"unknown": 7, "anger": 3}, None, "uncertain"),
        ({"NF": 6, "neutral": 4}, None, None),
        ({"NF": 5, "neutral": 5}, None, "uncertain"),
        # Nothing is left of single votes only.
        ({"anger": 1, "fear": 1, "sadness": 1}, None, "uncertain"),
        ({"contempt": 4, "disgust": 2}, "contempt", "contempt"),
    ],
)
def test_majority_rule(counts, eight, nine):
    table = np.array([votes(**counts)])
    assert majority_eight_labels(table) == (-1 if eight is None else FERPLUS_EIGHT.label(eight))
    assert nine_class_labels(table) == (-1 if nine is None else NINE_EMOTIONS.label(nine))
    seven = FER2013_SEVEN.label(eight) if eight in FER2013_SEVEN else -1
    assert majority_seven_labels(table) == seven


def test_votes_may_be_a_table_in_any_column_order():
    table = pd.DataFrame([votes(fear=9, neutral=3)], columns=list(FERPLUS_VOTE_COLUMNS))
    assert majority_eight_labels(table.iloc[:, ::-1]) == FERPLUS_EIGHT.label("fear")
    with pytest.raises(ValueError, match=r"without \['fear'\]"):
        majority_eight_labels(table.drop(columns="fear"))


@pytest.mark.parametrize(
    "bad",
    [
        *(np.zeros((2, 9)), np.zeros(10), -np.ones((1, 10))),
        np.array([votes(fear=8), votes(fear=6, anger=2)]) / 8,  # shares: 1.0 is no single vote
        np.where(np.arange(10) == 6, 8, np.nan)[None],
        pd.DataFrame([votes(fear=8)], columns=list(FERPLUS_VOTE_COLUMNS), dtype="Int64").replace(
            0, pd.NA
        ),
        np.full((1, 10), "many"),
    ],
)
def test_bad_votes_are_refused(bad):
    for function in (majority_eight_labels, nine_class_labels, agreement, vote_distribution):
        with pytest.raises(ValueError, match="Expected votes as"):
            function(bad)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float32, object])
def test_many_votes_in_a_small_type_are_counted(dtype):
    many = np.array([votes(fear=100, neutral=20)]).astype(dtype)
    assert majority_eight_labels(many) == FERPLUS_EIGHT.label("fear")


@pytest.mark.skipif(not (DATA / "ferplus.zip").is_file(), reason="FER+ is not at hand")
@pytest.mark.parametrize(
    ("split", "total", "eight", "nine"),
    [
        ("Train", 28558, 25045, 28556),
        ("Valid", 3579, 3191, 3579),
        ("Test", 3573, 3137, 3573),
    ],
)
def test_counts_of_the_real_splits(split, total, eight, nine):
    with (
        zipfile.ZipFile(DATA / "ferplus.zip") as archive,
        archive.open(f"FER2013{split}/label.csv") as file,
    ):
        table = pd.read_csv(file, names=["name", "box", *FERPLUS_VOTE_COLUMNS])
    assert len(table) == total
    assert (majority_eight_labels(table) >= 0).sum() == eight
    assert (nine_class_labels(table) >= 0).sum() == nine


def test_fer2013_labels_leave_out_ambiguous_images():
    table = pd.DataFrame(
        {"emotion": ["angry", "neutral", "happy"], "ambiguous_labels": [None, "", "happy|sad"]}
    )
    expected = [FER2013_SEVEN.label("anger"), FER2013_SEVEN.label("neutral"), -1]
    assert fer2013_seven_labels(table).tolist() == expected
    with pytest.raises(ValueError, match=r"Received: \['bored'\]"):
        fer2013_seven_labels(table.assign(emotion="bored"))


@pytest.mark.skipif(not (DATA / "fer2013_labels.csv").is_file(), reason="FER2013 is not at hand")
def test_counts_of_the_real_fer2013_labels():
    labels = fer2013_seven_labels(pd.read_csv(DATA / "fer2013_labels.csv"))
    assert (len(labels), (labels < 0).sum()) == (35710, 102)


def test_every_protocol_is_registered_under_its_name():
    assert {"ferplus-majority-8", "ferplus-nine", "fer2013-7"} <= set(PROTOCOLS)
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())


def test_restrict_picks_by_name_and_renormalises():
    found = restrict(
        np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0]]),
        EmotionSet(list("abc")),
        EmotionSet(list("ca")),
    )
    np.testing.assert_allclose(found, [[0.6, 0.4], [0.5, 0.5]])
    with pytest.raises(ValueError, match=r"without \['z'\]"):
        restrict(np.ones((1, 3)), EmotionSet(list("abc")), EmotionSet(list("az")))


def test_figures_worked_by_hand():
    """True happy x4 (three found), sad x2 (one found): confusion [[3, 1], [1, 1]]."""
    y_true = np.array([0, 0, 0, 0, 1, 1])
    sure = np.array([0.9, 0.8, 0.7, 0.4, 0.6, 0.2])
    found = evaluate(y_true, np.stack([sure, 1 - sure], axis=1), PAIR)
    assert found.confusion.tolist() == [[3, 1], [1, 1]]
    assert found.n == 6
    assert found.accuracy.value == pytest.approx(4 / 6)
    assert found.per_class_recall["happy"].value == pytest.approx(3 / 4)
    assert found.per_class_recall["sad"].value == pytest.approx(1 / 2)
    assert found.mean_recall.value == pytest.approx(5 / 8)
    assert found.macro_f1.value == pytest.approx((6 / 8 + 2 / 4) / 2)
    assert found.support == {"happy": 4, "sad": 2}


def test_intervals_match_resampling_images_one_by_one():
    rng = np.random.default_rng(5)
    y_true = rng.integers(0, 2, 400)
    probabilities = (rng.dirichlet((1, 1), 400) + 0.7 * np.eye(2)[y_true]) / 1.7
    found = evaluate(y_true, probabilities, PAIR)
    right = probabilities.argmax(axis=1) == y_true
    drawn = right[rng.integers(0, 400, (2000, 400))].mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    assert found.accuracy.low == pytest.approx(low, abs=0.01)
    assert found.accuracy.high == pytest.approx(high, abs=0.01)
    assert found.mean_recall.low < found.mean_recall.value < found.mean_recall.high


def test_figures_agree_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(6)
    y_true = rng.integers(0, 9, 500)
    probabilities = (rng.dirichlet(np.ones(9), 500) + 0.3 * np.eye(9)[y_true]) / 1.3
    found, y_pred = evaluate(y_true, probabilities, NINE_EMOTIONS), probabilities.argmax(axis=1)
    assert found.accuracy.value == pytest.approx(metrics.accuracy_score(y_true, y_pred))
    assert found.macro_f1.value == pytest.approx(metrics.f1_score(y_true, y_pred, average="macro"))
    assert found.mean_recall.value == pytest.approx(metrics.balanced_accuracy_score(y_true, y_pred))


def test_evaluation_is_deterministic():
    rng = np.random.default_rng(7)
    y_true, probabilities = rng.integers(0, 9, 300), rng.dirichlet(np.ones(9), 300)
    first, second = (evaluate(y_true, probabilities, NINE_EMOTIONS) for _ in range(2))
    assert first == second
    assert first.to_dict() == second.to_dict()
    assert evaluate(y_true, probabilities, NINE_EMOTIONS, seed=1) != first


def test_a_class_that_is_always_or_never_found_has_an_exact_interval():
    """By the bootstrap, 0 of 4 was 0 [0, 0], as if nobody of the class were ever found."""
    labels = np.repeat([0, 1], [4, 10])
    found = evaluate(labels, np.tile([0.1, 0.9], (14, 1)), PAIR).per_class_recall.values()
    first, second = ((each.value, each.low, each.high) for each in found)
    np.testing.assert_allclose(first, (0, 0, 0.6024), atol=1e-4)  # tables of Clopper and Pearson
    np.testing.assert_allclose(second, (1, 0.6915, 1), atol=1e-4)


def test_a_mean_recall_of_one_is_no_surer_than_its_rare_classes():
    """5 and 995 faces, all found, gave [0.9963, 1], though 5 of 5 alone gives [0.478, 1]."""
    labels = np.repeat([0, 1], [5, 995])
    found = evaluate(labels, np.eye(2)[labels], PAIR)
    assert found.accuracy.low == pytest.approx(0.025 ** (1 / 1000))
    for figure in (found.mean_recall, found.macro_f1):
        assert (figure.low, figure.high) == (pytest.approx((1 + 0.025 ** (1 / 5)) / 2), 1)
    none = evaluate(labels, np.eye(2)[1 - labels], PAIR).mean_recall
    assert (none.value, none.low, none.high) == (0, 0, pytest.approx(1 - found.mean_recall.low))


def test_a_mean_recall_of_one_over_classes_of_one_size_is_as_sure_as_all_their_faces():
    labels = np.arange(40) % 2
    assert evaluate(labels, np.eye(2)[labels], PAIR).mean_recall.low == pytest.approx(0.025**0.025)
    found = evaluate(labels, np.eye(2)[labels], PAIR, groups=np.repeat(list("abcdefghij"), 4))
    assert found.mean_recall.low == pytest.approx(0.025**0.1)  # each shows both emotions


def test_people_who_are_always_found_count_once_in_the_interval():
    found = evaluate(np.zeros(40, int), np.tile([0.9, 0.1], (40, 1)), PAIR, groups=["a", "b"] * 20)
    recall = found.per_class_recall[PAIR[0]]
    assert (recall.value, recall.high) == (1, 1)
    assert recall.low == pytest.approx(0.1581, abs=1e-4)  # 2 of 2


def test_absent_classes_are_left_out_of_means():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0]])
    found = evaluate(np.array([0, 0]), probabilities, EmotionSet(list("abc")))
    assert found.mean_recall.value == found.macro_f1.value == 1.0
    assert math.isnan(found.per_class_recall["b"].value)
    assert found.to_dict()["per_class_recall"] == {"a": 1.0, "b": None, "c": None}


@pytest.mark.parametrize(
    ("y_true", "probabilities", "message"),
    [
        ([0, -1], [[1, 0], [1, 0]], "labelled -1"),
        ([0, 2], [[1, 0], [1, 0]], r"labels 0\.\.\.1"),
        ([0], [[1, 0], [1, 0]], r"probabilities \(n, 2\)"),
        ([], np.zeros((0, 2)), "n >= 1"),
        ([0], [[np.nan, 0]], "1 rows"),
    ],
)
def test_bad_input_is_refused(y_true, probabilities, message):
    with pytest.raises(ValueError, match=message):
        evaluate(np.array(y_true, int), np.array(probabilities), PAIR)


@pytest.mark.parametrize("labels", [[0.9, 1.0], [0, np.nan], ["happy", "sad"], [0, -1], [0, 2]])
def test_labels_that_are_none_are_refused(labels):
    """0.9 was taken for class 0, and a prediction beyond the classes for one of another image."""
    with pytest.raises(ValueError, match=r"Expected labels 0\.\.\.1.*Received: "):
        evaluate(np.array(labels), np.eye(2), PAIR)
    for triple in ((labels, [0, 1], [0, 1]), ([0, 1], labels, [0, 1]), ([0, 1], [0, 1], labels)):
        with pytest.raises(ValueError, match=r"Expected labels 0\.\.\.1.*Received: "):
            paired_gains(*map(np.array, triple), 2)


def test_labels_may_be_numbers_in_a_column_of_objects():
    """They were refused: "Expected labels 0...1, whole numbers. Received: [0, 1, 1]"."""
    labels, plain = pd.Series([0, 1, 1], dtype=object), [0, 1, 1]
    assert paired_gains(labels, plain, plain, 2) == paired_gains(plain, plain, plain, 2)
    probabilities = np.eye(2)[plain]
    assert evaluate(labels, probabilities, PAIR).accuracy.value == 1
    with pytest.raises(ValueError, match=r"whole numbers\. Received: \['0', 1\]"):
        evaluate(np.array(["0", 1], object), np.eye(2), PAIR)


def test_calibration_error_worked_by_hand():
    """Two bins: sure 0.6 right 1 of 2; sure 0.9 right 2 of 2. (2 * 0.1 + 2 * 0.1) / 4 = 0.1."""
    sure = np.array([0.6, 0.6, 0.9, 0.9])
    probabilities, y_true = np.stack([sure, 1 - sure], axis=1), np.array([0, 1, 0, 0])
    assert expected_calibration_error(y_true, probabilities) == pytest.approx(0.1)
    count, mean_sure, right = reliability_bins(y_true, probabilities, 4)
    assert count.tolist() == [0, 0, 2, 2]
    np.testing.assert_allclose(mean_sure, [np.nan, np.nan, 0.6, 0.9])
    np.testing.assert_allclose(right, [np.nan, np.nan, 0.5, 1.0])


@pytest.mark.parametrize(
    "counts",
    [
        pd.Series(["sad", "happy", "sad", "sad", "sad"]).value_counts(),
        pd.Series([1, 0, 1, 1, 1]).value_counts(),
        pd.Series(pd.Categorical(["sad", "happy", "sad", "sad", "sad"])).value_counts(),
        {"sad": 4, "happy": 1},
    ],
)
def test_counts_of_a_table_are_found_by_class(counts):
    """Those of `value_counts` come in the order of frequency, not of the labels."""
    assert balanced_decision(counts, PAIR) == balanced_decision(np.array([1, 4]), PAIR)
    with pytest.raises(ValueError, match=r"no \['sad'\]"):
        balanced_decision(counts.iloc[1:] if hasattr(counts, "iloc") else {"happy": 1}, PAIR)
    with pytest.raises(ValueError, match=r"Received: \['joy'\]"):
        balanced_decision({**counts, "joy": 3}, PAIR)


def test_counts_of_a_class_that_is_named_twice_are_refused():
    """Those of two tables, one below the other: the last counted."""
    counts = pd.concat([pd.Series({"happy": 1, "sad": 4}), pd.Series({"sad": 3})])
    with pytest.raises(ValueError, match=r"each class once.*\['sad'\]"):
        balanced_decision(counts, PAIR)


def test_balanced_decision_divides_by_class_shares():
    biases = balanced_decision(np.array([4, 1]), PAIR)
    assert biases == pytest.approx({"happy": 0.0, "sad": math.log(4)})
    found = apply_decision(np.array([[0.7, 0.3]]), PAIR, biases)
    np.testing.assert_allclose(found, [[0.7 / 1.9, 1.2 / 1.9]])
    half = balanced_decision(np.array([0.8, 0.2]), PAIR, strength=0.5)
    assert half["sad"] == pytest.approx(math.log(2))
    with pytest.raises(ValueError, match=r"no \['sad'\]"):
        balanced_decision(np.array([3, 0]), PAIR)
    for odd in ([], [3], [[1, 2], [3, 4]], [np.nan, 1], [np.inf, 1]):
        with pytest.raises(ValueError, match=r"finite share for each of \['happy', 'sad'\]"):
            balanced_decision(np.array(odd), PAIR)
    for strength in (-1, np.nan):
        with pytest.raises(ValueError, match="Expected strength >= 0"):
            balanced_decision(np.array([3, 1]), PAIR, strength=strength)


@pytest.fixture
def table():
    rows = [votes(happiness=9), votes(sadness=9), votes(sadness=9), votes(unknown=9)]
    table = pd.DataFrame(rows, columns=list(FERPLUS_VOTE_COLUMNS))
    return table.assign(name=["a.png", "b.png", "c.png", "d.png"])


def certain(*emotions):
    return np.eye(9)[[NINE_EMOTIONS.label(emotion) for emotion in emotions]]


def test_judge_leaves_out_what_the_protocol_leaves_out(table):
    probabilities = certain("happy", "sad", "happy", "uncertain")
    eight = judge(PROTOCOLS["ferplus-majority-8"], table, probabilities, NINE_EMOTIONS)
    nine = judge(PROTOCOLS["ferplus-nine"], table, probabilities, NINE_EMOTIONS)
    assert (eight.official.n, nine.official.n) == (3, 4)
    assert eight.official.accuracy.value == pytest.approx(2 / 3)
    assert nine.official.accuracy.value == pytest.approx(3 / 4)
    assert eight.without_duplicates is eight.balanced is None


def test_judge_without_duplicates_and_with_balanced_decision(table):
    timid = 0.6 * certain("happy", "happy", "happy", "happy") + 0.4 * certain(
        "happy", "sad", "sad", "sad"
    )
    found = judge(
        PROTOCOLS["ferplus-majority-8"],
        table,
        timid,
        NINE_EMOTIONS,
        duplicates=["c.png"],
        biases={name: float(name == "sad") for name in NINE_EMOTIONS},
    )
    assert found.official.accuracy.value == pytest.approx(1 / 3)
    assert found.without_duplicates.n == 2
    assert found.without_duplicates.accuracy.value == pytest.approx(1 / 2)
    assert found.balanced.accuracy.value == 1.0


def test_judge_of_images_that_are_all_in_train_goes_on_and_says_so(table, caplog):
    protocol, probabilities = PROTOCOLS["ferplus-majority-8"], certain(*["sad"] * 4)
    # d.png, the only one that is not in train, is left out by the protocol.
    names = ["a.png", "b.png", "c.png"]
    found = judge(protocol, table, probabilities, NINE_EMOTIONS, duplicates=names)
    assert found.without_duplicates is None
    assert "without_duplicates" not in found.to_dict()
    assert "ferplus-majority-8: all 3 images are also in train" in caplog.text


def test_report_names_protocol_figures_and_emotions(table):
    probabilities = certain("happy", "sad", "happy", "uncertain")
    found = judge(
        PROTOCOLS["ferplus-majority-8"], table, probabilities, NINE_EMOTIONS, duplicates=["c.png"]
    )
    text = format_report({"ferplus-majority-8": found.to_dict()})
    assert text.startswith("ferplus-majority-8: FER+ majority")
    assert "accuracy                     0.6667" in text
    assert "without duplicates" in text
    assert "contempt          0 images      -" in text
