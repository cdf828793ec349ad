"""How programs order the pages of a TIFF: ImageJ, Zeiss' ZEN, ScanImage."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import tifffile

from dineuro_bridge.errors import BadFile

_SCANIMAGE_CHANNELS = re.compile(
    r"(?:SI|scanimage\.SI\d?)\.(?:hChannels\.)?channels?Save\s*=\s*(\[[^\]]*\]|\d+)"
)
_SCANIMAGE_FRAMES = re.compile(r"hStackManager\.framesPerSlice\s*=\s*(\d+)")


def all_pages(file: tifffile.TiffFile, keyframe: int) -> list[Any]:
    """All pages; only the keyframe's tags are read whole."""
    file.pages.cache = True
    file.pages.useframes = True
    file.pages.set_keyframe(keyframe)
    return list(file.pages)


def imagej_contradiction(file: tifffile.TiffFile) -> str | None:
    """How ImageJ's text contradicts the pages that a file holds; None where both agree.

    More planes than the file holds are another matter: such a file was cut off. ImageJ itself
    goes by the pages where the two differ.
    """
    said = file.imagej_metadata or {}
    counts = [said.get(name, 1) for name in ("channels", "slices", "frames")]
    held, promised = len(file.pages), said.get("images", 1)
    told = "numbers that are none"
    if all(isinstance(n, int) and n > 0 for n in (*counts, promised)):
        # Older versions write the number of images alone.
        planes = math.prod(counts) if max(counts) > 1 else promised
        if held == 1 or promised > held or held == planes:
            return None
        told = "{} x {} x {} channels, slices and time points".format(*counts)
    return (
        f"ImageJ's header has {told}, the file {held} pages: they are taken in order as the slices "
        "of one channel"
    )


def pages_as_slices(file: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    """All pages in their order, whatever the metadata say."""
    first = file.pages.first
    return tifffile.TiffPageSeries(
        all_pages(file, 0), (len(file.pages), *first.shape), first.dtype, "Z" + first.axes
    )


def with_own_pages(
    file: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> tifffile.TiffPageSeries:
    """A series of ImageJ or Zeiss by its pages, if there is one for every plane.

    The library takes the voxels after ImageJ's first page for the whole stack where they would
    fit before the second page. That is right only for files that have a single page. Of an LSM
    file it takes every other page for a thumbnail, and not every LSM file has thumbnails.
    """
    shape, keyframe = series.get_shape(squeeze=False), series.keyframe
    if math.prod(shape) != len(file.pages) * math.prod(keyframe.shape):
        return series
    return tifffile.TiffPageSeries(
        all_pages(file, 0), shape, series.dtype, series.get_axes(squeeze=False), kind=series.kind
    )


def scanimage_channels(file: tifffile.TiffFile) -> int | None:
    """How many channels ScanImage interleaved; None for other programs, and for one channel."""
    first = file.pages.first
    for text in (first.software, first.description):
        match = _SCANIMAGE_CHANNELS.search(text)
        if match:
            count = len(re.findall(r"\d+", match[1]))
            return count if count > 1 else None
    saved = re.findall(r"state\.acq\.savingChannel\d\s*=\s*1", first.description)
    return len(saved) if len(saved) > 1 else None


def scanimage_series(
    path: Path | str, file: tifffile.TiffFile, channels: int
) -> tifffile.TiffPageSeries:
    """Pages in the order slice, frame, channel.

    Source: ScanImage's documentation of its TIFF files.
    """
    first = file.pages.first
    match = _SCANIMAGE_FRAMES.search(first.software or first.description)
    frames = max(1, int(match[1])) if match else 1
    pages = all_pages(file, 0)
    slices, rest = divmod(len(pages), channels * frames)
    if rest or not slices:
        frames = 1
        slices, rest = divmod(len(pages), channels)
    if rest or not slices:
        raise BadFile(
            f"{path}: ScanImage says {channels} channels, but {len(pages)} pages are no multiple "
            "of it: the recording was cut off"
        )
    shape = (slices, frames, channels, *first.shape)
    return tifffile.TiffPageSeries(pages, shape, first.dtype, "ZTC" + first.axes, kind="scanimage")
