"""What a TIFF's pages say of the volume, checked against the file before a page is decoded."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
import tifffile
from numpy.typing import NDArray

from dineuro_bridge.errors import BadFile, BadParameter, BadVolume, UnsupportedFormat
from dineuro_bridge.scale import Spacing
from dineuro_bridge.volumes.terms import ZAxis
from dineuro_bridge.volumes.tiff_layout import Layout
from dineuro_bridge.volumes.volume import Header
from dineuro_bridge.volumes.voxel_size import (
    imagej_voxel_size,
    lsm_voxel_size,
    ome_voxel_size,
    stk_voxel_size,
    unknown_unit,
)

#: Characters of the sample types that are read.
READABLE = "?bBhHiIefd"
_BOTTOM_LEFT = 4
_GRAY = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
#: Unnamed axes are slices; several gray samples of a pixel are channels.
_UNNAMED = "QI"
_NAMES = {**dict.fromkeys(_UNNAMED, "Z"), "S": "C"}


def header_of(path: Path | str, file: tifffile.TiffFile, layout: Layout, z_axis: ZAxis) -> Header:
    """The header of the one grayscale volume in a file.

    Raises:
        BadFile: pages that the file does not hold.
        BadVolume: colour, a time series.
        BadParameter: `z_axis` is "t", and the file has no time axis or has slices already.
        UnsupportedFormat: samples that are no numbers of a volume.
    """
    series = layout.series
    page = series.keyframe
    _check_gray(path, page, layout)
    if series.dtype.char not in READABLE:
        raise UnsupportedFormat(
            f"{path}: {series.dtype} samples are not read: save the stack as 8- or 16-bit grayscale"
        )
    _check_axes(path, series, z_axis)
    dtype = np.dtype(np.uint8) if series.dtype == np.bool_ else series.dtype.newbyteorder("=")
    shape = _czyx_shape(series, z_axis)
    details = {
        "kind": layout.kind,
        "big": "yes" if file.is_bigtiff else "no",
        "axes": series.axes,
        "compression": tifffile.COMPRESSION(page.compression).name.lower(),
        "pages": str(len(file.pages)),
    }
    if layout.parts:
        details["files"] = ", ".join(Path(part.filename).name for part in (file, *layout.parts))
    spacing = _voxel_size(file, layout, shape[1])
    warnings = _warnings(file, layout, spacing)
    header = Header("tiff", shape, dtype, spacing, details, tuple(warnings))
    _check_imagej_count(path, file, layout, header)
    _check_extent(path, series, header)
    return header


def _warnings(file: tifffile.TiffFile, layout: Layout, spacing: Spacing | None) -> list[str]:
    """What was assumed of the layout, the samples and the voxel size."""
    warnings = list(layout.warnings)
    unit = None if spacing is not None else unknown_unit(_units(file, layout))
    if unit is not None:
        warnings.append(f"the voxel size is in {unit!r}, an unknown unit: pass --spacing x,y,z")
    if layout.series.keyframe.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        warnings.append(
            "0 is white in this TIFF: the samples are taken as they are stored, and programs that "
            "show them inverted, such as Vaa3D, show the opposite"
        )
    return warnings


def _check_gray(path: Path | str, page: tifffile.TiffPage, layout: Layout) -> None:
    """Refuse colour. Channels of a microscope that are declared as colour are intensity."""
    photometric = page.photometric
    if photometric in _GRAY:
        return
    if photometric == tifffile.PHOTOMETRIC.PALETTE and _is_ramp(page, layout):
        return
    if photometric == tifffile.PHOTOMETRIC.RGB and layout.kind in ("LSM", "STK"):
        return
    raise BadVolume(
        f"{path}: is a colour picture (RGB or palette): save the neuron's channel as grayscale"
    )


def _is_ramp(page: tifffile.TiffPage, layout: Layout) -> bool:
    """Whether a colour table only tints intensities: ImageJ's, or one whose colours never turn."""
    if layout.kind in ("ImageJ", "OME-TIFF", "LSM"):
        return True
    table = page.colormap
    if table is None:
        return False
    steps = np.diff(table.astype(np.int64), axis=1)
    return bool((steps >= 0).all() or (steps <= 0).all()) and bool(steps.any())


def _check_axes(path: Path | str, series: tifffile.TiffPageSeries, z_axis: ZAxis) -> None:
    """Refuse what is not one volume: time series, tiles, positions."""
    long = [(a, n) for a, n in zip(series.axes, series.shape, strict=True) if n > 1]
    names = volume_axes([axis for axis, _ in long])
    if z_axis == "t":
        if "T" not in names or "Z" in names:
            which = "no time points" if "T" not in names else "slices as well as time points"
            raise BadParameter(f"{path}: z_axis t: the file has {which}")
        names = volume_axes(names, z_axis)
    for (axis, length), name in zip(long, names, strict=True):
        if name == "T" and "Z" not in names:
            raise BadVolume(
                f"{path}: a time series of {length} single slices: save one stack, or pass "
                "--z-axis t if these are the slices of a stack"
            )
        if name == "T":
            raise BadVolume(f"{path}: a time series of {length}: save one time point")
        if name not in "CZYX" or names.count(name) > 1:
            what = "an unnamed axis" if axis in _UNNAMED else f"an axis {axis!r}"
            raise BadVolume(f"{path}: {what} of {length}: save one volume as Z, Y, X")


def _check_imagej_count(
    path: Path | str, file: tifffile.TiffFile, layout: Layout, header: Header
) -> None:
    """Refuse a file that has fewer slices than ImageJ's text promises."""
    promised = (file.imagej_metadata or {}).get("images", 1)
    # ImageJ writes the voxels of a large stack in one piece behind a single page.
    one_piece = layout.series.dataoffset is not None
    held = header.shape[0] * header.shape[1] if one_piece else len(file.pages)
    if isinstance(promised, int) and promised > held:
        raise BadFile(
            f"{path}: ImageJ's header promises {promised} slices, the file holds {held}: it was "
            "cut off, or saved by a program that kept an old header"
        )


def _check_extent(path: Path | str, series: tifffile.TiffPageSeries, header: Header) -> None:
    """Refuse pages whose data lies outside the file."""
    plain = has_plain_samples(series)
    end = series.keyframe.parent.filehandle.size
    if series.dataoffset is not None and plain:
        last = series.dataoffset + series.size * series.dtype.itemsize
        if last > end:
            raise BadFile(f"{path}: truncated: its voxels end at byte {last}, the file at {end}")
        return
    per_page = 0
    for page in series.pages:
        if page is None:
            raise BadFile(f"{path}: incomplete: a page is missing (a part of a multi-file stack?)")
        frame = cast(tifffile.TiffPage, page)
        end = frame.parent.filehandle.size
        for offset, count in zip(frame.dataoffsets, frame.databytecounts, strict=False):
            if offset < 0 or count < 0:
                raise BadFile(f"{path}: damaged TIFF: a page begins at byte {offset}")
            if offset + count > end:
                raise BadFile(
                    f"{path}: truncated: a page ends at byte {offset + count}, the file at {end}"
                )
            per_page += count
    if plain and per_page < math.prod(header.shape) * series.dtype.itemsize:
        raise BadFile(f"{path}: truncated: {per_page} bytes of voxels; {header.nbytes} announced")


def has_plain_samples(series: tifffile.TiffPageSeries) -> bool:
    """Whether the samples lie in the file unencoded, a byte or more each."""
    page = series.keyframe
    return bool(
        page.compression == tifffile.COMPRESSION.NONE
        and page.predictor == tifffile.PREDICTOR.NONE
        and page.fillorder == 1
        and page.bitspersample == series.dtype.itemsize * 8
    )


def _czyx_shape(series: tifffile.TiffPageSeries, z_axis: ZAxis) -> tuple[int, int, int, int]:
    """(C, Z, Y, X) of the series."""
    size = {"C": 1, "Z": 1, "Y": 1, "X": 1}
    for axis, length in zip(volume_axes(series.axes, z_axis), series.shape, strict=True):
        size[axis] = size.get(axis, 1) * int(length)
    return size["C"], size["Z"], size["Y"], size["X"]


def volume_axes(axes: Iterable[str], z_axis: ZAxis = "z") -> list[str]:
    """The library's names of axes as C, Z, Y, X, where they are one of these."""
    names = _NAMES | {"T": "Z"} if z_axis == "t" else _NAMES
    return [names.get(axis, axis) for axis in axes]


def as_czyx(voxels: NDArray[Any], axes: str, z_axis: ZAxis) -> NDArray[Any]:
    """A view (C, Z, Y, X) of an array with the axes of a series; further axes have length 1."""
    names = volume_axes(axes, z_axis)
    for at in range(len(names) - 1, -1, -1):
        if names[at] not in "CZYX" or (names.count(names[at]) > 1 and voxels.shape[at] == 1):
            voxels, names = voxels.squeeze(at), names[:at] + names[at + 1 :]
    for axis in "CZ":
        if axis not in names:
            voxels, names = voxels[None], [axis, *names]
    return voxels.transpose([names.index(axis) for axis in "CZYX"])


def is_bottom_left(series: tifffile.TiffPageSeries) -> bool:
    """Whether every page says that its first row is the lowest."""
    for page in series.pages:
        tags = getattr(page, "tags", None) or series.keyframe.tags
        if tags.valueof("Orientation", 1) != _BOTTOM_LEFT:
            return False
    return True


def _voxel_size(file: tifffile.TiffFile, layout: Layout, depth: int) -> Spacing | None:
    """(z, y, x) in µm, from whatever metadata the file has."""
    page = file.pages.first
    if layout.xml is not None and layout.xml.images:
        return ome_voxel_size(layout.xml.images[0])
    if layout.kind == "LSM":
        return lsm_voxel_size(file.lsm_metadata or {})
    if layout.kind == "STK":
        return stk_voxel_size(file.stk_metadata or {})
    if file.is_imagej:
        return imagej_voxel_size(file.imagej_metadata or {}, page, depth)
    return None


def _units(file: tifffile.TiffFile, layout: Layout) -> list[str]:
    """The units of the voxel size as the metadata name them."""
    if layout.xml is not None and layout.xml.images:
        pixels = layout.xml.images[0].pixels
        return [pixels.get(f"PhysicalSize{axis}Unit", "") for axis in "XYZ"]
    if layout.kind == "STK":
        return [str((file.stk_metadata or {}).get("CalibrationUnits", ""))]
    if file.is_imagej:
        metadata = file.imagej_metadata or {}
        return [str(metadata.get(name, "")) for name in ("unit", "yunit", "zunit")]
    return []
