"""N5 and Neuroglancer precomputed: folders of chunks, read box by box with tensorstore.

A chunk that is not stored is 0. Sources: the N5 specification 2.5, and Neuroglancer's
"precomputed" volume format.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadFile, BadVolume, FileAccess, UnsupportedFormat
from dineuro_bridge.scale import Spacing
from dineuro_bridge.volumes.pyramid import (
    coarser_spacing,
    first_line,
    level_text,
    sizes_text,
    time_is_z,
)
from dineuro_bridge.volumes.remote import Place, content, context, kvstore, result
from dineuro_bridge.volumes.source import DEFAULT_READING, Format, Reading, Source
from dineuro_bridge.volumes.terms import Roi
from dineuro_bridge.volumes.volume import Header
from dineuro_bridge.volumes.voxel_size import micrometres_of

_MOST_BYTES = 2**26
#: The axes of Neuroglancer's arrays as they are stored.
_AXES = "xyzc"


@dataclass(frozen=True, slots=True)
class _Image:
    """What the metadata of a folder say.

    Attributes:
        format: the format's record.
        specs: what the library needs to open each level, the finest first.
        axes: a letter of "xyzct" for each axis as stored.
        spacing: (z, y, x) in µm of the finest level.
        details: further facts.
        warnings: about what the metadata leave open.
    """

    format: Format
    specs: list[dict[str, Any]]
    axes: str
    spacing: Spacing | None
    details: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class StoreSource(Source):
    """An opened folder of chunks.

    Raises:
        MissingDependency: tensorstore is not installed.
        BadFile: damaged or missing metadata, or an array that is missing.
        BadVolume: a time series.
        UnsupportedFormat: other axes, labels, or a compression that is not read.
        BadParameter: slices along time where there are none.
    """

    def __init__(self, path: Place | str, image: _Image, how: Reading) -> None:
        try:
            import tensorstore
        except ImportError as error:
            raise image.format.missing(path, "tensorstore") from error
        self._arrays = []
        for spec in image.specs:
            try:
                opened = tensorstore.open(spec, open=True, read=True, context=context())
                array = result(opened, path)
            except FileAccess:
                raise
            except (ValueError, OSError) as error:
                raise BadFile(f"{path}: damaged: {_words(error)}") from error
            self._arrays.append(array)
        sizes = dict(zip(image.axes, self._arrays[0].shape, strict=True))
        points, depth = sizes.get("t", 1), sizes.get("z", 1)
        in_time = time_is_z(path, points, depth, how.z_axis)
        self._axes = image.axes.replace("z", "_").replace("t", "z") if in_time else image.axes
        levels = []
        for array in self._arrays:
            size = dict(zip(self._axes, array.shape, strict=True))
            levels.append((size.get("c", 1), size.get("z", 1), size["y"], size["x"]))
        if min(map(min, levels)) < 1:
            raise BadVolume(f"{path}: has the size {sizes_text(levels[0][:0:-1])}: it is empty")
        dtype = np.dtype(self._arrays[0].dtype.numpy_dtype)
        if dtype.char not in "bBhHiIfd":
            raise UnsupportedFormat(f"{path}: samples of type {dtype}: convert them to uint16")
        spacing = None if in_time else image.spacing
        details = dict(image.details)
        for at, (array, shape) in enumerate(zip(self._arrays, levels, strict=True)):
            chunk = dict(zip(self._axes, array.chunk_layout.read_chunk.shape or (), strict=False))
            text = f"chunks of {sizes_text([chunk.get(axis) or 1 for axis in 'xyz'])}"
            own = coarser_spacing(spacing, levels[0], shape)
            details[f"level {at}"] = level_text(shape, text, own)
        header = Header(image.format.name, levels[0], dtype, spacing, details, image.warnings)
        super().__init__(str(path), header, tuple(levels))

    def _read(self, box: Roi, level: int) -> NDArray[Any]:
        x0, y0, z0, x1, y1, z1 = box
        places = {"x": (x0, x1), "y": (y0, y1), "z": (z0, z1)}
        array = self._arrays[level]
        selection = []
        for axis, first, length in zip(self._axes, array.domain.origin, array.shape, strict=True):
            low, high = places.get(axis, (0, length))
            selection.append(slice(first + low, first + high))
        try:
            read = array[tuple(selection)].read()
            voxels = np.asarray(result(read, self.path, voxels=True))
        except FileAccess:
            raise
        except (ValueError, OSError) as error:
            raise BadFile(f"{self.path}: level {level}: damaged: {_words(error)}") from error
        kept = [axis for axis in self._axes if axis in "czyx"]
        voxels = voxels.reshape([n for n, axis in zip(voxels.shape, self._axes, strict=True)
                                 if axis in "czyx"])  # fmt: skip
        voxels = voxels.transpose([kept.index(axis) for axis in "czyx" if axis in kept])
        for at, axis in enumerate("czyx"):
            if axis not in kept:
                voxels = np.expand_dims(voxels, at)
        return voxels

    def close(self) -> None:
        """Release the arrays."""
        self._arrays.clear()


def open_n5(path: Place | str, how: Reading = DEFAULT_READING) -> StoreSource:
    """Open an N5 dataset, its levels s0, s1, …, or a BigDataViewer folder of one such image."""
    place = _place(path)
    inner = place / "setup0" / "timepoint0"
    if _has_levels(inner):
        if _has_levels(place / "setup1" / "timepoint0") or _has_levels(
            place / "setup0" / "timepoint1"
        ):
            raise UnsupportedFormat(
                f"{path}: holds several images: name one, such as {place.name}/setup0/timepoint0"
            )
        place = inner
    group = _record(place / "attributes.json") or {}
    arrays = [place] if "dimensions" in group else []
    for at in itertools.count():
        if arrays[:1] == [place] or _record(place / f"s{at}" / "attributes.json") is None:
            break
        arrays.append(place / f"s{at}")
    if not arrays:
        raise BadFile(
            f"{path}: is no N5 image: name a folder with attributes.json of an array, or with s0"
        )
    own = _record(arrays[0] / "attributes.json") or {}
    axes = _n5_axes(path, own, group)
    spacing, warnings = _n5_spacing(path, own, group, axes)
    specs = [{"driver": "n5", "kvstore": kvstore(each)} for each in arrays]
    return StoreSource(path, _Image(N5, specs, axes, spacing, {}, warnings), how)


def _place(path: Place | str) -> Place:
    return Path(path) if isinstance(path, str) else path


def _has_levels(place: Place) -> bool:
    """Whether a folder of BigDataViewer holds an image."""
    return place.is_dir() or (place / "s0" / "attributes.json").is_file()


def _n5_axes(path: Place | str, own: dict[str, Any], group: dict[str, Any]) -> str:
    sizes = own.get("dimensions")
    if not isinstance(sizes, list):
        raise BadFile(f"{path}: damaged: attributes.json states no dimensions")
    stated = own.get("axes", group.get("axes"))
    names = [str(name).lower() for name in stated] if isinstance(stated, list) else []
    axes = "".join(names) if names else "xyz" if len(sizes) == 3 else ""
    if not (set("xy") <= set(axes) <= set("xyzct") and len(axes) == len(set(axes)) == len(sizes)):
        raise UnsupportedFormat(
            f"{path}: {len(sizes)} axes, called {names or 'nothing'}: three axes x, y, z are "
            "read, and others where attributes.json names them by axes"
        )
    return axes


def _n5_spacing(
    path: Place | str, own: dict[str, Any], group: dict[str, Any], axes: str
) -> tuple[Spacing | None, tuple[str, ...]]:
    """(z, y, x) in µm by `pixelResolution` or `resolution`, of the array or else of its group."""
    factors = own.get("downsamplingFactors", [1] * len(axes))
    for record in (own, group):
        stated = record.get("pixelResolution", record.get("resolution"))
        unit = record.get("units", record.get("unit"))
        if isinstance(stated, dict):
            unit = stated.get("unit", unit)
            stated = stated.get("dimensions")
        if stated is None:
            continue
        units = unit if isinstance(unit, list) else [unit] * len(axes)
        values = [stated, factors, units]
        if not all(isinstance(v, list) and len(v) == len(axes) for v in values):
            raise BadFile(f"{path}: damaged: a voxel size of {str(stated)[:60]} for {axes}")
        steps = []
        for axis in "zyx" if "z" in axes else "":
            at = axes.index(axis)
            scale = micrometres_of(str(units[at] or ""))
            if scale is None:
                doubt = f"the voxel size {stated} has the unit {units[at]!r} and is not used: "
                return None, (f"{doubt}pass --spacing x,y,z in µm",)
            steps.append(_positive(path, stated[at]) * _positive(path, factors[at]) * scale)
        return ((steps[0], steps[1], steps[2]) if steps else None), ()
    return None, ()


def open_precomputed(path: Place | str, how: Reading = DEFAULT_READING) -> StoreSource:
    """Open an image of Neuroglancer, whose scales are its levels."""
    place = _place(path)
    info = _record(place / "info") or {}
    scales = info.get("scales")
    if info.get("type", "image") != "image":
        raise UnsupportedFormat(f"{path}: holds labels of a segmentation, and no image")
    if not isinstance(scales, list) or not scales:
        raise BadFile(f"{path}: damaged: info names no scales")
    resolutions = []
    for scale in scales:
        if not isinstance(scale, dict):
            raise BadFile(f"{path}: damaged: info names a scale that is no JSON object")
        key = PurePosixPath(str(scale.get("key", "..")))
        if key.is_absolute() or ".." in key.parts:
            raise BadFile(f"{path}: the scale {str(key)[:60]!r} lies outside the folder")
        steps = scale.get("resolution")
        if not isinstance(steps, list) or len(steps) != 3:
            raise BadFile(f"{path}: damaged: a resolution of {str(steps)[:60]}")
        resolutions.append([_positive(path, step) / 1000 for step in steps])
    order = sorted(range(len(scales)), key=lambda at: resolutions[at])
    x, y, z = resolutions[order[0]]
    offset = scales[order[0]].get("voxel_offset", [0, 0, 0])
    moved = offset not in (None, [0, 0, 0])
    details = {} if not moved else {"voxel offset": f"{offset} (x, y, z), not in trees"}
    store = kvstore(place)
    driver = "neuroglancer_precomputed"
    specs = [{"driver": driver, "kvstore": store, "scale_index": at} for at in order]
    return StoreSource(path, _Image(PRECOMPUTED, specs, _AXES, (z, y, x), details), how)


def _positive(path: Place | str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise BadFile(f"{path}: damaged: a voxel size of {str(value)[:60]}")
    return float(value)


def _record(path: Place) -> dict[str, Any] | None:
    """A JSON object; None where there is no such file.

    Raises:
        BadFile: it is no JSON object, or far too long.
    """
    found = content(path, _MOST_BYTES)
    if found is None:
        return None
    try:
        record = json.loads(found)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise BadFile(f"{path}: damaged: it is no JSON object")
    return record


def _words(error: Exception) -> str:
    """The library's message without the specification that it repeats."""
    return first_line(error).split(" [")[0][:300]


def _is_n5(path: Place, names: Sequence[str] = ("", "s0", "setup0/timepoint0/s0")) -> bool:
    """Whether a folder has an array of N5 where images keep it, or the suffix and attributes."""
    if path.suffix.lower() == ".n5" and (path / "attributes.json").is_file():
        return True
    try:
        records = [_record(path / name / "attributes.json") or {} for name in names]
    except BadFile:
        return False
    return "n5" in records[0] or any({"dimensions", "blockSize"} <= r.keys() for r in records)


def _is_precomputed(path: Place) -> bool:
    try:
        record = _record(path / "info") or {}
    except BadFile:
        return False
    return "scales" in record and "data_type" in record


N5 = Format(
    name="n5",
    suffixes=(".n5",),
    sniff=lambda path, _: _is_n5(path),
    open=open_n5,
    holds_spacing=True,
    has_time=True,
    folder=True,
    extra="stores",
    remote=True,
)
PRECOMPUTED = Format(
    name="precomputed",
    suffixes=(".precomputed",),
    sniff=lambda path, _: _is_precomputed(path),
    open=open_precomputed,
    holds_spacing=True,
    folder=True,
    extra="stores",
    remote=True,
)
