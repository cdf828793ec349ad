"""One volume from file to files: it is read, reconstructed, and its results are written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from dineuro.files.outputs import Done, Outputs, make_folders
from dineuro.files.parts import Outcome, check_names, write_parts
from dineuro.files.proofreading import doubt_records
from dineuro.files.provenance import comments, input_record, sha256_of
from dineuro.pipeline.reconstruct import reconstruct
from dineuro.pipeline.region import spacing_of
from dineuro.pipeline.result import EnhancedVolume, Result
from dineuro_bridge.options import DEFAULTS, TraceOptions
from dineuro_bridge.parts import PARTS
from dineuro_bridge.progress import ProgressCallback, silent
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import read_volume
from dineuro_bridge.volumes.source import NAMED_HERE
from dineuro_bridge.volumes.volume import DEFAULT_MAX_BYTES, Volume
from dineuro_tracing.measure import measure


def run_one(
    path: Path,
    outputs: Outputs,
    options: TraceOptions = DEFAULTS,
    progress: ProgressCallback = silent,
    *,
    device: str = "auto",
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Done:
    """Trace one file and write the parts of its result.

    The pipeline ends before the first file is written; each file is written whole or not at all.

    Args:
        path: the volume.
        outputs: the parts to write, and the path of each.
        options: the options of the trace.
        progress: called between units of work; it may raise `Cancelled`.
        device: where the network runs: "auto", "cpu" or "cuda".
        max_bytes: the largest volume to read.

    Raises:
        DineuroError: the file or the options are faulty.
    """
    check_names(outputs)
    how = replace(NAMED_HERE, z_axis=options.z_axis)
    volume = read_volume(
        path, row_order=options.row_order, max_bytes=max_bytes, how=how, roi=options.roi
    )
    # The results name the path as the user wrote it.
    volume = replace(volume, source=str(path))
    result = reconstruct(volume, options, progress, device=device)
    outcome = outcome_of(volume, sha256_of(path, volume), result, outputs)
    make_folders(outputs)
    write_parts(outcome, outputs)
    return Done(outcome.tree, dict(outcome.record))


def outcome_of(
    volume: Volume, digest: str, result: Result | EnhancedVolume, outputs: Outputs
) -> Outcome:
    """Everything that the parts of a result are written from.

    Args:
        volume: the input; its source is what the results call it.
        digest: SHA-256 of its file, in hexadecimal.
        result: what the pipeline made.
        outputs: where the parts for the user go.
    """
    tree, figures = Tree.empty(), dict[str, Any]()
    if isinstance(result, Result):
        tree = result.tree.with_comments(comments(volume, digest, result))
        spacing = spacing_of(volume, result.options)
        measured = measure(result.tree, spacing, unit=result.options.units).as_dict()
        figures = {
            **result.report.as_dict(),
            "measurements": measured,
            "doubts": doubt_records(result.doubts, result.report.layout),
        }
    else:
        figures = result.figures
    record = {
        **input_record(volume, digest, result),
        **figures,
        "seconds": {stage: round(value, 3) for stage, value in result.seconds.items()},
        "outputs": {name: str(outputs[name]) for name in PARTS if name in outputs},
    }
    return Outcome(volume, result, tree, record, outputs)
