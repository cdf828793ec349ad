"""The last stage: branches that are more likely wrong than right are removed from the tree.

The confidence of a segment is the share of it that is expected to be right. A branch is a segment
with all that hangs on it. It is removed if its expected right length is below a given share of its
length. A doubtful segment therefore stays if the segments beyond it are certain. Each removed
branch is reported as a doubt.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dineuro_bridge.scale import CUBES, VoxelScale
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.confidence import Segments, assess
from dineuro_tracing.doubts import Doubt
from dineuro_tracing.forest import last_ancestors
from dineuro_tracing.trace import Trace

#: If less than this share of the length would stay, nothing is removed: in such a stack the
#: confidences cannot tell the branches apart.
_LEAST_KEPT = 0.5
#: A doubt belongs to the tree within this many voxels; a join within half its gap more.
_BESIDE = 4.0


def prune(
    trace: Trace,
    probability: NDArray[np.uint8],
    intensity: NDArray[Any],
    *,
    min_confidence: float,
    scale: VoxelScale = CUBES,
) -> tuple[Trace, Segments]:
    """The trace without its unlikely branches, and the segments of the tree that stays.

    The first root stays. Any other root goes with its last branch.

    Args:
        trace: in voxels of the volume.
        probability: (Z, Y, X) uint8, the volume that was traced.
        intensity: (Z, Y, X), the image itself.
        min_confidence: 0..1, least share of a branch's length that is expected to be right; with 0
            every branch stays.
        scale: the voxel's edges.
    """
    segments = assess(trace.tree, trace.joined, probability, intensity, scale)
    stays = _likely(segments, min_confidence)
    if stays.all() or segments.length[stays].sum() < _LEAST_KEPT * segments.length.sum():
        return trace, segments
    shorter = _without(trace, segments, stays)
    return shorter, assess(shorter.tree, shorter.joined, probability, intensity, scale)


def _likely(segments: Segments, least: float) -> NDArray[np.bool_]:
    """(S,) bool, the segments that stay; each is judged together with its likely branches."""
    above = segments.parents()
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


def _without(trace: Trace, segments: Segments, stays: NDArray[np.bool_]) -> Trace:
    """The trace with the segments of the mask `stays` (S,) alone."""
    tree, of_node = trace.tree, segments.of_node
    nodes = np.arange(len(tree))
    bare = np.isin(nodes, segments.start) & ~np.isin(nodes, segments.start[stays]) & (of_node < 0)
    bare[0] = False  # the first root stands for the neuron
    kept = np.where(of_node >= 0, stays[of_node], ~bare)
    smaller = tree.keep(kept)
    return replace(
        trace,
        tree=smaller,
        joined=trace.joined[kept],
        doubts=(
            *_doubts_within(trace.doubts, smaller),
            *_doubts_of_branches(tree, segments, stays, kept),
        ),
        left_out=trace.left_out + float(segments.length[~stays].sum()),
    )


def _doubts_within(doubts: tuple[Doubt, ...], tree: Tree) -> tuple[Doubt, ...]:
    """The doubts whose place lies beside the tree."""
    nodes = KDTree(tree.xyz)
    return tuple(
        doubt
        for doubt in doubts
        if nodes.query(doubt.place)[0] <= _BESIDE + (doubt.across / 2) * (doubt.kind == "join")
    )


def _doubts_of_branches(
    tree: Tree, segments: Segments, stays: NDArray[np.bool_], kept: NDArray[np.bool_]
) -> tuple[Doubt, ...]:
    """A doubt for each removed branch, at the node of the remaining tree at which it started.

    Args:
        tree: with all branches.
        segments: its segments.
        stays: (S,) bool, the segments that stay.
        kept: (N,) bool, the nodes that stay.
    """
    above = segments.parents()
    # The removed segment at which each removed segment's branch starts.
    first = np.where(stays | (above < 0) | stays[above], np.arange(len(segments)), above)
    first = last_ancestors(first)
    gone = ~stays
    length = np.bincount(first[gone], segments.length[gone], len(segments))
    right = np.bincount(first[gone], (segments.length * segments.confidence)[gone], len(segments))
    branch = np.where(segments.of_node >= 0, first[segments.of_node], -1)
    doubts = []
    for at in np.flatnonzero(gone & (first == np.arange(len(segments)))):
        start = segments.start[at]
        chance = 1 - float(right[at] / max(length[at], 1e-9))
        nodes = branch == at
        nodes[start] = not kept[start]  # a root that went with its branches
        x, y, z = tree.xyz[start].tolist()
        missing = tree.keep(nodes)
        doubts.append(Doubt("branch", (x, y, z), chance, float(length[at]), missing=missing))
    return tuple(doubts)
