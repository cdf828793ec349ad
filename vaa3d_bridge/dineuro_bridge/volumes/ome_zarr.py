"""OME-Zarr 0.1 to 0.5, in Zarr 2 or 3 and with shards: a folder that is read chunk by chunk.

A chunk that is not stored has the fill value, as the standard says. Only voxels need the library.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import (
    BadFile,
    BadVolume,
    DineuroError,
    UnsupportedFormat,
)
from dineuro_bridge.volumes.ome_zarr_metadata import Image, Level, read_image
from dineuro_bridge.volumes.ome_zarr_nodes import Layout, is_zarr
from dineuro_bridge.volumes.pyramid import first_line, level_text, sizes_text, time_is_z
from dineuro_bridge.volumes.remote import Place, context, kvstore, result
from dineuro_bridge.volumes.source import DEFAULT_READING, Format, Reading, Shape, Source
from dineuro_bridge.volumes.terms import Roi, ZAxis
from dineuro_bridge.volumes.volume import Header, Volume


class ZarrSource(Source):
    """An opened OME-Zarr image, or a bare Zarr array.

    Args:
        path: of the folder.
        how: how it is to be understood.

    Raises:
        BadFile: damaged or missing metadata, an array that is missing, no image in the folder.
        BadVolume: a time series, or an axis without voxels.
        UnsupportedFormat: other axes than t, c, z, y and x; samples that are no intensities.
        BadParameter: slices along time where there are none.
    """

    def __init__(self, path: Place | str, how: Reading = DEFAULT_READING) -> None:
        self._image = read_image(Path(path) if isinstance(path, str) else path)
        self._axes = _volume_axes(path, self._image, how.z_axis)
        self._arrays: dict[int, Any] = {}
        image = self._image
        levels = tuple(_shape(self._axes, level) for level in image.levels)
        if min(map(min, levels)) < 1:
            raise BadVolume(f"{path}: has the size {image.levels[0].layout.shape}: it is empty")
        stored = image.levels[0].layout.dtype
        dtype = np.dtype(np.uint8) if stored.kind == "b" else stored.newbyteorder("=")
        warnings = image.warnings
        if image.levels[0].layout.is_bare:
            warnings += ("no chunk is stored: every voxel has the fill value (copied in part?)",)
        spacing = None if how.z_axis == "t" else image.spacing(0)
        details = _details(image, levels)
        header = Header("ome-zarr", levels[0], dtype, spacing, details, warnings)
        super().__init__(str(path), header, levels)

    def _read(self, box: Roi, level: int) -> NDArray[Any]:
        x0, y0, z0, x1, y1, z1 = box
        places = {"x": slice(x0, x1), "y": slice(y0, y1), "z": slice(z0, z1), "c": slice(None)}
        selection = tuple(places.get(axis, slice(0, 1)) for axis in self._axes)
        with self._damage_named(level):
            array = self._opened(level)
        try:
            with self._damage_named(level):
                voxels = np.asarray(array[selection])
        except BadFile:
            self._name_chunk(level, array, selection)
            raise
        voxels = _as_czyx(voxels, self._axes)
        return voxels.astype(np.uint8) * np.uint8(255) if voxels.dtype == np.bool_ else voxels

    def is_stored(self, box: Roi) -> bool:
        """Whether the file of any chunk or shard that a box of the finest level meets exists."""
        layout = self._image.levels[0].layout
        if not isinstance(layout.path, Path):
            return True  # to ask the address for each chunk would take longer than to read them
        with self._damage_named(0):
            keys = self._opened(0).metadata.encode_chunk_key
        bounds = dict(zip("xyz", zip(box[:3], box[3:], strict=True), strict=True))
        ranges = []
        for axis, n, size in zip(
            self._axes, layout.shape, layout.shards or layout.chunks, strict=True
        ):
            low, high = bounds.get(axis, (0, n))
            ranges.append(range(low // size, -(-high // size)))
        return any((layout.path / keys(place)).exists() for place in itertools.product(*ranges))

    def _opened(self, level: int) -> Any:
        """The library's array of a level."""
        if level not in self._arrays:
            layout = self._image.levels[level].layout
            if not isinstance(layout.path, Path):
                self._arrays[level] = _RemoteArray(layout)
                return self._arrays[level]
            try:
                import zarr
            except ImportError as error:
                raise FORMAT.missing(self.path, "zarr") from error
            self._arrays[level] = zarr.open_array(
                str(layout.path), mode="r", zarr_format=layout.version
            )
        return self._arrays[level]

    def _name_chunk(self, level: int, array: Any, selection: tuple[slice, ...]) -> None:
        """Refuse the first damaged chunk of a selection by its number along each axis."""
        layout = self._image.levels[level].layout
        chunks = layout.chunks
        bounds = [part.indices(n) for part, n in zip(selection, layout.shape, strict=True)]
        ranges = [
            range(low // size, -(-high // size))
            for (low, high, _), size in zip(bounds, chunks, strict=True)
        ]
        for place in itertools.product(*ranges):
            low = [at * size for at, size in zip(place, chunks, strict=True)]
            try:
                array[tuple(slice(a, a + 1) for a in low)]
            except Exception as error:  # the library names no common class
                number = "/".join(map(str, place))
                raise BadFile(
                    f"{layout.path}: damaged chunk {number}: {first_line(error)}: copy it again"
                ) from error

    @contextlib.contextmanager
    def _damage_named(self, level: int) -> Iterator[None]:
        """Errors of the library in the block become one error that names the array."""
        place = self._image.levels[level].layout.path
        try:
            yield
        except (DineuroError, MemoryError):
            raise
        except OSError as error:
            if error.errno is not None:
                raise
            raise BadFile(f"{place}: damaged: {first_line(error)}") from error
        except Exception as error:
            text = first_line(error)
            if "codec" in f"{type(error).__name__} {text}".lower():
                raise UnsupportedFormat(f"{place}: its compression is not read: {text}") from error
            raise BadFile(f"{place}: damaged: {text}") from error

    def close(self) -> None:
        """Release the arrays."""
        self._arrays.clear()


class _RemoteArray:
    """An array at an address, which is read as the library's arrays are.

    Raises:
        FileAccess, ValueError: it cannot be read.
    """

    def __init__(self, layout: Layout) -> None:
        import tensorstore

        spec = {"driver": "zarr3" if layout.version == 3 else "zarr",
                "kvstore": kvstore(layout.path)}  # fmt: skip
        opened = tensorstore.open(spec, open=True, read=True, context=context())
        self._array, self._path = result(opened, layout.path), layout.path

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        return np.asarray(result(self._array[selection].read(), self._path, voxels=True))


def _volume_axes(path: Place | str, image: Image, z_axis: ZAxis) -> str:
    """The axes with time as z where that is asked for; raises as `time_is_z`."""
    sizes = dict(zip(image.axes, image.levels[0].layout.shape, strict=True))
    if time_is_z(path, sizes.get("t", 1), sizes.get("z", 1), z_axis):
        return image.axes.replace("z", "_").replace("t", "z")
    return image.axes


def _shape(axes: str, level: Level) -> Shape:
    sizes = dict(zip(axes, level.layout.shape, strict=True))
    return sizes.get("c", 1), sizes.get("z", 1), sizes["y"], sizes["x"]


def _as_czyx(voxels: NDArray[Any], axes: str) -> NDArray[Any]:
    """Voxels in the order of the axes, of which others than c, z, y, x have the size 1."""
    order = [axes.index(axis) for axis in "czyx" if axis in axes]
    rest = [at for at in range(len(axes)) if at not in order]
    voxels = voxels.transpose(*rest, *order)[(0,) * len(rest)]
    for at, axis in enumerate("cz"):
        if axis not in axes:
            voxels = np.expand_dims(voxels, at)
    return voxels


def _details(image: Image, levels: tuple[Shape, ...]) -> dict[str, str]:
    """The version, and size, chunks and voxel size of each level, in the order x, y, z."""
    details = {"version": image.version or "a bare array", "axes": image.axes}
    if any(image.channels):
        details["channel names"] = ", ".join(image.channels)
    for at, (level, shape) in enumerate(zip(image.levels, levels, strict=True)):
        layout = level.layout
        chunks = f"chunks of {sizes_text(_spatial(image.axes, layout.chunks))}"
        if layout.shards is not None:
            chunks += f" in shards of {sizes_text(_spatial(image.axes, layout.shards))}"
        details[f"level {at}"] = level_text(shape, chunks, image.spacing(at))
    return details


def _spatial(axes: str, sizes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sizes[axes.index(axis)] for axis in "xyz" if axis in axes)


def write(path: Path | str, volume: Volume, **options: str) -> None:
    """Write a volume; options and errors as `ome_zarr_writer.write_source`."""
    from dineuro_bridge.volumes.views import VolumeSource

    write_source(path, VolumeSource(volume), **options)


def write_source(path: Path | str, source: Source, **options: str) -> None:
    """Write a source box by box; options and errors as `ome_zarr_writer.write_source`."""
    from dineuro_bridge.volumes import ome_zarr_writer

    try:
        import zarr  # noqa: F401
    except ImportError as error:
        raise FORMAT.missing(path, "zarr") from error
    ome_zarr_writer.write_source(path, source, **options)


FORMAT = Format(
    name="ome-zarr",
    suffixes=(".zarr",),
    sniff=lambda path, _: is_zarr(path),
    open=ZarrSource,
    write=write,
    write_source=write_source,
    options=frozenset({"zarr", "levels"}),
    holds_spacing=True,
    has_time=True,
    folder=True,
    extra="zarr",
    remote=True,
)
