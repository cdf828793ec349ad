"""A run from its start to its end: the stages in their order, each resumed where it was left.

1. plan      the blocks that may hold neurites
2. range     the span of intensities, from the maxima of all blocks
3. ground    the background's medians
4. ridges    noise and neurites; with them all figures of the classical enhancer are known
   noise, trial    whether "auto" takes the network, from some blocks
   signal, network  the tiles of the network, each predicted once
5. enhance   probability and mask of each block
6. lines     the centre lines of each block, linked across the faces
7. joins     joins over gaps, chosen among the candidates of all blocks
8. trees     one tree for each soma, and the pieces; smoothed, judged, pruned
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dineuro.brain import tasks
from dineuro.brain.measuring import measure, measure_ranges
from dineuro.brain.merging import find_trees
from dineuro.brain.network.choice import Choice, check_dark, choose, enhance_all, the_network
from dineuro.brain.results import load_trees, write_results
from dineuro.brain.stages import Run
from dineuro.brain.store.folder import Ledger
from dineuro.brain.store.grid import Grid
from dineuro.brain.store.input import occupied_blocks, open_input
from dineuro.brain.store.volumes import create_volume
from dineuro.brain.tasks import Job
from dineuro.brain.workers import Workers
from dineuro_bridge.errors import BadParameter
from dineuro_bridge.files import write_record
from dineuro_bridge.options import TraceOptions, check_in_blocks
from dineuro_bridge.progress import Progress, ProgressCallback, silent
from dineuro_bridge.volumes.remote import address_of
from dineuro_model.catalog import find_model
from dineuro_model.inference.registry import runtimes_for
from dineuro_model.inference.tiles import CELL

#: The options that a run reads; `units` alone may change between two calls.
_READ = ("enhancer", "model", "channel", "spacing", "threshold", "min_length", "gap", "spines",
         "min_confidence")  # fmt: skip
#: The share of the length in blocks that were left out, above which a warning tells of it.
_MOST_LOST = 0.001
#: What the comments of the trees do not tell as it was asked for.
_NOT_TOLD = ("spacing", "channel", "enhancer", "model")


def prepare_job(
    path: Path,
    folder: Path,
    options: TraceOptions,
    edge: int,
    *,
    root: str | None = None,
    name: str | None = None,
    most_bytes: int | None = None,
) -> Job:
    """Check what was asked for, and open the volume.

    Args:
        path: of the volume.
        folder: of the run.
        options: of the trace.
        edge: of a block in voxels.
        root: see `Input`.
        name: what the comments of the trees call the volume; None is the name of its file.
        most_bytes: what the folder may take on disk; None is what the disk has.

    Raises:
        BadParameter: an option that no run has.
        BadFile, BadVolume, FileAccess, UnsupportedFormat: of the volume.
    """
    check_in_blocks(options)
    if address_of(folder) is not None:
        raise BadParameter(f"{folder}: an address is only read: name a folder here")
    if options.enhancer == "dineuro":
        runtimes_for()
    if options.model is not None and find_model(options.model).path == Path(options.model):
        options = replace(options, model=str(Path(options.model).resolve()))
    if edge < 32 or edge % 4:
        raise BadParameter(f"block {edge}: must be a multiple of 4 from 32 on")
    if options.enhancer != "classical" and edge % CELL:
        raise BadParameter(f"block {edge}: must be a multiple of {CELL} for the network")
    given = open_input(path, options.channel, root)
    source = given.source()
    size = source.shape[1:]
    spacing = source.spacing if options.spacing is None else options.spacing[::-1]
    if spacing is None and options.units == "um":
        raise BadParameter(f"{path}: no voxel size is known: give --spacing for µm")
    return Job(given, str(folder.resolve()), Grid(size, edge), spacing, options,
               name or path.name, most_bytes)  # fmt: skip


def run_brain(job: Job, workers: Workers, progress: ProgressCallback = silent) -> dict[str, Any]:
    """Do a run, or go on with it, and return its report.

    Raises:
        BadParameter: the folder holds another run.
        FileAccess: the disk is full, or the folder cannot be used.
    """
    files = job.files
    read = {name: job.options.as_dict()[name] for name in _READ}
    source = job.given.source()
    files.begin({
        "input": job.given.path, "identity": job.given.identity and job.given.identity._asdict(),
        "size": job.grid.size,
        "dtype": str(source.dtype), "spacing": job.spacing, "block": job.grid.edge, **read,
    })  # fmt: skip
    ledger = Ledger(files.path / "ledger.sqlite")
    try:
        run = Run(job, workers, ledger, progress)
        run.warnings += source.header.warnings
        blocks, dark = occupied_blocks(
            job.given, job.grid, lambda at, n: progress(Progress("plan", at, n))
        )
        job.check_room(len(blocks), network=job.options.enhancer == "dineuro")
        found, groups = run_stages(run, list(blocks), dark)
        record = _report(run, blocks, dark, found, groups)
        if not run.holes:
            files.drop("network")
        return record
    finally:
        ledger.close()


def run_stages(
    run: Run, blocks: list[int], dark: Sequence[int] = ()
) -> tuple[dict[str, Any], tuple[int, ...]]:
    """All stages after the plan.

    Args:
        run: it gets holes and warnings.
        blocks: the occupied ones; the list is changed.
        dark: those that were left out, of which some are looked at.

    Returns:
        Figures for the report, and the numbers of the groups of finished trees.
    """
    job = run.job
    if not blocks:
        run.warnings.append("no block shows anything: no chunk is stored, or all are dark")
        return {}, ()
    ranges = measure_ranges(run, blocks)
    if not ranges:
        return {}, ()
    if job.options.enhancer == "dineuro":
        choice = Choice(the_network(run, ranges), None)
    else:
        choice = Choice(None, measure(run, ranges))
        if job.options.enhancer == "auto" and choice.figures is not None:
            choice = choose(run, ranges, choice.figures)
    for path in (job.files.probability, job.files.mask):
        create_volume(path, job.grid, job.spacing)
    stated = choice.stated()
    if choice.net is not None:
        job.check_room(len(ranges), network=True)
        found = enhance_all(run, ranges, choice, choice.net)
    else:
        items = ((b, (job, b, choice.figures)) for b in run.without_holes(ranges))
        found = run.stage("enhance", tasks.enhance_block, items, stated)
    groups = find_trees(run, [b for b, each in found.items() if each["mask"]], stated)
    mask = sum(each["mask"] for each in found.values())
    told: dict[str, Any] = {"mask_voxels": mask, **stated}
    if dark:
        told["dark_sample"] = check_dark(run, dark, choice)
    return told, groups


def _report(
    run: Run, blocks: list[int], dark: list[int], figures: dict[str, Any], groups: tuple[int, ...]
) -> dict[str, Any]:
    """Write the results and the report."""
    job, files = run.job, run.job.files
    trees = (each for n in groups for each in load_trees(files.stage("trees", n)))
    holes = [
        {
            "stage": entry.stage, "number": entry.number, "says": entry.error,
            "box_xyz": None if entry.stage == "trees" else job.grid.window(entry.number).core_roi,
        }
        for entry in sorted(run.holes, key=lambda entry: (entry.number, entry.stage))
    ]  # fmt: skip
    spacing = None if job.spacing is None else job.spacing[::-1]
    record: dict[str, Any] = {
        "input": job.given.path,
        "dineuro": json.loads((files.path / "run.json").read_bytes())["dineuro"],
        "shape_zyx": job.grid.size,
        "spacing_um_xyz": spacing,
        "block": job.grid.edge,
        "blocks": len(job.grid),
        "blocks_done": len(run.without_holes(blocks)),
        "blocks_dark": len(dark),
        "holes": holes,
        **figures,
    }
    if spacing is None:
        run.warnings.append("voxel size unknown: voxels are taken as cubes (--spacing x,y,z)")
    comments = _comments(job, record)
    record |= write_results(files.path, trees, job.options, job.scale, comments)
    _tell_dark(run, record)
    record |= {"costs": run.ledger.costs(), "warnings": run.warnings}
    write_record(files.path / "report.json", record)
    return record


def _tell_dark(run: Run, record: dict[str, Any]) -> None:
    """Estimate the length in all blocks that were left out, and warn where it is much."""
    sample = record.get("dark_sample")
    if not sample or not sample["blocks"]:
        return
    left_out = sample["length"] / sample["blocks"] * record["blocks_dark"]
    share = left_out / (left_out + record["length"]) if left_out else 0.0
    sample["share_of_length"] = round(share, 5)
    if share > _MOST_LOST:
        run.warnings.append(
            f"blocks that were left out as dark hold about {share:.2%} of the length, by a sample "
            f"of {sample['blocks']}: without levels in the volume no block is left out"
        )


def _comments(job: Job, record: dict[str, Any]) -> tuple[str, ...]:
    """The comments of the SWC files; no date, so that the same run gives the same bytes."""
    spacing = record["spacing_um_xyz"]
    options = job.options.as_dict()
    return (
        f"DINeuro {record['dineuro']}",
        f"image {job.name}",
        f"coordinates x y z, {job.options.units}, 0-based, of the full volume",
        f"spacing_um_xyz {' '.join(f'{s:g}' for s in spacing) if spacing else 'unknown'}",
        f"enhancer {record.get('enhancer', options['enhancer'])}, in blocks of {job.grid.edge}",
        *(f"{name} {options[name]}" for name in _READ if name not in _NOT_TOLD),
        *_network_comments(job, record),
        *(f"hole {','.join(map(str, h['box_xyz']))}" for h in record["holes"] if h["box_xyz"]),
    )


def _network_comments(job: Job, record: dict[str, Any]) -> tuple[str, ...]:
    if record.get("network") is None:
        return ()
    return (f"model {find_model(job.options.model).name} sha256 {record['network']['sha256']}",)
