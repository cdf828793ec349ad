"""Zeiss `.czi`: tiles of planes, of which those that a box meets are read.

Source: the file format of ZEN 2.3 and later ("ZISRAW"); czifile reads its directory, under the BSD
licence. Where tiles overlap, a later one is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadVolume, MissingDependency, UnsupportedFormat
from dineuro_bridge.scale import Spacing
from dineuro_bridge.volumes.planes import PlaneSource, damage_named, only_one, refuse_axes, without
from dineuro_bridge.volumes.pyramid import time_is_z
from dineuro_bridge.volumes.source import DEFAULT_READING, Format, Reading
from dineuro_bridge.volumes.volume import Header

#: What numbers of compressions mean; 0 is none.
_COMPRESSIONS = {1: "jpeg", 2: "lzw", 4: "jpegxr", 5: "zstd", 6: "zstd"}
_HIGH_AND_LOW = 6
#: Axes that a stack may have, Zeiss's letters: M are the tiles of a mosaic.
_KNOWN = "TCZYXM"


@dataclass(frozen=True, slots=True)
class _Tile:
    """A block of voxels, and its first place along each axis."""

    entry: Any
    first: dict[str, int]
    sizes: dict[str, int]


class CziSource(PlaneSource):
    """An opened file of Zeiss with one scene.

    Raises:
        MissingDependency: czifile, or imagecodecs for a compressed file, is not installed.
        BadFile: damaged.
        BadVolume: a colour picture, or a time series.
        UnsupportedFormat: several scenes, or axes or a compression that are not read.
        BadParameter: slices along time where there are none.
    """

    def __init__(self, path: Path | str, how: Reading = DEFAULT_READING) -> None:
        try:
            import czifile
        except ImportError as error:
            raise without(path, "Zeiss .czi file", "czifile") from error
        with damage_named(path):
            self._file = czifile.CziFile(str(path), multifile=False, detectmosaic=False)
        try:
            with damage_named(path):
                self._tiles = [
                    tile for tile in map(_tile, self._file.subblock_directory)
                    if tuple(tile.entry.stored_shape) == tuple(tile.entry.shape)
                ]  # fmt: skip
                scenes = sorted({tile.first.get("S", 0) for tile in self._tiles})
                only_one(path, "scenes", [str(at + 1) for at in scenes])
                self._first, sizes = _extent(self._tiles)
                refuse_axes(path, {axis: n for axis, n in sizes.items() if axis != "S"}, _KNOWN)
                dtype = _sample_type(path, self._tiles)
                root = ElementTree.fromstring(self._file.metadata() or "<none/>")  # noqa: S314
            in_time = time_is_z(path, sizes.get("T", 1), sizes.get("Z", 1), how.z_axis)
        except BaseException:
            self._file.close()
            raise
        self._z = "T" if in_time else "Z"
        shape = (sizes.get("C", 1), sizes.get(self._z, 1), sizes["Y"], sizes["X"])
        names = [each.get("Name", "") for each in root.iterfind(".//Dimensions/Channels/Channel")]
        details = {"channel names": ", ".join(names)} if any(names) else {}
        spacing = None if in_time else _spacing(root)
        super().__init__(path, Header("czi", shape, dtype, spacing, details))

    def _plane(self, channel: int, z: int, box: tuple[int, int, int, int]) -> NDArray[Any]:
        y0, x0, y1, x1 = box
        plane = np.zeros((y1 - y0, x1 - x0), self.dtype)
        for tile in self._tiles:
            places = {"C": channel, self._z: z}
            if not all(0 <= self._inside(tile, axis, at) < tile.sizes.get(axis, 1)
                       for axis, at in places.items()):  # fmt: skip
                continue
            top = tile.first["Y"] - self._first["Y"]
            left = tile.first["X"] - self._first["X"]
            low = max(y0, top), max(x0, left)
            high = min(y1, top + tile.sizes["Y"]), min(x1, left + tile.sizes["X"])
            if low[0] >= high[0] or low[1] >= high[1]:
                continue
            voxels = self._decoded(tile)
            at = tuple(
                self._inside(tile, axis, places[axis]) if axis in places
                else slice(None) if axis in "YX" else 0
                for axis in tile.entry.axes[:-1]
            )  # fmt: skip
            part = voxels[at][low[0] - top : high[0] - top, low[1] - left : high[1] - left]
            plane[low[0] - y0 : high[0] - y0, low[1] - x0 : high[1] - x0] = part
        return plane

    def _inside(self, tile: _Tile, axis: str, at: int) -> int:
        """The place in a tile of a place in the volume."""
        return at + self._first.get(axis, 0) - tile.first.get(axis, 0)

    def _decoded(self, tile: _Tile) -> NDArray[Any]:
        """The voxels of a tile, in the order of its axes."""
        entry = tile.entry
        raw = entry.data_segment().data(raw=True)
        dtype = np.dtype(entry.dtype)
        if entry.compression:
            voxels = _unpacked(self.path, entry.compression, raw, dtype)
        else:
            voxels = np.frombuffer(raw, dtype)
        return voxels.reshape(entry.shape[:-1])

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def _tile(entry: Any) -> _Tile:
    first = {dim.dimension: int(dim.start) for dim in entry.dimension_entries}
    sizes = {dim.dimension: int(dim.size) for dim in entry.dimension_entries}
    return _Tile(entry, first, sizes)


def _extent(tiles: list[_Tile]) -> tuple[dict[str, int], dict[str, int]]:
    """The first place of all tiles along each axis, and the size of all together."""
    axes = dict.fromkeys(axis for tile in tiles for axis in tile.first if axis != "M")
    first = {axis: min(tile.first.get(axis, 0) for tile in tiles) for axis in axes}
    sizes = {
        axis: max(tile.first.get(axis, 0) + tile.sizes.get(axis, 1) for tile in tiles) - first[axis]
        for axis in axes
    }
    return first, sizes


def _sample_type(path: object, tiles: list[_Tile]) -> np.dtype[Any]:
    types = {np.dtype(tile.entry.dtype) for tile in tiles}
    if any(each.shape for each in types):
        raise BadVolume(f"{path}: is a colour picture: save the channel to trace as grey values")
    dtype = np.result_type(*types).newbyteorder("=")
    if dtype.char not in "BHIf":
        raise UnsupportedFormat(f"{path}: samples of type {dtype}: convert them to uint16")
    return dtype


def _unpacked(path: object, number: int, raw: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The voxels of compressed bytes."""
    name = _COMPRESSIONS.get(number)
    if name is None:
        raise UnsupportedFormat(f"{path}: its compression {number} is not read")
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingDependency(
            f"{path}: this compressed czi file needs imagecodecs: pip install "
            "'dineuro[microscopes]'"
        ) from error
    if name in ("jpeg", "jpegxr"):
        return np.asarray(getattr(imagecodecs, f"{name}_decode")(raw))
    if number != _HIGH_AND_LOW:
        return np.frombuffer(getattr(imagecodecs, f"{name}_decode")(raw), dtype)
    # A header tells whether the low bytes of all samples come before the high ones.
    length = raw[0]
    split = length > 1 and raw[1] == 1 and bool(raw[2] & 1)
    data = np.frombuffer(imagecodecs.zstd_decode(raw[length:]), np.uint8)
    return (data.reshape(2, -1).T.copy() if split else data).view(dtype).reshape(-1)


def _spacing(root: ElementTree.Element) -> Spacing | None:
    """(z, y, x) in µm, by lengths in metres."""
    found: dict[str, float] = {}
    for each in root.iterfind(".//Scaling/Items/Distance"):
        value = each.findtext("Value")
        if value and float(value) > 0:
            found[each.get("Id", "")] = float(value) * 1e6
    return (found["Z"], found["Y"], found["X"]) if {"X", "Y", "Z"} <= found.keys() else None


FORMAT = Format(
    name="czi",
    suffixes=(".czi",),
    sniff=lambda _, start: start[:10] == b"ZISRAWFILE",
    open=CziSource,
    holds_spacing=True,
    has_time=True,
    from_strangers=False,
    extra="microscopes",
)
