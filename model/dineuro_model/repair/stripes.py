"""Stripes: lines of a slice with an offset of their own, which a camera or a scanner adds.

The offset of a line is its level above that of the lines beside it. Noise of the voxels gives every
line a small offset, and the stack has stripes only where the offsets are much larger. A neurite
along a line is as bright in the slices beside, and no stripe.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]

#: The level of a line is the mean of its values between these quantiles: neurites are brighter.
_LOW, _HIGH = 0.15, 0.6
#: Lines beside a line whose median is its usual level, where single lines are sought.
_NEIGHBOURS = 9
#: The same where every line has an offset: lines and slices.
_WIDE = 15
#: All lines have stripes where the offsets' deviation exceeds this share of the voxels' noise.
_ALL = 0.3
#: A single line has one where its offset exceeds this multiple of the noise, and a second multiple
#: of the other offsets, and is larger than this multiple of those in the slices beside.
_SINGLE, _OTHERS, _ALONE = 1.0, 6.0, 2.0
#: The least share of single lines.
_LEAST = 0.002
#: Voxels of a line that are looked at: at first, and where the first look found stripes.
_GLANCE, _SAMPLE = 64, 400
#: The share of a single line's limit that is enough at first.
_EASE = 0.7


def without_stripes(
    stack: NDArray[Any], noise: NDArray[np.float64], unknown: Mask | None
) -> NDArray[Any]:
    """The stack (Z, Y, X) without the offsets of its rows and columns; itself where it has none.

    Args:
        stack: any real type, finite.
        noise: (Z,) the noise of the slices, above 0.
        unknown: (Z, Y, X), the voxels that do not count.
    """
    for axis in (1, 2):  # of the lines' places: rows, then columns
        glance = _levels_of(stack, axis, unknown, _GLANCE) / noise[:, None]
        if not _have_one_offset(glance) and not _singles(glance, _EASE).any():
            continue
        offsets = _offsets(_levels_of(stack, axis, unknown, _SAMPLE) / noise[:, None])
        if offsets.any():
            offsets *= noise[:, None]
            lines = np.expand_dims(offsets.astype(np.float32), 3 - axis)
            stack = stack.astype(np.float32) - lines
    return stack


def _levels_of(
    stack: NDArray[Any], axis: int, unknown: Mask | None, sample: int
) -> NDArray[np.float64]:
    """(Z, lines) the level of each line of a stack, by at most `sample` of its voxels.

    The lines lie along y or x.
    """
    levels = np.empty((len(stack), stack.shape[axis]))
    step = -(-stack.shape[3 - axis] // sample)
    for z, plane in enumerate(stack):
        part = np.s_[:, ::step] if axis == 1 else np.s_[::step]
        values = plane[part].astype(np.float32)
        if unknown is not None:
            values[unknown[z][part]] = np.nan
        levels[z] = _levels(values if axis == 1 else values.T)
    return levels


def _offsets(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The offsets of lines (Z, lines) with these levels; 0 where a line has none of its own.

    Both are in units of the voxels' noise.
    """
    if _have_one_offset(levels):
        of_slice = np.median(levels, axis=1, keepdims=True)
        return np.asarray(levels - of_slice - _median(levels - of_slice, (_WIDE, _WIDE)))
    return _singles(levels)


def _have_one_offset(levels: NDArray[np.float64]) -> bool:
    """Whether every line of (Z, lines) has an offset of its own."""
    return bool(_deviation(np.diff(levels, axis=1)) / np.sqrt(2) >= _ALL)


def _singles(levels: NDArray[np.float64], ease: float = 1.0) -> NDArray[np.float64]:
    """The offsets of single lines among (Z, lines); 0 elsewhere, and where there are too few."""
    offsets = levels - _median(levels, (1, _NEIGHBOURS))
    beside = np.stack([np.roll(offsets, 1, axis=0), np.roll(offsets, -1, axis=0)])
    beside[0, 0] = beside[1, -1] = 0
    like = (beside * np.sign(offsets)).max(axis=0)
    size = np.abs(offsets)
    limit = ease * max(_SINGLE, _OTHERS * _deviation(offsets))
    single = (size > limit) & (size > ease * _ALONE * like)
    is_enough = single.mean() > ease * _LEAST
    return np.where(single, offsets, 0.0) if is_enough else np.zeros_like(offsets)


def _deviation(values: NDArray[np.float64]) -> float:
    """The standard deviation of values around 0, on which a few large ones have no influence."""
    return 1.4826 * float(np.median(np.abs(values))) if values.size else 0.0


def _median(values: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """The median of values (Z, lines) within a window, mirrored beyond the border."""
    return np.asarray(ndimage.median_filter(values, size=size, mode="mirror"))


def _levels(lines: NDArray[np.float32]) -> NDArray[np.float64]:
    """The level of each line (N, length); lines of unknown voxels have those beside them."""
    ordered = np.sort(lines, axis=1)  # NaN comes last
    if np.isfinite(ordered[:, -1]).all():
        n = ordered.shape[1]
        part = ordered[:, int(n * _LOW) : int(np.ceil(n * _HIGH))]
        return np.asarray(part.mean(axis=1, dtype=np.float64))
    count = np.isfinite(ordered).sum(1)
    sums = np.cumsum(np.nan_to_num(ordered).astype(np.float64), axis=1)
    sums = np.pad(sums, [(0, 0), (1, 0)])
    low, high = (count * _LOW).astype(int), np.ceil(count * _HIGH).astype(int)
    each = np.arange(len(lines))
    level = (sums[each, high] - sums[each, low]) / np.maximum(high - low, 1)
    known = np.flatnonzero(count > 8)
    return np.asarray(level if len(known) == 0 else np.interp(each, known, level[known]))
