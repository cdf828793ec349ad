"""Which windows of a volume the network has to look at, and how much each counts where.

The volume is gone through in layers of slices. In each layer a grid of overlapping windows covers
the box that holds anything brighter than the dark end of the scale; of each window only the part
that holds something is looked at, and nothing of an empty one. The weights of the grid's windows
sum to 1 at every place, so that no volume of weights is needed; where a window was cut down there
is nothing to weigh.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Edge of the cells (voxels, in the plane) of which it is known whether they hold anything.
CELL = 8
#: Slices around possible signal that are predicted too; in the plane it is one cell.
_AROUND = 4

Weights = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """How the volume is cut.

    Attributes:
        shape: (Z, Y, X) of the volume.
        predicted: slices of a layer.
        size: rows and columns of a window at most.
        step: rows and columns of a window are multiples of it.
        overlap: of windows, in voxels.
        overlap_slices: of layers.
    """

    shape: tuple[int, int, int]
    predicted: int
    size: int
    step: int
    overlap: int
    overlap_slices: int


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A part of a window: its corner, and the weights of its rows and columns."""

    y: int
    x: int
    rows: Weights
    columns: Weights

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.rows), len(self.columns)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Tiles that predict the same slices.

    Attributes:
        start: first slice predicted; below 0 where the volume is thinner than a layer.
        weights: (predicted,) of the slices.
        tiles: those of one size follow each other.
    """

    start: int
    weights: Weights
    tiles: tuple[Tile, ...]


def occupied_cells(volume: NDArray[Any], faintest: float) -> NDArray[np.bool_]:
    """(Z, Y / CELL, X / CELL) which cells of a slice hold anything above `faintest`."""
    depth, height, width = volume.shape
    rows, columns = -(-height // CELL), -(-width // CELL)
    cells = np.zeros((depth, rows, columns), dtype=np.bool_)
    padded = np.zeros((rows * CELL, columns * CELL), dtype=np.bool_)
    for z in range(depth):
        np.greater(volume[z], faintest, out=padded[:height, :width])
        across = padded.reshape(rows * CELL, columns, CELL).any(axis=2)
        cells[z] = across.reshape(rows, CELL, columns).any(axis=1)
    return cells


def plan(cells: NDArray[np.bool_], grid: Grid) -> Iterator[Layer]:
    """The layers that hold anything, from the first slice on.

    Args:
        cells: of `occupied_cells`; it may have fewer slices than the grid, evenly spaced.
        grid: how to cut.
    """
    depth = grid.shape[0]
    between = (depth - 1) // (len(cells) - 1) if len(cells) > 1 else 1
    for start, weights in axis_windows(0, depth, grid.predicted, grid.overlap_slices):
        low = max(0, start - _AROUND) // between
        high = -(-min(depth, start + grid.predicted + _AROUND) // between) + (between > 1)
        here: NDArray[np.bool_] = np.logical_or.reduce(cells[low:high], axis=0)
        if not here.any():
            continue
        spans = []
        for axis in (0, 1):
            at = np.flatnonzero(np.logical_or.reduce(here, axis=1 - axis))
            first, last = max(0, int(at[0]) - 1) * CELL, (int(at[-1]) + 2) * CELL
            last = min(grid.shape[axis + 1], last)
            size = min(grid.size, -(-(last - first) // grid.step) * grid.step)
            spans.append(axis_windows(first, last, size, grid.overlap))
        tiles = [_tile(here, row, column, grid.step) for row in spans[0] for column in spans[1]]
        found = sorted((tile for tile in tiles if tile is not None), key=lambda tile: tile.size)
        yield Layer(start, weights, tuple(found))


def axis_windows(low: int, high: int, size: int, overlap: int) -> list[tuple[int, Weights]]:
    """Windows of one size along an axis that cover low .. high.

    Returns:
        (start, weights (size,)) of each. The weights fade over the overlap, and those of all
        windows sum to 1 at every place from low to high.
    """
    length = high - low
    if length <= size:
        return [(low + (length - size) // 2, np.ones(size, dtype=np.float32))]
    step = max(1, size - overlap)
    count = -(-(length - size) // step) + 1
    starts = np.rint(np.linspace(low, high - size, count)).astype(int)
    place = np.arange(size)
    ramp = np.minimum(np.minimum(place, place[::-1]) + 1, max(overlap, 1)).astype(np.float64)
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
    """The part of a window that holds anything, widened to a multiple of `step`."""
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
