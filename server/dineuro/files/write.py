"""One volume from file to files: read, reconstructed, and whatever was asked for written."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dineuro.files.outputs import Done, Outputs, link_results, make_folder
from dineuro.files.preview import write_preview
from dineuro.files.proofreading import as_markers, doubt_records, graded, segment_records
from dineuro.pipeline.reconstruct import Request, Result, reconstruct
from dineuro_bridge.errors import FileAccess
from dineuro_bridge.files import reason, write_record
from dineuro_bridge.progress import ProgressCallback
from dineuro_bridge.trees.marker import write_markers
from dineuro_bridge.trees.swc import write_eswc, write_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import RowOrder, Volume
from dineuro_tracing.confidence import Segments


@dataclass(frozen=True, slots=True)
class Reading:
    """How volumes are read."""

    row_order: RowOrder = "file"
    max_bytes: int = 2**34


def run_one(
    path: Path, outputs: Outputs, request: Request, reading: Reading, progress: ProgressCallback
) -> Done:
    """Trace one file and write what was asked for.

    All results are made before the first is written; each is written whole or not at all.

    Raises:
        DineuroError: whatever is wrong with the file or the request.
    """
    volume = read_volume(path, row_order=reading.row_order, max_bytes=reading.max_bytes)
    # What is said of the volume names the path as the user gave it.
    volume = replace(volume, source=str(path))
    result = reconstruct(volume, request, progress)
    return write_results(volume, sha256_of(path), request, result, outputs)


def write_results(
    volume: Volume, digest: str, request: Request, result: Result, outputs: Outputs
) -> Done:
    """Write what was asked for, each file whole or not at all.

    Args:
        volume: that was traced; its source is what the results call it.
        digest: SHA-256 of its file.
        request: what was asked.
        result: what came out.
        outputs: where the results go.

    Raises:
        FileAccess: a place cannot be written to.
    """
    for place in asdict(outputs).values():
        if place is not None:
            make_folder(place.parent)
    tree = result.tree.with_comments(_comments(digest, volume, request, result))
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
        **input_record(volume, digest, request, result.enhancer, result.model),
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


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        FileAccess: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileAccess(f"{path}: cannot be read: {reason(error)}") from error


def _settings(volume: Volume, request: Request) -> dict[str, Any]:
    """The request as plain values, with what the file decided."""
    settings = asdict(request)
    settings |= settings.pop("parameters")
    spacing = request.spacing or volume.spacing
    settings["channel"] = 1 if request.channel is None else request.channel
    settings["spacing_um_xyz"] = None if spacing is None else spacing[::-1]
    del settings["spacing"]
    settings["row_order"] = volume.row_order
    return settings


def _comments(digest: str, volume: Volume, request: Request, result: Result) -> tuple[str, ...]:
    """What made the tree. No date and no seconds: the same input gives the same bytes."""
    settings = _settings(volume, request)
    spacing = settings["spacing_um_xyz"]
    lines = [
        f"DINeuro {version('dineuro')}",
        f"image {Path(volume.source).name}",
        f"image_sha256 {digest}",
        f"coordinates x y z, {request.units}, 0-based, of the full volume",
        f"row_order {volume.row_order}",
        f"spacing_um_xyz {' '.join(f'{s:g}' for s in spacing) if spacing else 'unknown'}",
    ]
    if result.model is not None:
        lines.append(f"model {result.model[0]}")
        lines.append(f"model_sha256 {result.model[1]}")
    lines.append(f"enhancer {result.enhancer}")
    shown = (
        "channel", "roi", "root", "threshold", "min_length", "gap", "trees", "min_confidence",
    )  # fmt: skip
    for name in shown:
        value = settings[name]
        if isinstance(value, tuple):
            value = ",".join(f"{v:g}" for v in value)
        lines.append(f"{name} {'auto' if value is None else value}")
    report = result.report
    lines.append(f"passes {report.passes} of at most {request.passes}")
    lines.append(f"root_found_by {report.root}")
    lines.append(f"joined_gaps {report.joined_gaps}")
    return (*lines, *(f"warning {text}" for text in report.warnings))


def input_record(
    volume: Volume,
    digest: str,
    request: Request,
    enhancer: str,
    model: tuple[str, str] | None,
) -> dict[str, Any]:
    """How a report's JSON begins: the input, the settings, and by what it was enhanced."""
    return {
        "input": volume.source,
        "sha256": digest,
        "dineuro": version("dineuro"),
        "shape_zyx": volume.shape,
        "channels": volume.n_channels,
        "dtype": str(volume.voxels.dtype),
        "settings": _settings(volume, request),
        "enhancer": enhancer,
        "model": None if model is None else {"name": model[0], "sha256": model[1]},
    }
