"""From voxel steps to the lines a person would draw: soma drawn together, smooth, evenly spaced."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dineuro_bridge.trees.tree import depth_first_order
from dineuro_tracing.foreground import Foreground
from dineuro_tracing.kernels import centroids
from dineuro_tracing.skeleton import Skeleton

#: Rounds of smoothing; each is a [1 2 1] / 4 average along the branch.
_ROUNDS = 1
#: In smoothing a point moves at most this far (voxels).
_MAX_MOVE = 1.0
#: Points so near (finest voxels) are one: an SWC file could not tell them apart.
_SAME_PLACE = 0.01
#: A point is drawn so many times to the middle of what lies within so many finest voxels of it, or
#: within so many of the neurite's radii: a thick one's middle is further away.
_CENTRINGS, _CENTRE_REACH, _CENTRE_RADII, _CENTRE_FURTHEST = 3, 2.2, 2.2, 20.0


def gather_somata(skeleton: Skeleton, scale: tuple[float, float, float]) -> Skeleton:
    """One point a soma: what lies inside its ball goes, and branches start at its centre.

    The points at the somata's centres are roots, and stay.
    """
    of_tree = skeleton.tree_numbers()
    kept = np.ones(len(skeleton), dtype=np.bool_)
    for root in np.flatnonzero(skeleton.soma):
        away = np.linalg.norm((skeleton.points - skeleton.points[root]) * np.array(scale), axis=1)
        kept &= (away > skeleton.radii[root]) | (of_tree != of_tree[root])
    kept |= skeleton.soma
    return skeleton.keep(kept)


def centred(skeleton: Skeleton, foreground: Foreground) -> Skeleton:
    """Points drawn to where the probability around them is highest; roots and tips stay.

    A path goes from voxel to voxel; the neurite's middle lies between them. A point that would
    leave the foreground stays where it was.
    """
    inner = np.flatnonzero((skeleton.n_children() > 0) & (skeleton.parents >= 0) & ~skeleton.soma)
    reach = np.clip(_CENTRE_RADII * skeleton.radii[inner], _CENTRE_REACH, _CENTRE_FURTHEST)
    points = skeleton.points.copy()
    for _ in range(_CENTRINGS):
        points[inner] += centroids(
            foreground.index,
            foreground.probability,
            points[inner] - foreground.origin,
            reach,
            np.array(foreground.scale),
        )
    left = ~foreground.contains(points)
    points[left] = skeleton.points[left]
    return replace(skeleton, points=points)


def smoothed(skeleton: Skeleton, foreground: Foreground) -> Skeleton:
    """Points and radii averaged along each branch; roots, forks and tips stay where they are.

    A point that would leave the foreground stays where it was.
    """
    children = skeleton.n_children()
    inner = np.flatnonzero((children == 1) & (skeleton.parents >= 0))
    child = np.full(len(skeleton), -1)
    linked = np.flatnonzero(skeleton.parents >= 0)
    child[skeleton.parents[linked]] = linked
    above, below = skeleton.parents[inner], child[inner]
    points, radii = skeleton.points.copy(), skeleton.radii.copy()
    for _ in range(_ROUNDS):
        points[inner] = (points[above] + 2 * points[inner] + points[below]) / 4
        radii[inner] = (radii[above] + 2 * radii[inner] + radii[below]) / 4
    points = skeleton.points + np.clip(points - skeleton.points, -_MAX_MOVE, _MAX_MOVE)
    left = ~foreground.contains(points)
    points[left] = skeleton.points[left]
    return replace(skeleton, points=points, radii=radii)


def resampled(skeleton: Skeleton, step: float, scale: tuple[float, float, float]) -> Skeleton:
    """Along a branch one point about every `step` finest voxels; roots, forks and tips stay.

    A point that lies where its parent does goes in any case.
    """
    order = depth_first_order(skeleton.parents)
    lengths = skeleton.link_lengths(scale)
    fixed = (skeleton.n_children() != 1) | (skeleton.parents < 0)
    kept = _spaced(order, skeleton.parents, lengths, fixed, step)
    kept &= (lengths > _SAME_PLACE) | (skeleton.parents < 0)
    joined = skeleton.joined.copy()
    _carry(order, skeleton.parents, kept, joined)
    return replace(skeleton, joined=joined).keep(kept)


@njit(cache=True)
def _spaced(
    order: NDArray[np.int64],
    parents: NDArray[np.int64],
    lengths: NDArray[np.float64],
    fixed: NDArray[np.bool_],
    step: float,
) -> NDArray[np.bool_]:
    """Which points stay: the fixed ones, and others once `step` has passed since the last."""
    since = np.zeros(len(parents))
    kept = fixed.copy()
    for i in order:
        above = parents[i]
        if above >= 0:
            since[i] = lengths[i] + (0.0 if kept[above] else since[above])
            if since[i] >= step:
                kept[i] = True
    return kept


@njit(cache=True)
def _carry(
    order: NDArray[np.int64],
    parents: NDArray[np.int64],
    kept: NDArray[np.bool_],
    joined: NDArray[np.bool_],
) -> None:
    """Hand the mark of links above a point that goes down to the link that takes their place."""
    for i in order:
        above = parents[i]
        if above >= 0 and not kept[above] and joined[above]:
            joined[i] = True
