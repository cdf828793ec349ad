"""The volume of a run: its windows, its identity, and the blocks in which something may be."""

from __future__ import annotations

import functools
import hashlib
import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dineuro.brain.store.grid import Grid, Window
from dineuro_bridge.errors import BadFile, BadParameter, BadVolume
from dineuro_bridge.files import descend, reading
from dineuro_bridge.volumes.formats import format_of_content, open_volume
from dineuro_bridge.volumes.remote import address_of
from dineuro_bridge.volumes.source import DEFAULT_READING, NAMED_HERE, Source
from dineuro_bridge.volumes.terms import Roi

#: The coarsest level that tells where nothing is, in finest voxels: a coarser one loses neurites.
_COARSEST = 8
#: A voxel of that level shows something if it lies so many deviations above its block's median.
_DEVIATIONS = 4.0
#: Voxels around a block that count as its own.
_BESIDE = 16
#: Blocks whose deviation is measured.
_SAMPLED_BLOCKS = 64
#: Edge of the boxes in which a damaged window is read.
_PATCH = 64


class Identity(NamedTuple):
    """What the files of a volume are: their number, their bytes, a digest of names and times."""

    files: int
    bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Input:
    """The volume of a run, as every worker opens it.

    Attributes:
        path: where it lies, for all workers.
        channel: from 0.
        root: a folder below which it lies, and from which no link is followed; None follows links,
            and reads other files that belong to the volume.
        identity: what its files were at the start; see `identity`.
    """

    path: str
    channel: int
    root: str | None = None
    identity: Identity | None = None

    def source(self) -> Source:
        """The opened volume; it stays open in this process."""
        return _opened(self.path, self.root, self.identity)

    def core(self, window: Window) -> NDArray[Any]:
        """The intensities (Z, Y, X) of a core.

        Raises:
            BadFile: a chunk of it is damaged.
            BadVolume: a voxel is NaN or infinite.
        """
        return self._read(window.core_roi)

    def window(self, window: Window, low: float) -> NDArray[Any]:
        """The intensities (Z, Y, X) of a window; errors as of `core`.

        Damage outside the core costs only the voxels of its chunks, which get the value `low`.
        """
        try:
            return self._read(window.roi)
        except (BadFile, BadVolume):
            core = self.core(window)
        voxels = self.box(window, low)
        voxels[window.core] = core
        return voxels

    def box(self, window: Window, low: float) -> NDArray[Any]:
        """The intensities (Z, Y, X) of a window; the voxels of damaged chunks get `low`."""
        try:
            return self._read(window.roi)
        except (BadFile, BadVolume):
            voxels = np.full(window.shape, low, dtype=self.source().dtype)
        for box in _patches(window):
            x0, y0, z0, x1, y1, z1 = box
            z, y, x = window.start
            try:
                patch = self._read(box)
            except (BadFile, BadVolume):
                continue
            voxels[z0 - z : z1 - z, y0 - y : y1 - y, x0 - x : x1 - x] = patch
        return voxels

    def reader(self) -> Callable[[Roi], NDArray[Any]]:
        """Reads boxes (Z, Y, X); a damaged one is 0."""

        def read(box: Roi) -> NDArray[Any]:
            x0, y0, z0, x1, y1, z1 = box
            try:
                return self._read(box)
            except (BadFile, BadVolume):
                return np.zeros((z1 - z0, y1 - y0, x1 - x0), dtype=self.source().dtype)

        return read

    def _read(self, box: Roi) -> NDArray[Any]:
        voxels = np.asarray(self.source().read(box)[self.channel])
        if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
            raise BadVolume(
                f"{self.path}: the box {','.join(map(str, box))} has voxels that are NaN or "
                "infinite"
            )
        return voxels


@functools.lru_cache(maxsize=2)
def _opened(path: str, root: str | None, _: Identity | None) -> Source:
    """The volume, opened once; a worker that outlives a run opens a changed volume anew."""
    if root is None:
        return open_volume(path, NAMED_HERE)
    descriptor = _held(path, root)
    held = Path(f"/proc/self/fd/{descriptor}")
    try:
        source = format_of_content(held).open(held, DEFAULT_READING)
    except BaseException:
        os.close(descriptor)
        raise
    weakref.finalize(source, os.close, descriptor)
    return source


def _held(path: str, root: str) -> int:
    with reading(path):
        return descend(root, os.path.relpath(path, root))


def _patches(window: Window) -> Iterator[Roi]:
    """Boxes that cover a window, on a grid of chunks."""
    edges = [
        sorted({a, b, *range(-(-a // _PATCH) * _PATCH, b, _PATCH)})
        for a, b in zip(window.start, window.stop, strict=True)
    ]
    for z0, z1 in zip(edges[0], edges[0][1:], strict=False):
        for y0, y1 in zip(edges[1], edges[1][1:], strict=False):
            for x0, x1 in zip(edges[2], edges[2][1:], strict=False):
                yield x0, y0, z0, x1, y1, z1


def open_input(path: Path, channel: int | None, root: str | None = None) -> Input:
    """Open the volume of a run.

    Args:
        path: of the volume.
        channel: from 1; None is the first.
        root: see `Input`.

    Raises:
        BadVolume: a single slice.
        BadParameter: a channel that it does not have.
        BadFile, FileAccess, UnsupportedFormat: it cannot be read, or not box by box.
    """
    address = address_of(path) if root is None else None
    with reading(path):
        place = address or str(path.resolve() if root is None else path)
    _opened.cache_clear()
    given = Input(place, 0, root, identity(place, root) if address is None else None)
    if address is not None:
        given = replace(given, identity=_announced(given.source()))
    source = given.source()
    channels, depth, _, _ = source.shape
    at = 0 if channel is None else channel - 1
    if not 0 <= at < channels:
        raise BadParameter(f"{path}: has no channel {channel}; it has {channels}, counted from 1")
    if depth < 2:
        raise BadVolume(f"{path}: is one slice: a stack of two slices or more is needed")
    if not source.reads_boxes:
        raise BadParameter(
            f"{path}: is compressed as a whole, so that no box can be read by itself: convert it: "
            f"dineuro convert {path} brain.ome.zarr"
        )
    return replace(given, channel=at)


def identity(path: str, root: str | None) -> Identity:
    """The number, the bytes and a digest of names, sizes and times of a volume's files."""
    if root is not None:
        descriptor = _held(path, root)
        try:
            return identity(f"/proc/self/fd/{descriptor}", None)
        finally:
            os.close(descriptor)
    digest, count, size = hashlib.sha256(), 0, 0
    for file in _files(path):
        state = file.stat()
        count, size = count + 1, size + state.st_size
        digest.update(
            f"{os.path.relpath(file, path)} {state.st_size} {state.st_mtime_ns}\n".encode()
        )
    return Identity(count, size, digest.hexdigest())


def _announced(source: Source) -> Identity:
    """What a volume at an address says of itself: it has no listing of its files."""
    text = repr((source.levels, str(source.dtype), source.spacing, sorted(source.details.items())))
    return Identity(0, 0, hashlib.sha256(text.encode()).hexdigest())


def _files(path: str) -> Iterator[Path]:
    if Path(path).is_file():
        yield Path(path)
    for folder, folders, names in os.walk(path):
        folders.sort()
        yield from (Path(folder) / name for name in sorted(names))


def occupied_blocks(
    given: Input, grid: Grid, told: Callable[[int, int], None] = lambda _, __: None
) -> tuple[list[int], list[int]]:
    """The blocks that may hold neurites, and those that are stored but show none.

    A block without a stored chunk holds nothing. Where the volume has a level that is coarser by at
    most 8, a block in which no voxel of it stands out of the noise holds nothing either.

    Args:
        given: the volume.
        grid: its blocks.
        told: called with the number of blocks that were looked at, and of all.
    """
    source = given.source()
    stored = []
    for block in range(len(grid)):
        told(block, len(grid))
        if source.is_stored(grid.window(block).roi):
            stored.append(block)
    level = _coarse_level(source)
    if level is None or not stored:
        return stored, []
    ratio = [a / b for a, b in zip(source.shape[1:], source.levels[level][1:], strict=True)]

    def coarse(block: int) -> NDArray[np.float32]:
        # A neurite may run along a face, just outside the block.
        window = grid.window(block, (_BESIDE,) * 3)
        low = [int(a / r) for a, r in zip(window.start, ratio, strict=True)]
        high = [
            min(n, max(int(np.ceil(b / r)), a + 1))
            for a, b, r, n in zip(low, window.stop, ratio, source.levels[level][1:], strict=True)
        ]
        box = (low[2], low[1], low[0], high[2], high[1], high[0])
        return np.asarray(source.read(box, level)[given.channel], dtype=np.float32)

    spread = _deviation(coarse(block) for block in stored[:: 1 + len(stored) // _SAMPLED_BLOCKS])
    kept, dark = list[int](), list[int]()
    for block in stored:
        voxels = coarse(block)
        shows = (voxels > np.median(voxels) + _DEVIATIONS * spread).any()
        (kept if shows else dark).append(block)
    return kept, dark


def _coarse_level(source: Source) -> int | None:
    """The coarsest level that loses no neurite; None without one."""
    finest, best = source.shape[1:], None
    for level, shape in enumerate(source.levels):
        ratio = max(a / b for a, b in zip(finest, shape[1:], strict=True))
        if level and ratio <= _COARSEST + 1:
            best = level
    return best


def _deviation(blocks: Iterable[NDArray[np.float32]]) -> float:
    """The median deviation of the voxels of blocks, as a standard deviation."""
    spreads = [1.4826 * float(np.median(np.abs(v - np.median(v)))) for v in blocks if v.size]
    return float(np.median(spreads)) if spreads else 0.0
