"""How clear neurites are: their contrast in units of the noise of single voxels around them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dineuro_model.enhancers.blocks import Floats

Scale = tuple[float, float, float]

#: The clearness needs this share of the volume around neurites; in less, all voxels are noise.
_LEAST_AROUND = 0.001


@dataclass(frozen=True, slots=True)
class Variation:
    """The noise of single voxels, from the differences of neighbours; variations can be added.

    Differences do not contain the background, which changes slowly.

    Attributes:
        near: for each axis, the sum of squares and the number, of voxels around neurites.
        all: the same of all voxels.
        share: the number of voxels around neurites, and of all.
    """

    near: tuple[tuple[float, int], ...]
    all: tuple[tuple[float, int], ...]
    share: tuple[int, int]

    def __add__(self, other: Variation) -> Variation:
        return Variation(
            tuple((a + c, b + d) for (a, b), (c, d) in zip(self.near, other.near, strict=True)),
            tuple((a + c, b + d) for (a, b), (c, d) in zip(self.all, other.all, strict=True)),
            (self.share[0] + other.share[0], self.share[1] + other.share[1]),
        )

    def clearness(self, bright: float, scale: Scale) -> float:
        """The clearness of neurites of a mean contrast, see `classical.ClassicalEnhancement`.

        Along a coarse axis the differences contain the neurites, so the middle one of the fine axes
        counts.
        """
        if not bright:
            return 0.0
        sums = self.near if self.share[0] > _LEAST_AROUND * self.share[1] else self.all
        fine = [a for a in range(3) if scale[a] == min(scale) and self.all[a][1]]
        noise = math.sqrt(
            np.median([sums[a][0] / sums[a][1] / 2 if sums[a][1] else 0.0 for a in fine] or [0.0])
        )
        return bright / noise if noise else math.inf


def noise_around(
    values: Floats, around: NDArray[np.bool_], core: tuple[slice, slice, slice]
) -> Variation:
    """The variation in the core of a part.

    Args:
        values: (Z, Y, X), the intensity before denoising.
        around: (Z, Y, X), the voxels around neurites.
        core: its box; the neighbour of its last voxel may lie outside.
    """
    near, every = [], []
    for axis in range(3):
        wider = list(core)
        if core[axis].stop is not None:
            wider[axis] = slice(core[axis].start, core[axis].stop + 1)
        difference = np.diff(values[tuple(wider)], axis=axis)
        along = np.moveaxis(around[tuple(wider)], axis, 0)
        chosen = difference[np.moveaxis(along[1:] & along[:-1], 0, axis)]
        near.append((_square(chosen), int(chosen.size)))
        every.append((sum(map(_square, difference)), int(difference.size)))
    inner = around[core]
    return Variation(tuple(near), tuple(every), (int(np.count_nonzero(inner)), inner.size))


def _square(values: Floats) -> float:
    return float(np.square(values).sum(dtype=np.float64))
