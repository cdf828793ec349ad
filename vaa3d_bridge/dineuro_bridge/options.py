"""The options of a trace: each one is declared once, and every interface derives from the table.

`TraceOptions` is a frozen record with one field per option; `option` (in `option_table`) attaches
the bounds, the unit and the help text to the field. `OPTIONS` is the table that the command line,
the HTTP parameters, the OpenAPI description, the Python client, the web page's form and the SWC
comments are made from.

`python -m dineuro_bridge.options` prints the table as JSON, for code in other languages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypedDict

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.option_table import Option, option, table_of
from dineuro_bridge.volumes.terms import Roi, RowOrder, ZAxis

Enhancer = Literal["auto", "dineuro", "classical", "none"]
Trees = Literal["auto", "one", "all"]
Units = Literal["voxel", "um"]
Spines = Literal["drop", "keep"]
Contrast = Literal["auto", "bright", "dark"]
Point = tuple[float, float, float]

#: Enhancers that run a network.
NETWORK_ENHANCERS = ("auto", "dineuro")
_LONGEST_NAME = 200


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
    z_axis: ZAxis = option(
        "z",
        help="Axis along which the file keeps its slices: z, or time (t) or channels (c) where a "
        "program named them so.",
        group="input",
    )
    contrast: Contrast = option(
        "auto",
        help="Whether neurites are bright on a dark ground, dark on a bright one, or as the image "
        "shows (auto).",
        group="input", comment=True, example="dark",
    )  # fmt: skip
    enhancer: Enhancer = option(
        "auto",
        help="Method that separates neurites from background: the network (dineuro), filters "
        "(classical), the intensity itself (none), or the one that suits the image (auto).",
        group="network", example="classical",
    )  # fmt: skip
    model: str | None = option(
        None,
        help="Network, by a name that `dineuro models` lists or, for local work, by the path of "
        "its weights; the default one if left out.",
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
        "auto",
        help="Trees to keep: the tree of the root (one), every neuron and piece (all), or what the "
        "image shows (auto): one neuron, neurons with a soma each, or a field of axons.",
        group="tracing", retrace=True, comment=True, example="one",
    )  # fmt: skip
    spines: Spines = option(
        "drop",
        help="Spines, which are short side branches of thick neurites: leave them out (drop), or "
        "keep them with SWC type 7 (keep).",
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
    spines: Spines
    min_confidence: float
    units: Units


class TraceKwargs(RetraceKwargs, total=False):
    """Keyword arguments of a trace: the options of `TraceOptions`, all of them optional."""

    channel: int | None
    roi: Roi | None
    spacing: Point | None
    row_order: RowOrder
    z_axis: ZAxis
    contrast: Contrast
    enhancer: Enhancer
    model: str | None
    passes: int


def _plain_name(name: str) -> str:
    """The name of a file without its folders and without characters that no line may hold."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(letter for letter in last if letter.isprintable()).strip()
    return clean[:_LONGEST_NAME] or "volume"


#: Every option by its name.
OPTIONS: dict[str, Option] = table_of(TraceOptions)
#: Every option at its default.
DEFAULTS = TraceOptions()


#: The values that a run in blocks (docs/brain.md) takes of the options that it does not apply.
_IN_BLOCKS: dict[str, tuple[object, ...]] = {
    "roi": (None,), "root": (None,), "row_order": ("file",), "z_axis": ("z",),
    "contrast": ("auto", "bright"), "trees": ("auto", "all"),
    "enhancer": (*NETWORK_ENHANCERS, "classical"),
}  # fmt: skip


def check_in_blocks(options: TraceOptions) -> None:
    """Refuse options that a run in blocks does not apply.

    Raises:
        BadParameter: names the option.
    """
    for name, taken in _IN_BLOCKS.items():
        value = getattr(options, name)
        if value not in taken:
            raise BadParameter(f"{name} {value}: is not read by a run in blocks (dineuro brain)")


def json_text() -> str:
    """The table as the text of a JSON file."""
    records = [each.record() for each in OPTIONS.values()]
    return json.dumps(records, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(json_text(), end="")  # noqa: T201 - this is the program's output
