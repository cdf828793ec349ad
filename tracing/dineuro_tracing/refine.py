"""From voxel steps to the lines a person would draw: centred, smooth, evenly spaced points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.trees.tree import depth_first_order
from dineuro_tracing.foreground import Foreground
from dineuro_tracing.forest import last_ancestors, parents_or_self
from dineuro_tracing.kernels import centroids
from dineuro_tracing.skeleton import Skeleton
from dineuro_tracing.soma import Body
from dineuro_tracing.tree_kernels import carry_joined, space_points

#: A branch of a soma leaves its body by half a radius or more.
_LEAST_BRANCH = 1.5
#: Smoothing moves a point at most this far (voxels) along each axis.
_MAX_MOVE = 1.0
#: Two points this near (finest voxels) are one, because SWC text could not tell them apart.
_SAME_PLACE = 0.01
#: How often a point moves to the centroid of its surroundings.
_CENTRINGS = 3
#: The surroundings reach this many radii of the neurite, within these bounds (finest voxels).
_REACH_RADII, _LEAST_REACH, _LONGEST_REACH = 2.2, 2.2, 20.0


def gather_somata(skeleton: Skeleton, somata: Sequence[Body], scale: VoxelScale) -> Skeleton:
    """One point for each soma: the points of its tree within its body go.

    The branches start at the soma's centre. A branch that hardly leaves the body is a bump of its
    surface, and goes too. The centres are roots and stay.

    Args:
        skeleton: its roots may be somata.
        somata: all that were found; the nearest to a root is the root's.
        scale: the voxel's edges.
    """
    if not somata or not skeleton.soma.any():
        return skeleton
    away = _radii_from_soma(skeleton, somata, scale)
    skeleton = skeleton.keep((away > 1) | skeleton.soma)
    away = _radii_from_soma(skeleton, somata, scale)
    starts = skeleton.soma[skeleton.parents] & (skeleton.parents >= 0)
    own = np.arange(len(skeleton))
    branch = last_ancestors(np.where(starts, own, parents_or_self(skeleton.parents)))
    furthest = np.zeros(len(skeleton))
    np.maximum.at(furthest, branch, away)
    return skeleton.keep((furthest[branch] >= _LEAST_BRANCH) | skeleton.soma)


def _radii_from_soma(
    skeleton: Skeleton, somata: Sequence[Body], scale: VoxelScale
) -> NDArray[np.float64]:
    """(N,) how many radii each point lies from its tree's soma; infinite without one."""
    number = skeleton.tree_numbers()
    away = np.full(len(skeleton), np.inf)
    for root in np.flatnonzero(skeleton.soma):
        place = skeleton.points[[root]]
        soma = min(somata, key=lambda s: float(s.radii_away(place, scale)[0]))
        of_tree = number == number[root]
        away[of_tree] = soma.radii_away(skeleton.points[of_tree], scale)
    return away


def centre(skeleton: Skeleton, foreground: Foreground) -> Skeleton:
    """The points moved to where the probability around them is highest; roots and tips stay.

    A path runs from voxel centre to voxel centre, and the neurite's middle lies between them.
    A point that would leave the foreground stays where it was.
    """
    inner = np.flatnonzero((skeleton.n_children() > 0) & (skeleton.parents >= 0) & ~skeleton.soma)
    optical = foreground.optical()
    radii = skeleton.radii[inner]
    if optical is not foreground:
        radii = np.zeros_like(radii)  # further away are the uneven tails of blur along z
    reach = np.clip(_REACH_RADII * radii, _LEAST_REACH, _LONGEST_REACH)
    points = skeleton.points.copy()
    for _ in range(_CENTRINGS):
        points[inner] += centroids(
            foreground.index,
            foreground.probability,
            points[inner] - foreground.origin,
            reach,
            optical.scale.zyx,
        )
    inside = foreground.contains(points)[:, None]
    return replace(skeleton, points=np.where(inside, points, skeleton.points))


def smooth(
    skeleton: Skeleton, contains: Callable[[NDArray[np.float64]], NDArray[np.bool_]] | None
) -> Skeleton:
    """Points and radii averaged along each branch with weights 1/4, 1/2, 1/4.

    Roots, forks and tips stay where they are. So do points that would leave the foreground.

    Args:
        skeleton: the lines.
        contains: whether points (N, 3) lie in the foreground, (N,); None lets all points move.
    """
    inner = np.flatnonzero((skeleton.n_children() == 1) & (skeleton.parents >= 0))
    parent, child = skeleton.parents[inner], skeleton.main_children()[inner]

    def averaged(values: NDArray[np.float64]) -> NDArray[np.float64]:
        result = values.copy()
        result[inner] = (values[parent] + 2 * values[inner] + values[child]) / 4
        return result

    steps = np.clip(averaged(skeleton.points) - skeleton.points, -_MAX_MOVE, _MAX_MOVE)
    points = skeleton.points + steps
    if contains is not None:
        points = np.where(contains(points)[:, None], points, skeleton.points)
    return replace(skeleton, points=points, radii=averaged(skeleton.radii))


def resample(skeleton: Skeleton, step: float, scale: VoxelScale) -> Skeleton:
    """One point about every `step` finest voxels along a branch; roots, forks and tips stay.

    A point at the place of its parent goes in any case.
    """
    order = depth_first_order(skeleton.parents)
    lengths = skeleton.link_lengths(scale)
    fixed = (skeleton.n_children() != 1) | (skeleton.parents < 0)
    kept = space_points(order, skeleton.parents, lengths, fixed, step)
    kept &= (lengths > _SAME_PLACE) | (skeleton.parents < 0)
    joined = skeleton.joined.copy()
    carry_joined(order, skeleton.parents, kept, joined)
    return replace(skeleton, joined=joined).keep(kept)
