"""Volume -> probability: a network predicts tiles, which are blended without seams.

Beside the input and the output, memory holds one layer of slices and one batch of windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter, BadVolume, LimitExceeded
from dineuro_bridge.progress import Progress, ProgressCallback, silent
from dineuro_model.inference.runtime import Geometry, Runtime
from dineuro_model.inference.tiles import Grid, Tile, occupied_cells, plan
from dineuro_model.inputs import as_ridge, find_ridges, halo, window_inputs
from dineuro_model.intensity import intensity_range, normalise
from dineuro_model.windows import Shape, around, cut

#: A voxel may hold signal above this share of the intensity range.
_FAINTEST = 0.01
#: The edge of a window is at most this multiple of the edge in training. Large windows overlap
#: less, so that fewer voxels are predicted twice.
_LARGEST = 2
_STAGE = "enhance"


@dataclass(frozen=True, slots=True)
class SegmentOptions:
    """How a volume is cut into windows.

    Attributes:
        batch: windows at a time; 0 takes the runtime's number. Where memory runs out, the number
            is halved.
        between: slices that are interpolated between any two slices of the volume. A stack whose
            slices lie far apart then looks like the stacks of the training.
        overlap: overlap of windows in the plane, in voxels.
        overlap_slices: overlap of layers, in slices. The default is 0: the network sees at least
            two further slices on both sides of every slice that it predicts, so that its
            predictions are as good at a layer's border as in its middle.

    Raises:
        BadParameter: a negative number.
    """

    batch: int = 0
    between: int = 0
    overlap: int = 28
    overlap_slices: int = 0

    def __post_init__(self) -> None:
        if min(self.batch, self.between, self.overlap, self.overlap_slices) < 0:
            raise BadParameter("segmentation: batch, between and overlaps must be 0 or more")


def segment(
    volume: NDArray[Any],
    runtime: Runtime,
    options: SegmentOptions = SegmentOptions(),
    progress: ProgressCallback = silent,
    scale: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """The probability that a voxel belongs to a neurite.

    Args:
        volume: (Z, Y, X) integers or finite floats, of any size; a memory map is possible.
        runtime: the network.
        options: how the volume is cut into windows.
        progress: called between batches with the number of predicted windows; it may raise
            `Cancelled`.
        scale: the dark end and the bright end of the intensities; None measures them.

    Returns:
        (Z, Y, X) uint8, 255 for certainty. A constant volume gives zeros.

    Raises:
        BadVolume: not a volume of real numbers, or NaN or infinite voxels.
        LimitExceeded: the memory is too small for one window.
    """
    _check(volume)
    out = np.zeros(volume.shape, dtype=np.uint8)
    names = runtime.geometry.inputs
    ridge = find_ridges(volume) if "ridge" in names else None
    stack = Stack(volume, scale or intensity_range(volume), options.between + 1, names, ridge)
    grid = stack.grid(runtime.geometry, options)
    layers = list(plan(occupied_cells(volume, stack.faintest), grid))
    predictor = Predictor(runtime, stack, options.batch)
    total = sum(len(layer.tiles) for layer in layers)
    done = 0
    progress(Progress(_STAGE, 0, total))
    blend = _Blend(out, runtime.geometry.predicted, stack.factor)
    for layer in layers:
        blend.move_to(layer.start)
        tiles = layer.tiles
        while tiles:
            probabilities = predictor.predict(layer.start, tiles)
            for tile, probability in zip(tiles, probabilities, strict=False):
                blend.add(probability, layer.weights, tile)
            tiles = tiles[len(probabilities) :]
            done += len(probabilities)
            progress(Progress(_STAGE, done, total))
    blend.finish()
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """A volume (Z, Y, X) as the network reads it: normalised, with interpolated slices if needed.

    Attributes:
        volume: the voxels of the input, see `windows.cut`.
        scale: the dark end and the bright end of its intensities.
        factor: steps between two slices of the volume; the slices between them are interpolated.
        names: the inputs of the network.
        ridge: (Z, Y, X), the classical enhancer's probability; None where it is not read.
    """

    volume: NDArray[Any]
    scale: tuple[float, float]
    factor: int
    names: tuple[str, ...] = ("global",)
    ridge: NDArray[np.uint8] | None = None

    @property
    def shape(self) -> Shape:
        """(Z, Y, X), the interpolated slices included."""
        depth, height, width = self.volume.shape
        return (depth - 1) * self.factor + 1, height, width

    @property
    def faintest(self) -> float:
        """The intensity above which a voxel may hold signal."""
        dark, bright = self.scale
        return dark + _FAINTEST * (bright - dark)

    def grid(self, geometry: Geometry, options: SegmentOptions) -> Grid:
        """How the stack is cut into layers and windows."""
        # OpenVINO's bfloat16 gives NaN in windows that are high and one patch wide.
        columns = max(self.shape[2], geometry.patch + 1)
        return Grid(
            shape=self.shape,
            predicted=geometry.predicted,
            size=_LARGEST * geometry.size,
            step=geometry.step,
            rows=geometry.fitting(self.shape[1]),
            columns=geometry.fitting(columns),
            overlap=options.overlap,
            overlap_slices=options.overlap_slices,
        )

    def window(self, corner: Shape, shape: Shape) -> NDArray[np.float32]:
        """The inputs (inputs * Z, Y, X) of a window, mirrored beyond the border."""
        wide = self._cut(self.volume, *around(corner, shape, halo(self.names)), self._normalised)
        ridge = None if self.ridge is None else self._cut(self.ridge, corner, shape, as_ridge)
        return window_inputs(self.names, wide, ridge)

    def _normalised(self, voxels: NDArray[Any]) -> NDArray[np.float32]:
        return normalise(voxels, *self.scale)

    def _cut(
        self,
        volume: NDArray[Any],
        corner: Shape,
        shape: Shape,
        scaled: Callable[[NDArray[Any]], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        """A window (Z, Y, X) of a volume, scaled, with interpolated slices."""
        if self.factor == 1:
            return scaled(cut(volume, corner, shape))
        (z, y, x), (depth, height, width) = corner, shape
        low, high = z // self.factor, -(-(z + depth - 1) // self.factor)
        slices = scaled(cut(volume, (low, y, x), (high - low + 1, height, width)))
        position = np.arange(z, z + depth) / self.factor - low
        below = np.minimum(position.astype(int), max(0, high - low - 1))
        above = np.minimum(below + 1, high - low)
        share = (position - below).astype(np.float32)[:, None, None]
        return np.asarray(slices[below] * (1 - share) + slices[above] * share)


class Predictor:
    """Predicts the tiles of a stack in batches that fit into memory.

    Args:
        runtime: the network.
        stack: the volume.
        batch: windows at a time; 0 takes the runtime's number.
    """

    def __init__(self, runtime: Runtime, stack: Stack, batch: int) -> None:
        self.runtime = runtime
        self.stack = stack
        self.batch = batch

    def predict(self, start: int, tiles: Sequence[Tile]) -> NDArray[np.float32]:
        """The probabilities (N, predicted, rows, columns) of the first N tiles of a layer.

        N is at least 1; the N tiles have the same size.

        Args:
            start: the first predicted slice of the layer.
            tiles: tiles of the layer, those of one size side by side.

        Raises:
            LimitExceeded: the memory is too small for one tile.
        """
        geometry = self.runtime.geometry
        first = start - (geometry.depth - geometry.predicted) // 2
        size = tiles[0].size
        shape = (geometry.depth, *size)
        alike = next((n for n, tile in enumerate(tiles) if tile.size != size), len(tiles))
        while True:
            batch = tiles[: min(alike, self.batch or self.runtime.batch_size(shape))]
            try:
                windows = [self.stack.window((first, tile.y, tile.x), shape) for tile in batch]
                return self.runtime.predict(np.stack(windows))
            except MemoryError as error:
                if len(batch) == 1:
                    raise LimitExceeded(
                        f"segmentation: a window of {shape} voxels does not fit into the memory "
                        f"of {self.runtime.info.device}; use another device, or a model with "
                        "smaller windows"
                    ) from error
                self.batch = len(batch) // 2


class _Blend:
    """Sums weighted tiles layer by layer and writes complete slices to the output.

    Args:
        out: (Z, Y, X), the output.
        n_slices: slices of a layer.
        factor: steps between two slices of the output; the slices between them are not written.
    """

    def __init__(self, out: NDArray[np.uint8], n_slices: int, factor: int) -> None:
        self.out = out
        self.factor = factor
        self.start = -n_slices
        self.sum = np.zeros((n_slices, *out.shape[1:]), dtype=np.float32)

    def move_to(self, start: int) -> None:
        """Go on to the layer that begins at slice `start`; the slices before it are complete."""
        done = min(start - self.start, len(self.sum))
        self._write(done)
        self.sum[: len(self.sum) - done] = self.sum[done:].copy()
        self.sum[len(self.sum) - done :] = 0
        self.start = start

    def add(
        self, probability: NDArray[np.float32], weights: NDArray[np.float32], tile: Tile
    ) -> None:
        """Add a tile (n_slices, rows, columns) with its weights.

        The part of the tile that lies outside the volume is dropped.
        """
        (y, x), (n_rows, n_columns) = (tile.y, tile.x), tile.size
        _, height, width = self.sum.shape
        rows = slice(max(0, -y), min(n_rows, height - y))
        columns = slice(max(0, -x), min(n_columns, width - x))
        plane = tile.rows[rows, None] * tile.columns[None, columns]
        target = self.sum[:, y + rows.start : y + rows.stop, x + columns.start : x + columns.stop]
        target += probability[:, rows, columns] * plane * weights[:, None, None]

    def finish(self) -> None:
        """Write the slices of the last layer."""
        self._write(len(self.sum))

    def _write(self, count: int) -> None:
        """Write the first `count` slices of the sum, as probabilities from 0 to 255."""
        for offset in range(count):
            z, rest = divmod(self.start + offset, self.factor)
            if rest == 0 and 0 <= z < len(self.out):
                self.out[z] = np.rint(np.clip(self.sum[offset], 0, 1) * 255)


def _check(volume: NDArray[Any]) -> None:
    """Refuse an array that is no volume of finite real numbers."""
    if volume.ndim != 3 or 0 in volume.shape:
        raise BadVolume(f"segmentation: voxels {volume.shape}: must be (Z, Y, X)")
    if volume.dtype.kind not in "uif":
        raise BadVolume(f"segmentation: voxels of {volume.dtype}: must be integers or floats")
    if volume.dtype.kind == "f" and not all(np.isfinite(slice_).all() for slice_ in volume):
        raise BadVolume("segmentation: the volume has NaN or infinite voxels; replace them first")
