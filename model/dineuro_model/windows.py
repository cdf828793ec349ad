"""Windows of a volume, which is mirrored beyond its border."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]


def cut(volume: NDArray[Any], corner: Shape, shape: Shape) -> NDArray[Any]:
    """A copy of a window of a volume.

    The volume is mirrored at its first and last voxels, repeatedly where the window is larger.

    Args:
        volume: (Z, Y, X); it may also be an object with a shape that reads a box by its slices.
        corner: (z, y, x) of the window's first voxel; it may lie outside the volume.
        shape: (depth, rows, columns) of the window.

    Returns:
        An array of `shape` and the volume's type.
    """
    axes = [
        mirrored(start, length, n)
        for start, length, n in zip(corner, shape, volume.shape, strict=True)
    ]
    low = [int(axis.min()) for axis in axes]
    z, y, x = (slice(a, int(axis.max()) + 1) for a, axis in zip(low, axes, strict=True))
    part: NDArray[Any] = volume[z, y, x]
    return part[np.ix_(*(axis - a for axis, a in zip(axes, low, strict=True)))]


def around(corner: Shape, shape: Shape, margin: Shape) -> tuple[Shape, Shape]:
    """The corner and the shape of a window with a margin on both sides of every axis."""
    z, y, x = (start - more for start, more in zip(corner, margin, strict=True))
    depth, rows, columns = (n + 2 * more for n, more in zip(shape, margin, strict=True))
    return (z, y, x), (depth, rows, columns)


def mirrored(start: int, length: int, n: int) -> NDArray[np.int64]:
    """The indices start, start + 1, … as (length,) int64, reflected into 0 … n - 1."""
    if n == 1:
        return np.zeros(length, dtype=np.int64)
    index = np.arange(start, start + length) % (2 * n - 2)
    return np.where(index < n, index, 2 * n - 2 - index)
