"""What `Inference` asks of its arguments before it does anything."""

from __future__ import annotations

from typing import Any

from builder_tools.rest import RestingFace


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise a ValueError if a named argument is none of those allowed."""
    if value not in allowed:
        raise ValueError(f"Expected {name} to be one of {list(allowed)}. Received: {value!r}.")


def check_positive(**values: int | None) -> None:
    """Raise a ValueError if a named argument is given and below 1."""
    for name, value in values.items():
        if value is not None and value < 1:
            raise ValueError(f"Expected {name} >= 1. Received: {value}.")


def check_track(detect_every: int, track: bool) -> None:
    """Raise a ValueError if frames are left out and nobody is followed over them."""
    if detect_every > 1 and not track:
        raise ValueError("Expected track=True with detect_every: only tracked faces move.")


def check_rest(rest: RestingFace | str | float | None, mode: str, model: Any) -> None:
    """Refuse a rest that a mode cannot use, or that another model made.

    Raises:
        ValueError: Says which, and what to do.
    """
    if isinstance(rest, RestingFace):
        rest.check_model(model.emotions, getattr(model, "identity", None))
    if mode == "img_batch" and rest is not None:
        raise ValueError(
            "Expected no rest with inference_mode='img_batch', whose images are of many people. "
            "Use inference_mode='img' for the images of one, or EmotionClassifier.predict."
        )
    if mode == "img" and not (rest is None or isinstance(rest, RestingFace)):
        raise ValueError(
            f"Expected a RestingFace with inference_mode='img'. Received: rest={rest!r}, which is "
            "learned from a stream."
        )
