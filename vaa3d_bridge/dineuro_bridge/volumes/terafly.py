"""Vaa3D's TeraFly: a folder of levels, each a grid of tiles, of which a box opens its own.

A tile without a file is 0, and the header tells how many there are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadFile, BadVolume
from dineuro_bridge.scale import Spacing
from dineuro_bridge.volumes import tiff, v3draw
from dineuro_bridge.volumes.pyramid import coarser_spacing, level_text, sizes_text
from dineuro_bridge.volumes.source import DEFAULT_READING, Format, Reading, Source
from dineuro_bridge.volumes.terafly_grid import (
    Grid,
    Triple,
    find_levels,
    find_tiles,
    grid_by_sizes,
    grid_of,
    has_levels,
    read_mdata,
)
from dineuro_bridge.volumes.terms import Roi
from dineuro_bridge.volumes.volume import Header


class TeraflySource(Source):
    """An opened folder of TeraFly; each tile is opened when it is read.

    Args:
        path: of the folder that holds the levels.
        how: how it is to be understood; nothing of it concerns this format.

    Raises:
        BadFile: no tiles, a whole row of tiles that is missing, or a damaged tile.
        BadVolume: tiles that differ in sample type or channels.
        UnsupportedFormat: folders of channels or of time points, or ordered by x before y.
    """

    def __init__(self, path: Path | str, how: Reading = DEFAULT_READING) -> None:  # noqa: ARG002
        self._kind: tuple[int, np.dtype[Any], Path] | None = None
        self._grids: list[Grid] = []
        spacing: Spacing | None = None
        warnings = []
        for folder, size in find_levels(Path(path)):
            grid, own, doubt = self._grid(folder, size)
            if not self._grids:
                spacing = own
                if doubt is not None:
                    warnings.append(f"mdata.bin {doubt}: the voxel size is unknown")
            self._grids.append(grid)
            with self._tile(grid, min(grid.tiles)) as tile:
                channels, dtype = tile.shape[0], tile.dtype
        shapes = tuple((channels, *grid.size) for grid in self._grids)
        details = {}
        for at, (grid, shape) in enumerate(zip(self._grids, shapes, strict=True)):
            text = f"{len(grid.tiles)} tiles of at most {sizes_text(grid.largest[::-1])}"
            own = coarser_spacing(spacing, shapes[0], shape)
            details[f"level {at}"] = level_text(shape, text, own)
        lacks = [
            f"{grid.count - len(grid.tiles)} of {grid.count} at level {at}"
            for at, grid in enumerate(self._grids)
            if len(grid.tiles) < grid.count
        ]
        if lacks:
            warnings.append(f"tiles are missing, and their voxels are 0: {', '.join(lacks)}")
        header = Header("terafly", shapes[0], dtype, spacing, details, tuple(warnings))
        super().__init__(path, header, shapes)

    def _grid(self, folder: Path, size: Triple) -> tuple[Grid, Spacing | None, str | None]:
        """The grid of a level, its voxel size, and why mdata.bin is not used."""
        tiles = find_tiles(folder)
        stated = read_mdata(folder)
        if not isinstance(stated, str):
            grid = grid_of(folder, tiles, stated)
            if grid is not None:
                return grid, stated.spacing, None
            stated = "does not know all tiles"
        return grid_by_sizes(folder, tiles, size, self._size_of), None, stated

    def _size_of(self, place: Path) -> Triple:
        with self._opened(place) as tile:
            return tile.shape[1:]

    def _opened(self, place: Path) -> Source:
        """A tile, whose sample type and channels must be those of the first."""
        tile = _open_tile(place)
        channels, dtype, first = self._kind = self._kind or (tile.shape[0], tile.dtype, place)
        if (tile.shape[0], tile.dtype) != (channels, dtype):
            tile.close()
            raise BadVolume(
                f"{place}: has {tile.shape[0]} channel(s) of {tile.dtype}, and {first.name} has "
                f"{channels} of {dtype}: all tiles are alike"
            )
        return tile

    def _tile(self, grid: Grid, place: Triple) -> Source:
        """A tile, which must have the size of its place."""
        tile = self._opened(grid.folder / grid.tiles[place])
        low, high = grid.ends(place)
        expected = tuple(b - a for a, b in zip(low, high, strict=True))
        if tile.shape[1:] != expected:
            tile.close()
            raise BadFile(
                f"{tile.path}: has {sizes_text(tile.shape[:0:-1])} voxels, and its place has "
                f"{sizes_text(expected[::-1])}: it was cut off, or belongs elsewhere"
            )
        return tile

    def is_stored(self, box: Roi) -> bool:
        """Whether a tile of the box has a file."""
        x0, y0, z0, x1, y1, z1 = box
        grid = self._grids[0]
        return any(place in grid.tiles for place in grid.places((z0, y0, x0), (z1, y1, x1)))

    def _read(self, box: Roi, level: int) -> NDArray[Any]:
        x0, y0, z0, x1, y1, z1 = box
        grid = self._grids[level]
        voxels = np.zeros((self.levels[level][0], z1 - z0, y1 - y0, x1 - x0), self.dtype)
        for place in grid.places((z0, y0, x0), (z1, y1, x1)):
            if place not in grid.tiles:
                continue
            (tz, ty, tx), (uz, uy, ux) = grid.ends(place)
            az, ay, ax = max(z0, tz), max(y0, ty), max(x0, tx)
            bz, by, bx = min(z1, uz), min(y1, uy), min(x1, ux)
            with self._tile(grid, place) as tile:
                part = tile.read((ax - tx, ay - ty, az - tz, bx - tx, by - ty, bz - tz))
                voxels[:, az - z0 : bz - z0, ay - y0 : by - y0, ax - x0 : bx - x0] = part
        return voxels


def _open_tile(place: Path) -> Source:
    each = tiff.FORMAT if place.suffix.lower() in tiff.FORMAT.suffixes else v3draw.FORMAT
    return each.open(place, DEFAULT_READING)


FORMAT = Format(
    name="terafly",
    suffixes=(".terafly",),
    sniff=lambda path, _: has_levels(path),
    open=TeraflySource,
    holds_spacing=True,
    folder=True,
    from_strangers=False,
    extra="server",
)
