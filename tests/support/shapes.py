"""Small volumes whose tree is known: tubes along lines, painted as probabilities 0 or 255."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dineuro_bridge.trees.tree import Tree


def line(start: ArrayLike, end: ArrayLike) -> NDArray[np.float64]:
    """Points x, y, z half a voxel apart on a straight line."""
    a, b = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    count = int(2 * np.linalg.norm(b - a)) + 2
    return a + np.linspace(0, 1, count)[:, None] * (b - a)


def paint(
    paths: Sequence[NDArray[np.float64]], shape: tuple[int, int, int], radius: float = 2.0
) -> NDArray[np.uint8]:
    """255 within `radius` of any of the points (x, y, z) of the paths, 0 elsewhere; (Z, Y, X)."""
    volume = np.zeros(shape, dtype=np.uint8)
    for x, y, z in np.concatenate(paths):
        low = [max(0, int(np.floor(c - radius))) for c in (z, y, x)]
        high = [int(np.ceil(c + radius)) + 1 for c in (z, y, x)]
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        part = volume[box]
        grid = np.ogrid[box]
        away = np.asarray(sum((g - c) ** 2 for g, c in zip(grid, (z, y, x), strict=True)))
        part[away[tuple(slice(n) for n in part.shape)] <= radius**2] = 255
    return volume


def chain(path: NDArray[np.float64]) -> Tree:
    """The unbranched tree through these points."""
    n = len(path)
    return Tree(path, np.ones(n), np.arange(n) - 1, np.full(n, 3))
