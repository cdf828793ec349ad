"""The lines of one block of a volume that is larger than the memory.

A block is traced in a window that reaches beyond it, by the stages that trace a whole volume. Two
windows that overlap find the same lines there, except near their faces: equals are decided by the
place in the volume, and not in the window. Each block keeps the points in its core. A link that a
face cuts becomes a port, which names the voxel on the other side.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.files import atomic_output
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.progress import silent
from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.foreground import Foreground, find_foreground
from dineuro_tracing.forest import parents_or_self
from dineuro_tracing.paths import find_paths
from dineuro_tracing.refine import centre
from dineuro_tracing.skeleton import Skeleton
from dineuro_tracing.soma import Soma, find_somata
from dineuro_tracing.spines import lateral_radii

#: A soma is reported by each block whose core its centre lies in, or beside at this distance.
_SOMA_MARGIN = 3

Size = tuple[int, int, int]
Slices = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class BlockLines:
    """The lines in the core of a block; coordinates are z, y, x in voxels of the whole volume.

    Attributes:
        voxels: (N, 3) int32, the voxel of each point.
        points: (N, 3) float32, where the probability around it is highest.
        parents: (N,) int64, index of the parent; -1 for a root, also where a face cuts the link.
        radii: (N,) float32, in finest voxels.
        lateral: (N,) float32, the radius across the optical axis.
        joined: (N,) bool, the link to the parent crosses weak voxels.
        probability: (N,) uint8, at the voxel.
        port: (P,) int64, the points whose link a face cuts.
        beyond: (P, 3) int32, the voxels at the other ends of these links.
        port_joined: (P,) bool, these links cross weak voxels.
        soma_centre: (S, 3) int32, the voxels of the somata in the core and beside it.
        soma_size: (S, 3) float64, radius, lateral radius and flat axis of each, see `soma.Body`.
    """

    voxels: NDArray[np.int32]
    points: NDArray[np.float32]
    parents: NDArray[np.int64]
    radii: NDArray[np.float32]
    lateral: NDArray[np.float32]
    joined: NDArray[np.bool_]
    probability: NDArray[np.uint8]
    port: NDArray[np.int64]
    beyond: NDArray[np.int32]
    port_joined: NDArray[np.bool_]
    soma_centre: NDArray[np.int32]
    soma_size: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.parents)

    @classmethod
    def empty(cls) -> Self:
        """No lines."""
        kinds = (np.int32, np.float32, np.int64, np.float32, np.float32, np.bool_, np.uint8,
                 np.int64, np.int32, np.bool_, np.int32, np.float64)  # fmt: skip
        wide = {"voxels", "points", "beyond", "soma_centre", "soma_size"}
        return cls(*(np.zeros((0, 3) if part.name in wide else 0, dtype=kind)
                     for part, kind in zip(fields(cls), kinds, strict=True)))  # fmt: skip

    def skeleton(self) -> Skeleton:
        """The lines without the links that faces cut."""
        return Skeleton(
            self.points.astype(np.float64),
            self.parents,
            self.radii.astype(np.float64),
            self.joined,
            np.zeros(len(self), dtype=np.bool_),
        )

    def save(self, path: Path) -> None:
        """Write the lines, whole or not at all."""
        with atomic_output(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **{part.name: getattr(self, part.name) for part in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """The lines of a file."""
        with np.load(path) as file:
            return cls(*(file[part.name] for part in fields(cls)))


def trace_block(
    probability: NDArray[np.uint8],
    start: Size,
    core: Slices,
    size: Size,
    options: TraceOptions,
    scale: VoxelScale,
) -> BlockLines:
    """The centre lines in the core of a window.

    Args:
        probability: (Z, Y, X) uint8, the window.
        start: z, y, x of its first voxel in the volume.
        core: the core in the window.
        size: (Z, Y, X) of the volume.
        options: the tracer reads `threshold`, `min_length` and `gap`.
        scale: the voxel's edges.
    """
    foreground = find_foreground(
        probability,
        threshold=options.threshold,
        gap=options.gap,
        min_voxels=max(2, int(options.min_length)),
        scale=scale,
        middle=(np.array(size) - 1) / 2 - np.array(start),
    )
    if foreground.n_components == 0:
        return BlockLines.empty()
    somata = find_somata(foreground) or find_somata(foreground.optical())
    root = somata[0].voxel if somata else None
    lines = find_paths(foreground, root, min_length=options.min_length, progress=silent).skeleton
    return _cropped(lines, foreground, somata, probability, start, core)


def _cropped(
    lines: Skeleton,
    foreground: Foreground,
    somata: tuple[Soma, ...],
    probability: NDArray[np.uint8],
    start: Size,
    core: Slices,
) -> BlockLines:
    """The points in the core, with the links that its faces cut as ports."""
    voxels = np.rint(lines.points).astype(np.int64)
    low, high = (np.array([getattr(s, end) for s in core]) for end in ("start", "stop"))
    kept = np.asarray(((voxels >= low) & (voxels < high)).all(axis=1))
    if not kept.any():
        return BlockLines.empty()
    above = parents_or_self(lines.parents)
    cut = np.flatnonzero(kept != kept[above])
    inner, outer = np.where(kept[cut], cut, above[cut]), np.where(kept[cut], above[cut], cut)
    number = np.cumsum(kept) - 1
    parents = np.where((lines.parents >= 0) & kept[above], number[above], -1)[kept]
    points = centre(lines, foreground).points
    count = int(kept.sum())
    bare = Tree(
        points[kept][:, ::-1], lines.radii[kept], np.full(count, -1),
        np.zeros(count, dtype=np.int64),
    )  # fmt: skip
    centres, sizes = _somata_beside(somata, foreground, low, high)
    shift = np.array(start)
    return BlockLines(
        voxels=(voxels[kept] + shift).astype(np.int32),
        points=(points[kept] + shift).astype(np.float32),
        parents=parents.astype(np.int64),
        radii=lines.radii[kept].astype(np.float32),
        lateral=lateral_radii(bare, foreground).astype(np.float32),
        joined=lines.joined[kept] & (parents >= 0),
        probability=probability[tuple(voxels[kept].T)],
        port=number[inner],
        beyond=(voxels[outer] + shift).astype(np.int32),
        port_joined=lines.joined[cut],
        soma_centre=(centres + shift).astype(np.int32),
        soma_size=sizes,
    )


def _somata_beside(
    somata: tuple[Soma, ...], foreground: Foreground, low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:  # fmt: skip
    """Centres (S, 3) and sizes (S, 3) of the somata in a core from `low` to `high` or beside it."""
    bodies = [soma.body(foreground) for soma in somata]
    centres = np.array([body.centre for body in bodies], dtype=np.int64).reshape(-1, 3)
    sizes = np.array([(b.radius, b.lateral, b.axis) for b in bodies]).reshape(-1, 3)
    beside = ((centres >= low - _SOMA_MARGIN) & (centres < high + _SOMA_MARGIN)).all(axis=1)
    return centres[beside], sizes[beside]
