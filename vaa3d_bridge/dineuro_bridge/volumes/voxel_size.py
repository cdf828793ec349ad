"""The voxel size that a TIFF's metadata state: ImageJ, OME-XML, Zeiss LSM and MetaMorph.

Each function returns (z, y, x) in µm, or None where one of the three is missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import tifffile

from dineuro_bridge.scale import Spacing
from dineuro_bridge.volumes.ome_xml import OmeImage

#: Spellings of "micro" in lower case; the last three are a micro sign in a wrong encoding.
_MICRO = ("\u00b5", "\u03bc", "u", "\u00e2\u00b5", "\u00ee\u00bc", "\ufffd")
#: µm of one prefixed metre, by the prefix before "m".
_SHORT = {"": 1e6, "c": 1e4, "m": 1e3, "n": 1e-3, "p": 1e-6, **dict.fromkeys(_MICRO, 1.0)}
#: The same by the prefix before a whole word.
_LONG = {
    "": 1e6, "centi": 1e4, "milli": 1e3, "micro": 1.0, "mikro": 1.0, "nano": 1e-3, "pico": 1e-6,
    **dict.fromkeys(_MICRO, 1.0),
}  # fmt: skip
_METRES = ("meter", "meters", "metre", "metres", "metro", "metros", "m\u00e8tre", "m\u00e8tres")
#: µm of a unit, by its name in lower case.
_MICROMETRES = {
    **{f"{prefix}m": size for prefix, size in _SHORT.items()},
    **{f"{prefix}{name}": size for prefix, size in _LONG.items() for name in _METRES},
    **dict.fromkeys(("micron", "microns", "mikron", "microm", "mkm", "\u339b"), 1.0),
    **dict.fromkeys(("\u339a",), 1e-3),
    **dict.fromkeys(("angstrom", "angstroms", "\u00e5", "\u00e5ngstr\u00f6m"), 1e-4),
}
#: Units that are no length. Inches are among them: they are a paint program's dots per inch, and
#: no microscope's.
_NO_LENGTH = frozenset(
    ("", "pixel", "pixels", "px", "voxel", "voxels", "inch", "inches", "in", "none", "null",
     "reference frame", "frames", "slice", "slices", "sec", "s", "gray value", "a.u.")
)  # fmt: skip
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_PER_PIXEL = re.compile(r"\s*(/|per)\s*(px|pixel|vox|voxel)s?$")


def micrometres_of(unit: str) -> float | None:
    """µm of one unit; None for pixels, inches and unknown names.

    ImageJ writes the micro sign as an escape; copies of its text lose the encoding in several
    ways, which are understood as well.
    """
    return _MICROMETRES.get(_plain(unit))


def unknown_unit(units: Iterable[str]) -> str | None:
    """The first of some units that is neither a length nor known to be none."""
    for unit in units:
        if _plain(unit) not in _MICROMETRES and _plain(unit) not in _NO_LENGTH:
            return "".join(letter for letter in unit if letter.isprintable())[:40]
    return None


def _plain(unit: str) -> str:
    """A unit's name in lower case, without quotes, brackets and "per pixel"."""
    name = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), unit).lower()
    return _PER_PIXEL.sub("", name.strip("\"' \0[]()")).strip("[]() ")


def imagej_voxel_size(
    metadata: dict[str, Any], page: tifffile.TiffPage, depth: int
) -> Spacing | None:
    """From ImageJ's text and the resolution tags of the first page.

    ImageJ leaves `spacing` out where the step is 1 unit. Its sign tells the direction in which
    the stack was recorded. `yunit` and `zunit` stand where an axis has a unit of its own.
    Source: ij.io.FileSaver and ij.io.FileOpener.
    """
    unit = str(metadata.get("unit", ""))
    names = ("zunit", "yunit", "unit")
    factors = [micrometres_of(str(metadata.get(name, unit))) for name in names]
    y, x = (_pixel_size(page, name) for name in ("YResolution", "XResolution"))
    z = _number(metadata.get("spacing", 1.0 if depth > 1 else None))
    sizes = [
        None if factor is None or step is None else abs(step) * factor
        for factor, step in zip(factors, (z, y, x), strict=True)
    ]
    return _complete(sizes)


def ome_voxel_size(image: OmeImage) -> Spacing | None:
    """From PhysicalSizeX, Y and Z of OME-XML, in µm unless a unit is named."""
    sizes = []
    for axis in "ZYX":
        factor = micrometres_of(image.pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        step = _number(image.pixels.get(f"PhysicalSize{axis}"))
        sizes.append(None if factor is None or step is None else abs(step) * factor)
    return _complete(sizes)


def lsm_voxel_size(metadata: dict[str, Any]) -> Spacing | None:
    """From the information block of a Zeiss LSM file, which is in metres."""
    sizes = [_number(metadata.get(f"VoxelSize{axis}")) for axis in "ZYX"]
    return _complete([None if size is None else size * 1e6 for size in sizes])


def stk_voxel_size(metadata: dict[str, Any]) -> Spacing | None:
    """From MetaMorph's tags: calibration in a unit of its own, and the distance of planes."""
    factor = micrometres_of(str(metadata.get("CalibrationUnits", "")))
    if factor is None:
        return None
    distances = metadata.get("ZDistance")
    z = _number(distances[0]) if distances is not None and len(distances) else None
    sizes = [z, _number(metadata.get("YCalibration")), _number(metadata.get("XCalibration"))]
    return _complete([None if size is None else abs(size) * factor for size in sizes])


def _pixel_size(page: tifffile.TiffPage, name: str) -> float | None:
    """Units per pixel of a resolution tag, which holds pixels per unit as a fraction."""
    try:
        pixels, units = page.tags[name].value
        return float(units) / float(pixels) if pixels else None
    except (KeyError, TypeError, ValueError):
        return None


def _number(value: Any) -> float | None:
    if isinstance(value, str):  # a macro may have written the comma of its language
        value = value.replace(",", ".")
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _complete(sizes: list[float | None]) -> Spacing | None:
    z, y, x = (size if size is not None and 0 < size < math.inf else None for size in sizes)
    return None if z is None or y is None or x is None else (z, y, x)
