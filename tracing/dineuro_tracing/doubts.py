"""Doubts: the places that a person should examine first.

    join      a gap that was joined: the part of the tree beyond it may not belong to the neuron
    end       a tip before a gap that was not joined: a piece may be missing
    branch    a fork from which an unlikely branch was removed: the branch may be missing
    segment   a segment of low confidence

The cost of a doubt is the length at stake times the probability that the tree is wrong there. The
list is in order of the urgency, which trusts small probabilities and great lengths less. The
urgency of a doubt falls by what an earlier one of the list has in common with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.trees.doubts import link_in_doubt
from dineuro_bridge.trees.tree import Tree, depth_first_order
from dineuro_tracing.confidence import CERTAIN, Segments
from dineuro_tracing.gaps import Joins
from dineuro_tracing.skeleton import Skeleton
from dineuro_tracing.tree_kernels import sums_beyond

Kind = Literal["join", "end", "branch", "segment"]

#: The longest list of doubts that a person will work through.
_MOST = 20
#: A doubt of lower cost (finest voxels) is not worth a look.
_LEAST_COST = 1.0
#: Power of the probability, and the greatest length that counts (finest voxels), of the urgency.
#: Chosen by `python -m benchmarks.proofreading ../shared/data --part tune`.
_POWER, _LONGEST = 2.0, 100.0
#: The most urgent doubts that are weighed against each other, by the length of the list.
_WEIGHED = 5


@dataclass(frozen=True, slots=True)
class Doubt:
    """One place to examine.

    Attributes:
        kind: what is in doubt.
        place: x, y, z in voxels: the middle of a join or a segment, the tip of an end, the fork.
        chance: 0..1, the probability that the tree is right here.
        length: finest voxels at stake: the part of the tree beyond a join, the piece that an end
            may lead to, the branch, the segment.
        across: width of the gap, finest voxels; 0 for a branch or a segment.
        missing: what the tree lacks if it is wrong at an end or a branch: the piece that was left
            out, in voxels, with its root where it would hang on the tree; None elsewhere.
        begins: the point of the skeleton at which the piece begins; -1 where there is none.
    """

    kind: Kind
    place: tuple[float, float, float]
    chance: float
    length: float
    across: float = 0.0
    missing: Tree | None = field(default=None, compare=False)
    begins: int = field(default=-1, compare=False)

    @property
    def cost(self) -> float:
        """The expected length (finest voxels) that is wrong or missing."""
        return (1 - self.chance) * self.length

    @property
    def urgency(self) -> float:
        """What the list is ordered by; a long piece beyond a join is seldom wrong as a whole."""
        return float((1 - self.chance) ** _POWER * min(self.length, _LONGEST))

    def moved(self, by: ArrayLike) -> Doubt:
        """The doubt shifted by x, y, z."""
        x, y, z = (np.array(self.place) + np.asarray(by)).tolist()
        missing = None if self.missing is None else self.missing.moved(by)
        return replace(self, place=(x, y, z), missing=missing)


def doubts_of_joins(
    skeleton: Skeleton, joins: Joins, kept: NDArray[np.bool_], scale: VoxelScale
) -> tuple[Doubt, ...]:
    """The joins within the kept trees, and the likeliest open link to each piece left out.

    Args:
        skeleton: all trees, each from its root.
        joins: the likely links between its points.
        kept: (N,) bool, the points of the trees to show.
        scale: the voxel's edges.
    """
    lengths = skeleton.link_lengths(scale)
    beyond = sums_beyond(depth_first_order(skeleton.parents), skeleton.parents, lengths)
    number, tree_lengths = skeleton.tree_numbers(), skeleton.tree_lengths(scale)
    doubts, pieces = [], set[int]()
    for at in np.argsort(-joins.probability, kind="stable"):
        tip, point, chance = int(joins.tip[at]), int(joins.point[at]), float(joins.probability[at])
        a, b = skeleton.points[tip], skeleton.points[point]
        across = float(np.linalg.norm(scale.finest_zyx(a - b)))
        if joins.in_skeleton[at] and kept[tip]:
            lower = tip if skeleton.parents[tip] == point else point
            place = _as_xyz((a + b) / 2)
            doubts.append(Doubt("join", place, chance, float(beyond[lower]), across))
        elif not joins.in_skeleton[at] and kept[tip] != kept[point]:
            inside, outside = (tip, point) if kept[tip] else (point, tip)
            piece = int(number[outside])
            if piece not in pieces:
                pieces.add(piece)
                place, length = _as_xyz(skeleton.points[inside]), float(tree_lengths[piece])
                doubts.append(Doubt("end", place, 1 - chance, length, across, begins=outside))
    return tuple(doubts)


def doubts_of_segments(tree: Tree, segments: Segments) -> tuple[Doubt, ...]:
    """The segments that are not certain.

    Args:
        tree: in voxels; the segments are those of its nodes.
        segments: see `assess`.
    """
    linked = np.flatnonzero(segments.of_node >= 0)
    # The nodes of a segment stand in their order along it.
    order = linked[np.argsort(segments.of_node[linked], kind="stable")]
    first = np.searchsorted(segments.of_node[order], np.arange(len(segments)))
    count = np.bincount(segments.of_node[order], minlength=len(segments))
    middle = order[first + count // 2]
    return tuple(
        Doubt(
            "segment",
            _as_xyz(tree.xyz[middle[at], ::-1]),
            float(segments.confidence[at]),
            float(segments.length[at]),
        )
        for at in np.flatnonzero(segments.confidence < CERTAIN)
    )


def with_missing(
    doubts: tuple[Doubt, ...], skeleton: Skeleton, refined: Callable[[Skeleton], Tree]
) -> tuple[Doubt, ...]:
    """The doubts, of which the most urgent ends hold the pieces that they may lead to.

    Args:
        doubts: those of `doubts_of_joins`.
        skeleton: all trees, as there.
        refined: makes the tree of one piece, whose root is point 0.
    """
    number = skeleton.tree_numbers()

    def piece(doubt: Doubt) -> Doubt:
        kept = number == number[doubt.begins]
        alone = skeleton.reroot(doubt.begins).keep(kept)
        tree = refined(alone.with_first(int(kept[: doubt.begins].sum())))
        return replace(doubt, missing=tree)

    ends = [doubt for doubt in doubts if doubt.begins >= 0 and doubt.cost >= _LEAST_COST]
    # Pruning may take some of the most urgent from the list, and others follow.
    urgent = set(sorted(ends, key=lambda doubt: -doubt.urgency)[: 2 * _MOST])
    return tuple(piece(doubt) if doubt in urgent else doubt for doubt in doubts)


def worst(doubts: Iterable[Doubt], tree: Tree | None = None) -> tuple[Doubt, ...]:
    """At most 20 doubts that are worth a look, the most urgent first.

    Args:
        doubts: in any order.
        tree: what they are about, in voxels; None leaves them in the order of their urgency alone.
    """
    costly = [doubt for doubt in doubts if doubt.cost >= _LEAST_COST]
    costly.sort(key=lambda doubt: (-doubt.urgency, doubt.place))
    if tree is None or len(costly) < 2:
        return tuple(costly[:_MOST])
    weighed = costly[: _WEIGHED * _MOST]
    urgency = np.array([doubt.urgency for doubt in weighed])
    first, past = _stakes(weighed, tree)
    chosen = list[int]()
    while len(chosen) < min(_MOST, len(weighed)):
        at = int(urgency.argmax())
        chosen.append(at)
        # Parts of a tree lie within each other or apart. The answer to one judges the other.
        common = np.minimum(past, past[at]) - np.maximum(first, first[at])
        whole = np.maximum(past, past[at]) - np.minimum(first, first[at])
        urgency *= 1 - np.maximum(common, 0) / np.maximum(whole, 1)
        urgency[chosen] = -1.0
    return tuple(weighed[at] for at in chosen)


def _stakes(doubts: list[Doubt], tree: Tree) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The nodes below each link in doubt, (D,) from one place to past another in their order.

    The order is depth first. What is not in the tree has no node, and its two places are equal.
    """
    order = depth_first_order(tree.parents)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    sizes = sums_beyond(order, tree.parents, np.ones(len(order)))
    links = [link_in_doubt(tree, doubt.kind, doubt.place) for doubt in doubts]
    first = np.array([0 if link is None else place[link[0]] for link in links])
    nodes = np.array([0 if link is None else sizes[link[0]] for link in links]).astype(np.int64)
    return first, first + nodes


def _as_xyz(place: NDArray[np.float64]) -> tuple[float, float, float]:
    """A place (3,), z, y, x, as x, y, z."""
    z, y, x = place.tolist()
    return x, y, z
