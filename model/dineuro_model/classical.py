"""x"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu


def to_probability(v: NDArray) -> NDArray[np.uint8]:
    f = v.astype(np.float32)
    t = float(threshold_otsu(v))
    f *= f
    return np.rint(255 * f / (f + t * t + 1e-6)).astype(np.uint8)


def enhance(v: NDArray, scale=(1.0, 1.0, 1.0)) -> NDArray[np.uint8]:
    return to_probability(v)
