"""Several neurons in one volume: trees that touch are parted, so that each soma has its own.

Between two somata of one tree there is one path, and somewhere on it one neuron ends and the other
begins: where a gap was joined, else where the path is thinnest and turns most. There it is cut.
Where the path is nowhere thin, both are one body, or bodies that touch, and stay together.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dineuro_tracing.skeleton import Skeleton

Scale = tuple[float, float, float]

#: The turn at a link is looked at over so many points before and behind it.
_LOOK = 6
#: Between two bodies the path gets thinner than this share of the smaller one's radius.
_NECK = 0.4
#: Radii are averaged over so many points, for voxels make them rough.
_AVERAGED = 5
#: How much a joined gap, and being midway, speak for a cut against thinness and turn (0..1 each).
_JOINED, _MIDWAY = 2.0, 0.1


def parted(skeleton: Skeleton, scale: Scale) -> Skeleton:
    """The same points, each soma the root of a tree of its own; one that is none is unmarked.

    Args:
        skeleton: trees of which some may have several somata.
        scale: (z, y, x), a voxel's edges in units of the shortest one.
    """
    done = np.zeros(len(skeleton), dtype=np.bool_)
    # The largest body first: what lies next to it is what may be none.
    bodies = np.flatnonzero(skeleton.soma)
    for soma in bodies[np.argsort(-skeleton.radii[bodies], kind="stable")].tolist():
        path = _way_up(skeleton, soma, done)
        if done[path[-1]]:
            place = _place_to_cut(skeleton, path, scale)
            if place is None:
                skeleton = skeleton.without_soma(soma)
                continue
            parents, joined = skeleton.parents.copy(), skeleton.joined.copy()
            parents[path[place]], joined[path[place]] = -1, False
            skeleton = replace(skeleton, parents=parents, joined=joined)
        skeleton = skeleton.rerooted(soma)
        done[soma] = True
    return skeleton


def _way_up(skeleton: Skeleton, point: int, stop: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The points from one to the nearest ancestor that is marked, or to the root."""
    path = [point]
    while skeleton.parents[path[-1]] >= 0:
        path.append(int(skeleton.parents[path[-1]]))
        if stop[path[-1]]:
            break
    return np.array(path)


def _place_to_cut(skeleton: Skeleton, path: NDArray[np.int64], scale: Scale) -> int | None:
    """Where on a path between two somata a point is to lose the link to its parent, if anywhere."""
    places = skeleton.points[path] * np.array(scale)
    radii = skeleton.radii[path]
    # Inside of a soma nothing is cut.
    free = np.linalg.norm(places - places[0], axis=1) > radii[0]
    free &= np.linalg.norm(places - places[-1], axis=1) > radii[-1]
    links = np.arange(len(path) - 1)
    outside = links[free[:-1] & free[1:]]
    if len(outside) == 0 or radii[outside].min() > _NECK * min(radii[0], radii[-1]):
        return None
    even = np.convolve(np.pad(radii, _AVERAGED // 2, "edge"), np.ones(_AVERAGED), "valid")
    thin = 1 - even[outside] / even[outside].max()
    before = places[np.maximum(outside - _LOOK, 0)] - places[outside]
    behind = places[np.minimum(outside + 1 + _LOOK, len(path) - 1)] - places[outside + 1]
    sizes = np.linalg.norm(before, axis=1) * np.linalg.norm(behind, axis=1)
    turn = (1 + (before * behind).sum(axis=1) / np.maximum(sizes, 1e-9)) / 2
    midway = 1 - np.abs(2 * (outside - outside[0]) / max(len(outside) - 1, 1) - 1)
    evidence = thin + turn + _MIDWAY * midway + _JOINED * skeleton.joined[path[outside]]
    return int(outside[evidence.argmax()])
