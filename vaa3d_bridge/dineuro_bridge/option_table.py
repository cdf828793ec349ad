"""`Option`: the declaration of one option, its check, and its JSON Schema."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dineuro_bridge.errors import BadParameter

#: The part of the work that an option belongs to, in the order of help texts and forms.
Group = Literal["input", "network", "tracing", "output"]
Kind = Literal["text", "choice", "integer", "number"]

#: Numbers without a narrower bound stay within this one, so that they fit 32-bit integers.
LARGEST = 2**31 - 1
#: Characters of a refused value that its error message repeats.
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a trace.

    Attributes:
        name: of the field of `TraceOptions`, and of the parameter in every interface.
        kind: of one value.
        length: count of values of a tuple; 0 for a single value.
        optional: whether None is allowed.
        default: the value of an option that is left out.
        choices: allowed values of the kind "choice".
        help: one sentence for a user.
        group: the part of the work.
        unit: of numbers; empty where there is none.
        minimum, maximum: bounds of each number, both inclusive.
        above: bound of each number, exclusive; None where `minimum` is the bound.
        metavar: notation of the value in help texts.
        longest: characters of a text at most.
        example: value for the OpenAPI description; None where the default says enough.
        retrace: whether a retrace may change it.
        comment: whether the comments of an SWC file state it.
        command_line: whether the command line offers it.
    """

    name: str
    kind: Kind
    length: int
    optional: bool
    default: Any
    choices: tuple[str, ...]
    help: str
    group: Group
    unit: str = ""
    minimum: float = -LARGEST
    maximum: float = LARGEST
    above: float | None = None
    metavar: str = ""
    longest: int = 4096
    example: Any = None
    retrace: bool = False
    comment: bool = False
    command_line: bool = True

    @property
    def rule(self) -> str:
        """The allowed values, as the end of the sentence "must be …"."""
        if self.kind == "text":
            return f"a text of at most {self.longest} characters"
        if self.kind == "choice":
            *most, last = (repr(choice) for choice in self.choices)
            return f"{', '.join(most)} or {last}"
        whole = "whole " if self.kind == "integer" else ""
        noun = f"{self.length} {whole}numbers" if self.length else f"a {whole}number"
        notation = f" {self.metavar}" if self.length and self.metavar else ""
        return f"{noun}{notation}{self._bounds}"

    @property
    def _bounds(self) -> str:
        """The bounds of a number in words."""
        if self.above is not None:
            return f" above {self.above:g}"
        if self.maximum < LARGEST:
            return f" from {self.minimum:g} to {self.maximum:g}"
        return f" of at least {self.minimum:g}" if self.minimum > -LARGEST else ""

    def parse(self, value: object) -> Any:
        """Check a value; texts of a query such as "100" or "1,2,3" are converted.

        Args:
            value: of the option's type, JSON's form of it, or its text.

        Raises:
            BadParameter: the value is not allowed; the message names the option.
        """
        if value is None and self.optional:
            return None
        try:
            if not self.length:
                return self._scalar(value)
            parts: Any = value.split(",") if isinstance(value, str) else value
            values = tuple(self._scalar(part) for part in parts)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._refusal(value) from error
        if len(values) != self.length:
            raise self._refusal(value)
        return values

    def _refusal(self, value: object) -> BadParameter:
        text = repr(value)
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        return BadParameter(f"{self.name} {shown}: must be {self.rule}")

    def _scalar(self, value: Any) -> Any:
        """One value.

        Raises:
            TypeError, ValueError, OverflowError: it is not allowed.
        """
        if self.kind in ("text", "choice"):
            if not isinstance(value, str) or len(value) > self.longest:
                raise ValueError
            if self.choices and value not in self.choices:
                raise ValueError
            return value
        if isinstance(value, bool):
            raise TypeError
        number = _integer(value) if self.kind == "integer" else float(_plain(value))
        too_low = number < self.minimum if self.above is None else number <= self.above
        if not math.isfinite(number) or too_low or number > self.maximum:
            raise ValueError
        return number

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the option; what may be None may be left out."""
        schema = self._scalar_schema()
        if self.length:
            size = {"minItems": self.length, "maxItems": self.length}
            schema = {"type": "array", "items": schema, **size}
        return schema if self.default is None else {**schema, "default": self.default}

    def _scalar_schema(self) -> dict[str, Any]:
        if self.kind == "choice":
            return {"type": "string", "enum": list(self.choices)}
        if self.kind == "text":
            return {"type": "string", "maxLength": self.longest}
        low = {"minimum": self.minimum} if self.above is None else {"exclusiveMinimum": self.above}
        return {"type": self.kind, **low, "maximum": self.maximum}

    def record(self) -> dict[str, Any]:
        """The option as JSON values, for code in other languages."""
        return {
            "name": self.name,
            "group": self.group,
            "help": self.help,
            "unit": self.unit,
            "retrace": self.retrace,
            "schema": self.schema(),
        }


def _integer(value: Any) -> int:
    """A whole number from an integer, an integral float, or a decimal text."""
    if isinstance(value, str):
        return int(_plain(value))
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return operator.index(value)


def _plain(value: Any) -> Any:
    """A text without the underscores that Python allows between digits; other values as they are.

    Raises:
        ValueError: the text has one.
    """
    if isinstance(value, str) and "_" in value:
        raise ValueError
    return value


def option(default: Any, **declaration: Any) -> Any:
    """A field of `TraceOptions`.

    Args:
        default: the value of an option that is left out.
        declaration: attributes of `Option` that the field's type does not tell; `help` and `group`
            are required.
    """
    return field(default=default, metadata=declaration)


_TABLES: dict[type[Any], dict[str, Option]] = {}


def table_of(options: type[Any]) -> dict[str, Option]:
    """The options of a dataclass of `option` fields by their names, in the order of the fields."""
    if options not in _TABLES:
        types = get_type_hints(options)
        _TABLES[options] = {
            each.name: Option(
                name=each.name,
                **_type_facts(types[each.name]),
                default=each.default,
                **each.metadata,
            )
            for each in fields(options)
        }
    return _TABLES[options]


def _type_facts(annotation: Any) -> dict[str, Any]:
    """What a field's type says: kind, length, optional and choices."""
    alternatives = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    (one,) = (each for each in alternatives if each is not type(None))
    parts = get_args(one) if get_origin(one) is tuple else ()
    scalar = parts[0] if parts else one
    choices = get_args(scalar) if get_origin(scalar) is Literal else ()
    kinds: dict[Any, Kind] = {str: "text", int: "integer", float: "number"}
    return {
        "kind": "choice" if choices else kinds[scalar],
        "length": len(parts),
        "optional": len(alternatives) > 1,
        "choices": choices,
    }


def retrace_names(options: Iterable[Option]) -> tuple[str, ...]:
    """The names of the options that a retrace may change."""
    return tuple(each.name for each in options if each.retrace)
