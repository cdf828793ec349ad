"""What workers do for the network: signal, tiles, and the probability that the tiles add up to.

A tile belongs to the occupied block that holds its centre, or else to the first one that it
touches. Its block predicts it once, and all blocks that it touches read it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro.brain.store.grid import Size, Slices, Window
from dineuro.brain.tasks import HALO, Job, block_map, classical_probability, save, store
from dineuro.pipeline.agreement import agreement
from dineuro_bridge.files import atomic_output
from dineuro_model.enhancers.classical import reach
from dineuro_model.enhancers.figures import Figures
from dineuro_model.enhancers.parts import MEASURE_MARGIN, enhance_alone, measure_contrast
from dineuro_model.inference.blockwise import Place, add_piece, as_bytes, predict_piece, tiles_in
from dineuro_model.inference.registry import Model, cached_model
from dineuro_model.inference.runtime import Geometry
from dineuro_model.inference.segment import Predictor, SegmentOptions, Stack, segment
from dineuro_model.inference.tiles import Grid, occupied_cells
from dineuro_tracing.large.blocks import trace_block


@dataclass(frozen=True, slots=True)
class Net:
    """What workers know of the network and of its intensity scale.

    Attributes:
        name: of the model, or its path; None is the default model.
        sha256: of its weights.
        geometry: of its windows.
        scale: the dark and the bright end of the volume.
        between: slices that are interpolated between two.
    """

    name: str | None
    sha256: str
    geometry: Geometry
    scale: tuple[float, float]
    between: int

    @property
    def options(self) -> SegmentOptions:
        """How the volume is cut into windows."""
        return SegmentOptions(between=self.between)

    def model(self) -> Model:
        """The network in this process."""
        return cached_model(self.name)

    def stack(self, volume: Any) -> Stack:
        """A volume as the network reads it."""
        return Stack(volume, self.scale, self.between + 1, self.geometry.inputs)

    def grid(self, size: Size) -> Grid:
        """How a volume of this size is cut."""
        return self.stack(_Shaped(size)).grid(self.geometry, self.options)


def measure_noise(job: Job, block: int, figures: Figures) -> dict[str, Any]:
    """The noise around the neurites of a block."""
    part = job.part(job.grid.window(block, (MEASURE_MARGIN,) * 3), figures.low, figures.span)
    found = measure_contrast(part, block_map(job, "medians.npy", part.frame), figures.threshold)
    return {"near": found.near, "all": found.all, "share": found.share}


def try_network(job: Job, block: int, net: Net, figures: Figures) -> dict[str, Any]:
    """How the masks of both enhancers agree with a block's image, and how sure the network is."""
    voxels, least = job.given.core(job.grid.window(block)), job.options.threshold
    by_network = segment(voxels, net.model().runtime, net.options, scale=net.scale)
    counts = np.bincount(by_network.ravel(), minlength=256)[128:]
    masks = {"network": by_network, "classical": classical_probability(job, block, figures)}
    found = {name: agreement(voxels, each >= least) for name, each in masks.items()}
    return {
        "sure": int(counts @ np.arange(128, 256)), "count": int(counts.sum()),
        **{name: [each.brighter, each.found] for name, each in found.items()},
    }  # fmt: skip


def mark_signal(job: Job, block: int, net: Net) -> dict[str, Any]:
    """Where a block may hold signal."""
    voxels = job.given.core(job.grid.window(block))
    cells = occupied_cells(voxels, net.stack(voxels).faintest)
    save(job.files.stage("signal", block), bits=np.packbits(cells), shape=np.array(cells.shape))
    return {"cells": int(np.count_nonzero(cells))}


def load_signal(job: Job, block: int) -> NDArray[np.bool_]:
    """The cells of `mark_signal`."""
    with np.load(job.files.stage("signal", block)) as file:
        shape = tuple(file["shape"].tolist())
        return np.unpackbits(file["bits"], count=int(np.prod(shape))).reshape(shape).astype(bool)


def predict_tiles(job: Job, block: int, net: Net) -> dict[str, Any]:
    """Predict the tiles that belong to a block, as pieces in one file."""
    runtime = net.model().runtime
    size = job.grid.size
    volume = _Boxes(job, net.scale[0])
    stack = net.stack(volume)
    predictor, count = Predictor(runtime, stack, 1), 0
    with (
        atomic_output(job.files.stage("network", block)) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
    ):
        for owner, place in _places(job, block, net, size):
            if owner != block:
                continue
            count += 1
            with file.open(f"{place.name}.npy", "w") as entry:
                np.lib.format.write_array(entry, predict_piece(place, predictor))
    return {"tiles": count}


def enhance_by_network(job: Job, block: int, net: Net, figures: Figures | None) -> dict[str, Any]:
    """The probability and the mask of a block, from the pieces of all tiles that touch it.

    With the figures of the classical enhancer, its probability is added below the threshold.
    """
    window = job.grid.window(block)
    total = np.zeros(window.shape, dtype=np.float32)
    files: dict[int, Any] = {}
    for owner, place in _places(job, block, net, job.grid.size):
        path = job.files.stage("network", owner)
        if owner not in files:
            # A block that failed is a hole, and leaves its pieces out.
            files[owner] = np.load(path) if path.exists() else {}
        if place.name in files[owner]:
            add_piece(total, window.start, place, files[owner][place.name])
    for each in files.values():
        if each:
            each.close()
    probability = as_bytes(total)
    if figures is not None:
        classical = classical_probability(job, block, figures)
        np.minimum(classical, job.options.threshold - 1, out=classical)
        np.maximum(probability, classical, out=probability)
    return store(job, block, probability)


def look_at_dark(job: Job, block: int, net: Net | None, figures: Figures | None) -> dict[str, Any]:
    """The length of the lines in a block that was left out, in finest voxels."""
    margin = [max(HALO, -(-r // 4) * 4) for r in reach(job.scale.optical.edges)]
    window = job.grid.window(block, (margin[0], margin[1], margin[2]))
    if net is not None:
        voxels = job.given.box(window, net.scale[0])
        probability = segment(voxels, net.model().runtime, net.options, scale=net.scale)
    elif figures is not None:
        inner = (slice(0, window.shape[0]), slice(0, window.shape[1]), slice(0, window.shape[2]))
        whole = replace(window, core=inner)
        probability = enhance_alone(job.part(whole, figures.low, figures.span), figures)
    else:
        raise ValueError("a choice has a network or the figures of the classical enhancer")
    lines = trace_block(
        probability, window.start, window.core, job.grid.size, job.options, job.scale
    )
    skeleton = lines.skeleton()
    child = np.flatnonzero(skeleton.parents >= 0)
    steps = lines.points[child] - lines.points[skeleton.parents[child]]
    return {"length": float(np.linalg.norm(steps * job.scale.zyx, axis=1).sum())}


def _places(job: Job, block: int, net: Net, size: Size) -> Iterator[tuple[int, Place]]:
    """The tiles that touch a block, each with its owner."""
    window = job.grid.window(block)
    signal = np.load(job.files.shared("signal.npy"), mmap_mode="r")
    occupied = set(np.load(job.files.shared("signal_blocks.npy")).tolist())
    for place in tiles_in(net.grid(size), size, signal, window.start, window.stop):
        owner = _owner(job, place, occupied)
        if owner is not None:
            yield owner, place


def _owner(job: Job, place: Place, occupied: set[int]) -> int | None:
    z, y, x = ((a + b) // 2 for a, b in zip(place.low, place.high, strict=True))
    centre = job.grid.block_of((z, y, x))
    if centre in occupied:
        return centre
    return min(occupied.intersection(job.grid.within(place.low, place.high)), default=None)


@dataclass(frozen=True, slots=True)
class _Shaped:
    """The shape of a volume that is not read."""

    shape: Size


class _Boxes:
    """The volume of a run as `windows.cut` reads it; damaged voxels are dark."""

    def __init__(self, job: Job, dark: float) -> None:
        self.shape = job.grid.size
        self._given, self._dark = job.given, dark

    def __getitem__(self, box: Slices) -> NDArray[Any]:
        z, y, x = box
        window = Window((z.start, y.start, x.start), (z.stop, y.stop, x.stop), box)
        return self._given.box(window, self._dark)
