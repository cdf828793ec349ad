"""Writing OME-Zarr 0.5 (Zarr 3, in shards) or 0.4 (Zarr 2), level by level in bounded memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter, UnsupportedFormat
from dineuro_bridge.files import folder_output
from dineuro_bridge.scale import Spacing, VoxelScale
from dineuro_bridge.volumes.source import Source
from dineuro_bridge.volumes.terms import Roi

#: Edges of a chunk, and of a shard along z, y, x. One shard is written at once, by one process.
_CHUNK = 64
_SHARD = (64, 512, 512)
#: Bytes of one box that is read and written at once, unless one shard is larger.
_BOX_BYTES = 2**26
#: The coarsest level is not longer than this along any axis.
_COARSEST = 128

Size = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Step:
    """A level: its size z, y, x, and the voxels of the finest level in one of its own."""

    size: Size
    factors: Size


def write_source(
    path: Path | str, source: Source, *, zarr: str = "0.5", levels: str = "maximum"
) -> None:
    """Write the finest level of a source, and coarser ones that are made of it.

    Args:
        path: of the folder, which must not exist.
        source: what to write; box by box, so it may be larger than the memory.
        zarr: the version of OME-Zarr, "0.5" or "0.4".
        levels: a coarse voxel is the "maximum" or the "mean" of those it covers.

    Raises:
        BadParameter: another version or another way.
        UnsupportedFormat: a sample type that is no intensity.
        FileAccess: the path exists, or cannot be written.
    """
    if zarr not in ("0.4", "0.5") or levels not in _REDUCTIONS:
        raise BadParameter(f"{path}: OME-Zarr {zarr} by {levels}: 0.4 or 0.5, maximum or mean")
    if source.dtype.kind not in "uif" or source.dtype.itemsize > 8:
        raise UnsupportedFormat(f"{path}: {source.dtype} samples cannot be stored as OME-Zarr")
    steps = _steps(source.shape[1:], source.spacing)
    with folder_output(path) as temporary:
        _create_group(temporary, zarr, _multiscales(source, steps, zarr, levels, Path(path).name))
        read: Callable[[Roi], NDArray[Any]] = source.read
        before: _Step | None = None
        for at, step in enumerate(steps):
            array, unit = _create_array(temporary / str(at), zarr, source, step)
            voxel_bytes = source.shape[0] * source.dtype.itemsize
            if before is not None:
                read = _Reduced(read, before, step, _REDUCTIONS[levels])
                voxel_bytes *= math.prod(step.factors) // math.prod(before.factors)
            for box in boxes(step.size, unit, voxel_bytes):
                x0, y0, z0, x1, y1, z1 = box
                voxels = read(box)
                if array.ndim == 3:
                    array[z0:z1, y0:y1, x0:x1] = voxels[0]
                else:
                    array[:, z0:z1, y0:y1, x0:x1] = voxels
            read, before = _reader(array), step


def boxes(size: Size, unit: Size, voxel_bytes: int) -> Iterator[Roi]:
    """Boxes of whole units that cover a volume, as wide as `_BOX_BYTES` allows.

    Args:
        size: z, y, x of the volume.
        unit: z, y, x of the shards, or of the chunks.
        voxel_bytes: of a voxel with all its channels, and of those that it is made of.
    """
    edges = list(unit)
    for axis in (2, 1):
        room = max(1, _BOX_BYTES // (math.prod(edges) * voxel_bytes))
        edges[axis] = min(edges[axis] * room, -(-size[axis] // unit[axis]) * unit[axis])
    starts = [range(0, length, edge) for length, edge in zip(size, edges, strict=True)]
    for z, y, x in itertools.product(*starts):
        yield (
            x, y, z,
            min(x + edges[2], size[2]), min(y + edges[1], size[1]), min(z + edges[0], size[0]),
        )  # fmt: skip


def _steps(size: Size, spacing: Spacing | None) -> list[_Step]:
    """The levels; only axes with short voxels are halved, so that voxels become cubes."""
    steps = [_Step(size, (1, 1, 1))]
    edges = np.array(VoxelScale(spacing).edges)
    while max(steps[-1].size) > _COARSEST:
        last = steps[-1]
        now = edges * last.factors
        long = np.array(last.size) > 1
        ratio = np.where(long & (now < 1.5 * now[long].min()), 2, 1).tolist()
        dz, dy, dx = (-(-n // r) for n, r in zip(last.size, ratio, strict=True))
        fz, fy, fx = (f * r for f, r in zip(last.factors, ratio, strict=True))
        steps.append(_Step((dz, dy, dx), (fz, fy, fx)))
    return steps


@dataclass(frozen=True, slots=True)
class _Reduced:
    """Reads boxes of a coarse level from the level before it."""

    read: Callable[[Roi], NDArray[Any]]
    before: _Step
    step: _Step
    reduction: Callable[[NDArray[Any]], NDArray[Any]]

    def __call__(self, box: Roi) -> NDArray[Any]:
        """(C, Z, Y, X) of a box of the coarse level; a voxel at the border repeats its last one."""
        ratio = [b // a for a, b in zip(self.before.factors, self.step.factors, strict=True)]
        low = [a * r for a, r in zip(box[2::-1], ratio, strict=True)]
        high = [b * r for b, r in zip(box[:2:-1], ratio, strict=True)]
        ends = [min(a, b) for a, b in zip(high, self.before.size, strict=True)]
        voxels = self.read((low[2], low[1], low[0], ends[2], ends[1], ends[0]))
        beyond = [(0, a - b) for a, b in zip(high, ends, strict=True)]
        if max(beyond) > (0, 0):
            voxels = np.pad(voxels, [(0, 0), *beyond], mode="edge")
        channels, depth, height, width = voxels.shape
        rz, ry, rx = ratio
        shape = (channels, depth // rz, rz, height // ry, ry, width // rx, rx)
        return self.reduction(voxels.reshape(shape))


def _mean(cells: NDArray[Any]) -> NDArray[Any]:
    """The mean over axes 2, 4 and 6 in the samples' own type; halves are rounded up."""
    if cells.dtype.kind == "f":
        return np.asarray(cells.mean(axis=_WITHIN, dtype=np.float64).astype(cells.dtype))
    count = math.prod(cells.shape[axis] for axis in _WITHIN)
    total = cells.sum(axis=_WITHIN, dtype=np.int64)
    return np.asarray((total + count // 2) // count).astype(cells.dtype)


def _maximum(cells: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(cells.max(axis=_WITHIN))


#: The axes of the fine voxels in a coarse one.
_WITHIN = (2, 4, 6)
_REDUCTIONS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "maximum": _maximum,
    "mean": _mean,
}


def _multiscales(
    source: Source, steps: list[_Step], version: str, levels: str, name: str
) -> dict[str, Any]:
    """OME's attributes. The centre of a coarse voxel lies between those of the fine ones."""
    channels = source.shape[0] > 1
    unit = {} if source.spacing is None else {"unit": "micrometer"}
    axes: list[dict[str, str]] = [{"name": "c", "type": "channel"}] if channels else []
    axes += [{"name": axis, "type": "space", **unit} for axis in "zyx"]
    datasets = []
    for at, step in enumerate(steps):
        edges = source.spacing or (1.0, 1.0, 1.0)
        scale = [edge * factor for edge, factor in zip(edges, step.factors, strict=True)]
        shift = [edge * (factor - 1) / 2 for edge, factor in zip(edges, step.factors, strict=True)]
        first = [1.0] if channels else []
        moves = [{"type": "scale", "scale": first + scale}]
        if at:
            moves.append({"type": "translation", "translation": [0.0] * channels + shift})
        datasets.append({"path": str(at), "coordinateTransformations": moves})
    image = {"name": name, "axes": axes, "datasets": datasets, "type": levels}
    if version == "0.4":
        return {"multiscales": [{"version": version, **image}]}
    return {"ome": {"version": version, "multiscales": [image]}}


def _create_group(path: Path, version: str, attributes: dict[str, Any]) -> None:
    import zarr

    zarr.create_group(
        store=str(path), zarr_format=3 if version == "0.5" else 2, attributes=attributes
    )


def _create_array(path: Path, version: str, source: Source, step: _Step) -> tuple[Any, Size]:
    """The library's array of a level, and the box of one of its files."""
    import zarr
    from numcodecs import Blosc
    from zarr.codecs import BloscCodec

    chunks = [min(_CHUNK, n) for n in step.size]
    shards = [min(-(-n // c), s // c or 1) * c
              for n, c, s in zip(step.size, chunks, _SHARD, strict=True)]  # fmt: skip
    first = [source.shape[0]] if source.shape[0] > 1 else []
    one = [1] * len(first)
    options: dict[str, Any] = {
        "store": str(path), "shape": (*first, *step.size), "chunks": (*one, *chunks),
        "dtype": source.dtype, "fill_value": 0,
    }  # fmt: skip
    if version == "0.4":
        array = zarr.create_array(
            **options, zarr_format=2, compressors=Blosc("zstd", clevel=3, shuffle=Blosc.SHUFFLE),
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )  # fmt: skip
        z, y, x = chunks
        return array, (z, y, x)
    array = zarr.create_array(
        **options, zarr_format=3, shards=(*one, *shards) if shards != chunks else None,
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"),
        dimension_names=["c", "z", "y", "x"][-len(options["shape"]) :],
    )  # fmt: skip
    z, y, x = shards
    return array, (z, y, x)


def _reader(array: Any) -> Callable[[Roi], NDArray[Any]]:
    """Reads boxes (C, Z, Y, X) of an array that was written."""

    def read(box: Roi) -> NDArray[Any]:
        x0, y0, z0, x1, y1, z1 = box
        voxels = np.asarray(array[..., z0:z1, y0:y1, x0:x1])
        return voxels if array.ndim == 4 else voxels[None]

    return read
