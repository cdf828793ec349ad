"""Imaris `.ims`: HDF5 with levels of resolution, time points and channels, read box by box.

Source: the file format of Imaris 5.5, https://imaris.oxinst.com/support/imaris-file-format.
No link to another place or file is followed, neither of a group nor of the voxels.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadFile, UnsupportedFormat
from dineuro_bridge.scale import Spacing
from dineuro_bridge.volumes.planes import damage_named
from dineuro_bridge.volumes.pyramid import (
    coarser_spacing,
    level_text,
    sizes_text,
    time_is_z,
)
from dineuro_bridge.volumes.source import DEFAULT_READING, Format, Reading, Shape, Source
from dineuro_bridge.volumes.terms import Roi
from dineuro_bridge.volumes.volume import Header
from dineuro_bridge.volumes.voxel_size import micrometres_of

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Where the name of an attribute of the root shows that a file is Imaris's.
_SEARCHED_BYTES = 2**20
#: Longer attributes are no numbers and no names.
_MOST_ATTRIBUTE_BYTES = 2**16
#: Names of compressions that the library may lack, by HDF5's registered numbers.
_FILTERS = {32004: "LZ4", 32001: "Blosc", 32015: "Zstandard"}


@dataclass(frozen=True, slots=True)
class _Level:
    """A level of resolution.

    Attributes:
        size: z, y, x of its voxels, without the padding of the stored arrays.
        arrays: by time point and channel.
    """

    size: tuple[int, int, int]
    arrays: list[list[Any]]


class ImarisSource(Source):
    """An opened Imaris file.

    Args:
        path: of the file.
        how: how it is to be understood.

    Raises:
        MissingDependency: h5py is not installed.
        BadFile: damaged, or no file of Imaris.
        BadVolume: a time series.
        UnsupportedFormat: a compression or sample type that is not read, or voxels in other files.
        BadParameter: slices along time where there are none.
    """

    def __init__(self, path: Path | str, how: Reading = DEFAULT_READING) -> None:
        try:
            import h5py
        except ImportError as error:
            raise FORMAT.missing(path, "h5py") from error
        with contextlib.ExitStack() as opened:
            with damage_named(path):
                # A lock could not be taken on a disk that is only read.
                file = opened.enter_context(h5py.File(str(path), "r", locking=False))
                levels = _levels(path, file)
                spacing, warnings = _spacing(file, levels[0].size)
                names = _channel_names(file, len(levels[0].arrays[0]))
            points, depth = len(levels[0].arrays), levels[0].size[0]
            self._time_is_z = time_is_z(path, points, depth, how.z_axis)
            self._levels, self._file = levels, file
            shapes = tuple(self._shape(level) for level in levels)
            spacing = None if self._time_is_z else spacing
            details = {"channel names": ", ".join(names)} if any(names) else {}
            for at, (level, shape) in enumerate(zip(levels, shapes, strict=True)):
                chunks = level.arrays[0][0].chunks
                text = f"chunks of {sizes_text(chunks[::-1])}" if chunks else "in one piece"
                own = coarser_spacing(spacing, shapes[0], shape)
                details[f"level {at}"] = level_text(shape, text, own)
            dtype = levels[0].arrays[0][0].dtype.newbyteorder("=")
            header = Header("imaris", shapes[0], dtype, spacing, details, warnings)
            super().__init__(path, header, shapes)
            opened.pop_all()

    def _shape(self, level: _Level) -> Shape:
        depth, height, width = level.size
        points = len(level.arrays)
        return len(level.arrays[0]), points if self._time_is_z else depth, height, width

    def _read(self, box: Roi, level: int) -> NDArray[Any]:
        x0, y0, z0, x1, y1, z1 = box
        arrays = self._levels[level].arrays
        shape = (len(arrays[0]), z1 - z0, y1 - y0, x1 - x0)
        with damage_named(f"{self.path}: level {level}"):
            voxels = np.empty(shape, self.dtype)
            for channel in range(shape[0]):
                if self._time_is_z:
                    for at, point in enumerate(arrays[z0:z1]):
                        voxels[channel, at] = point[channel][0, y0:y1, x0:x1]
                else:
                    voxels[channel] = arrays[0][channel][z0:z1, y0:y1, x0:x1]
        return voxels

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _levels(path: Path | str, file: Any) -> list[_Level]:
    """All levels, the finest first, which agree in channels, time points and sample type."""
    root = _group(path, file, _text(file, "DataSetDirectoryName") or "DataSet")
    if root is None:
        raise BadFile(f"{path}: is HDF5 without the group DataSet: no file of Imaris, or damaged")
    levels = []
    for at in itertools.count():
        level = _group(path, root, f"ResolutionLevel {at}")
        if level is None:
            break
        levels.append(_level(path, level))
    if not levels:
        raise BadFile(f"{path}: damaged: it has no level of resolution")
    first = levels[0]
    for at, level in enumerate(levels):
        counts = {len(point) for point in level.arrays}
        dtypes = {array.dtype for point in level.arrays for array in point}
        if len(level.arrays) != len(first.arrays) or counts != {len(first.arrays[0])}:
            raise BadFile(f"{path}: damaged: level {at} lacks a channel or a time point")
        if dtypes != {first.arrays[0][0].dtype}:
            raise UnsupportedFormat(f"{path}: its channels or levels differ in their sample type")
    return levels


def _level(path: Path | str, group: Any) -> _Level:
    points, sizes = [], set()
    for time in itertools.count():
        point = _group(path, group, f"TimePoint {time}")
        if point is None:
            break
        channels = []
        for number in itertools.count():
            channel = _group(path, point, f"Channel {number}")
            if channel is None:
                break
            array = _voxels(path, channel)
            channels.append(array)
            sizes.add(_size(path, channel, array))
        points.append(channels)
    if not points or not points[0]:
        raise BadFile(f"{path}: damaged: {group.name} has no channel")
    if len(sizes) != 1:
        raise BadFile(f"{path}: damaged: the channels of {group.name} differ in size")
    return _Level(sizes.pop(), points)


def _size(path: Path | str, channel: Any, array: Any) -> tuple[int, int, int]:
    """The z, y, x that a channel states; its array may be padded to whole chunks."""
    size = []
    for axis, stored in zip("ZYX", array.shape, strict=True):
        text = _text(channel, f"ImageSize{axis}")
        stated = stored if text is None else int(text)
        if not 1 <= stated <= stored:
            raise BadFile(
                f"{path}: damaged: {channel.name} states {stated} voxels along "
                f"{axis.lower()}, and {stored} are stored"
            )
        size.append(stated)
    z, y, x = size
    return z, y, x


def _group(path: Path | str, parent: Any, name: str) -> Any:
    """A group inside of another; None where there is none.

    Raises:
        UnsupportedFormat: it is a link, which may lead to another file.
    """
    import h5py

    # A name with "/" would be followed through links on its way.
    link = None if "/" in name else parent.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise UnsupportedFormat(f"{path}: {name!r} is a link to another place: it is not followed")
    group = parent[name]
    if not isinstance(group, h5py.Group):
        raise BadFile(f"{path}: damaged: {group.name} is no group")
    return group


def _voxels(path: Path | str, channel: Any) -> Any:
    """The array of a channel; what it is made of is looked at before it is used."""
    import h5py

    link = channel.get("Data", getlink=True)
    if not isinstance(link, h5py.HardLink):
        what = "has no voxels" if link is None else "names voxels elsewhere, which are not read"
        raise BadFile(f"{path}: {channel.name} {what}")
    place = h5py.h5d.open(channel.id, b"Data")
    made = place.get_create_plist()
    if made.get_layout() == h5py.h5d.VIRTUAL or made.get_external_count():
        raise UnsupportedFormat(f"{path}: {channel.name} keeps its voxels in other files")
    for at in range(made.get_nfilters()):
        code = made.get_filter(at)[0]
        if not h5py.h5z.filter_avail(code):
            raise UnsupportedFormat(
                f"{path}: its compression {_FILTERS.get(code, code)} is not read: save it with "
                "gzip in Imaris, or as .tif in Fiji"
            )
    array = h5py.Dataset(place)
    if array.ndim != 3:
        raise BadFile(f"{path}: damaged: {channel.name} has {array.ndim} axes")
    if array.dtype.kind not in "uif" or array.dtype.itemsize > 8:
        raise UnsupportedFormat(f"{path}: samples of type {array.dtype}: convert them to uint16")
    return array


def _text(place: Any, name: str) -> str | None:
    """An attribute as a text; Imaris stores an array of letters."""
    if name not in place.attrs:
        return None
    if place.attrs.get_id(name).get_storage_size() > _MOST_ATTRIBUTE_BYTES:
        raise ValueError(f"the attribute {name} is too long")
    value = place.attrs[name]
    if isinstance(value, np.ndarray):
        value = value.tobytes() if value.dtype.kind == "S" else "".join(map(str, value.ravel()))
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return "".join(letter for letter in text.strip("\0 ") if letter.isprintable())


def _spacing(file: Any, size: tuple[int, int, int]) -> tuple[Spacing | None, tuple[str, ...]]:
    """(z, y, x) in µm from the extents of the volume, and a warning where they are no such."""
    image = _group(file.filename, file, "DataSetInfo")
    image = None if image is None else _group(file.filename, image, "Image")
    if image is None:
        return None, ()
    unit = _text(image, "Unit") or "um"
    factor = micrometres_of(unit)
    if factor is None:
        doubt = f"the voxel size has the unit {unit[:40]!r} and is not used: pass --spacing x,y,z"
        return None, (doubt,)
    steps = []
    for number, voxels in zip((2, 1, 0), size, strict=True):
        ends = [_text(image, f"Ext{end}{number}") for end in ("Min", "Max")]
        if None in ends:
            return None, ()
        low, high = (float(end or "") for end in ends)
        steps.append(abs(high - low) / voxels * factor)
    if not all(0 < step < math.inf for step in steps):
        return None, ("the file's extents give no voxel size: pass --spacing x,y,z",)
    z, y, x = steps
    return (z, y, x), ()


def _channel_names(file: Any, count: int) -> list[str]:
    info = _group(file.filename, file, "DataSetInfo")
    if info is None:
        return []
    groups = (_group(file.filename, info, f"Channel {n}") for n in range(count))
    return ["" if group is None else (_text(group, "Name") or "")[:40] for group in groups]


def _is_imaris(path: Path, start: bytes) -> bool:
    """Whether an HDF5 file has the suffix of Imaris, or its mark near the beginning."""
    if not start.startswith(_SIGNATURE):
        return False
    if path.suffix.lower() == ".ims":
        return True
    with path.open("rb") as file:
        return b"ImarisDataSet" in file.read(_SEARCHED_BYTES)


FORMAT = Format(
    name="imaris",
    suffixes=(".ims",),
    sniff=_is_imaris,
    open=ImarisSource,
    holds_spacing=True,
    has_time=True,
    from_strangers=False,
    extra="imaris",
)
