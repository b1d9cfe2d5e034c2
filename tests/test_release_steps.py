"""The steps from predictions to a card are pure: by hand, without any network."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from builder_tools.cards import ModelCard, find_model
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.table import ImageTable
from builder_tools.decisions import read_outputs
from builder_tools.emotions import FERPLUS_VOTE_COLUMNS, NINE_EMOTIONS, EmotionSet
from builder_tools.release import Predicted, Predictions, judge_affect, judge_predicted
from builder_tools.release.deciding import fit_decisions, mildest_of_the_best
from builder_tools.release.quantizing import compare_int8
from builder_tools.release.slices import slice_figures

CARD = ModelCard("toy", "model.onnx", ("happy", "sad"), 8, "none")
CENTRES = {"happy": [0.8, 0.5], "sad": [-0.6, -0.3]}


def table(count: int = 40) -> ImageTable:
    """Happy and sad in turn, ever brighter, a split each quarter of train, two of valid, one of
    test."""
    rows = pd.DataFrame({
        "name": [f"{n}.png" for n in range(count)],
        "path": "",
        "index": np.arange(count),
        "label": np.arange(count) % 2,
        "emotion": ["happy", "sad"] * (count // 2),
        "split": np.repeat(["train", "valid", "valid", "test"], count // 4),
    })  # fmt: skip
    images = np.repeat(np.arange(count, dtype=np.uint8) * 5, 64).reshape(count, 8, 8)
    return ImageTable(rows, EmotionSet(("happy", "sad")), images)


def predicted(right: float = 0.75, sure: float = 0.9) -> Predicted:
    """Valid images of which a share is right, all equally sure; the last ones are wrong."""
    images = table().split("valid")
    labels = images.labels.copy()
    wrong = round(len(labels) * (1 - right))
    labels[len(labels) - wrong :] = 1 - labels[len(labels) - wrong :]
    return Predicted(images, np.where(np.eye(2)[labels] > 0, sure, 1 - sure))


def test_the_temperature_makes_certainty_as_high_as_it_is_right() -> None:
    """Sure by 0.9, right by 0.75: log(9) / log(3) = 2."""
    card = fit_decisions(CARD, predicted())
    assert card.temperature == pytest.approx(2, abs=0.01)
    assert card.abstain_below is None, "no 95 % are right"
    assert judge_predicted(card, predicted())["own-labels"].official.ece == pytest.approx(
        0, abs=0.005
    )
    assert judge_predicted(CARD, predicted())["own-labels"].official.ece == pytest.approx(0.15)


def test_a_decision_is_fitted_where_there_are_outputs_for_emotions() -> None:
    """11 of 20 are told happy, by 0.75 at that temperature: on the whole 0.525 and 0.475."""
    found = fit_decisions(CARD, predicted()).decision
    assert found["happy"] == 0
    assert found["sad"] == pytest.approx(np.log(0.525 / 0.475) / 4, abs=1e-3)
    places = replace(predicted(), outputs=np.tile([0.8, 0.5], (20, 1)))
    card = replace(CARD, task="va", centres=CENTRES)
    assert fit_decisions(card, places).decision is None


def test_a_decision_is_fitted_for_all_nine_emotions_where_people_voted() -> None:
    """4 of 40 faces of contempt are told happy: a decision fitted for fewer emotions is mild."""
    contempt = np.arange(40) >= 36
    rows = pd.DataFrame(0, index=range(40), columns=list(FERPLUS_VOTE_COLUMNS))
    rows = rows.assign(happiness=np.where(contempt, 0, 8), contempt=np.where(contempt, 8, 0))
    rows = rows.assign(label=np.where(contempt, 1, 4), split="valid", index=-1)
    outputs = np.full((40, 9), 1e-4)
    outputs[:, 4], outputs[:, 1] = np.where(contempt, 0.8, 0.98), np.where(contempt, 0.2, 0.02)
    card = replace(CARD, emotions=NINE_EMOTIONS.names)
    found = fit_decisions(card, Predicted(ImageTable(rows, NINE_EMOTIONS), outputs))
    told = read_outputs(found, outputs, found.decision).probabilities.argmax(axis=1)
    np.testing.assert_array_equal(told, rows["label"])


def test_earlier_decisions_do_not_count_when_they_are_fitted_anew() -> None:
    once = fit_decisions(CARD, predicted())
    assert fit_decisions(once, predicted()) == once


@pytest.mark.parametrize(
    ("best_of_first_class", "expected"), [([1, 1, 1, 1], 1), ([1, 1, 1, 0], 0)]
)
def test_of_decisions_about_as_good_the_mildest_is_taken(best_of_first_class, expected) -> None:
    """Recalls (1 + 0.5) / 2 against (1 + 1) / 2: 0.25 lost, by sqrt(0.25 / 2) / 2 = 0.18 unsure.

    Against (0.75 + 1) / 2: 0.125 lost, by sqrt(0.1875 / 4 + 0.25 / 2) / 2 = 0.21 unsure.
    """
    mild, strong = [1, 1, 1, 1, 1, 0], [*best_of_first_class, 1, 1]
    hits = np.array([mild, strong], bool)
    assert mildest_of_the_best(hits, np.array([0, 0, 0, 0, 1, 1])) == expected
    assert mildest_of_the_best(hits[:1], np.array([0, 0, 0, 0, 1, 1])) == 0


@pytest.mark.parametrize(("right", "deployed"), [(0.75, True), (0.7, False), (1.0, True)])
def test_int8_is_deployed_where_accuracy_holds(right: float, deployed: bool) -> None:
    found = compare_int8(CARD, predicted(0.75), predicted(right))
    assert found == {
        "valid_accuracy_float32": 0.75,
        "valid_accuracy_int8": right,
        "deployed": deployed,
    }


def test_int8_is_not_deployed_where_places_move() -> None:
    card, rng = replace(CARD, task="both", centres=CENTRES), np.random.default_rng(0)
    places = rng.uniform(-0.5, 0.5, (20, 2))
    before = replace(predicted(), outputs=np.concatenate([predicted().outputs, places], axis=1))
    assert compare_int8(card, before, before)["valid_ccc_with_float32"] == 1
    moved = replace(before, outputs=before.outputs + np.array([0, 0, 0.4, 0.4]))
    found = compare_int8(card, before, moved)
    assert found["valid_accuracy_int8"] == 0.75 and found["valid_ccc_with_float32"] < 0.99
    assert found["deployed"] is False


def test_duplicates_are_left_out_of_a_second_figure() -> None:
    wrong = predicted().images.table["name"].tolist()[-5:]
    judged = judge_predicted(CARD, predicted(), duplicates=wrong)["own-labels"]
    assert judged.official.accuracy.value == 0.75 and judged.official.n == 20
    assert judged.without_duplicates.accuracy.value == 1 and judged.without_duplicates.n == 15


def test_slices_are_thirds_by_what_is_measured() -> None:
    """The five wrong answers are on the brightest images: 6 and 7 of 20 are each a third."""
    rows = slice_figures(CARD, predicted())
    assert set(rows) == {"brightness"}, "the images are plain, and of one size"
    assert [row["n"] for row in rows["brightness"]] == [7, 7, 6]
    assert [row["accuracy"] for row in rows["brightness"]] == [1, 1, round(1 / 6, 4)]
    assert rows["brightness"][0]["from"] == 50


def test_the_nearest_centre_is_judged_beside_the_outputs() -> None:
    centres = np.array(list(CENTRES.values()))[predicted().images.labels]
    both = replace(predicted(), outputs=np.concatenate([predicted().outputs, centres], axis=1))
    found = judge_affect(replace(CARD, task="both", centres=CENTRES), both)
    assert found["nearest_centre"]["own-labels"]["accuracy"] == 1
    assert found["direct"]["own-labels"]["accuracy"] == 0.75
    assert set(found) == {"nearest_centre", "direct"}, "nobody voted, no labels were given"


def test_each_split_is_predicted_once(monkeypatch) -> None:
    asked, outputs = [], EmotionClassifier.outputs

    def counted(self, faces):
        asked.append(len(faces))
        return outputs(self, faces)

    monkeypatch.setattr(EmotionClassifier, "outputs", counted)
    found = Predictions(find_model("fast"), table())
    assert found.split("valid") is found.split("valid")
    assert len(found.split("test").outputs) == 10 and asked == [20, 10]
    with pytest.raises(ValueError, match="none, test"):
        found.split("none, test")


def test_a_split_without_images_is_refused() -> None:
    one = table()
    found = Predictions(find_model("fast"), one.rows((one.table["split"] != "test").to_numpy()))
    with pytest.raises(ValueError, match="a test split without any"):
        found.split("test")
