"""The pieces of a broken tree, as the search for joins sees them: ends, directions, distances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dineuro_bridge.scale import VoxelScale
from dineuro_tracing.skeleton import Skeleton

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: The direction of a tip is measured over this length (finest voxels).
_LOOK_BACK = 6.0
#: Up to this distance (finest voxels) the direction of a tip says nothing about a link.
_TOUCHING = 3.0
#: Pairs of a tip and a point that memory holds at a time.
_PAIRS_AT_ONCE = 500_000


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """A skeleton with the geometry that links between its trees need; lengths in finest voxels.

    Attributes:
        skeleton: the points; each of its trees is a piece.
        places: (N, 3) float64, z, y, x in finest voxels.
        number: (N,) int64, the piece of each point.
        length: (T,) float64, of each piece.
        body: (N,) float64, the soma's radius at the centre of a soma, 0 elsewhere. A soma begins at
            its surface, which may lie far from the point that stands for it.
        tips: (K,) int64, the ends of the pieces without the somata.
        heading: (N, 3) float64, unit vectors out of the neurite at tips; NaN elsewhere.
    """

    skeleton: Skeleton
    places: Floats
    number: Indices
    length: Floats
    body: Floats
    tips: Indices
    heading: Floats

    @classmethod
    def of(cls, skeleton: Skeleton, scale: VoxelScale) -> Pieces:
        """The pieces of a skeleton."""
        places = scale.finest_zyx(skeleton.points)
        tips = np.flatnonzero(skeleton.ends() & ~skeleton.soma)
        return cls(
            skeleton,
            places,
            skeleton.tree_numbers(),
            skeleton.tree_lengths(scale),
            np.where(skeleton.soma, skeleton.radii, 0.0),
            tips,
            _headings(skeleton, tips, places),
        )

    def pairs_within(self, gap: float) -> Iterator[tuple[Indices, Indices]]:
        """Tips and points of other pieces at most `gap` apart, in portions of equal length (M,)."""
        if gap <= 0 or len(self.length) < 2 or len(self.tips) == 0:
            return
        tree = KDTree(self.places)
        counts = tree.query_ball_point(self.places[self.tips], gap, return_length=True)
        portion = np.cumsum(counts) // _PAIRS_AT_ONCE
        somata = np.flatnonzero(self.body)
        for number in np.unique(portion):
            some = self.tips[portion == number]
            near = tree.query_ball_point(self.places[some], gap)
            tips = np.repeat(some, [len(points) for points in near])
            points = np.concatenate([np.asarray(p, dtype=np.int64) for p in near])
            # A soma is within reach if its surface is, even where its centre is not.
            away = np.linalg.norm(self.places[some, None] - self.places[somata], axis=2)
            facing, soma = np.nonzero((away > gap) & (away <= gap + self.body[somata]))
            tips = np.concatenate([tips, some[facing]])
            points = np.concatenate([points, somata[soma]])
            apart = self.number[tips] != self.number[points]
            yield tips[apart], points[apart]

    def geometry(self, tip: Indices, point: Indices) -> tuple[Floats, Floats, Floats]:
        """The distance of each pair (M,), and the cosines of the turns at the tip and the point.

        The second cosine is 1 for a point that is no tip.
        """
        step = self.places[point] - self.places[tip]
        straight = np.linalg.norm(step, axis=1)
        direction = step / np.maximum(straight, 1e-9)[:, None]
        distance = np.maximum(straight - self.body[point], 1.0)
        turn = _cosine((direction * self.heading[tip]).sum(axis=1), distance)
        turn[distance < self.body[point]] = 1.0  # a soma lies ahead of every tip beside it
        facing = _cosine(-(direction * self.heading[point]).sum(axis=1), distance)
        return distance, turn, facing

    def is_tip(self) -> NDArray[np.bool_]:
        """(N,) bool, the point is a tip."""
        mask = np.zeros(len(self.number), dtype=np.bool_)
        mask[self.tips] = True
        return mask


def _cosine(cosine: Floats, distance: Floats) -> Floats:
    """The cosine of a turn (M,); 1 for ends that touch and for a point without direction (NaN)."""
    return np.where((distance <= _TOUCHING) | np.isnan(cosine), 1.0, cosine)


def _headings(skeleton: Skeleton, tips: Indices, places: Floats) -> Floats:
    """(N, 3) unit vectors out of the neurite at each tip; NaN for a lone point and elsewhere."""
    has_parent = skeleton.parents >= 0
    children = skeleton.main_children()
    headings = np.full((len(skeleton), 3), np.nan)
    for tip in tips:
        way = skeleton.parents if has_parent[tip] else children
        back = tip
        while way[back] >= 0 and np.linalg.norm(places[tip] - places[back]) < _LOOK_BACK:
            back = way[back]
        if back != tip:
            out = places[tip] - places[back]
            headings[tip] = out / max(float(np.linalg.norm(out)), 1e-9)
    return headings
