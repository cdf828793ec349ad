"""Several neurons in one volume: trees that touch are cut, so that each soma has its own tree.

Two somata of one tree are connected by one path, and the path is cut at one link. The place of the
cut is a joined gap if there is one. Otherwise it is where the path is thinnest and turns most.
A path that is nowhere thin lies inside one body, or in bodies that touch: it is not cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.scale import VoxelScale
from dineuro_tracing.skeleton import Skeleton

#: Points before and behind a link over which the turn at the link is measured.
_TURN_POINTS = 6
#: A path is cut only if it gets thinner than this share of the smaller soma's radius.
_NECK = 0.4
#: Points over which radii are averaged, because voxels make them rough.
_AVERAGED_POINTS = 5
#: Evidence of a joined gap and of the middle of the path; thinness and turn have 0..1 each.
_JOINED, _MIDWAY = 2.0, 0.1


def part_neurons(skeleton: Skeleton, scale: VoxelScale) -> Skeleton:
    """The same points with each soma as the root of a tree of its own.

    A soma that cannot be cut off from a larger one loses its mark.

    Args:
        skeleton: trees of which some may have several somata.
        scale: the voxel's edges.
    """
    is_root = np.zeros(len(skeleton), dtype=np.bool_)
    for soma in _largest_first(skeleton, scale):
        path = _path_up(skeleton, soma, is_root)
        if is_root[path[-1]]:
            position = _cut_position(skeleton, path, scale)
            if position is None:
                skeleton = skeleton.without_soma(soma)
                continue
            skeleton = skeleton.cut(int(path[position]))
        skeleton = skeleton.reroot(soma)
        is_root[soma] = True
    return skeleton


def _largest_first(skeleton: Skeleton, scale: VoxelScale) -> list[int]:
    """The somata; of two bodies that touch, the smaller one, which comes later, is doubtful.

    Of equal bodies the one nearer to the middle comes first.
    """
    somata = np.flatnonzero(skeleton.soma)
    from_middle = skeleton.distances(skeleton.points.mean(axis=0), scale)[somata]
    return [int(soma) for soma in somata[np.lexsort((from_middle, -skeleton.radii[somata]))]]


def _path_up(skeleton: Skeleton, point: int, stop: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The points from a point up to its nearest ancestor in the mask `stop`, or to the root."""
    path = [point]
    while skeleton.parents[path[-1]] >= 0:
        path.append(int(skeleton.parents[path[-1]]))
        if stop[path[-1]]:
            break
    return np.array(path)


def _cut_position(skeleton: Skeleton, path: NDArray[np.int64], scale: VoxelScale) -> int | None:
    """The position on a path between two somata of the point whose link to its parent is cut."""
    places = scale.finest_zyx(skeleton.points[path])
    radii = skeleton.radii[path]
    # The inside of a soma is never cut.
    outside = np.linalg.norm(places - places[0], axis=1) > radii[0]
    outside &= np.linalg.norm(places - places[-1], axis=1) > radii[-1]
    links = np.flatnonzero(outside[:-1] & outside[1:])
    if len(links) == 0 or radii[links].min() > _NECK * min(radii[0], radii[-1]):
        return None
    even = np.convolve(
        np.pad(radii, _AVERAGED_POINTS // 2, "edge"), np.ones(_AVERAGED_POINTS), "valid"
    )
    thin = 1 - even[links] / even[links].max()
    before = places[np.maximum(links - _TURN_POINTS, 0)] - places[links]
    behind = places[np.minimum(links + 1 + _TURN_POINTS, len(path) - 1)] - places[links + 1]
    sizes = np.linalg.norm(before, axis=1) * np.linalg.norm(behind, axis=1)
    turn = (1 + (before * behind).sum(axis=1) / np.maximum(sizes, 1e-9)) / 2
    midway = 1 - np.abs(2 * (links - links[0]) / max(len(links) - 1, 1) - 1)
    evidence = thin + turn + _MIDWAY * midway + _JOINED * skeleton.joined[path[links]]
    return int(links[evidence.argmax()])
