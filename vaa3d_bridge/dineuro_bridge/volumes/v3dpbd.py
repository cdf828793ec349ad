"""Vaa3D's packed format: `.v3dpbd`, `.pbd`; lossless, 8 and 16 bits.

The header is that of `.v3draw` with another magic. One stream over all channels follows; it ends
with the last sample. Source: Vaa3D's ImageLoader. The codes stand in `v3dpbd_kernels`.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadFile, UnsupportedFormat
from dineuro_bridge.files import atomic_output, read_start, size_of_file
from dineuro_bridge.volumes.source import Format, Source
from dineuro_bridge.volumes.terms import Roi
from dineuro_bridge.volumes.v3draw import HEADER_BYTES, SAMPLES, header_bytes, parse_fields
from dineuro_bridge.volumes.volume import Header, Volume

MAGIC = b"v3d_volume_pkbitdf_encod"
#: Most samples that two (8 bits) or three (16 bits) bytes of a stream can stand for.
_DENSEST = {1: (128, 2), 2: (33, 3)}
_CHUNK = 2**22


def is_v3dpbd(start: bytes) -> bool:
    """Whether a file that begins with these bytes is a packed one."""
    return start[:24] == MAGIC


def read_header(path: Path | str) -> Header:
    """The header of a packed file; dimensions that the stream cannot fill are refused.

    Raises:
        BadFile: truncated, or dimensions that the file's size cannot hold.
        UnsupportedFormat: the lossy 3-bit variant.
    """
    size = size_of_file(path)
    start = read_start(path, HEADER_BYTES)
    if not is_v3dpbd(start):
        raise BadFile(f"{path}: does not begin with {MAGIC.decode()}: it is no .v3dpbd file")
    if len(start) < HEADER_BYTES:
        raise BadFile(f"{path}: truncated: {len(start)} bytes are less than a header")
    order, code = parse_fields(path, start)
    if code == 33:
        raise UnsupportedFormat(
            f"{path}: is packed with the lossy 3-bit code; save it from Vaa3D as .v3draw"
        )
    if code not in _DENSEST:
        raise BadFile(f"{path}: data type {code} is not 1 (uint8) or 2 (uint16)")
    width, height, depth, channels = (int(d) for d in np.frombuffer(start, order + "i4", 4, 27))
    samples, per_bytes = _DENSEST[code]
    if min(width, height, depth, channels) > 0:
        most = (size - HEADER_BYTES) * samples // per_bytes
        claimed = math.prod((width, height, depth, channels))
        if claimed > most:
            raise BadFile(
                f"{path}: truncated, or the header lies: {width} x {height} x {depth} x {channels} "
                f"are {claimed} samples; {size} bytes can hold {most} at most"
            )
    return Header(
        "v3dpbd",
        (channels, depth, height, width),
        SAMPLES[code],
        details={"byte order": "little-endian" if order == "<" else "big-endian"},
    )


class PackedSource(Source):
    """A packed file; the stream has no index, so that the first box unpacks all voxels."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(path, read_header(path))
        self._voxels: NDArray[Any] | None = None

    @property
    def reads_boxes(self) -> bool:
        """No: the stream is unpacked from its start to its end."""
        return False

    def _read(self, box: Roi, level: int) -> NDArray[Any]:  # noqa: ARG002  (one level)
        if self._voxels is None:
            self._voxels = _unpack(self.path, self.header)
        x0, y0, z0, x1, y1, z1 = box
        return self._voxels[:, z0:z1, y0:y1, x0:x1]

    def close(self) -> None:
        """Release the unpacked voxels."""
        self._voxels = None


def _unpack(path: Path | str, header: Header) -> NDArray[Any]:
    """All voxels (C, Z, Y, X) in native byte order.

    Raises:
        BadFile: the stream ends early, continues after the last sample, or has an invalid code.
    """
    kernels = _kernels(path)
    stream: NDArray[np.uint8] = np.memmap(path, np.uint8, "r", HEADER_BYTES).view(np.ndarray)
    out = np.empty(math.prod(header.shape), dtype=header.dtype)
    if header.dtype == np.uint8:
        status, used, count = kernels.decode8(stream, out)
    else:
        big = header.details["byte order"] == "big-endian"
        status, used, count = kernels.decode16(stream, out, big)
    if status != kernels.OK:
        what = {
            kernels.TRUNCATED: "the stream ends",
            kernels.OVERRUN: "a code runs beyond the last sample",
            kernels.NO_PRIOR: "a difference without a value before it",
        }[status]
        raise BadFile(
            f"{path}: damaged at byte {HEADER_BYTES + used}: {what}, after {count} of "
            f"{len(out)} samples"
        )
    if used != len(stream):
        raise BadFile(
            f"{path}: {len(stream) - used} bytes too many after the last of {len(out)} samples"
        )
    return out.reshape(header.shape)


def write(path: Path | str, volume: Volume) -> None:
    """Write uint8 or uint16 samples, packed piece by piece.

    Raises:
        UnsupportedFormat: any other sample type.
        FileAccess: the path cannot be written.
        MissingDependency: without numba.
    """
    start = header_bytes(MAGIC, volume, path)
    wide = volume.voxels.dtype.itemsize == 2
    if volume.voxels.dtype.itemsize > 2:
        raise UnsupportedFormat(
            f"{path}: {volume.voxels.dtype} samples cannot be stored as .v3dpbd, only uint8 and "
            "uint16; write .v3draw instead"
        )
    kernels = _kernels(path)
    encode = kernels.encode16 if wide else kernels.encode8
    native: np.dtype[Any] = volume.voxels.dtype.newbyteorder("=")
    slices = max(1, _CHUNK // volume.voxels[0, 0].size)
    most = min(slices, len(volume.voxels[0])) * volume.voxels[0, 0].size
    room = np.empty(most * native.itemsize + most // 16 + 16, dtype=np.uint8)
    runs, steps = np.empty(most, dtype=np.uint8), np.empty(most, dtype=np.uint8)
    prior = -1
    with atomic_output(path) as temporary, temporary.open("wb") as file:
        file.write(start)
        for channel in volume.voxels:
            for z in range(0, len(channel), slices):
                piece = np.ascontiguousarray(channel[z : z + slices], dtype=native).reshape(-1)
                used = encode(piece, prior, runs[: piece.size], steps[: piece.size], room)
                file.write(room[:used].data)
                prior = int(piece[-1])


def _kernels(path: Path | str) -> ModuleType:
    """The compiled loops, which need numba.

    Raises:
        MissingDependency: numba is not installed.
    """
    try:
        from dineuro_bridge.volumes import v3dpbd_kernels
    except ImportError as error:
        raise FORMAT.missing(path, "numba") from error
    return v3dpbd_kernels


FORMAT = Format(
    name="v3dpbd",
    suffixes=(".v3dpbd", ".pbd"),
    sniff=lambda _, start: is_v3dpbd(start),
    open=lambda path, _: PackedSource(path),
    write=write,
    extra="server",
)
