"""The studies' one table and report: rows found again by their configuration, intervals by hand."""

import ast
import threading
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("keras")

from builder_tools.evaluation import Figure
from builder_tools.release import read_rows
from studies.command import command, study_parser
from studies.intervals import by_variant, over_seeds, recentred, verdict
from studies.report import cell, interval, joined, markdown, points, write_page
from studies.table import (
    CONFIG,
    NO_TIME,
    Job,
    made_rows,
    pending,
    run_table,
    say_missing,
    what_differs,
)

ROOT = Path(__file__).parents[1]


def job(key: str, make=None, **config) -> Job:
    return Job(key, {"key": key, **config}, make or (lambda: {"key": key, **config}))


def refuse():
    raise AssertionError("made again")


def test_rows_are_made_once_and_found_again_by_their_configuration(tmp_path):
    table = tmp_path / "deep" / "rows.csv"
    assert run_table([job("a", seed=0), job("b", seed=0)], table) == {}
    assert [row["key"] for row in read_rows(table)] == ["a", "b"]
    before = table.read_bytes()
    assert run_table([job("a", refuse, seed=0), job("b", refuse, seed=0)], table) == {}
    assert table.read_bytes() == before
    again = [job("a", refuse, seed=0), job("a", seed=1)]
    assert [each.config for each in pending(again, table)] == [{"key": "a", "seed": 1}]
    assert run_table(again, table) == {}, "a further seed is a further row"
    assert [(row["key"], row["seed"]) for row in read_rows(table)] == [
        ("a", "0"),
        ("b", "0"),
        ("a", "1"),
    ]
    assert table.read_bytes().startswith(before)


def test_a_row_of_another_configuration_is_another_row():
    assert job("a", rate=0.1).config_sha256 == job("a", rate=0.1).config_sha256
    assert job("a", rate=0.1).config_sha256 != job("a", rate=0.2).config_sha256


def test_rows_that_fail_are_named_and_end_no_other(tmp_path, capsys):
    def fail():
        raise KeyError("no such face")

    table = tmp_path / "rows.csv"
    missing = run_table([job("a", fail), job("b")], table)
    assert [row["key"] for row in read_rows(table)] == ["b"]
    assert say_missing(missing) == 1 and say_missing({}) == 0
    assert "missing: 1" in (told := capsys.readouterr().err) and "a: 'no such face'" in told
    assert run_table([job("a"), job("b", refuse)], table) == {}, "tried again by the next run"


def test_no_row_is_begun_when_the_time_is_over(tmp_path):
    for minutes in (1e-9, 0):
        jobs = [job("a", refuse), job("b", refuse)]
        missing = run_table(jobs, tmp_path / "no.csv", minutes=minutes)
        assert missing == {"a": NO_TIME, "b": NO_TIME}
    assert not (tmp_path / "no.csv").exists()


def test_a_table_that_was_killed_goes_on(tmp_path):
    table = tmp_path / "rows.csv"

    def killed():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_table([job("a"), job("b", killed), job("c", refuse)], table)
    assert [row["key"] for row in read_rows(table)] == ["a"]
    assert run_table([job("a", refuse), job("b"), job("c")], table) == {}
    assert [row["key"] for row in read_rows(table)] == ["a", "b", "c"]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_jobs_run_beside_each_other(tmp_path):
    together = threading.Barrier(2, timeout=10)

    def make():
        together.wait()
        return {"key": "x"}

    assert run_table([job("a", make), job("b", make)], tmp_path / "r.csv", at_once=2) == {}
    assert len(read_rows(tmp_path / "r.csv")) == 2


def test_one_job_may_give_several_rows_and_numbers_that_are_none(tmp_path):
    several = job("a", lambda: [{"n": 1, "x": np.nan}, {"n": 2, "x": np.float64("nan"), "y": None}])
    run_table([several], tmp_path / "r.csv")
    rows = read_rows(tmp_path / "r.csv")
    assert [(row["n"], row["x"], row["y"]) for row in rows] == [("1", "", ""), ("2", "", "")]
    assert {row[CONFIG] for row in rows} == {several.config_sha256}


@dataclass(frozen=True)
class Inner:
    size: int
    depth: int = 3


@dataclass(frozen=True)
class Outer:
    name: str
    rate: float = 0.1
    inner: Inner = field(default_factory=lambda: Inner(5))
    stages: tuple[Inner, ...] = ()


def test_only_what_is_not_at_its_default_counts():
    assert what_differs(Outer("a")) == {"name": "a"}
    assert what_differs(Outer("a", 0.2, Inner(6), (Inner(1), Inner(2, 4)))) == {
        "name": "a",
        "rate": 0.2,
        "inner": {"size": 6},
        "stages": [{"size": 1}, {"size": 2, "depth": 4}],
    }


def test_an_interval_over_seeds_and_faces_by_hand():
    """Three seeds at 1, 2, 3: standard deviation 1, t(2) = 4.3027, so 2.4841 over seeds."""
    figures = [Figure(1, 0.7, 1.4), Figure(2, 1.7, 2.4), Figure(3, 2.7, 3.4)]
    found = over_seeds(figures)
    assert found.value == pytest.approx(2)
    assert found.low == pytest.approx(2 - np.hypot(0.3, 2.4841), abs=1e-3)
    assert found.high == pytest.approx(2 + np.hypot(0.4, 2.4841), abs=1e-3)
    assert over_seeds(figures[:1]) == figures[0]
    same = over_seeds([Figure(1, 0.7, 1.4)] * 2)
    assert (same.value, same.low, same.high) == pytest.approx((1, 0.7, 1.4)), "faces are shared"


def test_intervals_over_seeds_hold_the_true_mean():
    """Of runs whose seeds and faces both wander, as often as they say; of faces alone, rarely."""
    rng, held, of_faces = np.random.default_rng(0), 0, 0
    for _ in range(400):
        face_error = rng.normal(0, 0.5)
        seeds = rng.normal(0, 1, 3) + face_error
        found = over_seeds([Figure(v, v - 0.98, v + 0.98) for v in seeds])
        held += found.low <= 0 <= found.high
        of_faces += abs(seeds.mean()) <= 0.98
    assert 0.92 <= held / 400 <= 1
    assert of_faces / 400 < 0.88


def test_two_seeds_that_differ_take_no_share_over_one_but_a_gain():
    rows = [
        {"variant": "a", "seed": n, **{f"{name}{end}": value for name in ("accuracy", "gain")
                                       for end in ("", "_low", "_high")}}
        for n, value in enumerate((0.70, 0.76))
    ]  # fmt: skip
    (found,) = by_variant(pd.DataFrame(rows), ["variant"]).to_dict("records")
    assert (found["accuracy"], found["accuracy_high"]) == (pytest.approx(0.73), 1)
    assert found["gain_high"] == pytest.approx(0.73 + 12.7062 * 0.03)  # t of one degree of freedom


def test_a_figure_is_moved_with_its_interval():
    moved = recentred(Figure(0.5, 0.4, 0.7), 0.1)
    assert (moved.value, moved.low, moved.high) == pytest.approx((0.1, 0.0, 0.3))


def test_variants_are_told_apart_and_seeds_joined():
    rows = pd.DataFrame({
        "variant": ["a", "b", "a"],
        "seed": [0, 0, 1],
        "x": [1.0, 5.0, 3.0],
        "x_low": [0.0, 4.0, 2.0],
        "x_high": [2.0, 7.0, 4.0],
        "minutes": [1.0, 2.0, 3.0],
        "machine": ["one", "one", "two"],
    })  # fmt: skip
    a, b = by_variant(rows, ["variant"]).to_dict("records")
    assert (a["variant"], a["seeds"], a["x"], a["minutes"]) == ("a", 2, 2, 2)
    assert a["x_sd"] == pytest.approx(np.sqrt(2)) and a["x_high"] > 2 + 12.7
    assert (b["seeds"], b["x"], b["x_low"], b["x_high"]) == (1, 5, 4, 7) and np.isnan(b["x_sd"])


def test_a_row_made_again_for_a_changed_configuration_is_no_second_seed():
    rows = [
        {"variant": "a", "seed": 0, "accuracy": figure, "accuracy_low": low, "accuracy_high": high}
        for figure, low, high in ((0.5, 0.4, 0.6), (0.7, 0.6, 0.8))
    ]
    (found,) = by_variant(pd.DataFrame(rows), ["variant"]).to_dict("records")
    assert found["seeds"] == 1
    assert (found["accuracy"], found["accuracy_low"]) == (0.7, pytest.approx(0.6))


@pytest.mark.parametrize(
    ("low", "high", "seeds", "said"),
    [
        (0.1, 0.3, 3, "better than it"),
        (-0.3, -0.1, 3, "worse than it"),
        (-0.1, 0.1, 3, "not told apart from it"),
        (0.1, 0.3, 1, "one seed, interval over faces alone: no claim"),
    ],
)
def test_no_claim_is_made_from_one_seed(low, high, seeds, said):
    assert verdict(low, high, seeds, "it") == said


def test_tables_are_written_as_people_read_them(tmp_path):
    table = pd.DataFrame({"name": ["a", "b"], "n": [1200, 3], "x": [0.12345, np.nan]})
    assert markdown(table).splitlines() == [
        "| name | n | x |",
        "|---|---|---|",
        "| a | 1,200 | 0.1235 |",
        "| b | 3 |  |",
    ]
    row = {"g": 0.03, "g_low": -0.01, "g_high": 0.0712}
    assert interval(row, "g") == "0.030 [-0.010, 0.071]"
    assert points(row, "g") == "+3.0 [-1.0, +7.1]"
    assert interval({"g": np.nan}, "g") == interval({}, "g") == "-"
    assert cell(np.float64(2)) == "2" and joined(["a", 1, "a"]) == "a; 1"
    page = write_page(tmp_path / "new" / "page.md", ["# One", "", "two"])
    assert page.read_text() == "# One\n\ntwo\n"


def test_a_command_says_in_a_sentence_why_it_could_not(capsys):
    def act(options):
        raise ValueError(f"Expected more than {options.seeds}.")

    parser = study_parser("toys", "Play.", ("--seeds 1 2",))
    assert command(parser, act, ["--seeds", "1", "2"]) == 2
    assert "python -m studies.toys: Expected more than [1, 2]." in capsys.readouterr().err
    assert command(parser, lambda options: None, []) == 0
    with pytest.raises(SystemExit):
        command(parser, act, ["--help"])
    assert "python -m studies.toys --seeds 1 2" in capsys.readouterr().out


def test_the_wheel_holds_no_studies():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = about["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["include"] == ["/builder_tools", "/saved_models"]
    for path in (ROOT / "builder_tools").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [
                alias.name for alias in getattr(node, "names", ()) if isinstance(node, ast.Import)
            ]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [n for n in names if n.partition(".")[0] == "studies"], path


def test_rows_that_were_never_made_are_asked_for_in_a_sentence(tmp_path):
    table = tmp_path / "rows.csv"
    with pytest.raises(ValueError, match=r"Expected rows in .*rows.csv. Received: none"):
        made_rows(table)
    table.write_text("study,key\na,1\n")
    assert made_rows(table)["key"].tolist() == made_rows(table, "a")["key"].tolist() == [1]
    with pytest.raises(ValueError, match=r"Expected rows of b in .*--reports"):
        made_rows(table, "b")


@pytest.mark.parametrize(
    "words", ["--seeds -1", "--seeds 1.5", f"--seeds {2**32}", "--minutes nan", "--minutes -3"]
)
def test_options_of_studies_that_make_no_sense_are_refused(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        study_parser("toys", "Toys.", ["--list"]).parse_args(words.split())
    assert f"received '{words.split()[1]}'" in capsys.readouterr().err


def test_a_seed_given_twice_is_one_seed():
    parser = study_parser("toys", "Toys.", ["--list"], seeds=(0, 1))
    assert parser.parse_args(["--seeds", "3", "1", "3"]).seeds == [3, 1]
    assert parser.parse_args([]).seeds == [0, 1]
