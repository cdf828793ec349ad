"""Which pages of a TIFF make the volume, and along which axes they lie.

OME-TIFF and ScanImage are laid out here; the TIFF library lays out the rest. The library's own
reader of OME-TIFF opens every file that the XML names, and therefore is switched off.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tifffile

from dineuro_bridge.errors import BadFile, BadVolume, DineuroError
from dineuro_bridge.files import size_of_file
from dineuro_bridge.volumes.ome_xml import BadXml, OmeImage, OmeXml, TiffData, is_ome, parse_ome
from dineuro_bridge.volumes.tiff_pages import check_pages
from dineuro_bridge.volumes.tiff_programs import (
    all_pages,
    imagej_contradiction,
    pages_as_slices,
    scanimage_channels,
    scanimage_series,
    with_own_pages,
)

#: Readers of the library that open further files, trust the file's own claims on counts, or serve
#: slides and cameras.
_SWITCHED_OFF = (
    "ome", "mmstack", "ndtiff", "scanimage", "svs", "scn", "qpi", "ndpi", "bif", "avs", "eer",
    "philips", "mdgel",
)  # fmt: skip
#: Characters of the longest description that is no XML.
_LONGEST_TEXT = 2**18


@dataclass(slots=True)
class Layout:
    """The pages of the volume.

    Attributes:
        series: the pages with their axes and shape.
        kind: of TIFF, for a person: "OME-TIFF", "ImageJ", "LSM", "ScanImage", "STK" or "TIFF".
        xml: the parsed OME-XML, if it is one.
        parts: further files of a set; they stay open for as long as the volume is read.
        warnings: sentences about what was assumed.
    """

    series: tifffile.TiffPageSeries
    kind: str
    xml: OmeXml | None = None
    parts: list[tifffile.TiffFile] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def open_tiff(path: Path | str) -> tifffile.TiffFile:
    """Open one file, and no other, once its page list has been checked."""
    check_pages(path)
    return tifffile.TiffFile(path, **{f"is_{kind}": False for kind in _SWITCHED_OFF})  # type: ignore[arg-type]


def lay_out(path: Path | str, file: tifffile.TiffFile, *, beside: bool) -> Layout:
    """Find the one volume of a file.

    Args:
        path: of the file.
        file: as `open_tiff` opened it.
        beside: whether files of the same folder that belong to the same OME-TIFF set are opened.

    Raises:
        BadFile: no image, or a part of a set whose other parts are missing or not opened.
        BadVolume: several images.
    """
    if not file.pages:
        raise BadFile(f"{path}: a TIFF without any image")
    description = file.pages.first.description
    if len(description) > _LONGEST_TEXT and not is_ome(description):
        raise BadFile(f"{path}: its description has {len(description)} characters: it is damaged")
    warnings = []
    if is_ome(description):
        try:
            xml = parse_ome(description)
            if xml.companion is None:
                return _Ome(path, file, xml, beside=beside).layout()
            warnings.append(
                f"the metadata are in {_display_name(xml.companion)}, which is not opened: the "
                "pages are taken as the slices of one channel, and the voxel size is unknown"
            )
        except BadXml as error:
            warnings.append(
                f"the OME-XML cannot be used ({error}): the pages are taken as they come"
            )
    channels = scanimage_channels(file)
    if channels is not None:
        return Layout(scanimage_series(path, file, channels), "ScanImage", warnings=warnings)
    kind = "LSM" if file.is_lsm else "STK" if file.is_stk else "TIFF"
    if file.is_imagej:
        contradiction = imagej_contradiction(file)
        if contradiction is not None:
            warnings.append(contradiction)
            return Layout(pages_as_slices(file), "ImageJ", warnings=warnings)
        kind = "ImageJ"
    return Layout(_only_series(path, file), kind, warnings=warnings)


def _only_series(path: Path | str, file: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    """The series of the library, without thumbnails."""
    series = [each for each in file.series if not each.keyframe.is_reduced] or file.series
    if not series:
        raise BadFile(f"{path}: a TIFF without any image")
    if len(series) > 1:
        shapes = ", ".join(f"{' x '.join(map(str, s.shape))} of {s.dtype}" for s in series[:4])
        raise BadVolume(
            f"{path}: holds {len(series)} images of differing kinds ({shapes}): save the "
            "stack alone, all pages of one size"
        )
    if file.is_imagej or file.is_lsm:
        return with_own_pages(file, series[0])
    return series[0]


class _Ome:
    """The layout of one OME-TIFF file, or of a set of such files."""

    def __init__(
        self, path: Path | str, file: tifffile.TiffFile, xml: OmeXml, *, beside: bool
    ) -> None:
        self.path = path
        self.file = file
        self.xml = xml
        self.beside = beside
        self.warnings: list[str] = []
        self.parts: dict[str, tifffile.TiffFile] = {}

    def layout(self) -> Layout:
        """The pages of the one image that the file has a part in."""
        image = self._image()
        axes = image.order[::-1]
        sizes = [image.size(axis) for axis in axes]
        sizes[axes.index("C")] //= image.samples
        count = math.prod(sizes)
        key = min(self._first_page(image), len(self.file.pages) - 1)
        _check_plane(image, self.file.pages[key])
        own = all_pages(self.file, key)
        try:
            pages = self._pages(image, axes, sizes, count, own)
            series = self._series(axes, sizes, pages)
        except BaseException:
            for part in self.parts.values():
                part.close()
            raise
        return Layout(series, "OME-TIFF", self.xml, list(self.parts.values()), self.warnings)

    def _image(self) -> OmeImage:
        """The image that has planes in this file."""
        images = self.xml.images
        if not images:
            raise BadXml("it describes no image")
        here = [image for image in images if any(map(self._is_own, image.runs))]
        if len(here) > 1 or (not here and len(images) > 1):
            raise BadVolume(
                f"{self.path}: holds {len(here) or len(images)} images: save the stack alone"
            )
        return (here or images)[0]

    def _is_own(self, run: TiffData) -> bool:
        """Whether a run lies in the file itself, whose name may have changed since."""
        if run.uuid is None and run.file_name is None:
            return True
        if self.xml.uuid is not None:
            return run.uuid == self.xml.uuid
        return (run.file_name or "").lower() == Path(self.path).name.lower()

    def _first_page(self, image: OmeImage) -> int:
        return max(0, min((run.page for run in image.runs if self._is_own(run)), default=0))

    def _pages(
        self, image: OmeImage, axes: str, sizes: Sequence[int], count: int, own: list[Any]
    ) -> list[Any]:
        """The page of every plane, in the order of the axes."""
        others = sorted({
            run.file_name or run.uuid or "" for run in image.runs if not self._is_own(run)
        })  # fmt: skip
        total = sum(run.count or len(own) for run in image.runs if not self._is_own(run))
        if count > len(own) + (total if self.beside else 0):
            raise self._incomplete(count, len(own), others)
        mine = [run for run in image.runs if self._is_own(run)]
        if not mine and len(others) == 1 and len(own) == count:
            mine = image.runs  # the file was renamed, or is a processed copy with the XML copied
        planes = _planes(self.path, mine or [TiffData({}, 0, None)], axes, sizes, len(own))
        if None not in planes:
            if count < len(own) and len(self.xml.images) == 1:
                self.warnings.append(
                    f"the OME-XML tells of {count} planes, the file holds {len(own)} pages: the "
                    "others are left out"
                )
            return [own[page] for page in planes if page is not None]
        if len(own) == count:
            # The file holds every plane itself; its XML was copied from another file.
            self.warnings.append(
                "the OME-XML names other files or pages: the file's own pages are taken in order"
            )
            return own
        if not (others and self.beside):
            raise self._incomplete(count, len(own), others)
        return self._pages_of_set(image, axes, sizes, count, own, planes)

    def _pages_of_set(
        self,
        image: OmeImage,
        axes: str,
        sizes: Sequence[int],
        count: int,
        own: list[Any],
        planes: list[int | None],
    ) -> list[Any]:
        """The planes of a set of files in one folder."""
        pages = [None if page is None else own[page] for page in planes]
        files: dict[tuple[str | None, str | None], list[TiffData]] = {}
        for run in image.runs:
            if not self._is_own(run):
                files.setdefault((run.file_name, run.uuid), []).append(run)
        for (name, uuid), runs in files.items():
            theirs = self._open_part(name, uuid)
            for plane, page in enumerate(_planes(self.path, runs, axes, sizes, len(theirs))):
                if page is not None and pages[plane] is None:
                    pages[plane] = theirs[page]
        if None in pages:
            missing = sum(page is None for page in pages)
            raise BadFile(f"{self.path}: incomplete: the set lacks {missing} of {count} planes")
        names = ", ".join(sorted(self.parts))
        self.warnings.append(f"was read together with {names}, of the same OME-TIFF set")
        return pages

    def _open_part(self, name: str | None, uuid: str | None) -> list[Any]:
        """The pages of another file of the set.

        Raises:
            BadFile: it lies elsewhere, is missing, or is another file than the one meant.
        """
        subject = f"{self.path}: is part of a set, and {_display_name(name or '')}"
        if not name or Path(name).name != name or "\\" in name:  # a path, and no name alone
            raise BadFile(f"{subject} does not lie in the same folder: save the stack as one file")
        place = Path(self.path).parent / name
        if place.suffix.lower() not in (".tif", ".tiff"):
            raise BadFile(f"{subject} is no TIFF: save the stack as one file")
        if place.is_symlink() or not place.is_file():
            raise BadFile(f"{subject} is missing: copy it to the same folder, or save one file")
        try:
            size_of_file(place)
            part = self.parts[name] = open_tiff(place)
        except DineuroError as error:
            raise BadFile(f"{subject} cannot be read: {error}") from error
        try:
            xml = parse_ome(part.pages.first.description)
        except BadXml:
            xml = OmeXml()
        if not uuid or xml.uuid != uuid:
            raise BadFile(f"{subject} has another UUID: it is not the file that was saved with it")
        ours, theirs = self.file.pages.first, part.pages.first
        if (ours.shaped, ours.dtype) != (theirs.shaped, theirs.dtype):
            raise BadFile(f"{subject} has pages of another size or type")
        return all_pages(part, 0)

    def _series(self, axes: str, sizes: Sequence[int], pages: list[Any]) -> tifffile.TiffPageSeries:
        keyframe = pages[0].keyframe
        shape = [*sizes, *keyframe.shape]
        return tifffile.TiffPageSeries(
            pages, shape, keyframe.dtype, axes + keyframe.axes, parent=self.file,
            multifile=bool(self.parts), kind="ome",
        )  # fmt: skip

    def _incomplete(self, count: int, held: int, others: list[str]) -> BadFile:
        """The error of a file that does not hold what its XML promises."""
        text = f"{self.path}: its OME-XML promises {count} planes, the file holds {held}"
        if not others:
            return BadFile(f"{text}: it was cut off, or saved by a program that kept an old header")
        names = ", ".join(map(_display_name, others[:3])) + (", …" if len(others) > 3 else "")
        return BadFile(
            f"{text}; the others are in {names}. Other files are not opened for it: save the "
            "stack as one file"
        )


def _check_plane(image: OmeImage, page: tifffile.TiffPage | tifffile.TiffFrame) -> None:
    """Refuse XML of another size than the pages have, before the pages are read."""
    size = dict(zip(page.axes, page.shape, strict=True))
    height, width = image.size("Y"), image.size("X")
    if (size.get("Y", 1), size.get("X", 1)) != (height, width):
        raise BadXml(f"it says {width} x {height}, the pages are {page.shape}")


def _planes(
    path: Path | str, runs: Sequence[TiffData], axes: str, sizes: Sequence[int], held: int
) -> list[int | None]:
    """The page of each plane as the runs of one file have it; None where they name none.

    Raises:
        BadFile: the runs name each plane many times over.
    """
    count = math.prod(sizes)
    planes: list[int | None] = [None] * count
    budget = 4 * count + len(runs)
    for run in runs:
        first = [run.first.get(axis, 0) for axis in axes]
        if not all(0 <= at < size for at, size in zip(first, sizes, strict=True)):
            continue
        plane = 0
        for at, size in zip(first, sizes, strict=True):
            plane = plane * size + at
        length = min(held if run.count is None else run.count, count - plane, held - run.page)
        budget -= max(0, length)
        if budget < 0 or run.page < 0:
            raise BadFile(f"{path}: the TiffData elements of its OME-XML contradict each other")
        for step in range(length):
            planes[plane + step] = run.page + step
    return planes


def _display_name(name: str) -> str:
    """The last part of a file's name, printable and short."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(letter for letter in last if letter.isprintable())[:80] or "another file"
