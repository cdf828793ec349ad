"""The agreement of a mask with its image, measured in random samples of voxels.

Neurites are brighter than their surroundings. A mask whose voxels are not brighter has no relation
to the image. A mask without most of the bright places misses the neurites. A network may make
either error on a kind of image that it was not trained on.

A random sample keeps the cost small, whatever the size of the volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Sizes of the samples of the mask and of the volume, in voxels.
_MASK_SAMPLE, _VOLUME_SAMPLE = 20_000, 400_000
#: Distance of a place to the surroundings that it is compared with, in voxels.
_DISTANCE = 8
#: A place is bright where its contrast is larger than this many standard deviations.
_LEAST_CONTRAST = 8.0
#: A place is bright only where its contrast is larger than the greatest one divided by this. The
#: limit serves images without noise, whose standard deviation is 0.
_GREATEST_OVER_LEAST = 20
#: The share of bright places is unknown where the sample has fewer of them.
_FEWEST = 50
#: A mask has a bright place if one of its voxels lies within this many steps of the place.
_STEPS = 1
#: The contrast of a place needs this many of its six surroundings.
_LEAST_AROUND = 3
_AXES = np.eye(3, dtype=np.int64)

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of a mask with its image; a share is None where the sample is too small.

    Attributes:
        brighter: share, 0 to 1, of the mask's voxels that are brighter than their surroundings
            outside the mask. It is 0.5 for a mask without relation to the image.
        found: share, 0 to 1, of the image's bright places that the mask has or touches.
    """

    brighter: float | None
    found: float | None


def agreement(intensity: NDArray[Any], mask: NDArray[np.bool_]) -> Agreement:
    """Measure the agreement of a mask with its image.

    The sample is random with a fixed seed, so the same input has the same result.

    Args:
        intensity: (Z, Y, X), the image, finite.
        mask: (Z, Y, X), the foreground.
    """
    rng = np.random.default_rng(1)
    shape = np.array(mask.shape)
    inside = np.flatnonzero(mask)
    brighter = share = None
    if len(inside):
        places = np.array(np.unravel_index(rng.choice(inside, _MASK_SAMPLE), mask.shape)).T
        contrast, is_valid = _contrast(intensity, places, mask)
        brighter = float((contrast[is_valid] > 0).mean()) if is_valid.any() else None
    places = rng.integers(0, shape, size=(min(_VOLUME_SAMPLE, mask.size), 3))
    contrast, is_valid = _contrast(intensity, places, None)
    contrast, places = contrast[is_valid], places[is_valid]
    deviation = 1.4826 * float(np.median(np.abs(contrast))) if len(contrast) else 0.0
    bright = places[contrast > max(_LEAST_CONTRAST * deviation, _share_of_greatest(contrast))]
    if len(bright) >= _FEWEST:
        share = float(_touches(mask, bright).mean())
    return Agreement(brighter, share)


def _share_of_greatest(contrast: NDArray[np.float32]) -> float:
    """The greatest contrast over `_GREATEST_OVER_LEAST`; 0 without any contrast."""
    return float(contrast.max()) / _GREATEST_OVER_LEAST if len(contrast) else 0.0


def _contrast(
    intensity: NDArray[Any], places: Places, mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The contrast (N,) of places (N, 3), and whether it is valid (N,).

    The contrast is the mean of the 27 voxels around a place, less the median of its surroundings.
    The surroundings are the six voxels at `_DISTANCE` along the axes. Those in the mask or outside
    the volume do not count. A contrast that is not valid is 0.
    """
    last = np.array(intensity.shape) - 1
    flat = intensity.reshape(-1)
    rows = ((last[1] + 1) * (last[2] + 1), last[2] + 1, 1)
    # Clipping each axis once is cheaper than clipping each of the 27 neighbours.
    neighbours = [
        [np.clip(places[:, axis] + step, 0, last[axis]) * rows[axis] for step in (-1, 0, 1)]
        for axis in range(3)
    ]
    mean = np.zeros(len(places), dtype=np.float32)
    for z, y, x in product(*neighbours):
        mean += flat[z + y + x]
    mean /= len(neighbours) ** 3
    around = np.full((6, len(places)), np.nan, dtype=np.float32)
    for number, step in enumerate(np.concatenate([_AXES, -_AXES]) * _DISTANCE):
        at = places + step
        inside = ((at >= 0) & (at <= last)).all(1)
        at = tuple(np.clip(at, 0, last).T)
        if mask is not None:
            inside &= ~mask[at]
        around[number] = np.where(inside, intensity[at], np.nan)
    count = np.isfinite(around).sum(0)
    is_valid = count >= _LEAST_AROUND
    around.sort(axis=0)  # NaN is sorted last, so the first `count` rows hold the values
    each = np.arange(len(places))
    median = (around[(count - 1) // 2, each] + around[count // 2, each]) / 2
    return np.where(is_valid, mean - median, np.float32(0)), is_valid


def _touches(mask: NDArray[np.bool_], places: Places) -> NDArray[np.bool_]:
    """Whether the mask has a voxel within `_STEPS` of each place (N, 3) along every axis."""
    last = np.array(mask.shape) - 1
    hit = np.zeros(len(places), dtype=np.bool_)
    for step in np.ndindex(*(2 * _STEPS + 1,) * 3):
        hit |= mask[tuple(np.clip(places + np.array(step) - _STEPS, 0, last).T)]
    return hit
