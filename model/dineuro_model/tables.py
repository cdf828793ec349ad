"""Frozen dataclasses from TOML tables and JSON objects, with every mistake named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

from dineuro_bridge.errors import BadParameter

T = TypeVar("T")


def from_table(kind: type[T], values: Mapping[str, Any], what: str) -> T:
    """A dataclass whose fields are numbers, strings, booleans and tuples of them.

    The default of a field says its type; a field without one is a string. Lists become tuples,
    whole numbers stand for floats.

    Args:
        kind: the dataclass.
        values: by field name.
        what: it is, for the messages.

    Raises:
        BadParameter: a name that the dataclass has not, a missing one, a value of another type.
    """
    assert is_dataclass(kind)  # noqa: S101 - a programmer's mistake
    known = {f.name: "" if f.default is MISSING else f.default for f in fields(kind)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise BadParameter(f"{what}: knows no {unknown[0]!r}; it knows {', '.join(known)}")
    required = {f.name for f in fields(kind) if f.default is MISSING}
    missing = sorted(required - set(values))
    if missing:
        raise BadParameter(f"{what}: {missing[0]!r} is missing")
    made = {name: _fitted(value, known[name], f"{what}: {name}") for name, value in values.items()}
    return kind(**made)


def _fitted(value: Any, default: Any, what: str) -> Any:
    """The value in the type of the default."""
    wanted = type(default)
    if wanted is float and type(value) is int:
        return float(value)
    if wanted is tuple and isinstance(value, list | tuple):
        items = {type(item) for item in value}
        if items <= {type(item) for item in default} or (not default and items <= {int, str}):
            return tuple(value)
    if type(value) is wanted and wanted is not tuple:
        return value
    raise BadParameter(f"{what} = {value!r}: must be {_WORDS.get(wanted, wanted.__name__)}")


_WORDS = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "a text in quotes",
    tuple: "a list of numbers or texts, all of one type",
}
