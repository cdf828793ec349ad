"""TIFF: ImageJ hyperstacks, OME-TIFF, BigTIFF, plain pages; grayscale volumes only.

Voxels keep their type; 1-bit masks become uint8 0 and 255. Rows come as the file has them, unless
"vaa3d" is asked for. A file is measured against its own page directory before it is decoded:
what the pages claim has to fit the file and the limit.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import tifffile
from numpy.typing import NDArray

from dineuro_bridge.errors import (
    BadFile,
    BadVolume,
    DineuroError,
    MissingDependency,
    UnsupportedFormat,
)
from dineuro_bridge.files import atomic_output, size_of_file
from dineuro_bridge.scale import Spacing
from dineuro_bridge.volumes.volume import Header, RowOrder, Volume

_MICROMETRES = {
    "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0,
    "micrometre": 1.0, "nm": 1e-3, "nanometer": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6,
    "inch": 25400.0,
}  # fmt: skip
_READABLE = "?bBhHiIefd"
_IMAGEJ_DTYPES = (np.uint8, np.uint16, np.float32)
_BOTTOM_LEFT = 4
_LOST_PAGES = ("invalid page offset", "invalid offset to page", "failed to reshape")
_GRAY = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
#: Unnamed axes are slices; gray samples beside each other are channels.
_NAMES = {"Q": "Z", "I": "Z", "S": "C"}


def is_tiff(start: bytes) -> bool:
    """Whether a file that starts with these bytes is a TIFF or BigTIFF of either byte order."""
    return start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_header(path: Path | str) -> Header:
    """What the pages say; raises as `formats.read_header`."""
    with _opened(path) as file:
        return _header(path, file)


def read(path: Path | str, max_bytes: int, row_order: RowOrder) -> Volume:
    """The volume; memory-mapped where its pages lie uncompressed in one piece."""
    with _opened(path) as file:
        header = _header(path, file)
        header.check(path, max_bytes)
        series = file.series[0]
        mapped = series.dataoffset is not None and series.dtype.kind != "b" and _plain(series)
        if mapped:
            stored = np.dtype(file.byteorder + series.dtype.char)
            offset = series.dataoffset or 0
            raw: NDArray[Any] = np.memmap(path, stored, "r", offset, series.shape)
        else:
            raw = series.asarray()
        if raw.dtype == np.bool_:
            raw = raw.astype(np.uint8) * np.uint8(255)
        voxels = _as_czyx(raw, series.axes)
        if row_order == "vaa3d" and header.dtype == np.uint8 and not _bottom_left(series):
            voxels = voxels[:, :, ::-1]
    if voxels.shape != header.shape:
        raise BadFile(f"{path}: damaged: {voxels.shape} voxels where {header.shape} were announced")
    return Volume(voxels, header.spacing, row_order=row_order, source=Path(path).name)


def write(path: Path | str, volume: Volume, *, compress: bool = False) -> None:
    """Write an ImageJ hyperstack where ImageJ knows the sample type and size, else OME-TIFF.

    Raises:
        UnsupportedFormat: a sample type that TIFF readers do not know.
        FileAccess: the path cannot be written.
    """
    voxels = volume.voxels
    if voxels.dtype.char not in _READABLE:
        raise UnsupportedFormat(f"{path}: {voxels.dtype} samples cannot be stored as TIFF")
    imagej = voxels.dtype.newbyteorder("=") in _IMAGEJ_DTYPES and voxels.nbytes < 2**32 - 2**25
    # All six of ImageJ's axes are spelled out: a width of 1 would be taken for samples of a pixel.
    data = voxels.transpose(1, 0, 2, 3)[None, ..., None] if imagej else voxels
    metadata: dict[str, Any] = {"axes": "TZCYXS" if imagej else "CZYX"}
    resolution = None
    if volume.spacing is not None:
        z, y, x = volume.spacing
        resolution = (1 / x, 1 / y)
        if imagej:
            metadata |= {"spacing": z, "unit": "um"}
        else:
            for axis, step in zip("XYZ", (x, y, z), strict=True):
                metadata[f"PhysicalSize{axis}"] = step
                metadata[f"PhysicalSize{axis}Unit"] = "µm"
    with atomic_output(path) as temporary:
        tifffile.imwrite(
            temporary,
            data,
            imagej=imagej,
            ome=not imagej,
            bigtiff=not imagej and voxels.nbytes > 2**31,
            byteorder="<",
            photometric="minisblack",
            resolution=resolution,
            metadata=metadata,
            compression="zlib" if compress else None,
        )


@contextlib.contextmanager
def _opened(path: Path | str) -> Iterator[tifffile.TiffFile]:
    """The file; whatever the library stumbles over becomes one `BadFile` that names it."""
    size_of_file(path)
    logger, ear = logging.getLogger("tifffile"), _Ear()
    logger.addFilter(ear)
    try:
        with tifffile.TiffFile(path) as file:
            _ = file.series  # walks the pages, and so hears what is wrong with them
            if ear.heard:
                raise BadFile(f"{path}: truncated or damaged TIFF: {ear.heard[0]}")
            yield file
    except (DineuroError, KeyboardInterrupt, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise BadFile(f"{path}: damaged TIFF: {error}") from error
    except Exception as error:
        if "imagecodecs" in str(error):
            raise MissingDependency(
                f"{path}: this compression needs imagecodecs: pip install 'dineuro[server]'"
            ) from error
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadFile(f"{path}: damaged TIFF: {text}") from error
    finally:
        logger.removeFilter(ear)


class _Ear(logging.Filter):
    """Keeps the library's log to itself, and in it the complaints that pages are lost.

    The library goes on without such pages, and a shorter volume would be taken for the whole.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Let nothing through to the user's terminal."""
        text = record.getMessage().splitlines()[0]
        if any(sign in text for sign in _LOST_PAGES):
            self.heard.append(re.sub(r"<[^>]*> ?", "", text))
        return False


def _header(path: Path | str, file: tifffile.TiffFile) -> Header:
    """Check what the pages claim, and tell it."""
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
    if series.dtype.char not in _READABLE:
        raise UnsupportedFormat(f"{path}: {series.dtype} samples are not read")
    _check_axes(path, series)
    channels, depth, height, width = _czyx_shape(series)
    dtype = np.dtype(np.uint8) if series.dtype == np.bool_ else series.dtype.newbyteorder("=")
    header = Header(
        "tiff",
        (channels, depth, height, width),
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
    promised = (file.imagej_metadata or {}).get("images", 1)
    # ImageJ writes the voxels of a large stack in one piece behind a single page.
    held = channels * depth if series.dataoffset is not None else len(file.pages)
    if isinstance(promised, int) and promised > held:
        raise BadFile(
            f"{path}: ImageJ's header promises {promised} slices, the file holds {held}: it was "
            "cut off, or saved by a program that kept an old header"
        )
    _check_extent(path, series, header, file.filehandle.size)
    return header


def _check_axes(path: Path | str, series: tifffile.TiffPageSeries) -> None:
    """Refuse what is not one volume: time series, tiles, positions."""
    long = [(a, n) for a, n in zip(series.axes, series.shape, strict=True) if n > 1]
    names = [_NAMES.get(axis, axis) for axis, _ in long]
    for (axis, length), name in zip(long, names, strict=True):
        if axis == "T":
            raise BadVolume(f"{path}: a time series of {length}: save one time point")
        if name not in "CZYX" or names.count(name) > 1:
            raise BadVolume(f"{path}: an axis {axis!r} of {length}: save one volume as Z, Y, X")


def _check_extent(
    path: Path | str, series: tifffile.TiffPageSeries, header: Header, end: int
) -> None:
    """Refuse pages whose data lies outside the file, before anything is decoded."""
    plain = _plain(series)
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


def _plain(series: tifffile.TiffPageSeries) -> bool:
    """Whether samples stand in the file as they are, a byte or more each."""
    page = series.keyframe
    return bool(
        page.compression == tifffile.COMPRESSION.NONE
        and page.predictor == tifffile.PREDICTOR.NONE
        and page.fillorder == 1
        and page.bitspersample == series.dtype.itemsize * 8
    )


def _czyx_shape(series: tifffile.TiffPageSeries) -> tuple[int, int, int, int]:
    """(C, Z, Y, X) of the series; pages of an unnamed axis are slices."""
    size = {"C": 1, "Z": 1, "Y": 1, "X": 1}
    for axis, length in zip(series.axes, series.shape, strict=True):
        size[_NAMES.get(axis, axis)] = size.get(_NAMES.get(axis, axis), 1) * int(length)
    return size["C"], size["Z"], size["Y"], size["X"]


def _as_czyx(voxels: NDArray[Any], axes: str) -> NDArray[Any]:
    """A view of the series with its axes in order and those of length 1 that do not count gone."""
    names = [_NAMES.get(axis, axis) for axis in axes]
    for at in range(len(names) - 1, -1, -1):
        if names[at] not in "CZYX" or (names.count(names[at]) > 1 and voxels.shape[at] == 1):
            voxels, names = voxels.squeeze(at), names[:at] + names[at + 1 :]
    for axis in "CZ":
        if axis not in names:
            voxels, names = voxels[None], [axis, *names]
    return voxels.transpose([names.index(axis) for axis in "CZYX"])


def _bottom_left(series: tifffile.TiffPageSeries) -> bool:
    """Whether every page says that its first row is the lowest one."""
    for page in series.pages:
        tags = getattr(page, "tags", None) or series.keyframe.tags
        if tags.valueof("Orientation", 1) != _BOTTOM_LEFT:
            return False
    return True


def _spacing(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Spacing | None:
    """(z, y, x) in µm where all three are stored with a unit that is known, and positive."""
    steps = _ome_steps(file) if file.is_ome else _imagej_steps(file, series)
    if steps is None or not all(0 < s < math.inf for s in steps):
        return None
    return steps


def _imagej_steps(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Spacing | None:
    """ImageJ: pixels a unit in the resolution tags, slice distance and unit in its own text."""
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
    """OME: PhysicalSizeX, Y, Z of the first image, in µm unless a unit stands beside."""
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
