"""The folders of Vaa3D's TeraFly: which levels and tiles exist, and where each tile lies.

A level is a folder `RES(YxXxZ)`, named by its size in voxels. Its tiles are `Y/Y_X/Y_X_Z.tif`,
named by their offsets in 0.1 µm. `mdata.bin` states their places in voxels; it is read in version
2, as Vaa3D writes it, and only where it agrees with the tiles. Otherwise their own sizes count.
"""

from __future__ import annotations

import os
import re
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import isfinite, prod
from pathlib import Path

from dineuro_bridge.errors import BadFile, UnsupportedFormat
from dineuro_bridge.scale import Spacing

#: z, y, x, as everywhere in this module.
Triple = tuple[int, int, int]

_OFFSET = r"(-?\d{1,12})"
_LEVEL = re.compile(r"RES\((\d{1,9})x(\d{1,9})x(\d{1,9})\)")
_ROW = re.compile(_OFFSET)
_COLUMN = re.compile(f"{_OFFSET}_{_OFFSET}")
_TILE = re.compile(rf"{_OFFSET}_{_OFFSET}_{_OFFSET}\.(?:tiff?|v3draw|raw)", re.IGNORECASE)
#: How folders of a channel or a time point begin.
_OTHER_AXES = ("CH_", "T_")
_MDATA = "mdata.bin"
_VERSION = 2.0
_MOST_MDATA_BYTES = 2**28
_HEAD = struct.Struct("<f3i9f3I2H")
_BLOCK = struct.Struct("<5I2iH")
_NAME_LENGTH, _PLACE, _SAMPLE = struct.Struct("<H"), struct.Struct("<Ii"), struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Grid:
    """The tiles of one level.

    Attributes:
        folder: of the level.
        edges: for z, y and x, the first voxel of each tile and the end of the last.
        tiles: the path in the folder of each tile that exists, by its z, y, x in the grid.
    """

    folder: Path
    edges: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    tiles: dict[Triple, str]

    @property
    def size(self) -> Triple:
        """Of the level in voxels."""
        z, y, x = (edges[-1] for edges in self.edges)
        return z, y, x

    @property
    def count(self) -> int:
        """Of the places for tiles, whether a tile is there or not."""
        return prod(len(edges) - 1 for edges in self.edges)

    @property
    def largest(self) -> Triple:
        """Voxels of the largest tile along each axis."""
        z, y, x = (max(b - a for a, b in pairwise(e)) for e in self.edges)
        return z, y, x

    def ends(self, place: Triple) -> tuple[Triple, Triple]:
        """The first voxel of a tile, and the one behind its last."""
        (z, y, x), (fz, fy, fx) = place, self.edges
        return (fz[z], fy[y], fx[x]), (fz[z + 1], fy[y + 1], fx[x + 1])

    def places(self, low: Triple, high: Triple) -> Iterator[Triple]:
        """Yield the places of the tiles that have a voxel in a half-open box."""
        z, y, x = (
            range(bisect_right(edges, first) - 1, bisect_left(edges, last))
            for edges, first, last in zip(self.edges, low, high, strict=True)
        )
        yield from ((a, b, c) for a in z for b in y for c in x)


@dataclass(frozen=True, slots=True)
class Stated:
    """What `mdata.bin` states.

    Attributes:
        spacing: (z, y, x) in µm of this level.
        lengths: for z, y and x, the length of a tile by its first voxel.
        firsts: for z, y and x, the first voxel of a tile by the offset in its name.
    """

    spacing: Spacing
    lengths: tuple[dict[int, int], dict[int, int], dict[int, int]]
    firsts: tuple[dict[int, int], dict[int, int], dict[int, int]]


def has_levels(path: Path) -> bool:
    """Whether a folder has a level of TeraFly; not if it may not be listed."""
    try:
        with os.scandir(path) as entries:
            return any(_LEVEL.fullmatch(entry.name) and entry.is_dir() for entry in entries)
    except OSError:
        return False


def find_levels(path: Path) -> list[tuple[Path, Triple]]:
    """The folder and the size of each level, the finest first.

    Raises:
        BadFile: no level, or one whose name states an empty size.
    """
    levels = []
    for folder in path.iterdir():
        match = _LEVEL.fullmatch(folder.name)
        if match and folder.is_dir():
            y, x, z = map(int, match.groups())
            if min(z, y, x) < 1:
                raise BadFile(f"{folder}: its name states an empty level")
            levels.append((folder, (z, y, x)))
    if not levels:
        raise BadFile(f"{path}: holds no folder RES(YxXxZ) of TeraFly")
    return sorted(levels, key=lambda level: (-prod(level[1]), level[0].name))


def find_tiles(folder: Path) -> dict[Triple, str]:
    """The path in a level's folder of each tile, by the offsets in its name.

    Raises:
        BadFile: no tile, two tiles for one place, or a tile in the folder of another place.
        UnsupportedFormat: folders of channels or of time points.
    """
    tiles: dict[Triple, str] = {}
    for row in _entries(folder):
        if row.startswith(_OTHER_AXES):
            raise UnsupportedFormat(f"{folder / row}: channels and time points are not read")
        if not _ROW.fullmatch(row) or not (folder / row).is_dir():
            continue
        for column in _entries(folder / row):
            inside = _COLUMN.fullmatch(column)
            if not inside or not (folder / row / column).is_dir():
                continue
            for name in _entries(folder / row / column):
                match = _TILE.fullmatch(name)
                if not match:
                    continue
                y, x, z = map(int, match.groups())
                tile = f"{row}/{column}/{name}"
                if (y, x) != tuple(map(int, inside.groups())) or y != int(row):
                    raise BadFile(f"{folder / tile}: lies in the folder of another place")
                if (z, y, x) in tiles:
                    raise BadFile(f"{folder / tile}: its place has the tile {tiles[z, y, x]} too")
                tiles[z, y, x] = tile
    if not tiles:
        raise BadFile(f"{folder}: holds no tile Y/Y_X/Y_X_Z.tif (copied in part?)")
    return tiles


def _entries(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def read_mdata(folder: Path) -> Stated | str:
    """What a level's `mdata.bin` states, or why it is not used.

    Raises:
        UnsupportedFormat: the folders are ordered by x before y.
    """
    file = folder / _MDATA
    if not file.is_file():
        return "is missing"
    if file.stat().st_size > _MOST_MDATA_BYTES:
        return "is too long"
    try:
        return _parsed(file, file.read_bytes())
    except (struct.error, UnicodeDecodeError):
        return "is damaged"


def _parsed(file: Path, data: bytes) -> Stated | str:
    # The voxel size and the order of the axes come twice: as on the disk, and as y, x, z.
    version, a, b, c, _, _, _, vy, vx, vz, _, _, _, y, x, z, rows, columns = _HEAD.unpack_from(data)
    if version != _VERSION:
        return "has another version than 2"
    if (abs(a), abs(b), c) == (2, 1, 3):
        raise UnsupportedFormat(f"{file}: its folders are X/X_Y: convert it with TeraFly to Y/Y_X")
    if (abs(a), abs(b), c) != (1, 2, 3):
        return "is damaged"
    at = _HEAD.size
    lengths: tuple[dict[int, int], ...] = ({}, {}, {})
    firsts: tuple[dict[int, int], ...] = ({}, {}, {})
    agrees = True
    for _ in range(rows * columns):
        height, width, _, files, _, top, left, count = _BLOCK.unpack_from(data, at)
        at += _BLOCK.size
        inside = _COLUMN.fullmatch(_name(data, at, count).split("/")[-1])
        at += count
        agrees &= lengths[1].setdefault(top, height) == height
        agrees &= lengths[2].setdefault(left, width) == width
        if inside is None:
            return "names no folders Y/Y_X"
        agrees &= firsts[1].setdefault(int(inside[1]), top) == top
        agrees &= firsts[2].setdefault(int(inside[2]), left) == left
        for _ in range(files):
            (count,) = _NAME_LENGTH.unpack_from(data, at)
            at += _NAME_LENGTH.size
            match = _TILE.fullmatch(_name(data, at, count))  # NULL.tif is a tile without a file
            depth, first = _PLACE.unpack_from(data, at + count)
            at += count + _PLACE.size
            agrees &= lengths[0].setdefault(first, depth) == depth
            if match:
                agrees &= firsts[0].setdefault(int(match[3]), first) == first
        _SAMPLE.unpack_from(data, at)
        at += _SAMPLE.size
    if at != len(data) or not agrees or not _is_gapless(lengths, (z, y, x)):
        return "is damaged, or of another layout"
    if not all(isfinite(step) and step for step in (vz, vy, vx)):
        return "states no voxel size"
    spacing = abs(vz), abs(vy), abs(vx)
    return Stated(spacing, (lengths[0], lengths[1], lengths[2]), (firsts[0], firsts[1], firsts[2]))


def _name(data: bytes, at: int, count: int) -> str:
    """A name that ends with a zero byte."""
    (name,) = struct.unpack_from(f"{count}s", data, at)
    return str(name.rstrip(b"\0").decode())


def _is_gapless(lengths: tuple[dict[int, int], ...], size: Triple) -> bool:
    """Whether the tiles follow each other from 0 to the size along each axis."""
    for along, end in zip(lengths, size, strict=True):
        at = 0
        while at < end and along.get(at, 0) > 0:
            at += along[at]
        if at != end or len(along) != sum(first < end for first in along):
            return False
    return True


def grid_of(folder: Path, tiles: dict[Triple, str], stated: Stated) -> Grid | None:
    """The grid as `mdata.bin` has it; None where it does not know a tile that exists."""
    edges = [(*sorted(along), sum(along.values())) for along in stated.lengths]
    places: dict[Triple, str] = {}
    for offsets, tile in tiles.items():
        firsts = [along.get(at) for along, at in zip(stated.firsts, offsets, strict=True)]
        if None in firsts:
            return None
        z, y, x = (along.index(first) for along, first in zip(edges, firsts, strict=True))
        places[z, y, x] = tile
    return Grid(folder, (edges[0], edges[1], edges[2]), places)


def grid_by_sizes(
    folder: Path, tiles: dict[Triple, str], size: Triple, size_of: Callable[[Path], Triple]
) -> Grid:
    """The grid by the sizes of tiles, which follow each other in the order of their offsets.

    Args:
        folder: of the level.
        tiles: as `find_tiles` returns them.
        size: as the folder's name states it.
        size_of: the size of a tile in voxels; called once or twice for each row and column.

    Raises:
        BadFile: the tiles do not fill the stated size, so a whole row of them is missing.
    """
    lengths: tuple[dict[int, int], ...] = ({}, {}, {})
    for offsets, tile in tiles.items():
        if any(at not in along for along, at in zip(lengths, offsets, strict=True)):
            for along, at, voxels in zip(lengths, offsets, size_of(folder / tile), strict=True):
                along.setdefault(at, voxels)
    orders = [sorted(along) for along in lengths]
    edges = [
        tuple(accumulate((along[at] for at in order), initial=0))
        for along, order in zip(lengths, orders, strict=True)
    ]
    for axis, ends, expected in zip("zyx", edges, size, strict=True):
        if ends[-1] < expected:
            raise BadFile(
                f"{folder}: its tiles have {ends[-1]} voxels along {axis}, and its name states "
                f"{expected}: tiles are missing or cut off, and mdata.bin does not tell which"
            )
    index = [{at: number for number, at in enumerate(order)} for order in orders]
    places = {(index[0][z], index[1][y], index[2][x]): t for (z, y, x), t in tiles.items()}
    return Grid(folder, (edges[0], edges[1], edges[2]), places)
