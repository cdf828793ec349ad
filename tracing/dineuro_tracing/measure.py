"""Measurements of a tree: length, tips, forks, Strahler order, tortuosity, Sholl's crossings.

A branch runs from a root or fork to the next fork or tip. Strahler's order of a branch that ends in
a tip is 1. Where two or more branches of the highest order meet, the branch above has one order
more; otherwise it has the highest order (Strahler 1957). The links at a root that is a soma begin
branches of their own, and no order grows there.

Sholl's crossings are the links that cross a sphere around the root of their tree (Sholl 1953).

Importing the module loads numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.scale import Spacing, VoxelScale
from dineuro_bridge.trees.tree import Tree

Unit = Literal["um", "voxel"]

#: The distance of Sholl's spheres, and the most spheres; beyond it the distance grows.
SHOLL_STEP, _MOST_SPHERES = 10.0, 500


@dataclass(frozen=True, slots=True)
class Part:
    """The measurements of a tree, or of its nodes of one type.

    Attributes:
        length: of all links, each with the type of its lower node.
        branches, tips, forks: counts; a root is neither a tip nor a fork.
    """

    length: float
    branches: int
    tips: int
    forks: int


@dataclass(frozen=True, slots=True)
class Measurements:
    """The measurements of a tree.

    Attributes:
        unit: of all lengths: "um", or "voxel" (finest voxels) where the voxel size is unknown.
        nodes, trees: counts.
        total: of all types together.
        strahler: the highest order of a branch; 0 without branches.
        tortuosity: mean over the branches of their length by the distance of their ends; None
            without branches.
        longest: the longest way from a root to a tip.
        by_type: by SWC's type.
        sholl_step: the distance of the spheres.
        sholl: the number of crossings with each sphere, the innermost first.
    """

    unit: Unit
    nodes: int
    trees: int
    total: Part
    strahler: int
    tortuosity: float | None
    longest: float
    by_type: dict[int, Part]
    sholl_step: float
    sholl: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """The measurements as JSON values."""
        return {
            "unit": self.unit,
            "nodes": self.nodes,
            "trees": self.trees,
            **_part_record(self.total),
            "strahler": self.strahler,
            "tortuosity": None if self.tortuosity is None else round(self.tortuosity, 4),
            "longest": round(self.longest, 2),
            "by_type": {str(kind): _part_record(part) for kind, part in self.by_type.items()},
            "sholl": {"step": self.sholl_step, "crossings": list(self.sholl)},
        }


def measure(
    tree: Tree, spacing: Spacing | None = None, *, unit: Unit = "voxel", step: float = SHOLL_STEP
) -> Measurements:
    """Measure a tree.

    Args:
        tree: in voxels, or in µm where `unit` says so.
        spacing: (z, y, x) in µm of a voxel, for a tree in voxels; None is unknown.
        unit: of the tree.
        step: the distance of Sholl's spheres, in the unit of the measurements.
    """
    if unit == "voxel" and spacing is not None:
        tree, unit = replace(tree, xyz=VoxelScale(spacing).micrometres_xyz(tree.xyz)), "um"
    lengths, parents = tree.link_lengths, tree.parents
    ends = _branch_ends(tree)
    branch_lengths, chords = _branches(tree, ends, lengths)
    straight = chords > 0
    kinds = np.unique(tree.types[parents >= 0]).tolist()
    along = np.zeros(len(tree))
    for node in np.flatnonzero(parents >= 0).tolist():
        along[node] = along[parents[node]] + lengths[node]
    radius, crossings = _sholl(tree, step)
    return Measurements(
        unit=unit,
        nodes=len(tree),
        trees=tree.n_trees,
        total=_part(tree, ends, lengths, np.ones(len(tree), dtype=np.bool_)),
        strahler=int(_orders(tree)[parents >= 0].max(initial=0)),
        tortuosity=float((branch_lengths[straight] / chords[straight]).mean())
        if straight.any()
        else None,
        longest=float(along.max(initial=0)),
        by_type={int(kind): _part(tree, ends, lengths, tree.types == kind) for kind in kinds},
        sholl_step=radius,
        sholl=crossings,
    )


def _branch_ends(tree: Tree) -> NDArray[np.bool_]:
    """(N,) whether a node is the lower end of a branch: a tip or a fork, and no root."""
    return np.asarray((tree.n_children != 1) & (tree.parents >= 0))


def _branches(
    tree: Tree, ends: NDArray[np.bool_], lengths: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The length of each branch, and the distance of its ends."""
    start, length = np.arange(len(tree)), np.zeros(len(tree))
    for node in np.flatnonzero(tree.parents >= 0).tolist():
        above = int(tree.parents[node])
        goes_on = tree.parents[above] >= 0 and not ends[above]
        start[node] = start[above] if goes_on else above
        length[node] = lengths[node] + (length[above] if goes_on else 0.0)
    chords = np.linalg.norm(tree.xyz - tree.xyz[start], axis=1)
    return length[ends], chords[ends]


def _orders(tree: Tree) -> NDArray[np.int64]:
    """(N,) Strahler's order of the branch of each node."""
    order = np.ones(len(tree), dtype=np.int64)
    highest, count = np.zeros(len(tree), dtype=np.int64), np.zeros(len(tree), dtype=np.int64)
    for node in range(len(tree) - 1, -1, -1):  # children come after their parents
        if count[node]:
            order[node] = highest[node] + (count[node] > 1)
        above = tree.parents[node]
        if above >= 0 and order[node] >= highest[above]:
            count[above] = count[above] + 1 if order[node] == highest[above] else 1
            highest[above] = order[node]
    return order


def _part(
    tree: Tree, ends: NDArray[np.bool_], lengths: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> Part:
    return Part(
        float(lengths[chosen].sum()),
        int(np.count_nonzero(ends & chosen)),
        int(np.count_nonzero(chosen[tree.tips])),
        int(np.count_nonzero(chosen[tree.forks])),
    )


def _sholl(tree: Tree, step: float) -> tuple[float, tuple[int, ...]]:
    """The distance of the spheres, and the number of links that cross each of them."""
    if not len(tree):
        return step, ()
    root = np.arange(len(tree))
    for node in np.flatnonzero(tree.parents >= 0).tolist():
        root[node] = root[tree.parents[node]]
    away = np.linalg.norm(tree.xyz - tree.xyz[root], axis=1)
    while away.max() / step > _MOST_SPHERES:
        step *= 2
    linked = np.flatnonzero(tree.parents >= 0)
    ends = np.stack([away[linked], away[tree.parents[linked]]])
    # A link crosses the spheres beyond its nearer end, up to the last within its farther one.
    first = np.floor(ends.min(axis=0) / step).astype(np.int64)
    last = np.floor(ends.max(axis=0) / step).astype(np.int64)
    steps = np.bincount(first, minlength=int(last.max(initial=0)) + 1)
    steps = np.cumsum(steps - np.bincount(last, minlength=len(steps)))
    return step, tuple(steps[: len(steps) - 1].tolist())


def _part_record(part: Part) -> dict[str, Any]:
    return {
        "length": round(part.length, 2),
        "branches": part.branches,
        "tips": part.tips,
        "forks": part.forks,
    }
