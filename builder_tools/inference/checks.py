"""What `Inference` asks of its arguments before it does anything."""

from __future__ import annotations


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises a ValueError if a named argument is none of those allowed."""
    if value not in allowed:
        raise ValueError(f"Expected {name} to be one of {list(allowed)}. Received: {value!r}.")


def check_positive(**values: int | None) -> None:
    """Raises a ValueError if a named argument is given and below 1."""
    for name, value in values.items():
        if value is not None and value < 1:
            raise ValueError(f"Expected {name} >= 1. Received: {value}.")
