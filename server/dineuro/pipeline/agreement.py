"""Do mask and image tell the same story? Looked at in samples, so that it costs next to nothing.

Neurites are brighter than what surrounds them. A mask whose voxels are not has been dreamt up; a
mask that leaves out most of what stands out has missed the neurites. Either happens to a network
on a kind of image that it has not been trained for.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Voxels looked at, of the mask and of the volume.
_SAMPLES, _LOOKS = 20_000, 400_000
#: How far away the surroundings of a place are looked at (voxels).
_AWAY = 8
#: A place stands out when its contrast is so many times the usual fluctuation.
_STANDS_OUT = 8.0
#: Fewer places that stand out say nothing.
_FEWEST = 50
#: A place that stands out is found if the mask has a voxel within so many steps of it.
_BESIDE = 1
_AXES = np.eye(3, dtype=np.int64)

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How mask and image agree; None where there is too little to tell.

    Attributes:
        brighter: share of the mask's voxels that are brighter than their surroundings outside it:
            0.5 for a mask that has nothing to do with the image.
        found: share of the places that stand out in the image which the mask has, or touches.
    """

    brighter: float | None
    found: float | None


def agreement(intensity: NDArray[Any], mask: NDArray[np.bool_]) -> Agreement:
    """Compare an image (Z, Y, X) with a mask of the same shape; the same input, the same answer."""
    rng = np.random.default_rng(1)
    shape = np.array(mask.shape)
    inside = np.flatnonzero(mask)
    brighter = found = None
    if len(inside):
        places = np.array(np.unravel_index(rng.choice(inside, _SAMPLES), mask.shape)).T
        contrast, known = _contrast(intensity, places, mask)
        brighter = float((contrast[known] > 0).mean()) if known.any() else None
    places = rng.integers(0, shape, size=(min(_LOOKS, mask.size), 3))
    contrast, known = _contrast(intensity, places, None)
    contrast, places = contrast[known], places[known]
    usual = 1.4826 * float(np.median(np.abs(contrast))) if len(contrast) else 0.0
    standing_out = places[contrast > max(_STANDS_OUT * usual, _least(contrast))]
    if len(standing_out) >= _FEWEST:
        found = float(_touches(mask, standing_out).mean())
    return Agreement(brighter, found)


def _least(contrast: NDArray[np.float32]) -> float:
    """Where nothing fluctuates, what is a twentieth of the strongest contrast stands out."""
    return float(contrast.max()) / 20 if len(contrast) else 0.0


def _contrast(
    intensity: NDArray[Any], places: Places, mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Mean of 27 voxels at each place, less the median of those six `_AWAY` steps from it.

    The six that lie in the mask or outside the volume do not count; where fewer than three are
    left, nothing is known.
    """
    last = np.array(intensity.shape) - 1
    flat = intensity.reshape(-1)
    rows = ((last[1] + 1) * (last[2] + 1), last[2] + 1, 1)
    # Each axis is stepped along and clipped once, and not for each of the 27.
    beside = [
        [np.clip(places[:, axis] + step, 0, last[axis]) * rows[axis] for step in (-1, 0, 1)]
        for axis in range(3)
    ]
    here = np.zeros(len(places), dtype=np.float32)
    for z, y, x in product(*beside):
        here += flat[z + y + x]
    here /= len(beside) ** 3
    ring = np.full((6, len(places)), np.nan, dtype=np.float32)
    for number, step in enumerate(np.concatenate([_AXES, -_AXES]) * _AWAY):
        at = places + step
        inside = ((at >= 0) & (at <= last)).all(1)
        at = tuple(np.clip(at, 0, last).T)
        if mask is not None:
            inside &= ~mask[at]
        ring[number] = np.where(inside, intensity[at], np.nan)
    count = np.isfinite(ring).sum(0)
    known = count >= 3
    ring.sort(axis=0)  # NaN last: the median is in the middle of those before
    each = np.arange(len(places))
    middle = (ring[(count - 1) // 2, each] + ring[count // 2, each]) / 2
    return np.where(known, here - middle, np.float32(0)), known


def _touches(mask: NDArray[np.bool_], places: Places) -> NDArray[np.bool_]:
    """Whether the mask has a voxel in the cube of `_BESIDE` steps around each place."""
    last = np.array(mask.shape) - 1
    hit = np.zeros(len(places), dtype=np.bool_)
    for step in np.ndindex(*(2 * _BESIDE + 1,) * 3):
        hit |= mask[tuple(np.clip(places + np.array(step) - _BESIDE, 0, last).T)]
    return hit
