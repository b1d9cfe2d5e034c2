"""Highlights in curves made by hand: the median viewer, segments, agreement, intervals."""

import numpy as np
import pandas as pd
import pytest

from builder_tools.timeline.chance import common_reaction, highest_by_chance
from builder_tools.timeline.highlights import (
    HighlightSettings,
    bootstrap_median,
    find_highlights,
    reactions,
)
from builder_tools.timeline.signals import SignalSettings, sample


def _frame(values, step_s=0.1):
    times = pd.Index(np.arange(len(values)) * step_s, name="time_s")
    return pd.DataFrame(np.asarray(values, float), index=times)


def test_the_median_viewer_by_hand():
    viewers = np.array([[1, 2, 9], [np.nan, 2, 4], [np.nan, np.nan, 5], [np.nan] * 3])
    common = common_reaction(viewers, 0.5)
    assert common[:2].tolist() == [2, 3] and np.isnan(common[2:]).all()


def test_segments_stay_in_the_film_and_apart():
    times = np.arange(0, 20, 0.1)
    curve = sum(h * np.exp(-(((times - t) / 0.5) ** 2)) for t, h in ((0, 3), (10, 5), (19.9, 4)))
    settings = HighlightSettings(count=5, seconds=4, reaction_s=1)
    found = find_highlights(_frame(curve[:, None]), 20.0, settings)
    assert [(round(h.start_s, 2), round(h.end_s, 2)) for h in found] == [(7, 11), (16, 20), (0, 4)]
    assert [round(h.score, 3) for h in found] == [5, 4, 3]
    longer = HighlightSettings(seconds=60)
    assert [
        (h.start_s, h.end_s) for h in find_highlights(_frame(curve[:, None]), 20.0, longer)
    ] == [(0, 20)]


def _bumps(*heights, peak_s=10.0):
    times = np.arange(0, 20, 0.1)
    bump = np.exp(-(((times - peak_s) / 0.5) ** 2))
    return pd.DataFrame(
        {f"v{number}": height * bump for number, height in enumerate(heights)},
        index=pd.Index(times, name="time_s"),
    )


@pytest.mark.parametrize(
    ("heights", "trust", "agreeing"),
    [
        ([3.0], "one viewer", 1),
        ([3.0, 3.0, 2.5, 2.0], "agreed", 4),
        ([3.0, 3.0, 3.0, 0.0, 0.0], "doubtful", 3),  # the median of some draws is 0
        ([9.0, 9.0, 1.2, 0.9, 0.9, 0.9, 0.9, 0.9], "doubtful", 3),  # above 0, but 3 of 8
    ],
)
def test_a_peak_needs_agreement(heights, trust, agreeing):
    settings = HighlightSettings(prominence=0.5, only_agreed=False)
    (found,) = find_highlights(_bumps(*heights), 20.0, settings)
    assert (found.trust, found.agreeing, found.viewers) == (trust, agreeing, len(heights))
    kept = find_highlights(_bumps(*heights), 20.0, HighlightSettings(prominence=0.5))
    assert bool(kept) == (trust != "doubtful")


def test_a_doubtful_peak_hides_no_other():
    """The higher one, of two viewers of five, would have taken the place of the one of all."""
    two, all_of_them = _bumps(9, 9, 9, 0, 0), _bumps(3, 3, 3, 3, 3, peak_s=13.0)
    settings = HighlightSettings(seconds=6)
    (found,) = find_highlights(two + all_of_them, 20.0, settings)
    assert found.peak_s == pytest.approx(13.0, abs=0.1) and found.trust == "agreed"


def test_the_bootstrap_interval():
    assert bootstrap_median(np.array([2.0]), 100, 0) == (None, None)
    assert bootstrap_median(np.array([2.0, 2.0]), 100, 0) == (2.0, 2.0)
    low, high = bootstrap_median(np.arange(11.0), 2000, 0)
    assert 1 <= low < 5 < high <= 9


def _each_for_themselves(rng, viewers=4, count=3000):
    """Slow noise, as faces move; a viewer looks away for a while."""
    kernel = np.exp(-np.arange(60) / 10.0)
    noise = rng.normal(size=(viewers, count + 59))
    curves = np.stack([np.convolve(one, kernel, "valid") for one in noise], axis=1)
    curves = curves / curves.std()
    curves[:200, 0] = np.nan
    return curves


def test_chance_is_evenly_spread_where_nobody_reacts_together():
    rng, found = np.random.default_rng(0), []
    for _ in range(40):
        curves = _each_for_themselves(rng)
        highest = np.nanmax(np.nanmean(curves, axis=1))
        moved = highest_by_chance(curves, 0.5, seed=1, resamples=39)
        found.append((moved >= highest).mean())
    assert 0.35 < np.mean(found) < 0.65 and np.mean(np.array(found) < 0.05) < 0.15


def test_what_all_react_to_is_no_chance():
    curves = _each_for_themselves(np.random.default_rng(0))
    curves[1500:1510] += 6
    best, *others = find_highlights(_frame(curves), 300.0, HighlightSettings(only_agreed=False))
    assert best.chance == pytest.approx(1 / 200) and best.peak_s == pytest.approx(150, abs=1)
    assert all(one.chance > 0.05 for one in others) and others
    (alone,) = find_highlights(_bumps(3.0), 20.0, HighlightSettings())
    assert alone.chance is None


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"seconds": 0}, {"least_share": 0}, {"reaction_s": 1e9}]
)
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match="Expected count"):
        HighlightSettings(**wrong)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_the_interval_of_fewer_than_six_viewers_is_their_range(count):
    values = np.random.default_rng(count).normal(size=count)
    assert bootstrap_median(values, 1000, 0) == (values.min(), values.max())


def test_a_face_that_is_rarely_found_is_not_bridged():
    times_s = np.arange(0, 30, 0.1)
    found = pd.DataFrame({"frame": range(0, 300, 10), "time_s": times_s[::10], "face_px": 50.0})
    seen = sample(found.assign(arousal=0.5), SignalSettings(), times_s)
    assert np.isfinite(seen).sum() == 30


@pytest.mark.parametrize("fps", [1.0, 0.4])
def test_a_recording_of_few_images_has_no_gaps_between_them(fps):
    """As of a time-lapse camera: viewers whose images alternate are seen together."""
    columns = {}
    for late_s in (0.0, 0.3, 0.6):
        times = np.arange(0, 60, 1 / fps)
        height = np.exp(-0.5 * ((times + late_s - 40) / 3) ** 2)
        table = pd.DataFrame({"frame": range(len(times)), "time_s": times, "face_px": 50.0})
        columns[str(late_s)] = (table.assign(arousal=0.6 * height), late_s)
    tables = {name: table for name, (table, _) in columns.items()}
    starts = {name: late_s for name, (_, late_s) in columns.items()}
    seen = reactions(tables, starts, 60.0, SignalSettings())
    best = find_highlights(seen, 60.0, HighlightSettings())[0]
    assert best.viewers == 3 and best.trust == "agreed"
    assert best.peak_s == pytest.approx(40, abs=1.5)
