"""A walk along a TIFF's page list, which bounds what the TIFF library is asked to read.

The library follows every offset and makes an object of every page, so that a small file can cost
it hours or all memory. Here only the entries of each page are read, with a bound on their number.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dineuro_bridge.errors import BadFile, LimitExceeded

#: Pages of the largest stack that is read.
MOST_PAGES = 2**15
#: Tags of a page; the TIFF library refuses more.
_MOST_TAGS = 4096
#: Bytes that the values of all tags may have beyond the file's size: some writers share values.
_SHARED_BYTES = 2**24
#: Sub-images of all pages: pyramids and thumbnails have a few each.
_MOST_SUB_IMAGES = 4 * MOST_PAGES
#: Sub-images of one page.
_MOST_OF_A_PAGE = 64
#: Tags that point to further page lists: SubIFDs, EXIF, GPS, interoperability.
_POINTERS = (330, 34665, 34853, 40965)
#: MetaMorph's tags have a value per plane.
_PLANE_TAGS = (33628, 33629, 33630, 33631)
_DESCRIPTION = 270
#: Characters of the longest description of a page: OME-XML that names every plane.
LONGEST_DESCRIPTION = 2**24
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a variant of TIFF stores its page list."""

    order: str
    big: bool

    @property
    def count(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    @property
    def entry(self) -> struct.Struct:
        return struct.Struct(self.order + ("HHQQ" if self.big else "HHII"))

    @property
    def pointer(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "I"))


def is_tiff(start: bytes) -> bool:
    """Whether a file that begins with these bytes is a TIFF or BigTIFF of either byte order."""
    return start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def check_pages(path: Path | str) -> int:
    """The number of pages, if the page list ends and its tags fit the file.

    Raises:
        BadFile: the list points back, or leaves the file, or its tags are longer than the file.
        LimitExceeded: more pages or sub-images than a stack has.
    """
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(16)
        if not is_tiff(start):
            raise BadFile(f"{path}: damaged TIFF: it begins with {start[:4]!r}")
        layout = _Layout("<" if start[:1] == b"I" else ">", start[2:4] in (b"+\0", b"\0+"))
        at = 8 if layout.big else 4
        width = layout.pointer.size
        if len(start) < at + width:
            raise BadFile(f"{path}: truncated or damaged TIFF: its header is incomplete")
        (offset,) = layout.pointer.unpack(start[at : at + width])
        budget = _Budget(path, size)
        pages: set[int] = set()
        while offset:
            if offset in pages:
                raise BadFile(f"{path}: damaged TIFF: its page list points back to an earlier page")
            if len(pages) >= MOST_PAGES:
                raise LimitExceeded(f"{path}: has more than {MOST_PAGES} pages, the limit")
            if offset >= size:
                raise BadFile(
                    f"{path}: truncated or damaged TIFF: page {len(pages) + 1} lies at byte "
                    f"{offset}, the file ends at {size}"
                )
            pages.add(offset)
            offset = _next_page(path, file, layout, offset, budget)
    return len(pages)


class _Budget:
    """What the pages of a file may ask for together."""

    def __init__(self, path: Path | str, size: int) -> None:
        self.path = path
        self.bytes = size + _SHARED_BYTES
        self.sub_images = _MOST_SUB_IMAGES

    def spend(self, code: int, kind: int, count: int) -> None:
        """Count the value of one tag."""
        self.bytes -= count * _SIZES.get(kind, 1)
        if self.bytes < 0:
            raise BadFile(f"{self.path}: damaged TIFF: its tags claim more bytes than the file has")
        if code in _POINTERS:
            self.sub_images -= count
            if count > _MOST_OF_A_PAGE or self.sub_images < 0:
                raise LimitExceeded(f"{self.path}: a page has {count} sub-images: no stack does")
        if code == _DESCRIPTION and count > LONGEST_DESCRIPTION:
            raise LimitExceeded(
                f"{self.path}: a page's description has {count} characters; the limit is "
                f"{LONGEST_DESCRIPTION}"
            )
        if code in _PLANE_TAGS and count > MOST_PAGES:
            raise LimitExceeded(f"{self.path}: has {count} planes; the limit is {MOST_PAGES}")


def _next_page(
    path: Path | str, file: BinaryIO, layout: _Layout, offset: int, budget: _Budget
) -> int:
    """The offset of the page after the one at `offset`; 0 after the last."""
    file.seek(offset)
    head = file.read(layout.count.size)
    count = layout.count.unpack(head)[0] if len(head) == layout.count.size else _MOST_TAGS + 1
    if not 0 < count <= _MOST_TAGS:
        raise BadFile(f"{path}: truncated or damaged TIFF: the page at byte {offset} is no page")
    body = file.read(count * layout.entry.size + layout.pointer.size)
    if len(body) < count * layout.entry.size + layout.pointer.size:
        raise BadFile(f"{path}: truncated or damaged TIFF: the page at byte {offset} is cut off")
    entries = body[: count * layout.entry.size]
    for code, kind, values, _ in layout.entry.iter_unpack(entries):
        if values > 1:
            budget.spend(code, kind, values)
    (following,) = layout.pointer.unpack(body[-layout.pointer.size :])
    return int(following)
