"""What a correction did to a tree: the lines that it kept, rejected and added."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.trees.tree import Tree

#: The longest piece of a line, as a part of the tolerance.
_STEP = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """The lines of two trees as short pieces, (M, 2, 4) float64 each: two ends of x, y, z, radius.

    Attributes:
        kept: of the first tree, near the second.
        rejected: of the first tree, far from the second.
        added: of the second tree, far from the first.
    """

    kept: NDArray[np.float64]
    rejected: NDArray[np.float64]
    added: NDArray[np.float64]


def difference(before: Tree, after: Tree, tolerance: float = 2.0) -> Difference:
    """Compare a tree with its correction; the numbers of the nodes and their roots do not matter.

    A link is divided, so that a part of it can be kept. A piece is near a tree if its middle is
    within the tolerance of the middle of one of the tree's pieces. A piece is at most half as long
    as the tolerance, so a line is seen up to a quarter of the tolerance too far away.

    Args:
        before: the tree, in voxels.
        after: the corrected tree, in voxels.
        tolerance: in voxels.

    Raises:
        BadParameter: the tolerance is not above 0.
    """
    if not 0 < tolerance < np.inf:
        raise BadParameter(f"tolerance {tolerance:g}: must be above 0")
    old, new = _pieces(before, _STEP * tolerance), _pieces(after, _STEP * tolerance)
    kept = _near(_middles(old), _middles(new), tolerance)
    known = _near(_middles(new), _middles(old), tolerance)
    return Difference(old[kept], old[~kept], new[~known])


def _pieces(tree: Tree, step: float) -> NDArray[np.float64]:
    """The links of a tree in pieces of at most a step, (M, 2, 4)."""
    linked = np.flatnonzero(tree.parents >= 0)
    nodes = np.column_stack([tree.xyz, tree.radii])
    begins, ends = nodes[tree.parents[linked]], nodes[linked]
    counts = np.maximum(np.ceil(tree.link_lengths[linked] / step), 1).astype(np.int64)
    link = np.repeat(np.arange(len(linked)), counts)
    at = np.arange(len(link)) - np.repeat(np.cumsum(counts) - counts, counts)
    along = ends[link] - begins[link]
    shares = np.stack([at, at + 1]) / counts[link]
    return np.stack([begins[link] + share[:, None] * along for share in shares], axis=1)


def _middles(pieces: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(pieces[:, :, :3].mean(axis=1))


def _near(
    points: NDArray[np.float64], others: NDArray[np.float64], distance: float
) -> NDArray[np.bool_]:
    """Whether each point, (N, 3), has one of the others within a distance.

    The others lie in cells as wide as the distance, so only 27 cells have to be looked at.
    """
    near = np.zeros(len(points), dtype=np.bool_)
    if not len(points) or not len(others):
        return near
    cells = np.floor(others / distance).astype(np.int64)
    low = cells.min(axis=0) - 1
    sides = cells.max(axis=0) + 2 - low
    order = np.argsort(_keys(cells - low, sides), kind="stable")
    others, keys = others[order], _keys(cells - low, sides)[order]
    home = np.floor(points / distance).astype(np.int64) - low
    for offset in itertools.product((-1, 0, 1), repeat=3):
        cell = home + np.array(offset)
        rows = np.flatnonzero(((cell >= 0) & (cell < sides)).all(axis=1) & ~near)
        wanted = _keys(cell[rows], sides)
        first, last = np.searchsorted(keys, wanted), np.searchsorted(keys, wanted, "right")
        while len(rows):
            some = first < last
            rows, first, last = rows[some], first[some], last[some]
            near[rows] |= np.linalg.norm(points[rows] - others[first], axis=1) <= distance
            first = np.where(near[rows], last, first + 1)
    return near


def _keys(cells: NDArray[np.int64], sides: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each cell of a grid."""
    return np.asarray((cells[:, 0] * sides[1] + cells[:, 1]) * sides[2] + cells[:, 2])
