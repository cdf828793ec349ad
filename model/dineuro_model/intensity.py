"""The one intensity scale that training and inference share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Percentiles of the voxels that are not masked: the dark end and the bright end of the scale.
DARK, BRIGHT = 1.0, 99.9
#: Voxels that the percentiles are taken from, at most.
MOST_SAMPLES = 4_000_000
#: Nothing is brighter than this multiple of the bright end before the square root.
CEILING = 4.0


def intensity_range(volume: NDArray[Any]) -> tuple[float, float]:
    """The dark and the bright end of a volume's scale.

    Exact zeros are left out: in many published stacks all far from the neuron is set to 0. A few
    hot pixels stay above the 99.9th percentile and move nothing.

    Args:
        volume: (Z, Y, X) of finite numbers.

    Returns:
        dark < bright; (0, 1) for a volume of zeros, (value - 1, value) for one of a constant.
    """
    flat = volume.reshape(-1)
    step = max(1, flat.size // MOST_SAMPLES)
    # A step that divides no axis, so that the samples do not stand in columns.
    sample = flat[:: step | 1] if step > 1 else flat
    sample = sample[sample != 0]
    if sample.size == 0:
        return 0.0, 1.0
    dark, bright = (float(v) for v in np.percentile(sample, (DARK, BRIGHT)))
    return (dark, bright) if bright > dark else (bright - 1.0, bright)


def normalise(voxels: NDArray[Any], dark: float, bright: float) -> NDArray[np.float32]:
    """Voxels on the scale: 0 at the dark end, 1 at the bright end, its square root between.

    The square root evens out photon noise and lifts dim neurites; what is darker than dark is 0,
    and so are masked voxels; what is brighter than bright goes on to 2.
    """
    with np.errstate(over="ignore"):  # what overflows is cut to the ceiling
        scaled = (voxels.astype(np.float32) - np.float32(dark)) / np.float32(bright - dark)
    np.clip(scaled, 0, CEILING, out=scaled)
    np.sqrt(scaled, out=scaled)
    return scaled
