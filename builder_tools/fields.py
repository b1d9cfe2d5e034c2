"""What values given by hand must be: arguments, fields of cards and of configurations."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

Part = TypeVar("Part")

UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
MOST_SEED = 2**32 - 1
"""The highest seed that Keras and NumPy's older generators take."""


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 2**63 and math.isfinite(value)


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number_in(least: float, most: float = math.inf) -> Callable[[Any], bool]:
    """Return a check for finite numbers of a range, both ends in it."""
    return lambda value: is_number(value) and least <= value <= most


def is_whole_in(least: int, most: float = math.inf) -> Callable[[Any], bool]:
    """Return a check for whole numbers of a range, both ends in it."""
    return lambda value: is_whole(value) and least <= value <= most


def is_text(value: Any) -> bool:
    """Return whether a value is a text."""
    return isinstance(value, str)


def is_flag(value: Any) -> bool:
    """Return whether a value is true or false."""
    return isinstance(value, bool)


def is_table(value: Any) -> bool:
    """Return whether a value is a table (a JSON object) with texts as keys."""
    return isinstance(value, Mapping) and all(map(is_text, value))


def is_table_of(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a check for tables whose values are of one kind."""
    return lambda value: is_table(value) and all(map(kind, value.values()))


def is_list_of(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a check for lists of one kind; a text is no list."""
    return lambda value: (
        isinstance(value, Sequence) and not is_text(value) and all(map(kind, value))
    )


def is_nothing_or(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a check for values of one kind, or none."""
    return lambda value: value is None or kind(value)


def check_fields(
    where: str, values: Mapping[str, Any], kinds: Mapping[str, tuple[Callable[[Any], bool], str]]
) -> None:
    """Refuse values that are not of their field's kind.

    Args:
        where: What they are written in, for the message.
        values: By the names of the fields.
        kinds: The check and its words, by the names of the fields.

    Raises:
        ValueError: Names the field, what was expected and what stands there.
    """
    for name, (is_right, words) in kinds.items():
        if name in values and not is_right(values[name]):
            raise ValueError(
                f"Expected {name} in {where} to be {words}. Received: {values[name]!r}."
            )


def _is_integral(value: Any) -> bool:
    """As `is_whole`, of NumPy's numbers, too, which JSON does not hold."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_real(value: Any) -> bool:
    """As `is_number`, of NumPy's, too."""
    return isinstance(value, Real) and not isinstance(value, bool) and abs(value) < 2**63


_PLAIN_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (_is_integral, "a whole number"),
    "float": (_is_real, "a finite number"),
    "bool": (
        # NumPy's flags are named so, too.
        lambda value: type(value).__name__ == "bool" or (_is_integral(value) and value in (0, 1)),
        "True or False",
    ),
    "str": (is_text, "a text"),
    "tuple[float, float]": (
        lambda value: is_list_of(_is_real)(value) and len(value) == 2,
        "two finite numbers",
    ),
    "tuple[float, ...]": (is_list_of(_is_real), "a tuple of finite numbers"),
    "tuple[int, ...]": (is_list_of(_is_integral), "a tuple of whole numbers"),
    "tuple[str, ...]": (is_list_of(is_text), "a tuple of texts"),
}
"""What a field may be by its annotation, as a check and in words."""


def check_types(settings: Any) -> None:
    """Refuse a dataclass whose fields of plain types hold something else.

    NumPy's numbers and flags are numbers and flags; NaN and infinity are none. Fields with other
    annotations are left alone.

    Raises:
        ValueError: Names the field, what was expected and what stands there.
    """
    for field in dataclasses.fields(settings):
        kind, value = str(field.type), getattr(settings, field.name)
        if value is None and kind.endswith(" | None"):
            continue
        is_right, words = _PLAIN_TYPES.get(kind.removesuffix(" | None"), (None, ""))
        if is_right and not is_right(value):
            raise ValueError(
                f"Expected {field.name} of {type(settings).__name__} to be {words}"
                f"{' or None' if kind.endswith(' | None') else ''}. Received: {value!r}."
            )


def check_keys(
    where: str, given: Mapping[str, Any], known: Collection[str], needed: Collection[str] = ()
) -> None:
    """Refuse keys that nobody knows, and what lacks those that are needed.

    Raises:
        ValueError: Names them.
    """
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(f"Expected in {where} only {sorted(known)}. Received: {unknown}.")
    if missing := sorted(set(needed) - set(given)):
        raise ValueError(f"Expected {sorted(needed)} of {where}. Missing: {missing}.")


def read_text(path: Path, errors: str = "strict") -> str:
    """Return the text of a file that an editor wrote, lines ended by `\\n`.

    UTF-8, or UTF-16 if it begins with its mark, as Windows' editors write it; the mark is left out.

    Args:
        path: The file.
        errors: What is done with bytes that are no UTF-8, as `bytes.decode` has it.

    Raises:
        OSError: If it cannot be read.
        UnicodeDecodeError: If it is no such text.
    """
    content = path.read_bytes()
    is_utf16 = content.startswith(UTF_16_MARKS)
    text = content.decode("utf-16") if is_utf16 else content.decode("utf-8", errors)
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def encoding_of(path: Path) -> str:
    """Return the encoding of a text: UTF-16 if it begins with its mark, else UTF-8.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        return "utf-16" if file.read(2).startswith(UTF_16_MARKS) else "utf-8-sig"


def read_json_object(path: Path) -> dict[str, Any]:
    """Return what a JSON file says, which must be an object.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no JSON, or no object; names the file.
    """
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Expected JSON in {path}. Received: {error}.") from error
    if not is_table(found):
        raise ValueError(f"Expected a JSON object in {path}. Received: {type(found).__name__}.")
    return found


def read_toml(path: Path, tables: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what a TOML file says, and its `[[tables]]` apart.

    Args:
        path: The file.
        tables: Name of the tables that may stand several times.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no TOML, or its tables are none.
    """
    import tomllib

    if not path.is_file():
        raise FileNotFoundError(f"No configuration at {str(path)!r}. Check the spelling.")
    try:
        content = tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"Cannot read {path} as TOML: {error}.") from error
    rows = content.pop(tables, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"Expected [[{tables}]] tables in {path}. Received: {rows!r}.")
    return content, rows


def check_range(least: float, most: float = math.inf, /, **values: float) -> None:
    """Raise a ValueError if an argument is no finite number of a range, both ends in it."""
    for name, value in values.items():
        if not (_is_real(value) and least <= value <= most):
            limit = f"in [{least}, {most}]" if most < math.inf else f">= {least}, a finite number"
            raise ValueError(f"Expected {name} {limit}. Received: {value!r}.")


def check_whole(least: int, most: float = math.inf, /, **values: int) -> None:
    """Raise a ValueError if an argument is no whole number of a range, both ends in it."""
    for name, value in values.items():
        if not (_is_integral(value) and least <= value <= most):
            limit = f"in {least}...{most}" if most < math.inf else f">= {least}"
            raise ValueError(f"Expected {name} {limit}, a whole number. Received: {value!r}.")


def check_choice(name: str, value: str, allowed: Collection[str]) -> None:
    """Raise a ValueError if an argument is none of the values allowed."""
    if value not in list(allowed):
        raise ValueError(f"Expected {name} to be one of {list(allowed)}. Received: {value!r}.")


def checked_part(name: str, part: Part, needed: Sequence[str]) -> Part:
    """Return an object, or None, unless it lacks what its part has to do.

    Args:
        name: Of the argument.
        part: What was given.
        needed: Names of the attributes and methods.

    Raises:
        TypeError: Names what is missing; or the class, where that was given in place of an object.
    """
    if part is None:
        return part
    expected = f"Expected {name} to be an object with {', '.join(needed)}. Received:"
    if isinstance(part, type):
        raise TypeError(f"{expected} the class {part.__name__}. Try {part.__name__}().")
    if missing := [each for each in needed if not hasattr(part, each)]:
        raise TypeError(
            f"{expected} {type(part).__name__} without {', '.join(missing)} "
            "(docs/how_to/parts.md tells of each)."
        )
    return part


def check_seed(**values: int) -> None:
    """Raise a ValueError if an argument is no whole number in 0...`MOST_SEED`."""
    check_whole(0, MOST_SEED, **values)


def check_positive(**values: int | None) -> None:
    """Raise a ValueError if an argument is given and no whole number of at least 1."""
    for name, value in values.items():
        is_count = value is None or (isinstance(value, Integral) and value >= 1)
        if not is_count:
            raise ValueError(f"Expected {name} >= 1, a whole number. Received: {value!r}.")
