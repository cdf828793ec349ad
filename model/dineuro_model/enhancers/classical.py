"""The classical enhancer: no network, no training, a probability from contrast alone.

1. denoise      a Gaussian about as wide as the thinnest neurite
2. background   block medians, opened, so that neurites and somata do not count; subtracted
3. threshold    between the two kinds of RIDGES of a volume, noise and neurites: Otsu's on the
                square roots of their contrasts (a count's noise grows with its root). Counting
                ridge points and not voxels keeps somata and empty space from deciding. Never
                below what noise alone reaches
4. probability  contrast against the threshold, which is raised beside bright things to a share of
                their brightness, so that a bright neurite does not come out fat and blurred
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

Scale = tuple[float, float, float]

#: Share of the rows that decide what is bright, and how many times as bright a voxel may be.
_ROWS, _ABOVE = 0.99, 5.0
#: Width of the denoising Gaussian, in finest voxels.
_SIGMA = 0.8
#: Edge of the background's blocks (voxels), and how many voxels of one are looked at.
_BLOCK, _SAMPLE = 16, 7
#: A ridge falls to half its height within so many voxels.
_THIN = 10
#: The threshold is at most this share of the neurites' mean contrast.
_CAP = 0.3
#: The least threshold in units of the denoised background's noise.
_NOISE_FLOOR = 5.5
#: How far (finest voxels) brightness raises the threshold around it, and to what share of itself.
_REACH, _SHARE = 3.0, 0.4


def enhance(intensity: NDArray[Any], scale: Scale = (1.0, 1.0, 1.0)) -> NDArray[np.uint8]:
    """The probability 0..255 of neurites in raw intensity; 128 is the threshold.

    Args:
        intensity: (Z, Y, X), any real sample type, finite; bright neurites on dark ground.
        scale: (z, y, x), a voxel's edges in units of the shortest one.

    Returns:
        uint8 of the same shape; all 0 where the intensity is constant.
    """
    result = np.zeros(intensity.shape, dtype=np.uint8)
    low = intensity.min()
    box = _box_above(intensity, low)
    if box is None:
        return result
    contrast = ndimage.gaussian_filter(
        _normalised(intensity[box], low), [_SIGMA / step for step in scale]
    )
    contrast -= _background(contrast)
    limit = _threshold(contrast)
    size = [2 * int(_REACH / step) + 1 for step in scale]
    limits = ndimage.maximum_filter(contrast, size=size)
    limits *= _SHARE
    np.maximum(limits, limit, out=limits)
    result[box] = _odds(contrast, limits)
    return result


def as_probability(intensity: NDArray[Any]) -> NDArray[np.uint8]:
    """Raw intensity (Z, Y, X) as probability 0..255, with Otsu's threshold at 128 and no filter."""
    low = intensity.min()
    if intensity.max() == low:
        return np.zeros(intensity.shape, dtype=np.uint8)
    values = _normalised(intensity, low)
    return _odds(values, np.float32(threshold_otsu(values.reshape(-1))))


def _box_above(intensity: NDArray[Any], low: Any) -> tuple[slice, slice, slice] | None:
    """What is brighter than the least value (stacks are often masked), and some ground around."""
    above = intensity > low
    spans = []
    for axis in range(3):
        hit = np.flatnonzero(above.any(axis=tuple(a for a in range(3) if a != axis)))
        if len(hit) == 0:
            return None
        spans.append(slice(max(0, int(hit[0]) - 2 * _BLOCK), int(hit[-1]) + 1 + 2 * _BLOCK))
    return spans[0], spans[1], spans[2]


def _normalised(intensity: NDArray[Any], low: Any) -> NDArray[np.float32]:
    """From 0 to 1 as float32, so that no sample type's range matters further on.

    A few voxels of unheard-of brightness do not set the scale: all beyond a multiple of what nearly
    every row stays below is cut off.
    """
    rows = intensity.max(axis=2)
    usual = float(np.quantile(rows[rows > low].astype(np.float64), _ROWS))
    top = min(float(rows.max()), float(low) + _ABOVE * (usual - float(low)))
    span = top - float(low)
    # Divided first: the difference of two floats may be too large for one.
    values = intensity.astype(np.float32)
    values *= np.float32(1 / span)
    values -= np.float32(float(low) / span)
    return np.minimum(values, np.float32(1), out=values)


def _odds(
    values: NDArray[np.float32], limit: NDArray[np.float32] | np.float32
) -> NDArray[np.uint8]:
    """v² / (v² + limit²) as 0..255, which is 128 at the limit and 0 for v <= 0."""
    square = np.square(np.maximum(values, 0))
    square /= square + np.square(limit) + np.float32(1e-20)
    return np.asarray(np.ceil(255 * square), dtype=np.uint8)


def _background(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is there without neurites: block medians, opened and smoothed, in full size."""
    shape = values.shape
    padding = [(0, -n % _BLOCK) for n in shape]
    padded = np.pad(values, padding, mode="edge")
    depth, height, width = (n // _BLOCK for n in padded.shape)
    blocks = padded.reshape(depth, _BLOCK, height, _BLOCK, width, _BLOCK)
    blocks = blocks.transpose(0, 2, 4, 1, 3, 5).reshape(depth, height, width, -1)
    ground = np.median(blocks[..., ::_SAMPLE], axis=-1)
    ground = ndimage.uniform_filter(ndimage.grey_opening(ground, size=3), size=3)
    for axis, n in enumerate(shape):  # one matrix product an axis, the longest last
        ground = np.moveaxis(np.tensordot(_between_blocks(n), ground, (1, axis)), 0, axis)
    return np.ascontiguousarray(ground)


def _between_blocks(n: int) -> NDArray[np.float32]:
    """(n, blocks): the shares of the blocks' values in each of n voxels, linear between centres."""
    count = -(-n // _BLOCK)
    place = np.clip((np.arange(n) + 0.5) / _BLOCK - 0.5, 0, count - 1)
    away = np.abs(place[:, None] - np.arange(count))
    return np.asarray(np.maximum(1 - away, 0), dtype=np.float32)


def _on_ridges(contrast: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which voxels (Z, Y, X) are the crest of something thin: noise or a neurite, but no soma.

    A crest is highest across the ridge, and that is so along two axes at least; `_THIN` voxels to
    either side the contrast is less than half of it. Beyond the border there is nothing.
    """
    votes = np.zeros(contrast.shape, dtype=np.uint8)
    for axis in range(3):
        n = contrast.shape[axis]
        padded = np.pad(contrast, [(_THIN, _THIN) if a == axis else (0, 0) for a in range(3)])
        along = np.moveaxis(padded, axis, 0)
        crest = np.moveaxis(contrast, axis, 0) > 0
        for away, share in ((1, 1.0), (_THIN, 2.0)):
            for first in (_THIN - away, _THIN + away):
                crest &= along[_THIN : _THIN + n] >= np.float32(share) * along[first : first + n]
        np.moveaxis(votes, axis, 0)[...] += crest
    return votes >= 2


def _threshold(contrast: NDArray[np.float32]) -> np.float32:
    """Between the ridges of noise and those of neurites; infinite where there are none."""
    ridge = contrast[_on_ridges(contrast)]
    if len(ridge) == 0:
        return np.float32(math.inf)
    between = float(threshold_otsu(np.sqrt(ridge))) ** 2
    # Without noise there is but one kind, and its dimmer half is not to be lost.
    between = min(between, _CAP * float(ridge[ridge >= between].mean()))
    sample = contrast.reshape(-1)[::_SAMPLE]
    noise = 1.4826 * float(np.median(np.abs(sample - np.median(sample))))
    return np.float32(max(between, _NOISE_FLOOR * noise))
