"""What a client may ask of a job: the same through every door, checked before it is queued."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dineuro.pipeline.enhancement import Enhancer
from dineuro.pipeline.reconstruct import Request, Units
from dineuro_bridge.errors import BadParameter
from dineuro_bridge.volumes.volume import RowOrder
from dineuro_tracing.trace import TraceParameters

_LONGEST_NAME = 200


def _split(value: object) -> object:
    """The text "1,2,3" of a query as its numbers' words; lists stay as they are."""
    return value.split(",") if isinstance(value, str) else value


def _plain_name(name: str) -> str:
    """A file's name without its folders and without what no line of text may hold."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(letter for letter in last if letter.isprintable()).strip()
    return clean[:_LONGEST_NAME] or "volume"


def _enclosed(box: tuple[int, ...]) -> tuple[int, ...]:
    if not all(0 <= low < high for low, high in zip(box[:3], box[3:], strict=True)):
        raise ValueError("needs 0 <= x0 < x1, 0 <= y0 < y1, 0 <= z0 < z1")
    return box


_Whole = Annotated[int, Field(ge=0, lt=2**31)]
_Place = Annotated[float, Field(gt=-(2**31), lt=2**31, allow_inf_nan=False)]
_Step = Annotated[float, Field(gt=0, lt=2**31, allow_inf_nan=False)]
_Length = Annotated[float, Field(ge=0, lt=2**31, allow_inf_nan=False)]
_Box = Annotated[
    tuple[_Whole, _Whole, _Whole, _Whole, _Whole, _Whole],
    BeforeValidator(_split),
    AfterValidator(_enclosed),
]


class Parameters(BaseModel):
    """The settings of one job; lengths are in voxels of the finest axis.

    Attributes:
        name: of the image, for the SWC's comments and the report; folders are cut off.
        enhancer: "auto", "dineuro", "classical" or "none".
        model: an installed network by its name; None is the default one.
        channel: counted from 1; None takes the first.
        roi: half-open box x0, y0, z0, x1, y1, z1 in voxels, or such a text with commas.
        root: x, y, z in voxels from 0, or such a text.
        spacing: voxel size x, y, z in µm where the file does not tell it, or such a text.
        units: of the tree's coordinates.
        row_order: rows of TIFFs as the file has them, or as Vaa3D shows them.
        threshold, min_length, gap, trees, min_confidence: the tracer's, see `TraceParameters`.
        passes: at most so many, 1 or 2; a retrace and a job without a tree have one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, AfterValidator(_plain_name)] = "volume"
    enhancer: Enhancer = "auto"
    model: str | None = Field(default=None, max_length=200)
    channel: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    roi: _Box | None = None
    root: Annotated[tuple[_Place, _Place, _Place], BeforeValidator(_split)] | None = None
    spacing: Annotated[tuple[_Step, _Step, _Step], BeforeValidator(_split)] | None = None
    units: Units = "voxel"
    row_order: RowOrder = "file"
    threshold: int = Field(default=128, ge=1, le=255)
    min_length: _Length = 3.0
    gap: _Length = 60.0
    trees: Literal["one", "all"] = "one"
    min_confidence: float = Field(default=0.5, ge=0, le=1)
    passes: int = Field(default=2, ge=1, le=2)

    def request(self, device: str) -> Request:
        """The same for the pipeline, on a worker's device: "auto", "cpu" or "cuda"."""
        return Request(
            enhancer=self.enhancer,
            parameters=TraceParameters(
                self.threshold, self.min_length, self.gap, self.trees, self.min_confidence
            ),
            model=self.model,
            device=device,
            channel=self.channel,
            roi=self.roi,
            root=self.root,
            spacing=None if self.spacing is None else self.spacing[::-1],
            units=self.units,
            passes=self.passes,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, all of them: two equal requests give the same."""
        return self.model_dump(mode="json")


def parse_parameters(given: Mapping[str, Any]) -> Parameters:
    """Check what came over the wire.

    Raises:
        BadParameter: names what is wrong with which parameter; an unknown one is refused.
    """
    try:
        parameters = Parameters.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "parameters"
        known = ""
        if first["type"] == "extra_forbidden":
            known = f"; known are {', '.join(Parameters.model_fields)}"
        raise BadParameter(f"{where}: {_said(first)}{known}") from error
    if parameters.model is not None and parameters.enhancer not in ("auto", "dineuro"):
        raise BadParameter(
            f"model: names a network, and the enhancer {parameters.enhancer} uses none"
        )
    return parameters


def _said(problem: Any) -> str:
    """One complaint of the library as a clause."""
    if problem["type"] == "extra_forbidden":
        return "is no parameter"
    text: str = problem["msg"]
    return text.removeprefix("Value error, ")[:1].lower() + text.removeprefix("Value error, ")[1:]
