"""One volume from file to files: read, reconstructed, and whatever was asked for written."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from dineuro.files.outputs import Done, Outputs, link_results, make_folder
from dineuro.files.preview import write_preview
from dineuro.files.proofreading import as_markers, doubt_records, graded, segment_records
from dineuro.files.provenance import comments, input_record, sha256_of
from dineuro.pipeline.reconstruct import Result, reconstruct
from dineuro_bridge.files import write_record
from dineuro_bridge.options import DEFAULTS, TraceOptions
from dineuro_bridge.progress import ProgressCallback, silent
from dineuro_bridge.trees.marker import write_markers
from dineuro_bridge.trees.swc import write_eswc, write_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import DEFAULT_MAX_BYTES, Volume
from dineuro_tracing.confidence import Segments


def run_one(
    path: Path,
    outputs: Outputs,
    options: TraceOptions = DEFAULTS,
    progress: ProgressCallback = silent,
    *,
    device: str = "auto",
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Done:
    """Trace one file and write what was asked for.

    All results are made before the first is written; each is written whole or not at all.

    Args:
        path: of the volume.
        outputs: where the results go.
        options: of the trace.
        progress: called between units of work; it may raise `Cancelled`.
        device: where the network runs: "auto", "cpu" or "cuda".
        max_bytes: of the largest volume to read.

    Raises:
        DineuroError: whatever is wrong with the file or the options.
    """
    volume = read_volume(path, row_order=options.row_order, max_bytes=max_bytes)
    # What is said of the volume names the path as the user gave it.
    volume = replace(volume, source=str(path))
    result = reconstruct(volume, options, progress, device=device)
    return write_results(volume, sha256_of(path), result, outputs)


def write_results(volume: Volume, digest: str, result: Result, outputs: Outputs) -> Done:
    """Write what was asked for, each file whole or not at all.

    Args:
        volume: that was traced; its source is what the results call it.
        digest: SHA-256 of its file.
        result: what came out.
        outputs: where the results go.

    Raises:
        FileAccess: a place cannot be written to.
    """
    for place in asdict(outputs).values():
        if place is not None:
            make_folder(place.parent)
    tree = result.tree.with_comments(comments(volume, digest, result))
    if outputs.swc is not None:
        _write_tree(outputs.swc, tree, result.segments)
    if outputs.mask is not None:
        write_volume(outputs.mask, result.mask, compress=True)
    if outputs.preview is not None:
        write_preview(outputs.preview, result.intensity, result.overlay)
    if outputs.doubts is not None:
        write_markers(outputs.doubts, as_markers(result.doubts))
    link_results(Path(volume.source), outputs)
    record = {
        **input_record(volume, digest, result),
        **result.report.as_dict(),
        "doubts": doubt_records(result.doubts),
        "seconds": {stage: round(value, 3) for stage, value in result.seconds.items()},
        "outputs": {k: str(v) for k, v in asdict(outputs).items() if v is not None},
    }
    if outputs.report is not None:
        graded_too = {"segments": segment_records(result.segments)}
        write_record(outputs.report, record | graded_too)
    return Done(tree, record)


def _write_tree(path: Path, tree: Tree, segments: Segments) -> None:
    """As the suffix says."""
    if path.suffix.lower() == ".eswc":
        write_eswc(path, graded(tree, segments))
    else:
        write_swc(path, tree)
