"""The scale of intensities, which training and inference share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Percentiles of the voxels above 0 that are the dark end and the bright end of the scale.
DARK, BRIGHT = 1.0, 99.9
#: The percentiles are computed from at most this number of voxels.
MOST_SAMPLES = 4_000_000
#: Before the square root, values are cut at this multiple of the bright end.
CEILING = 4.0


def intensity_range(volume: NDArray[Any]) -> tuple[float, float]:
    """The dark and the bright end of a volume's scale.

    Voxels of exactly 0 do not count, because many published stacks are 0 far from the neuron. A few
    hot pixels lie above the 99.9th percentile and do not change the scale.

    Args:
        volume: (Z, Y, X) finite numbers.

    Returns:
        (dark, bright) with dark < bright: (0, 1) for a volume of zeros, (value - 1, value) for
        another constant volume.
    """
    shape = (1,) * (3 - volume.ndim) + volume.shape
    whole = volume.reshape(shape)
    return range_of_sample(sample_of_part(whole, (0, 0, 0), whole.shape))


def sample_of_part(
    part: NDArray[Any], start: tuple[int, ...], size: tuple[int, ...]
) -> NDArray[Any]:
    """The voxels (N,) of a part (Z, Y, X) that the sample of its whole volume has, without zeros.

    Args:
        part: voxels of the volume.
        start: z, y, x of the part's first voxel.
        size: (Z, Y, X) of the volume.
    """
    step = max(1, math.prod(size) // MOST_SAMPLES)
    if step > 1:
        # An odd step seldom divides the length of an axis, so that the samples form no columns.
        step |= 1
    if part.shape == size:
        sample = part.reshape(-1)[::step]
    else:
        z, y, x = (np.arange(a, a + n) for a, n in zip(start, part.shape, strict=True))
        rows = (z[:, None] * size[1] + y) * size[2]
        sample = np.concatenate(
            [slice_[(row[:, None] + x) % step == 0] for slice_, row in zip(part, rows, strict=True)]
        )
    return np.asarray(sample[sample != 0])


def range_of_sample(sample: NDArray[Any]) -> tuple[float, float]:
    """The dark and the bright end of a volume, from a sample (N,) without zeros, in any order."""
    if sample.size == 0:
        return 0.0, 1.0
    dark, bright = (float(v) for v in np.percentile(sample, (DARK, BRIGHT)))
    return (dark, bright) if bright > dark else (bright - 1.0, bright)


def normalise(voxels: NDArray[Any], dark: float, bright: float) -> NDArray[np.float32]:
    """Voxels on the scale: the square root of the share between dark end (0) and bright end (1).

    The square root makes photon noise even and raises dim neurites.

    Args:
        voxels: any shape and real type, finite.
        dark: the dark end; darker voxels, and so masked ones, become 0.
        bright: the bright end, above `dark`; brighter voxels become at most 2.

    Returns:
        The same shape, from 0 to 2.
    """
    with np.errstate(over="ignore"):  # values that overflow are cut at the ceiling
        scaled = (voxels.astype(np.float32) - np.float32(dark)) / np.float32(bright - dark)
    np.clip(scaled, 0, CEILING, out=scaled)
    np.sqrt(scaled, out=scaled)
    return scaled
