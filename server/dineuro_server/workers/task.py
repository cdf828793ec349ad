"""What a worker does for one job: files in, a folder of results out. No web, no process.

    enhance   mask.v3draw  report.json  preview.png  probability.v3dpbd
    trace     the same, and tree.swc  doubts.marker
    retrace   as trace

The probability is kept for a retrace with other parameters of the tracer; it is the region's alone,
and packed.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro.files.outputs import Outputs
from dineuro.files.preview import write_preview
from dineuro.files.provenance import input_record
from dineuro.files.view import write_view
from dineuro.files.write import write_results
from dineuro.pipeline.enhancement import Given
from dineuro.pipeline.reconstruct import EnhancedVolume, Result, enhance_only, reconstruct
from dineuro_bridge.errors import BadVolume, DineuroError
from dineuro_bridge.files import write_record
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.progress import Progress, ProgressCallback
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_server.jobs.records import WorkFigures
from dineuro_server.jobs.spool import renamed
from dineuro_server.workers.source import Task

_MASK, _REPORT, _PREVIEW = Path("mask.v3draw"), Path("report.json"), Path("preview.png")
_DOUBTS, _VIEW = Path("doubts.marker"), Path("view.u8")
_PROBABILITY = Path("probability.v3dpbd")


def run_task(task: Task, device: str, progress: ProgressCallback) -> WorkFigures:
    """Do one job.

    The output folder is the working directory meanwhile, so that no report contains a path.

    Args:
        task: the job.
        device: "auto", "cpu" or "cuda".
        progress: called between units of work; its exceptions pass through.

    Raises:
        DineuroError: an error of the input or the parameters, with the client's name of the image.
    """
    options = TraceOptions.from_dict(task.parameters)
    start = time.perf_counter()
    progress(Progress("read", 0, 1))
    volume = _read(Path(task.input), options, task.max_bytes)
    progress(Progress("read", 1, 1))
    seconds = {"read": time.perf_counter() - start}
    folder = Path(task.output)
    folder.mkdir(parents=True)
    with contextlib.chdir(folder):
        made = _make(task, device, volume, options, progress)
        progress(Progress("write", 0, 1))
        # What only a later job or a browser asks for is written beside the rest.
        with ThreadPoolExecutor(max_workers=1) as beside:
            kept = beside.submit(_write_kept, made)
            if isinstance(made, Result):
                outputs = Outputs(Path("tree.swc"), _MASK, _REPORT, _PREVIEW, _DOUBTS)
                write_results(volume, task.sha256, made, outputs)
            else:
                _write_enhanced(made, volume, task.sha256)
            kept.result()
    progress(Progress("write", 1, 1))
    seconds |= made.seconds
    seconds["write"] = time.perf_counter() - start - sum(seconds.values())
    nbytes = sum(path.stat().st_size for path in folder.iterdir())
    return WorkFigures(nbytes, int(np.prod(volume.shape)), seconds, _gpu_bytes())


def _make(
    task: Task, device: str, volume: Volume, options: TraceOptions, progress: ProgressCallback
) -> EnhancedVolume | Result:
    if task.kind == "enhance":
        return enhance_only(volume, options, progress, device=device)
    given = _given(task, volume, options)
    return reconstruct(volume, options, progress, device=device, given=given)


def _read(path: Path, options: TraceOptions, max_bytes: int) -> Volume:
    """The volume under the client's name for it."""
    try:
        volume = read_volume(path, row_order=options.row_order, max_bytes=max_bytes)
    except DineuroError as error:
        raise renamed(error, path, options.name) from error
    return replace(volume, source=options.name)


def _given(task: Task, volume: Volume, options: TraceOptions) -> Given | None:
    """The probability that is not to be made again; None where it is."""
    if task.kind == "trace":
        return None
    if task.probability is None or task.report is None:
        region = volume if options.roi is None else volume.cropped(options.roi)
        return Given(_as_mask(region.channel(options.channel or 1), volume.source), "mask")
    told = json.loads(Path(task.report).read_bytes())
    model = told["model"]
    return Given(
        read_volume(task.probability, max_bytes=task.max_bytes).channel(1),
        told["enhancer"],
        None if model is None else (model["name"], model["sha256"]),
    )


def _as_mask(voxels: NDArray[Any], source: str) -> NDArray[np.uint8]:
    """A mask (Z, Y, X) as a probability.

    8-bit voxels of which one is above 1 are probabilities of 255 as they are; of all others what is
    above 0 is the neuron.

    Raises:
        BadVolume: floating-point voxels, which say neither.
    """
    if voxels.dtype.kind == "f":
        raise BadVolume(f"{source}: a mask of {voxels.dtype}: save it as 8-bit")
    if voxels.dtype == np.uint8 and voxels.max() > 1:
        return np.asarray(voxels)
    return np.where(voxels > 0, np.uint8(255), np.uint8(0))


def _write_enhanced(made: EnhancedVolume, volume: Volume, digest: str) -> None:
    """Mask, report and picture of a job without a tree, into the working directory."""
    write_volume(_MASK, made.mask)
    write_preview(_PREVIEW, made.intensity, Tree.empty())
    record = {
        **input_record(volume, digest, made),
        **made.figures,
        "seconds": {stage: round(value, 3) for stage, value in made.seconds.items()},
        "outputs": {"mask": str(_MASK), "report": str(_REPORT), "preview": str(_PREVIEW)},
    }
    write_record(_REPORT, record)


def _write_kept(made: EnhancedVolume | Result) -> None:
    """What a browser shows of the region, and a retrace begins with, into the working directory."""
    roi = made.options.roi
    mask = made.mask if roi is None else made.mask.cropped(roi)
    x, y, z = (0, 0, 0) if roi is None else roi[:3]
    write_view(_VIEW, made.intensity, mask.channel(1), (z, y, x))
    write_volume(_PROBABILITY, Volume(made.probability[None]))


def _gpu_bytes() -> int:
    """The most of the GPU's memory that was taken since the last time."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return 0
    most: int = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return most
