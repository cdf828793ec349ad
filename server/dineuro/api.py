"""The functions that `import dineuro` offers: trace and enhance a volume, and score two trees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np

from dineuro.files.provenance import comments, sha256_of
from dineuro.pipeline.reconstruct import enhance_only, reconstruct
from dineuro.pipeline.result import EnhancedVolume, Result
from dineuro.scoring import scores_in_voxels
from dineuro_bridge.options import DEFAULTS, Point, TraceKwargs, TraceOptions
from dineuro_bridge.progress import ProgressCallback, silent
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import read_volume
from dineuro_bridge.volumes.source import NAMED_HERE
from dineuro_bridge.volumes.volume import DEFAULT_MAX_BYTES, Volume
from dineuro_tracing.scores import Scores

if TYPE_CHECKING:
    from dineuro_bridge.client.client import AnyVolume


def trace(
    volume: AnyVolume,
    options: TraceOptions = DEFAULTS,
    *,
    progress: ProgressCallback = silent,
    device: str = "auto",
    max_bytes: int = DEFAULT_MAX_BYTES,
    **changes: Unpack[TraceKwargs],
) -> Result:
    """Trace the neurons of a volume on this machine.

    The comments of the result's tree state the input, the options and the program, as in the SWC
    files of the command line.

    Args:
        volume: path of a file or of a folder of slices, a `Volume`, or an array (Z, Y, X) or
            (C, Z, Y, X). The option `name` is the source of an array.
        options: of the trace.
        progress: called between units of work; it may raise `Cancelled`.
        device: where the network runs: "auto", "cpu" or "cuda".
        max_bytes: size of the largest file to read, in memory.
        changes: fields of `TraceOptions` that differ from `options`.

    Raises:
        BadParameter: an option is not allowed, or contradicts the volume.
        DineuroError: the file cannot be read, or the volume cannot be traced.
    """
    options = _changed(options, changes)
    source, digest = _load(volume, options, max_bytes)
    result = reconstruct(source, options, progress, device=device)
    return replace(result, tree=result.tree.with_comments(comments(source, digest, result)))


def enhance(
    volume: AnyVolume,
    options: TraceOptions = DEFAULTS,
    *,
    progress: ProgressCallback = silent,
    device: str = "auto",
    max_bytes: int = DEFAULT_MAX_BYTES,
    **changes: Unpack[TraceKwargs],
) -> EnhancedVolume:
    """Find the voxels of neurites, without a tree; arguments and errors as of `trace`."""
    options = _changed(options, changes)
    source, _ = _load(volume, options, max_bytes)
    return enhance_only(source, options, progress, device=device)


def score(
    gold: Tree | Path | str, test: Tree | Path | str, *, gold_spacing: Point | None = None
) -> Scores:
    """Compare a tree with a reference.

    Args:
        gold: the reference, a tree or the path of an SWC file.
        test: the tree to judge, in the same unit.
        gold_spacing: x, y, z in µm of a voxel, for a reference in µm and a tree in voxels.

    Raises:
        BadTree, FileAccess: a file cannot be read, or one tree is in µm by its comments.
    """
    return scores_in_voxels(gold, test, gold_spacing)[0]


def _changed(options: TraceOptions, changes: TraceKwargs) -> TraceOptions:
    """The options with some of them replaced."""
    return type(options).from_dict({**options.as_dict(), **changes})


def _load(volume: AnyVolume, options: TraceOptions, max_bytes: int) -> tuple[Volume, str | None]:
    """The volume and the SHA-256 of its file; None for a volume from memory."""
    if isinstance(volume, str | Path):
        path = Path(volume)
        how = replace(NAMED_HERE, z_axis=options.z_axis)
        source = read_volume(
            path, row_order=options.row_order, max_bytes=max_bytes, how=how, roi=options.roi
        )
        return replace(source, source=str(path)), sha256_of(path, source)
    if isinstance(volume, Volume):
        return volume, None
    voxels = np.asarray(volume)
    return Volume(voxels if voxels.ndim == 4 else voxels[None], source=options.name), None
