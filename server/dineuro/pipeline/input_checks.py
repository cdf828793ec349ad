"""Warnings about an input that is unlikely to be what the user meant to trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro.pipeline.region import Region
from dineuro_bridge.options import TraceOptions
from dineuro_model.repair.slices import OVEREXPOSED, blank_slices, overexposed_slices

#: Voxels that are looked at, where not all are.
_SAMPLE = 1_000_000
#: Share of a label image's voxels that are ground.
_GROUND = 0.5
#: Share of neighbouring voxels of objects that are equal in a label image.
_EQUAL = 0.8


def input_warnings(
    region: Region,
    options: TraceOptions,
    *,
    is_mask: bool = False,
    is_inverted: bool = False,
    unknown: NDArray[np.bool_] | None = None,
) -> tuple[str, ...]:
    """Sentences about peculiarities of the input.

    Args:
        region: the part of the volume that is traced.
        options: of the trace.
        is_mask: whether a mask or a probability is traced, and no image.
        is_inverted: whether neurites are dark, so that the brightest value is the ground's.
        unknown: (Z, Y, X) of the region, the voxels without an image; None where all have one.
    """
    warnings = list(region.full.warnings)
    if region.full.n_channels > 1 and options.channel is None:
        warnings.append(f"the volume has {region.full.n_channels} channels: the first was traced")
    intensity = region.intensity
    low, high = intensity.min(), intensity.max()
    if low == high:
        warnings.append(f"every voxel is {low:g}: there is nothing to trace, the tree is empty")
        return tuple(warnings)
    if is_inverted:
        return tuple(warnings)
    segmentation = _segmentation(intensity, high)
    if segmentation is None:
        warnings += _slice_warnings(intensity, high, unknown)
    elif options.enhancer != "none" and not is_mask:
        warnings.append(segmentation)
    return tuple(warnings)


def _segmentation(intensity: NDArray[Any], high: Any) -> str | None:
    """The warning for a mask or an image of labels; None for an image of intensities.

    A mask has two values. Neighbouring voxels of an object have the same label, and those of a
    neurite differ by noise.
    """
    if intensity.dtype.kind not in "iu":
        return None
    step = 1 + len(intensity) * intensity[0].size // _SAMPLE
    rows = intensity.reshape(-1, intensity.shape[-1])[::step]
    values = np.unique(rows)
    if len(values) <= 2 and np.isin(intensity, (intensity.min(), high)).all():
        return "the image has two values: a mask is traced as it is with --enhancer none"
    if len(values) < 4 or len(values) > len(rows) * rows.shape[1] // 4:
        return None
    left, right = rows[:, :-1], rows[:, 1:]
    inside = (left != 0) & (right != 0) & ((left != high) | (right != high))
    count = np.count_nonzero(inside)
    zeros = 1 - np.count_nonzero(rows) / rows.size
    if count < 100 or zeros < _GROUND or (left == right)[inside].mean() < _EQUAL:
        return None
    return (
        "the image looks like labels of objects and not like intensities: trace the microscope's "
        "image, or a mask of one neuron with --enhancer none"
    )


def _slice_warnings(
    intensity: NDArray[Any], high: Any, unknown: NDArray[np.bool_] | None
) -> list[str]:
    """Blank slices between noisy ones, and slices with much of their area at the brightest value.

    Slices are counted from 1, as in viewers.
    """
    warnings = []
    blank, bright = blank_slices(intensity), overexposed_slices(intensity, unknown)
    if blank.any():
        numbers = _ranges(np.flatnonzero(blank).tolist())
        warnings.append(f"slices without any signal: {numbers} (counted from 1)")
    if bright.any():
        numbers = _ranges(np.flatnonzero(bright).tolist())
        warnings.append(
            f"over-exposed slices: {numbers} (counted from 1) have more than "
            f"{OVEREXPOSED:.0%} of their voxels at {high:g}, the brightest value: neurites "
            "cannot be told apart there"
        )
    return warnings


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers from 0 as ranges from 1: "3-5, 9"."""
    parts = []
    start = previous = numbers[0]
    for number in [*numbers[1:], -1]:
        if number != previous + 1:
            parts.append(f"{start + 1}" if start == previous else f"{start + 1}-{previous + 1}")
            start = number
        previous = number
    shown = parts[:8]
    return ", ".join(shown) + (", …" if len(parts) > len(shown) else "")
