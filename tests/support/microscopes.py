"""Files of Leica, Nikon and Zeiss, written by hand from what is known of their formats.

They hold what a reader needs, and no microscope wrote them.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def write_lif(
    path: Path, *images: tuple[str, NDArray[np.uint16]], micrometres: float = 0.5
) -> None:
    """Images (C, Z, Y, X) with cubic voxels, each in a block of memory."""
    elements, blocks = [], []
    for number, (name, voxels) in enumerate(images, 1):
        channels, depth, height, width = voxels.shape
        plane = height * width * 2
        # Each plane has all its channels.
        stored = voxels.swapaxes(0, 1)
        rows = [(1, width, 2), (2, height, width * 2), (3, depth, plane * channels)]
        dimensions = "".join(
            f'<DimensionDescription DimID="{axis}" NumberOfElements="{n}" Origin="0" '
            f'Length="{(n - 1) * micrometres * 1e-6}" Unit="m" BitInc="0" BytesInc="{step}"/>'
            for axis, n, step in rows
        )
        described = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" Min="0" Max="65535" '
            f'NameOfMeasuredQuantity="" Unit="" LUTName="Green" IsLUTInverted="0" '
            f'BytesInc="{at * plane}" BitInc="0"/>'
            for at in range(channels)
        )
        elements.append(
            f'<Element Name="{name}" Visibility="1"><Data><Image><ImageDescription>'
            f"<Channels>{described}</Channels><Dimensions>{dimensions}</Dimensions>"
            f"</ImageDescription></Image></Data>"
            f'<Memory Size="{stored.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
        )
        blocks.append((f"MemBlock_{number}", stored.astype("<u2").tobytes()))
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="project"><Data/>'
        '<Memory Size="0" MemoryBlockID="MemBlock_0"/>'
        f"<Children>{''.join(elements)}</Children></Element></LMSDataContainerHeader>"
    )
    text = xml.encode("utf-16-le")
    parts = [struct.pack("<IIBI", 0x70, len(text) + 5, 0x2A, len(xml)), text]
    for name, data in [("MemBlock_0", b""), *blocks]:
        words = name.encode("utf-16-le")
        parts.append(
            struct.pack("<IIBQBI", 0x70, len(words) + 14, 0x2A, len(data), 0x2A, len(name))
        )
        parts += [words, data]
    path.write_bytes(b"".join(parts))


def write_nd2(
    path: Path,
    voxels: NDArray[np.uint16],
    *,
    step: float = 2.0,
    positions: int = 1,
    has_probe: bool = True,
) -> None:
    """A stack (C, Z, Y, X) of voxels of 0.5 x 0.5 x `step` µm, as version 2.1 with XML."""
    channels, depth, height, width = voxels.shape
    frames = depth * positions

    def tag(name: str, value: object, kind: str = "lx_uint32") -> str:
        return f'<{name} runtype="{kind}" value="{value}"/>'

    attributes = {"uiWidth": width, "uiHeight": height, "uiWidthBytes": width * channels * 2,
                  "uiComp": channels, "uiBpcInMemory": 16, "uiBpcSignificant": 16,
                  "uiSequenceCount": frames, "eCompression": 2}  # fmt: skip
    stack = (
        f'<uLoopPars runtype="CLxVariant">{tag("uiCount", depth)}{tag("dZStep", step, "double")}'
        f"{tag('dZLow', 0, 'double')}{tag('dZHigh', step * depth, 'double')}"
        f"{tag('dZHome', 0, 'double')}{tag('iType', 0, 'lx_int32')}</uLoopPars>{tag('eType', 4)}"
    )
    experiment = stack
    if positions > 1:
        points = "".join(
            f'<i{at:010} runtype="CLxVariant">{tag("dPosX", at, "double")}'
            f"{tag('dPosY', 0, 'double')}{tag('dPosZ', 0, 'double')}"
            f"{tag('dPosName', f'well {at + 1}', 'CLxStringW')}</i{at:010}>"
            for at in range(positions)
        )
        experiment = (
            f'<uLoopPars runtype="CLxVariant">{tag("uiCount", positions)}'
            f'<Points runtype="CLxVariant">{points}</Points></uLoopPars>{tag("eType", 2)}'
            f'<ppNextLevelEx runtype="CLxVariant"><i0000000000 runtype="CLxVariant">{stack}'
            "</i0000000000></ppNextLevelEx>"
        )
    probe = (
        '<pFluorescentProbe runtype="CLxVariant">' + tag("m_uiColor", 1) + "</pFluorescentProbe>"
    ) * has_probe
    planes = "".join(
        f'<a{at} runtype="CLxVariant">{tag("uiCompCount", 1)}{probe}'
        f"{tag('sDescription', f'channel {at}', 'CLxStringW')}</a{at}>"
        for at in range(channels)
    )
    metadata = (
        f"{tag('bCalibrated', 'true', 'bool')}{tag('dCalibration', 0.5, 'double')}"
        f'<sPicturePlanes runtype="CLxVariant">{tag("uiCount", channels)}'
        f'<sPlaneNew runtype="CLxVariant">{planes}</sPlaneNew></sPicturePlanes>'
    )
    chunks = {
        "ImageAttributes!": "".join(tag(name, value) for name, value in attributes.items()),
        "ImageMetadataSeq|0!": metadata,
        "ImageMetadata!": experiment,
    }
    written: dict[bytes, tuple[int, int]] = {}
    out = bytearray()

    def chunk(name: bytes, data: bytes, reserve: int = 0) -> None:
        padded = name.ljust(max(len(name), reserve), b"\0")
        written[name] = len(out), len(data)
        out.extend(struct.pack("<IIQ", 0x0ABECEDA, len(padded), len(data)) + padded + data)

    chunk(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver2.1".ljust(64, b"\0"))
    for name, text in chunks.items():
        chunk(name.encode(), f"<variant>{text}</variant>".encode())
    for frame in range(frames):
        # 8 bytes of time stand before the voxels, whose channels alternate.
        plane = voxels[:, frame % depth].transpose(1, 2, 0).astype("<u2").tobytes()
        chunk(f"ImageDataSeq|{frame}!".encode(), bytes(8) + plane, reserve=4096 - 24)
    entries = b"".join(name + struct.pack("<QQ", *place) for name, place in written.items())
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!"
    place = len(out)
    chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", entries + end + struct.pack("<Q", place))
    out.extend(end + struct.pack("<Q", place))
    path.write_bytes(bytes(out))


def write_czi(
    path: Path,
    voxels: NDArray[np.uint16],
    *,
    tile: int = 16,
    scenes: int = 1,
    compression: int = 0,
    first: int = -7,
) -> None:
    """A stack (C, Z, Y, X) of voxels of 0.5 x 0.5 x 2 µm in tiles, as ZEN 2.3 writes it.

    Args:
        path: of the file.
        voxels: little-endian.
        tile: edge of a tile.
        scenes: the same stack so many times.
        compression: 0, 5 (zstd) or 6 (zstd with the low bytes before the high ones).
        first: x and y of the first voxel on the stage.
    """
    out = bytearray(544)
    entries = []
    for scene in range(scenes):
        for c, z, y, x in np.ndindex(*voxels.shape[:2], *(-(-n // tile) for n in voxels.shape[2:])):
            part = voxels[c, z, y * tile : (y + 1) * tile, x * tile : (x + 1) * tile]
            height, width = part.shape
            places = [("X", first + x * tile, width), ("Y", first + y * tile, height),
                      ("C", c, 1), ("Z", z, 1), ("S", scene, 1), ("M", y * 100 + x, 1)]  # fmt: skip
            at = len(out)
            entry = struct.pack("<2siqiiBB4si", b"DV", 1, at, 0, compression, 0, 0, b"", 6)
            entry += b"".join(
                struct.pack("<4siifi", axis.encode(), start, size, 0.0, size)
                for axis, start, size in places
            )
            data = _packed(np.ascontiguousarray(part, "<u2"), compression)
            head = struct.pack("<iiq", 0, 0, len(data)) + entry
            _segment(out, b"ZISRAWSUBBLOCK", head.ljust(16 + 240, b"\0") + data)
            entries.append(entry)
    directory = len(out)
    _segment(
        out, b"ZISRAWDIRECTORY", struct.pack("<i", len(entries)) + bytes(124) + b"".join(entries)
    )
    metadata = len(out)
    lengths = {"X": 0.5e-6, "Y": 0.5e-6, "Z": 2e-6}
    items = "".join(f'<Distance Id="{a}"><Value>{v}</Value></Distance>' for a, v in lengths.items())
    xml = (
        "<ImageDocument><Metadata><Information><Image><Dimensions><Channels>"
        '<Channel Id="Channel:0" Name="GFP"/></Channels></Dimensions></Image></Information>'
        f"<Scaling><Items>{items}</Items></Scaling></Metadata></ImageDocument>"
    ).encode()
    _segment(out, b"ZISRAWMETADATA", struct.pack("<ii", len(xml), 0) + bytes(248) + xml)
    start = bytearray()
    guid = bytes(16)
    header = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, guid, guid, 0, directory, metadata, 0, 0)
    _segment(start, b"ZISRAWFILE", header.ljust(512, b"\0"))
    out[:544] = start
    path.write_bytes(bytes(out))


def _packed(voxels: NDArray[np.uint16], compression: int) -> bytes:
    if compression == 0:
        return voxels.tobytes()
    import imagecodecs

    if compression == 5:
        return bytes(imagecodecs.zstd_encode(voxels.tobytes()))
    split = voxels.reshape(-1).view(np.uint8).reshape(-1, 2).T.tobytes()
    return b"\x03\x01\x01" + bytes(imagecodecs.zstd_encode(split))


def _segment(out: bytearray, name: bytes, data: bytes) -> None:
    out.extend(struct.pack("<16sqq", name, len(data), len(data)) + data)
