"""The parts of OME-XML that say how the pages of an OME-TIFF make a volume.

The text is parsed as a stream, with bounds on its size and on what it declares. It is never a
reason to open a file: names of other files are returned as text.
Source: the OME schema 2016-06, https://docs.openmicroscopy.org/ome-model/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.etree import ElementTree

from dineuro_bridge.volumes.tiff_pages import MOST_PAGES

#: Elements and attributes of the largest text that is parsed.
_MOST_ELEMENTS, _MOST_ATTRIBUTES = 250_000, 1_000


class BadXml(ValueError):
    """The text is no OME-XML, or too large; the message says which."""


@dataclass(frozen=True, slots=True)
class TiffData:
    """A run of planes: `count` pages of a file from page `page` on.

    Attributes:
        first: index of the first plane along T, C and Z, by the axis' letter.
        page: index of its page.
        count: None where the text leaves it out.
        uuid, file_name: of the file that holds the pages; None is the file of the text.
    """

    first: dict[str, int]
    page: int
    count: int | None
    uuid: str | None = None
    file_name: str | None = None


@dataclass(slots=True)
class OmeImage:
    """One image of the text: attributes of Pixels, samples of a pixel, and its runs of planes."""

    pixels: dict[str, str]
    samples: int = 1
    runs: list[TiffData] = field(default_factory=list)

    def size(self, axis: str) -> int:
        """The length of an axis.

        Raises:
            BadXml: missing, or not from 1 to 2^31.
        """
        value = _integer(self.pixels.get(f"Size{axis}", ""))
        if not 1 <= value < 2**31:
            raise BadXml(f"Size{axis} is {value}")
        return value

    @property
    def order(self) -> str:
        """The axes of planes, the fastest first: "ZCT" in one of its six orders."""
        order = self.pixels.get("DimensionOrder", "XYZCT")
        if order[:2] != "XY" or sorted(order[2:]) != ["C", "T", "Z"]:
            raise BadXml(f"DimensionOrder is {order!r}")
        return order[2:]


@dataclass(slots=True)
class OmeXml:
    """What the text says.

    Attributes:
        uuid: of the file; None where the text leaves it out.
        images: in order.
        companion: name of the file that has the metadata instead; None where this text has them.
    """

    uuid: str | None = None
    images: list[OmeImage] = field(default_factory=list)
    companion: str | None = None


def is_ome(text: str) -> bool:
    """Whether a page's description is OME-XML."""
    return text[-12:].strip("\0 \r\n\t").endswith("OME>")


def parse_ome(text: str) -> OmeXml:
    """Parse an OME-TIFF's description.

    Raises:
        BadXml: no OME-XML, or larger than any file needs.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise BadXml("it declares entities")
    target = _Target()
    parser = ElementTree.XMLParser(target=target)  # noqa: S314  (no entities, see above)
    try:
        # An encoding declaration is of no use once the text has been decoded.
        parser.feed(text.strip("\0 \r\n\t").encode("utf-8", "replace"))
        parser.close()
    except ElementTree.ParseError as error:
        raise BadXml(str(error)) from error
    return target.xml


class _Target:
    """Collects the elements as the parser meets them, and keeps no tree."""

    def __init__(self) -> None:
        self.xml = OmeXml()
        self._elements = self._runs = 0
        self._uuid_text: list[str] | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > _MOST_ELEMENTS or len(attributes) > _MOST_ATTRIBUTES:
            raise BadXml(f"it has more than {_MOST_ELEMENTS} elements")
        name = tag.rsplit("}", 1)[-1]
        images = self.xml.images
        if name == "OME":
            self.xml.uuid = attributes.get("UUID")
        elif name == "BinaryOnly":
            self.xml.companion = attributes.get("MetadataFile", "another file")
        elif name == "Pixels":
            images.append(OmeImage(dict(attributes)))
        elif name == "Channel" and images:
            images[-1].samples = max(images[-1].samples, _integer(
                attributes.get("SamplesPerPixel", "1")
            ))  # fmt: skip
        elif name == "TiffData" and images:
            self._add_run(images[-1], attributes)
        elif name == "UUID" and images and images[-1].runs:
            self._name_file(images[-1], attributes)

    def _add_run(self, image: OmeImage, attributes: dict[str, str]) -> None:
        self._runs += 1
        if self._runs > MOST_PAGES:
            raise BadXml(f"it has more than {MOST_PAGES} TiffData elements")
        first = {axis: _integer(attributes.get(f"First{axis}", "0")) for axis in "TCZ"}
        count = attributes.get("PlaneCount", attributes.get("NumPlanes"))
        if count is None and "IFD" in attributes:
            count = "1"
        page = _integer(attributes.get("IFD", "0"))
        image.runs.append(TiffData(first, page, None if count is None else _integer(count)))

    def _name_file(self, image: OmeImage, attributes: dict[str, str]) -> None:
        """The run that was opened last lies in a file of this name; its UUID is the text."""
        run = image.runs[-1]
        if run.file_name is None and run.uuid is None:
            self._uuid_text = []
            image.runs[-1] = TiffData(
                run.first, run.page, run.count, "", attributes.get("FileName")
            )

    def data(self, text: str) -> None:
        if self._uuid_text is not None:
            self._uuid_text.append(text)

    def end(self, tag: str) -> None:
        if self._uuid_text is not None and tag.rsplit("}", 1)[-1] == "UUID":
            run = self.xml.images[-1].runs[-1]
            uuid = "".join(self._uuid_text).strip()
            self.xml.images[-1].runs[-1] = TiffData(
                run.first, run.page, run.count, uuid, run.file_name
            )
            self._uuid_text = None

    def close(self) -> OmeXml:
        return self.xml


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise BadXml(f"{text[:20]!r} is no whole number") from error
