"""Leica `.lif` and Nikon `.nd2`, read plane by plane with the libraries that know them.

Sources: liffile and nd2, both under the BSD licence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import UnsupportedFormat
from dineuro_bridge.scale import Spacing
from dineuro_bridge.volumes.foreign import FIJI
from dineuro_bridge.volumes.planes import PlaneSource, damage_named, only_one, refuse_axes, without
from dineuro_bridge.volumes.pyramid import first_line, time_is_z
from dineuro_bridge.volumes.source import DEFAULT_READING, Format, Reading
from dineuro_bridge.volumes.volume import Header
from dineuro_bridge.volumes.voxel_size import micrometres_of

#: Leica's numbers of the axes.
_LEICA_AXES = {"x": "1", "y": "2", "z": "3"}


class LifSource(PlaneSource):
    """An opened file of Leica with one image.

    Raises:
        MissingDependency: liffile is not installed.
        BadFile: damaged.
        BadVolume: a colour picture, or a time series.
        UnsupportedFormat: several images, or axes that are none of a stack.
        BadParameter: slices along time where there are none.
    """

    def __init__(self, path: Path | str, how: Reading = DEFAULT_READING) -> None:
        try:
            import liffile
        except ImportError as error:
            raise without(path, "Leica .lif file", "liffile") from error
        with damage_named(path):
            self._file = liffile.LifFile(str(path))
        try:
            with damage_named(path):
                images = list(self._file.images)
                only_one(path, "images", [image.name for image in images])
                image = images[0]
                if not isinstance(image, liffile.LifImage):
                    raise UnsupportedFormat(f"{path}: an image of lifetimes is no stack: {FIJI}")
                self._image = image
                sizes = {str(axis): int(n) for axis, n in self._image.sizes.items()}
                refuse_axes(path, sizes)
                if tuple(self._image.frames.frame_dims) != ("Y", "X"):
                    raise UnsupportedFormat(f"{path}: its planes are not x and y: {FIJI}")
                dtype, element = np.dtype(self._image.dtype), self._image.xml_element
            in_time = time_is_z(path, sizes.get("T", 1), sizes.get("Z", 1), how.z_axis)
        except BaseException:
            self._file.close()
            raise
        self._z = "T" if in_time else "Z"
        shape = (sizes.get("C", 1), sizes.get(self._z, 1), sizes["Y"], sizes["X"])
        spacing = None if in_time else _leica_spacing(element)
        details = {"image": str(self._image.name)}
        super().__init__(path, Header("lif", shape, dtype.newbyteorder("="), spacing, details))

    def _plane(self, channel: int, z: int, box: tuple[int, int, int, int]) -> NDArray[Any]:
        wanted = {"C": channel, self._z: z}
        places: dict[str, Any] = {a: at for a, at in wanted.items() if a in self._image.sizes}
        y0, x0, y1, x1 = box
        return np.asarray(self._image.frame(**places))[y0:y1, x0:x1]

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def _leica_spacing(element: ElementTree.Element) -> Spacing | None:
    """(z, y, x) in µm: the length of an axis is that from its first voxel to its last."""
    found: dict[str, float] = {}
    for axis, number in _LEICA_AXES.items():
        each = element.find(f".//DimensionDescription[@DimID='{number}']")
        if each is None:
            continue
        unit = micrometres_of(each.get("Unit", ""))
        places = int(each.get("NumberOfElements", "1"))
        length = abs(float(each.get("Length", "0")))
        if unit is not None and places > 1 and length > 0:
            found[axis] = length * unit / (places - 1)
    return (found["z"], found["y"], found["x"]) if len(found) == 3 else None


class Nd2Source(PlaneSource):
    """An opened file of Nikon with one position.

    Raises:
        MissingDependency: nd2 is not installed.
        BadFile: damaged.
        BadVolume: a colour picture, or a time series.
        UnsupportedFormat: several positions, or axes that are none of a stack.
        BadParameter: slices along time where there are none.
    """

    def __init__(self, path: Path | str, how: Reading = DEFAULT_READING) -> None:
        try:
            import nd2
        except ImportError as error:
            raise without(path, "Nikon .nd2 file", "nd2") from error
        with damage_named(path):
            self._file = nd2.ND2File(str(path))
        try:
            with damage_named(path):
                sizes = {str(axis): int(n) for axis, n in self._file.sizes.items()}
                only_one(path, "positions", _positions(self._file, sizes.get("P", 1)))
                refuse_axes(path, sizes)
                places: tuple[dict[str, int], ...] = self._file.loop_indices or ({},)
                dtype = np.dtype(self._file.dtype)
            spacing, warnings = _nikon_spacing(self._file)
            in_time = time_is_z(path, sizes.get("T", 1), sizes.get("Z", 1), how.z_axis)
        except BaseException:
            self._file.close()
            raise
        letter = "T" if in_time else "Z"
        self._frames = {place.get(letter, 0): at for at, place in enumerate(places)}
        shape = (sizes.get("C", 1), sizes.get(letter, 1), sizes["Y"], sizes["X"])
        spacing = None if in_time else spacing
        header = Header("nd2", shape, dtype.newbyteorder("="), spacing, {}, warnings)
        super().__init__(path, header)

    def _plane(self, channel: int, z: int, box: tuple[int, int, int, int]) -> NDArray[Any]:
        y0, x0, y1, x1 = box
        frame = np.asarray(self._file.read_frame(self._frames[z]))
        return frame.reshape(self.shape[0], *self.shape[2:])[channel, y0:y1, x0:x1]

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def _positions(file: Any, count: int) -> list[str]:
    """The names of the positions of the stage."""
    for loop in file.experiment:
        if loop.type == "XYPosLoop":
            points = loop.parameters.points
            return [str(each.name or at) for at, each in enumerate(points, 1)][:count]
    return [str(at) for at in range(1, count + 1)]


def _nikon_spacing(file: Any) -> tuple[Spacing | None, tuple[str, ...]]:
    """(z, y, x) in µm where all three are calibrated, and a warning."""
    try:
        volume = file.metadata.channels[0].volume
    except Exception as error:  # noqa: BLE001 - the library expects more than every file has
        doubt = f"its metadata are not understood ({first_line(error)}): "
        return None, (f"{doubt}pass --spacing x,y,z in µm",)
    if not all(volume.axesCalibrated):
        return None, ()
    x, y, z = volume.axesCalibration
    return (float(z), float(y), float(x)), ()


LIF = Format(
    name="lif",
    suffixes=(".lif",),
    # The first block is Leica's XML in UTF-16.
    sniff=lambda _, start: start[:4] == b"\x70\0\0\0" and start[8:9] == b"\x2a",
    open=LifSource,
    holds_spacing=True,
    has_time=True,
    from_strangers=False,
    extra="microscopes",
)
ND2 = Format(
    name="nd2",
    suffixes=(".nd2",),
    sniff=lambda path, start: (
        start[:4] == b"\xda\xce\xbe\x0a"
        or (start[4:8] == b"jP  " and Path(path).suffix.lower() == ".nd2")
    ),
    open=Nd2Source,
    holds_spacing=True,
    has_time=True,
    from_strangers=False,
    extra="microscopes",
)
