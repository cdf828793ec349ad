"""Places that a person should look at first, the dearest first.

    join      a gap that was joined: what hangs beyond it may not belong to the neuron
    end       a tip that may go on over a gap that was not joined: a piece may be missing
    branch    a fork from which an unlikely branch was taken off: it may be missing
    segment   one that has little confidence

What a doubt costs is the length that is at stake times the chance that the tree is wrong about it:
a doubtful join that half of the neuron hangs on comes before a doubtful twig.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from dineuro_bridge.trees.tree import Tree, depth_first_order
from dineuro_tracing.confidence import CERTAIN, Segments
from dineuro_tracing.gaps import Joins
from dineuro_tracing.skeleton import Skeleton

Kind = Literal["join", "end", "branch", "segment"]

#: More than this nobody looks at.
_MOST = 20
#: A doubt that costs less (finest voxels) is none.
_LEAST_COST = 1.0


@dataclass(frozen=True, slots=True)
class Doubt:
    """One place.

    Attributes:
        kind: what is in doubt.
        place: x, y, z in voxels: the middle of a join or a segment, the tip of an end, the fork.
        chance: 0..1, how probable it is that the tree is right here.
        length: what is at stake, finest voxels: all that hangs beyond a join, the piece that an end
            may go on to, the branch, the segment.
        across: of the gap, finest voxels; 0 for a branch or a segment.
    """

    kind: Kind
    place: tuple[float, float, float]
    chance: float
    length: float
    across: float = 0.0

    @property
    def cost(self) -> float:
        """The length (finest voxels) that is probably wrong or missing."""
        return (1 - self.chance) * self.length

    def moved(self, by: ArrayLike) -> Doubt:
        """Shifted by x, y, z."""
        x, y, z = (np.array(self.place) + np.asarray(by)).tolist()
        return replace(self, place=(x, y, z))


def doubts_of_joins(
    skeleton: Skeleton,
    joins: Joins,
    kept: NDArray[np.bool_],
    scale: tuple[float, float, float],
) -> tuple[Doubt, ...]:
    """The joins within the tree that is kept, and for each piece left out the likeliest one to it.

    Args:
        skeleton: all trees, each from its root.
        joins: links of its points.
        kept: (N,) what belongs to the result.
        scale: (z, y, x), a voxel's edges in units of the shortest one.
    """
    lengths = skeleton.link_lengths(scale)
    beyond = _sums_beyond(depth_first_order(skeleton.parents), skeleton.parents, lengths)
    number, whole = skeleton.tree_numbers(), skeleton.tree_lengths(scale)
    found, pieces = [], set[int]()
    for at in np.argsort(-joins.chance, kind="stable"):
        tip, point, chance = int(joins.tip[at]), int(joins.point[at]), float(joins.chance[at])
        a, b = skeleton.points[tip], skeleton.points[point]
        across = float(np.linalg.norm((a - b) * np.array(scale)))
        if joins.made[at] and kept[tip]:
            lower = tip if skeleton.parents[tip] == point else point
            middle = (a + b) / 2
            found.append(_doubt("join", middle, chance, float(beyond[lower]), across))
        elif not joins.made[at] and kept[tip] != kept[point]:
            inside, outside = (tip, point) if kept[tip] else (point, tip)
            piece = int(number[outside])
            if piece not in pieces:
                pieces.add(piece)
                place = skeleton.points[inside]
                found.append(_doubt("end", place, 1 - chance, float(whole[piece]), across))
    return tuple(found)


def doubts_of_segments(tree: Tree, segments: Segments) -> tuple[Doubt, ...]:
    """The segments that are not certain.

    Args:
        tree: in voxels; the segments are those of its nodes.
        segments: see `assess`.
    """
    lower = np.flatnonzero(segments.of_node >= 0)
    # Nodes of a segment stand in one piece from its start on: its middle one is in their midst.
    order = lower[np.argsort(segments.of_node[lower], kind="stable")]
    first = np.searchsorted(segments.of_node[order], np.arange(len(segments)))
    count = np.bincount(segments.of_node[order], minlength=len(segments))
    middle = order[first + count // 2]
    return tuple(
        _doubt(
            "segment",
            tree.xyz[middle[at], ::-1],
            float(segments.confidence[at]),
            float(segments.length[at]),
        )
        for at in np.flatnonzero(segments.confidence < CERTAIN)
    )


def worst(doubts: Iterable[Doubt]) -> tuple[Doubt, ...]:
    """At most 20 that matter, the dearest first."""
    dear = [doubt for doubt in doubts if doubt.cost >= _LEAST_COST]
    return tuple(sorted(dear, key=lambda doubt: (-doubt.cost, doubt.place))[:_MOST])


def _doubt(
    kind: Kind, place: NDArray[np.float64], chance: float, length: float, across: float = 0.0
) -> Doubt:
    """With the place given as z, y, x."""
    z, y, x = place.tolist()
    return Doubt(kind, (x, y, z), chance, length, across)


@njit(cache=True)
def _sums_beyond(
    order: NDArray[np.int64], parents: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Each point's value and those of all that hang on it; `order` has parents first."""
    sums = values.copy()
    for at in range(len(order) - 1, -1, -1):
        point = order[at]
        if parents[point] >= 0:
            sums[parents[point]] += sums[point]
    return sums
