"""The tree while it is being made: linked points with what is known of each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Skeleton:
    """Points linked to their parents, in any order; a forest as a rule.

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
        """(N,) how many points have this one as parent."""
        return np.bincount(self.parents[self.parents >= 0], minlength=len(self))

    def tree_numbers(self) -> NDArray[np.int64]:
        """(N,) which tree a point belongs to, 0.. in the order of the roots."""
        ancestor = np.where(self.parents >= 0, self.parents, np.arange(len(self)))
        while True:
            further = ancestor[ancestor]
            if np.array_equal(further, ancestor):
                break
            ancestor = further
        return np.unique(ancestor, return_inverse=True)[1].astype(np.int64)

    def link_lengths(self, scale: tuple[float, float, float]) -> NDArray[np.float64]:
        """(N,) length of the link to the parent in finest voxels, 0 for roots."""
        above = np.where(self.parents >= 0, self.parents, np.arange(len(self)))
        steps = (self.points - self.points[above]) * np.array(scale)
        return np.asarray(np.linalg.norm(steps, axis=1))

    def with_soma(self, point: int, radius: float) -> Skeleton:
        """The point as the centre of a soma of this radius (finest voxels)."""
        radii, soma = self.radii.copy(), self.soma.copy()
        radii[point], soma[point] = radius, True
        return replace(self, radii=radii, soma=soma)

    def without_soma(self, point: int) -> Skeleton:
        """The point is the centre of no soma."""
        soma = self.soma.copy()
        soma[point] = False
        return replace(self, soma=soma)

    def keep(self, kept: NDArray[np.bool_]) -> Skeleton:
        """Only the points marked; one whose parent goes hangs on its nearest kept ancestor."""
        parents = self.parents.copy()
        while True:
            lost = (parents >= 0) & ~kept[parents]
            if not lost.any():
                break
            parents[lost] = parents[parents[lost]]
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
        """The same trees with this root as point 0: its tree is the first one."""
        order = np.concatenate([[root], np.delete(np.arange(len(self)), root)])
        number = np.empty(len(self) + 1, dtype=np.int64)
        number[order], number[-1] = np.arange(len(self)), -1
        return Skeleton(
            self.points[order],
            number[self.parents[order]],
            self.radii[order],
            self.joined[order],
            self.soma[order],
        )

    def rerooted(self, root: int) -> Skeleton:
        """The same links with this point as the root of its tree."""
        parents, joined = self.parents.copy(), self.joined.copy()
        above, flag = -1, False
        point = root
        while point >= 0:
            following = int(self.parents[point])
            parents[point], above = above, point
            joined[point], flag = flag, bool(self.joined[point])
            point = following
        return replace(self, parents=parents, joined=joined)

    def linked(self, root: int, point: int) -> Skeleton:
        """A tree hung with its root on a point of another tree, over a gap."""
        parents, joined = self.parents.copy(), self.joined.copy()
        parents[root], joined[root] = point, True
        return replace(self, parents=parents, joined=joined)

    def tree_lengths(self, scale: tuple[float, float, float]) -> NDArray[np.float64]:
        """(T,) the length of each tree in finest voxels, by tree number."""
        return np.asarray(np.bincount(self.tree_numbers(), self.link_lengths(scale)))
