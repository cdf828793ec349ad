"""The compiled loops over the points of a tree, in an order that has parents first."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def sums_beyond(
    order: NDArray[np.int64], parents: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N,) the sum of the values of each point and of all its descendants."""
    sums = values.copy()
    for i in range(len(order) - 1, -1, -1):
        point = order[i]
        if parents[point] >= 0:
            sums[parents[point]] += sums[point]
    return sums


@njit(cache=True)
def space_points(
    order: NDArray[np.int64],
    parents: NDArray[np.int64],
    lengths: NDArray[np.float64],
    fixed: NDArray[np.bool_],
    step: float,
) -> NDArray[np.bool_]:
    """(N,) bool, the fixed points and every point at least `step` beyond its last kept ancestor."""
    since = np.zeros(len(parents))
    kept = fixed.copy()
    for point in order:
        parent = parents[point]
        if parent >= 0:
            since[point] = lengths[point] + (0.0 if kept[parent] else since[parent])
            if since[point] >= step:
                kept[point] = True
    return kept


@njit(cache=True)
def carry_joined(
    order: NDArray[np.int64],
    parents: NDArray[np.int64],
    kept: NDArray[np.bool_],
    joined: NDArray[np.bool_],
) -> None:
    """Mark the link that replaces a joined link, in place.

    A point that is not kept hands the mark of its own link down to the links of its children.
    """
    for point in order:
        parent = parents[point]
        if parent >= 0 and not kept[parent] and joined[parent]:
            joined[point] = True


@njit(cache=True)
def ancestors(parents: NDArray[np.int64], point: int) -> NDArray[np.int64]:
    """(M,) the ancestors of a point, its parent first and its root last."""
    count, above = 0, parents[point]
    while above >= 0:
        count += 1
        above = parents[above]
    way, above = np.empty(count, dtype=np.int64), parents[point]
    for i in range(count):
        way[i] = above
        above = parents[above]
    return way
