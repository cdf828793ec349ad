"""`VoxelScale`: the one place where coordinates and radii change their unit.

Three units occur:

    voxel          coordinates as they stand in an array or in an SWC; each axis has its own step
    finest voxel   every axis in steps of the shortest voxel edge; the unit of lengths and radii
    micrometre     only where the voxel size is known

Names say the order of the axes: `zyx` is the order of arrays, `xyz` that of SWC and of markers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter

#: (z, y, x) in µm.
Spacing = tuple[float, float, float]
Points = NDArray[np.float64]


#: µm of a plausible voxel edge in light microscopy, and a plausible z step in widths of a pixel.
_SHORTEST, _LONGEST, _STEEPEST = 0.01, 20.0, 20.0


def implausibility(spacing: Spacing) -> str | None:
    """Why a voxel size (z, y, x) in µm is none of a light microscope; None for a plausible one."""
    z, y, x = spacing
    if not _SHORTEST <= min(spacing) <= max(spacing) <= _LONGEST:
        return f"an edge is not from {_SHORTEST:g} to {_LONGEST:g} µm"
    if z > _STEEPEST * min(y, x):
        return f"z is more than {_STEEPEST:g} times x or y"
    return None


@dataclass(frozen=True, slots=True)
class VoxelScale:
    """The edges of a voxel, in finest voxels and, where the voxel size is known, in micrometres.

    A volume of unknown voxel size is taken to have cubes: `CUBES`.

    Attributes:
        spacing: (z, y, x) in µm; None where the voxel size is unknown.

    Raises:
        BadParameter: a step that is not positive and finite.
    """

    spacing: Spacing | None = None

    def __post_init__(self) -> None:
        if self.spacing is not None and not all(0 < step < math.inf for step in self.spacing):
            raise BadParameter(f"voxel size {self.spacing}: every step must be positive µm")

    @property
    def edges(self) -> tuple[float, float, float]:
        """(z, y, x), a voxel's edges in finest voxels: the shortest is 1."""
        if self.spacing is None:
            return 1.0, 1.0, 1.0
        finest = min(self.spacing)
        z, y, x = (step / finest for step in self.spacing)
        return z, y, x

    @property
    def zyx(self) -> Points:
        """(3,) float64: finest voxels = voxels (z, y, x) * this."""
        return np.array(self.edges, dtype=np.float64)

    @property
    def xyz(self) -> Points:
        """(3,) float64: finest voxels = voxels (x, y, z) * this."""
        return np.array(self.edges[::-1], dtype=np.float64)

    @property
    def longest(self) -> float:
        """The longest edge in finest voxels; 1 for cubes."""
        return max(self.edges)

    @property
    def finest_um(self) -> float | None:
        """Micrometres of a finest voxel; None where the voxel size is unknown."""
        return None if self.spacing is None else min(self.spacing)

    @property
    def optical(self) -> VoxelScale:
        """The scale of the image's own structures: a slice is no thicker than the finer pixel edge.

        Blur along z is about as many slices wide as blur across is pixels, because slices are
        taken as far apart as the blur allows. In the true scale such blur looks like width, and a
        step of one slice looks like a branch. Finest voxels are the same in both scales.
        """
        if self.spacing is None or self.spacing[0] <= min(self.spacing[1:]):
            return self
        return VoxelScale((min(self.spacing), *self.spacing[1:]))

    def finest_zyx(self, voxels: NDArray[Any]) -> Points:
        """Voxels (..., 3) as z, y, x -> finest voxels, the same shape and order, float64."""
        return np.asarray(voxels * self.zyx)

    def finest_xyz(self, voxels: NDArray[Any]) -> Points:
        """Voxels (..., 3) as x, y, z -> finest voxels, the same shape and order, float64."""
        return np.asarray(voxels * self.xyz)

    def voxels_zyx(self, places: NDArray[Any]) -> Points:
        """Finest voxels (..., 3) as z, y, x -> voxels, the same shape and order, float64."""
        return np.asarray(places / self.zyx)

    def voxels_xyz(self, places: NDArray[Any]) -> Points:
        """Finest voxels (..., 3) as x, y, z -> voxels, the same shape and order, float64."""
        return np.asarray(places / self.xyz)

    def micrometres_xyz(self, voxels: NDArray[Any]) -> Points:
        """Voxels (..., 3) as x, y, z -> µm, the same shape and order, float64.

        Raises:
            BadParameter: the voxel size is unknown.
        """
        return np.asarray(voxels * np.array(self._required_spacing()[::-1]))

    def voxels_of_micrometres_xyz(self, micrometres: NDArray[Any]) -> Points:
        """µm (..., 3) as x, y, z -> voxels; the reverse of `micrometres_xyz`."""
        return np.asarray(micrometres / np.array(self._required_spacing()[::-1]))

    def micrometres(self, lengths: NDArray[Any]) -> Points:
        """Lengths or radii in finest voxels -> µm, any shape, float64; raises as above."""
        return np.asarray(lengths * min(self._required_spacing()))

    def _required_spacing(self) -> Spacing:
        if self.spacing is None:
            raise BadParameter("the voxel size is unknown: give --spacing for µm")
        return self.spacing


#: The scale of a volume whose voxel size is unknown.
CUBES = VoxelScale()
