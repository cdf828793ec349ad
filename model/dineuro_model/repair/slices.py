"""Slices that differ from those beside them: blank, over-exposed, or of another light.

A blank or over-exposed slice has no image. It is interpolated between its neighbours. Where the
light flickers or fades with depth, the ground and the noise of every slice are brought to those of
the stack. Noise is the measure because every slice has it, with neurites and without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import spearmanr

Mask = NDArray[np.bool_]

#: Share of a slice's voxels that may equal its most frequent value, if the slice has noise.
NOISY = 0.5
#: Share of a slice's voxels at the brightest value of the stack that makes it over-exposed.
OVEREXPOSED = 0.1
#: Most slices in a row that are interpolated.
_LONGEST_RUN = 8
#: Voxels of a slice that are measured.
_SAMPLE = 8_000
#: The light of a slice with fewer known voxels is that of the slices beside it.
_FEWEST = 100
#: Differences of neighbours below this quantile count as noise. Their root mean square times the
#: factor is the standard deviation of normal noise.
_QUANTILE, _FACTOR = 0.8, 1.5115
#: The light is uneven where the ratio of the slices' noise exceeds the first number, or a slice's
#: ground differs from its neighbours' by the second, in standard deviations of the noise, and by
#: the third, a share of the bright structures' contrast. Steps of 0.13 cost a rendered tree 0.06
#: of F1. Where such steps of a real stack are evened, the haze beside its neurites is traced.
_RATIO, _STEP, _OF_CONTRAST = 1.5, 1.0, 0.17
#: The quantile of bright structures.
_BRIGHT = 0.999
#: The least rank correlation of depth and noise where light fades with depth.
_STEADY = 0.9
#: Slices whose median is the usual level of the slice in their middle.
_NEIGHBOURS = 9


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """The light of the slices.

    Attributes:
        ground: (Z,) the median of each slice.
        noise: (Z,) the standard deviation of its noise.
        contrast: of bright structures above the ground, over all slices.
    """

    ground: NDArray[np.float64]
    noise: NDArray[np.float64]
    contrast: float

    @property
    def is_uneven(self) -> bool:
        """Whether slices differ more than the image of a steady lamp."""
        if not (self.noise > 0).all():
            return False
        smooth = ndimage.median_filter(self.noise, 5, mode="nearest")
        usual = ndimage.median_filter(self.ground, _NEIGHBOURS, mode="nearest")
        step = np.abs(self.ground - usual).max()
        least = max(_STEP * float(np.median(self.noise)), _OF_CONTRAST * self.contrast)
        ratio = self.noise / ndimage.median_filter(self.noise, _NEIGHBOURS, mode="nearest")
        apart = max(float(ratio.max()), 1 / float(ratio.min()))
        return bool(smooth.max() > _RATIO * smooth.min() or step > least or apart > _RATIO)

    @property
    def fades(self) -> bool:
        """Whether the noise falls, or rises, from the first slice to the last."""
        place = np.arange(len(self.noise))
        return bool(abs(spearmanr(place, self.noise).statistic) > _STEADY)


def blank_slices(stack: NDArray[Any]) -> Mask:
    """Which slices (Z,) have one value alone, in a stack (Z, Y, X) whose other slices are noisy."""
    blank = np.array([plane.min() == plane.max() for plane in stack])
    others = np.flatnonzero(~blank)
    if not blank.any() or 2 * len(others) <= len(stack):
        return np.zeros(len(stack), dtype=np.bool_)
    return blank if has_noise(stack[others[len(others) // 2]]) else np.zeros_like(blank)


def has_noise(values: NDArray[Any]) -> bool:
    """Whether no value is that of half of the voxels, as it is in a mask or a cleaned stack."""
    flat = values.reshape(-1)
    sample = flat[:: (flat.size // _SAMPLE) | 1]  # an odd step, so that it forms no columns
    return bool(np.unique(sample, return_counts=True)[1].max(initial=0) < NOISY * sample.size)


def overexposed_slices(stack: NDArray[Any], unknown: Mask | None = None) -> Mask:
    """Which slices (Z,) of integers have much of their area at the brightest value of the stack.

    Args:
        stack: (Z, Y, X), any real type.
        unknown: (Z, Y, X), the voxels that do not count.
    """
    high = stack.max()
    if stack.dtype.kind not in "iu" or high <= 1 or stack.min() == high:
        return np.zeros(len(stack), dtype=np.bool_)
    least = OVEREXPOSED * stack[0].size
    counts = np.zeros(len(stack))
    for z, plane in enumerate(stack):
        bright = plane == high if unknown is None else (plane == high) & ~unknown[z]
        counts[z] = np.count_nonzero(bright)
    return np.asarray(counts > least)


def interpolate_slices(stack: NDArray[Any], lost: Mask) -> Mask:
    """Interpolate lost slices (Z,) of the stack in place, between the neighbours on both sides.

    Returns:
        (Z,) the lost slices that have no such neighbours, or too many in a row.
    """
    good = np.flatnonzero(~lost)
    rest = lost.copy()
    for z in np.flatnonzero(lost):
        above = int(np.searchsorted(good, z))
        if above in (0, len(good)):
            continue
        low, high = good[above - 1], good[above]
        if high - low - 1 > _LONGEST_RUN:
            continue
        share = np.float32((z - low) / (high - low))
        between = stack[low] * (1 - share) + stack[high] * share
        stack[z] = np.rint(between) if stack.dtype.kind in "iu" else between
        rest[z] = False
    return rest


def measure_light(stack: NDArray[Any], unknown: Mask | None) -> Light:
    """The light of each slice of a stack (Z, Y, X).

    Args:
        stack: any real type, finite.
        unknown: (Z, Y, X), the voxels that do not count.
    """
    if stack.shape[2] < 2:
        return Light(np.zeros(len(stack)), np.zeros(len(stack)), 0.0)
    step = max(1, round(float(np.sqrt(stack[0].size / _SAMPLE))))
    left, right = (
        _sample(stack, unknown, np.s_[:, ::step, columns])
        for columns in (np.s_[:-1:step], np.s_[1::step])
    )
    few = np.count_nonzero(np.isfinite(left), axis=1) < _FEWEST
    ground, noise = _levels(left), _noise(np.abs(right - left))
    ground[few] = noise[few] = np.nan
    some = left[:, ::4][np.isfinite(left[:, ::4])]
    contrast = float(np.quantile(some, _BRIGHT) - np.median(some)) if len(some) else 0.0
    return Light(_filled(ground), _filled(noise), contrast)


def even_light(stack: NDArray[Any], light: Light) -> NDArray[np.float32]:
    """The stack with the same ground and noise in every slice, those of its middle."""
    ground, noise = float(np.median(light.ground)), float(np.median(light.noise))
    gain = (noise / light.noise).astype(np.float32)[:, None, None]
    offset = (ground - light.ground * (noise / light.noise)).astype(np.float32)[:, None, None]
    return np.asarray(stack.astype(np.float32) * gain + offset)


def _sample(stack: NDArray[Any], unknown: Mask | None, part: Any) -> NDArray[np.float32]:
    """(Z, N) the voxels of a part of the stack; the unknown ones are NaN."""
    values = stack[part].astype(np.float32)
    if unknown is not None:
        values[unknown[part]] = np.nan
    return np.asarray(values.reshape(len(stack), -1))


def _levels(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The median of each slice's values (Z, N), finer than the step of integers."""
    low, high = _quantiles(values, 0.25, 0.75)
    return _means(values, (values >= low) & (values <= high))


def _noise(difference: NDArray[np.float32]) -> NDArray[np.float64]:
    """(Z,) the standard deviation of noise, from each slice's differences (Z, N) of neighbours."""
    (high,) = _quantiles(difference, _QUANTILE)
    return _FACTOR * np.sqrt(_means(np.square(difference), difference <= high) / 2)


def _quantiles(values: NDArray[np.float32], *shares: float) -> list[NDArray[np.float32]]:
    """The quantiles (Z, 1) of each slice's values (Z, N); NaN does not count."""
    ordered = np.sort(values, axis=1)  # NaN comes last
    last = np.maximum(np.count_nonzero(np.isfinite(values), axis=1) - 1, 0)
    each = np.arange(len(values))
    return [ordered[each, (share * last).astype(int)][:, None] for share in shares]


def _means(values: NDArray[np.float32], chosen: Mask) -> NDArray[np.float64]:
    """The mean of each slice's chosen values (Z, N); 0 without any."""
    sums = values.sum(axis=1, where=chosen, dtype=np.float64)
    return np.asarray(sums / np.maximum(chosen.sum(axis=1), 1))


def _filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (Z,) with NaN replaced by those of the slices beside; zeros without any value."""
    known = np.flatnonzero(np.isfinite(values))
    if len(known) == 0:
        return np.zeros_like(values)
    return np.interp(np.arange(len(values)), known, values[known])
