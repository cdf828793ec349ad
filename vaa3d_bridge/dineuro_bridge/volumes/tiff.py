"""TIFF: ImageJ hyperstacks, OME-TIFF, BigTIFF, plain pages; grayscale volumes only.

Voxels keep their type; 1-bit masks become uint8 0 and 255. Rows keep the file's order.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import tifffile
from numpy.typing import NDArray

from dineuro_bridge.errors import BadFile, DineuroError, UnsupportedFormat
from dineuro_bridge.files import atomic_output, size_of_file
from dineuro_bridge.volumes.source import DEFAULT_READING, Format, Reading, Source
from dineuro_bridge.volumes.terms import Roi, ZAxis
from dineuro_bridge.volumes.tiff_header import (
    READABLE,
    as_czyx,
    has_plain_samples,
    header_of,
    is_bottom_left,
    volume_axes,
)
from dineuro_bridge.volumes.tiff_layout import lay_out, open_tiff
from dineuro_bridge.volumes.tiff_pages import is_tiff
from dineuro_bridge.volumes.views import VolumeSource
from dineuro_bridge.volumes.volume import Header, Volume

#: Sample types that ImageJ stores.
_IMAGEJ_DTYPES = (np.uint8, np.uint16, np.float32)
#: Slices that are read at once for writing, as many as a chunk has, and their bytes at most.
_SLICES, _SLAB_BYTES = 64, 2**28
#: What to do with a file that the library cannot read.
_REMEDY = ": if Fiji opens it, save it from there as .tif, else copy it again"
#: Words of the library about pages that it leaves out.
_LOST_PAGES = ("invalid page offset", "invalid offset to page", "failed to reshape")


def read_header(path: Path | str) -> Header:
    """What the pages say; raises as `formats.read_header`."""
    with TiffSource(path) as source:
        return source.header


class TiffSource(Source):
    """An opened TIFF: a memory map where its pages lie uncompressed in one piece."""

    def __init__(self, path: Path | str, how: Reading = DEFAULT_READING) -> None:
        size_of_file(path)
        self._z_axis = how.z_axis
        with contextlib.ExitStack() as stack:
            with _damage_named(path):
                file = stack.enter_context(open_tiff(path))
                layout = lay_out(path, file, beside=how.beside)
                for part in layout.parts:
                    stack.enter_context(part)
            with _damage_named(path):
                header = header_of(path, file, layout, how.z_axis)
            self._open_files = stack.pop_all()
        self._file, self._series = file, layout.series
        super().__init__(path, header)

    @property
    def rows_upside_down(self) -> bool:
        """Vaa3D shows 8-bit pages upside down unless they say that their first row is lowest."""
        with _damage_named(self.path):
            return self.dtype == np.uint8 and not is_bottom_left(self._series)

    @property
    def reads_boxes(self) -> bool:
        """Whether its pages are mapped, or hold one slice of one channel each."""
        with _damage_named(self.path):
            return _is_mapped(self._series) or _is_page_by_page(self._series)

    def _read(self, box: Roi, level: int) -> NDArray[Any]:  # noqa: ARG002  (one level)
        x0, y0, z0, x1, y1, z1 = box
        with _damage_named(self.path):
            series = self._series
            if _is_mapped(series):
                stored = np.dtype(self._file.byteorder + series.dtype.char)
                offset = series.dataoffset or 0
                raw: NDArray[Any] = np.memmap(self.path, stored, "r", offset, series.shape)
            elif (z0, z1) == (0, self.shape[1]):
                raw = series.asarray()
            else:
                raw, z0, z1 = _some_pages(series, z0, z1, self._z_axis)
        if raw.dtype == np.bool_:
            raw = raw.astype(np.uint8) * np.uint8(255)
        return as_czyx(raw, series.axes, self._z_axis)[:, z0:z1, y0:y1, x0:x1]

    def close(self) -> None:
        """Close the file, and the further files of a set."""
        self._open_files.close()


def _is_mapped(series: tifffile.TiffPageSeries) -> bool:
    """Whether the samples lie in the file as they are, in one piece."""
    return series.dataoffset is not None and series.dtype.kind != "b" and has_plain_samples(series)


def _is_page_by_page(series: tifffile.TiffPageSeries) -> bool:
    """Whether each page is one plane of the series."""
    leading, plane = series.shape[:-2], series.shape[-2:]
    return plane == series.keyframe.shape and math.prod(leading) == len(series.pages)


def _some_pages(
    series: tifffile.TiffPageSeries, z0: int, z1: int, z_axis: ZAxis
) -> tuple[NDArray[Any], int, int]:
    """The series with the slices z0 to z1 only, and their range in what is returned.

    Pages that hold several slices or channels each are read whole.
    """
    leading, plane = series.shape[:-2], series.shape[-2:]
    axes = volume_axes(series.axes, z_axis)[:-2]
    if not _is_page_by_page(series):
        return series.asarray(), z0, z1
    depths = [at for at, axis in enumerate(axes) if axis == "Z" and leading[at] > 1]
    numbers = np.arange(math.prod(leading)).reshape(leading)
    for at in depths:
        numbers = numbers.take(range(z0, z1), axis=at)
    pages = [cast(tifffile.TiffPage, series.pages[number]) for number in numbers.ravel()]
    planes = np.stack([page.asarray() for page in pages])
    return planes.reshape(*numbers.shape, *plane), 0, z1 - z0


def write(path: Path | str, volume: Volume, *, compress: bool = False) -> None:
    """Write a volume; errors as `write_source`."""
    write_source(path, VolumeSource(volume), compress=compress)


def write_source(path: Path | str, source: Source, *, compress: bool = False) -> None:
    """Write an ImageJ hyperstack where ImageJ knows the sample type and size, else OME-TIFF.

    The planes are read some slices at a time.

    Raises:
        UnsupportedFormat: a sample type that TIFF readers do not know.
        FileAccess: the path cannot be written.
    """
    dtype, nbytes = source.dtype, source.header.nbytes
    if dtype.char not in READABLE:
        raise UnsupportedFormat(f"{path}: {dtype} samples cannot be stored as TIFF")
    imagej = dtype in _IMAGEJ_DTYPES and nbytes < 2**32 - 2**25
    channels, depth, height, width = source.shape
    # All six of ImageJ's axes are spelled out: a width of 1 would be taken for samples of a pixel.
    shape = (1, depth, channels, height, width, 1) if imagej else source.shape
    metadata: dict[str, Any] = {"axes": "TZCYXS" if imagej else "CZYX"}
    resolution = None
    if source.spacing is not None:
        z, y, x = source.spacing
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
            _planes(source, slices_first=imagej),
            shape=shape,
            dtype=dtype.newbyteorder("<"),
            imagej=imagej,
            ome=not imagej,
            bigtiff=not imagej and nbytes > 2**31,
            byteorder="<",
            photometric="minisblack",
            resolution=resolution,
            metadata=metadata,
            compression="zlib" if compress else None,
        )


def _planes(source: Source, *, slices_first: bool) -> Iterator[NDArray[Any]]:
    """The planes (Y, X), little-endian: all channels of a slice, or all slices of a channel."""
    channels, depth, height, width = source.shape
    slice_bytes = channels * height * width * source.dtype.itemsize
    step = max(1, min(_SLICES, _SLAB_BYTES // slice_bytes))
    stored = source.dtype.newbyteorder("<")
    for channel in (None,) if slices_first else range(channels):
        for z in range(0, depth, step):
            slab = source.read((0, 0, z, width, height, min(z + step, depth)))
            chosen = slab if channel is None else slab[channel : channel + 1]
            for planes in chosen.swapaxes(0, 1):
                yield from (np.ascontiguousarray(plane, stored) for plane in planes)


@contextlib.contextmanager
def _damage_named(path: Path | str) -> Iterator[None]:
    """Errors of the library in the block become one `BadFile` that names the path."""
    logger, filter_ = logging.getLogger("tifffile"), _LostPages()
    logger.addFilter(filter_)
    try:
        with np.errstate(all="ignore"):  # a fraction of the file may have no denominator
            yield
        if filter_.complaints:
            raise BadFile(f"{path}: truncated or damaged TIFF: {filter_.complaints[0]}")
    except (DineuroError, KeyboardInterrupt, MemoryError):
        raise
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # invalid is an offset that the file names
            raise
        raise BadFile(f"{path}: damaged TIFF: {error}{_REMEDY}") from error
    except Exception as error:
        if "imagecodecs" in str(error):
            raise FORMAT.missing(path, "imagecodecs") from error
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadFile(f"{path}: damaged TIFF: {text}{_REMEDY}") from error
    finally:
        logger.removeFilter(filter_)


class _LostPages(logging.Filter):
    """Keeps the library's log from the terminal, and collects complaints about lost pages.

    The library continues without such pages, and a shorter volume would be taken for the whole.
    """

    def __init__(self) -> None:
        super().__init__()
        self.complaints: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Let no record through."""
        text = record.getMessage().splitlines()[0]
        if any(sign in text for sign in _LOST_PAGES):
            self.complaints.append(re.sub(r"<[^>]*> ?", "", text))
        return False


FORMAT = Format(
    name="tiff",
    suffixes=(".tif", ".tiff", ".lsm", ".stk"),
    sniff=lambda _, start: is_tiff(start),
    open=TiffSource,
    write=write,
    write_source=write_source,
    options=frozenset({"compress"}),
    only_read=(".lsm", ".stk"),
    has_time=True,
    holds_spacing=True,
    extra="server",
)
