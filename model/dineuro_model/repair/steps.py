"""Sharp steps of the ground, as at the edge of a tissue: a stack with steps loses its ground.

The ground is the stack less the height of its lines. Unlike a smooth background, it has the steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dineuro_model.repair.lines import height_of_lines

#: Edge of the blocks whose medians are compared first, and the steps between their voxels.
_BLOCK, _STEPS = 16, (2, 4, 4)
#: Blocks beside each other differ at a step by this many standard deviations of the noise, and by
#: this multiple of the differences before and behind.
_JUMP, _ALONE = 2.0, 3.0
#: The least share of such pairs of blocks.
_LEAST_PAIRS = 0.01
#: The ground rises at a step by this many standard deviations, and this share of the bright
#: structures' contrast, within this distance in voxels.
_RISE, _OF_CONTRAST, _WITHIN = 2.5, 0.1, 3
#: The least share of voxels beside steps, and the least share of them that rise to the same side. A
#: large soma has steps to all sides.
_LEAST, _SAME_SIDE = 0.003, 0.75
#: Edge of the blocks whose means are a first, coarse look at the ground; the step between their
#: voxels; and the share of the limits above that this look has to reach.
_COARSE, _SKIP, _EASE = 4, 2, 0.6
#: The quantile of bright structures.
_BRIGHT = 0.999
#: Width of the denoising Gaussian, in voxels.
_SIGMA = 1.0


def without_steps(stack: NDArray[Any], noise: float) -> NDArray[Any]:
    """The stack (Z, Y, X) less its ground where that has sharp steps; else the stack itself.

    Args:
        stack: any real type, finite.
        noise: the standard deviation of the noise, above 0.
    """
    if not _may_have_steps(stack, noise) or not _has_coarse_steps(stack, noise):
        return stack
    smooth = ndimage.gaussian_filter(stack.astype(np.float32), _SIGMA)
    ground = smooth - height_of_lines(smooth, (1.0, 1.0, 1.0))
    if not _has_steps(ground, _least_rise(smooth[::2, ::2, ::2], noise), _WITHIN):
        return stack
    level = np.float32(np.median(ground[::4, ::7, ::7]))
    return np.asarray(stack.astype(np.float32) - ground + level)


def _may_have_steps(stack: NDArray[Any], noise: float) -> bool:
    """Whether the medians of blocks jump where those before and behind do not."""
    medians = np.median(_blocks(stack, _BLOCK, _STEPS), axis=-1)
    jumps = pairs = 0
    for axis in range(3):
        rise = np.abs(np.diff(medians, axis=axis))
        pairs += rise.size
        if rise.shape[axis] < 3:
            continue
        width = [(2, 2) if a == axis else (0, 0) for a in range(3)]
        beside = np.moveaxis(np.pad(rise, width), axis, 0)
        others = np.moveaxis(np.maximum(beside[:-4], beside[4:]), 0, axis)
        is_jump = (rise > _JUMP * noise) & (rise > _ALONE * others)
        jumps += int(np.count_nonzero(is_jump))
    return jumps >= _LEAST_PAIRS * max(pairs, 1)


def _has_coarse_steps(stack: NDArray[Any], noise: float) -> bool:
    """Whether the ground of means of blocks has steps, or nearly."""
    means = _blocks(stack, _COARSE, (_SKIP, _SKIP, _SKIP)).mean(axis=-1, dtype=np.float32)
    depth, height, width = (float(min(_COARSE, n)) for n in stack.shape)
    ground = means - height_of_lines(means, (depth, height, width))
    return _has_steps(ground, _EASE * _least_rise(means, noise), 1, _EASE)


def _blocks(stack: NDArray[Any], edge: int, steps: tuple[int, int, int]) -> NDArray[Any]:
    """(Z, Y, X, voxels) some voxels of the cubes with this edge; thinner ones in a thin stack."""
    count = [max(1, n // edge) for n in stack.shape]
    edges = [min(edge, n) for n in stack.shape]
    part = stack[: count[0] * edges[0], : count[1] * edges[1], : count[2] * edges[2]]
    split = part.reshape(count[0], edges[0], count[1], edges[1], count[2], edges[2])
    chosen = split[:, :: steps[0], :, :: steps[1], :, :: steps[2]]
    return np.asarray(chosen.transpose(0, 2, 4, 1, 3, 5).reshape(*count, -1))


def _least_rise(values: NDArray[np.float32], noise: float) -> float:
    """The least rise of the ground at a step, in a denoised stack (Z, Y, X)."""
    contrast = float(np.quantile(values, _BRIGHT) - np.median(values))
    return max(_RISE * noise, _OF_CONTRAST * contrast)


def _has_steps(ground: NDArray[np.float32], least: float, within: int, ease: float = 1.0) -> bool:
    """Whether the ground (Z, Y, X) rises by `least` beside enough of its voxels, to one side.

    Args:
        ground: the ground.
        least: the least rise.
        within: half of the distance that it is measured over, in voxels.
        ease: the share of the usual limits of the voxels' count.
    """
    for axis in (1, 2):
        along = np.moveaxis(ground, axis, 0)
        if len(along) <= 2 * within:
            continue
        rise = along[2 * within :] - along[: -2 * within]
        up, down = np.count_nonzero(rise > least), np.count_nonzero(rise < -least)
        if max(up, down) > ease * max(_LEAST * rise.size, _SAME_SIDE * (up + down)):
            return True
    return False
