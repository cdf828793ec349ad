"""Which voxels the tracer looks at: those that are foreground, and the dim ones between them.

A voxel is STRONG when its probability reaches the threshold, or when such voxels enclose it: the
tree has to explain it. A voxel is WEAK when it is dimmer, at least a quarter of the threshold, and
close to a strong one: a path may run through it, at a price, but no path is made for its sake. So a
dim stretch of a neurite is crossed by evidence, and haze far from any neurite costs nothing. After
this stage all work is in proportion to these voxels and not to the volume; the stage itself holds
at most seven bytes a voxel of the bounding box at a time, of which the index (four) stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cc3d
import numpy as np
from numpy.typing import NDArray

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
    numbered,
)

#: A weak voxel has at least this share of the threshold.
WEAK_SHARE = 0.25
#: Furthest that a weak voxel may lie from a strong one (finest voxels).
_WEAK_REACH = 10.0

Box = tuple[slice, slice, slice]
Labels = NDArray[np.uint32]
Scale = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Foreground:
    """The strong and weak voxels of a volume, numbered 0..N-1 in raster order.

    Attributes:
        origin: (3,) int64, z, y, x of the bounding box in the volume.
        index: (bz, by, bx) int32, a voxel's number in the box, -1 for background.
        coords: (N, 3) int32, z, y, x in the box.
        probability: (N,) uint8.
        strong: (N,) bool.
        depth: (N,) float32, distance to the nearest voxel that is not strong, in finest voxels;
            0 for weak voxels.
        component: (N,) int32, connected component (26 neighbours), 0..n_components-1.
        n_components: how many components there are.
        scale: (z, y, x), a voxel's edge in units of the finest one.
    """

    origin: NDArray[np.int64]
    index: NDArray[np.int32]
    coords: NDArray[np.int32]
    probability: NDArray[np.uint8]
    strong: NDArray[np.bool_]
    depth: NDArray[np.float32]
    component: NDArray[np.int32]
    n_components: int
    scale: Scale

    def __len__(self) -> int:
        return len(self.coords)

    def contains(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(N,) whether the voxel nearest to each point (z, y, x of the volume) is foreground."""
        at = np.rint(points - self.origin).astype(np.int64)
        inside = np.asarray(((at >= 0) & (at < self.index.shape)).all(axis=1))
        inside[inside] = self.index[tuple(at[inside].T)] >= 0
        return inside


def find_foreground(
    probability: NDArray[np.uint8],
    *,
    threshold: int,
    gap: float,
    min_voxels: int,
    scale: Scale = (1.0, 1.0, 1.0),
) -> Foreground:
    """Choose the voxels to trace in a volume (Z, Y, X) of probabilities 0..255.

    Components with fewer than `min_voxels` strong voxels are taken for noise and left out. A weak
    voxel lies within `gap / 2` (finest voxels) of a strong one, for no gap of that width has a
    point further from both its ends, and at most `_WEAK_REACH`. Returns an empty `Foreground` where
    nothing is left.
    """
    weak_reach = min(gap / 2, _WEAK_REACH)
    box = _bounding_box(probability, threshold, margin=int(weak_reach) + 1)
    inside = probability[box]
    kinds = classify(inside, threshold, max(1, int(threshold * WEAK_SHARE)))
    _fill_cavities(kinds)
    drop_far(kinds, *_rows_within(weak_reach, scale, kinds.shape))
    labels = _components(kinds != NOTHING, connectivity=26)
    counts = count_strong(kinds, labels, int(labels.max(initial=0)) + 1)
    coords, component = gather(labels, _new_numbers(counts >= min_voxels))
    del labels  # four bytes a voxel, as many as the index
    at = tuple(coords.T)
    strong = kinds[at] == STRONG
    del kinds
    index = numbered(coords, inside.shape)
    seen = inside[at]
    return Foreground(
        origin=np.array([s.start for s in box], dtype=np.int64),
        index=index,
        coords=coords,
        probability=np.where(strong, np.maximum(seen, np.uint8(threshold)), seen),
        strong=strong,
        depth=_depth(index, coords, strong, scale),
        component=component,
        n_components=int(component.max(initial=-1)) + 1,
        scale=scale,
    )


def _bounding_box(probability: NDArray[np.uint8], threshold: int, margin: int) -> Box:
    """The smallest box around the strong voxels, widened within the volume; empty around none."""
    z, y, x = (
        slice(max(0, first - margin), min(length, last + 1 + margin)) if last >= 0 else slice(0, 0)
        for (first, last), length in zip(
            bounds(probability, threshold).tolist(), probability.shape, strict=True
        )
    )
    return z, y, x


def _components(mask: NDArray[np.bool_], connectivity: Literal[6, 26]) -> Labels:
    """The connected components of a box, from 1 on; of an empty one too.

    Always of one type, so that the loops over labels are compiled, and loaded, once.
    """
    if mask.size == 0:
        return np.zeros(mask.shape, dtype=np.uint32)
    return np.asarray(
        cc3d.connected_components(mask, connectivity=connectivity, out_dtype=np.uint32),
        dtype=np.uint32,
    )


def _fill_cavities(kinds: NDArray[np.uint8]) -> None:
    """Make strong what strong voxels enclose: a soma may be left hollow, a neuron is not."""
    labels = _components(kinds != STRONG, connectivity=6)
    enclosed = np.ones(int(labels.max(initial=0)) + 1, dtype=np.bool_)
    for axis in range(3):
        for face in (0, -1):
            if labels.size:
                enclosed[labels.take(face, axis=axis)] = False
    enclosed[0] = False  # the label of the mask itself
    if enclosed.any():
        fill(kinds, labels, enclosed)


def _rows_within(
    reach: float, scale: Scale, shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """The rows along x that a ball cuts, the nearest first, and how far it reaches along each.

    Returns (R, 2) steps in z and y, and (R,) steps along x.
    """
    most = np.array([min(int(reach / s), n) for s, n in zip(scale, shape, strict=True)])
    z, y = (a.ravel() for a in np.mgrid[-most[0] : most[0] + 1, -most[1] : most[1] + 1])
    square = (z * scale[0]) ** 2 + (y * scale[1]) ** 2
    order = np.argsort(square, kind="stable")
    order = order[square[order] <= reach**2]
    along = np.sqrt(reach**2 - square[order]) / scale[2]
    return np.column_stack([z, y])[order], np.minimum(along, most[2]).astype(np.int16)


def _new_numbers(kept: NDArray[np.bool_]) -> NDArray[np.int32]:
    """A new number 0.. for each label that is kept, -1 for all others and for 0."""
    kept[0] = False
    return np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)


def _depth(
    index: NDArray[np.int32], coords: NDArray[np.int32], strong: NDArray[np.bool_], scale: Scale
) -> NDArray[np.float32]:
    """Distance of every strong voxel to the nearest other one; the volume's border is no end.

    Where nothing is outside the mask, the distance is that across the volume.
    """
    depth = depths(index, coords, strong, np.array(scale, dtype=np.float32))
    across = max((n * step for n, step in zip(index.shape, scale, strict=True)))
    return np.minimum(depth, np.float32(across), out=depth)
