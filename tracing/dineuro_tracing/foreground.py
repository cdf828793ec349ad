"""Which voxels the tracer looks at: those that are foreground, and the dim ones between them.

A voxel is STRONG when its probability reaches the threshold, or when such voxels enclose it: the
tree has to explain it. A voxel is WEAK when it is dimmer, at least a quarter of the threshold, and
close to a strong one: a path may run through it, at a price, but no path is made for its sake. So a
dim stretch of a neurite is crossed by evidence, and haze far from any neurite costs nothing. After
this stage all work is in proportion to these voxels and not to the volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cc3d
import edt
import numpy as np
from numpy.typing import NDArray

from dineuro_tracing.kernels import gather

#: A weak voxel has at least this share of the threshold.
WEAK_SHARE = 0.25
#: Furthest that a weak voxel may lie from a strong one (finest voxels).
_WEAK_REACH = 10.0


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
    scale: tuple[float, float, float]

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
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Foreground:
    """Choose the voxels to trace in a volume (Z, Y, X) of probabilities 0..255.

    Components with fewer than `min_voxels` strong voxels are taken for noise and left out. A weak
    voxel lies within `gap / 2` (finest voxels) of a strong one, for no gap of that width has a
    point further from both its ends, and at most `_WEAK_REACH`. Returns an empty `Foreground` where
    nothing is left.
    """
    weak_reach = min(gap / 2, _WEAK_REACH)
    box = _bounding_box(probability >= threshold, margin=int(weak_reach) + 1)
    if box is None:
        return _nothing(scale)
    strong = _without_cavities(probability[box] >= threshold)
    inside = np.where(strong, np.maximum(probability[box], np.uint8(threshold)), probability[box])
    depth = _distance(strong, scale)
    wanted = inside >= max(1, int(threshold * WEAK_SHARE))
    wanted &= _distance(~strong, scale) <= weak_reach
    wanted |= strong
    labels: NDArray[np.unsignedinteger[Any]] = cc3d.connected_components(wanted, connectivity=26)
    kept = _large_components(labels, strong, min_voxels)
    wanted &= kept[labels] >= 0
    index, coords = gather(wanted)
    at = tuple(coords.T)
    component = kept[labels[at]]
    return Foreground(
        origin=np.array([s.start for s in box], dtype=np.int64),
        index=index,
        coords=coords,
        probability=inside[at],
        strong=strong[at],
        depth=depth[at],
        component=component,
        n_components=int(kept.max(initial=-1)) + 1,
        scale=scale,
    )


def _without_cavities(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with what it encloses: an enhancer may leave a soma hollow, a neuron is not."""
    outside: NDArray[np.unsignedinteger[Any]] = cc3d.connected_components(~mask, connectivity=6)
    open_to = np.zeros(int(outside.max(initial=0)) + 1, dtype=np.bool_)
    for axis in range(3):
        for face in (0, -1):
            open_to[outside.take(face, axis=axis)] = True
    open_to[0] = False  # the label of the mask itself
    return np.asarray(~open_to[outside])


def _nothing(scale: tuple[float, float, float]) -> Foreground:
    """The foreground of an empty volume."""
    index, coords = gather(np.zeros((0, 0, 0), dtype=np.bool_))
    return Foreground(
        origin=np.zeros(3, dtype=np.int64),
        index=index,
        coords=coords,
        probability=np.zeros(0, dtype=np.uint8),
        strong=np.zeros(0, dtype=np.bool_),
        depth=np.zeros(0, dtype=np.float32),
        component=np.zeros(0, dtype=np.int32),
        n_components=0,
        scale=scale,
    )


def _bounding_box(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice, slice] | None:
    """The smallest box around the true voxels, widened within the volume; None around none."""
    spans = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        if len(hit) == 0:
            return None
        spans.append(slice(max(0, hit[0] - margin), min(mask.shape[axis], hit[-1] + 1 + margin)))
    return (spans[0], spans[1], spans[2])


def _distance(mask: NDArray[np.bool_], scale: tuple[float, float, float]) -> NDArray[np.float32]:
    """Distance of every true voxel to the nearest false one; the volume's border is no end.

    Where nothing is false, the distance is that across the volume.
    """
    distance: NDArray[np.float32] = edt.edt(mask, anisotropy=scale, black_border=False)
    across = max(n * step for n, step in zip(mask.shape, scale, strict=True))
    return np.minimum(distance, np.float32(across), out=distance)


def _large_components(
    labels: NDArray[np.unsignedinteger[Any]], strong: NDArray[np.bool_], min_voxels: int
) -> NDArray[np.int32]:
    """A new number 0.. for each label with enough strong voxels, -1 for all others and for 0."""
    sizes = np.bincount(labels[strong], minlength=int(labels.max(initial=0)) + 1)
    sizes[0] = 0
    large = sizes >= min_voxels
    renumbered = np.full(len(sizes), -1, dtype=np.int32)
    renumbered[large] = np.arange(int(large.sum()), dtype=np.int32)
    return renumbered
