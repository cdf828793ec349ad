"""The last stage: branches that are more likely wrong than right are taken off the tree.

Each segment's confidence is the chance that it is right. Of a branch with all that hangs on it, the
length that is expected to be right has to be at least a given share of its length, or it goes: so
a doubtful stretch stays where what lies beyond it is sure. What goes is told as a doubt.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.confidence import Scale, Segments, assess
from dineuro_tracing.doubts import Doubt
from dineuro_tracing.trace import Trace

#: Where less of the length than this would stay, nothing goes: such a stack is not known well
#: enough for branches to be told apart.
_LEAST_KEPT = 0.5
#: A place belongs to the tree within so many voxels, and half the gap across for a join.
_BESIDE = 4.0


def pruned(
    traced: Trace,
    probability: NDArray[np.uint8],
    intensity: NDArray[Any],
    *,
    min_confidence: float,
    scale: Scale = (1.0, 1.0, 1.0),
) -> tuple[Trace, Segments]:
    """The trace without its unlikely branches, and the segments of what is left.

    Roots stay, but for those of further trees of which nothing else does.

    Args:
        traced: in voxels of the volume.
        probability: (Z, Y, X) uint8, what was traced.
        intensity: (Z, Y, X), the image itself.
        min_confidence: 0..1, share of a branch's length that is expected to be right; 0 keeps all.
        scale: (z, y, x), a voxel's edges in units of the shortest one.
    """
    segments = assess(traced.tree, traced.joined, probability, intensity, scale)
    stays = _likely(segments, min_confidence)
    if stays.all() or segments.length[stays].sum() < _LEAST_KEPT * segments.length.sum():
        return traced, segments
    shorter = _without(traced, segments, stays)
    return shorter, assess(shorter.tree, shorter.joined, probability, intensity, scale)


def _likely(segments: Segments, least: float) -> NDArray[np.bool_]:
    """(S,) which segments stay: each branch by what it and all on it are worth together."""
    above = segments.of_node[segments.start]
    worth = segments.length * (segments.confidence - least)
    stays = np.ones(len(segments), dtype=np.bool_)
    outwards = np.argsort(segments.levels(), kind="stable")
    for at in outwards[::-1]:
        if worth[at] < 0:
            stays[at] = False
        elif above[at] >= 0:
            worth[above[at]] += worth[at]
    for at in outwards:
        stays[at] &= above[at] < 0 or stays[above[at]]
    return stays


def _without(traced: Trace, segments: Segments, stays: NDArray[np.bool_]) -> Trace:
    """The trace with these segments alone."""
    tree, of_node = traced.tree, segments.of_node
    kept = np.where(of_node >= 0, stays[of_node], True)
    bears = np.zeros(len(tree), dtype=np.bool_)
    bears[segments.start[stays]] = True
    bore = np.zeros(len(tree), dtype=np.bool_)
    bore[segments.start] = True
    bare = (of_node < 0) & bore & ~bears
    bare[0] = False  # the first root stands for the neuron
    kept &= ~bare
    number = np.cumsum(kept) - 1
    parents = tree.parents[kept]
    smaller = Tree(
        tree.xyz[kept],
        tree.radii[kept],
        np.where(parents >= 0, number[parents], -1),
        tree.types[kept],
    )
    gone = float(segments.length[~stays].sum())
    return replace(
        traced,
        tree=smaller,
        joined=traced.joined[kept],
        doubts=(*_still_there(traced.doubts, smaller), *_of_branches(tree, segments, stays)),
        left_out=traced.left_out + gone,
    )


def _still_there(doubts: tuple[Doubt, ...], tree: Tree) -> tuple[Doubt, ...]:
    """The doubts whose place lies in what is left of the tree."""
    places = KDTree(tree.xyz)
    return tuple(
        doubt
        for doubt in doubts
        if places.query(doubt.place)[0] <= _BESIDE + (doubt.across / 2) * (doubt.kind == "join")
    )


def _of_branches(tree: Tree, segments: Segments, stays: NDArray[np.bool_]) -> tuple[Doubt, ...]:
    """Where a branch was taken off: it starts at a point of the tree that stays."""
    above = segments.of_node[segments.start]
    length, right = segments.length.copy(), segments.length * segments.confidence
    found = []
    for at in np.argsort(segments.levels(), kind="stable")[::-1]:
        if stays[at]:
            continue
        if above[at] >= 0 and not stays[above[at]]:
            length[above[at]] += length[at]
            right[above[at]] += right[at]
            continue
        x, y, z = tree.xyz[segments.start[at]].tolist()
        chance = 1 - float(right[at] / max(length[at], 1e-9))
        found.append(Doubt("branch", (x, y, z), chance, float(length[at])))
    return tuple(found)
