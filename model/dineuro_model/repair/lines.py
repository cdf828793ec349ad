"""The height of lines: how far a voxel stands out of what lies on both sides."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: Structures wider than this along two axes are ground (finest voxels); somata are narrower.
_WIDEST = 41
#: Lines that the loops take at a time, so that they stay in the processor's cache.
_LINES = 64


def height_of_lines(
    values: NDArray[np.float32], scale: tuple[float, float, float]
) -> NDArray[np.float32]:
    """How far each voxel (Z, Y, X) stands out of what lies on both sides.

    Along each axis, the darker side counts. A neurite stands out along two axes or three, and the
    edge of a half-plane along none. The result is the second highest of the three.

    Args:
        values: (Z, Y, X), denoised.
        scale: (z, y, x), a voxel's edges in finest voxels.
    """
    depth, height, width = values.shape
    views = [(1, depth, height * width), (depth, height, width), (depth * height, width, 1)]
    first, second, third = (
        _height_along(values.reshape(view), int(_WIDEST / step / 2)).reshape(values.shape)
        for view, step in zip(views, scale, strict=True)
    )
    higher = np.maximum(first, second)
    np.minimum(first, second, out=second)
    np.minimum(higher, third, out=higher)
    return np.maximum(second, higher, out=higher)


@njit(cache=True)
def _height_along(values: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Values above their opening along the middle axis, by runs of 2 `reach` + 1 voxels.

    The opening is the highest of the lowest values in every run that contains the voxel. Beyond the
    border the values are mirrored.
    """
    blocks, n, width = values.shape
    out = np.empty_like(values)
    padded = np.empty((n + 2 * reach, min(_LINES, width)), dtype=np.float32)
    ahead, back = np.empty_like(padded), np.empty_like(padded)
    for block in range(blocks):
        for start in range(0, width, _LINES):
            lines = min(_LINES, width - start)
            for i in range(len(padded)):
                padded[i, :lines] = values[block, _mirrored(i - reach, n), start : start + lines]
            _lowest_of_runs(padded, ahead, back, reach, lines)
            for i in range(n):
                out[block, i, start : start + lines] = -padded[i, :lines]
            for i in range(len(padded)):
                padded[i, :lines] = out[block, _mirrored(i - reach, n), start : start + lines]
            _lowest_of_runs(padded, ahead, back, reach, lines)
            for i in range(n):
                for j in range(lines):
                    out[block, i, start + j] = values[block, i, start + j] + padded[i, j]
    return out


@njit(cache=True)
def _lowest_of_runs(
    padded: NDArray[np.float32],
    ahead: NDArray[np.float32],
    back: NDArray[np.float32],
    reach: int,
    lines: int,
) -> None:
    """Put the lowest value of rows i to i + 2 `reach` into row i of `padded`, line by line.

    Every run is the end of one block of rows and the beginning of the next. `ahead` and `back` hold
    the lowest values from the begin of each block and to its end (van Herk).
    """
    size, rows = 2 * reach + 1, len(padded)
    for i in range(rows):
        if i % size == 0:
            ahead[i, :lines] = padded[i, :lines]
        else:
            for j in range(lines):
                ahead[i, j] = min(ahead[i - 1, j], padded[i, j])
    for i in range(rows - 1, -1, -1):
        if i % size == size - 1 or i == rows - 1:
            back[i, :lines] = padded[i, :lines]
        else:
            for j in range(lines):
                back[i, j] = min(back[i + 1, j], padded[i, j])
    for i in range(rows - 2 * reach):
        for j in range(lines):
            padded[i, j] = min(back[i, j], ahead[i + 2 * reach, j])


@njit(cache=True)
def _mirrored(i: int, n: int) -> int:
    """The place within n voxels of a place i, which may lie beyond the border."""
    i %= 2 * n
    return i if i < n else 2 * n - 1 - i
