"""Vaa3D's `.marker` files: landmarks as lines of `x,y,z,radius,shape,name,comment,r,g,b`.

The file counts voxels from 1, and a `Marker` counts them from 0, like SWC.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dineuro_bridge.errors import BadFile, BadParameter
from dineuro_bridge.files import atomic_output, read_bytes

_HEADER = "##x,y,z,radius,shape,name,comment, color_r,color_g,color_b"


@dataclass(frozen=True, slots=True)
class Marker:
    """A place in a volume: x, y, z in voxels from 0, and the other columns of Vaa3D."""

    x: float
    y: float
    z: float
    radius: float = 0.0
    shape: int = 1
    name: str = ""
    comment: str = ""
    color: tuple[int, int, int] = (255, 0, 0)


def read_markers(path: Path | str) -> tuple[Marker, ...]:
    """Read the markers of a file. Columns after z are optional.

    Raises:
        FileAccess: the file cannot be read.
        BadFile: the file is empty or binary, or a line has no three coordinates. The message
            names the line.
    """
    raw = read_bytes(path)
    if b"\0" in raw:
        raise BadFile(f"{path}: is a binary file, not a .marker file")
    markers = []
    text = raw.decode("utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                words = next(csv.reader([line]))
            except csv.Error as error:
                raise BadFile(f"{path}: line {number}: is not a line of a .marker file") from error
            markers.append(_marker(path, number, words))
    return tuple(markers)


def write_markers(path: Path | str, markers: Sequence[Marker]) -> None:
    """Write markers in the format of Vaa3D, counted from 1. The file is complete or absent.

    Raises:
        BadParameter: a coordinate or a radius is not a finite number.
        FileAccess: the path cannot be written.
    """
    for m in markers:
        if not all(map(math.isfinite, (m.x, m.y, m.z, m.radius))):
            raise BadParameter(f"{path}: {m}: a marker needs finite numbers")
    text = io.StringIO()
    text.write(_HEADER + "\n")
    lines = csv.writer(text, lineterminator="\n")
    for m in markers:
        place = [f"{value + 1:.3f}" for value in (m.x, m.y, m.z)]
        # A line break inside a name would start another marker.
        words = [" ".join(word.split()) for word in (m.name, m.comment)]
        lines.writerow([*place, f"{m.radius:g}", m.shape, *words, *m.color])
    with atomic_output(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")


def _marker(path: Path | str, number: int, words: list[str]) -> Marker:
    """Return the marker of one line."""
    words = [word.strip() for word in words] + [""] * 10
    x, y, z = (_number(path, number, word) - 1 for word in words[:3])
    radius, shape, red, green, blue = (
        _number(path, number, word) if word else default
        for word, default in zip(
            (words[3], words[4], *words[7:10]), (0.0, 1.0, 255.0, 0.0, 0.0), strict=True
        )
    )
    color = (int(red), int(green), int(blue))
    return Marker(x, y, z, radius, int(shape), words[5], words[6], color)


def _number(path: Path | str, line: int, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadFile(f"{path}: line {line}: {word!r} is not a number; a marker is x,y,z,…")
    return value
