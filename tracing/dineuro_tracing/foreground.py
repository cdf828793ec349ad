"""The voxels that the tracer works on: the foreground, and the dim voxels between its parts.

A voxel is STRONG if its probability reaches the threshold, or if strong voxels enclose it. The tree
has to explain every strong voxel. A voxel is WEAK if its probability is below the threshold, at
least a quarter of it, and a strong voxel is near. A path may run through a weak voxel at a price,
but no path is made for its sake. A dim stretch of a neurite is therefore crossed by evidence, and
haze far from any neurite costs nothing.

After this stage the work is in proportion to the strong and weak voxels, not to the volume. The
stage itself holds at most seven bytes for each voxel of the bounding box; four of them, the index,
stay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cc3d
import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.scale import CUBES, VoxelScale
from dineuro_tracing.voxels import (
    NOTHING,
    STRONG,
    bounds,
    classify,
    count_strong,
    depths,
    drop_far,
    fill,
    gather,
    index_box,
)

#: A weak voxel has at least this share of the threshold.
WEAK_SHARE = 0.25
#: Along its axis `lateral_depth` sees no border within any volume.
_NO_BORDER = 1e6
#: The longest distance from a weak voxel to a strong one (finest voxels).
_WEAK_REACH = 10.0

Box = tuple[slice, slice, slice]
Labels = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class Foreground:
    """The strong and weak voxels of a volume, numbered 0..N-1 in raster order.

    Attributes:
        origin: (3,) int64, z, y, x of the bounding box in the volume.
        index: (bz, by, bx) int32, the number of each voxel of the box, -1 for background.
        coords: (N, 3) int32, z, y, x in the box.
        probability: (N,) uint8.
        strong: (N,) bool.
        depth: (N,) float32, distance in finest voxels to the nearest voxel that is not strong;
            0 for weak voxels.
        component: (N,) int32, connected component (26 neighbours), 0..n_components-1.
        n_components: the number of components.
        scale: the voxel's edges.
        middle: (3,) z, y, x in the box, the place nearest to which the first of equals lies; None
            is the centroid of the voxels.
    """

    origin: NDArray[np.int64]
    index: NDArray[np.int32]
    coords: NDArray[np.int32]
    probability: NDArray[np.uint8]
    strong: NDArray[np.bool_]
    depth: NDArray[np.float32]
    component: NDArray[np.int32]
    n_components: int
    scale: VoxelScale
    middle: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.coords)

    def optical(self) -> Foreground:
        """The same voxels in the optical scale, with their depth in it."""
        scale = self.scale.optical
        if scale == self.scale:
            return self
        depth = _depth(self.index, self.coords, self.strong, scale)
        return replace(self, depth=depth, scale=scale)

    def contains(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(N,) bool, the voxel nearest to a point (N, 3), z, y, x of the volume, is foreground."""
        at = np.rint(points - self.origin).astype(np.int64)
        inside = np.asarray(((at >= 0) & (at < self.index.shape)).all(axis=1))
        inside[inside] = self.index[tuple(at[inside].T)] >= 0
        return inside

    def place(self, voxel: int) -> NDArray[np.int64]:
        """(3,) z, y, x of a foreground voxel in the volume."""
        return np.asarray(self.coords[voxel] + self.origin)

    def distances(self, voxel: int, others: NDArray[np.int64]) -> NDArray[np.float64]:
        """(M,) finest voxels from a foreground voxel to others (M,), all given by their numbers."""
        steps = self.coords[others] - self.coords[voxel]
        return np.asarray(np.linalg.norm(self.scale.finest_zyx(steps), axis=1))

    def from_middle(self, voxels: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """(M,) finest voxels from the middle, usually the centroid, to voxels (M,).

        It decides between voxels that are otherwise equal. Their numbers must not: a mirrored
        volume reverses them.
        """
        middle = self.coords.mean(axis=0) if self.middle is None else self.middle
        steps = self.scale.finest_zyx(self.coords[voxels] - middle)
        return np.asarray(np.linalg.norm(steps, axis=1), dtype=np.float32)

    def lateral_depth(self, axis: int) -> NDArray[np.float32]:
        """(N,) distance to the border in the plane across an axis, in finest voxels.

        Blur along the optical axis and a coarse step make every neurite look flat or deep. Within
        a slice its width is true. The distance is 0 for weak voxels, and infinite without a border.
        """
        edges = self.scale.zyx.astype(np.float32)
        edges[axis] = _NO_BORDER
        return depths(self.index, self.coords, self.strong, edges)

    def nearest_strong(self, place: NDArray[np.float64]) -> tuple[int, float]:
        """The strong voxel nearest to a place (3,), z, y, x of the volume, and its distance.

        The distance is in finest voxels; it is infinite if no voxel is strong.
        """
        steps = self.coords - (place - self.origin)
        away = np.asarray(np.linalg.norm(self.scale.finest_zyx(steps), axis=1))
        away[~self.strong] = np.inf
        nearest = int(away.argmin())
        return nearest, float(away[nearest])


def find_foreground(
    probability: NDArray[np.uint8],
    *,
    threshold: int,
    gap: float,
    min_voxels: int,
    scale: VoxelScale = CUBES,
    middle: NDArray[np.float64] | None = None,
) -> Foreground:
    """Choose the voxels to trace in a volume.

    Args:
        probability: (Z, Y, X) uint8.
        threshold: least probability of a strong voxel.
        gap: widest gap to cross (finest voxels). A weak voxel lies within half of it of a strong
            one, because every point of such a gap is that near to one end. The distance is also
            at most `_WEAK_REACH`.
        min_voxels: a component with fewer strong voxels is noise and is left out.
        scale: the voxel's edges.
        middle: (3,) z, y, x in the volume, see `Foreground`. Overlapping parts of a larger volume
            choose alike if it is the same place for all.

    Returns:
        The foreground; it has no voxels if every component is noise.
    """
    weak_reach = min(gap / 2, _WEAK_REACH)
    box = _bounding_box(probability, threshold, margin=int(weak_reach) + 1)
    inside = probability[box]
    kinds = classify(inside, threshold, max(1, int(threshold * WEAK_SHARE)))
    _fill_cavities(kinds)
    drop_far(kinds, *_rows_within(weak_reach, scale.optical, kinds.shape))
    labels = _components(kinds != NOTHING, connectivity=26)
    counts = count_strong(kinds, labels, int(labels.max(initial=0)) + 1)
    coords, component = gather(labels, _new_numbers(counts >= min_voxels))
    del labels  # four bytes a voxel, as many as the index
    at = tuple(coords.T)
    strong = kinds[at] == STRONG
    del kinds
    index = index_box(coords, inside.shape)
    values = inside[at]
    origin = np.array([s.start for s in box], dtype=np.int64)
    return Foreground(
        origin=origin,
        index=index,
        coords=coords,
        probability=np.where(strong, np.maximum(values, np.uint8(threshold)), values),
        strong=strong,
        depth=_depth(index, coords, strong, scale),
        component=component,
        n_components=int(component.max(initial=-1)) + 1,
        scale=scale,
        middle=None if middle is None else middle - origin,
    )


def _bounding_box(probability: NDArray[np.uint8], threshold: int, margin: int) -> Box:
    """The smallest box around the strong voxels, widened within the volume; empty without any."""
    z, y, x = (
        slice(max(0, first - margin), min(length, last + 1 + margin)) if last >= 0 else slice(0, 0)
        for (first, last), length in zip(
            bounds(probability, threshold).tolist(), probability.shape, strict=True
        )
    )
    return z, y, x


def _components(mask: NDArray[np.bool_], connectivity: Literal[6, 26]) -> Labels:
    """The connected components of a box, from 1 on; 0 outside the mask.

    The type is always the same, so that each loop over labels is compiled and loaded once.
    """
    if mask.size == 0:
        return np.zeros(mask.shape, dtype=np.uint32)
    return np.asarray(
        cc3d.connected_components(mask, connectivity=connectivity, out_dtype=np.uint32),
        dtype=np.uint32,
    )


def _fill_cavities(kinds: NDArray[np.uint8]) -> None:
    """Make every voxel strong that strong voxels enclose: an enhancer may leave a soma hollow."""
    labels = _components(kinds != STRONG, connectivity=6)
    enclosed = np.ones(int(labels.max(initial=0)) + 1, dtype=np.bool_)
    for axis in range(3):
        for face in (0, -1):
            if labels.size:
                enclosed[labels.take(face, axis=axis)] = False
    enclosed[0] = False  # the label of the strong voxels
    if enclosed.any():
        fill(kinds, labels, enclosed)


def _rows_within(
    reach: float, scale: VoxelScale, shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """A ball as rows along x, the nearest row first.

    Returns (R, 2) steps in z and y, and (R,) the steps along x that the ball reaches in each row.
    """
    edges = scale.edges
    most = np.array([min(int(reach / s), n) for s, n in zip(edges, shape, strict=True)])
    z, y = (a.ravel() for a in np.mgrid[-most[0] : most[0] + 1, -most[1] : most[1] + 1])
    square = (z * edges[0]) ** 2 + (y * edges[1]) ** 2
    order = np.argsort(square, kind="stable")
    order = order[square[order] <= reach**2]
    along = np.sqrt(reach**2 - square[order]) / edges[2]
    return np.column_stack([z, y])[order], np.minimum(along, most[2]).astype(np.int16)


def _new_numbers(kept: NDArray[np.bool_]) -> NDArray[np.int32]:
    """A new number from 0 on for each label of the mask `kept`; -1 for other labels and for 0."""
    kept[0] = False
    return np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)


def _depth(
    index: NDArray[np.int32],
    coords: NDArray[np.int32],
    strong: NDArray[np.bool_],
    scale: VoxelScale,
) -> NDArray[np.float32]:
    """(N,) the distance of every strong voxel to the nearest voxel that is not strong.

    The volume's border does not count. The longest depth is the longest edge of the box.
    """
    depth = depths(index, coords, strong, scale.zyx.astype(np.float32))
    across = max(n * edge for n, edge in zip(index.shape, scale.edges, strict=True))
    return np.minimum(depth, np.float32(across), out=depth)
