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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from dineuro_model.enhancers.blocks import (
    PER_DEVIATION,
    Floats,
    Frame,
    between,
    block_medians,
    block_noise,
    even_noise,
    sampled,
    without_neurites,
)
from dineuro_model.enhancers.broad import broad_part, broad_reach, find_bodies, middle_level
from dineuro_model.enhancers.clearness import noise_around
from dineuro_model.enhancers.figures import Figures, Ridges
from dineuro_model.enhancers.windows import highest_within

Scale = tuple[float, float, float]

#: The quantile of the maxima of rows, columns and depths that sets the usual brightness, and the
#: multiple of it at which voxels are cut off.
_ROWS, _ABOVE = 0.99, 5.0
#: Width of the denoising Gaussian, in finest voxels, and the voxels that it reaches at most.
_SIGMA, _GAUSSIAN = 0.8, 3
#: Margin of background around the voxels above the lowest value.
_MARGIN = 32
#: The contrast is at most this multiple of what is narrow, see `broad`. Noise alone is narrow, by
#: this many of its standard deviations.
_NARROW, _NARROW_NOISE = 2.0, 2.0
#: Neurites that fill a block look like noise. Therefore it is at most this multiple of the stack's.
_MOST_NOISE = 8.0
#: A ridge falls to half its height within this number of voxels.
_THIN = 10
#: The least threshold in units of the denoised background's noise.
_NOISE_FLOOR = 5.5
#: The local threshold is this share of the highest contrast within this reach (finest voxels).
_LOCAL_REACH, _LOCAL_SHARE = 12.0, 0.25
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
    rows = [intensity[box].max(axis=axis) for axis in range(3)]
    span = usual_span(rows, low)
    values = normalised(intensity[box], low, span)
    frame = Frame.whole(values.shape)
    smooth = denoised(values, scale)
    blocks = frame.blocks()
    ground = without_neurites(block_medians(smooth, frame, blocks))
    contrast = between(ground, frame)
    np.subtract(smooth, contrast, out=contrast)
    ridge = contrast[on_ridges(contrast)]
    ridges = Ridges.of(ridge)
    around = around_neurites(contrast, ridges.threshold, scale)
    inner = (slice(None),) * 3
    clearness = noise_around(values, around, inner).clearness(ridges.bright, scale)
    del values, around
    if not ridges.bright:
        return ClassicalEnhancement(probability, clearness)
    figures = Figures(
        frame.size, float(low), span, float(smooth.min()), float(smooth.max()),
        middle_level(smooth), _noise(sampled(contrast, frame, blocks)),
        ridges.threshold, ridges.least, ridges.bright,
    )  # fmt: skip
    noise = between(even_noise(block_noise(contrast, frame, blocks)), frame)
    broad = breadth(smooth, figures, scale)
    probability[box] = part_probability(broad, contrast, noise, figures, scale)
    return ClassicalEnhancement(probability, clearness)


@dataclass(frozen=True, slots=True, eq=False)
class Breadth:
    """What is too broad for a neurite in a box of a part, and what is not.

    Attributes:
        narrow: (Z, Y, X), the denoised box without its broad part.
        bodies: (Z, Y, X), the cell bodies.
        box: the box, in the part.
        inner: where the probability is wanted, in the box.
    """

    narrow: Floats
    bodies: NDArray[np.bool_]
    box: tuple[slice, slice, slice]
    inner: tuple[slice, slice, slice]


def breadth(
    smooth: Floats,
    figures: Figures,
    scale: Scale,
    inner: tuple[slice, slice, slice] | None = None,
) -> Breadth:
    """What is too broad in a part of a volume.

    Args:
        smooth: (Z, Y, X), the denoised part.
        figures: of the volume.
        scale: (z, y, x), a voxel's edges in finest voxels.
        inner: the box in which the probability is wanted; None is the whole part.
    """
    whole = (slice(None),) * 3
    box, inner = (whole, whole) if inner is None else _with_margin(inner, smooth.shape, scale)
    span = (figures.darkest, figures.brightest)
    broad = broad_part(smooth, scale, span, figures.size, box)
    bodies = find_bodies(
        smooth, broad.lateral, figures.bright, scale, figures.middle, figures.size
    )  # fmt: skip
    return Breadth(smooth[box] - broad.highest, bodies[box], box, inner)


def part_probability(
    broad: Breadth, contrast: Floats, noise: Floats, figures: Figures, scale: Scale
) -> NDArray[np.uint8]:
    """The probability (Z, Y, X) in the inner box of a part of a volume.

    The arrays (Z, Y, X) are those of the broad part's box, and are overwritten. Voxels less than
    `reach` from a face of the part depend on what lies beyond it.

    Args:
        broad: what is too broad in the part.
        contrast: the denoised box without the background.
        noise: the standard deviation of the denoised background around each voxel.
        figures: of the volume.
        scale: (z, y, x), a voxel's edges in finest voxels.
    """
    usual = np.float32(figures.noise)
    np.clip(noise, usual, np.float32(_MOST_NOISE) * usual, out=noise)
    narrow = broad.narrow
    narrow -= np.float32(_NARROW_NOISE) * noise
    narrow *= np.float32(_NARROW)
    np.minimum(contrast, narrow, out=contrast)
    noise *= np.float32(_NOISE_FLOOR)
    floor = np.maximum(noise, np.float32(figures.least), out=noise)
    near = _highest_within(_REACH, contrast, scale)
    far = _highest_within(_LOCAL_REACH, contrast, scale)
    limit = _limits(figures.threshold, floor, near, far)
    del near, far, floor, noise
    odds = _odds(contrast, limit)
    odds[broad.bodies] = 255
    return odds[broad.inner]


def reach(scale: Scale) -> tuple[int, int, int]:
    """(z, y, x) voxels around a box on which the probability in it depends, without bodies."""
    z, y, x = (int(_LOCAL_REACH / edge) + 2 * broad_reach(edge) + _GAUSSIAN for edge in scale)
    return z, y, x


def _with_margin(
    inner: tuple[slice, slice, slice], shape: tuple[int, ...], scale: Scale
) -> tuple[tuple[slice, slice, slice], tuple[slice, slice, slice]]:
    """A box with the surroundings that its local threshold needs, and the box within these."""
    wider, within = [], []
    for part, n, edge in zip(inner, shape, scale, strict=True):
        margin = int(_LOCAL_REACH / edge)
        low = max(0, part.start - margin)
        wider.append(slice(low, min(n, part.stop + margin)))
        within.append(slice(part.start - low, part.stop - low))
    return (wider[0], wider[1], wider[2]), (within[0], within[1], within[2])


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
    rows = [intensity.max(axis=axis) for axis in range(3)]
    values = normalised(intensity, low, usual_span(rows, low))
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


def usual_span(rows: Sequence[NDArray[Any]], low: Any) -> float:
    """The span of intensities above the lowest that becomes 0 to 1.

    A few extremely bright voxels must not set the scale. Therefore values are cut at a multiple of
    a quantile of the maxima of rows, columns and depths, the middle one of the three.

    Args:
        rows: the maxima of the volume along each axis.
        low: the lowest intensity.
    """
    usual = float(
        np.median([np.quantile(row[row > low].astype(np.float64), _ROWS) for row in rows])
    )
    top = min(float(rows[0].max()), float(low) + _ABOVE * (usual - float(low)))
    return top - float(low)


def normalised(intensity: NDArray[Any], low: Any, span: float) -> Floats:
    """The intensity on a scale from 0 to 1, float32, independent of the sample type."""
    # Each term is divided before the subtraction, because the difference may overflow.
    values = intensity.astype(np.float32)
    values *= np.float32(1 / span)
    values -= np.float32(float(low) / span)
    return np.minimum(values, np.float32(1), out=values)


def denoised(values: Floats, scale: Scale) -> Floats:
    """The values (Z, Y, X) without the noise that is finer than a neurite."""
    return np.asarray(ndimage.gaussian_filter(values, [_SIGMA / step for step in scale]))


def _odds(
    values: NDArray[np.float32], limit: NDArray[np.float32] | np.float32
) -> NDArray[np.uint8]:
    """v² / (v² + limit²) from 0 to 255: 128 where v is the limit, 0 where v is not positive."""
    square = np.maximum(values, 0)
    np.square(square, out=square)
    below = square + np.square(limit)
    below += np.float32(1e-20)
    square /= below
    del below
    square *= 255
    return np.ceil(square, out=square).astype(np.uint8)


def on_ridges(
    contrast: NDArray[np.float32], inner: tuple[slice, slice, slice] | None = None
) -> NDArray[np.bool_]:
    """Which voxels (Z, Y, X) lie on the crest of a thin ridge: noise or a neurite, but no soma.

    A voxel on a crest is the highest among its neighbours along at least two axes. `_THIN` voxels
    further along the same axes, the contrast is at most half of its own. Beyond the border the
    contrast is 0.

    Args:
        contrast: (Z, Y, X).
        inner: the box that is wanted; None is the whole.
    """
    box = inner or tuple(slice(0, n) for n in contrast.shape)
    votes = np.zeros([each.stop - each.start for each in box], dtype=np.uint8)
    for axis in range(3):
        n, wider = votes.shape[axis], list(box)
        low, high = box[axis].start - _THIN, box[axis].stop + _THIN
        wider[axis] = slice(max(0, low), min(contrast.shape[axis], high))
        beyond = (wider[axis].start - low, high - wider[axis].stop)
        padded = np.pad(contrast[tuple(wider)], [beyond if a == axis else (0, 0) for a in range(3)])
        along = np.moveaxis(padded, axis, 0)
        crest = along[_THIN : _THIN + n] > 0
        for distance, factor in ((1, 1.0), (_THIN, 2.0)):
            for first in (_THIN - distance, _THIN + distance):
                crest &= along[_THIN : _THIN + n] >= np.float32(factor) * along[first : first + n]
        np.moveaxis(votes, axis, 0)[...] += crest
    return votes >= 2


def _noise(sample: Floats) -> float:
    """The standard deviation of the denoised background; neurites hardly influence it."""
    return PER_DEVIATION * float(np.median(np.abs(sample - np.median(sample))))


def around_neurites(contrast: Floats, threshold: float, scale: Scale) -> NDArray[np.bool_]:
    """The voxels (Z, Y, X) near a neurite, but in none."""
    around = _highest_within(_LOCAL_REACH, contrast, scale) >= threshold
    around &= _highest_within(_REACH, contrast, scale) < threshold
    return np.asarray(around)


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
