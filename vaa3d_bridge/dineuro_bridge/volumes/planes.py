"""What the readers of microscopes' own files share: planes, faults, and one image alone."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import (
    BadFile,
    BadVolume,
    DineuroError,
    MissingDependency,
    UnsupportedFormat,
)
from dineuro_bridge.volumes.foreign import FIJI
from dineuro_bridge.volumes.pyramid import first_line
from dineuro_bridge.volumes.source import Source
from dineuro_bridge.volumes.terms import Roi

#: How many names of images an error lists.
_MOST_NAMES = 8


class PlaneSource(Source):
    """A volume whose planes (Y, X) are read one by one; a format implements `_plane`."""

    def _read(self, box: Roi, level: int) -> NDArray[Any]:  # noqa: ARG002  (there is one)
        x0, y0, z0, x1, y1, z1 = box
        voxels = np.empty((self.shape[0], z1 - z0, y1 - y0, x1 - x0), self.dtype)
        for channel in range(len(voxels)):
            for z in range(z0, z1):
                with damage_named(self.path):
                    plane = self._plane(channel, z, (y0, x0, y1, x1))
                if plane.shape != voxels.shape[2:]:
                    raise BadFile(f"{self.path}: damaged: a plane of {plane.shape} in z {z}")
                voxels[channel, z - z0] = plane
        return voxels

    @abstractmethod
    def _plane(self, channel: int, z: int, box: tuple[int, int, int, int]) -> NDArray[Any]:
        """The voxels (Y, X) of a box y0, x0, y1, x1 of a plane."""


def without(path: object, what: str, library: str) -> MissingDependency:
    """The error of a reader that is not installed."""
    return MissingDependency(
        f"{path}: a {what} needs {library}: pip install 'dineuro[microscopes]'; or {FIJI}"
    )


def only_one(path: object, what: str, names: Sequence[str]) -> None:
    """Refuse a file of several images, which are named, or of none.

    Raises:
        BadFile: there is none.
        UnsupportedFormat: there are several.
    """
    if not names:
        raise BadFile(f"{path}: holds no image")
    if len(names) > 1:
        listed = ", ".join(names[:_MOST_NAMES]) + ", …" * (len(names) > _MOST_NAMES)
        raise UnsupportedFormat(
            f"{path}: holds {len(names)} {what} ({listed}), and one is read: {FIJI}"
        )


def refuse_axes(path: object, sizes: dict[str, int], known: str = "TCZYX") -> None:
    """Refuse colour pictures, and axes that are none of a stack.

    Args:
        path: for messages.
        sizes: of the file's axes, by letter.
        known: the letters that are read.

    Raises:
        BadVolume: a colour picture.
        UnsupportedFormat: another axis with several places, or no plane.
    """
    if sizes.get("S", 1) > 1 and "S" not in known:
        raise BadVolume(f"{path}: is a colour picture: save the channel to trace as grey values")
    if not {"X", "Y"} <= sizes.keys():
        raise UnsupportedFormat(f"{path}: has the axes {' '.join(sizes)}, and no plane: {FIJI}")
    for axis, size in sizes.items():
        if axis not in known and size > 1:
            raise UnsupportedFormat(f"{path}: has {size} places along its axis {axis}: {FIJI}")


@contextlib.contextmanager
def damage_named(path: object) -> Iterator[None]:
    """Errors of a library in the block become one that names the file."""
    try:
        yield
    except (DineuroError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise BadFile(f"{path}: damaged: {first_line(error)}: copy the file again") from error
    except Exception as error:  # the libraries name no common class
        raise BadFile(f"{path}: damaged: {first_line(error)}: copy the file again") from error
