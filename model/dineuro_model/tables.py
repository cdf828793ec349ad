"""Dataclasses from TOML tables and JSON objects, with an error message for every mistake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

from dineuro_bridge.errors import BadParameter

T = TypeVar("T")


def from_table(kind: type[T], values: Mapping[str, Any], what: str) -> T:
    """A dataclass whose fields are numbers, strings, booleans and tuples of these.

    The type of a field is the type of its default; a field without a default is a string. Lists
    become tuples, and a whole number is accepted for a float.

    Args:
        kind: the dataclass.
        values: the values by field name.
        what: the name of the table in error messages.

    Raises:
        BadParameter: an unknown name, a missing name, or a value of another type.
    """
    assert is_dataclass(kind)  # noqa: S101 - a programmer's mistake
    defaults = {f.name: "" if f.default is MISSING else f.default for f in fields(kind)}
    unknown = sorted(set(values) - set(defaults))
    if unknown:
        raise BadParameter(f"{what}: knows no {unknown[0]!r}; it knows {', '.join(defaults)}")
    required = {f.name for f in fields(kind) if f.default is MISSING}
    missing = sorted(required - set(values))
    if missing:
        raise BadParameter(f"{what}: {missing[0]!r} is missing")
    return kind(
        **{name: _convert(v, defaults[name], f"{what}: {name}") for name, v in values.items()}
    )


def _convert(value: Any, default: Any, what: str) -> Any:
    """The value in the type of the default; `what` is its name in an error message."""
    kind = type(default)
    if kind is float and type(value) is int:
        return float(value)
    if kind is tuple and isinstance(value, list | tuple):
        items = {type(item) for item in value}
        if default and items <= {int, float} and type(default[0]) is float:
            return tuple(map(float, value))
        if items <= {type(item) for item in default} or (not default and items <= {int, str}):
            return tuple(value)
    if type(value) is kind and kind is not tuple:
        return value
    raise BadParameter(f"{what} = {value!r}: must be {_NAMES.get(kind, kind.__name__)}")


#: The names of the types in error messages.
_NAMES = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "a text in quotes",
    tuple: "a list of numbers or texts, all of one type",
}
