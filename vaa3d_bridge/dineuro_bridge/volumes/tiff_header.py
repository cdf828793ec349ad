"""What a TIFF's pages say of the volume, checked against the file before a page is decoded."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
import tifffile
from numpy.typing import NDArray

from dineuro_bridge.errors import BadFile, BadVolume, UnsupportedFormat
from dineuro_bridge.scale import Spacing
from dineuro_bridge.volumes.volume import Header

_MICROMETRES = {
    "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0,
    "micrometre": 1.0, "nm": 1e-3, "nanometer": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6,
    "inch": 25400.0,
}  # fmt: skip
#: Characters of the sample types that are read.
READABLE = "?bBhHiIefd"
_BOTTOM_LEFT = 4
_GRAY = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
#: Unnamed axes are slices; several gray samples of a pixel are channels.
_NAMES = {"Q": "Z", "I": "Z", "S": "C"}


def header_of(path: Path | str, file: tifffile.TiffFile) -> Header:
    """The header of the one grayscale volume in a file.

    Raises:
        BadFile: no image, or pages that the file does not hold.
        BadVolume: several images, colour, a time series.
        UnsupportedFormat: samples that are no numbers of a volume.
    """
    if not file.pages or not file.series:
        raise BadFile(f"{path}: a TIFF without any image")
    if len(file.series) > 1:
        shapes = ", ".join(" x ".join(map(str, s.shape)) for s in file.series[:4])
        raise BadVolume(
            f"{path}: holds {len(file.series)} images of differing kinds ({shapes}): save the "
            "stack alone, all pages of one size"
        )
    series = file.series[0]
    page = series.keyframe
    if page.photometric not in _GRAY:
        raise BadVolume(
            f"{path}: is a colour picture (RGB or palette): save the neuron's channel as grayscale"
        )
    if series.dtype.char not in READABLE:
        raise UnsupportedFormat(f"{path}: {series.dtype} samples are not read")
    _check_axes(path, series)
    dtype = np.dtype(np.uint8) if series.dtype == np.bool_ else series.dtype.newbyteorder("=")
    header = Header(
        "tiff",
        _czyx_shape(series),
        dtype,
        _spacing(file, series),
        {
            "kind": "OME-TIFF" if file.is_ome else "ImageJ" if file.is_imagej else "TIFF",
            "big": "yes" if file.is_bigtiff else "no",
            "axes": series.axes,
            "compression": tifffile.COMPRESSION(page.compression).name.lower(),
            "pages": str(len(file.pages)),
        },
    )
    _check_imagej_count(path, file, header)
    _check_extent(path, series, header, file.filehandle.size)
    return header


def _check_axes(path: Path | str, series: tifffile.TiffPageSeries) -> None:
    """Refuse what is not one volume: time series, tiles, positions."""
    long = [(a, n) for a, n in zip(series.axes, series.shape, strict=True) if n > 1]
    names = volume_axes([axis for axis, _ in long])
    for (axis, length), name in zip(long, names, strict=True):
        if axis == "T":
            raise BadVolume(f"{path}: a time series of {length}: save one time point")
        if name not in "CZYX" or names.count(name) > 1:
            raise BadVolume(f"{path}: an axis {axis!r} of {length}: save one volume as Z, Y, X")


def _check_imagej_count(path: Path | str, file: tifffile.TiffFile, header: Header) -> None:
    """Refuse a file that has fewer slices than ImageJ's text promises."""
    promised = (file.imagej_metadata or {}).get("images", 1)
    # ImageJ writes the voxels of a large stack in one piece behind a single page.
    one_piece = file.series[0].dataoffset is not None
    held = header.shape[0] * header.shape[1] if one_piece else len(file.pages)
    if isinstance(promised, int) and promised > held:
        raise BadFile(
            f"{path}: ImageJ's header promises {promised} slices, the file holds {held}: it was "
            "cut off, or saved by a program that kept an old header"
        )


def _check_extent(
    path: Path | str, series: tifffile.TiffPageSeries, header: Header, end: int
) -> None:
    """Refuse pages whose data lies outside the file."""
    plain = has_plain_samples(series)
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
        for offset, count in zip(frame.dataoffsets, frame.databytecounts, strict=False):
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


def _czyx_shape(series: tifffile.TiffPageSeries) -> tuple[int, int, int, int]:
    """(C, Z, Y, X) of the series."""
    size = {"C": 1, "Z": 1, "Y": 1, "X": 1}
    for axis, length in zip(volume_axes(series.axes), series.shape, strict=True):
        size[axis] = size.get(axis, 1) * int(length)
    return size["C"], size["Z"], size["Y"], size["X"]


def volume_axes(axes: Iterable[str]) -> list[str]:
    """The library's names of axes as C, Z, Y, X, where they are one of these."""
    return [_NAMES.get(axis, axis) for axis in axes]


def as_czyx(voxels: NDArray[Any], axes: str) -> NDArray[Any]:
    """A view (C, Z, Y, X) of an array with the axes of a series; further axes have length 1."""
    names = volume_axes(axes)
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


def _spacing(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Spacing | None:
    """(z, y, x) in µm; None unless all three are positive and in a unit of length."""
    steps = _ome_steps(file) if file.is_ome else _imagej_steps(file, series)
    if steps is None or not all(0 < s < math.inf for s in steps):
        return None
    return steps


def _imagej_steps(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Spacing | None:
    """ImageJ: the resolution tags hold pixels per unit, the text the slice distance and unit."""
    if not file.is_imagej:
        return None
    described = file.imagej_metadata or {}
    unit = str(described.get("unit", "")).encode().decode("unicode_escape", "ignore").strip()
    factor = _MICROMETRES.get(unit.lower())
    tags = series.keyframe.tags
    if factor is None or "XResolution" not in tags or "YResolution" not in tags:
        return None
    (x_num, x_den), (y_num, y_den) = tags["XResolution"].value, tags["YResolution"].value
    if not x_num or not y_num:
        return None
    depth = float(described.get("spacing", 0) or 0)
    return factor * depth, factor * y_den / y_num, factor * x_den / x_num


def _ome_steps(file: tifffile.TiffFile) -> Spacing | None:
    """OME: PhysicalSizeX, Y, Z of the first image, in µm unless the XML names a unit."""
    described = tifffile.xml2dict(file.ome_metadata or "").get("OME", {})
    image = described.get("Image", {})
    image = image[0] if isinstance(image, list) else image
    pixels = image.get("Pixels", {})
    steps = []
    for axis in "ZYX":
        factor = _MICROMETRES.get(str(pixels.get(f"PhysicalSize{axis}Unit", "µm")).lower())
        value = pixels.get(f"PhysicalSize{axis}")
        if factor is None or not isinstance(value, int | float):
            return None
        steps.append(factor * float(value))
    return steps[0], steps[1], steps[2]
