"""Volume -> probability: windows, blended without seams, in bounded memory.

The volume is gone through in layers of slices. In each layer the windows cover the box that holds
anything brighter than the dark end of the scale; all outside is background and costs nothing.
Windows overlap and fade into each other: the weights of the windows of a row sum to 1 at every
voxel, so that no second volume of weights is needed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter, BadVolume, LimitExceeded
from dineuro_bridge.progress import Progress, ProgressCallback, silent
from dineuro_model.intensity import intensity_range, normalise
from dineuro_model.network import Network
from dineuro_model.windows import cut

#: A voxel may hold signal above this share of the intensity range.
_FAINTEST = 0.01
#: Voxels around possible signal that are predicted too.
_AROUND = 4
#: Voxels of a batch of windows on the CPU: a few hundred megabytes of features.
_BATCH_VOXELS = 2_000_000
_STAGE = "enhance"


@dataclass(frozen=True, slots=True)
class SegmentOptions:
    """How the volume is gone through.

    Attributes:
        device: "auto" takes CUDA where there is one; "cpu" or "cuda".
        bf16: compute in bfloat16; None: where the processor has instructions for it.
        batch: windows at a time; 0 chooses. Where memory runs out it is halved.
        overlap: of windows in the plane, in voxels.
        overlap_slices: of layers.
    """

    device: str = "auto"
    bf16: bool | None = None
    batch: int = 0
    overlap: int = 28
    overlap_slices: int = 2

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda"):
            raise BadParameter(f"device {self.device!r}: auto, cpu or cuda")
        if min(self.batch, self.overlap, self.overlap_slices) < 0:
            raise BadParameter("segmentation: batch and overlaps must be 0 or more")


@dataclass(frozen=True, slots=True)
class Layer:
    """Windows that predict the same slices.

    Attributes:
        start: first slice predicted; below 0 where the volume is thinner than a layer.
        rows, columns: (start, weights) of the windows along y and x; the weights (n,) of one axis
            sum to 1 over the windows at every voxel that any of them covers.
        weights: (predicted,) of the slices.
    """

    start: int
    rows: tuple[tuple[int, NDArray[np.float32]], ...]
    columns: tuple[tuple[int, NDArray[np.float32]], ...]
    weights: NDArray[np.float32]


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
    scale = intensity_range(volume)
    layers = list(plan(volume, scale, network, options))
    predictor = _Predictor(network, options)
    total = sum(len(layer.rows) * len(layer.columns) for layer in layers)
    done = 0
    progress(Progress(_STAGE, 0, total))
    blend = _Blend(out, network.config.predicted)
    for layer in layers:
        blend.move_to(layer.start)
        places = [(row, column) for row in layer.rows for column in layer.columns]
        while places:
            some = places[: predictor.batch]
            probabilities = predictor(volume, scale, layer, [(r[0], c[0]) for r, c in some])
            for (row, column), probability in zip(some, probabilities, strict=True):
                blend.add(probability, layer.weights, row, column)
            # The batch may have shrunk on the way.
            places = places[len(probabilities) :]
            done += len(probabilities)
            progress(Progress(_STAGE, done, total))
    blend.finish()
    return out


def plan(
    volume: NDArray[Any], scale: tuple[float, float], network: Network, options: SegmentOptions
) -> Iterator[Layer]:
    """The layers that hold anything, from the first slice on."""
    config, (depth, height, width) = network.config, volume.shape
    faintest = scale[0] + _FAINTEST * (scale[1] - scale[0])
    layers = axis_windows(0, depth, config.predicted, options.overlap_slices)
    for start, weights in layers:
        low, high = max(0, start - _AROUND), min(depth, start + config.predicted + _AROUND)
        rows, columns = np.zeros(height, dtype=bool), np.zeros(width, dtype=bool)
        for z in range(low, high):
            bright = volume[z] > faintest
            rows |= bright.any(1)
            columns |= bright.any(0)
        if not rows.any():
            continue
        boxes = []
        for found, n in ((rows, height), (columns, width)):
            at = np.flatnonzero(found)
            box = max(0, int(at[0]) - _AROUND), min(n, int(at[-1]) + 1 + _AROUND)
            size = _window_size(box[1] - box[0], network)
            boxes.append(tuple(axis_windows(*box, size, options.overlap)))
        yield Layer(start, boxes[0], boxes[1], weights)


def axis_windows(
    low: int, high: int, size: int, overlap: int
) -> list[tuple[int, NDArray[np.float32]]]:
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
        config = network.config
        window = config.depth * config.size**2
        self.batch = options.batch or max(1, _BATCH_VOXELS // window)

    def __call__(
        self,
        volume: NDArray[Any],
        scale: tuple[float, float],
        layer: Layer,
        corners: Sequence[tuple[int, int]],
    ) -> NDArray[np.float32]:
        """(N, predicted, rows, columns) probabilities of the first N windows; N may shrink.

        Raises:
            LimitExceeded: one window does not fit into memory.
        """
        config = self.network.config
        first = layer.start - (config.depth - config.predicted) // 2
        shape = (config.depth, len(layer.rows[0][1]), len(layer.columns[0][1]))
        while True:
            some = corners[: self.batch]
            try:
                windows = np.stack(
                    [normalise(cut(volume, (first, y, x), shape), *scale) for y, x in some]
                )
                with torch.inference_mode():
                    given = torch.from_numpy(windows).to(self.device, self.dtype)
                    probability: NDArray[np.float32] = self.network(given).sigmoid().cpu().numpy()
                    return probability
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                if self.batch == 1:
                    raise LimitExceeded(
                        f"segmentation: a window of {shape} voxels does not fit into the memory "
                        f"of {self.device}; use another device, or a model with smaller windows"
                    ) from error
                self.batch = max(1, self.batch // 2)


class _Blend:
    """Sums the weighted windows of the layers at hand; what is complete goes to the output."""

    def __init__(self, out: NDArray[np.uint8], n_slices: int) -> None:
        self.out = out
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
        self,
        probability: NDArray[np.float32],
        weights: NDArray[np.float32],
        row: tuple[int, NDArray[np.float32]],
        column: tuple[int, NDArray[np.float32]],
    ) -> None:
        """A window (n_slices, rows, columns) with its weights; what lies outside is dropped."""
        (y, of_rows), (x, of_columns) = row, column
        _, height, width = self.sum.shape
        rows = slice(max(0, -y), min(len(of_rows), height - y))
        columns = slice(max(0, -x), min(len(of_columns), width - x))
        plane = of_rows[rows, None] * of_columns[None, columns]
        target = self.sum[:, y + rows.start : y + rows.stop, x + columns.start : x + columns.stop]
        target += probability[:, rows, columns] * plane * weights[:, None, None]

    def finish(self) -> None:
        """All is complete."""
        self._write(len(self.sum))

    def _write(self, count: int) -> None:
        for offset in range(count):
            z = self.start + offset
            if 0 <= z < len(self.out):
                self.out[z] = np.rint(np.clip(self.sum[offset], 0, 1) * 255)


def _window_size(extent: int, network: Network) -> int:
    """The least size that the network takes and that covers the extent, if it has one."""
    step = network.step
    return min(network.config.size, -(-extent // step) * step)


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
