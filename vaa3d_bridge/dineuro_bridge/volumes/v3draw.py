"""Vaa3D's raw format: `.v3draw`, `.raw`, `.raw5`; all fields are checked against the file's size.

    0   24  magic
    24  1   L or B, byte order of all that follows
    25  2   bytes a sample: 1 uint8, 2 uint16, 4 float32
    27  16  X, Y, Z, C as int32 (or 8 bytes as int16 in an older variant; X, Y, Z, C, T in raw5)
    43  n   samples, X fastest, C slowest

Source: Vaa3D's v3d_basic loader; no voxel size is stored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadFile, BadVolume, UnsupportedFormat
from dineuro_bridge.files import atomic_output, read_start, size_of_file
from dineuro_bridge.volumes.source import Format, Source
from dineuro_bridge.volumes.terms import Roi
from dineuro_bridge.volumes.volume import Header, Volume

MAGIC = b"raw_image_stack_by_hpeng"
MAGIC5 = b"raw5image_stack_by_hpeng"
SAMPLES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.uint8),
    2: np.dtype(np.uint16),
    4: np.dtype(np.float32),
}
HEADER_BYTES = 43
_CHUNK = 2**25


@dataclass(frozen=True, slots=True)
class _Layout:
    """The header, the byte at which the samples begin, and their type in the file."""

    header: Header
    offset: int
    stored: np.dtype[Any]


def is_v3draw(start: bytes) -> bool:
    """Whether a file that begins with these bytes is one of the raw formats."""
    return start[:24] in (MAGIC, MAGIC5)


def read_header(path: Path | str) -> Header:
    """The header of a raw file; raises `BadFile` where the file's size contradicts it."""
    return _read_layout(path).header


class RawSource(Source):
    """A raw file; every box is a slice of one memory map."""

    def __init__(self, path: Path | str) -> None:
        self._layout = _read_layout(path)
        super().__init__(path, self._layout.header)

    def _read(self, box: Roi, level: int) -> NDArray[Any]:
        x0, y0, z0, x1, y1, z1 = box
        voxels: np.memmap[Any, Any] = np.memmap(
            self.path,
            dtype=self._layout.stored,
            mode="r",
            offset=self._layout.offset,
            shape=self.levels[level],
        )
        return voxels[:, z0:z1, y0:y1, x0:x1]


def write(path: Path | str, volume: Volume) -> None:
    """Write a `.v3draw` file in little-endian order, piece by piece, without a second copy.

    Raises:
        UnsupportedFormat: samples that are not uint8, uint16 or float32.
        FileAccess: the path cannot be written.
    """
    start = header_bytes(MAGIC, volume, path)
    with atomic_output(path) as temporary, temporary.open("wb") as file:
        file.write(start)
        little = volume.voxels.dtype.newbyteorder("<")
        slices = max(1, _CHUNK // max(1, volume.voxels[0, 0].nbytes))
        for channel in volume.voxels:
            for z in range(0, len(channel), slices):
                piece = np.ascontiguousarray(channel[z : z + slices], dtype=little)
                file.write(piece.data.cast("B"))


def header_bytes(magic: bytes, volume: Volume, path: Path | str) -> bytes:
    """The 43 bytes before the samples, little-endian; `.v3dpbd` has the same.

    Raises:
        UnsupportedFormat: a sample type or a dimension that the format cannot hold.
    """
    return start_of(magic, volume.voxels.shape, volume.voxels.dtype, path)


def start_of(
    magic: bytes, shape: tuple[int, ...], samples: np.dtype[Any], path: Path | str
) -> bytes:
    """The same 43 bytes by shape (C, Z, Y, X) and sample type; raises as `header_bytes`."""
    dtype = samples.newbyteorder("=")
    codes = [code for code, sample in SAMPLES.items() if sample == dtype]
    if not codes:
        raise UnsupportedFormat(
            f"{path}: {dtype} samples cannot be stored in this format, only uint8, uint16 and "
            "float32; write a .tif instead"
        )
    if max(shape) >= 2**31:
        raise UnsupportedFormat(f"{path}: a dimension of 2^31 or more cannot be stored")
    dims = np.array(shape[::-1], dtype="<i4").tobytes()
    return magic + b"L" + codes[0].to_bytes(2, "little") + dims


def parse_fields(path: Path | str, start: bytes) -> tuple[Literal["<", ">"], int]:
    """The byte order and the sample code, which both Vaa3D formats store alike."""
    if len(start) < HEADER_BYTES - 8:
        raise BadFile(f"{path}: truncated: {len(start)} bytes are less than a header")
    mark = start[24:25]
    if mark not in (b"L", b"B"):
        raise BadFile(f"{path}: byte 24 is {mark!r}; L or B (the byte order) must stand there")
    order: Literal["<", ">"] = "<" if mark == b"L" else ">"
    return order, int(np.frombuffer(start, order + "i2", 1, 25)[0])


def _read_layout(path: Path | str) -> _Layout:
    size = size_of_file(path)
    start = read_start(path, 64)
    if not is_v3draw(start):
        raise BadFile(f"{path}: does not begin with {MAGIC.decode()}: it is no .v3draw file")
    order, code = parse_fields(path, start)
    if code not in SAMPLES:
        raise BadFile(f"{path}: data type {code} is not 1 (uint8), 2 (uint16) or 4 (float32)")
    stored = SAMPLES[code].newbyteorder(order)
    if start[:24] == MAGIC5:
        layouts = [(order + "i4", 5)]
    else:
        layouts = [(order + "i4", 4), (order + "i2", 4)]
    claims = []
    for kind, count in layouts:
        offset = 27 + count * np.dtype(kind).itemsize
        if len(start) < offset:
            continue
        dims = [int(d) for d in np.frombuffer(start, kind, count, 27)]
        expected = offset + math.prod(dims) * stored.itemsize
        claims.append((dims, expected))
        if expected == size and min(dims) > 0:
            return _Layout(_header(path, dims, stored, order, offset), offset, stored)
    raise _contradiction(path, claims, size)


def _header(
    path: Path | str, dims: list[int], stored: np.dtype[Any], order: str, offset: int
) -> Header:
    width, height, depth, channels, *times = dims
    if times not in ([], [1]):
        raise BadVolume(f"{path}: a time series of {times[0]} volumes; save one time point")
    return Header(
        "v3draw",
        (channels, depth, height, width),
        stored.newbyteorder("="),
        details={
            "byte order": "little-endian" if order == "<" else "big-endian",
            "header": f"{offset} bytes",
        },
    )


def _contradiction(path: Path | str, claims: list[tuple[list[int], int]], size: int) -> BadFile:
    """The error of a file whose size does not fit its header."""
    if not claims:
        return BadFile(f"{path}: truncated: {size} bytes are less than a header")
    dims, expected = claims[0]
    shape = " x ".join(map(str, dims))
    if min(dims) < 1:
        return BadFile(f"{path}: the header says {shape}: every dimension must be at least 1")
    if size < expected:
        return BadFile(
            f"{path}: truncated: the header says {shape}, {expected} bytes; the file has {size}"
        )
    return BadFile(
        f"{path}: {size - expected} bytes too many: the header says {shape}, {expected} bytes"
    )


FORMAT = Format(
    name="v3draw",
    suffixes=(".v3draw", ".raw", ".raw5"),
    sniff=lambda _, start: is_v3draw(start),
    open=lambda path, _: RawSource(path),
    write=write,
    only_read=(".raw5",),
)
