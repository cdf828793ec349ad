"""The whole way of one volume: choose the channel, enhance, trace, report. No files, no web."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro.pipeline.enhancement import Enhanced, Given, enhanced, judged
from dineuro.pipeline.report import Report, disagreement, make_report
from dineuro.pipeline.second_pass import Pass, with_second_pass
from dineuro_bridge.errors import BadParameter, BadVolume
from dineuro_bridge.options import DEFAULTS, TraceOptions
from dineuro_bridge.progress import ProgressCallback, silent
from dineuro_bridge.scale import Spacing, VoxelScale
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.inference.registry import Model, cached_model
from dineuro_model.inference.runtime import RuntimeOptions
from dineuro_tracing.confidence import Segments
from dineuro_tracing.doubts import Doubt, doubts_of_segments, worst
from dineuro_tracing.pruning import prune
from dineuro_tracing.trace import trace

#: In an inverted image dark things stand out of the usual intensity so much more than bright ones.
_INVERTED = 2.5


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
        options: what was requested.
        device: where the network was requested to run.
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
    options: TraceOptions
    device: str
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class EnhancedVolume:
    """The enhanced volume without a tree.

    Attributes:
        mask, probability, intensity, enhancer, model, options, device, seconds: as of a `Result`.
        figures: the mask's part of a report, by the same names.
    """

    mask: Volume
    probability: NDArray[np.uint8]
    intensity: NDArray[Any]
    figures: dict[str, Any]
    enhancer: str
    model: tuple[str, str] | None
    options: TraceOptions
    device: str
    seconds: dict[str, float]


def reconstruct(
    volume: Volume,
    options: TraceOptions = DEFAULTS,
    progress: ProgressCallback = silent,
    *,
    device: str = "auto",
    given: Given | None = None,
) -> Result:
    """Enhance and trace one volume.

    Args:
        volume: what the microscope saw.
        options: the user's choices.
        progress: called between units of work; it may raise `Cancelled`.
        device: where the network runs: "auto", "cpu" or "cuda".
        given: the region's probability as it was made before: nothing is enhanced again.

    Raises:
        BadVolume: a 2D image, NaN or infinite voxels.
        BadParameter: a channel, region or root that the volume has not.
        LimitExceeded: memory ran out.
        Cancelled: whatever `progress` raises passes through.
    """
    if spacing_of(volume, options) is None and options.units == "um":
        raise BadParameter(f"{volume.source}: no voxel size is known: give --spacing for µm")
    clock = time.perf_counter
    region, intensity = _chosen(volume, options)
    spacing = spacing_of(volume, options)
    scale = VoxelScale(spacing)
    seconds: dict[str, float] = {}
    made = _enhanced(intensity, options, device, scale, progress, given, seconds)
    start = clock()
    in_region = options
    if options.root is not None:
        in_region = replace(options, root=_in_region(options.root, region, volume.source))

    def trace_in(made: Enhanced) -> Pass:
        return _traced(made, in_region, intensity, scale, progress)

    try:
        found = trace_in(made)
        seconds["trace"] = clock() - start
        start = clock()
        if options.passes > 1 and given is None:
            found = with_second_pass(
                found, intensity, trace_in,
                threshold=options.threshold, scale=scale, progress=progress,
            )  # fmt: skip
            seconds["second_pass"] = clock() - start
    except BadParameter as error:
        raise BadParameter(f"{volume.source}: {error}") from error
    start = clock()
    mask = found.made.probability >= options.threshold
    report = make_report(found, mask, scale, _input_warnings(volume, options, intensity))
    doubts = worst((*found.trace.doubts, *doubts_of_segments(found.trace.tree, found.segments)))
    seconds["report"] = clock() - start
    origin = np.array(region.origin[::-1])
    tree = found.trace.tree.moved(origin)
    if options.units == "um":
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
        options=options,
        device=device,
        seconds=seconds,
    )


def _traced(
    made: Enhanced,
    options: TraceOptions,
    intensity: NDArray[Any],
    scale: VoxelScale,
    progress: ProgressCallback,
) -> Pass:
    """The tree of a probability without its unlikely branches; the root is in voxels of it."""
    traced = trace(made.probability, options, scale=scale, progress=progress)
    traced, segments = prune(
        traced, made.probability, intensity,
        min_confidence=options.min_confidence, scale=scale,
    )  # fmt: skip
    return Pass(made, traced, segments)


def enhance_only(
    volume: Volume,
    options: TraceOptions = DEFAULTS,
    progress: ProgressCallback = silent,
    *,
    device: str = "auto",
) -> EnhancedVolume:
    """The first half of `reconstruct`: the mask without a tree; errors as there."""
    region, intensity = _chosen(volume, options)
    spacing = spacing_of(volume, options)
    seconds: dict[str, float] = {}
    made = _enhanced(intensity, options, device, VoxelScale(spacing), progress, None, seconds)
    mask = made.probability >= options.threshold
    told = (*_input_warnings(volume, options, intensity), made.warning, disagreement(made))
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
        options=options,
        device=device,
        seconds=seconds,
    )


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def _model_of(made: Enhanced, given: Given | None) -> tuple[str, str] | None:
    """Name and SHA-256 of the network behind a probability."""
    if given is not None:
        return given.model
    return None if made.model is None else (made.model.name, made.model.sha256)


def _chosen(volume: Volume, options: TraceOptions) -> tuple[Volume, NDArray[Any]]:
    """The region, and its intensity (Z, Y, X), if they can be traced."""
    if volume.shape[0] == 1:
        raise BadVolume(
            f"{volume.source}: is a 2D image of {volume.shape[2]} x {volume.shape[1]}: a stack of "
            "two slices or more is needed"
        )
    region = volume if options.roi is None else volume.cropped(options.roi)
    if region.shape[0] == 1:
        raise BadVolume(f"{volume.source}: the region is one slice thick: two or more are needed")
    intensity = region.channel(1 if options.channel is None else options.channel)
    _check_finite(volume.source, intensity)
    return region, intensity


def _enhanced(
    intensity: NDArray[Any],
    options: TraceOptions,
    device: str,
    scale: VoxelScale,
    progress: ProgressCallback,
    given: Given | None,
    seconds: dict[str, float],
) -> Enhanced:
    """The probability, made or given; how long it took is put into `seconds`."""
    if given is not None:
        return judged(intensity, given.probability, options.threshold, given.enhancer)
    clock = time.perf_counter
    start = clock()
    model = _load(options, device)
    seconds["load"] = clock() - start
    start = clock()
    made = enhanced(
        intensity, options.enhancer, model, scale=scale,
        threshold=options.threshold, progress=progress,
    )  # fmt: skip
    seconds["enhance"] = clock() - start
    return made


def _load(options: TraceOptions, device: str) -> Model | None:
    """The network of a request; it stays in memory for the next volume."""
    if not options.uses_network:
        return None
    return cached_model(options.model, RuntimeOptions(device))


def _check_finite(source: str, intensity: NDArray[Any]) -> None:
    """Refuse NaN and infinity, which no threshold can order; slice by slice, without a copy."""
    if intensity.dtype.kind != "f":
        return
    for z, plane in enumerate(intensity):
        bad = np.count_nonzero(~np.isfinite(plane))
        if bad:
            raise BadVolume(f"{source}: slice {z} has {bad} voxels that are NaN or infinite")


def spacing_of(volume: Volume, options: TraceOptions) -> Spacing | None:
    """(z, y, x) in µm: the user's, else the file's; None where neither says it."""
    return volume.spacing if options.spacing is None else options.spacing[::-1]


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


def _input_warnings(
    volume: Volume, options: TraceOptions, intensity: NDArray[Any]
) -> tuple[str, ...]:
    """What is odd about the input itself."""
    found = []
    if volume.n_channels > 1 and options.channel is None:
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
