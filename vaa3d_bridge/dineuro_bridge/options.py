"""The options of a trace: each one is declared once, and every interface derives from the table.

`TraceOptions` is a frozen record with one field per option. `option` attaches the bounds, the unit
and the help text to the field. `OPTIONS` is the table that the command line, the HTTP parameters,
the OpenAPI description, the Python client, the web page's form and the SWC comments are made from.

`python -m dineuro_bridge.options` prints the table as JSON, for code in other languages.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import UnionType
from typing import Any, Literal, Self, TypedDict, get_args, get_origin, get_type_hints

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.volumes.volume import Roi, RowOrder

Enhancer = Literal["auto", "dineuro", "classical", "none"]
Trees = Literal["one", "all"]
Units = Literal["voxel", "um"]
Point = tuple[float, float, float]

#: The part of the work that an option belongs to, in the order of help texts and forms.
Group = Literal["input", "network", "tracing", "output"]
Kind = Literal["text", "choice", "integer", "number"]

#: Numbers without a narrower bound stay within this one, so that they fit 32-bit integers.
LARGEST = 2**31 - 1
#: Enhancers that run a network.
NETWORK_ENHANCERS = ("auto", "dineuro")
_LONGEST_NAME = 200
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


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceOptions:
    """What a user may set for one volume. The fields' order is the order of every listing.

    Lengths are in voxels of the finest axis. Points, boxes and voxel sizes are in x, y, z order.
    A field that is None is decided by the volume or by the default of the program.

    Raises:
        BadParameter: a value is not allowed; the message names the option.
    """

    name: str = option(
        "volume",
        help="Name of the image in the comments of the SWC file and in the report; "
        "folders are removed.",
        group="input", example="neuron.tif", retrace=True, command_line=False,
    )  # fmt: skip
    channel: int | None = option(
        None,
        help="Channel to trace, counted from 1; the first one if left out.",
        group="input", minimum=1, comment=True,
    )  # fmt: skip
    roi: Roi | None = option(
        None,
        help="Box of voxels to trace, counted from 0, upper ends excluded; the tree keeps the "
        "coordinates of the full volume.",
        group="input", unit="voxel", minimum=0, metavar="x0,y0,z0,x1,y1,z1", comment=True,
        example=[0, 0, 10, 512, 512, 90],
    )  # fmt: skip
    root: Point | None = option(
        None,
        help="Root of the tree, counted from 0; found in the image if left out.",
        group="input", unit="voxel", metavar="x,y,z", comment=True, retrace=True,
        example=[256.0, 240.5, 31.0],
    )  # fmt: skip
    spacing: Point | None = option(
        None,
        help="Size of a voxel; the file's own if left out.",
        group="input", unit="µm", above=0, metavar="x,y,z", example=[0.2, 0.2, 1.0],
    )  # fmt: skip
    row_order: RowOrder = option(
        "file",
        help="Order of the rows of a TIFF: as in the file, or as Vaa3D shows them.",
        group="input",
    )
    enhancer: Enhancer = option(
        "auto",
        help="Method that separates neurites from background: the network (dineuro), filters "
        "(classical), the intensity itself (none), or the one that suits the image (auto).",
        group="network", example="classical",
    )  # fmt: skip
    model: str | None = option(
        None,
        help="Network, by the name that `dineuro models` lists; the default one if left out.",
        group="network", metavar="MODEL",
    )  # fmt: skip
    threshold: int = option(
        128,
        help="Lowest probability, on a scale to 255, of a voxel in the mask.",
        group="tracing", minimum=1, maximum=255, retrace=True, comment=True,
    )  # fmt: skip
    min_length: float = option(
        3.0,
        help="Length of the shortest branch to keep.",
        group="tracing", unit="voxel", minimum=0, retrace=True, comment=True,
    )  # fmt: skip
    gap: float = option(
        60.0,
        help="Width of the widest gap to join; beyond 40 voxels only large pieces are joined, "
        "and 0 joins none.",
        group="tracing", unit="voxel", minimum=0, retrace=True, comment=True,
    )  # fmt: skip
    trees: Trees = option(
        "one",
        help="Trees to keep: the tree of the root (one), or every neuron and piece (all).",
        group="tracing", retrace=True, comment=True,
    )  # fmt: skip
    min_confidence: float = option(
        0.5,
        help="Lowest share of a branch that is expected to be right; branches below it are "
        "removed, and 0 keeps all.",
        group="tracing", minimum=0, maximum=1, retrace=True, comment=True,
    )  # fmt: skip
    passes: int = option(
        2,
        help="Number of passes at most; the second judges a noisy stack again by the certain "
        "part of the first tree.",
        group="tracing", minimum=1, maximum=2,
    )  # fmt: skip
    units: Units = option(
        "voxel",
        help="Unit of the coordinates and radii of the SWC file.",
        group="output", retrace=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        for each in table_of(type(self)).values():
            object.__setattr__(self, each.name, each.parse(getattr(self, each.name)))
        object.__setattr__(self, "name", _plain_name(self.name))
        if self.roi is not None:
            low, high = self.roi[:3], self.roi[3:]
            if not all(a < b for a, b in zip(low, high, strict=True)):
                raise BadParameter(f"roi {self.roi}: needs x0 < x1, y0 < y1 and z0 < z1")
        if self.model is not None and not self.uses_network:
            raise BadParameter(
                f"model: names a network, and the enhancer {self.enhancer} uses none"
            )

    @property
    def uses_network(self) -> bool:
        """Whether the enhancer runs a network."""
        return self.enhancer in NETWORK_ENHANCERS

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Options from JSON values or from the texts of a query.

        Raises:
            BadParameter: a value is not allowed, or a name is no option.
        """
        names = table_of(cls)
        for name in values:
            if name not in names:
                raise BadParameter(f"{name}: is no parameter; parameters are {', '.join(names)}")
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """All options as JSON values: equal options give equal values."""
        values = {name: getattr(self, name) for name in table_of(type(self))}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


class RetraceKwargs(TypedDict, total=False):
    """Keyword arguments of a retrace: the options of `TraceOptions` that it may change."""

    name: str
    root: Point | None
    threshold: int
    min_length: float
    gap: float
    trees: Trees
    min_confidence: float
    units: Units


class TraceKwargs(RetraceKwargs, total=False):
    """Keyword arguments of a trace: the options of `TraceOptions`, all of them optional."""

    channel: int | None
    roi: Roi | None
    spacing: Point | None
    row_order: RowOrder
    enhancer: Enhancer
    model: str | None
    passes: int


def _plain_name(name: str) -> str:
    """The name of a file without its folders and without characters that no line may hold."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(letter for letter in last if letter.isprintable()).strip()
    return clean[:_LONGEST_NAME] or "volume"


_TABLES: dict[type[Any], dict[str, Option]] = {}


def table_of(options: type[TraceOptions]) -> dict[str, Option]:
    """The options of a record of options by their names, in the order of its fields."""
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


#: Every option by its name.
OPTIONS: dict[str, Option] = table_of(TraceOptions)
#: Every option at its default.
DEFAULTS = TraceOptions()


def retrace_names(options: Iterable[Option]) -> tuple[str, ...]:
    """The names of the options that a retrace may change."""
    return tuple(each.name for each in options if each.retrace)


def json_text() -> str:
    """The table as the text of a JSON file."""
    records = [each.record() for each in OPTIONS.values()]
    return json.dumps(records, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(json_text(), end="")  # noqa: T201 - this is the program's output
