"""The JSON files of a Zarr folder, version 2 or 3: groups with attributes, arrays with a layout.

Sources: the Zarr specifications 2 and 3. The library is not needed for them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dineuro_bridge.errors import BadFile, UnsupportedFormat
from dineuro_bridge.volumes.remote import Place, RemotePlace, content

#: The files by which a folder is known as Zarr, whatever its name is.
METADATA = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
#: Larger metadata are none of an image.
_MOST_BYTES = 2**26
#: Entries of a folder that are looked at for the names of arrays, and how deep.
_MOST_ENTRIES, _DEEPEST = 200, 3
#: Images at an address that are looked for.
_MOST_SERIES = 20
#: Codes of numpy for the sample types that are read.
_READABLE = "?bBhHiIefd"


@dataclass(frozen=True, slots=True)
class Node:
    """A group or an array.

    Attributes:
        path: of its folder.
        version: of the Zarr format.
        is_array: whether it is an array.
        attributes: the user's, where OME stores its metadata.
        fields: of the array; empty for a group.
        other: of the same folder in the other Zarr version, where both are stored.
    """

    path: Place
    version: Literal[2, 3]
    is_array: bool
    attributes: dict[str, Any]
    fields: dict[str, Any] = field(default_factory=dict)
    other: Node | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """How an array lies on the disk.

    Attributes:
        path: of its folder.
        version: of the Zarr format.
        shape: of the array, in its own order of axes.
        dtype: of the samples, as stored.
        chunks: the smallest box that is read at once.
        shards: the box of one file, where it holds several chunks.
    """

    path: Place
    version: Literal[2, 3]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None

    @property
    def is_bare(self) -> bool:
        """Whether no chunk is stored, so that every voxel has the fill value."""
        if not isinstance(self.path, Path):
            return False  # an address has no listing
        with os.scandir(self.path) as entries:
            return all(entry.name in METADATA for entry in entries)


def is_zarr(path: Place) -> bool:
    """Whether a folder holds metadata of Zarr."""
    return any((path / name).is_file() for name in METADATA)


def read_node(path: Place) -> Node | None:
    """The node of a folder; None where there is none.

    Raises:
        BadFile: its metadata are damaged.
    """
    old = _old_node(path)
    record = _record(path / "zarr.json")
    if record is None:
        return old
    kind = record.get("node_type")
    if record.get("zarr_format") != 3 or kind not in ("group", "array"):
        raise BadFile(f"{path / 'zarr.json'}: damaged: it is no group or array of Zarr 3")
    attributes = _mapping(path / "zarr.json", record.get("attributes", {}))
    is_array = kind == "array"
    return Node(path, 3, is_array, attributes, record if is_array else {}, old)


def _old_node(path: Place) -> Node | None:
    """The node in the files of Zarr 2; a group may have lost its `.zgroup`."""
    fields, attributes = _record(path / ".zarray"), _record(path / ".zattrs")
    if fields is None and attributes is None and _record(path / ".zgroup") is None:
        return None
    return Node(path, 2, fields is not None, attributes or {}, fields or {})


def layout_of(node: Node) -> Layout:
    """The layout that an array's metadata state.

    Raises:
        BadFile: they are contradictory.
        UnsupportedFormat: a sample type that is no intensity, or an irregular grid.
    """
    place, fields = node.path, node.fields
    if node.version == 2:
        shape, chunks = _sizes(place, fields, "shape", 0), _sizes(place, fields, "chunks", 1)
        return _checked(Layout(place, 2, shape, _dtype(place, fields.get("dtype")), chunks))
    shape = _sizes(place, fields, "shape", 0)
    grid = _mapping(place, fields.get("chunk_grid"))
    if grid.get("name") != "regular":
        raise UnsupportedFormat(f"{place}: chunks on a grid {str(grid.get('name'))[:40]!r}")
    chunks = _sizes(place, _mapping(place, grid.get("configuration")), "chunk_shape", 1)
    shards = None
    codecs = fields.get("codecs")
    first = codecs[0] if isinstance(codecs, list) and codecs else {}
    if isinstance(first, dict) and first.get("name") == "sharding_indexed":
        inner = _mapping(place, first.get("configuration"))
        shards, chunks = chunks, _sizes(place, inner, "chunk_shape", 1)
    dtype = _dtype(place, fields.get("data_type"))
    return _checked(Layout(place, 3, shape, dtype, chunks, shards))


def nodes_below(path: Place, depth: int = _DEEPEST) -> list[Node]:
    """The arrays and groups in a folder, to some depth; damaged ones are left out."""
    found: list[Node] = []
    if not isinstance(path, Path):
        return _series(path)
    if depth == 0:
        return found
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry, _ in zip(entries, range(_MOST_ENTRIES), strict=False)
                       if entry.is_dir(follow_symlinks=False))  # fmt: skip
    for name in names:
        try:
            node = read_node(path / name)
        except BadFile:
            continue
        if node is not None:
            found.append(node)
        if node is None or not node.is_array:
            found += nodes_below(path / name, depth - 1)
    return found


def _series(place: RemotePlace) -> list[Node]:
    """The images 0, 1, … of a group at an address, as bioformats2raw numbers them."""
    found = list[Node]()
    while len(found) < _MOST_SERIES:
        node = read_node(place / str(len(found)))
        if node is None:
            break
        found.append(node)
    return found


def _checked(layout: Layout) -> Layout:
    sizes = [layout.shape, layout.chunks, *([] if layout.shards is None else [layout.shards])]
    if len({len(each) for each in sizes}) != 1:
        raise BadFile(f"{layout.path}: damaged: shape and chunks differ in their number of axes")
    return layout


def _record(path: Place) -> dict[str, Any] | None:
    """A JSON object; None where there is no such file."""
    found = content(path, _MOST_BYTES)
    if found is None:
        return None
    try:
        record = json.loads(found)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path}: damaged: it is no JSON ({error})") from error
    return _mapping(path, record)


def _mapping(path: Place, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadFile(f"{path}: damaged: a JSON object is missing")
    return value


def _sizes(path: Place, fields: dict[str, Any], name: str, least: int) -> tuple[int, ...]:
    """A list of whole numbers."""
    value = fields.get(name)
    if not isinstance(value, list) or not all(type(n) is int and n >= least for n in value):
        raise BadFile(f"{path}: damaged: {name} is {str(value)[:60]}")
    return tuple(value)


def _dtype(path: Place, name: Any) -> np.dtype[Any]:
    """The sample type of a name such as "<u2" or "uint16"."""
    try:
        dtype = np.dtype(name) if isinstance(name, str) else None
    except TypeError:
        dtype = None
    if dtype is None or dtype.char not in _READABLE:
        raise UnsupportedFormat(
            f"{path}: samples of type {str(name)[:40]}: convert them to uint8, uint16 or float32"
        )
    return dtype
