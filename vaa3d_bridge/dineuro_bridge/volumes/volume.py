"""`Volume`: voxels in memory; `Header`: what a file says of them before they are read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter, BadVolume, LimitExceeded
from dineuro_bridge.scale import Spacing, implausibility
from dineuro_bridge.volumes.terms import Roi, RowOrder

#: The largest volume that is read unless the caller allows another size: 16 GiB.
DEFAULT_MAX_BYTES = 2**34


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its voxels.

    Attributes:
        format: the name of a `Format`.
        shape: (C, Z, Y, X).
        dtype: of the voxels, in native byte order.
        spacing: (z, y, x) in µm; None where the file does not say.
        details: further facts for a person, by name.
        warnings: sentences about what the file leaves open or gets wrong.
    """

    format: str
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    spacing: Spacing | None = None
    details: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def with_plausible_spacing(self) -> Header:
        """The header without a voxel size that no light microscope has, and a warning instead."""
        doubt = None if self.spacing is None else implausibility(self.spacing)
        if self.spacing is None or doubt is None:
            return self
        size = " x ".join(f"{step:.4g}" for step in self.spacing[::-1])
        warning = (
            f"the file's voxel size of {size} µm (x, y, z) is implausible ({doubt}) and is not "
            "used: pass --spacing x,y,z"
        )
        details = self.details | {"implausible voxel size": f"{size} µm"}
        return replace(self, spacing=None, details=details, warnings=(*self.warnings, warning))

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels in memory; a Python integer cannot overflow."""
        return math.prod(self.shape) * self.dtype.itemsize

    def check(self, path: object, max_bytes: int) -> None:
        """Refuse impossible and oversized dimensions before anything is allocated.

        Raises:
            BadVolume: a dimension below 1.
            LimitExceeded: more than `max_bytes`.
        """
        channels, depth, height, width = self.shape
        size = f"{width} x {height} x {depth} voxels, {channels} channel(s) of {self.dtype}"
        if min(self.shape) < 1:
            raise BadVolume(f"{path}: the header says {size}: every dimension must be at least 1")
        if self.nbytes > max_bytes:
            raise LimitExceeded(
                f"{path}: {size} are {self.nbytes / 2**30:.3g} GiB; "
                f"the limit is {max_bytes / 2**30:.3g} GiB"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Voxels, and where they come from.

    Attributes:
        voxels: (C, Z, Y, X), read-only, in native byte order; may be a memory map.
        spacing: (z, y, x) in µm; None where unknown.
        origin: (z, y, x) of the first voxel in the full volume; not 0 after a crop.
        row_order: "file" where the rows are in the file's order, "vaa3d" where in Vaa3D's.
        source: the name of the file, for messages.
        warnings: of the file's header.
        whole: (Z, Y, X) of the full volume where only a box of it was read; else None.

    Raises:
        BadVolume: not four axes, an empty axis, or a spacing that is not positive.
    """

    voxels: NDArray[Any]
    spacing: Spacing | None = None
    origin: tuple[int, int, int] = (0, 0, 0)
    row_order: RowOrder = "file"
    source: str = "volume"
    warnings: tuple[str, ...] = ()
    whole: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        if self.voxels.ndim != 4 or 0 in self.voxels.shape:
            raise BadVolume(f"{self.source}: voxels {self.voxels.shape}: must be (C, Z, Y, X)")
        if self.spacing is not None and not all(0 < s < math.inf for s in self.spacing):
            raise BadVolume(f"{self.source}: spacing {self.spacing}: must be positive µm")
        # Voxels of a foreign byte order are converted once, which copies a memory map.
        view = self.voxels.view()
        if not view.dtype.isnative:
            view = view.astype(view.dtype.newbyteorder("="))
        view.flags.writeable = False
        object.__setattr__(self, "voxels", view)

    @property
    def n_channels(self) -> int:
        """The number of channels."""
        return int(self.voxels.shape[0])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X) of the voxels."""
        _, depth, height, width = self.voxels.shape
        return depth, height, width

    @property
    def full_shape(self) -> tuple[int, int, int]:
        """(Z, Y, X) of the full volume, of which a box may have been read."""
        return self.shape if self.whole is None else self.whole

    def channel(self, number: int) -> NDArray[Any]:
        """The voxels (Z, Y, X) of a channel, counted from 1 as in Vaa3D's dialogs.

        Raises:
            BadParameter: there is no such channel.
        """
        if not 1 <= number <= self.n_channels:
            raise BadParameter(
                f"{self.source}: has no channel {number}; it has {self.n_channels}, counted from 1"
            )
        return np.asarray(self.voxels[number - 1])

    def with_channels_as_slices(self) -> Volume:
        """The volume of a file that keeps its slices as channels.

        Raises:
            BadParameter: there are slices already.
        """
        if self.shape[0] > 1:
            raise BadParameter(
                f"{self.source}: z_axis c: the volume has {self.shape[0]} slices already"
            )
        return replace(self, voxels=self.voxels.swapaxes(0, 1))

    def cropped(self, roi: Roi) -> Volume:
        """A view of the voxels in a half-open box x0, y0, z0, x1, y1, z1, with its origin.

        Where only a box of the full volume was read, places are those of the full volume.

        Raises:
            BadParameter: the box is empty or leaves the volume.
        """
        if self.whole is not None:
            z, y, x = self.origin
            roi = (roi[0] - x, roi[1] - y, roi[2] - z, roi[3] - x, roi[4] - y, roi[5] - z)
        depth, height, width = self.shape
        check_roi(self.source, roi, (width, height, depth))
        x0, y0, z0, x1, y1, z1 = roi
        oz, oy, ox = self.origin
        return replace(
            self,
            voxels=self.voxels[:, z0:z1, y0:y1, x0:x1],
            origin=(oz + z0, oy + y0, ox + x0),
        )


def check_roi(source: object, roi: Roi, size: tuple[int, int, int]) -> None:
    """Refuse a box that is empty or leaves a volume of size (x, y, z).

    Raises:
        BadParameter: it does; the message begins with `source`.
    """
    if not all(0 <= a < b <= s for a, b, s in zip(roi[:3], roi[3:], size, strict=True)):
        raise BadParameter(
            f"{source}: region {','.join(map(str, roi))}: needs 0 <= x0 < x1 <= {size[0]}, "
            f"0 <= y0 < y1 <= {size[1]}, 0 <= z0 < z1 <= {size[2]}"
        )
