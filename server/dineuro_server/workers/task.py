"""What a worker does for one job: files in, a folder of results out. No web, no process.

The folder holds the parts of the job's kind, under the names of `dineuro_bridge.parts`. The
probability is kept for a retrace with other parameters of the tracer. It covers the region alone
and is packed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro.files.parts import write_parts
from dineuro.files.provenance import sha256_of_voxels
from dineuro.files.write import outcome_of
from dineuro.pipeline.enhancement import ProbabilityMap
from dineuro.pipeline.memory import SegmentationMemory
from dineuro.pipeline.reconstruct import enhance_only, reconstruct
from dineuro.pipeline.result import EnhancedVolume, Result
from dineuro_bridge.errors import BadVolume, DineuroError
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.parts import PARTS
from dineuro_bridge.progress import Progress, ProgressCallback
from dineuro_bridge.volumes.formats import read_volume
from dineuro_bridge.volumes.source import Reading
from dineuro_bridge.volumes.volume import Volume
from dineuro_server.jobs.kinds import KINDS
from dineuro_server.jobs.places import reopened
from dineuro_server.jobs.records import Place, WorkFigures
from dineuro_server.jobs.spool import renamed
from dineuro_server.workers.blocks import run_blocks
from dineuro_server.workers.source import Task

_SLICES = PARTS["slices"]


def run_task(
    task: Task,
    device: str,
    progress: ProgressCallback,
    memory: SegmentationMemory | None = None,
) -> WorkFigures:
    """Do one job.

    The output folder is the working directory meanwhile, so that no report contains a path.

    Args:
        task: the job.
        device: "auto", "cpu" or "cuda".
        progress: called between units of work; its exceptions pass through.
        memory: holds the network's probability of the last volume.

    Raises:
        DineuroError: an error of the input or the parameters, with the client's name of the image.
    """
    if task.blocks is not None:
        return run_blocks(task, progress)
    options = TraceOptions.from_dict(task.parameters)
    start = time.perf_counter()
    folder = Path(task.output)
    folder.mkdir(parents=True)
    with _input(task, progress) as path:
        progress(Progress("read", 0, 1))
        volume = _read(path, options, task.max_bytes)
        if task.place is not None:
            path.unlink()  # what is read is mapped, or in memory
        progress(Progress("read", 1, 1))
        seconds = {"read": time.perf_counter() - start}
        with contextlib.chdir(folder):
            result = _result(task, device, volume, options, progress, memory)
            progress(Progress("write", 0, 1))
            _write(task, volume, result, _digest(task, volume))
        progress(Progress("write", 1, 1))
    seconds |= result.seconds
    seconds["write"] = time.perf_counter() - start - sum(seconds.values())
    nbytes = sum(path.stat().st_size for path in folder.iterdir())
    return WorkFigures(nbytes, int(np.prod(volume.shape)), seconds, _gpu_bytes())


@contextlib.contextmanager
def _input(task: Task, progress: ProgressCallback) -> Iterator[Path]:
    """The path of the volume; for one that a path named, a link to it in the output folder.

    The link has the suffix of the format. What it leads to is the same before and after the block.
    """
    if task.place is None:
        yield Path(task.input)
        return
    place = Place(**task.place)

    def tick(done: int) -> None:
        progress(Progress("check", done, done))

    with reopened(place, tick) as path:
        link = Path(task.output) / f"input{place.suffix}"
        link.symlink_to(path)
        yield link


def _digest(task: Task, volume: Volume) -> str:
    """The SHA-256 that the results state, as the command line states it."""
    if task.place is not None and task.place["is_folder"]:
        return sha256_of_voxels(volume)
    return task.sha256


def _result(
    task: Task,
    device: str,
    volume: Volume,
    options: TraceOptions,
    progress: ProgressCallback,
    memory: SegmentationMemory | None,
) -> EnhancedVolume | Result:
    """What the pipeline makes of the volume, by the kind of the job."""
    if not KINDS[task.kind].has_tree:
        return enhance_only(volume, options, progress, device=device, memory=memory)
    probability = _probability(task, volume, options)
    return reconstruct(
        volume, options, progress, device=device, probability=probability, memory=memory
    )


def _write(task: Task, volume: Volume, result: EnhancedVolume | Result, digest: str) -> None:
    """Write all parts of the job's kind into the working directory."""
    for_users, for_server = dict[str, Path](), dict[str, Path]()
    for part in KINDS[task.kind].parts:
        group = for_users if part.is_delivered else for_server
        group[part.name] = Path(part.stored)
    if _link_slices(task):
        del for_server[_SLICES.name]
    outcome = outcome_of(volume, digest, result, for_users)
    # The parts that only a browser or a later job needs are written at the same time as the others.
    with ThreadPoolExecutor(max_workers=1) as executor:
        server_parts = executor.submit(write_parts, outcome, for_server)
        write_parts(outcome, for_users)
        server_parts.result()


def _link_slices(task: Task) -> bool:
    """Take the slices from the earlier job of a retrace, whose volume is the same.

    Returns:
        Whether they are in the working directory now.
    """
    if task.probability is None:
        return False
    try:
        os.link(Path(task.probability).with_name(_SLICES.stored), _SLICES.stored)
    except OSError:  # an earlier version did that job, or it has been removed
        return False
    return True


def _read(path: Path, options: TraceOptions, max_bytes: int) -> Volume:
    """The volume under the client's name for it."""
    try:
        how = Reading(options.z_axis)
        roi = options.roi if path.is_dir() else None
        volume = read_volume(
            path, row_order=options.row_order, max_bytes=max_bytes, how=how, roi=roi
        )
    except DineuroError as error:
        raise renamed(error, path, options.name) from error
    return replace(volume, source=options.name)


def _probability(task: Task, volume: Volume, options: TraceOptions) -> ProbabilityMap | None:
    """The probability that a retrace begins with; None for the other kinds."""
    if not KINDS[task.kind].retraces:
        return None
    if task.probability is None or task.report is None:
        region = volume if options.roi is None else volume.cropped(options.roi)
        return ProbabilityMap(_as_mask(region.channel(options.channel or 1), volume.source), "mask")
    report = json.loads(Path(task.report).read_bytes())
    model = report["model"]
    return ProbabilityMap(
        read_volume(task.probability, max_bytes=task.max_bytes).channel(1),
        report["enhancer"],
        None if model is None else (model["name"], model["sha256"]),
    )


def _as_mask(voxels: NDArray[Any], source: str) -> NDArray[np.uint8]:
    """A mask (Z, Y, X) as a probability.

    8-bit voxels with a value above 1 are probabilities in units of 1/255. In other volumes every
    voxel above 0 is foreground.

    Raises:
        BadVolume: the voxels are floating-point numbers, whose scale is unknown.
    """
    if voxels.dtype.kind == "f":
        raise BadVolume(f"{source}: a mask of {voxels.dtype}: save it as 8-bit")
    if voxels.dtype == np.uint8 and voxels.max() > 1:
        return np.asarray(voxels)
    return np.where(voxels > 0, np.uint8(255), np.uint8(0))


def _gpu_bytes() -> int:
    """The most of the GPU's memory that was taken since the last time."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return 0
    most: int = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return most
