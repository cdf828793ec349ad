"""Windows of a volume, also where they reach beyond it: there the volume is mirrored."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]


def cut(volume: NDArray[Any], corner: Shape, shape: Shape) -> NDArray[Any]:
    """A copy of a window (Z, Y, X) whose first voxel is `corner`; both may lie outside.

    Beyond the border the volume is mirrored at its last voxel, again and again where it is shorter
    than the window.
    """
    axes = [
        mirrored(start, length, n)
        for start, length, n in zip(corner, shape, volume.shape, strict=True)
    ]
    return volume[np.ix_(*axes)]


def mirrored(start: int, length: int, n: int) -> NDArray[np.int64]:
    """The indices start, start + 1, ... folded into 0 .. n - 1."""
    if n == 1:
        return np.zeros(length, dtype=np.int64)
    place = np.arange(start, start + length) % (2 * n - 2)
    return np.where(place < n, place, 2 * n - 2 - place)
