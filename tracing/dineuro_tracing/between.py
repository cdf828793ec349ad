"""The cheapest path between two places, for a person who joins or extends a neurite.

As in the tracer, a path is cheap where the neurite is deep and bright. It may cross the background
too, at a price, because a person asks for a path where the tracer made none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, uniform_filter1d

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.scale import CUBES, VoxelScale
from dineuro_tracing.kernels import Grid, geodesic

#: The most voxels of the box that is searched.
MOST_VOXELS = 2**23
#: The box reaches beyond both places by so many voxels, and by this share of their distance.
_MARGIN, _MARGIN_SHARE = 12, 0.5
#: Speed in the background; where the probability is full and the depth is 1 it is about 1.
_BACKGROUND = 0.1
#: Distance of the points of a path (finest voxels), and the points over which it is smoothed.
_STEP, _SMOOTH = 2.0, 5
#: The most points of a path.
_MOST_POINTS = 1000

Place = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Between:
    """A path.

    Attributes:
        points: (N, 4) float64, x, y, z in voxels and the radius in finest voxels; the first and the
            last lie at the two places.
        supported: 0..1, the share of its length whose probability reaches the threshold.
    """

    points: NDArray[np.float64]
    supported: float


def path_between(
    probability: NDArray[np.uint8],
    start: Place,
    end: Place,
    *,
    threshold: int,
    scale: VoxelScale = CUBES,
) -> Between:
    """The cheapest path from one place to another.

    Args:
        probability: (Z, Y, X) uint8.
        start: x, y, z in voxels.
        end: x, y, z in voxels.
        threshold: least probability of a neurite.
        scale: the voxel's edges.

    Raises:
        BadParameter: a place lies outside the volume, or both are too far apart.
    """
    begin, finish = (_voxel(place, probability.shape) for place in (start, end))
    box = _box(begin, finish, probability.shape)
    part = np.ascontiguousarray(probability[box])
    origin = np.array([one.start for one in box])
    strong = part >= threshold
    # Where nothing is strong, or all is, no border gives a depth.
    mixed = strong.any() and not strong.all()
    depth = distance_transform_edt(strong, sampling=scale.edges) if mixed else strong * 1.0
    speed = _BACKGROUND + part / np.float32(255) * np.maximum(depth, 0.5)
    slowness = (1 / speed**2).astype(np.float32).reshape(-1)
    numbers = np.arange(part.size, dtype=np.int32).reshape(part.shape)
    coords = np.stack(np.unravel_index(numbers.reshape(-1), part.shape), axis=1).astype(np.int32)
    grid = Grid(numbers, coords, scale.zyx.astype(np.float32), np.zeros(part.size, np.float32))
    first, last = (int(numbers[tuple(place - origin)]) for place in (begin, finish))
    before = geodesic(grid, slowness, np.array([first], dtype=np.int32), last).before
    voxels = [last]
    while before[voxels[-1]] >= 0:
        voxels.append(int(before[voxels[-1]]))
    line = np.array(voxels[::-1])
    places = (coords[line] + origin)[:, ::-1].astype(np.float64)
    radii = np.maximum(depth.reshape(-1)[line] - 0.5, 0.5)
    supported = float(strong.reshape(-1)[line].mean())
    return Between(_spaced(places, radii, start, end, scale), supported)


def _voxel(place: Place, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """(3,) z, y, x of the voxel at a place."""
    voxel = np.rint(place[::-1]).astype(np.int64)
    if (voxel < 0).any() or (voxel >= shape).any():
        text = ", ".join(f"{value:g}" for value in place)
        raise BadParameter(f"({text}): lies outside the volume, or the region that was traced")
    return voxel


def _box(
    begin: NDArray[np.int64], end: NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[slice, ...]:
    """The box around two voxels; a wide margin shrinks before the box is too large."""
    margin = int(_MARGIN + _MARGIN_SHARE * np.abs(begin - end).max())
    while margin >= _MARGIN:
        low = np.maximum(np.minimum(begin, end) - margin, 0)
        high = np.minimum(np.maximum(begin, end) + margin + 1, shape)
        if int(np.prod(high - low)) <= MOST_VOXELS:
            return tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
        margin = margin * 2 // 3
    raise BadParameter("the two places are too far apart: go there in shorter steps")


def _spaced(
    places: NDArray[np.float64],
    radii: NDArray[np.float64],
    start: Place,
    end: Place,
    scale: VoxelScale,
) -> NDArray[np.float64]:
    """The points of a line of voxels, smoothed, and at equal distances between its two ends."""
    line = np.column_stack([places, radii])
    if len(line) > 2:
        line = uniform_filter1d(line, _SMOOTH, axis=0, mode="nearest")
    line[0, :3], line[-1, :3] = start, end
    if len(line) == 1:
        line = np.vstack([[*start, line[0, 3]], [*end, line[0, 3]]])
    steps = np.linalg.norm(np.diff(scale.finest_xyz(line[:, :3]), axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    count = int(np.clip(np.rint(along[-1] / _STEP), 1, _MOST_POINTS - 1)) + 1
    at = np.linspace(0, along[-1], count)
    return np.column_stack([np.interp(at, along, line[:, axis]) for axis in range(4)])
