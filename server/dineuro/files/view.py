"""A volume small enough to be looked at in a browser: at most 256 voxels along an axis.

File format, little-endian: the four bytes `DNV1`; nine int32: shape, step and origin, each as
z, y, x; then one byte a voxel, x running fastest. Its upper seven bits are the brightness, the
lowest is the mask. Voxel i of the view stands for `step` voxels of the volume from
`origin + i * step` on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.files import atomic_output

MAGIC = b"DNV1"
#: Voxels along an axis at most.
LONGEST = 256
#: Percentiles: the background, about one deviation of its noise above it, and what is white.
_MIDDLE, _ABOVE, _WHITE = 50.0, 84.0, 99.95
#: So many deviations above the background are black: along a ray noise is seen at its highest.
_BLACK = 2.0


def write_view(
    path: Path, intensity: NDArray[Any], mask: NDArray[np.uint8], origin: tuple[int, int, int]
) -> None:
    """Write a view; whole or not at all.

    Args:
        path: of the file.
        intensity: (Z, Y, X), of a region.
        mask: (Z, Y, X) of the same region, 0 and 255.
        origin: z, y, x of the region in the volume.

    Raises:
        FileAccess: the place cannot be written to.
    """
    step = tuple(-(-n // LONGEST) for n in intensity.shape)
    # Of a block the brightest voxel counts: a thin neurite would be lost in a mean.
    view = _bright(_block_max(intensity, step)) & 0xFE | (_block_max(mask, step) >> 7)
    header = np.array([*view.shape, *step, *origin], dtype="<i4")
    with atomic_output(path) as temporary, temporary.open("wb") as file:
        file.write(MAGIC + header.tobytes())
        file.write(np.ascontiguousarray(view).data)


def _block_max(volume: NDArray[Any], step: tuple[int, ...]) -> NDArray[Any]:
    """The highest of each block; those at the far sides may be smaller.

    Axis by axis, by the maximum of shifted views: many times as fast as `reduceat`, which goes from
    group to group.
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
    """As 8 bits, by the spread of the values; dim things are lifted by a square root."""
    sample = volume.reshape(-1)[:: max(1, volume.size // 2**20)]
    middle, above, high = np.percentile(sample, [_MIDDLE, _ABOVE, _WHITE])
    low = middle + _BLACK * (above - middle)
    if high <= low:
        low, high = float(sample.min()), max(float(volume.max()), float(sample.min()) + 1)
    if volume.dtype == np.uint8:
        table = np.sqrt(np.clip((np.arange(256.0) - low) / (high - low), 0, 1)) * 255
        return np.asarray(table.astype(np.uint8)[volume])
    scaled = np.clip((volume.astype(np.float32) - low) / (high - low), 0, 1)
    return np.asarray(np.sqrt(scaled) * 255, dtype=np.uint8)
