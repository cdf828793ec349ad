"""The pipeline of one volume: select the region, enhance, trace, report. It knows no files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro.pipeline.enhancement import Enhancement, ProbabilityMap, run_enhancer, with_agreement
from dineuro.pipeline.input_checks import input_warnings
from dineuro.pipeline.memory import SegmentationMemory
from dineuro.pipeline.preparation import PreparedImage, prepare_region
from dineuro.pipeline.region import Region, select_region, spacing_of
from dineuro.pipeline.report import disagreement, make_report
from dineuro.pipeline.result import EnhancedVolume, Result
from dineuro.pipeline.second_pass import Pass, with_second_pass
from dineuro.pipeline.stages import StageTimer
from dineuro_bridge.errors import BadParameter
from dineuro_bridge.options import DEFAULTS, TraceOptions
from dineuro_bridge.progress import ProgressCallback, silent
from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.inference.registry import Model, cached_model
from dineuro_model.inference.runtime import RuntimeOptions
from dineuro_tracing.doubts import doubts_of_segments, worst
from dineuro_tracing.pruning import prune
from dineuro_tracing.trace import trace


def reconstruct(
    volume: Volume,
    options: TraceOptions = DEFAULTS,
    progress: ProgressCallback = silent,
    *,
    device: str = "auto",
    probability: ProbabilityMap | None = None,
    memory: SegmentationMemory | None = None,
) -> Result:
    """Enhance and trace one volume.

    Args:
        volume: the image.
        options: the user's choices.
        progress: called between units of work; it may raise `Cancelled`.
        device: where the network is evaluated: "auto", "cpu" or "cuda".
        probability: the probability of the region; None computes it. It excludes a second pass.
        memory: holds the network's probability of the last volume; None computes it each time.

    Raises:
        BadVolume: a 2D image, NaN or infinite voxels.
        BadParameter: a channel, region or root that the volume does not have.
        LimitExceeded: the memory is too small.
        Cancelled: an exception of `progress` passes through.
    """
    if spacing_of(volume, options) is None and options.units == "um":
        raise BadParameter(f"{volume.source}: no voxel size is known: give --spacing for µm")
    stages = StageTimer()
    region = select_region(volume, options)
    with stages("prepare"):
        image = prepare_region(region, options, is_mask=_is_mask(probability))
    enhancement = _enhance(image, options, device, progress, probability, stages, memory)
    passes = options.passes if probability is None else 1
    best = _trace_passes(
        enhancement, region, image, replace(options, passes=passes), progress, stages
    )
    tree, mask = best.trace.tree, best.enhancement.probability >= options.threshold
    with stages("report"):
        warnings = _warnings(region, options, image, probability)
        report = make_report(best, mask, region.scale, warnings)
        doubts = worst((*best.trace.doubts, *doubts_of_segments(tree, best.segments)), tree)
    return Result(
        tree=_output_tree(tree, region, options),
        mask=region.full_mask(mask),
        probability=best.enhancement.probability,
        overlay=tree,
        intensity=region.intensity,
        report=report,
        segments=best.segments,
        doubts=tuple(doubt.moved(region.origin) for doubt in doubts),
        enhancer=best.enhancement.enhancer,
        model=_model_of(best.enhancement, probability),
        runtime=_runtime_of(best.enhancement),
        options=options,
        device=device,
        seconds=stages.seconds,
    )


def enhance_only(
    volume: Volume,
    options: TraceOptions = DEFAULTS,
    progress: ProgressCallback = silent,
    *,
    device: str = "auto",
    memory: SegmentationMemory | None = None,
) -> EnhancedVolume:
    """The first half of `reconstruct`: the mask without a tree.

    Arguments and errors are those of `reconstruct`.
    """
    stages = StageTimer()
    region = select_region(volume, options)
    with stages("prepare"):
        image = prepare_region(region, options)
    enhancement = _enhance(image, options, device, progress, None, stages, memory)
    mask = enhancement.probability >= options.threshold
    warnings = (
        *_warnings(region, options, image, None),
        enhancement.warning, disagreement(enhancement),
    )  # fmt: skip
    return EnhancedVolume(
        mask=region.full_mask(mask),
        probability=enhancement.probability,
        intensity=region.intensity,
        figures={
            **_mask_figures(enhancement, mask),
            "warnings": tuple(text for text in warnings if text is not None),
        },
        enhancer=enhancement.enhancer,
        model=_model_of(enhancement, None),
        runtime=_runtime_of(enhancement),
        options=options,
        device=device,
        seconds=stages.seconds,
    )


def _warnings(
    region: Region,
    options: TraceOptions,
    image: PreparedImage,
    probability: ProbabilityMap | None,
) -> tuple[str, ...]:
    """The sentences about the input, and about what was mended in it."""
    about_input = input_warnings(
        region, options, is_mask=probability is not None, is_inverted=image.is_inverted,
        unknown=image.unknown,
    )  # fmt: skip
    return about_input + image.remarks


def _is_mask(probability: ProbabilityMap | None) -> bool:
    """Whether a mask of the user is traced, and no image."""
    return probability is not None and probability.enhancer == "mask"


def _enhance(
    image: PreparedImage,
    options: TraceOptions,
    device: str,
    progress: ProgressCallback,
    probability: ProbabilityMap | None,
    stages: StageTimer,
    memory: SegmentationMemory | None,
) -> Enhancement:
    """The probability of the region, computed unless the caller has it."""
    if probability is not None:
        return with_agreement(
            image.intensity, probability.voxels, options.threshold, probability.enhancer
        )

    def load() -> Model:
        # The runtime's library is imported here. The network stays in memory for the next volume.
        with stages("load"):
            return cached_model(options.model, RuntimeOptions(device))

    with stages("enhance"):
        enhancement = run_enhancer(
            image.intensity, options.enhancer, load, scale=image.scale,
            threshold=options.threshold, progress=progress, memory=memory,
            always_network=options.model is not None,  # a user who names a network wants it
        )  # fmt: skip
        return image.without_unknown(enhancement)


def _trace_passes(
    enhancement: Enhancement,
    region: Region,
    image: PreparedImage,
    options: TraceOptions,
    progress: ProgressCallback,
    stages: StageTimer,
) -> Pass:
    """The first pass, or the second where the options allow it and it is better."""
    source, intensity, scale = region.full.source, image.intensity, region.scale
    local = options
    if options.root is not None:
        local = replace(options, root=region.local_root(options.root))

    def trace_in(enhancement: Enhancement) -> Pass:
        known = image.without_unknown(enhancement)
        return _trace_once(known, intensity, local, scale, progress)

    try:
        with stages("trace"):
            first = trace_in(enhancement)
        if options.passes == 1:
            return first
        with stages("second_pass"):
            return with_second_pass(
                first, intensity, trace_in,
                threshold=options.threshold, scale=scale, progress=progress,
            )  # fmt: skip
    except BadParameter as error:
        raise BadParameter(f"{source}: {error}") from error


def _trace_once(
    enhancement: Enhancement,
    intensity: NDArray[Any],
    options: TraceOptions,
    scale: VoxelScale,
    progress: ProgressCallback,
) -> Pass:
    """Trace a probability and prune unlikely branches; the options' root is in its voxels."""
    result = trace(enhancement.probability, options, scale=scale, progress=progress)
    result, segments = prune(
        result, enhancement.probability, intensity,
        min_confidence=options.min_confidence, scale=scale,
    )  # fmt: skip
    return Pass(enhancement, result, segments)


def _output_tree(tree: Tree, region: Region, options: TraceOptions) -> Tree:
    """A tree in voxels of the region -> the unit of the options, in the full volume.

    Radii are in finest voxels, or in µm.
    """
    tree, scale = tree.moved(region.origin), region.scale
    if options.units == "voxel":
        return tree
    return Tree(
        scale.micrometres_xyz(tree.xyz), scale.micrometres(tree.radii), tree.parents, tree.types
    )


def _mask_figures(enhancement: Enhancement, mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The figures of the mask under the names of `Report`, rounded."""
    agreement = enhancement.agreement
    shares = {
        "brighter": agreement.brighter,
        "found": agreement.found,
        "sureness": enhancement.sureness,
    }
    return {
        "mask_voxels": int(np.count_nonzero(mask)),
        "mask_share": round(float(mask.mean()), 4),
        **{name: None if share is None else round(share, 4) for name, share in shares.items()},
    }


def _model_of(
    enhancement: Enhancement, probability: ProbabilityMap | None
) -> tuple[str, str] | None:
    """Name and SHA-256 of the network of a probability."""
    if probability is not None:
        return probability.model
    model = enhancement.model
    return None if model is None else (model.name, model.sha256)


def _runtime_of(enhancement: Enhancement) -> str | None:
    """What evaluated the network of a probability."""
    return None if enhancement.model is None else str(enhancement.model.runtime.info)
