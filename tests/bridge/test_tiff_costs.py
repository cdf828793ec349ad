"""Headers that ask for hours or gigabytes: refused at once, before the TIFF library reads them."""

from __future__ import annotations

import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dineuro_bridge.errors import BadFile, DineuroError, LimitExceeded
from dineuro_bridge.volumes.formats import read_header, read_volume
from dineuro_bridge.volumes.tiff_pages import MOST_PAGES, check_pages
from tests.support.tiffs import ome_xml, run_xml, write_described

#: Code, type, count and value or offset.
Entry = tuple[int, int, int, int]
ONE = np.zeros((1, 8, 8), np.uint8)


def chain(count: int, tags: list[Entry], after: bytes = b"", last: int = 0) -> bytes:
    """Pages of single-valued tags, one after the other; `last` follows the last one."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    size = 2 + len(entries) + 4
    out = bytearray(b"II*\0" + struct.pack("<I", 8))
    for number in range(count):
        following = last if number == count - 1 else 8 + (number + 1) * size
        out += struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return bytes(out) + after


def tag(code: int, value: int, count: int = 1) -> Entry:
    return (code, 4, count, value)


BASIC = [
    tag(256, 8), tag(257, 8), tag(258, 8), tag(259, 1), tag(262, 1), tag(273, 8), tag(277, 1),
    tag(278, 8), tag(279, 64),
]  # fmt: skip


def with_text(text: str, pages: int = 1) -> Callable[[Path], None]:
    return lambda path: write_described(path, np.zeros((pages, 8, 8)), text)


def raw(data: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(data)

    return write


def with_count(code: int, count: int) -> Callable[[Path], None]:
    """A page whose tag claims many values that the file has room for."""
    return raw(chain(1, [*BASIC, tag(code, 8, count)], bytes(4 * count)))


OFFSETS = 200_000


@pytest.mark.parametrize(
    ("write", "error", "message"),
    [
        (raw(chain(1, BASIC, last=8)), BadFile, "points back"),
        (raw(chain(700, BASIC, last=8 + 114 * 350)), BadFile, "points back"),
        (raw(chain(3, BASIC, last=10**6)), BadFile, "page 4 lies at byte 1000000"),
        (raw(chain(400_000, BASIC[:1])), LimitExceeded, f"more than {MOST_PAGES} pages"),
        (raw(chain(1, [])), BadFile, "is no page"),
        (with_count(330, 10**6), LimitExceeded, "1000000 sub-images"),
        (with_count(33629, 10**6), LimitExceeded, "1000000 planes"),
        (with_count(34665, 10**5), LimitExceeded, "100000 sub-images"),
        (
            # Every page shares one long list of offsets.
            raw(chain(2000, [*BASIC[:5], tag(273, 8, OFFSETS), *BASIC[6:8], tag(279, 8, OFFSETS)],
                      bytes(4 * OFFSETS))),
            BadFile, "claim more bytes than the file has",
        ),
        (with_text(ome_xml((250_000_000, 8, 8), "")), BadFile, "promises 250000000 planes"),
        (
            with_text(ome_xml((250_000_000, 8, 8), run_xml(0, 0, 250_000_000))),
            BadFile, "promises 250000000 planes, the file holds 1",
        ),
        (
            with_text(ome_xml((2000, 8, 8), run_xml(0, 0, 2000) * 20_000), 2000),
            BadFile, "contradict each other",
        ),
        (raw(chain(2, [*BASIC[:5], (273, 9, 1, 2**32 - 9), *BASIC[6:]])), BadFile, "at byte -9"),
        (raw(chain(2, [*BASIC[:3], tag(259, 999), *BASIC[4:]])), BadFile, "999 .* save it from"),
        (with_text("k=1\n" * 100_000), BadFile, "its description has"),
        (with_text("ImageJ=1.5\nimages=1000000000\nslices=1000000000\n"), BadFile, "promises"),
        (with_text('{"shape": [1000000000, 8, 8]}'), BadFile, "truncated"),
    ],
    ids=[
        "loop", "late loop", "outside", "pages", "no tags", "sub-images", "planes", "exif",
        "shared values", "size z", "plane count", "runs", "offset", "compression",
        "text", "imagej", "shape",
    ],
)  # fmt: skip
def test_a_costly_header_is_refused_at_once(
    write: Callable[[Path], None], error: type[DineuroError], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    write(path)
    read_header_once()
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(error, match=message) as caught:
            read_header(path)
        spent, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(str(path))
    # Tracing memory makes it several times slower.
    assert spent < 10
    assert peak < 2**27


def read_header_once() -> None:
    """Imports count neither as time nor as memory of a header."""
    with pytest.raises(DineuroError):
        read_header("missing.tif")


@pytest.mark.parametrize(
    "text",
    [
        ome_xml((6, 8, 8), "<TiffData/>" * 40_000),
        ome_xml((6, 8, 8), "<a/>" * 300_000),
        ome_xml((6, 8, 8), "<a " + " ".join(f'a{i}="1"' for i in range(2000)) + "/>"),
        ome_xml((6, 8, 8), "").replace("?>", '?><!DOCTYPE a [<!ENTITY b "c">]>', 1),
        ome_xml((6, 8, 8), '<TiffData IFD="x"/>'),
        ome_xml((6, 8, 8), f'<TiffData IFD="{"9" * 5000}"/>'),
        ome_xml((6, 8, 8), "").replace("XYZCT", "ZZZZZ"),
        ome_xml((6, 8, 8), "").replace('SizeZ="6"', 'SizeZ="-6"'),
        ome_xml((6, 8, 8), "").replace("</Pixels>", ""),
        ome_xml((6, 80, 8), ""),
    ],
    ids=[
        "runs", "elements", "attributes", "entities", "words", "digits", "order", "negative",
        "open", "size",
    ],
)  # fmt: skip
def test_xml_that_cannot_be_used_is_named_and_the_pages_are_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    planes = np.arange(6 * 64, dtype=np.uint8).reshape(6, 8, 8)
    write_described(path, planes, text)
    volume = read_volume(path)
    assert np.array_equal(volume.voxels[0], planes)
    assert volume.spacing is None
    assert "OME-XML cannot be used" in volume.warnings[0]


def test_big_and_small_tiffs_of_both_orders_have_their_pages_counted(tmp_path: Path) -> None:
    import tifffile

    for order in "<>":
        for big in (False, True):
            path = tmp_path / "a.tif"
            with tifffile.TiffWriter(path, byteorder=order, bigtiff=big) as writer:  # type: ignore[arg-type]
                for plane in np.zeros((7, 8, 8), np.uint16):
                    writer.write(plane, contiguous=False)
            assert check_pages(path) == 7
