"""TIFFs written byte by byte: other writers' variants, and files that are made to do harm."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Code, type and values of a tag; bytes are taken as they are, also with a count of their own.
Tag = tuple[int, int, Any]
_LETTERS = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 12: "d"}


def page_tags(width: int, height: int, *, photometric: int = 1, more: list[Tag]) -> list[Tag]:
    """The tags of one 8-bit page of one strip, without the strip itself."""
    return [
        (256, 4, [width]), (257, 4, [height]), (258, 3, [8]), (259, 3, [1]),
        (262, 3, [photometric]), (277, 3, [1]), (278, 4, [height]), *more,
    ]  # fmt: skip


def tiff_bytes(pages: list[tuple[list[Tag], bytes]], behind: frozenset[int] = frozenset()) -> bytes:
    """A little-endian TIFF: the tags of every page, and its strips one after the other.

    Values of the tags in `behind` never stand in the tag itself, even if they would fit.
    """
    out = bytearray(b"II*\0\0\0\0\0")
    pointer = 4
    for tags, strip in pages:
        offset = len(out)
        out += strip
        counts = next((tag[2] for tag in tags if tag[0] == 279), [len(strip)])
        offsets = [offset + sum(counts[:number]) for number in range(len(counts))]
        entries = []
        for code, kind, values in sorted(_merge(tags, [(273, 4, offsets), (279, 4, counts)])):
            raw, count = _packed(kind, values)
            if len(raw) > 4 or (code in behind and count > 1):
                out += b"\0" * (len(out) % 2)
                value, raw = raw, struct.pack("<I", len(out))
                out += value
            entries.append(struct.pack("<HHI", code, kind, count) + raw.ljust(4, b"\0"))
        out += b"\0" * (len(out) % 2)
        struct.pack_into("<I", out, pointer, len(out))
        out += struct.pack("<H", len(entries)) + b"".join(entries)
        pointer = len(out)
        out += bytes(4)
    return bytes(out)


def _packed(kind: int, values: Any) -> tuple[bytes, int]:
    if isinstance(values, tuple):
        count, raw = values
        return raw, count
    if isinstance(values, bytes):
        return values, len(values)
    if kind == 5:
        return b"".join(struct.pack("<II", *pair) for pair in values), len(values)
    return struct.pack(f"<{len(values)}{_LETTERS[kind]}", *values), len(values)


def ome_xml(
    shape: tuple[int, int, int],
    runs: str,
    *,
    uuid: str | None = None,
    channels: int = 1,
    head: str = "",
) -> str:
    """OME-XML of a volume (Z, Y, X) of 8 bits; `runs` are its TiffData elements."""
    depth, height, width = shape
    root = f' UUID="urn:uuid:{uuid}"' if uuid else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{root}>{head}'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" '
        f'SizeX="{width}" SizeY="{height}" SizeZ="{depth}" SizeC="{channels}" SizeT="1" '
        'PhysicalSizeX="0.2" PhysicalSizeY="0.2" PhysicalSizeZ="1.0">'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{runs}</Pixels></Image></OME>'
    )


def run_xml(first: int, page: int, count: int, name: str | None = None, uuid: str = "") -> str:
    """A TiffData element; with a name, its pages lie in the file of that name."""
    inner = "" if name is None else f'<UUID FileName="{name}">urn:uuid:{uuid}</UUID>'
    return f'<TiffData FirstZ="{first}" IFD="{page}" PlaneCount="{count}">{inner}</TiffData>'


def write_described(path: Path, planes: NDArray[Any], text: str, **options: Any) -> None:
    """8-bit planes (N, Y, X) with a description on the first page."""
    more = options.pop("more", [])
    height, width = planes.shape[1:]
    description: list[Tag] = [(270, 2, text.encode() + b"\0")]
    path.write_bytes(
        tiff_bytes([
            (
                page_tags(width, height, more=[*(description if not i else []), *more], **options),
                plane.astype(np.uint8).tobytes(),
            )
            for i, plane in enumerate(planes)
        ])
    )  # fmt: skip


def lsm_bytes(
    voxels: NDArray[Any], spacing_m: tuple[float, float, float], *, thumbnails: bool = True
) -> bytes:
    """A Zeiss LSM file of 8-bit voxels (C, Z, Y, X); each page may be followed by a thumbnail."""
    channels, depth, height, width = voxels.shape
    about = struct.pack("<Ii6i2i", 67127628, 500, width, height, depth, channels, 1, 1, 16, 16)
    about = (about + struct.pack("<3d", *spacing_m[::-1])).ljust(500, b"\0")
    pages: list[tuple[list[Tag], bytes]] = []
    for z in range(depth):
        samples: list[Tag] = [(254, 4, [0]), (258, 3, [8] * channels), (277, 3, [channels])]
        if channels > 1:  # Zeiss declares two channels as colour
            samples += [(262, 3, [2]), (284, 3, [2])]
        info: list[Tag] = [(34412, 1, about)] if z == 0 else []
        strips: list[Tag] = [(279, 4, [height * width] * channels)]
        tags = _merge(page_tags(width, height, more=[]), [*samples, *info, *strips])
        pages.append((tags, voxels[:, z].tobytes()))
        if not thumbnails:
            continue
        small: list[Tag] = [(254, 4, [1]), (258, 3, [8] * 3), (262, 3, [2]), (277, 3, [3])]
        pages.append((_merge(page_tags(4, 4, more=[]), [*small, (284, 3, [1])]), bytes(48)))
    return tiff_bytes(pages, behind=frozenset({258}))


def _merge(tags: list[Tag], more: list[Tag]) -> list[Tag]:
    """Tags, where later ones replace earlier ones of the same code."""
    return list({tag[0]: tag for tag in [*tags, *more]}.values())


def stk_bytes(voxels: NDArray[Any], step: tuple[int, int], pixel: tuple[int, int]) -> bytes:
    """A MetaMorph file of 8-bit voxels (Z, Y, X); steps are fractions in units of "um"."""
    depth, height, width = voxels.shape
    planes = voxels.astype(np.uint8).tobytes()
    # The strip begins at byte 8, and what the tags point to follows the planes.
    at = 8 + len(planes)
    beyond = struct.pack("<2I", *pixel) + struct.pack("<I3s", 3, b"um")
    calibration = struct.pack("<6I", 4, at, 5, at, 6, at + 8)
    distances = struct.pack("<6I", *step, 0, 0, 0, 0) * depth
    more: list[Tag] = [
        (33628, 4, (3, calibration)), (33629, 5, (depth, distances)),
        (33630, 5, [(500, 1)] * depth), (279, 4, [height * width]),
    ]  # fmt: skip
    tags = page_tags(width, height, more=more)
    return tiff_bytes([(tags, planes + beyond)])
