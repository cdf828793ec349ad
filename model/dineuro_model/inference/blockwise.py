"""The network on a volume that is larger than the memory, part by part.

A map tells for each layer where the whole volume may hold signal. The tiles follow from the map, so
they are those that the volume would have in memory. Each tile is predicted once, and handed on as a
piece: its probabilities times their weights. The sum of pieces is what memory would hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dineuro_model.inference.segment import Predictor
from dineuro_model.inference.tiles import CELL, Grid, Tile, Weights, layers, tiles_of
from dineuro_model.windows import Shape


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A tile in its volume.

    Attributes:
        layer: the first predicted slice of its layer.
        weights: (predicted,), of the slices.
        tile: its rows and columns.
        low, high: z, y, x of the first voxel of its piece, and after the last one.
        slices: the predicted slices that are slices of the volume.
    """

    layer: int
    weights: Weights
    tile: Tile
    low: Shape
    high: Shape
    slices: NDArray[np.int64]

    @property
    def name(self) -> str:
        """Its own name among all tiles."""
        return f"{self.layer}_{self.tile.y}_{self.tile.x}"


def signal_map(
    grid: Grid, n_slices: int, parts: Iterable[tuple[Shape, NDArray[np.bool_]]],
    into: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Fill the map of a volume.

    Args:
        grid: how the volume is cut.
        n_slices: of the volume.
        parts: z, y, x of the first voxel of parts, and their `occupied_cells`. Parts begin at rows
            and columns that are multiples of `CELL`.
        into: (layers, rows, columns) of cells, which are false.
    """
    which = [slices for _, _, slices in layers(grid, n_slices)]
    for (z, y, x), cells in parts:
        depth, height, width = cells.shape
        rows, columns = slice(y // CELL, y // CELL + height), slice(x // CELL, x // CELL + width)
        for layer, slices in zip(into, which, strict=True):
            low, high = max(0, slices.start - z), min(depth, slices.stop - z)
            if low < high:
                layer[rows, columns] |= cells[low:high].any(axis=0)


def tiles_in(
    grid: Grid, size: Shape, signal: NDArray[np.bool_], low: Shape, high: Shape
) -> Iterator[Place]:
    """The tiles with a voxel in a box, in the order in which they are added.

    Args:
        grid: how the volume is cut.
        size: (Z, Y, X) of the volume, without interpolated slices.
        signal: the map of `signal_map`.
        low: z, y, x of the box's first voxel.
        high: z, y, x after its last voxel.
    """
    factor = (grid.shape[0] - 1) // (size[0] - 1) if size[0] > 1 else 1
    near = (range(low[1], high[1]), range(low[2], high[2]))
    for number, (start, weights, _) in enumerate(layers(grid, size[0])):
        at = np.arange(start, start + grid.predicted)
        is_slice = (at % factor == 0) & (at >= 0) & (at < grid.shape[0])
        z = at[is_slice] // factor
        if len(z) == 0 or z[0] >= high[0] or z[-1] < low[0] or not signal[number].any():
            continue
        for tile in tiles_of(np.asarray(signal[number]), grid, near):
            (y, x), (rows, columns) = (tile.y, tile.x), tile.size
            first = (int(z[0]), max(0, y), max(0, x))
            last = (int(z[-1]) + 1, min(size[1], y + rows), min(size[2], x + columns))
            if all(a < d and b > c for a, b, c, d in zip(first, last, low, high, strict=True)):
                yield Place(start, weights, tile, first, last, np.flatnonzero(is_slice))


def predict_piece(place: Place, predictor: Predictor) -> NDArray[np.float32]:
    """The probabilities of a tile times their weights, as (Z, Y, X) from `low` to `high`.

    Where no other tile adds anything, they are rounded to the steps of the result, which are stored
    in little space.
    """
    tile = place.tile
    found = predictor.predict(place.layer, (tile,))[0]
    rows = slice(place.low[1] - tile.y, place.high[1] - tile.y)
    columns = slice(place.low[2] - tile.x, place.high[2] - tile.x)
    plane = tile.rows[rows, None] * tile.columns[None, columns]
    weights = place.weights[place.slices, None, None]
    piece: NDArray[np.float32] = found[place.slices, rows, columns] * plane * weights
    alone = np.broadcast_to((plane == 1) & (weights == 1), piece.shape)
    steps = np.rint(np.clip(piece, 0, 1) * np.float32(255)) / np.float32(255)
    return np.where(alone, steps, piece)


def add_piece(
    total: NDArray[np.float32], start: Shape, place: Place, piece: NDArray[np.float32]
) -> None:
    """Add a piece to a part (Z, Y, X) of the volume that begins at `start`."""
    there, here = [], []
    for a, n, low, high in zip(start, total.shape, place.low, place.high, strict=True):
        first, last = max(a, low), min(a + n, high)
        there.append(slice(first - a, last - a))
        here.append(slice(first - low, last - low))
    total[there[0], there[1], there[2]] += piece[here[0], here[1], here[2]]


def as_bytes(total: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A sum of pieces as probabilities from 0 to 255."""
    return np.rint(np.clip(total, 0, 1) * 255).astype(np.uint8)
