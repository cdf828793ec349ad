"""`Skeleton`: the tree while the stages of the tracer work on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.trees.tree import depth_first_order
from dineuro_tracing.forest import last_ancestors, parents_or_self
from dineuro_tracing.tree_kernels import sums_beyond


@dataclass(frozen=True, slots=True, eq=False)
class Skeleton:
    """Points linked to their parents, in any order; usually a forest of several trees.

    Attributes:
        points: (N, 3) float64, z, y, x in voxels of the full volume.
        parents: (N,) int64, index of the parent, -1 for a root.
        radii: (N,) float64, in finest voxels.
        joined: (N,) bool, the link to the parent crosses a gap of the mask.
        soma: (N,) bool, the point is the centre of a soma.
    """

    points: NDArray[np.float64]
    parents: NDArray[np.int64]
    radii: NDArray[np.float64]
    joined: NDArray[np.bool_]
    soma: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.parents)

    def n_children(self) -> NDArray[np.int64]:
        """(N,) the number of points whose parent is this one."""
        return np.bincount(self.parents[self.parents >= 0], minlength=len(self))

    def ends(self) -> NDArray[np.bool_]:
        """(N,) bool, the point has at most one neighbour: a tip, an end at a root, a lone point."""
        return np.asarray(self.n_children() + (self.parents >= 0) <= 1)

    def main_children(self) -> NDArray[np.int64]:
        """(N,) the child of each point with the most points beyond it, -1 without children.

        Of equal children it is the thicker one.
        """
        beyond = sums_beyond(depth_first_order(self.parents), self.parents, np.ones(len(self)))
        child = np.full(len(self), -1)
        linked = np.flatnonzero(self.parents >= 0)
        linked = linked[np.lexsort((self.radii[linked], beyond[linked]))]
        child[self.parents[linked]] = linked
        return child

    def path_from(
        self, end: int, length: float, scale: VoxelScale
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The way from an end of a tree inwards, as far as a length in finest voxels.

        Returns:
            (M,) the points, and (M,) how far each is from the end.
        """
        onwards = self.parents if self.parents[end] >= 0 else self.main_children()
        path, ways, point = [end], [0.0], end
        while onwards[point] >= 0 and ways[-1] < length:
            step = scale.finest_zyx(self.points[point] - self.points[onwards[point]])
            ways.append(ways[-1] + float(np.linalg.norm(step)))
            point = int(onwards[point])
            path.append(point)
        return np.array(path, dtype=np.int64), np.array(ways)

    def tree_numbers(self) -> NDArray[np.int64]:
        """(N,) the tree of each point; trees are numbered from 0 in the order of their roots."""
        roots = last_ancestors(parents_or_self(self.parents))
        return np.unique(roots, return_inverse=True)[1].astype(np.int64)

    def link_lengths(self, scale: VoxelScale) -> NDArray[np.float64]:
        """(N,) the length of each point's link to its parent in finest voxels, 0 for roots."""
        steps = self.points - self.points[parents_or_self(self.parents)]
        return np.asarray(np.linalg.norm(scale.finest_zyx(steps), axis=1))

    def tree_lengths(self, scale: VoxelScale) -> NDArray[np.float64]:
        """(T,) the length of each tree in finest voxels, by tree number."""
        return np.asarray(np.bincount(self.tree_numbers(), self.link_lengths(scale)))

    def distances(self, place: NDArray[Any], scale: VoxelScale) -> NDArray[np.float64]:
        """(N,) distances in finest voxels from a place (3,), z, y, x in voxels, to each point."""
        return np.asarray(np.linalg.norm(scale.finest_zyx(self.points - place), axis=1))

    def with_soma(self, point: int, radius: float) -> Skeleton:
        """The skeleton with the point as the centre of a soma; the radius is in finest voxels."""
        radii, soma = self.radii.copy(), self.soma.copy()
        radii[point], soma[point] = radius, True
        return replace(self, radii=radii, soma=soma)

    def without_soma(self, point: int) -> Skeleton:
        """The skeleton without a soma at the point."""
        soma = self.soma.copy()
        soma[point] = False
        return replace(self, soma=soma)

    def keep(self, kept: NDArray[np.bool_]) -> Skeleton:
        """The points of a mask (N,); a point without its parent hangs on its next kept ancestor."""
        parents = self.parents.copy()
        while True:
            orphans = (parents >= 0) & ~kept[parents]
            if not orphans.any():
                break
            parents[orphans] = parents[parents[orphans]]
        number = np.cumsum(kept) - 1
        parents = np.where(parents >= 0, number[parents], -1)[kept]
        return Skeleton(
            self.points[kept],
            parents,
            self.radii[kept],
            self.joined[kept] & (parents >= 0),
            self.soma[kept],
        )

    def with_first(self, root: int) -> Skeleton:
        """The skeleton with this root as point 0, so that its tree is the first one."""
        order = np.concatenate([[root], np.delete(np.arange(len(self)), root)])
        number = np.empty(len(self) + 1, dtype=np.int64)
        number[order], number[-1] = np.arange(len(self)), -1  # the last entry serves parent -1
        return Skeleton(
            self.points[order],
            number[self.parents[order]],
            self.radii[order],
            self.joined[order],
            self.soma[order],
        )

    def reroot(self, root: int) -> Skeleton:
        """The same links with this point as the root of its tree."""
        parents, joined = self.parents.copy(), self.joined.copy()
        above, over_gap = -1, False
        point = root
        while point >= 0:
            next_point, next_over_gap = int(self.parents[point]), bool(self.joined[point])
            parents[point], joined[point] = above, over_gap
            above, over_gap, point = point, next_over_gap, next_point
        return replace(self, parents=parents, joined=joined)

    def join(self, root: int, point: int) -> Skeleton:
        """The skeleton with a new link over a gap, from the root of a tree to a point of another.

        The point is the parent.
        """
        parents, joined = self.parents.copy(), self.joined.copy()
        parents[root], joined[root] = point, True
        return replace(self, parents=parents, joined=joined)

    def cut(self, point: int) -> Skeleton:
        """The skeleton without the link from the point to its parent; the point is a root."""
        parents, joined = self.parents.copy(), self.joined.copy()
        parents[point], joined[point] = -1, False
        return replace(self, parents=parents, joined=joined)
