"""Damaged files, and files that name other files, from a seed.

Each generator takes a `random.Random`, so that a seed gives the same files again.
"""

from __future__ import annotations

import io
import random
import re
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from tests.support.tiffs import lsm_bytes, ome_xml, run_xml, stk_bytes, write_described

from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume

STACK = np.random.default_rng(7).integers(0, 255, (6, 8, 9)).astype(np.uint8)
#: Names that a file may give to other files.
NAMES = (
    "/etc/passwd", "../jobs.sqlite", "file:///etc/passwd", "..\\a.tif", "//host/a.tif",
    "http://127.0.0.1/a.tif", "a.companion.ome", "/dev/zero", "/dev/stdin", ".", "", "a\0b.tif",
    "../../etc/hostname", "\u202e.tif", "%2e%2e/a.tif",
)  # fmt: skip
#: Numbers and words that few programs expect.
NUMBERS = (
    0, 1, -1, 2, 127, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, -(2**31), 2**61, 2**62, 2**63,
    -(2**63), 2**64, 10**30,
)  # fmt: skip
WORDS = (
    "", "x", "true", "null", "NaN", "inf", "-inf", "1e999", "1e-999", "0x10", "1_0", " 1", "1;2",
    "٣", "½", "\0", "\n", "a\r\nX: y", "\ud800", "'; DROP TABLE jobs; --", "${jndi:ldap://x}",
    "../../../etc/passwd", "%00", "a" * 5000, "[1,2,3]", "1,2,3", "1,2,3,4,5,6", "nan,nan,nan",
    "-1,-1,-1", "9" * 400,
)  # fmt: skip


def well_formed() -> Iterator[bytes]:
    """Yield a small file of every kind."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".tif", ".v3draw", ".v3dpbd"):
            write_volume(Path(folder) / f"a{suffix}", Volume(STACK[None]))
            yield (Path(folder) / f"a{suffix}").read_bytes()
        write_described(Path(folder) / "a.tif", STACK, ome_xml(STACK.shape, run_xml(0, 0, 6)))
        yield (Path(folder) / "a.tif").read_bytes()
    yield lsm_bytes(STACK[None], (1e-6, 2e-7, 2e-7))
    yield lsm_bytes(np.stack([STACK, STACK]), (1e-6, 2e-7, 2e-7))
    yield stk_bytes(STACK, (1, 1), (1, 5))
    options: list[dict[str, Any]] = [
        {"imagej": True}, {"bigtiff": True}, {"byteorder": ">"}, {"ome": True},
        {"compression": "zlib", "predictor": True}, {"compression": "lzw"}, {"tile": (16, 16)},
        {"compression": "zstd", "tile": (16, 16)}, {"imagej": True, "metadata": {"axes": "TYX"}},
    ]  # fmt: skip
    for one in options:
        out = io.BytesIO()
        tifffile.imwrite(out, STACK, photometric="minisblack", **one)
        yield out.getvalue()


def damaged(rng: random.Random, files: Sequence[bytes]) -> bytes:
    """A file with one to four damages; now and then an OME-TIFF that names other files."""
    data = bytearray(naming(rng) if rng.random() < 0.15 else rng.choice(files))
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = rng.choice(_DAMAGES)(rng, data, files)[: 2**20]
    return bytes(data)


def naming(rng: random.Random, names: Sequence[str] = NAMES) -> bytes:
    """An OME-TIFF whose XML names other files."""
    runs, plane = "", 0
    while plane < 6:
        count = rng.randint(1, 6 - plane)
        name = re.sub(r"[\0<&\"]", "", rng.choice(names))
        page, planes = rng.choice([0, plane, -1, 9]), rng.choice([count, 0, -1, 10**6])
        runs += run_xml(plane, page, planes, name, rng.choice("abc"))
        plane += count
    head = ""
    if rng.random() < 0.2:
        head = f'<BinaryOnly MetadataFile="{rng.choice(names[:3])}" UUID="urn:uuid:a"/>'
    text = ome_xml((6, 8, 9), runs, uuid=rng.choice([None, "a", "b"]), head=head)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tif"
        write_described(path, STACK[: rng.choice([1, 3, 6])], text)
        return path.read_bytes()


def text_naming(rng: random.Random, names: Sequence[str]) -> bytes:
    """Another kind of file, whose header or text names other files."""
    name = re.sub(r"[\0<&\"]", "", rng.choice(names))
    texts = (
        f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "{name}">]><OME>&b;</OME>',
        f'<OME xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="{name}"/></OME>',
        f'<OME xmlns:s="http://www.w3.org/2001/XMLSchema-instance" s:schemaLocation="x {name}"/>',
        f'<OME><BinaryOnly MetadataFile="{name}" UUID="urn:uuid:a"/></OME>',
        f"ImageJ=1.54f\nimages=6\nslices=6\nfilename={name}\nInfo = {name}\nopen={name}\n",
        f'{{"Summary": {{"Prefix": "{name}", "Directory": "{name}"}}, "FileName": "{name}"}}',
        f"SI.VERSION_MAJOR = 2020\nSI.hScan2D.logFilePath = '{name}'\nlogFileStem = '{name}'\n",
        f"[Header]\nFile={name}\nAperio Image|Filename = {name}",
    )
    plain = (
        f"RAWIMG={name}\nSWCFILE={name}\nANOFILE={name}\n",  # a linker file of Vaa3D
        f"# source: {name}\n# include {name}\n1 1 0 0 0 1 -1\n",
        f"volume,mask,gold\n{name},{name},{name}\n",
        f'[[training]]\nvolume = "{name}"\n',
        f"version https://git-lfs.github.com/spec/v1\n{name}\n",
        texts[0], texts[3],
    )  # fmt: skip
    if rng.random() < 0.25:
        return rng.choice(plain).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tif"
        # 305 and 315 name programs and people, 269 a document, 33445 a file of a scanner.
        more = [(rng.choice((269, 305, 315, 33445)), 2, name.encode() + b"\0")]
        write_described(path, STACK, rng.choice(texts), more=more)
        return path.read_bytes()


def flip_bits(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """Up to 12 bits, flipped in place."""
    for _number in range(rng.randint(1, 12)):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _word(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """An extreme number in place of 1 to 8 bytes; most headers stand at the beginning."""
    size = rng.choice((1, 2, 4, 8))
    at = rng.randrange(max(1, min(len(data), rng.choice((16, 64, 512, 10**6)))))
    number = rng.choice((*NUMBERS, at, len(data), 8)) % 2 ** (8 * size)
    data[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))
    return data


def _cut(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    return data[: rng.randrange(len(data) + 1)]


def _repeat(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    begin, end = sorted(rng.randrange(len(data) + 1) for _number in range(2))
    return data[:end] + data[begin:end] * rng.choice((1, 3, 50)) + data[end:]


def _splice(rng: random.Random, data: bytearray, files: Sequence[bytes]) -> bytearray:
    return data[: rng.randrange(len(data) + 1)] + rng.choice(files)[rng.randrange(200) :]


def _entry(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """A wrong tag, type, count or value in an entry of a TIFF, or a page list that loops."""
    places, ends = _places(data)
    if not places:
        return data
    order = "<" if data[:1] == b"I" else ">"
    at = rng.choice(places)
    choice = rng.randrange(5)
    if choice == 0:
        codes = (254, 256, 257, 258, 259, 262, 270, 273, 277, 278, 279, 284, 317, 320, 330, 339)
        struct.pack_into(order + "H", data, at, rng.choice((*codes, 33628, 34412, 34665, 50839)))
    elif choice == 1:
        struct.pack_into(order + "H", data, at + 2, rng.choice((0, *range(1, 20), 65535)))
    elif choice in (2, 3):
        value = rng.choice((*NUMBERS, *places, len(data), 65, 1000)) % 2**32
        struct.pack_into(order + "I", data, at + 4 * (choice - 1), value)
    else:
        target = rng.choice((*places, 8, len(data), 2**32 - 1)) - 2
        struct.pack_into(order + "I", data, rng.choice(ends), target % 2**32)
    return data


def _places(data: bytearray) -> tuple[list[int], list[int]]:
    """The entries of a classic TIFF, and the places of its pointers to the next page."""
    places: list[int] = []
    ends: list[int] = []
    if bytes(data[:4]) in (b"II*\0", b"MM\0*") and len(data) > 8:
        order = "<" if data[:1] == b"I" else ">"
        (offset,) = struct.unpack_from(order + "I", data, 4)
        while 0 < offset < len(data) - 6 and len(ends) < 20:
            (count,) = struct.unpack_from(order + "H", data, offset)
            end = offset + 2 + 12 * count
            if end + 4 > len(data):
                break
            places += range(offset + 2, end, 12)
            ends.append(end)
            (offset,) = struct.unpack_from(order + "I", data, end)
    return places, ends


def _text(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """Another number, name or element in a text; the length of the text stays where it can."""
    found = list(re.finditer(rb'(?<=[="])[\w.:-]+(?=["\n])', data))
    if not found:
        return data
    match = rng.choice(found)
    words = [*map(str, NUMBERS), *WORDS, *NAMES, '"><!DOCTYPE a>', "]]>", "&amp;" * 9]
    word = rng.choice(words).encode("utf-8", "surrogatepass")
    if rng.random() < 0.7:
        word = word[: len(match[0])].ljust(len(match[0]), rng.choice((b" ", b"0", b"9")))
    return data[: match.start()] + word + data[match.end() :]


_DAMAGES: tuple[Callable[[random.Random, bytearray, Sequence[bytes]], bytearray], ...] = (
    flip_bits, _word, _word, _cut, _repeat, _splice, _entry, _entry, _entry, _text, _text,
)  # fmt: skip
