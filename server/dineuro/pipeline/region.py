"""The part of a volume that is traced, and what places in it mean in the full volume."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter, BadVolume
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.scale import Spacing, VoxelScale
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.repair.padding import padding_of_nan

#: Channels of a microscope; more of a single slice are the slices of a stack.
_MOST_CHANNELS = 4
#: Voxels of the largest mask of a volume of which only a region was read.
_LARGEST_MASK = 2**30
#: Absolute value of the largest usable intensity; squares of larger ones have no float32.
_LARGEST = 1e18


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """One channel of a volume, or of a box in it.

    Attributes:
        full: the volume.
        part: the box, or the volume itself.
        intensity: (Z, Y, X), the channel in the box; finite.
        scale: the voxel size.
    """

    full: Volume
    part: Volume
    intensity: NDArray[Any]
    scale: VoxelScale

    @property
    def origin(self) -> NDArray[np.int64]:
        """(3,) x, y, z of the box's first voxel in the full volume."""
        return np.array(self.part.origin[::-1])

    def local_root(self, root: tuple[float, float, float]) -> tuple[float, float, float]:
        """A root x, y, z in voxels of the full volume -> voxels of the region.

        Raises:
            BadParameter: the root lies outside the region.
        """
        x, y, z = (a - b for a, b in zip(root, self.part.origin[::-1], strict=True))
        depth, height, width = self.part.shape
        if not (-0.5 <= x < width and -0.5 <= y < height and -0.5 <= z < depth):
            place = ", ".join(f"{value:g}" for value in root)
            raise BadParameter(
                f"{self.full.source}: root ({place}) lies outside the volume or region"
            )
        return x, y, z

    def full_mask(self, mask: NDArray[np.bool_]) -> Volume:
        """A mask (Z, Y, X) of the region as a volume of the full size, uint8 0 and 255.

        Where the full volume was not read because it is large, the mask is that of the region.
        """
        shape = self.full.full_shape
        if self.full.whole is not None and math.prod(shape) > _LARGEST_MASK:
            part = mask * np.uint8(255)
            return replace(self.part, voxels=part[None], spacing=self.scale.spacing, warnings=())
        full = np.zeros(shape, dtype=np.uint8)
        origin = self.full.origin if self.full.whole is None else (0, 0, 0)
        low = np.subtract(self.part.origin, origin).tolist()
        full[tuple(slice(a, a + n) for a, n in zip(low, mask.shape, strict=True))][mask] = 255
        return Volume(full[None], self.scale.spacing, origin, self.full.row_order, self.full.source)


def select_region(volume: Volume, options: TraceOptions) -> Region:
    """The channel and the box of the options.

    Raises:
        BadVolume: a 2D image, a region of one slice, NaN or infinite voxels.
        BadParameter: a channel or a box that the volume does not have.
    """
    depth, height, width = volume.full_shape
    if depth == 1 and volume.n_channels > _MOST_CHANNELS:
        raise BadVolume(
            f"{volume.source}: has {volume.n_channels} channels of one slice: pass --z-axis c if "
            "these are the slices of a stack"
        )
    if depth == 1:
        raise BadVolume(
            f"{volume.source}: is a 2D image of {width} x {height}: a stack of "
            "two slices or more is needed"
        )
    part = volume if options.roi is None else volume.cropped(options.roi)
    if part.shape[0] == 1:
        raise BadVolume(f"{volume.source}: the region is one slice thick: two or more are needed")
    intensity = part.channel(1 if options.channel is None else options.channel)
    intensity = _with_padding(intensity)
    _check_finite(volume.source, intensity)
    return Region(volume, part, intensity, VoxelScale(spacing_of(volume, options)))


def spacing_of(volume: Volume, options: TraceOptions) -> Spacing | None:
    """The voxel size (z, y, x) in µm of the options or else of the file; None without either."""
    return volume.spacing if options.spacing is None else options.spacing[::-1]


def _check_finite(source: str, intensity: NDArray[Any]) -> None:
    """Refuse values that no threshold can order or no sum can hold; slice by slice.

    Slices are counted from 1, as in viewers.
    """
    if intensity.dtype.kind != "f":
        return
    limit = min(_LARGEST, float(np.finfo(intensity.dtype).max))
    for z, plane in enumerate(intensity):
        bad = np.count_nonzero(~(np.abs(plane) <= limit))  # NaN is not smaller either
        if bad:
            raise BadVolume(
                f"{source}: slice {z + 1} (counted from 1) has {bad} voxels that are NaN, infinite "
                f"or beyond {_LARGEST:g}: set them to 0 (in Fiji: Process > Noise > Remove NaNs)"
            )


def _with_padding(intensity: NDArray[Any]) -> NDArray[Any]:
    """The intensity with NaN at its border, which is padding, as a constant below all other values.

    NaN elsewhere stays.
    """
    if intensity.dtype.kind != "f" or not any(np.isnan(plane).any() for plane in intensity):
        return intensity
    outside = padding_of_nan(intensity)
    if outside is None:
        return intensity
    low, high = intensity[~outside].min(), intensity[~outside].max()
    return np.where(outside, low - (high / 100 - low / 100), intensity)
