"""Neurites that are darker than their ground, as in the bright field.

They take away a share of the light. Where the light falls towards the corners, a dark neurite is
therefore the more visible the brighter its surroundings. The inversion divides by that light.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

#: In a stack of dark neurites, dark voxels differ from the usual intensity so much more than
#: bright ones.
_DARKER = 2.5
#: Voxels that are looked at, where not all are: at first, and on a ground that may be bright.
_GLANCE, _SAMPLE = 250_000, 1_000_000
#: Edge of the blocks whose median is their ground, in voxels.
_BLOCK = 16
#: Degree of the polynomial that describes the light's fall over a slice, and the step between the
#: voxels that it is fitted to.
_DEGREE, _STEP = 4, 4
#: Slices whose median is the light.
_SLICES = 64


def is_dark_on_bright(stack: NDArray[Any], unknown: Mask | None = None) -> bool:
    """Whether extreme voxels are darker, and not brighter, than the usual intensity.

    The same is asked of the deviation from each block's median, because a bright ground that
    fades towards the border hides what stands out of it.

    Args:
        stack: (Z, Y, X), any real type, finite.
        unknown: (Z, Y, X), the voxels that do not count.
    """
    flat = stack.reshape(-1) if unknown is None else stack[~unknown]
    if flat.size == 0:
        return False
    # An odd step seldom divides the length of an axis, so that the samples form no columns.
    sample = flat[:: (flat.size // _GLANCE) | 1].astype(np.float32)
    dark, low, usual, bright = np.percentile(sample, [0.02, 1, 50, 99.98]).tolist()
    if usual - dark > _DARKER * (bright - usual):
        return True
    if usual - low < bright - usual and usual < (dark + bright) / 2:
        return False  # a dark ground cannot be inverted
    dark, bright = np.percentile(_deviations(stack, unknown), [0.02, 99.98])
    return bool(-dark > _DARKER * bright)


def inverted(stack: NDArray[Any], unknown: Mask | None = None) -> NDArray[np.float32]:
    """The stack (Z, Y, X) with bright and dark exchanged, and without the fall of the light.

    Args:
        stack: any real type, finite.
        unknown: (Z, Y, X), the voxels that do not count.

    Returns:
        (Z, Y, X) float32; 0 is the brightest voxel.
    """
    values = stack.astype(np.float32)
    low = values.min() if unknown is None else values[~unknown].min()
    if low >= 0:
        values /= _light(values, unknown)
    high = values.max() if unknown is None else values[~unknown].max()
    return np.asarray(np.maximum(high - values, 0))


def _light(stack: NDArray[np.float32], unknown: Mask | None) -> NDArray[np.float32]:
    """(Y, X) the light of a slice with a mean of 1: a polynomial through the slices' median."""
    step = max(1, len(stack) // _SLICES)
    part = stack[::step, ::_STEP, ::_STEP]
    if unknown is not None:
        part = np.where(unknown[::step, ::_STEP, ::_STEP], np.float32(np.nan), part)
    known = np.isfinite(part).any(axis=0)
    median = np.nanmedian(part[:, known], axis=0)
    height, width = stack.shape[1:]
    terms = _terms(height, width)
    chosen = terms[::_STEP, ::_STEP][known]
    keep = median > 0
    if np.count_nonzero(keep) < 4 * terms.shape[-1]:
        return np.ones((height, width), dtype=np.float32)
    factors = np.linalg.lstsq(chosen[keep], np.log(median[keep]), rcond=None)[0]
    light = np.exp(terms @ factors)
    return np.asarray(light / light.mean(), dtype=np.float32)


def _terms(height: int, width: int) -> NDArray[np.float64]:
    """(Y, X, terms) the products of powers of y and x, both from -1 to 1, up to the degree."""
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    powers = [(i, j) for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i)]
    return np.stack([y**i * x**j for i, j in powers], axis=-1)


def _deviations(stack: NDArray[Any], unknown: Mask | None) -> NDArray[np.float64]:
    """Differences (N,) from the median of each block, in some of the slices."""
    _, height, width = stack.shape
    rows, columns = height // _BLOCK, width // _BLOCK
    if not rows or not columns:
        return np.zeros(1)
    part = np.s_[:: 1 + stack.size // _SAMPLE, : rows * _BLOCK, : columns * _BLOCK]
    blocks = _blocks(stack[part].astype(np.float64))
    deviations = blocks - np.median(blocks, axis=1, keepdims=True)
    if unknown is not None:
        deviations = deviations[~_blocks(unknown[part]).any(axis=1)]
    return deviations.ravel() if deviations.size else np.zeros(1)


def _blocks(part: NDArray[Any]) -> NDArray[Any]:
    """(N, voxels): the square blocks of slices (Z, Y, X) whose edges are multiples of a block's."""
    depth, height, width = part.shape
    blocks = part.reshape(depth, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).swapaxes(2, 3)
    return np.asarray(blocks.reshape(-1, _BLOCK * _BLOCK))
