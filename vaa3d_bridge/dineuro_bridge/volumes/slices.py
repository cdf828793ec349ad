"""A folder of single slices, read as one stack in the natural order of their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadVolume
from dineuro_bridge.volumes.source import Source
from dineuro_bridge.volumes.terms import Roi
from dineuro_bridge.volumes.volume import Header

Opener = Callable[[Path], Source]


def natural_order(path: Path) -> list[tuple[int, str]]:
    """A key that sorts z2 before z10."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


class SliceFolder(Source):
    """The slices of a folder; each file is opened when it is read.

    Args:
        path: of the folder.
        files: of the slices, in order.
        open_slice: opens one of them.

    Raises:
        BadVolume: no two slices, or a file that is no single slice of the first one's size.
    """

    def __init__(self, path: Path | str, files: Sequence[Path], open_slice: Opener) -> None:
        self._files, self._open = files, open_slice
        if len(files) < 2:
            raise BadVolume(
                f"{path}: the folder holds {len(files)} slices: a stack has two or more"
            )
        headers = [self._header(file) for file in files]
        first = headers[0]
        for file, header in zip(files, headers, strict=True):
            if header.shape[1] != 1:
                raise BadVolume(f"{file}: has {header.shape[1]} slices, and one a file is expected")
            if (header.shape, header.dtype) != (first.shape, first.dtype):
                raise BadVolume(
                    f"{file}: is {header.shape} of {header.dtype}, and {files[0].name} is "
                    f"{first.shape} of {first.dtype}: all slices of a stack are alike"
                )
        channels, _, height, width = first.shape
        details = {"files": f"{files[0].name} to {files[-1].name}"}
        shape = (channels, len(files), height, width)
        super().__init__(path, Header("slices", shape, first.dtype, None, details))

    def _header(self, file: Path) -> Header:
        with self._open(file) as source:
            return source.header

    def _read(self, box: Roi, level: int) -> NDArray[Any]:
        x0, y0, z0, x1, y1, z1 = box
        shape = (self.levels[level][0], z1 - z0, y1 - y0, x1 - x0)
        voxels = np.empty(shape, self.dtype)
        for z, file in enumerate(self._files[z0:z1]):
            with self._open(file) as source:
                voxels[:, z] = source.read((x0, y0, 0, x1, y1, 1))[:, 0]
        return voxels
