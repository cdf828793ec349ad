"""The classical enhancer: a probability from contrast alone, without a network or training.

1. Denoising: a Gaussian about as wide as the thinnest neurite.
2. Background: medians of blocks, opened, so that neurites and somata do not count. It is
   subtracted; the difference is the contrast.
3. Threshold: it lies between two kinds of ridges, noise and neurites. It is Otsu's threshold of the
   square roots of the ridges' contrasts, because the noise of a photon count grows with its root.
   Ridge points are counted instead of voxels, so that somata and empty space have no influence.
   The threshold is never below the level that noise alone reaches.
4. Dim neurites: where no bright structure is near, the threshold falls to a share of the highest
   contrast nearby. A thin axon may have a tenth of the contrast of its trunk.
5. Broad structures: the contrast of glow, haze and edges of tissue is removed, and cell bodies are
   added whole, see `broad`. Where light is brighter its noise is higher, and so is the threshold.
6. Probability: the contrast relative to the threshold. Beside bright structures the threshold
   rises to a share of their contrast, so that bright neurites do not become thick and blurred.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from dineuro_model.enhancers.blocks import PER_DEVIATION, background, local_noise, sampled
from dineuro_model.enhancers.broad import broad_part, find_bodies
from dineuro_model.enhancers.windows import highest_within

Scale = tuple[float, float, float]

#: The quantile of the maxima of rows, columns and depths that sets the usual brightness, and the
#: multiple of it at which voxels are cut off.
_ROWS, _ABOVE = 0.99, 5.0
#: Width of the denoising Gaussian, in finest voxels.
_SIGMA = 0.8
#: Margin of background around the voxels above the lowest value.
_MARGIN = 32
#: The contrast is at most this multiple of what is narrow, see `broad`. Noise alone is narrow, by
#: this many of its standard deviations.
_NARROW, _NARROW_NOISE = 2.0, 2.0
#: Neurites that fill a block look like noise. Therefore it is at most this multiple of the stack's.
_MOST_NOISE = 8.0
#: A ridge falls to half its height within this number of voxels.
_THIN = 10
#: The threshold is at most this share of the neurites' mean contrast.
_CAP = 0.3
#: The least threshold in units of the denoised background's noise.
_NOISE_FLOOR = 5.5
#: The local threshold is this share of the highest contrast within this reach (finest voxels).
#: It is at least this share of the stack's threshold.
_LOCAL_REACH, _LOCAL_SHARE, _LOCAL_LEAST = 12.0, 0.25, 0.5
#: The ridges just below the threshold are clutter if the next octave of contrast below them has so
#: many times as many. On the tuning stacks neurites have at most 1.3, noise and clutter 2 or more.
_CLUTTER = 1.7
#: The clearness needs this share of the volume around neurites; in less, all voxels are noise.
_LEAST_AROUND = 0.001
#: A bright structure raises the threshold within this reach (finest voxels) to this share of its
#: contrast.
_REACH, _SHARE = 3.0, 0.4


@dataclass(frozen=True, slots=True, eq=False)
class ClassicalEnhancement:
    """The result of the enhancer.

    Attributes:
        probability: (Z, Y, X) uint8 from 0 to 255; 128 is the threshold. All are 0 in a constant
            volume.
        clearness: mean contrast of the neurites' ridges, in standard deviations of the noise of
            single voxels around neurites; infinite without noise, 0 without neurites.
    """

    probability: NDArray[np.uint8]
    clearness: float


def enhance(intensity: NDArray[Any], scale: Scale = (1.0, 1.0, 1.0)) -> NDArray[np.uint8]:
    """The probability of neurites in raw intensity; see `enhance_and_measure`."""
    return enhance_and_measure(intensity, scale).probability


def enhance_and_measure(
    intensity: NDArray[Any], scale: Scale = (1.0, 1.0, 1.0)
) -> ClassicalEnhancement:
    """The probability of neurites in raw intensity, and how clear they are.

    Args:
        intensity: (Z, Y, X), any real type, finite; neurites are brighter than the background.
        scale: (z, y, x), a voxel's edges in finest voxels.
    """
    probability = np.zeros(intensity.shape, dtype=np.uint8)
    low = intensity.min()
    box = _box_above(intensity, low)
    if box is None:
        return ClassicalEnhancement(probability, 0.0)
    values = _normalised(intensity[box], low)
    smooth = ndimage.gaussian_filter(values, [_SIGMA / step for step in scale])
    contrast = smooth - background(smooth)
    ridge = contrast[_on_ridges(contrast)]
    threshold = _threshold(ridge)
    bright = ridge[ridge >= threshold]
    around = _highest_within(_LOCAL_REACH, contrast, scale) >= threshold
    around &= _highest_within(_REACH, contrast, scale) < threshold
    clearness = _clearness(bright, values, around, scale)
    if len(bright) == 0:
        return ClassicalEnhancement(probability, clearness)
    del values, around
    usual = np.float32(_noise(contrast))
    noise = np.clip(local_noise(contrast), usual, np.float32(_MOST_NOISE) * usual)
    floor = np.float32(_NOISE_FLOOR) * noise
    np.maximum(floor, np.float32(_least_threshold(ridge, threshold)), out=floor)
    broad = broad_part(smooth, scale)
    bodies = find_bodies(smooth, broad.lateral, float(bright.mean()), scale)
    np.subtract(smooth, broad.highest, out=smooth)
    smooth -= np.float32(_NARROW_NOISE) * noise
    smooth *= np.float32(_NARROW)
    np.minimum(contrast, smooth, out=contrast)
    del broad, smooth
    near = _highest_within(_REACH, contrast, scale)
    far = _highest_within(_LOCAL_REACH, contrast, scale)
    odds = _odds(contrast, _limits(threshold, floor, near, far))
    odds[bodies] = 255
    probability[box] = odds
    return ClassicalEnhancement(probability, clearness)


def as_probability(intensity: NDArray[Any]) -> NDArray[np.uint8]:
    """Raw intensity as probability, without a filter.

    Args:
        intensity: (Z, Y, X), any real type, finite.

    Returns:
        (Z, Y, X) uint8 from 0 to 255; Otsu's threshold of the intensity becomes 128. All are 0 in a
        constant volume.
    """
    low = intensity.min()
    if intensity.max() == low:
        return np.zeros(intensity.shape, dtype=np.uint8)
    values = _normalised(intensity, low)
    return _odds(values, np.float32(threshold_otsu(values.reshape(-1))))


def _box_above(intensity: NDArray[Any], low: Any) -> tuple[slice, slice, slice] | None:
    """The bounding box of the voxels above `low`, with a margin of background.

    Much of a published stack is often masked. None stands for a constant volume.
    """
    above = intensity > low
    spans = []
    for axis in range(3):
        hit = np.flatnonzero(above.any(axis=tuple(a for a in range(3) if a != axis)))
        if len(hit) == 0:
            return None
        spans.append(slice(max(0, int(hit[0]) - _MARGIN), int(hit[-1]) + 1 + _MARGIN))
    return spans[0], spans[1], spans[2]


def _normalised(intensity: NDArray[Any], low: Any) -> NDArray[np.float32]:
    """The intensity on a scale from 0 to 1, float32, independent of the sample type.

    A few extremely bright voxels must not set the scale. Therefore values are cut at a multiple of
    a quantile of the maxima of rows, columns and depths, the middle one of the three.
    """
    rows = [intensity.max(axis=axis) for axis in range(3)]
    usual = float(
        np.median([np.quantile(row[row > low].astype(np.float64), _ROWS) for row in rows])
    )
    top = min(float(rows[0].max()), float(low) + _ABOVE * (usual - float(low)))
    span = top - float(low)
    # Each term is divided before the subtraction, because the difference may overflow.
    values = intensity.astype(np.float32)
    values *= np.float32(1 / span)
    values -= np.float32(float(low) / span)
    return np.minimum(values, np.float32(1), out=values)


def _odds(
    values: NDArray[np.float32], limit: NDArray[np.float32] | np.float32
) -> NDArray[np.uint8]:
    """v² / (v² + limit²) from 0 to 255: 128 where v is the limit, 0 where v is not positive."""
    square = np.square(np.maximum(values, 0))
    square /= square + np.square(limit) + np.float32(1e-20)
    return np.asarray(np.ceil(255 * square), dtype=np.uint8)


def _on_ridges(contrast: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which voxels (Z, Y, X) lie on the crest of a thin ridge: noise or a neurite, but no soma.

    A voxel on a crest is the highest among its neighbours along at least two axes. `_THIN` voxels
    further along the same axes, the contrast is at most half of its own. Beyond the border the
    contrast is 0.
    """
    votes = np.zeros(contrast.shape, dtype=np.uint8)
    for axis in range(3):
        n = contrast.shape[axis]
        padded = np.pad(contrast, [(_THIN, _THIN) if a == axis else (0, 0) for a in range(3)])
        along = np.moveaxis(padded, axis, 0)
        crest = np.moveaxis(contrast, axis, 0) > 0
        for distance, factor in ((1, 1.0), (_THIN, 2.0)):
            for first in (_THIN - distance, _THIN + distance):
                crest &= along[_THIN : _THIN + n] >= np.float32(factor) * along[first : first + n]
        np.moveaxis(votes, axis, 0)[...] += crest
    return votes >= 2


def _threshold(ridge: NDArray[np.float32]) -> float:
    """The contrast between ridges (N,) of noise and ridges of neurites; infinite without ridges."""
    if len(ridge) == 0:
        return math.inf
    between = float(threshold_otsu(np.sqrt(ridge))) ** 2
    # Without noise all ridges are neurites, and the threshold must not remove their dimmer half.
    return min(between, _CAP * float(ridge[ridge >= between].mean()))


def _least_threshold(ridge: NDArray[np.float32], threshold: float) -> float:
    """The least local threshold, from the contrast of all ridges (N,).

    Dim neurites are few. Where the number of ridges rises steeply as their contrast falls, the dim
    ones are noise or clutter, and the threshold of the stack holds everywhere.
    """
    octaves = np.array([0.25, 0.5, 1.0]) * threshold
    below, beside = np.diff(np.searchsorted(np.sort(ridge), octaves))
    is_clutter = below > _CLUTTER * beside
    return threshold if is_clutter else _LOCAL_LEAST * threshold


def _noise(contrast: NDArray[np.float32]) -> float:
    """The standard deviation of the denoised background; neurites hardly influence it."""
    sample = sampled(contrast)
    return PER_DEVIATION * float(np.median(np.abs(sample - np.median(sample))))


def _clearness(
    ridge: NDArray[np.float32], values: NDArray[np.float32], around: NDArray[np.bool_], scale: Scale
) -> float:
    """The clearness of neurites; see `ClassicalEnhancement`.

    Args:
        ridge: (N,) contrast of the neurites' ridges.
        values: (Z, Y, X), the intensity before denoising.
        around: (Z, Y, X), the voxels around neurites.
        scale: (z, y, x), a voxel's edges in finest voxels.
    """
    if len(ridge) == 0:
        return 0.0
    fine = [a for a in range(3) if scale[a] == min(scale) and values.shape[a] > 1]
    is_enough = bool(around.mean() > _LEAST_AROUND)
    noise = math.sqrt(np.median([_variance(values, around, a, is_enough) for a in fine] or [0.0]))
    return float(ridge.mean()) / noise if noise else math.inf


def _variance(
    values: NDArray[np.float32], around: NDArray[np.bool_], axis: int, is_enough: bool
) -> float:
    """The variance of the noise from the differences of neighbours along an axis.

    They do not contain the background, which changes slowly. Along a coarse axis they contain the
    neurites, so `_clearness` takes the middle one of the fine axes.
    """
    difference = np.diff(values, axis=axis)
    if is_enough:
        along = np.moveaxis(around, axis, 0)
        difference = difference[np.moveaxis(along[1:] & along[:-1], 0, axis)]
    return float(np.square(difference).mean()) / 2 if difference.size else 0.0


def _highest_within(
    reach: float, contrast: NDArray[np.float32], scale: Scale
) -> NDArray[np.float32]:
    """The highest contrast in a box around each voxel; the reach is in finest voxels."""
    z, y, x = (int(reach / edge) for edge in scale)
    return highest_within(contrast, (z, y, x))


def _limits(
    threshold: float,
    floor: NDArray[np.float32],
    near: NDArray[np.float32],
    far: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The contrast (Z, Y, X) at which the probability is 128. Both arrays are overwritten.

    Args:
        threshold: of the stack.
        floor: (Z, Y, X), the least threshold of each voxel.
        near: (Z, Y, X), the highest contrast within `_REACH`.
        far: (Z, Y, X), the highest contrast within `_LOCAL_REACH`.
    """
    far *= _LOCAL_SHARE
    np.minimum(far, np.float32(threshold), out=far)
    np.maximum(far, floor, out=far)
    near *= _SHARE
    return np.maximum(near, far, out=far)
