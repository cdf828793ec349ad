"""How far two trees are apart: Vaa3D's and BigNeuron's distances, and length-based F1.

    d(p, T)    least distance from a point p to any segment of the tree T
    ESA12/21   mean d(gold -> test): what was missed; mean d(test -> gold): what is too much
    ESA        the mean of the two
    DSA        the mean of those distances that are at least 2, of both directions
    PDS        the share of points that are at least 2 away, mean of both directions
    F1@r       of the lengths of both trees that lie within r of the other one

ESA, DSA and PDS sample each edge from child to parent at int(1 + L + 0.5) points, both ends
included, as Vaa3D's neuron_distance does (Peng et al. 2010).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dineuro_bridge.errors import LimitExceeded
from dineuro_bridge.trees.tree import Tree

#: From this distance on a point counts as different (Vaa3D's default, voxels).
FAR = 2.0
#: Longest piece that an edge is cut into for the search; half of it is the search's slack.
_PIECE = 2.0
#: Pieces looked at for a point in the first round; each further round looks at four times as many.
_FIRST_LOOK = 6
#: Pairs of a point and a piece that are held in memory at a time.
_AT_ONCE = 1_000_000
#: A tree longer than this is no neuron in voxels, and its samples would not fit in memory.
_LONGEST = 1e7


@dataclass(frozen=True, slots=True)
class Match:
    """Precision, recall and F1 by length, within `radius`."""

    radius: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Scores:
    """All scores of a test tree against a gold tree; distances in the trees' unit.

    Where one tree is empty no distance exists: the distances are None, precision, recall and F1
    are 0, and `failed` is true. Two empty trees agree: distances 0, F1 1.
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
    """Compare a tree with its reference, both in the same coordinates (voxels)."""
    for tree in (gold, test):
        if tree.length > _LONGEST:
            raise LimitExceeded(
                f"tree: {tree.length:g} voxels long, over the limit of {_LONGEST:g}; "
                "is a coordinate wrong, or the unit?"
            )
    sizes = (gold.length, test.length, len(gold), len(test))
    if len(gold) == 0 or len(test) == 0:
        same = len(gold) == len(test)
        none, share = (0.0, 1.0) if same else (None, 0.0)
        at2, at4 = (Match(radius, share, share, share) for radius in (2.0, 4.0))
        return Scores(none, none, none, none, none, at2, at4, *sizes, not same)
    misses = distances(edge_samples(gold), test)
    extras = distances(edge_samples(test), gold)
    far = [d[d >= FAR] for d in (misses, extras)]
    far_means = [float(d.mean()) for d in far if len(d)]
    gold_pieces, gold_weights = length_samples(gold)
    test_pieces, test_weights = length_samples(test)
    to_gold, to_test = distances(test_pieces, gold), distances(gold_pieces, test)
    at2, at4 = (
        _match(radius, to_gold, test_weights, to_test, gold_weights) for radius in (2.0, 4.0)
    )
    return Scores(
        float(misses.mean() + extras.mean()) / 2,
        float(misses.mean()),
        float(extras.mean()),
        float(np.mean(far_means)) if far_means else 0.0,
        (len(far[0]) / len(misses) + len(far[1]) / len(extras)) / 2,
        at2,
        at4,
        *sizes,
        False,
    )


def _match(
    radius: float,
    to_gold: NDArray[np.float64],
    test_weights: NDArray[np.float64],
    to_test: NDArray[np.float64],
    gold_weights: NDArray[np.float64],
) -> Match:
    """Shares of length within the radius of the other tree."""
    precision = float(test_weights[to_gold <= radius].sum() / test_weights.sum())
    recall = float(gold_weights[to_test <= radius].sum() / gold_weights.sum())
    both = precision + recall
    return Match(radius, precision, recall, 2 * precision * recall / both if both else 0.0)


def edge_samples(tree: Tree) -> NDArray[np.float64]:
    """(M, 3) points on the edges, child to parent, int(1 + L + 0.5) an edge, both ends included.

    An edge shorter than half a voxel gives its child alone; a tree without edges gives its nodes.
    """
    child = np.flatnonzero(tree.parents >= 0)
    if len(child) == 0:
        return tree.xyz
    start, end = tree.xyz[child], tree.xyz[tree.parents[child]]
    count = (1.5 + np.linalg.norm(end - start, axis=1)).astype(np.int64)
    edge, place = _spread(count)
    share = place / np.maximum(count[edge] - 1, 1)
    return np.asarray(start[edge] + share[:, None] * (end - start)[edge])


def length_samples(tree: Tree) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Midpoints (M, 3) of pieces of at most 1 voxel, and each piece's length (M,).

    A tree without any length gives its nodes with weight 1.
    """
    start, end, _ = _pieces(tree, 1.0)
    weights = np.linalg.norm(end - start, axis=1)
    if weights.sum() == 0:
        return tree.xyz, np.ones(len(tree))
    return (start + end) / 2, weights


def distances(points: NDArray[np.float64], tree: Tree) -> NDArray[np.float64]:
    """The least distance (M,) from points (M, 3) to any segment of a tree that is not empty.

    Exact: edges are cut into pieces of at most `_PIECE`; a point's nearest piece has its midpoint
    no further than the least distance found plus half a piece, so once the furthest midpoint looked
    at lies beyond that, no other piece can be nearer. Otherwise more midpoints are looked at.
    """
    start, end, half = _pieces(tree, _PIECE)
    midpoints = KDTree((start + end) / 2)
    result = np.empty(len(points))
    left, look = np.arange(len(points)), min(_FIRST_LOOK, len(start))
    while len(left):
        unsettled = []
        for some in np.array_split(left, -(-len(left) * look // _AT_ONCE)):
            away, piece = midpoints.query(points[some], k=np.arange(1, look + 1), workers=-1)
            nearest = _to_segments(points[some, None], start[piece], end[piece]).min(axis=1)
            settled = (np.asarray(away)[:, -1] >= nearest + half) | (look == len(start))
            result[some[settled]] = nearest[settled]
            unsettled.append(some[~settled])
        left, look = np.concatenate(unsettled), min(4 * look, len(start))
    return result


def _pieces(tree: Tree, longest: float) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Starts and ends (K, 3) of equal pieces of the edges, and half of the longest's length.

    A root without children is a piece of no length, so that lone nodes count.
    """
    child = np.flatnonzero((tree.parents >= 0) | (tree.n_children == 0))
    above = np.where(tree.parents[child] >= 0, tree.parents[child], child)
    start, step = tree.xyz[child], tree.xyz[above] - tree.xyz[child]
    count = np.maximum(np.ceil(np.linalg.norm(step, axis=1) / longest), 1).astype(np.int64)
    edge, place = _spread(count)
    step = step / count[:, None]
    half = float(np.linalg.norm(step, axis=1).max()) / 2
    begin = start[edge] + place[:, None] * step[edge]
    return begin, begin + step[edge], half


def _spread(count: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For counts (E,): which one each of sum(count) items belongs to, and its rank there."""
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)


def _to_segments(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distances (M, K) from points (M, 1, 3) to segments (M, K, 3)."""
    along = end - start
    square = (along**2).sum(axis=-1)
    share = ((points - start) * along).sum(axis=-1) / np.where(square > 0, square, 1.0)
    foot = start + np.clip(share, 0.0, 1.0)[..., None] * along
    return np.asarray(np.linalg.norm(points - foot, axis=-1))
