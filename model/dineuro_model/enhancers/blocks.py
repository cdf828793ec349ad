"""What changes slowly: the background and the noise, measured in blocks of voxels.

Equal blocks divide each axis, and the sampled voxels are the same from both ends: a mirrored volume
has mirrored results.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: A normal distribution's standard deviation is this multiple of its median absolute deviation.
PER_DEVIATION = 1.4826
#: The longest edge of a block in voxels, and the voxels of an edge of 16 that are sampled: as many
#: even ones as odd ones, and the same from both ends.
_BLOCK, _SAMPLED = 16, np.array([0, 3, 4, 7, 8, 11, 12, 15])
#: Voxels of an axis between whose blocks one matrix interpolates.
_STRETCH = 4096

Floats = NDArray[np.float32]


def background(values: Floats) -> Floats:
    """The intensity without neurites (Z, Y, X): block medians, opened, smoothed, interpolated."""
    ground = ndimage.grey_opening(np.median(_samples(values), axis=-1), size=3)
    return _between(ndimage.uniform_filter(ground, size=3), values.shape)


def local_noise(contrast: Floats) -> Floats:
    """(Z, Y, X) the standard deviation of the denoised background around each voxel.

    The noise grows with the light: a glow around a soma has far more of it than the dark. A volume
    that is thinner than a block has no such measure, and 0 everywhere.
    """
    if min(contrast.shape) < len(_SAMPLED):
        return np.zeros(contrast.shape, dtype=np.float32)
    samples = _samples(contrast)
    away = np.abs(samples - np.median(samples, axis=-1, keepdims=True))
    noise = np.float32(PER_DEVIATION) * np.median(away, axis=-1)
    return _between(ndimage.uniform_filter(noise, size=3), contrast.shape)


def sampled(values: Floats) -> Floats:
    """An eighth of the voxels."""
    return values[np.ix_(*(_sampled_places(n).ravel() for n in values.shape))]


def _samples(values: Floats) -> Floats:
    """(depth, height, width, samples) the sampled voxels of each block."""
    z, y, x = (_sampled_places(n).shape for n in values.shape)
    blocks = sampled(values).reshape(*z, *y, *x).transpose(0, 2, 4, 1, 3, 5)
    return blocks.reshape(z[0], y[0], x[0], -1)


def _sampled_places(n: int) -> NDArray[np.int64]:
    """(blocks, 8) the sampled voxels of an axis of n voxels, which equal blocks divide.

    All voxels of an axis with fewer than 8 are sampled, (1, n).
    """
    if n < len(_SAMPLED):
        return np.arange(n)[None]
    count = -(-n // _BLOCK)
    shares = (np.arange(count)[:, None] + (_SAMPLED + 0.5) / 16) / count
    return np.asarray(np.floor(shares * n).astype(np.int64))


def _between(values: Floats, shape: tuple[int, ...]) -> Floats:
    """One value for each block -> one for each voxel, linear between the centres of blocks."""
    for axis, n in enumerate(shape):
        values = _along_axis(values, axis, n)
    return np.ascontiguousarray(values)


def _along_axis(values: Floats, axis: int, n: int) -> Floats:
    """One value for each block of an axis -> n voxels.

    Each stretch of the axis is one matrix product. One matrix for a long axis would have more
    elements than the volume.
    """
    values = np.moveaxis(values, axis, 0)
    count = len(values)
    parts = []
    for start in range(0, n, _STRETCH):
        stop = min(start + _STRETCH, n)
        position = np.clip((np.arange(start, stop) + 0.5) * count / n - 0.5, 0, count - 1)
        blocks = np.arange(int(position[0]), min(count, int(position[-1]) + 2))
        weights = np.maximum(1 - np.abs(position[:, None] - blocks), 0).astype(np.float32)
        parts.append(np.tensordot(weights, values[blocks[0] : blocks[-1] + 1], (1, 0)))
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return np.moveaxis(whole, 0, axis)
