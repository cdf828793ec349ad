"""The figures of the whole volume, from what the blocks measure in three stages."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro.brain import tasks
from dineuro.brain.stages import Run
from dineuro.brain.tasks import Job
from dineuro_model.enhancers.blocks import Frame, n_blocks
from dineuro_model.enhancers.classical import usual_span
from dineuro_model.enhancers.figures import Figures, Ridges, Tally


def measure_ranges(run: Run, blocks: list[int]) -> dict[int, dict[str, Any]]:
    """The ranges of the blocks that have contrast; none for a volume without."""
    job = run.job
    ranges = run.stage("range", tasks.measure_range, ((b, (job, b)) for b in blocks))
    uneven = {b: each for b, each in ranges.items() if each["low"] < each["high"]}
    if not uneven:
        run.warnings.append("every voxel has one value: there is nothing to trace")
    return uneven


def measure(run: Run, ranges: dict[int, dict[str, Any]]) -> Figures:
    """The figures of the volume, from the ranges of its blocks."""
    job, files = run.job, run.job.files
    low = min(each["low"] for each in ranges.values())
    span = usual_span(_rows(job, list(ranges), low), low)
    blocks = run.without_holes(ranges)
    items = [(b, (job, b, low, span)) for b in blocks]
    ground = run.stage("ground", tasks.measure_block_ground, items, low, span)
    _gather_blocks(job, list(ground), "ground", "medians")
    middle = Tally.sum(tasks.load_tally(files.stage("ground", b)) for b in ground)
    items = [(b, (job, b, low, span)) for b in run.without_holes(blocks)]
    ridges = run.stage("ridges", tasks.measure_block_ridges, items, low, span, list(ground))
    _gather_blocks(job, list(ridges), "ridges", "noise")
    found = Ridges.of_tally(Tally.sum(tasks.load_tally(files.stage("ridges", b)) for b in ridges))
    noise = Tally.sum(tasks.load_tally(files.stage("ridges", b), "ground_") for b in ridges)
    return Figures(
        job.grid.size, float(low), span, min(each["darkest"] for each in ground.values()),
        max(each["brightest"] for each in ground.values()), middle.quantile(0.5),
        noise.deviation(), found.threshold, found.least, found.bright,
    )  # fmt: skip


def _rows(job: Job, blocks: list[int], low: Any) -> list[NDArray[Any]]:
    """The maxima of the volume along z, y and x."""
    size, dtype = job.grid.size, job.given.source().dtype
    shapes = [tuple(n for a, n in enumerate(size) if a != axis) for axis in range(3)]
    rows = [np.full(shape, low, dtype=dtype) for shape in shapes]
    for block in blocks:
        window = job.grid.window(block)
        with np.load(job.files.stage("range", block)) as file:
            for axis, name in enumerate("zyx"):
                place = tuple(
                    slice(a + c.start, a + c.stop)
                    for at, (a, c) in enumerate(zip(window.start, window.core, strict=True))
                    if at != axis
                )
                np.maximum(rows[axis][place], file[name], out=rows[axis][place])
    return rows


def _gather_blocks(job: Job, blocks: list[int], stage: str, name: str) -> None:
    """Put what the cores say of their blocks of voxels into one file for all workers."""
    whole = np.full(n_blocks(job.grid.size), np.nan, dtype=np.float32)
    for block in blocks:
        window = job.grid.window(block)
        low = tuple(a + c.start for a, c in zip(window.start, window.core, strict=True))
        shape = tuple(c.stop - c.start for c in window.core)
        frame = Frame(job.grid.size, (low[0], low[1], low[2]), (shape[0], shape[1], shape[2]))
        with np.load(job.files.stage(stage, block)) as file:
            whole[frame.blocks()] = file[name]
    np.save(job.files.shared(f"{name}.npy"), whole)
