"""Optimisers and schedules at their own rates: the rate is chosen on other faces than it is judged
on."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("keras")

from studies.schedules import schedules_table, write_report

LABELS = np.tile(np.arange(8), 20)


def answers(right_tenth: int, right_rest: int) -> np.ndarray:
    """Right for so many of the 16 faces that choose, and so many of the 144 others."""
    found = (LABELS + 1) % 8
    tenth = np.arange(160) % 10 == 0
    for part, count in ((tenth, right_tenth), (~tenth, right_rest)):
        rows = np.flatnonzero(part)[:count]
        found[rows] = LABELS[rows]
    return found


def test_the_rate_is_chosen_on_a_tenth_and_judged_on_the_rest():
    runs = {
        ("adam_exponential", "0.002"): answers(8, 72),
        ("sgd_exponential", "0.1"): answers(12, 108),
        ("sgd_exponential", "0.3"): answers(10, 144),
    }
    rows = pd.DataFrame(
        [{"trial": f"{way}-{rate}-s0", "group": way, "variant": rate, "seed": 0}
         for way, rate in runs]
    )  # fmt: skip
    kept = dict(zip(rows["trial"], runs.values(), strict=True))
    table = schedules_table(rows, kept, LABELS).set_index("group")
    assert table.loc["sgd_exponential", "variant"] == "0.1", "0.3 is better where it does not count"
    assert table.loc["sgd_exponential", "accuracy"] == pytest.approx(0.75)
    assert table.loc["sgd_exponential", "choosing"] == pytest.approx(0.75)
    assert table.loc["sgd_exponential", ["lowest", "highest"]].tolist() == [0.75, 1.0]
    assert table.loc["sgd_exponential", "accuracy_gain"] == pytest.approx(0.25)
    assert table.loc["adam_exponential", "accuracy_gain"] == 0


def test_a_run_made_again_is_counted_once_where_rates_are_chosen():
    """0.1 is right on 12 and 4 of the 16 faces that choose, 0.3 on 9 and 9: 0.3 is better."""
    runs = {("0.1", 0): answers(12, 72), ("0.1", 1): answers(4, 72),
            ("0.3", 0): answers(9, 90), ("0.3", 1): answers(9, 90)}  # fmt: skip
    rows = [{"trial": f"sgd-{rate}-s{seed}", "group": "sgd", "variant": rate, "seed": seed}
            for rate, seed in runs]  # fmt: skip
    kept = dict(zip((row["trial"] for row in rows), runs.values(), strict=True))
    table = schedules_table(pd.DataFrame([*rows, rows[0], rows[0]]), kept, LABELS)
    assert table["variant"].tolist() == ["0.3"] and table["seeds"].tolist() == [2]


def test_without_runs_no_page_is_written(tmp_path):
    (tmp_path / "experiments.csv").write_text("study,trial,variant\ntransfer,a,b\n")
    with pytest.raises(ValueError, match=r"Expected rows of schedules.*Received: none"):
        write_report(tmp_path)
    assert not (tmp_path / "schedules.md").exists()
