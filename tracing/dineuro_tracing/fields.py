"""Fields of axons: volumes that many neurites cross, with no soma that explains them.

One tree for a field is wrong, for its pieces belong to many neurons. The evidence is counted on
large pieces: they are many, they run from border to border, and few ends lie inside the volume.
A single neuron has one large piece, or most of its ends inside. In case of doubt it is one neuron.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.trees.tree import depth_first_order
from dineuro_tracing.gaps import Joins
from dineuro_tracing.skeleton import Skeleton
from dineuro_tracing.tree_kernels import ancestors, sums_beyond

#: Least length of a tree of a field, and of a large piece (finest voxels).
SHORTEST, _LARGE = 20.0, 30.0
#: An end lies at the border within this distance (finest voxels), and the longest edge of a voxel.
_AT_BORDER = 3.0
#: A field has at least this many large pieces, and this many of their ends at the border.
_LEAST_PIECES, _LEAST_ENDS = 5, 10
#: Least share of all length in pieces that cross the volume, and of the ends that lie at the
#: border. Rendered fields of medium noise have at least 0.38 and 0.39. A real neuron in clutter,
#: without a soma in view, has 0.50 and 0.20; the other real neurons have fewer pieces or a soma.
_CROSSING, _ENDS_AT_BORDER = 1 / 3, 0.35
#: Within a field, a join between large trees is made from this probability on.
_FIRM = 0.7


@dataclass(frozen=True, slots=True)
class Field:
    """The evidence for a field of axons.

    Attributes:
        pieces: the number of large pieces before any join.
        crossing: share of all length in large pieces with two ends or more at the border.
        ends_at_border: share of the ends that lie at the border: ends of large pieces there, and
            within the volume those of large trees after the joins.
    """

    pieces: int
    crossing: float
    ends_at_border: float


def find_field(
    pieces: Skeleton, joined: Skeleton, shape: tuple[int, ...], scale: VoxelScale
) -> Field | None:
    """The evidence for a field of axons; None where it is not clear.

    Args:
        pieces: the lines before any join.
        joined: the same points after the joins.
        shape: (Z, Y, X) of the volume.
        scale: the voxel's edges.
    """
    number, lengths = pieces.tree_numbers(), pieces.tree_lengths(scale)
    at_border = _at_border(pieces, shape, scale)
    # A join between two ends at the border hides them, and one within the volume reveals none.
    outer = pieces.ends() & at_border & (lengths[number] >= _LARGE)
    inner = joined.ends() & ~at_border
    inner &= joined.tree_lengths(scale)[joined.tree_numbers()] >= _LARGE
    n_outer, n_inner = int(outer.sum()), int(inner.sum())
    crosses = np.bincount(number[outer], minlength=len(lengths)) >= 2
    crossing = lengths[crosses].sum() / max(lengths.sum(), 1e-9)
    field = Field(
        int((lengths >= _LARGE).sum()), float(crossing), n_outer / max(n_outer + n_inner, 1)
    )
    is_clear = (
        field.pieces >= _LEAST_PIECES
        and n_outer >= _LEAST_ENDS
        and field.crossing >= _CROSSING
        and field.ends_at_border >= _ENDS_AT_BORDER
    )
    return field if is_clear else None


def part_doubtful(
    skeleton: Skeleton, joins: Joins, shape: tuple[int, ...], scale: VoxelScale
) -> tuple[Skeleton, Joins]:
    """The skeleton without the doubtful joins between large trees, and the joins that it has.

    The least likely join is cut first. A join from border to border is doubtful in any case: both
    neurites leave the volume there.

    Args:
        skeleton: the trees.
        joins: the joins over gaps.
        shape: (Z, Y, X) of the volume.
        scale: the voxel's edges.
    """
    made = joins.in_skeleton.copy()
    at_border = _at_border(skeleton, shape, scale)
    leaves = at_border[joins.tip] & at_border[joins.point]
    doubtful = np.flatnonzero(made & (leaves | (joins.probability < _FIRM)))
    lengths = skeleton.link_lengths(scale)
    # The length of each link and of all beyond it; at a root, of its tree.
    beyond = sums_beyond(depth_first_order(skeleton.parents), skeleton.parents, lengths)
    for at in doubtful[np.argsort(joins.probability[doubtful], kind="stable")]:
        tip, point = int(joins.tip[at]), int(joins.point[at])
        child = tip if skeleton.parents[tip] == point else point
        if skeleton.parents[child] not in (tip, point):
            continue  # cut between two somata
        above = ancestors(skeleton.parents, child)
        rest = beyond[above[-1]] - beyond[child]
        if min(beyond[child] - lengths[child], rest) >= _LARGE:
            beyond[above] -= beyond[child]
            beyond[child] -= lengths[child]
            lengths[child] = 0.0
            skeleton = skeleton.cut(child)
            made[at] = False
    return skeleton, replace(joins, in_skeleton=made)


def _at_border(skeleton: Skeleton, shape: tuple[int, ...], scale: VoxelScale) -> NDArray[np.bool_]:
    """(N,) bool, the points at the border of a volume (Z, Y, X)."""
    inwards = np.minimum(skeleton.points, np.array(shape) - 1 - skeleton.points)
    return np.asarray(scale.finest_zyx(inwards).min(axis=1) <= _AT_BORDER + scale.longest)
