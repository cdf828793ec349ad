"""`Format` and `Source`: what every image format provides.

A format is one module of this folder with one `Format` record, and one line in `formats.FORMATS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadFile, BadParameter, MissingDependency
from dineuro_bridge.files import reading
from dineuro_bridge.scale import Spacing
from dineuro_bridge.volumes.terms import Roi, ZAxis
from dineuro_bridge.volumes.volume import Header, check_roi

Shape = tuple[int, int, int, int]
#: How many bytes of a file's beginning `Format.sniff` gets.
SNIFFED_BYTES = 24


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is to be understood.

    Attributes:
        z_axis: the axis along which the file keeps its slices.
        beside: whether files of the same folder that belong to the volume may be opened; never
            for a file that came over the network.
        stack_folder: whether a folder is one stack, of a file for each slice.
        remote: whether an address may be opened; never for a name that came over the network.
    """

    z_axis: ZAxis = "z"
    beside: bool = False
    stack_folder: bool = False
    remote: bool = False


#: Each axis is what the file calls it, and no other file is opened.
DEFAULT_READING = Reading()
#: What a person names on this machine: a file with those beside it, a folder of slices, an address.
NAMED_HERE = Reading(beside=True, stack_folder=True, remote=True)


class Source(ABC):
    """An opened volume whose voxels are read box by box; use it in a `with` block.

    A format implements `_read`, and `close` if it holds anything open.

    Args:
        path: where the volume lies, for messages.
        header: what the volume says of itself.
        levels: (C, Z, Y, X) of each level of resolution, the finest first; the header's shape if
            the volume has one level.
    """

    def __init__(self, path: Path | str, header: Header, levels: tuple[Shape, ...] = ()) -> None:
        self.path = path
        self.header = header.with_plausible_spacing()
        self.levels = levels or (header.shape,)

    @property
    def shape(self) -> Shape:
        """(C, Z, Y, X) of the finest level."""
        return self.levels[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the voxels, in native byte order."""
        return self.header.dtype

    @property
    def spacing(self) -> Spacing | None:
        """(z, y, x) in µm of the finest level; None where the volume does not say."""
        return self.header.spacing

    @property
    def details(self) -> dict[str, str]:
        """What else the volume says of itself, by name."""
        return self.header.details

    @property
    def rows_upside_down(self) -> bool:
        """Whether Vaa3D shows the rows in the opposite order."""
        return False

    @property
    def reads_boxes(self) -> bool:
        """Whether a box costs about its own size, and not the whole file."""
        return True

    def read(self, box: Roi | None = None, level: int = 0) -> NDArray[Any]:
        """The voxels (C, Z, Y, X) of a box, in native byte order; a memory map where possible.

        Args:
            box: half-open x0, y0, z0, x1, y1, z1 in voxels of the level; None is the whole level.
            level: 0 is the finest.

        Raises:
            BadParameter: there is no such level, or the box is empty or leaves the volume.
            BadFile: the voxels are damaged.
            FileAccess: the system cannot read them.
        """
        if not 0 <= level < len(self.levels):
            raise BadParameter(f"{self.path}: has no level {level}; it has {len(self.levels)}")
        channels, depth, height, width = self.levels[level]
        whole = (0, 0, 0, width, height, depth)
        box = whole if box is None else box
        check_roi(self.path, box, (width, height, depth))
        with reading(self.path):
            voxels = self._read(box, level)
        x0, y0, z0, x1, y1, z1 = box
        expected = (channels, z1 - z0, y1 - y0, x1 - x0)
        if voxels.shape != expected:
            raise BadFile(
                f"{self.path}: damaged: {voxels.shape} voxels where {expected} were announced"
            )
        if not voxels.dtype.isnative:
            voxels = voxels.astype(voxels.dtype.newbyteorder("="))
        return voxels

    def is_stored(self, box: Roi) -> bool:  # noqa: ARG002  (most formats store every voxel)
        """Whether any voxel of a box of the finest level lies in the file.

        False where all of them have one value because nothing was written there.

        Args:
            box: half-open x0, y0, z0, x1, y1, z1.
        """
        return True

    @abstractmethod
    def _read(self, box: Roi, level: int) -> NDArray[Any]:
        """The voxels (C, Z, Y, X) of a box that lies in the level; any byte order."""

    def close(self) -> None:  # noqa: B027  (most sources hold nothing open)
        """Release the file; arrays that were read stay."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Format:
    """An image format.

    Attributes:
        name: as headers and messages call it.
        suffixes: of its files, in lower case; the first is the usual one.
        sniff: whether a path, whose file begins with the bytes given, holds this format.
        open: makes a `Source`; it checks the header against the file and reads no voxels.
        write: writes a volume whole or not at all; takes `options` as keywords.
        write_source: the same from a `Source`, box by box, for volumes larger than the memory.
        options: what both may be asked for besides: "compress", "zarr", "levels".
        only_read: those of `suffixes` that are never written.
        holds_spacing: whether a file stores the voxel size.
        has_time: whether a file may have a time axis, along which slices may be kept.
        folder: whether a volume is a folder; `sniff` gets no bytes then.
        from_strangers: whether a server reads it from an upload; not where a library that was not
            made for hostile files reads the header.
        extra: of the distribution, without which only headers can be read, or some variants.
        remote: whether it is read from an address; `sniff` and `open` get a `RemotePlace` then.
    """

    name: str
    suffixes: tuple[str, ...]
    sniff: Callable[[Any, bytes], bool]
    open: Callable[[Any, Reading], Source]
    write: Callable[..., None] | None = None
    write_source: Callable[..., None] | None = None
    options: frozenset[str] = frozenset()
    only_read: tuple[str, ...] = ()
    holds_spacing: bool = False
    has_time: bool = False
    folder: bool = False
    from_strangers: bool = True
    extra: str | None = None
    remote: bool = False

    @property
    def written_suffixes(self) -> tuple[str, ...]:
        """The suffixes under which this format is written."""
        if self.write is None:
            return ()
        return tuple(suffix for suffix in self.suffixes if suffix not in self.only_read)

    def missing(self, path: object, library: str) -> MissingDependency:
        """The error of a library that the plain install lacks."""
        return MissingDependency(
            f"{path}: this {self.name} file needs {library}: pip install 'dineuro[{self.extra}]'"
        )
