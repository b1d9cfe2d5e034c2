"""Checks of values given by users: arguments and fields of cards and configurations."""

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
"""The highest seed that Keras and NumPy's older generators accept."""
MOST_LEVELS = 100
"""Tables and lists of a JSON file inside one another; beyond this, Python cannot handle them."""
EACH = "*"
"""In a shape: every key of the table (see `check_shape`)."""


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number; True and False do not count."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 2**63 and math.isfinite(value)


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number; True and False do not count."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number_in(least: float, most: float = math.inf) -> Callable[[Any], bool]:
    """Return a check for finite numbers in a range, both ends included."""
    return lambda value: is_number(value) and least <= value <= most


def is_whole_in(least: int, most: float = math.inf) -> Callable[[Any], bool]:
    """Return a check for whole numbers in a range, both ends included."""
    return lambda value: is_whole(value) and least <= value <= most


def is_text(value: Any) -> bool:
    """Return whether a value is a string."""
    return isinstance(value, str)


def known_name(value: Any) -> str:
    """Return a name, or a number in its place, as text; "" if missing (None, NaN, pandas' NA)."""
    return str(value) if value is not None and str(value == value) == "True" else ""


def is_flag(value: Any) -> bool:
    """Return whether a value is a bool."""
    return isinstance(value, bool)


def is_table(value: Any) -> bool:
    """Return whether a value is a table (a JSON object) with strings as keys."""
    return isinstance(value, Mapping) and all(map(is_text, value))


def is_table_of(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a check for tables whose values are of one kind."""
    return lambda value: is_table(value) and all(map(kind, value.values()))


def is_list_of(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a check for lists whose items are of one kind; a string is not a list."""
    return lambda value: (
        isinstance(value, Sequence) and not is_text(value) and all(map(kind, value))
    )


def is_nothing_or(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a check for values of one kind, or None."""
    return lambda value: value is None or kind(value)


def check_fields(
    where: str, values: Mapping[str, Any], kinds: Mapping[str, tuple[Callable[[Any], bool], str]]
) -> None:
    """Check that values are of their fields' kinds.

    Args:
        where: Where the values come from, for the message.
        values: Field name -> value.
        kinds: Field name -> check and its description.

    Raises:
        ValueError: If one is not; names the field, what was expected and what was found.
    """
    for name, (is_right, words) in kinds.items():
        if name in values and not is_right(values[name]):
            raise ValueError(
                f"Expected {name} in {where} to be {words}. Received: {values[name]!r}."
            )


def check_shape(where: str, name: str, value: Any, shape: Any) -> None:
    """Check a value from a file, and all that it holds, as far as a shape tells of it.

    Args:
        where: Where the value comes from, for the message.
        name: Name of the value, for the message.
        value: The value.
        shape: A check and its description; or a list of one shape, for a list of such values; or a
            table of key -> shape, for a table with or without these keys. `EACH` as the key is for
            all keys, and keys that are not in the shape may hold anything.

    Raises:
        ValueError: If it is of another shape; names the place, what was expected and was found.
    """
    if isinstance(shape, tuple):
        is_right, words = shape
    elif isinstance(shape, list):
        is_right, words = is_list_of(lambda item: True), "a list"
    else:
        is_right, words = is_table, "a table"
    if not is_right(value):
        raise ValueError(f"Expected {name} in {where} to be {words}. Received: {value!r:.200}.")
    if isinstance(shape, list):
        for place, item in enumerate(value):
            check_shape(where, f"{name}[{place}]", item, shape[0])
    elif isinstance(shape, Mapping):
        for key in value if EACH in shape else value.keys() & shape.keys():
            check_shape(where, f"{name}.{key}", value[key], shape.get(EACH) or shape[key])


def _is_integral(value: Any) -> bool:
    """Like `is_whole`, but also accept NumPy's numbers, which JSON cannot hold."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_real(value: Any) -> bool:
    """Like `is_number`, but also accept NumPy's numbers."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    return abs(value if isinstance(value, Integral) else float(value)) < 2**63


_PLAIN_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (_is_integral, "a whole number"),
    "float": (_is_real, "a finite number"),
    "bool": (
        # NumPy's own type of flags is called "bool", too.
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
"""Annotation -> what such a field may hold, as a check and in words."""


def check_types(settings: Any) -> None:
    """Check that the fields of a dataclass with plain types hold values of these types.

    NumPy's numbers and flags count as numbers and flags, NaN and infinity do not. Fields with
    other annotations are not checked.

    Raises:
        ValueError: If one does not; names the field, what was expected and what was found.
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
    """Check that there are no unknown keys and that none of the required keys are missing.

    Raises:
        ValueError: If a key is unknown or missing; names these keys.
    """
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(f"Expected in {where} only {sorted(known)}. Received: {unknown}.")
    if missing := sorted(set(needed) - set(given)):
        raise ValueError(f"Expected {sorted(needed)} of {where}. Missing: {missing}.")


def read_text(path: Path, errors: str = "strict") -> str:
    """Return the text of a file that an editor wrote, with lines ending in `\\n`.

    The file is UTF-8, or UTF-16 if it begins with a byte order mark, as Windows editors write it;
    the mark is removed.

    Args:
        path: The file.
        errors: How to handle bytes that are not UTF-8, as in `bytes.decode`.

    Raises:
        OSError: If the file cannot be read.
        UnicodeDecodeError: If it is not such text.
    """
    content = path.read_bytes()
    is_utf16 = content.startswith(UTF_16_MARKS)
    text = content.decode("utf-16") if is_utf16 else content.decode("utf-8", errors)
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def encoding_of(path: Path) -> str:
    """Return the encoding of a text file: UTF-16 if it begins with its mark, else UTF-8.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        return "utf-16" if file.read(2).startswith(UTF_16_MARKS) else "utf-8-sig"


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, which must be an object.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not JSON, not an object, nested too deeply, or holds a number that is
            not finite; names the file.
    """
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Expected JSON in {path}. Received: {error}.") from error
    if not is_table(found):
        raise ValueError(f"Expected a JSON object in {path}. Received: {type(found).__name__}.")
    if not _is_plain(found, MOST_LEVELS):
        raise ValueError(
            f"Expected finite numbers, at most {MOST_LEVELS} levels deep, in {path}. Received: "
            "NaN, an infinite number, or more levels."
        )
    return found


def _is_plain(value: Any, levels: int) -> bool:
    """Return whether all numbers of a JSON value are finite, and it has so many levels at most."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return levels > 0 and all(_is_plain(one, levels - 1) for one in inner)
    return not isinstance(value, float) or math.isfinite(value)


def read_toml(path: Path, tables: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the content of a TOML file and, separately, its `[[tables]]`.

    Args:
        path: The file.
        tables: Name of the tables that may be repeated.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not TOML, or what it has under that name are not tables.
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
    """Raise a ValueError if an argument is not a finite number in a range, both ends included."""
    for name, value in values.items():
        if not (_is_real(value) and least <= value <= most):
            limit = f"in [{least}, {most}]" if most < math.inf else f">= {least}, a finite number"
            raise ValueError(f"Expected {name} {limit}. Received: {value!r}.")


def check_whole(least: int, most: float = math.inf, /, **values: int) -> None:
    """Raise a ValueError if an argument is not a whole number in a range, both ends included."""
    for name, value in values.items():
        if not (_is_integral(value) and least <= value <= most):
            limit = f"in {least}...{most}" if most < math.inf else f">= {least}"
            raise ValueError(f"Expected {name} {limit}, a whole number. Received: {value!r}.")


def check_flag(**values: bool) -> None:
    """Raise a ValueError if an argument is neither True nor False, nor NumPy's, nor 1 or 0."""
    is_right, words = _PLAIN_TYPES["bool"]
    for name, value in values.items():
        if not is_right(value):
            raise ValueError(f"Expected {name} to be {words}. Received: {value!r}.")


def check_choice(name: str, value: str, allowed: Collection[str]) -> None:
    """Raise a ValueError if an argument is not one of the allowed values."""
    if value not in list(allowed):
        raise ValueError(f"Expected {name} to be one of {list(allowed)}. Received: {value!r}.")


def checked_part(name: str, part: Part, needed: Sequence[str], by_name: str = "") -> Part:
    """Return an object, or None, after checking that it has what its role requires.

    Args:
        name: Name of the argument.
        part: The object given.
        needed: Names of the required attributes and methods.
        by_name: How to give one by its name, with `{}` for that.

    Raises:
        TypeError: If some are missing, or a class was given instead of an object; names them.
    """
    if part is None:
        return part
    expected = f"Expected {name} to be an object with {', '.join(needed)}. Received:"
    if isinstance(part, type):
        raise TypeError(f"{expected} the class {part.__name__}. Try {part.__name__}().")
    if by_name and isinstance(part, str):
        raise TypeError(f"{expected} the text {part!r}. Try {by_name.format(repr(part))}.")
    if missing := [each for each in needed if not hasattr(part, each)]:
        raise TypeError(
            f"{expected} {type(part).__name__} without {', '.join(missing)} "
            "(docs/how_to/parts.md tells of each)."
        )
    return part


def check_seed(**values: int) -> None:
    """Raise a ValueError if an argument is not a whole number in 0...`MOST_SEED`."""
    check_whole(0, MOST_SEED, **values)


def check_positive(**values: int | None) -> None:
    """Raise a ValueError if an argument is neither None nor a whole number of at least 1."""
    for name, value in values.items():
        is_count = value is None or (_is_integral(value) and value >= 1)
        if not is_count:
            raise ValueError(f"Expected {name} >= 1, a whole number. Received: {value!r}.")
