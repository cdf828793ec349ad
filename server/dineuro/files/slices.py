"""A volume as 8 bits in bricks, from which any plane along any axis is read in milliseconds.

A server cuts the slices of its page from this file. The worker writes it while the volume is in its
memory, so that the server never opens an upload. The file begins with the four bytes `DNS1`, the
length of a JSON record as uint32 (little-endian), and the record:

    {"low": …, "high": …, "window": [a, b],
     "levels": [{"shape": [z, y, x], "scale": [z, y, x], "brick": [z, y, x], "offset": bytes}, …]}

A level holds its bricks in the order of z, y, x; the voxels of a brick are in this order too. The
bricks at the ends of the axes are filled up with 0. A plane therefore touches few pages of the file
in every direction. In a plain array, a plane of constant x touches all of them.

A voxel of a further level is the brightest of its block of `scale` voxels: a mean would lose thin
neurites.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from dineuro.files.view import block_max
from dineuro_bridge.files import atomic_output, reading

Plane = Literal["xy", "xz", "yz"]
Shape = tuple[int, int, int]

MAGIC = b"DNS1"
#: Pixels of a tile's side.
TILE = 512
#: Voxels of a brick's longest edge.
_EDGE = 64
#: The most voxels of the finest level; a larger volume has only coarser ones.
_MOST = 2**32
#: The axis (0 is z) across each plane, and the two axes along it.
AXES: dict[Plane, Shape] = {"xy": (0, 1, 2), "xz": (1, 0, 2), "yz": (2, 0, 1)}
#: Percentiles of the intensity: black and white of the 8 bits, and of a first look at them.
_ENDS, _LOOK = (0.0, 99.99), (50.0, 99.9)


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a volume.

    Attributes:
        shape: (z, y, x) in its own voxels.
        scale: (z, y, x), the voxels of the volume along the edges of one of its voxels.
        brick: (z, y, x), the voxels of a brick.
        offset: the first byte of its bricks in the file.
    """

    shape: Shape
    scale: Shape
    brick: Shape
    offset: int

    @property
    def bricks(self) -> Shape:
        """(z, y, x), the number of bricks along each axis."""
        return _divided(self.shape, self.brick)

    @property
    def nbytes(self) -> int:
        """The size of its bricks."""
        return math.prod(self.bricks) * math.prod(self.brick)

    def holds(self, plane: Plane, place: Shape) -> bool:
        """Whether it has a tile; see `Slices.tile`."""
        across, *along = AXES[plane]
        tiles = [-(-self.shape[axis] // TILE) for axis in along]
        limits = {across: self.shape[across], **dict(zip(along, tiles, strict=True))}
        return all(0 <= place[axis] < limits[axis] for axis in range(3))


@dataclass(frozen=True, slots=True)
class Slices:
    """An opened file of slices.

    Attributes:
        path: the file.
        low, high: the intensities of the values 0 and 255.
        window: the values that are black and white at a first look.
        levels: the finest one first.
    """

    path: Path
    low: float
    high: float
    window: tuple[int, int]
    levels: tuple[Level, ...]

    def tile(self, level: int, plane: Plane, place: Shape) -> NDArray[np.uint8]:
        """(rows, columns) uint8 of a tile; smaller than `TILE` at the ends of the axes.

        Only the pages of the file that the tile lies on are read.

        Args:
            level: index of a level.
            plane: "xy" or "xz", whose columns run along x; or "yz", whose columns run along z.
            place: (z, y, x). Across the plane it is a voxel of the level, and along the two axes of
                the plane it counts tiles.

        Raises:
            IndexError: the level has no such tile.
            FileAccess: the file has been removed.
        """
        one = self.levels[level]
        if not one.holds(plane, place):
            raise IndexError(f"level {level} has no tile {place} of {plane}")
        across, *along = AXES[plane]
        index: list[Any] = [0] * 6
        index[across], index[3 + across] = divmod(place[across], one.brick[across])
        cut = list[slice]()
        for axis in along:
            begin, edge = place[axis] * TILE, one.brick[axis]
            end = min(begin + TILE, one.shape[axis])
            index[axis], index[3 + axis] = slice(begin // edge, -(-end // edge)), slice(None)
            cut.append(slice(begin % edge, begin % edge + end - begin))
        with reading(self.path):
            bricks = np.memmap(
                self.path, np.uint8, "r", one.offset, shape=(*one.bricks, *one.brick)
            )
        # Bricks along two axes, then voxels along the same two.
        part = np.asarray(bricks[tuple(index)]).swapaxes(1, 2)
        flat = part.reshape(part.shape[0] * part.shape[1], -1)[tuple(cut)]
        return np.ascontiguousarray(flat.T if plane == "yz" else flat)


def open_slices(path: Path) -> Slices:
    """The record of a file that `write_slices` wrote.

    Raises:
        FileAccess: the file cannot be read.
    """
    with reading(path), path.open("rb") as file:
        start = file.read(8)
        record = json.loads(file.read(struct.unpack("<4sI", start)[1]))
    levels = tuple(
        Level(tuple(one["shape"]), tuple(one["scale"]), tuple(one["brick"]), one["offset"])
        for one in record["levels"]
    )
    return Slices(path, record["low"], record["high"], tuple(record["window"]), levels)


def write_slices(path: Path, intensity: NDArray[Any]) -> None:
    """Write all levels of a volume, whole or not at all.

    Beside the volume, the memory holds one row of bricks at a time.

    Args:
        path: the file.
        intensity: (Z, Y, X), any real dtype; NaN is black.

    Raises:
        FileAccess: the place cannot be written to.
    """
    low, high, window = _range_of(intensity)
    levels = _levels(tuple(intensity.shape))
    with atomic_output(path) as temporary, temporary.open("wb") as file:
        file.write(_head(low, high, window, levels).ljust(levels[0].offset, b"\0"))
        for level in levels:
            _write_level(file, level, intensity, low, high)


def _range_of(intensity: NDArray[Any]) -> tuple[float, float, tuple[int, int]]:
    """Black and white of the 8 bits, and black and white of a first look among those."""
    # An odd step does not keep to one column.
    sample = intensity.flat[:: intensity.size // 2**20 | 1]
    sample = sample[np.isfinite(sample)] if np.isfinite(sample).any() else np.zeros(1)
    low, high, dark, bright = np.percentile(sample, (*_ENDS, *_LOOK)).tolist()
    if intensity.dtype == np.uint8 or high <= low:
        # No value of 8 bits is lost, not even a rare one.
        finite = np.isfinite(intensity)
        low = float(intensity.min(where=finite, initial=low))
        high = float(intensity.max(where=finite, initial=high))
    if high <= low:
        high = low + 1
    black, white = (round(255 * (value - low) / (high - low)) for value in (dark, bright))
    black = min(max(black, 0), 254)
    return low, high, (black, min(max(white, black + 1), 255))


def _levels(shape: Shape) -> tuple[Level, ...]:
    """The levels of a volume: each halves the axes that are longer than a tile."""
    levels, scale = list[Level](), (1, 1, 1)
    while True:
        size = _divided(shape, scale)
        if math.prod(size) <= _MOST:
            levels.append(Level(size, scale, _brick_of(size), 0))
        if max(size) <= TILE:
            break
        z, y, x = (s * 2 if n > TILE else s for n, s in zip(size, scale, strict=True))
        scale = (z, y, x)
    # The record says where the bricks begin, and its own length is not known before.
    offset, placed = 4096, list[Level]()
    for level in levels:
        placed.append(Level(level.shape, level.scale, level.brick, offset))
        offset += level.nbytes
    return tuple(placed)


def _brick_of(size: Shape) -> Shape:
    """The edges of the bricks of a level: as equal as possible, so that little is filled up."""
    counts = _divided(size, (_EDGE, _EDGE, _EDGE))
    return _divided(size, counts)


def _divided(shape: Shape, by: Shape) -> Shape:
    """The quotients, rounded up."""
    z, y, x = (-(-n // d) for n, d in zip(shape, by, strict=True))
    return z, y, x


def _head(low: float, high: float, window: tuple[int, int], levels: tuple[Level, ...]) -> bytes:
    record = {
        "low": low,
        "high": high,
        "window": window,
        "levels": [
            {"shape": one.shape, "scale": one.scale, "brick": one.brick, "offset": one.offset}
            for one in levels
        ],
    }
    text = json.dumps(record).encode()
    return MAGIC + struct.pack("<I", len(text)) + text


def _write_level(
    file: BinaryIO, level: Level, intensity: NDArray[Any], low: float, high: float
) -> None:
    """Write the bricks of a level, one row along x after the other."""
    dz, dy, dx = level.brick
    sz, sy, _ = level.scale
    n_z, n_y, n_x = level.bricks
    row = np.zeros((dz, dy, n_x * dx), dtype=np.uint8)
    for at in range(n_z * n_y):
        z, y = at // n_y * dz, at % n_y * dy
        source = intensity[z * sz : (z + dz) * sz, y * sy : (y + dy) * sy]
        part = _as_bytes(block_max(source, level.scale), low, high)
        row[:] = 0
        row[: part.shape[0], : part.shape[1], : part.shape[2]] = part
        bricks = row.reshape(dz, dy, n_x, dx).transpose(2, 0, 1, 3)
        file.write(np.ascontiguousarray(bricks).data)


def _as_bytes(voxels: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Intensities as 8 bits: `low` is 0 and `high` is 255."""
    if voxels.dtype.kind in "iu" and voxels.dtype.itemsize <= 2:
        limits = np.iinfo(voxels.dtype)
        steps = (np.arange(limits.min, limits.max + 1.0) - low) / (high - low)
        table = np.round(np.clip(steps, 0, 1) * 255).astype(np.uint8)
        return np.asarray(table[voxels.astype(np.int64) - limits.min])
    parts = (voxels.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return np.asarray(np.round(np.clip(np.nan_to_num(parts), 0, 1) * 255), dtype=np.uint8)
