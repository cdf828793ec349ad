"""From voxels to centre lines: the cheapest paths from a root to the furthest unexplained voxels.

The method follows TEASAR (Sato et al. 2000) and Rivulet (Liu et al. 2018). A path is cheap where
the neurite is deep and bright, so that paths run along its middle and meet early at forks. The
furthest voxel that no path explains is the next tip. Each path explains the voxels around it. A
path that adds too little length of its own is a bump of the surface and not a branch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.progress import Progress, ProgressCallback
from dineuro_tracing.foreground import Foreground
from dineuro_tracing.forest import parents_or_self
from dineuro_tracing.kernels import Grid, PathRules, Routes, geodesic, greatest, grow_paths
from dineuro_tracing.skeleton import Skeleton

#: A path explains all within this many depths, and this many voxels more.
_REACH_SHARE, _REACH = 1.0, 1.5
#: Depth of a weak voxel: less than that of the thinnest strong one, which is 1.
_WEAK_DEPTH = 0.5
#: Preference for depth and brightness: speed = (probability * depth) ** this.
_PREFERENCE = 2.0
#: The weak voxels of a new path are at most this many times as long as its strong ones.
_FAINT_SHARE = 2.0
#: A branch of a line deeper than `_THIN` finest voxels has to be longer by this many times the
#: depth beyond, because the surface of a thick neurite is rough.
_THICKNESS_SHARE, _THIN = 3.0, 2.0
#: All voxels get their path, and not one alone.
_NO_TARGET = -1
#: Paths between two calls of the progress callback.
_PATHS_A_CALL = 64


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """The centre lines, and the chosen root in them.

    Attributes:
        skeleton: every voxel of a path is a point; each component is a tree.
        root: the point of the voxel that was chosen as root; None without one.
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
    """The centre lines of all components; each component is one tree.

    A link at a weak voxel is marked as joined.

    Args:
        foreground: the voxels to trace.
        root: the voxel at which its component's tree starts; every other tree starts at an end.
        min_length: least length that a path adds (finest voxels).
        progress: called between paths; it may raise `Cancelled`.
    """
    optical = foreground.optical()
    # A path explains the true width of its neurite, and as many slices along z.
    reach = np.maximum(foreground.depth, np.float32(_WEAK_DEPTH))
    # The middle is where both depths are high: without blur the optical one is even across z.
    depth = np.sqrt(np.maximum(optical.depth, np.float32(_WEAK_DEPTH)) * reach)
    if optical is foreground:
        depth = reach
    speed = (foreground.probability / np.float32(255) * depth) ** np.float32(_PREFERENCE)
    slowness = np.asarray(1 / speed, dtype=np.float32)
    grid = _grid(optical)
    routes, roots = _routes_from_roots(grid, optical, slowness, root)
    in_tree = np.zeros(len(foreground), dtype=np.bool_)
    in_tree[roots] = True
    state = np.zeros(len(foreground), dtype=np.uint8)
    strong = np.flatnonzero(foreground.strong).astype(np.int32)
    targets = _furthest_first(routes.length, grid.from_middle, strong)
    rules = PathRules(_REACH_SHARE, _REACH, min_length, _THICKNESS_SHARE, _THIN, _FAINT_SHARE)
    position = 0
    while position < len(targets):
        progress(Progress("trace", position, len(targets)))
        position = grow_paths(
            grid, routes, reach, foreground.strong, targets,
            position, _PATHS_A_CALL, rules, state, in_tree,
        )  # fmt: skip
    progress(Progress("trace", len(targets), len(targets)))
    voxels = np.flatnonzero(in_tree)
    return Paths(
        _skeleton(foreground, routes.before, voxels),
        None if root is None else int(np.searchsorted(voxels, root)),
    )


def _grid(foreground: Foreground) -> Grid:
    """The graph of the foreground's voxels."""
    return Grid(
        foreground.index,
        foreground.coords,
        foreground.scale.zyx.astype(np.float32),
        foreground.from_middle(slice(None)),
    )


def _furthest_first(
    length: NDArray[np.float32], from_middle: NDArray[np.float32], voxels: NDArray[np.int32]
) -> NDArray[np.int32]:
    """The voxels in the order of their paths' lengths, the longest first.

    Equal lengths are frequent. The distance from the middle, scaled to less than the precision of
    the lengths, decides between them; a second sort would take longer.
    """
    least = from_middle[voxels].astype(np.float64)
    least *= 1e-8 / max(float(least.max(initial=0.0)), 1e-9)
    return voxels[np.argsort(least - length[voxels], kind="stable")]


def _routes_from_roots(
    grid: Grid, foreground: Foreground, slowness: NDArray[np.float32], root: int | None
) -> tuple[Routes, NDArray[np.int32]]:
    """The cheapest paths from one root a component, and the roots (C,).

    A root is an end of its component, so that the first path is as long as possible: it is the
    strong voxel furthest from a first one, which is the deepest. The component of the chosen root
    needs no such search.
    """
    component, n_components = foreground.component, foreground.n_components
    roots = greatest(grid, component, foreground.depth, n_components)
    if root is not None:
        roots[component[root]] = root
    first = geodesic(grid, slowness, roots, _NO_TARGET)
    away = np.where(foreground.strong, first.length, np.float32(-1))
    ends = greatest(grid, component, away, n_components)
    is_arbitrary = np.arange(len(roots)) != (-1 if root is None else component[root])
    roots[is_arbitrary] = ends[is_arbitrary]
    second = geodesic(grid, slowness, roots[is_arbitrary], _NO_TARGET)
    replaced = is_arbitrary[component]
    routes = Routes(
        np.where(replaced, second.length, first.length),
        np.where(replaced, second.before, first.before),
    )
    return routes, roots


def _skeleton(
    foreground: Foreground, before: NDArray[np.int32], voxels: NDArray[np.int64]
) -> Skeleton:
    """A point at each of the voxels, linked to the voxel before it on its path."""
    number = np.full(len(foreground) + 1, -1, dtype=np.int64)  # the last entry serves "no voxel"
    number[voxels] = np.arange(len(voxels))
    strong = foreground.strong[voxels]
    parents = number[before[voxels]]
    return Skeleton(
        points=(foreground.coords[voxels] + foreground.origin).astype(np.float64),
        parents=parents,
        # The depth reaches to the CENTRE of an outside voxel, half a voxel beyond the border.
        radii=np.maximum(foreground.depth[voxels].astype(np.float64) - 0.5, 0.5),
        joined=(parents >= 0) & ~(strong & strong[parents_or_self(parents)]),
        soma=np.zeros(len(voxels), dtype=np.bool_),
    )
