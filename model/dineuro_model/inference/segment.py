"""Volume -> probability: tiles through the network, blended without seams, in bounded memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter, BadVolume, LimitExceeded
from dineuro_bridge.progress import Progress, ProgressCallback, silent
from dineuro_model.inference.tiles import Grid, Tile, occupied_cells, plan
from dineuro_model.intensity import intensity_range, normalise
from dineuro_model.network.network import Network
from dineuro_model.windows import cut

#: A voxel may hold signal above this share of the intensity range.
_FAINTEST = 0.01
#: Voxels of a batch of windows on the CPU: a few hundred megabytes of features.
_BATCH_VOXELS = 2_000_000
#: Windows may be so many times as large as in training: the fewer, the less is seen twice.
_LARGEST = 2
_STAGE = "enhance"


@dataclass(frozen=True, slots=True)
class SegmentOptions:
    """How the volume is gone through.

    Attributes:
        device: "auto" takes CUDA where there is one; "cpu" or "cuda".
        bf16: compute in bfloat16; None: where the processor has instructions for it.
        batch: windows at a time; 0 chooses. Where memory runs out it is halved.
        between: slices put between any two by interpolation, so that a stack whose slices lie far
            apart looks like those the network knows.
        overlap: of windows in the plane, in voxels.
        overlap_slices: of layers. None is needed: every slice is predicted from two beside it at
            least, and what is predicted at a layer's border is as good as in its middle.
    """

    device: str = "auto"
    bf16: bool | None = None
    batch: int = 0
    between: int = 0
    overlap: int = 28
    overlap_slices: int = 0

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda"):
            raise BadParameter(f"device {self.device!r}: auto, cpu or cuda")
        if min(self.batch, self.between, self.overlap, self.overlap_slices) < 0:
            raise BadParameter("segmentation: batch, between and overlaps must be 0 or more")


def segment(
    volume: NDArray[Any],
    network: Network,
    options: SegmentOptions = SegmentOptions(),
    progress: ProgressCallback = silent,
) -> NDArray[np.uint8]:
    """The probability that a voxel belongs to a neurite.

    Args:
        volume: (Z, Y, X) integers or finite floats, of any size; may be a memory map.
        network: trained; it is not changed.
        options: see there.
        progress: called between batches with the windows done; it may raise `Cancelled`.

    Returns:
        (Z, Y, X) uint8, 255 for certainty. A constant volume gives zeros.

    Raises:
        BadVolume: not a volume of real numbers, or NaN or infinite voxels.
        BadParameter: CUDA was asked for and there is none.
        LimitExceeded: not even one window fits into memory.
    """
    _check(volume)
    out = np.zeros(volume.shape, dtype=np.uint8)
    stack = _Stack(volume, intensity_range(volume), options.between + 1)
    dark, bright = stack.scale
    config = network.config
    grid = Grid(
        shape=stack.shape,
        predicted=config.predicted,
        size=_LARGEST * config.size,
        step=network.step,
        overlap=options.overlap,
        overlap_slices=options.overlap_slices,
    )
    layers = list(plan(occupied_cells(volume, dark + _FAINTEST * (bright - dark)), grid))
    predictor = _Predictor(network, options)
    total = sum(len(layer.tiles) for layer in layers)
    done = 0
    progress(Progress(_STAGE, 0, total))
    blend = _Blend(out, config.predicted, options.between + 1)
    for layer in layers:
        blend.move_to(layer.start)
        tiles = layer.tiles
        while tiles:
            probabilities = predictor(stack, layer.start, tiles)
            for tile, probability in zip(tiles, probabilities, strict=False):
                blend.add(probability, layer.weights, tile)
            tiles = tiles[len(probabilities) :]
            done += len(probabilities)
            progress(Progress(_STAGE, done, total))
    blend.finish()
    return out


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 there."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


class _Predictor:
    """The network, ready on its device, and how many windows it takes at a time."""

    def __init__(self, network: Network, options: SegmentOptions) -> None:
        cuda = torch.cuda.is_available()
        if options.device == "cuda" and not cuda:
            raise BadParameter("device cuda: this machine has none that torch can use")
        self.device = torch.device("cuda" if cuda and options.device != "cpu" else "cpu")
        bf16 = has_fast_bf16(self.device) if options.bf16 is None else options.bf16
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        self.network = copy.deepcopy(network).to(self.device, self.dtype).eval()
        self.batch = options.batch

    def __call__(self, stack: _Stack, start: int, tiles: Sequence[Tile]) -> NDArray[np.float32]:
        """(N, predicted, rows, columns) probabilities of the first N tiles, all of one size.

        Raises:
            LimitExceeded: one tile does not fit into memory.
        """
        config = self.network.config
        first = start - (config.depth - config.predicted) // 2
        size = tiles[0].size
        shape = (config.depth, *size)
        alike = next((n for n, tile in enumerate(tiles) if tile.size != size), len(tiles))
        batch = self.batch or max(1, _BATCH_VOXELS // math.prod(shape))
        while True:
            some = tiles[: min(alike, batch)]
            try:
                windows = np.stack([stack.window((first, t.y, t.x), shape) for t in some])
                with torch.inference_mode():
                    given = torch.from_numpy(windows).to(self.device, self.dtype)
                    probability: NDArray[np.float32] = self.network(given).sigmoid().cpu().numpy()
                    return probability
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                if len(some) == 1:
                    raise LimitExceeded(
                        f"segmentation: a window of {shape} voxels does not fit into the memory "
                        f"of {self.device}; use another device, or a model with smaller windows"
                    ) from error
                batch = self.batch = max(1, len(some) // 2)


@dataclass(frozen=True, slots=True, eq=False)
class _Stack:
    """A volume (Z, Y, X) as the network sees it: normalised, with more slices if need be.

    Attributes:
        volume: as it was read.
        scale: dark and bright end of its intensities.
        factor: steps between two slices of the volume; those between them are interpolated.
    """

    volume: NDArray[Any]
    scale: tuple[float, float]
    factor: int

    @property
    def shape(self) -> tuple[int, int, int]:
        depth, height, width = self.volume.shape
        return (depth - 1) * self.factor + 1, height, width

    def window(
        self, corner: tuple[int, int, int], shape: tuple[int, int, int]
    ) -> NDArray[np.float32]:
        """A window (Z, Y, X), mirrored beyond the border."""
        if self.factor == 1:
            return normalise(cut(self.volume, corner, shape), *self.scale)
        (z, y, x), (depth, height, width) = corner, shape
        low, high = z // self.factor, -(-(z + depth - 1) // self.factor)
        given = cut(self.volume, (low, y, x), (high - low + 1, height, width))
        place = np.arange(z, z + depth) / self.factor - low
        below = np.minimum(place.astype(int), max(0, high - low - 1))
        share = (place - below).astype(np.float32)[:, None, None]
        known = normalise(given, *self.scale)
        above = np.minimum(below + 1, high - low)
        return np.asarray(known[below] * (1 - share) + known[above] * share)


class _Blend:
    """Sums the weighted tiles of the layers at hand; what is complete goes to the output.

    Of `factor` slices one is a slice of the output.
    """

    def __init__(self, out: NDArray[np.uint8], n_slices: int, factor: int) -> None:
        self.out = out
        self.factor = factor
        self.start = -n_slices
        self.sum = np.zeros((n_slices, *out.shape[1:]), dtype=np.float32)

    def move_to(self, start: int) -> None:
        """Make room for a layer that begins at `start`; the slices before it are complete."""
        done = min(start - self.start, len(self.sum))
        self._write(done)
        self.sum[: len(self.sum) - done] = self.sum[done:].copy()
        self.sum[len(self.sum) - done :] = 0
        self.start = start

    def add(
        self, probability: NDArray[np.float32], weights: NDArray[np.float32], tile: Tile
    ) -> None:
        """A tile (n_slices, rows, columns) with its weights; what lies outside is dropped."""
        (y, x), (n_rows, n_columns) = (tile.y, tile.x), tile.size
        _, height, width = self.sum.shape
        rows = slice(max(0, -y), min(n_rows, height - y))
        columns = slice(max(0, -x), min(n_columns, width - x))
        plane = tile.rows[rows, None] * tile.columns[None, columns]
        target = self.sum[:, y + rows.start : y + rows.stop, x + columns.start : x + columns.stop]
        target += probability[:, rows, columns] * plane * weights[:, None, None]

    def finish(self) -> None:
        """All is complete."""
        self._write(len(self.sum))

    def _write(self, count: int) -> None:
        for offset in range(count):
            z, rest = divmod(self.start + offset, self.factor)
            if rest == 0 and 0 <= z < len(self.out):
                self.out[z] = np.rint(np.clip(self.sum[offset], 0, 1) * 255)


def _check(volume: NDArray[Any]) -> None:
    if volume.ndim != 3 or 0 in volume.shape:
        raise BadVolume(f"segmentation: voxels {volume.shape}: must be (Z, Y, X)")
    if volume.dtype.kind not in "uif":
        raise BadVolume(f"segmentation: voxels of {volume.dtype}: must be integers or floats")
    if volume.dtype.kind == "f" and not all(np.isfinite(slice_).all() for slice_ in volume):
        raise BadVolume("segmentation: the volume has NaN or infinite voxels; replace them first")


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
    )
