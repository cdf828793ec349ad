"""A volume that is small enough for a browser: at most 256 voxels along an axis.

The file is little-endian. It begins with the four bytes `DNV1` and nine int32: shape, step and
origin, each as z, y, x. Then comes one byte a voxel, with x running fastest. The upper seven bits
are the brightness and the lowest bit is the mask. Voxel i of the view stands for the `step` voxels
of the volume from `origin + i * step` on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.files import atomic_output

MAGIC = b"DNV1"
#: The most voxels along an axis.
LONGEST = 256
#: Percentiles of the intensity: the background, one standard deviation above it, and white.
_BACKGROUND, _DEVIATION, _WHITE = 50.0, 84.0, 99.95
#: The level of black, in standard deviations above the background. It is above 0 because a
#: projection shows the highest noise along each ray.
_BLACK = 2.0


def write_view(
    path: Path, intensity: NDArray[Any], mask: NDArray[np.uint8], origin: tuple[int, int, int]
) -> None:
    """Write a view, whole or not at all.

    Args:
        path: the file.
        intensity: (Z, Y, X) of a region, any real dtype.
        mask: (Z, Y, X) uint8 of the same region, 0 and 255.
        origin: (z, y, x) of the region in the volume, in voxels.

    Raises:
        FileAccess: the place cannot be written to.
    """
    step = tuple(-(-n // LONGEST) for n in intensity.shape)
    # The brightest voxel stands for its block: a mean would lose thin neurites.
    view = _bright(block_max(intensity, step)) & 0xFE | (block_max(mask, step) >> 7)
    header = np.array([*view.shape, *step, *origin], dtype="<i4")
    with atomic_output(path) as temporary, temporary.open("wb") as file:
        file.write(MAGIC + header.tobytes())
        file.write(np.ascontiguousarray(view).data)


def block_max(volume: NDArray[Any], step: tuple[int, ...]) -> NDArray[Any]:
    """The maximum of each block of voxels; the last blocks of an axis may be smaller.

    The maximum of shifted views, axis by axis, is many times as fast as `np.maximum.reduceat`.

    Args:
        volume: (Z, Y, X).
        step: the size of a block, (z, y, x) in voxels.
    """
    for axis, width in enumerate(step):
        if width > 1:
            before = (slice(None),) * axis
            shifted = [volume[(*before, slice(shift, None, width))] for shift in range(width)]
            highest = shifted[0].copy()
            for other in shifted[1:]:
                part = highest[(*before, slice(other.shape[axis]))]
                np.maximum(part, other, out=part)
            volume = highest
    return volume


def _bright(volume: NDArray[Any]) -> NDArray[np.uint8]:
    """The brightness as 8 bits, scaled by percentiles of the intensity.

    The square root makes dim neurites visible.
    """
    sample = volume.reshape(-1)[:: max(1, volume.size // 2**20)]
    background, deviation, high = np.percentile(sample, [_BACKGROUND, _DEVIATION, _WHITE])
    low = background + _BLACK * (deviation - background)
    if high <= low:
        low, high = float(sample.min()), max(float(volume.max()), float(sample.min()) + 1)
    if volume.dtype == np.uint8:
        table = np.sqrt(np.clip((np.arange(256.0) - low) / (high - low), 0, 1)) * 255
        return np.asarray(table.astype(np.uint8)[volume])
    scaled = np.clip((volume.astype(np.float32) - low) / (high - low), 0, 1)
    return np.asarray(np.sqrt(scaled) * 255, dtype=np.uint8)
