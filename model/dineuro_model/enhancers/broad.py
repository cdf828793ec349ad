"""What is too broad for a neurite: glow, haze, edges of tissue, and the bodies of cells.

A neurite is narrow along at least two axes. In each plane along two axes a square therefore fits
into nothing of it: a morphological opening by the square removes the neurite from the plane. What
stays in one of the three planes is broad. The glow of a soma is a thin disk across z, and the edge
of tissue is a plane; both stay, although a cube does not fit into them.

Of the broad structures the compact, bright and sharp ones are cell bodies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cc3d
import edt
import numpy as np
from numpy.typing import NDArray

from dineuro_model.enhancers.windows import extreme_along, highest_within

Scale = tuple[float, float, float]
Floats = NDArray[np.float32]

#: Half of the square's edge (finest voxels): a neurite is narrower than 31 voxels.
_REACH = 15.0
#: A body has at least this share of the highest broad intensity within this distance (finest
#: voxels); a glow around a body has less.
_PEAK_SHARE, _PEAK_REACH = 0.5, 40.0
#: Bodies are searched in every so many rows and columns. What is found grows by this share of its
#: radius, as far as it is half as bright.
_STEP, _GROWTH = 4, 0.5
#: Fewest slices and samples of a body.
_FEWEST_SLICES, _FEWEST_SAMPLES = 3, 20
#: The ring between these distances (finest voxels) from a body is dark: this share of it has less
#: than this share of the body's intensity. A haze fades more slowly.
_RING, _DARK_SHARE, _DARK = (7.0, 11.0), 0.75, 0.2
#: The largest slice of a body has at most this many times the area of the disk that fits into it.
_COMPACT = 6.0
#: A body spans less than this share of the rows, and of the columns.
_SPAN = 0.7
#: The largest bodies that are examined.
_MOST_BODIES = 30


@dataclass(frozen=True, slots=True, eq=False)
class Broad:
    """The broad part of an image.

    Attributes:
        highest: (Z, Y, X) float32, what stays in any of the three planes, in the inner box.
        lateral: float32, what stays in the slices, in the rows and columns of `body_sample`.
    """

    highest: Floats
    lateral: Floats


def broad_reach(edge: float) -> int:
    """Half of the square's edge in voxels, along an axis with voxels of this edge."""
    return int(_REACH / edge)


def broad_part(
    values: Floats,
    scale: Scale,
    span: tuple[float, float] | None = None,
    size: tuple[int, ...] | None = None,
    inner: tuple[slice, slice, slice] | None = None,
) -> Broad:
    """The openings of an image (Z, Y, X) by squares in the three planes.

    A plane in which the image is smaller than the square does not count: a thin stack is as thick
    as its neurites.

    Args:
        values: float32; the openings are exact to 1/65535 of its span.
        scale: (z, y, x), a voxel's edges in finest voxels.
        span: the least and the greatest value of the volume that the image is a part of.
        size: (Z, Y, X) of that volume; None is the image itself.
        inner: the box in which all planes are wanted; None is the whole image.
    """
    low, high = span or (float(values.min()), float(values.max()))
    step = (high - low) / 65535 or 1.0
    whole = np.empty(values.shape, dtype=np.uint16)
    for into, slice_ in zip(whole, values, strict=True):  # a slice stays in the cache
        into[...] = (slice_ - np.float32(low)) * np.float32(1 / step)
    reach = [broad_reach(edge) for edge in scale]
    wide = [2 * r < n for r, n in zip(reach, size or values.shape, strict=True)]
    box = inner or (slice(None), slice(None), slice(None))
    lateral = np.zeros(values.shape, dtype=np.uint16)
    highest = lateral[box]
    for axes in ((1, 2), (0, 1), (0, 2)):
        if not all(wide[axis] for axis in axes):
            continue
        # A plane across the slices needs only the rows or columns of the box.
        apart = [box[a] if a not in axes and axes != (1, 2) else slice(None) for a in range(3)]
        opened = whole[tuple(apart)]
        for which in (np.minimum, np.maximum):
            for axis in axes:
                opened = extreme_along(which, opened, axis, reach[axis])
        lateral = opened if axes == (1, 2) else lateral
        rest = tuple(box[a] if apart[a] == slice(None) else slice(None) for a in range(3))
        highest = np.maximum(highest, opened[rest])
    return Broad(_as_float(highest, step, low), _as_float(body_sample(lateral), step, low))


def middle_level(values: Floats) -> float:
    """The median of the denoised image (Z, Y, X), from which the height of a body counts.

    It is 0 in an image of fewer rows or columns than any body.
    """
    sample = body_sample(values)
    return float(np.median(sample)) if sample.size else 0.0


def body_sample(values: NDArray[Any]) -> NDArray[Any]:
    """The rows and columns of an image (Z, Y, X) in which bodies are searched."""
    return values[:, _STEP // 2 :: _STEP, _STEP // 2 :: _STEP]


def find_bodies(
    values: Floats,
    lateral: Floats,
    level: float,
    scale: Scale,
    middle: float | None = None,
    size: tuple[int, ...] | None = None,
) -> NDArray[np.bool_]:
    """(Z, Y, X) bool, the voxels of cell bodies that are too broad for a neurite.

    A body is flat where the voxel size is unknown and the slices are far apart. Its slices decide.

    Args:
        values: (Z, Y, X), the denoised image.
        lateral: its broad part in the slices, see `Broad`.
        level: least intensity of a body above the ground, that of neurites.
        scale: (z, y, x), a voxel's edges in finest voxels.
        middle: the `middle_level` of the volume that the image is a part of. The part starts at a
            row and a column that are multiples of 4.
        size: (Z, Y, X) of that volume; None is the image itself.
    """
    found = np.zeros(values.shape, dtype=np.bool_)
    depth, height, width = size or values.shape
    if min(height, width) < 2 * _REACH or min(values.shape[1:]) < _STEP:
        return found
    ground = np.float32(middle_level(values) if middle is None else middle)
    coarse = lateral - ground
    start = _STEP // 2
    samples = (depth, *(len(range(start, n, _STEP)) for n in (height, width)))
    edges = (scale[0], scale[1] * _STEP, scale[2] * _STEP)
    if not (coarse >= level).any():
        return found
    z, y, x = (int(_PEAK_REACH / edge) for edge in edges)
    peak = highest_within(coarse, (z, y, x))
    core = (coarse >= level) & (coarse >= np.float32(_PEAK_SHARE) * peak)
    labels = cc3d.connected_components(core, connectivity=6)
    shapes = cc3d.statistics(labels)
    largest_first = np.argsort(-shapes["voxel_counts"][1:].astype(np.int64), kind="stable") + 1
    for label in largest_first[:_MOST_BODIES]:
        if shapes["voxel_counts"][label] < _FEWEST_SAMPLES:
            break
        around = _widened(shapes["bounding_boxes"][label], edges)
        body = labels[around] == label
        radius = _lateral_radius(body, edges)
        if not _is_compact(body, radius, samples, edges):
            continue
        fine = (around[0], *(slice(s.start * _STEP, s.stop * _STEP) for s in around[1:]))
        height = values[fine] - ground
        inside = np.float32(np.median(coarse[around][body]))
        whole = _distances(body, height.shape, scale) <= max(_GROWTH * radius, _STEP)
        whole &= height >= inside / 2
        away = edt.edt(~whole, anisotropy=scale, black_border=False)
        ring = height[(away > _RING[0]) & (away <= _RING[1])]
        if ring.size and np.quantile(ring, _DARK_SHARE) < _DARK * inside:
            found[fine] |= whole
    return found


def _as_float(whole: NDArray[np.uint16], step: float, low: float) -> Floats:
    """Whole steps above the lowest value -> values."""
    values = whole.astype(np.float32)
    values *= np.float32(step)
    values += np.float32(low)
    return values


def _widened(box: tuple[slice, slice, slice], edges: Scale) -> tuple[slice, slice, slice]:
    """A box of samples with room for the body's growth and what lies around."""
    size = max((s.stop - s.start) * edge for s, edge in zip(box[1:], edges[1:], strict=True))
    reach = _GROWTH * size / 2 + _RING[1]
    room = [int(reach / edge) + 1 for edge in edges]
    z, y, x = (slice(max(0, s.start - r), s.stop + r) for s, r in zip(box, room, strict=True))
    return z, y, x


def _lateral_radius(body: NDArray[np.bool_], edges: Scale) -> float:
    """The radius (finest voxels) of the disk that fits into the largest slice of a body."""
    largest = np.ascontiguousarray(body[body.sum(axis=(1, 2)).argmax()])
    return float(edt.edt(largest, anisotropy=edges[1:], black_border=True).max())


def _is_compact(
    body: NDArray[np.bool_], radius: float, shape: tuple[int, ...], edges: Scale
) -> bool:
    """Whether a body of samples is no line, no plane and no part of a larger structure."""
    slices, rows, columns = (np.flatnonzero(body.any(axis=a)) for a in ((1, 2), (0, 2), (0, 1)))
    if len(slices) < min(_FEWEST_SLICES, shape[0]):
        return False
    if len(rows) >= _SPAN * shape[1] or len(columns) >= _SPAN * shape[2]:
        return False
    area = int(body.sum(axis=(1, 2)).max()) * edges[1] * edges[2]
    return bool(area <= _COMPACT * np.pi * radius**2)


def _distances(body: NDArray[np.bool_], shape: tuple[int, ...], scale: Scale) -> Floats:
    """The distances (finest voxels) from a body of samples to all voxels of the shape."""
    full = body.repeat(_STEP, axis=1).repeat(_STEP, axis=2)[:, : shape[1], : shape[2]]
    full = np.pad(full, [(0, n - m) for n, m in zip(shape, full.shape, strict=True)], mode="edge")
    return np.asarray(edt.edt(~full, anisotropy=scale, black_border=False))
