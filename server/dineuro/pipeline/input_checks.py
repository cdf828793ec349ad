"""Warnings about an input that is unlikely to be what the user meant to trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro.pipeline.region import Region
from dineuro_bridge.options import TraceOptions

#: In an inverted image dark voxels differ from the usual intensity this much more than bright ones.
_INVERTED = 2.5
#: Voxels that are looked at, where not all are.
_SAMPLE = 1_000_000
#: Share of a slice's voxels at the brightest value that makes it over-exposed.
_OVEREXPOSED = 0.1
#: Share of the usual slice's voxels that may equal its most frequent value, if it is noisy.
_NOISY = 0.5
#: Share of neighbouring voxels of objects that are equal in a label image.
_EQUAL = 0.8
#: Edge of the blocks whose median is their ground, in voxels.
_BLOCK = 16


def input_warnings(
    region: Region, options: TraceOptions, *, is_mask: bool = False
) -> tuple[str, ...]:
    """Sentences about peculiarities of the input.

    Args:
        region: the part of the volume that is traced.
        options: of the trace.
        is_mask: whether a mask or a probability is traced, and no image.
    """
    warnings = list(region.full.warnings)
    if region.full.n_channels > 1 and options.channel is None:
        warnings.append(f"the volume has {region.full.n_channels} channels: the first was traced")
    intensity = region.intensity
    low, high = intensity.min(), intensity.max()
    if low == high:
        warnings.append(f"every voxel is {low:g}: there is nothing to trace, the tree is empty")
        return tuple(warnings)
    if _looks_inverted(intensity):
        warnings.append(
            "most of the image is bright and what stands out is dark: is it inverted? Bright "
            "neurites on a dark ground are expected"
        )
        return tuple(warnings)
    segmentation = _segmentation(intensity, high)
    if segmentation is None:
        warnings += _slice_warnings(intensity, high)
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
    if count < 100 or zeros < _NOISY or (left == right)[inside].mean() < _EQUAL:
        return None
    return (
        "the image looks like labels of objects and not like intensities: trace the microscope's "
        "image, or a mask of one neuron with --enhancer none"
    )


def _slice_warnings(intensity: NDArray[Any], high: Any) -> list[str]:
    """Blank slices between noisy ones, and slices with much of their area at the brightest value.

    Slices are counted from 1, as in viewers.
    """
    warnings = []
    blank = [z for z, plane in enumerate(intensity) if plane.min() == plane.max()]
    if blank and len(blank) < len(intensity) / 2:
        others = [z for z in range(len(intensity)) if z not in blank]
        usual = intensity[others[len(others) // 2]]
        counts = np.unique(usual, return_counts=True)[1]
        if counts.max() < _NOISY * usual.size:
            warnings.append(f"slices without any signal: {_ranges(blank)} (counted from 1)")
    if intensity.dtype.kind in "iu" and high > 1:
        bright = [
            z for z, plane in enumerate(intensity)
            if np.count_nonzero(plane == high) > _OVEREXPOSED * plane.size
        ]  # fmt: skip
        if bright and intensity.min() != high:
            warnings.append(
                f"over-exposed slices: {_ranges(bright)} (counted from 1) have more than "
                f"{_OVEREXPOSED:.0%} of their voxels at {high:g}, the brightest value: neurites "
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


def _looks_inverted(intensity: NDArray[Any]) -> bool:
    """Whether extreme voxels are darker, and not brighter, than the usual intensity.

    The same is asked of the deviation from each block's median, because a bright ground that
    fades towards the border hides what stands out of it.
    """
    flat = intensity.reshape(-1)
    # An odd step seldom divides the length of an axis, so that the samples form no columns.
    sample = flat[:: (flat.size // _SAMPLE) | 1].astype(np.float64)
    dark, usual, bright = np.percentile(sample, [0.02, 50, 99.98])
    if usual - dark > _INVERTED * (bright - usual):
        return True
    if usual - np.percentile(sample, 1) < bright - usual and usual < (dark + bright) / 2:
        return False  # a dark ground cannot be inverted
    dark, bright = np.percentile(_deviations(intensity), [0.02, 99.98])
    return bool(-dark > _INVERTED * bright)


def _deviations(intensity: NDArray[Any]) -> NDArray[np.float64]:
    """Differences from the median of each block, in some of the slices."""
    _, height, width = intensity.shape
    rows, columns = height // _BLOCK, width // _BLOCK
    if not rows or not columns:
        return np.zeros(1)
    step = 1 + len(intensity) * height * width // _SAMPLE
    part = intensity[::step, : rows * _BLOCK, : columns * _BLOCK].astype(np.float64)
    blocks = part.reshape(len(part), rows, _BLOCK, columns, _BLOCK).swapaxes(2, 3)
    blocks = blocks.reshape(-1, _BLOCK * _BLOCK)
    return np.asarray(blocks - np.median(blocks, axis=1, keepdims=True)).ravel()
