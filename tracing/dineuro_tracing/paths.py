"""From voxels to centre lines: the cheapest ways from a root to the furthest unexplained voxels.

After TEASAR (Sato et al. 2000) and Rivulet (Liu et al. 2018): a path is cheap where the neurite is
deep and bright, so that paths run along its middle and meet early at forks; the furthest voxel that
no path explains yet is the next tip; each path explains the voxels around it. A path that would add
too little of its own is a bump of the surface and not a branch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.progress import Progress, ProgressCallback
from dineuro_tracing.foreground import Foreground
from dineuro_tracing.kernels import geodesic, grow_paths
from dineuro_tracing.skeleton import Skeleton

#: A path explains all within this many depths and voxels of it.
_REACH_SHARE = 1.0
_REACH = 1.5
#: Depth of a weak voxel: less than that of the thinnest strong one, which is 1.
_WEAK_DEPTH = 0.5
#: How steeply a path prefers depth and brightness: speed = (probability * depth) ** this.
_PREFERENCE = 2.0
#: A new path's weak voxels are at most this many times as long as its strong ones.
_FAINT_SHARE = 2.0
#: A branch of a neurite deeper than `_THIN` voxels has to be longer by so many times what is
#: beyond: the surface of a thick one is rough.
_THICKNESS_SHARE, _THIN = 3.0, 2.0
#: Paths between two looks at the progress callback.
_PATHS_A_CALL = 64


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """The centre lines found, and where in them the chosen root is.

    Attributes:
        skeleton: every voxel of a path is a point; each component is a tree.
        root: the point of the voxel that was asked for as root; None if none was.
    """

    skeleton: Skeleton
    root: int | None


def find_paths(
    foreground: Foreground,
    root: int | None,
    *,
    min_length: float,
    progress: ProgressCallback,
) -> Paths:
    """The centre lines of all components, each a tree.

    `root` is the voxel where its component's tree starts; the others start at an end. `min_length`
    (finest voxels) is the least that a path adds. A run of weak voxels is marked as joined.
    """
    scale = np.array(foreground.scale, dtype=np.float32)
    depth = np.maximum(foreground.depth, np.float32(_WEAK_DEPTH))
    speed = (foreground.probability / np.float32(255) * depth) ** np.float32(_PREFERENCE)
    slowness = np.asarray(1 / speed, dtype=np.float32)
    length, before, roots = _geodesic_trees(foreground, slowness, root, scale)
    in_tree = np.zeros(len(foreground), dtype=np.bool_)
    in_tree[roots] = True
    covered = np.zeros(len(foreground), dtype=np.uint8)
    strong = np.flatnonzero(foreground.strong).astype(np.int32)
    targets = strong[np.argsort(-length[strong], kind="stable")]
    position = 0
    while position < len(targets):
        progress(Progress("trace", position, len(targets)))
        position = grow_paths(
            foreground.index, foreground.coords, depth, length, before,
            foreground.strong, targets, position,
            _PATHS_A_CALL, _REACH_SHARE, _REACH, min_length, _THICKNESS_SHARE,
            _THIN, _FAINT_SHARE, scale, covered, in_tree,
        )  # fmt: skip
    progress(Progress("trace", len(targets), len(targets)))
    voxels = np.flatnonzero(in_tree)
    return Paths(
        _skeleton(foreground, before, voxels),
        None if root is None else int(np.searchsorted(voxels, root)),
    )


def _geodesic_trees(
    foreground: Foreground,
    slowness: NDArray[np.float32],
    root: int | None,
    scale: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
    """Lengths and predecessors from one root a component, and the roots.

    A component's root is an end of it, so that its first path is as long as can be: the voxel
    furthest from an arbitrary one. Only the component of the given root needs no such first look.
    """
    index, coords, component = foreground.index, foreground.coords, foreground.component
    roots = np.unique(component, return_index=True)[1].astype(np.int32)
    if root is not None:
        roots[component[root]] = root
    length, before = geodesic(index, coords, slowness, roots, scale)
    order = np.lexsort((length, component))
    ends = order[np.searchsorted(component[order], np.arange(len(roots)), side="right") - 1]
    again = np.arange(len(roots)) != (-1 if root is None else component[root])
    roots[again] = ends[again]
    new_length, new_before = geodesic(index, coords, slowness, roots[again], scale)
    redone = again[component]
    return np.where(redone, new_length, length), np.where(redone, new_before, before), roots


def _skeleton(
    foreground: Foreground, before: NDArray[np.int32], voxels: NDArray[np.int64]
) -> Skeleton:
    """The points at these voxels, linked to their predecessors."""
    number = np.full(len(foreground) + 1, -1, dtype=np.int64)  # the last stands for "no voxel"
    number[voxels] = np.arange(len(voxels))
    strong = foreground.strong[voxels]
    parents = number[before[voxels]]
    above = np.where(parents >= 0, parents, np.arange(len(voxels)))
    return Skeleton(
        points=(foreground.coords[voxels] + foreground.origin).astype(np.float64),
        parents=parents,
        # The distance to the nearest outside voxel's CENTRE is half a voxel beyond the border.
        radii=np.maximum(foreground.depth[voxels].astype(np.float64) - 0.5, 0.5),
        joined=(parents >= 0) & ~(strong & strong[above]),
        soma=np.zeros(len(voxels), dtype=np.bool_),
    )
