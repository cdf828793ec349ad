"""What made a result: the input, the options and the program, for SWC comments and reports."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from dineuro.pipeline.region import spacing_of
from dineuro.pipeline.result import EnhancedVolume, Result
from dineuro_bridge.files import reading
from dineuro_bridge.option_table import table_of
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.volumes.formats import is_folder_volume, slice_files
from dineuro_bridge.volumes.remote import address_of
from dineuro_bridge.volumes.volume import Volume
from dineuro_tracing.trace import NODE_STEP

#: Options that a report states in another form, or elsewhere.
_STATED_OTHERWISE = {"name", "spacing"}


#: Bytes that are hashed at a time.
_PIECE = 2**20


def sha256_of(path: Path, volume: Volume) -> str:
    """The SHA-256 of a file's bytes, or of the files of a folder of slices, in hexadecimal.

    A volume that is a folder may be larger than a disk is read in a day, so the voxels that were
    read take the place of its files; so they do for a volume at an address.

    Raises:
        FileAccess: a file cannot be read.
    """
    if is_folder_volume(path) or address_of(path) is not None:
        return sha256_of_voxels(volume)
    digest = hashlib.sha256()
    with reading(path):
        for part in slice_files(path) if path.is_dir() else [path]:
            with part.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
    return digest.hexdigest()


def sha256_of_voxels(volume: Volume) -> str:
    """The SHA-256 of a volume's voxels, little-endian, in hexadecimal."""
    digest = hashlib.sha256()
    for channel in volume.voxels:
        for plane in channel:
            digest.update(np.ascontiguousarray(plane, plane.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def comments(volume: Volume, digest: str | None, result: Result) -> tuple[str, ...]:
    """The comments of an SWC file: the same input, options and program give the same lines.

    They hold no date and no timings.

    Args:
        volume: the traced volume; its source names it.
        digest: SHA-256 of its file; None for a volume that came from memory.
        result: of the trace.
    """
    options = result.options
    spacing = _spacing_xyz(volume, options)
    lines = [
        f"DINeuro {version('dineuro')}",
        f"image {Path(volume.source).name}",
        *([] if digest is None else [f"image_sha256 {digest}"]),
        f"coordinates x y z, {options.units}, 0-based, of the full volume",
        f"row_order {volume.row_order}",
        f"spacing_um_xyz {' '.join(f'{s:g}' for s in spacing) if spacing else 'unknown'}",
    ]
    if result.model is not None:
        lines += [f"model {result.model[0]}", f"model_sha256 {result.model[1]}"]
    lines += [f"enhancer {result.enhancer}", *_option_lines(options)]
    report = result.report
    lines.append(f"passes {report.passes} of at most {options.passes}")
    lines.append(f"root_found_by {report.root}")
    lines.append(f"joined_gaps {report.joined_gaps}")
    return (*lines, *(f"warning {text}" for text in report.warnings))


def _option_lines(options: TraceOptions) -> list[str]:
    """One line for each option that the table marks with `comment`."""
    lines = []
    for option in table_of(type(options)).values():
        if option.comment:
            value = _resolved(option.name, options)
            if isinstance(value, tuple):
                value = ",".join(f"{v:g}" for v in value)
            lines.append(f"{option.name} {'auto' if value is None else value}")
    return lines


def _resolved(name: str, options: TraceOptions) -> Any:
    """The value of an option; the channel that is left out is the first one."""
    value = getattr(options, name)
    return 1 if name == "channel" and value is None else value


def _spacing_xyz(volume: Volume, options: TraceOptions) -> tuple[float, float, float] | None:
    spacing = spacing_of(volume, options)
    return None if spacing is None else spacing[::-1]


def settings(volume: Volume, result: Result | EnhancedVolume) -> dict[str, Any]:
    """The options as plain values for the report, with what the file decided."""
    options = result.options
    chosen = {
        name: _resolved(name, options)
        for name in table_of(type(options))
        if name not in _STATED_OTHERWISE
    }
    return {
        **chosen,
        "device": result.device,
        "step": NODE_STEP,
        "spacing_um_xyz": _spacing_xyz(volume, options),
        "row_order": volume.row_order,
    }


def input_record(
    volume: Volume, digest: str | None, result: Result | EnhancedVolume
) -> dict[str, Any]:
    """The first entries of a report: the input, the settings, the enhancer and the network.

    Args:
        volume: the traced volume; its source names it.
        digest: SHA-256 of its file; None for a volume that came from memory.
        result: of the job.
    """
    model = result.model
    return {
        "input": volume.source,
        "sha256": digest,
        "dineuro": version("dineuro"),
        "shape_zyx": volume.full_shape,
        "channels": volume.n_channels,
        "dtype": str(volume.voxels.dtype),
        "settings": settings(volume, result),
        "enhancer": result.enhancer,
        "model": None if model is None else {"name": model[0], "sha256": model[1]},
        "runtime": result.runtime,
    }
