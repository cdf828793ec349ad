"""Spines: side branches that end close to the surface of a thick neurite.

A branch counts from the surface of its neurite, and its length is compared with the neurite's
width. The width is measured across the optical axis, because blur along it and a coarse step make
every neurite look flat or deep. The longest branch at a fork continues the neurite and is no spine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.foreground import Foreground
from dineuro_tracing.forest import last_ancestors, parents_or_self

#: SWC's type of spines, the first one that is free for custom use.
SPINE_TYPE = 7
#: A side branch is short if it reaches at most so many lateral radii beyond its neurite's surface.
REACH_RADII = 3.0
#: Where few branches are short, a spine has at most this reach. Longer ones are often neurites.
_LONE_RADII = 2.0
#: Spiny neurites have so many spines for each finest voxel of thick neurite, at least so many
#: voxels of it, and few side branches between the two reaches: the short ones are this share. Then
#: the longer ones are spines too. On the tuning stacks dendrites with visible spines have 3.4 to
#: 7.3 short ones in a hundred voxels and a share of 0.78 or more, dense arbors not both.
_SPINY_REACH_RADII, _SPINY_DENSITY, _SPINY_LENGTH, _SPINY_SHARE = 5.0, 0.033, 120.0, 0.76
#: A neurite with a smaller lateral radius (finest voxels) carries no spines that can be told apart.
_MIN_RADIUS = 2.0
#: Within this many radii of a soma's centre a branch is a neurite that leaves the soma.
_SOMA_RADII = 1.5
#: Along the optical axis the half width differs by more than this share.
_UNLIKE = 0.1
#: The half widths along the axes are measured up to so many voxels.
_WIDEST = 20
#: The lateral radius is at most this multiple of the distance to the border in any direction: a
#: volume may be one voxel thin, and its own border is no border of a neurite.
_MOST_FLAT = 3.0


def find_spines(
    tree: Tree, radii: NDArray[np.float64], scale: VoxelScale, soma_radius: float | None
) -> NDArray[np.bool_]:
    """(N,) bool, the nodes of spines.

    Args:
        tree: in voxels.
        radii: (N,) lateral radii of the neurite at the nodes, in finest voxels.
        scale: the voxel's edges.
        soma_radius: of the soma at the first node, in finest voxels; None without a soma.
    """
    places, parents = scale.finest_xyz(tree.xyz), tree.parents
    reach = _reaches(places, parents)
    near_soma = np.zeros(len(tree), dtype=np.bool_)
    if soma_radius is not None:
        away = np.linalg.norm(places - places[0], axis=1)
        near_soma = away <= _SOMA_RADII * soma_radius
    widest = radii.copy()
    np.maximum.at(widest, parents[parents >= 0], radii[parents >= 0])
    continuation = _longest_children(parents, reach)
    child = np.flatnonzero(parents >= 0)
    fork = parents[child]
    radius = np.maximum(widest[fork], radii[parents_or_self(parents)[fork]])
    beyond = (reach[child] - radius) / radius
    is_side = (child != continuation[fork]) & (radius >= _MIN_RADIUS)
    length = np.linalg.norm(places[child] - places[fork], axis=1)
    thick = length[(child == continuation[fork]) & (radii[child] >= _MIN_RADIUS)].sum()
    short = np.count_nonzero(is_side & (beyond <= REACH_RADII))
    all_short = short >= _SPINY_SHARE * np.count_nonzero(is_side & (beyond <= _SPINY_REACH_RADII))
    is_spiny = thick >= _SPINY_LENGTH and short >= _SPINY_DENSITY * thick and all_short
    longest = _SPINY_REACH_RADII if is_spiny else _LONE_RADII
    starts = np.zeros(len(tree), dtype=np.bool_)
    starts[child] = is_side & (beyond <= longest) & ~near_soma[fork]
    return starts[last_ancestors(np.where(starts, np.arange(len(tree)), parents_or_self(parents)))]


def lateral_radii(tree: Tree, foreground: Foreground) -> NDArray[np.float64]:
    """(N,) the radius of the neurite across the optical axis at each node, in finest voxels.

    It is the largest distance to the neurite's border, within a plane, of the strong voxels at most
    one voxel beside the node.
    """
    at = np.rint(tree.xyz[:, ::-1] - foreground.origin).astype(np.int64)
    axis, depth = _optical_axis(at, foreground), foreground.depth
    if axis is not None:
        depth = np.minimum(foreground.lateral_depth(axis), _MOST_FLAT * depth)
    last = np.array(foreground.index.shape) - 1
    deepest: NDArray[np.float64] = np.zeros(len(tree), dtype=np.float64)
    for step in np.ndindex(3, 3, 3):
        number = foreground.index[tuple(np.clip(at + np.array(step) - 1, 0, last).T)]
        np.maximum(deepest, np.where(number >= 0, depth[number], 0.0), out=deepest)
    # The distance to the CENTRE of the nearest outside voxel is half a voxel beyond the border.
    return np.asarray(np.maximum(deepest - 0.5, 0.5))


def _optical_axis(at: NDArray[np.int64], foreground: Foreground) -> int | None:
    """The axis along which neurites look unlike themselves; z where the voxels are no cubes.

    It is None where neurites look alike along all axes.

    Across it they have another width than across the other two. `at` (N, 3) are voxels of the box
    on the neurites' lines.
    """
    if len(set(foreground.scale.edges)) > 1:
        return 0
    along = np.stack([_half_widths(at, foreground, axis) for axis in range(3)])
    across = np.array([np.delete(along, axis, axis=0).min(axis=0).mean() for axis in range(3)])
    unlike = np.abs(across - np.median(across))
    return int(unlike.argmax()) if unlike.max() > _UNLIKE * np.median(across) else None


def _half_widths(at: NDArray[np.int64], foreground: Foreground, axis: int) -> NDArray[np.int64]:
    """(N,) the strong voxels beyond each place along an axis, on the side with fewer of them."""
    index, last = foreground.index, np.array(foreground.index.shape) - 1
    sides = []
    for direction in (-1, 1):
        place, inside = at.copy(), np.ones(len(at), dtype=np.bool_)
        steps = np.zeros(len(at), dtype=np.int64)
        for _ in range(_WIDEST):
            place[:, axis] += direction
            inside &= (place[:, axis] >= 0) & (place[:, axis] <= last[axis])
            number = index[tuple(np.clip(place, 0, last).T)]
            inside &= (number >= 0) & foreground.strong[number]
            steps += inside
        sides.append(steps)
    return np.minimum(*sides)


def _reaches(places: NDArray[np.float64], parents: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,) the longest way from each node's parent through the node to a tip; 0 for roots."""
    above = np.where(parents >= 0, parents, np.arange(len(parents)))
    link = np.linalg.norm(places - places[above], axis=1)
    reach = link.copy()
    for node in range(len(parents) - 1, 0, -1):
        fork = parents[node]
        if fork >= 0:
            reach[fork] = max(reach[fork], link[fork] + reach[node])
    return np.asarray(reach)


def _longest_children(parents: NDArray[np.int64], reach: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N,) the child of each node with the longest reach, the first of equal ones; -1 for tips."""
    order = np.lexsort((-np.arange(len(parents)), reach))
    linked = order[parents[order] >= 0]
    longest = np.full(len(parents), -1, dtype=np.int64)
    longest[parents[linked]] = linked
    return longest
