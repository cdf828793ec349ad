"""The pieces of a broken tree, as the search for joins sees them: ends, directions, distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.scale import VoxelScale
from dineuro_tracing.link_kernels import Cells, Ends, cheapest_points, headings, link_geometry
from dineuro_tracing.skeleton import Skeleton

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: The direction of a tip is measured over this length (finest voxels).
_LOOK_BACK = 6.0
#: The shortest edge of a cell in the search for near points (finest voxels).
_SHORTEST_CELL = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """A skeleton with the geometry that links between its trees need; lengths in finest voxels.

    Attributes:
        skeleton: the points; each of its trees is a piece.
        scale: the voxel's edges.
        length: (T,) float64, of each piece.
        tips: (K,) int64, the ends of the pieces without the somata.
        ends: the points as ends of links. A soma begins at its surface, which may lie far from the
            point that stands for it.
    """

    skeleton: Skeleton
    scale: VoxelScale
    length: Floats
    tips: Indices
    ends: Ends

    @classmethod
    def of(cls, skeleton: Skeleton, scale: VoxelScale) -> Pieces:
        """The pieces of a skeleton."""
        places = scale.finest_zyx(skeleton.points)
        tips = np.flatnonzero(skeleton.ends() & ~skeleton.soma)
        ends = Ends(
            places,
            headings(places, tips, skeleton.parents, skeleton.main_children(), _LOOK_BACK),
            np.where(skeleton.soma, skeleton.radii, 0.0),
            skeleton.tree_numbers(),
            np.linalg.norm(places - places.mean(axis=0), axis=1),
        )
        return cls(skeleton, scale, skeleton.tree_lengths(scale), tips, ends)

    def cheapest_links(self, probability: NDArray[np.uint8], gap: float) -> tuple[Indices, Indices]:
        """For each tip and each other piece within a gap the point with the lowest price.

        See `link_kernels.cheapest_points`.

        Args:
            probability: (Z, Y, X) uint8, the volume that the links run through.
            gap: greatest distance of the ends.

        Returns:
            (L,) tips and (L,) points, by tip and then by the point's piece.
        """
        if gap <= 0 or len(self.length) < 2 or len(self.tips) == 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        return cheapest_points(
            self.ends,
            self.skeleton.points.astype(np.float64),
            probability,
            self.tips,
            np.flatnonzero(self.ends.body),
            self._cells(gap),
            gap,
        )

    def geometry(self, tip: Indices, point: Indices) -> tuple[Floats, Floats, Floats]:
        """The distance of each pair (L,), and the cosines of the turns at the tip and the point.

        The second cosine is 1 for a point that is no tip.
        """
        return link_geometry(self.ends, tip, point)

    def _cells(self, gap: float) -> Cells:
        """The points by cells that are at least as long as the gap."""
        places = self.ends.places
        cell = ((places - places.min(axis=0)) / max(gap, _SHORTEST_CELL)).astype(np.int64) + 1
        shape = cell.max(axis=0) + 2
        number = (cell[:, 0] * shape[1] + cell[:, 1]) * shape[2] + cell[:, 2]
        points = np.flatnonzero(self.ends.body == 0)
        order = points[np.argsort(number[points], kind="stable")]
        return Cells(order, number[order], cell[self.tips], shape)

    def is_tip(self) -> NDArray[np.bool_]:
        """(N,) bool, the point is a tip."""
        mask = np.zeros(len(self.skeleton), dtype=np.bool_)
        mask[self.tips] = True
        return mask
