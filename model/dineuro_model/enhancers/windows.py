"""The extreme value in a window around each voxel, one axis after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def highest_within(values: NDArray[Any], reach: tuple[int, int, int]) -> NDArray[Any]:
    """The maximum in a box around each voxel (Z, Y, X); the reach is in voxels along each axis."""
    for axis in range(3):
        values = extreme_along(np.maximum, values, axis, reach[axis])
    return values


def extreme_along(which: np.ufunc, values: NDArray[Any], axis: int, reach: int) -> NDArray[Any]:
    """The minimum or maximum within `reach` voxels along an axis; voxels outside do not count.

    A window grows by doubling, so that the cost rises with the logarithm of the reach.
    """
    if reach == 0:
        return values
    result = np.empty_like(values)
    other = 1 if axis == 0 else 0
    # A plane at a time stays in the processor's cache.
    planes, results = np.moveaxis(values, other, 0), np.moveaxis(result, other, 0)
    along = 0 if axis < 2 else 1
    for plane, into in zip(planes, results, strict=True):
        into[...] = _in_plane(which, plane, along, reach)
    return result


def _in_plane(which: np.ufunc, plane: NDArray[Any], along: int, reach: int) -> NDArray[Any]:
    """The extreme within reach along one axis of a plane."""
    plane = plane if along == 0 else plane.T
    n = len(plane)
    # The value at the border stands for those beyond it: the extreme is the same.
    window = np.empty((n + 2 * reach, plane.shape[1]), plane.dtype, "C" if along == 0 else "F")
    window[:reach], window[reach : reach + n], window[reach + n :] = plane[0], plane, plane[-1]
    width, length = 1, 2 * reach + 1
    while 2 * width <= length:
        window = which(window[:-width], window[width:])
        width *= 2
    if width < length:
        rest = length - width
        window = which(window[:-rest], window[rest:])
    return window if along == 0 else window.T
