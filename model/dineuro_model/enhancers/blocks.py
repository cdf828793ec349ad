"""What changes slowly: the background and the noise, measured in blocks of voxels.

Equal blocks divide each axis, and the sampled voxels are the same from both ends: a mirrored volume
has mirrored results. The blocks are those of a whole volume, also where a part of it is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

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
Size = tuple[int, int, int]
Slices = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True)
class Frame:
    """The place of a part in its volume.

    Attributes:
        size: (Z, Y, X) of the volume.
        start: z, y, x of the part's first voxel.
        shape: (Z, Y, X) of the part.
    """

    size: Size
    start: Size
    shape: Size

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Frame:
        """A volume as the only part of itself."""
        depth, height, width = shape
        return cls((depth, height, width), (0, 0, 0), (depth, height, width))

    def blocks(self) -> Slices:
        """The blocks of the volume whose first sampled voxel lies in the part."""
        ranges = []
        for n, low, length in zip(self.size, self.start, self.shape, strict=True):
            first = _sampled_places(n)[:, 0]
            ranges.append(slice(*np.searchsorted(first, [low, low + length]).tolist()))
        z, y, x = ranges
        return z, y, x

    def blocks_around(self) -> Slices:
        """The blocks that the values of the part are interpolated between."""
        ranges = []
        for n, low, length in zip(self.size, self.start, self.shape, strict=True):
            at = _block_positions(n, np.array([low, low + length - 1]))
            count = len(_sampled_places(n))
            ranges.append(slice(int(at[0]), min(count, int(at[1]) + 2)))
        z, y, x = ranges
        return z, y, x


def n_blocks(size: Size) -> Size:
    """The number of blocks along each axis of a volume."""
    z, y, x = (len(_sampled_places(n)) for n in size)
    return z, y, x


def block_medians(values: Floats, frame: Frame, blocks: Slices) -> Floats:
    """The median of the sampled voxels of each of some blocks, which lie in the part `values`."""
    return np.asarray(np.median(_samples(values, frame, blocks), axis=-1))


def without_neurites(medians: Floats) -> Floats:
    """Block medians, opened and smoothed. The outermost three depend on blocks beyond them."""
    opened = ndimage.grey_opening(medians, size=3)
    return np.asarray(ndimage.uniform_filter(opened, size=3))


def block_noise(contrast: Floats, frame: Frame, blocks: Slices) -> Floats:
    """The standard deviation of the denoised background in each of some blocks of a part.

    The noise grows with the light: a glow around a soma has far more of it than the dark. A volume
    that is thinner than a block has no such measure, and 0 everywhere.
    """
    samples = _samples(contrast, frame, blocks)
    if min(frame.size) < len(_SAMPLED):
        return np.zeros(samples.shape[:3], dtype=np.float32)
    away = np.abs(samples - np.median(samples, axis=-1, keepdims=True))
    return np.asarray(np.float32(PER_DEVIATION) * np.median(away, axis=-1))


def even_noise(noise: Floats) -> Floats:
    """The noise of blocks, smoothed. The outermost depend on blocks beyond them."""
    return np.asarray(ndimage.uniform_filter(noise, size=3))


def sampled(values: Floats, frame: Frame, blocks: Slices) -> Floats:
    """An eighth of the voxels of some blocks, which lie in the part `values`."""
    return values[np.ix_(*(places.ravel() for places in _places(frame, blocks)))]


def between(values: Floats, frame: Frame, first: Size = (0, 0, 0)) -> Floats:
    """One value for each block -> one for each voxel of a part, linear between blocks' centres.

    Args:
        values: of blocks, at least of those of `Frame.blocks_around`.
        frame: the part.
        first: the number of the first of the blocks along each axis.
    """
    for axis in range(3):
        values = _along_axis(values, axis, frame, first[axis])
    return np.ascontiguousarray(values)


def _places(frame: Frame, blocks: Slices) -> list[NDArray[np.int64]]:
    """For each axis (blocks, samples) the sampled voxels, counted from the part's first."""
    return [
        _sampled_places(n)[which] - start
        for n, start, which in zip(frame.size, frame.start, blocks, strict=True)
    ]


def _samples(values: Floats, frame: Frame, blocks: Slices) -> Floats:
    """(depth, height, width, samples) the sampled voxels of each block."""
    z, y, x = (places.shape for places in _places(frame, blocks))
    split = sampled(values, frame, blocks).reshape(*z, *y, *x).transpose(0, 2, 4, 1, 3, 5)
    return split.reshape(z[0], y[0], x[0], z[1] * y[1] * x[1])


def _sampled_places(n: int) -> NDArray[np.int64]:
    """(blocks, 8) the sampled voxels of an axis of n voxels, which equal blocks divide.

    All voxels of an axis with fewer than 8 are sampled, (1, n).
    """
    if n < len(_SAMPLED):
        return np.arange(n)[None]
    count = -(-n // _BLOCK)
    shares = (np.arange(count)[:, None] + (_SAMPLED + 0.5) / 16) / count
    return np.asarray(np.floor(shares * n).astype(np.int64))


def _block_positions(n: int, voxels: NDArray[np.int64]) -> NDArray[np.float64]:
    """The places of voxels of an axis of n voxels, in blocks from the centre of the first one."""
    count = len(_sampled_places(n))
    return np.clip((voxels + 0.5) * count / n - 0.5, 0, count - 1)


def _along_axis(values: Floats, axis: int, frame: Frame, first: int) -> Floats:
    """One value for each block of an axis -> the voxels of a part.

    Each stretch of the axis is one matrix product. One matrix for a long axis would have more
    elements than the volume.
    """
    n, low, length = frame.size[axis], frame.start[axis], frame.shape[axis]
    count = len(_sampled_places(n))
    parts = []
    for start in range(low, low + length, _STRETCH):
        stop = min(start + _STRETCH, low + length)
        position = _block_positions(n, np.arange(start, stop))
        blocks = np.arange(int(position[0]), min(count, int(position[-1]) + 2))
        weights = np.maximum(1 - np.abs(position[:, None] - blocks), 0).astype(np.float32)
        near = slice(blocks[0] - first, blocks[-1] + 1 - first)
        # Products in the order of the axes leave nothing to transpose.
        if axis == 0:
            parts.append(np.tensordot(weights, values[near], (1, 0)))
        elif axis == 1:
            parts.append(np.matmul(weights, values[:, near]))
        else:
            parts.append(np.matmul(values[:, :, near], weights.T))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)
