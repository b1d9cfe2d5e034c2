"""Settings given by hand refuse what no setting can be, by its name, before any work."""

import dataclasses

import numpy as np
import pytest
from fakes import FakeDetector, FakeModel

from builder_tools.augmentation.strength import AugmentationStrength
from builder_tools.balancing.plan import Shares, plan_classes
from builder_tools.cleaning.config import CleaningConfig
from builder_tools.detectors import make_detector
from builder_tools.drawing import DrawBox
from builder_tools.fields import check_types
from builder_tools.inference import Inference
from builder_tools.inference.search import Orientation
from builder_tools.media.limits import ImageLimits
from builder_tools.timeline.highlights import HighlightSettings
from builder_tools.timeline.people import PersonRule
from builder_tools.timeline.signals import SignalSettings
from builder_tools.web.limits import Limits

SETTINGS = [
    *(AugmentationStrength, CleaningConfig, DrawBox, HighlightSettings, ImageLimits, Limits),
    *(Orientation, PersonRule, SignalSettings),
]
NO_NUMBERS = ("x", None, float("nan"), float("inf"), [], {}, object())
WRONG = {
    "int": (*NO_NUMBERS, 2.5),
    "float": NO_NUMBERS,
    "bool": ("yes", None, 2, 0.5, []),
    "str": (None, 3),
}


def wrong_values():
    for kind in SETTINGS:
        for field in dataclasses.fields(kind):
            if not field.init:
                continue
            plain = field.type.removesuffix(" | None")
            for value in WRONG.get(plain, ()):
                if value is not None or plain == field.type:
                    yield pytest.param(kind, field.name, value, id=f"{field.name}={value!r:.9}")


@pytest.mark.parametrize("kind, name, value", list(wrong_values()))
def test_a_value_of_another_type_is_named(kind, name, value):
    with pytest.raises(ValueError, match=name) as caught:
        kind(**{name: value})
    assert "Expected" in str(caught.value) and "Received" in str(caught.value)


def test_numbers_of_numpy_are_numbers():
    drawn = DrawBox(line_width=np.int64(3), show_bars=np.bool_(True), show_label=0)
    assert drawn.line_width == 3 and drawn.show_bars
    assert PersonRule(least_s=np.float32(0.5), least_score=1).least_s == 0.5


@dataclasses.dataclass(frozen=True)
class Pair:
    ends: "tuple[float, float]" = (0.0, 1.0)
    names: "tuple[str, ...] | None" = None

    def __post_init__(self):
        check_types(self)


@pytest.mark.parametrize(
    "values, words",
    [
        ({"ends": (1.0,)}, "ends of Pair to be two finite numbers. Received: (1.0,)"),
        ({"ends": "ab"}, "ends of Pair to be two finite numbers. Received: 'ab'"),
        ({"names": "ab"}, "names of Pair to be a tuple of texts or None. Received: 'ab'"),
    ],
)
def test_tuples_are_looked_into(values, words):
    with pytest.raises(ValueError) as caught:
        Pair(**values)
    assert words in str(caught.value)
    assert Pair((1, 2), ("a", "b")).names == ("a", "b")


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, None, "1", True])
def test_what_is_no_seed_is_refused(seed):
    for refused in (
        lambda: HighlightSettings(seed=seed),
        lambda: list(plan_classes(np.arange(2), 1, Shares(0.0, 0.5), seed)),
    ):
        with pytest.raises(ValueError, match=r"(seed|random_state) .*a whole number"):
            refused()


@pytest.mark.parametrize(
    "name, options",
    [
        ("haar", {"min_score": None}),
        ("haar", {"min_score": "0.5"}),
        ("haar", {"min_size_px": float("inf")}),
        ("haar", {"max_side_px": 0}),
        ("haar", {"scale_factor": 1.0}),
        ("haar", {"min_neighbours": -1}),
        ("mediapipe", {"max_tiles": 2.5}),
        ("mediapipe", {"range": ["auto"]}),
    ],
)
def test_options_of_detectors_are_checked_when_they_are_made(name, options):
    with pytest.raises(ValueError, match=rf"(?s)Expected.*{next(iter(options))}"):
        make_detector(name, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": None},
        {"detect_every": None},
        {"multi_face": []},
        {"every_face": "no"},
        {"inference_mode": "video", "smooth_s": float("nan")},
        {"inference_mode": "video", "smooth_s": "1"},
        {"inference_mode": "video", "smooth_s": -1},
    ],
)
def test_options_of_inference_are_checked_when_it_is_made(options):
    name = list(options)[-1]
    with pytest.raises(ValueError, match=f"Expected {name}"):
        Inference(FakeModel(), FakeDetector(), show_state_mode="none", **options)
