"""The plan of a segmentation: the tiles to predict, and their weights in the blend.

A volume is processed in layers of slices. In each layer a grid of overlapping windows covers the
bounding box of all voxels that may hold signal. A tile is the part of a window that may hold
signal; a window without signal has no tile. The weights of the grid's windows sum to 1 at every
voxel, so that no volume of weights is needed. The parts outside the tiles are empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Edge in voxels of the square cells of a slice that are tested for signal.
CELL = 8
#: Slices around possible signal that are predicted as well; in the plane it is one cell.
_AROUND = 4

Weights = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """How a volume is cut into layers and windows.

    Attributes:
        shape: (Z, Y, X) of the volume.
        predicted: slices of a layer.
        size: the largest number of rows and of columns of a window.
        step: the rows and columns of a tile are multiples of this number.
        rows, columns: of a window that covers the whole volume, see `Geometry.fitting`.
        overlap: overlap of windows in voxels.
        overlap_slices: overlap of layers in slices.
    """

    shape: tuple[int, int, int]
    predicted: int
    size: int
    step: int
    rows: int
    columns: int
    overlap: int
    overlap_slices: int


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A part of a window.

    Attributes:
        y, x: its first row and column in the volume; either may lie outside.
        rows, columns: (rows,) and (columns,), the factors of the weight of each voxel.
    """

    y: int
    x: int
    rows: Weights
    columns: Weights

    @property
    def size(self) -> tuple[int, int]:
        """The number of rows and of columns."""
        return len(self.rows), len(self.columns)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Tiles that predict the same slices.

    Attributes:
        start: the first predicted slice; below 0 where the volume is thinner than a layer.
        weights: (predicted,), the weights of the slices.
        tiles: sorted by size, so that tiles of one size form a batch.
    """

    start: int
    weights: Weights
    tiles: tuple[Tile, ...]


def occupied_cells(volume: NDArray[Any], faintest: float) -> NDArray[np.bool_]:
    """Which cells hold a voxel above `faintest`.

    Args:
        volume: (Z, Y, X).
        faintest: an intensity.

    Returns:
        (Z, Y / CELL, X / CELL) bool, rounded up.
    """
    depth, height, width = volume.shape
    rows, columns = -(-height // CELL), -(-width // CELL)
    cells = np.zeros((depth, rows, columns), dtype=np.bool_)
    padded = np.zeros((rows * CELL, columns * CELL), dtype=np.bool_)
    for z in range(depth):
        np.greater(volume[z], faintest, out=padded[:height, :width])
        row_cells = padded.reshape(rows * CELL, columns, CELL).any(axis=2)
        cells[z] = row_cells.reshape(rows, CELL, columns).any(axis=1)
    return cells


def plan(cells: NDArray[np.bool_], grid: Grid) -> Iterator[Layer]:
    """The layers that may hold signal, in the order of their slices.

    Args:
        cells: the result of `occupied_cells`; it may have fewer slices than the grid, if they are
            evenly spaced.
        grid: how the volume is cut.
    """
    for start, weights, slices in layers(grid, len(cells)):
        here: NDArray[np.bool_] = np.logical_or.reduce(cells[slices], axis=0)
        if here.any():
            yield Layer(start, weights, tuple(tiles_of(here, grid)))


def layers(grid: Grid, n_slices: int) -> Iterator[tuple[int, Weights, slice]]:
    """All layers of a volume of `n_slices`, which the grid may interpolate.

    Returns:
        Of each, the first predicted slice, the weights, and the slices of the volume whose signal
        counts.
    """
    depth = grid.shape[0]
    between = (depth - 1) // (n_slices - 1) if n_slices > 1 else 1
    for start, weights in axis_windows(0, depth, grid.predicted, grid.overlap_slices):
        low = max(0, start - _AROUND) // between
        high = -(-min(depth, start + grid.predicted + _AROUND) // between) + (between > 1)
        yield start, weights, slice(low, high)


def tiles_of(
    here: NDArray[np.bool_], grid: Grid, near: tuple[range, range] | None = None
) -> list[Tile]:
    """The tiles of a layer, those of one size side by side.

    Args:
        here: (rows, columns) of cells, of which one at least may hold signal.
        grid: how the volume is cut.
        near: rows and columns of voxels; tiles of windows without any of them are left out. All
            others are the same as without it, in the same order.
    """
    spans = []
    for axis, whole in enumerate((grid.rows, grid.columns)):
        at = np.flatnonzero(np.logical_or.reduce(here, axis=1 - axis))
        first, last = max(0, int(at[0]) - 1) * CELL, (int(at[-1]) + 2) * CELL
        last = min(grid.shape[axis + 1], last)
        size = min(grid.size, whole, -(-(last - first) // grid.step) * grid.step)
        windows = axis_windows(first, last, size, grid.overlap)
        if near is not None:
            windows = [
                (start, weights)
                for start, weights in windows
                if start < near[axis].stop and start + size > near[axis].start
            ]
        spans.append(windows)
    tiles = [_tile(here, row, column, grid.step) for row in spans[0] for column in spans[1]]
    return sorted((tile for tile in tiles if tile is not None), key=lambda tile: tile.size)


def axis_windows(low: int, high: int, size: int, overlap: int) -> list[tuple[int, Weights]]:
    """Windows of one size along an axis that cover the range from `low` to `high`.

    Args:
        low: the first place of the range.
        high: the place after its last one.
        size: length of a window.
        overlap: the least overlap of neighbouring windows.

    Returns:
        The start and the weights (size,) of every window. The weights fade over the overlap and sum
        to 1 over the windows at every place of the range.
    """
    length = high - low
    if length <= size:
        return [(low + (length - size) // 2, np.ones(size, dtype=np.float32))]
    step = max(1, size - overlap)
    count = -(-(length - size) // step) + 1
    starts = np.rint(np.linspace(low, high - size, count)).astype(int)
    index = np.arange(size)
    ramp = np.minimum(np.minimum(index, index[::-1]) + 1, max(overlap, 1)).astype(np.float64)
    total = np.zeros(length)
    for start in starts:
        total[start - low : start - low + size] += ramp
    return [
        (int(start), (ramp / total[start - low : start - low + size]).astype(np.float32))
        for start in starts
    ]


def _tile(
    cells: NDArray[np.bool_], row: tuple[int, Weights], column: tuple[int, Weights], step: int
) -> Tile | None:
    """The part of a window that may hold signal, widened to a multiple of `step`.

    Args:
        cells: (rows, columns) of cells; which ones may hold signal.
        row: start and weights of the window's rows.
        column: start and weights of the window's columns.
        step: see `Grid`.

    Returns:
        The tile; None where the window holds no signal.
    """
    windows = (row, column)
    first = [max(0, start) // CELL for start, _ in windows]
    last = [-(-(start + len(weights)) // CELL) for start, weights in windows]
    inside = cells[first[0] : last[0], first[1] : last[1]]
    if not inside.any():
        return None
    parts = []
    for axis, (start, weights) in enumerate(windows):
        at = np.flatnonzero(inside.any(axis=1 - axis)) + first[axis]
        low, high = (int(at[0]) - 1) * CELL - start, (int(at[-1]) + 2) * CELL - start
        low, high = max(0, low), min(len(weights), high)
        size = min(len(weights), -(-(high - low) // step) * step)
        begin = min(max(0, (low + high - size) // 2), len(weights) - size)
        parts.append((start + begin, weights[begin : begin + size]))
    (y, rows), (x, columns) = parts
    return Tile(y, x, rows, columns)
