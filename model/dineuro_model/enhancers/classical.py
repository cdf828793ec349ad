"""The classical enhancer: a probability from contrast alone, without a network or training.

1. Denoising: a Gaussian about as wide as the thinnest neurite.
2. Background: medians of blocks, opened, so that neurites and somata do not count. It is
   subtracted; the difference is the contrast.
3. Threshold: it lies between two kinds of ridges, noise and neurites. It is Otsu's threshold of the
   square roots of the ridges' contrasts, because the noise of a photon count grows with its root.
   Ridge points are counted instead of voxels, so that somata and empty space have no influence.
   The threshold is never below the level that noise alone reaches.
4. Probability: the contrast relative to the threshold. Beside bright structures the threshold
   rises to a share of their contrast, so that bright neurites do not become thick and blurred.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

Scale = tuple[float, float, float]

#: The quantile of the rows' maxima that sets the usual brightness, and the multiple of it at which
#: voxels are cut off.
_ROWS, _ABOVE = 0.99, 5.0
#: Width of the denoising Gaussian, in finest voxels.
_SIGMA = 0.8
#: Edge of the background's blocks in voxels, and the step between the voxels that are sampled.
_BLOCK, _SAMPLE = 16, 7
#: A ridge falls to half its height within this number of voxels.
_THIN = 10
#: The threshold is at most this share of the neurites' mean contrast.
_CAP = 0.3
#: The least threshold in units of the denoised background's noise.
_NOISE_FLOOR = 5.5
#: A bright structure raises the threshold within this reach (finest voxels) to this share of its
#: contrast.
_REACH, _SHARE = 3.0, 0.4


def enhance(intensity: NDArray[Any], scale: Scale = (1.0, 1.0, 1.0)) -> NDArray[np.uint8]:
    """The probability of neurites in raw intensity.

    Args:
        intensity: (Z, Y, X), any real type, finite; neurites are brighter than the background.
        scale: (z, y, x), a voxel's edges in finest voxels.

    Returns:
        (Z, Y, X) uint8 from 0 to 255; 128 is the threshold. All are 0 in a constant volume.
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
    """Raw intensity as probability, without a filter.

    Args:
        intensity: (Z, Y, X), any real type, finite.

    Returns:
        (Z, Y, X) uint8 from 0 to 255; Otsu's threshold of the intensity becomes 128. All are 0 in a
        constant volume.
    """
    low = intensity.min()
    if intensity.max() == low:
        return np.zeros(intensity.shape, dtype=np.uint8)
    values = _normalised(intensity, low)
    return _odds(values, np.float32(threshold_otsu(values.reshape(-1))))


def _box_above(intensity: NDArray[Any], low: Any) -> tuple[slice, slice, slice] | None:
    """The bounding box of the voxels above `low`, with a margin of background.

    Much of a published stack is often masked. None stands for a constant volume.
    """
    above = intensity > low
    spans = []
    for axis in range(3):
        hit = np.flatnonzero(above.any(axis=tuple(a for a in range(3) if a != axis)))
        if len(hit) == 0:
            return None
        spans.append(slice(max(0, int(hit[0]) - 2 * _BLOCK), int(hit[-1]) + 1 + 2 * _BLOCK))
    return spans[0], spans[1], spans[2]


def _normalised(intensity: NDArray[Any], low: Any) -> NDArray[np.float32]:
    """The intensity on a scale from 0 to 1, float32, independent of the sample type.

    A few extremely bright voxels must not set the scale. Therefore values are cut at a multiple of
    a quantile of the rows' maxima.
    """
    rows = intensity.max(axis=2)
    usual = float(np.quantile(rows[rows > low].astype(np.float64), _ROWS))
    top = min(float(rows.max()), float(low) + _ABOVE * (usual - float(low)))
    span = top - float(low)
    # Each term is divided before the subtraction, because the difference may overflow.
    values = intensity.astype(np.float32)
    values *= np.float32(1 / span)
    values -= np.float32(float(low) / span)
    return np.minimum(values, np.float32(1), out=values)


def _odds(
    values: NDArray[np.float32], limit: NDArray[np.float32] | np.float32
) -> NDArray[np.uint8]:
    """v² / (v² + limit²) from 0 to 255: 128 where v is the limit, 0 where v is not positive."""
    square = np.square(np.maximum(values, 0))
    square /= square + np.square(limit) + np.float32(1e-20)
    return np.asarray(np.ceil(255 * square), dtype=np.uint8)


def _background(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The intensity without neurites (Z, Y, X): block medians, opened, smoothed, interpolated."""
    shape = values.shape
    padding = [(0, -n % _BLOCK) for n in shape]
    padded = np.pad(values, padding, mode="edge")
    depth, height, width = (n // _BLOCK for n in padded.shape)
    blocks = padded.reshape(depth, _BLOCK, height, _BLOCK, width, _BLOCK)
    blocks = blocks.transpose(0, 2, 4, 1, 3, 5).reshape(depth, height, width, -1)
    ground = np.median(blocks[..., ::_SAMPLE], axis=-1)
    ground = ndimage.uniform_filter(ndimage.grey_opening(ground, size=3), size=3)
    for axis, n in enumerate(shape):  # one matrix product for each axis
        ground = np.moveaxis(np.tensordot(_between_blocks(n), ground, (1, axis)), 0, axis)
    return np.ascontiguousarray(ground)


def _between_blocks(n: int) -> NDArray[np.float32]:
    """(n, blocks): weights that interpolate n voxels linearly between the centres of blocks."""
    count = -(-n // _BLOCK)
    position = np.clip((np.arange(n) + 0.5) / _BLOCK - 0.5, 0, count - 1)
    distance = np.abs(position[:, None] - np.arange(count))
    return np.asarray(np.maximum(1 - distance, 0), dtype=np.float32)


def _on_ridges(contrast: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which voxels (Z, Y, X) lie on the crest of a thin ridge: noise or a neurite, but no soma.

    A voxel on a crest is the highest among its neighbours along at least two axes. `_THIN` voxels
    further along the same axes, the contrast is at most half of its own. Beyond the border the
    contrast is 0.
    """
    votes = np.zeros(contrast.shape, dtype=np.uint8)
    for axis in range(3):
        n = contrast.shape[axis]
        padded = np.pad(contrast, [(_THIN, _THIN) if a == axis else (0, 0) for a in range(3)])
        along = np.moveaxis(padded, axis, 0)
        crest = np.moveaxis(contrast, axis, 0) > 0
        for distance, factor in ((1, 1.0), (_THIN, 2.0)):
            for first in (_THIN - distance, _THIN + distance):
                crest &= along[_THIN : _THIN + n] >= np.float32(factor) * along[first : first + n]
        np.moveaxis(votes, axis, 0)[...] += crest
    return votes >= 2


def _threshold(contrast: NDArray[np.float32]) -> np.float32:
    """The contrast between ridges of noise and ridges of neurites; infinite without ridges."""
    ridge = contrast[_on_ridges(contrast)]
    if len(ridge) == 0:
        return np.float32(math.inf)
    between = float(threshold_otsu(np.sqrt(ridge))) ** 2
    # Without noise all ridges are neurites, and the threshold must not remove their dimmer half.
    between = min(between, _CAP * float(ridge[ridge >= between].mean()))
    sample = contrast.reshape(-1)[::_SAMPLE]
    noise = 1.4826 * float(np.median(np.abs(sample - np.median(sample))))
    return np.float32(max(between, _NOISE_FLOOR * noise))
