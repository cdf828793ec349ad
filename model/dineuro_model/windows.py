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
        volume: (Z, Y, X).
        corner: (z, y, x) of the window's first voxel; it may lie outside the volume.
        shape: (depth, rows, columns) of the window.

    Returns:
        An array of `shape` and the volume's type.
    """
    axes = [
        mirrored(start, length, n)
        for start, length, n in zip(corner, shape, volume.shape, strict=True)
    ]
    return volume[np.ix_(*axes)]


def mirrored(start: int, length: int, n: int) -> NDArray[np.int64]:
    """The indices start, start + 1, … as (length,) int64, reflected into 0 … n - 1."""
    if n == 1:
        return np.zeros(length, dtype=np.int64)
    index = np.arange(start, start + length) % (2 * n - 2)
    return np.where(index < n, index, 2 * n - 2 - index)
