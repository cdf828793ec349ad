"""The whole way of one volume: choose the channel, enhance, trace, report. No files, no web."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dineuro.pipeline.enhancement import Enhanced, Enhancer, Given, enhanced, judged
from dineuro.pipeline.report import Report, disagreement, make_report
from dineuro.pipeline.second_pass import Pass, with_second_pass
from dineuro_bridge.errors import BadParameter, BadVolume
from dineuro_bridge.progress import ProgressCallback, silent
from dineuro_bridge.scale import Spacing, VoxelScale
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.volume import Roi, Volume
from dineuro_model.inference.registry import Model, cached_model
from dineuro_model.inference.runtime import RuntimeOptions
from dineuro_tracing.confidence import Segments
from dineuro_tracing.doubts import Doubt, doubts_of_segments, worst
from dineuro_tracing.pruning import pruned
from dineuro_tracing.trace import TraceParameters, trace

Units = Literal["voxel", "um"]

#: In an inverted image dark things stand out of the usual intensity so much more than bright ones.
_INVERTED = 2.5


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks of one volume.

    Attributes:
        enhancer: what turns intensity into probability: "auto" (the network, unless the image
            speaks against it), "dineuro", "classical", or "none".
        model: name of an installed model or path of its weights; None takes the default one.
        device: where the network runs: "auto", "cpu" or "cuda".
        parameters: the tracer's.
        channel: counted from 1; None takes the first.
        roi: half-open box in voxels; None is the whole volume.
        root: x, y, z in voxels of the full volume, from 0; None finds it.
        spacing: (z, y, x) in µm; None is what the file says.
        units: of the tree's coordinates.
        passes: at most so many, 1 or 2; see `second_pass`.
    """

    enhancer: Enhancer = "auto"
    parameters: TraceParameters = field(default_factory=TraceParameters)
    model: str | None = None
    device: str = "auto"
    channel: int | None = None
    roi: Roi | None = None
    root: tuple[float, float, float] | None = None
    spacing: Spacing | None = None
    units: Units = "voxel"
    passes: int = 2

    def __post_init__(self) -> None:
        if self.passes not in (1, 2):
            raise BadParameter(f"passes {self.passes}: must be 1 or 2")


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What came out.

    Attributes:
        tree: in the units asked for, coordinates of the full volume.
        mask: (1, Z, Y, X) uint8, 255 where the probability reaches the threshold; of the full
            volume's size, 0 outside the region.
        probability: (Z, Y, X) uint8 of the region, what the tree was traced in.
        overlay: the tree in voxels of the region, for a picture of it.
        intensity: (Z, Y, X) of the region, as it was read.
        report: figures and warnings.
        segments: how far each is to be trusted; its nodes are the tree's.
        doubts: the places to look at first, in voxels of the full volume.
        enhancer: which was used: "dineuro", "classical" or "none".
        model: name and SHA-256 of the network, if one was used.
        seconds: by stage.
    """

    tree: Tree
    mask: Volume
    probability: NDArray[np.uint8]
    overlay: Tree
    intensity: NDArray[Any]
    report: Report
    segments: Segments
    doubts: tuple[Doubt, ...]
    enhancer: str
    model: tuple[str, str] | None
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class EnhancedVolume:
    """The enhanced volume without a tree.

    Attributes:
        mask, probability, intensity, enhancer, model, seconds: as of a `Result`.
        figures: the mask's part of a report, by the same names.
    """

    mask: Volume
    probability: NDArray[np.uint8]
    intensity: NDArray[Any]
    figures: dict[str, Any]
    enhancer: str
    model: tuple[str, str] | None
    seconds: dict[str, float]


def reconstruct(
    volume: Volume,
    request: Request = Request(),
    progress: ProgressCallback = silent,
    *,
    given: Given | None = None,
) -> Result:
    """Enhance and trace one volume.

    Args:
        volume: what the microscope saw.
        request: what is asked of it.
        progress: called between units of work; it may raise `Cancelled`.
        given: the region's probability as it was made before: nothing is enhanced again.

    Raises:
        BadVolume: a 2D image, NaN or infinite voxels.
        BadParameter: a channel, region or root that the volume has not.
        LimitExceeded: memory ran out.
        Cancelled: whatever `progress` raises passes through.
    """
    if request.spacing is None and volume.spacing is None and request.units == "um":
        raise BadParameter(f"{volume.source}: no voxel size is known: give --spacing for µm")
    clock = time.perf_counter
    region, intensity = _chosen(volume, request)
    spacing = request.spacing or volume.spacing
    scale = VoxelScale(spacing)
    seconds: dict[str, float] = {}
    made = _enhanced(intensity, request, scale, progress, given, seconds)
    start = clock()
    root = None if request.root is None else _in_region(request.root, region, volume.source)

    def trace_in(made: Enhanced) -> Pass:
        return _traced(made, request.parameters, intensity, root, scale, progress)

    try:
        found = trace_in(made)
        seconds["trace"] = clock() - start
        start = clock()
        if request.passes > 1 and given is None:
            found = with_second_pass(
                found, intensity, trace_in,
                threshold=request.parameters.threshold, scale=scale, progress=progress,
            )  # fmt: skip
            seconds["second_pass"] = clock() - start
    except BadParameter as error:
        raise BadParameter(f"{volume.source}: {error}") from error
    start = clock()
    mask = found.made.probability >= request.parameters.threshold
    report = make_report(found, mask, scale, _input_warnings(volume, request, intensity))
    doubts = worst((*found.trace.doubts, *doubts_of_segments(found.trace.tree, found.segments)))
    seconds["report"] = clock() - start
    origin = np.array(region.origin[::-1])
    tree = found.trace.tree.moved(origin)
    if request.units == "um":
        tree = _in_micrometres(tree, scale)
    return Result(
        tree=tree,
        mask=_full_mask(mask, region, volume, spacing),
        probability=found.made.probability,
        overlay=found.trace.tree,
        intensity=intensity,
        report=report,
        segments=found.segments,
        doubts=tuple(doubt.moved(origin) for doubt in doubts),
        enhancer=found.made.enhancer,
        model=_model_of(found.made, given),
        seconds=seconds,
    )


def _traced(
    made: Enhanced,
    parameters: TraceParameters,
    intensity: NDArray[Any],
    root: tuple[float, float, float] | None,
    scale: VoxelScale,
    progress: ProgressCallback,
) -> Pass:
    """What is traced in a probability, without its unlikely branches."""
    traced = trace(made.probability, parameters, root=root, scale=scale.edges, progress=progress)
    traced, segments = pruned(
        traced,
        made.probability,
        intensity,
        min_confidence=parameters.min_confidence,
        scale=scale.edges,
    )
    return Pass(made, traced, segments)


def enhance_only(
    volume: Volume, request: Request = Request(), progress: ProgressCallback = silent
) -> EnhancedVolume:
    """The first half of `reconstruct`: the mask without a tree; errors as there."""
    region, intensity = _chosen(volume, request)
    spacing = request.spacing or volume.spacing
    seconds: dict[str, float] = {}
    made = _enhanced(intensity, request, VoxelScale(spacing), progress, None, seconds)
    mask = made.probability >= request.parameters.threshold
    told = (*_input_warnings(volume, request, intensity), made.warning, disagreement(made))
    return EnhancedVolume(
        mask=_full_mask(mask, region, volume, spacing),
        probability=made.probability,
        intensity=intensity,
        figures={
            "mask_voxels": int(np.count_nonzero(mask)),
            "mask_share": round(float(mask.mean()), 4),
            "brighter": _rounded(made.agreement.brighter),
            "found": _rounded(made.agreement.found),
            "sureness": _rounded(made.sureness),
            "warnings": tuple(text for text in told if text is not None),
        },
        enhancer=made.enhancer,
        model=_model_of(made, None),
        seconds=seconds,
    )


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def _model_of(made: Enhanced, given: Given | None) -> tuple[str, str] | None:
    """Name and SHA-256 of the network behind a probability."""
    if given is not None:
        return given.model
    return None if made.model is None else (made.model.name, made.model.sha256)


def _chosen(volume: Volume, request: Request) -> tuple[Volume, NDArray[Any]]:
    """The region, and its intensity (Z, Y, X), if they can be traced."""
    if volume.shape[0] == 1:
        raise BadVolume(
            f"{volume.source}: is a 2D image of {volume.shape[2]} x {volume.shape[1]}: a stack of "
            "two slices or more is needed"
        )
    region = volume if request.roi is None else volume.cropped(request.roi)
    if region.shape[0] == 1:
        raise BadVolume(f"{volume.source}: the region is one slice thick: two or more are needed")
    intensity = region.channel(1 if request.channel is None else request.channel)
    _check_finite(volume.source, intensity)
    return region, intensity


def _enhanced(
    intensity: NDArray[Any],
    request: Request,
    scale: VoxelScale,
    progress: ProgressCallback,
    given: Given | None,
    seconds: dict[str, float],
) -> Enhanced:
    """The probability, made or given; how long it took is put into `seconds`."""
    if given is not None:
        return judged(intensity, given.probability, request.parameters.threshold, given.enhancer)
    clock = time.perf_counter
    start = clock()
    model = _load(request)
    seconds["load"] = clock() - start
    start = clock()
    made = enhanced(
        intensity, request.enhancer, model, scale=scale,
        threshold=request.parameters.threshold, progress=progress,
    )  # fmt: skip
    seconds["enhance"] = clock() - start
    return made


def _load(request: Request) -> Model | None:
    """The network of a request; it stays in memory for the next volume."""
    if request.enhancer not in ("auto", "dineuro"):
        return None
    return cached_model(request.model, RuntimeOptions(request.device))


def _check_finite(source: str, intensity: NDArray[Any]) -> None:
    """Refuse NaN and infinity, which no threshold can order; slice by slice, without a copy."""
    if intensity.dtype.kind != "f":
        return
    for z, plane in enumerate(intensity):
        bad = np.count_nonzero(~np.isfinite(plane))
        if bad:
            raise BadVolume(f"{source}: slice {z} has {bad} voxels that are NaN or infinite")


def _in_region(
    root: tuple[float, float, float], region: Volume, source: str
) -> tuple[float, float, float]:
    """The root in voxels of the region."""
    x, y, z = (a - b for a, b in zip(root, region.origin[::-1], strict=True))
    depth, height, width = region.shape
    if not (-0.5 <= x < width and -0.5 <= y < height and -0.5 <= z < depth):
        said = ", ".join(f"{value:g}" for value in root)
        raise BadParameter(f"{source}: root ({said}) lies outside the volume or region")
    return x, y, z


def _in_micrometres(tree: Tree, scale: VoxelScale) -> Tree:
    """A tree in voxels, its radii in finest voxels -> the same tree in µm."""
    return Tree(
        scale.micrometres_xyz(tree.xyz), scale.micrometres(tree.radii), tree.parents, tree.types
    )


def _full_mask(
    mask: NDArray[np.bool_], region: Volume, volume: Volume, spacing: Spacing | None
) -> Volume:
    """The mask in the full volume, as uint8 0 and 255."""
    full = np.zeros(volume.shape, dtype=np.uint8)
    low = np.subtract(region.origin, volume.origin).tolist()
    full[tuple(slice(a, a + n) for a, n in zip(low, mask.shape, strict=True))][mask] = 255
    return Volume(full[None], spacing, volume.origin, volume.row_order, volume.source)


def _input_warnings(volume: Volume, request: Request, intensity: NDArray[Any]) -> tuple[str, ...]:
    """What is odd about the input itself."""
    found = []
    if volume.n_channels > 1 and request.channel is None:
        found.append(f"the volume has {volume.n_channels} channels: the first was traced")
    low, high = intensity.min(), intensity.max()
    if low == high:
        found.append(f"every voxel is {low:g}: there is nothing to trace, the tree is empty")
    elif _looks_inverted(intensity):
        found.append(
            "most of the image is bright and what stands out is dark: is it inverted? Bright "
            "neurites on a dark ground are expected"
        )
    return tuple(found)


def _looks_inverted(intensity: NDArray[Any]) -> bool:
    """Whether what stands out of the usual intensity is darker and not brighter than it."""
    flat = intensity.reshape(-1)
    # A step that divides no axis, so that the samples do not stand in columns.
    sample = flat[:: (flat.size // 1_000_000) | 1].astype(np.float64)
    dark, usual, bright = np.percentile(sample, [0.02, 50, 99.98])
    return bool(usual - dark > _INVERTED * (bright - usual))
