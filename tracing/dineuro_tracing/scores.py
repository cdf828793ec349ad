"""Scores between two trees: the distances of Vaa3D and BigNeuron, and F1 by length.

    d(p, T)    least distance from a point p to any segment of the tree T
    ESA12/21   mean d(gold -> test), what is missing; mean d(test -> gold), what is too much
    ESA        mean of ESA12 and ESA21
    DSA        mean of the distances that are at least 2, over both directions
    PDS        share of the points that are at least 2 away, mean of both directions
    F1@r       F1 of the lengths of both trees that lie within r of the other tree

ESA, DSA and PDS use the sample points of Vaa3D's neuron_distance (`sampling.edge_samples`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dineuro_bridge.errors import LimitExceeded
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.sampling import cut_links, edge_samples, length_samples

Floats = NDArray[np.float64]

#: From this distance on a point counts as different: Vaa3D's default, in voxels.
FAR = 2.0
#: Radii in voxels at which precision, recall and F1 are taken.
_RADII = (2.0, 4.0)
#: Longest piece into which a link is cut for the search of the nearest one.
_PIECE = 2.0
#: Pieces per point in the first round of the search; each further round takes four times as many.
_FIRST_PIECES = 6
#: Pairs of a point and a piece that memory holds at a time.
_PAIRS_AT_ONCE = 1_000_000
#: Length from which on a tree cannot be a neuron in voxels; its samples would fill the memory.
_LONGEST_TREE = 1e7


@dataclass(frozen=True, slots=True)
class Match:
    """Precision, recall and F1 by length, 0..1, within `radius` of the other tree."""

    radius: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Scores:
    """All scores of a test tree against a gold tree; distances in the unit of the trees.

    If one tree is empty, there are no distances: they are None, precision, recall and F1 are 0,
    and `failed` is true. Two empty trees are equal: distances 0, F1 1.
    """

    esa: float | None
    esa12: float | None
    esa21: float | None
    dsa: float | None
    pds: float | None
    at2: Match
    at4: Match
    gold_length: float
    test_length: float
    gold_nodes: int
    test_nodes: int
    failed: bool


def score_trees(gold: Tree, test: Tree) -> Scores:
    """Compare a tree with its reference; both have the same coordinate system, in voxels.

    Raises:
        LimitExceeded: a tree is longer than 1e7 voxels.
    """
    for tree in (gold, test):
        if tree.length > _LONGEST_TREE:
            raise LimitExceeded(
                f"tree: {tree.length:g} voxels long, over the limit of {_LONGEST_TREE:g}; "
                "is a coordinate wrong, or the unit?"
            )
    sizes = (gold.length, test.length, len(gold), len(test))
    if len(gold) == 0 or len(test) == 0:
        same = len(gold) == len(test)
        distance, share = (0.0, 1.0) if same else (None, 0.0)
        at2, at4 = (Match(radius, share, share, share) for radius in _RADII)
        return Scores(
            distance, distance, distance, distance, distance, at2, at4, *sizes, failed=not same
        )
    misses = distances(edge_samples(gold), test)
    extras = distances(edge_samples(test), gold)
    far = [d[d >= FAR] for d in (misses, extras)]
    far_means = [float(d.mean()) for d in far if len(d)]
    at2, at4 = _matches(gold, test)
    return Scores(
        esa=float(misses.mean() + extras.mean()) / 2,
        esa12=float(misses.mean()),
        esa21=float(extras.mean()),
        dsa=float(np.mean(far_means)) if far_means else 0.0,
        pds=(len(far[0]) / len(misses) + len(far[1]) / len(extras)) / 2,
        at2=at2,
        at4=at4,
        gold_length=gold.length,
        test_length=test.length,
        gold_nodes=len(gold),
        test_nodes=len(test),
        failed=False,
    )


def _matches(gold: Tree, test: Tree) -> tuple[Match, Match]:
    """Precision, recall and F1 of two trees that are not empty, at each of `_RADII`."""
    gold_places, gold_weights = length_samples(gold)
    test_places, test_weights = length_samples(test)
    to_gold, to_test = distances(test_places, gold), distances(gold_places, test)

    def within(radius: float) -> Match:
        precision = float(test_weights[to_gold <= radius].sum() / test_weights.sum())
        recall = float(gold_weights[to_test <= radius].sum() / gold_weights.sum())
        both = precision + recall
        return Match(radius, precision, recall, 2 * precision * recall / both if both else 0.0)

    at2, at4 = map(within, _RADII)
    return at2, at4


def distances(points: Floats, tree: Tree) -> Floats:
    """The least distance (M,) from points (M, 3) to any segment of a tree that is not empty.

    The result is exact. The links are cut into pieces of at most `_PIECE`. The midpoint of a
    point's nearest piece is at most half a piece beyond the least distance. If the furthest
    midpoint of a round lies beyond that, no other piece can be nearer. Otherwise the next round
    takes more midpoints.
    """
    start, end = cut_links(tree, _PIECE)
    slack = float(np.linalg.norm(end - start, axis=1).max()) / 2
    midpoints = KDTree((start + end) / 2)
    result = np.empty(len(points))
    pending, n_pieces = np.arange(len(points)), min(_FIRST_PIECES, len(start))
    while len(pending):
        unsettled = []
        for some in np.array_split(pending, -(-len(pending) * n_pieces // _PAIRS_AT_ONCE)):
            away, piece = midpoints.query(points[some], k=np.arange(1, n_pieces + 1), workers=-1)
            nearest = _to_segments(points[some, None], start[piece], end[piece]).min(axis=1)
            settled = (np.asarray(away)[:, -1] >= nearest + slack) | (n_pieces == len(start))
            result[some[settled]] = nearest[settled]
            unsettled.append(some[~settled])
        pending, n_pieces = np.concatenate(unsettled), min(4 * n_pieces, len(start))
    return result


def _to_segments(points: Floats, start: Floats, end: Floats) -> Floats:
    """Distances (M, K) from points (M, 1, 3) to segments (M, K, 3)."""
    step = end - start
    square = (step**2).sum(axis=-1)
    share = ((points - start) * step).sum(axis=-1) / np.where(square > 0, square, 1.0)
    foot = start + np.clip(share, 0.0, 1.0)[..., None] * step
    return np.asarray(np.linalg.norm(points - foot, axis=-1))
