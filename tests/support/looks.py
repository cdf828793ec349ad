"""The faults of microscopes and of programs before this one, put on a good stack.

Every function takes a stack (Z, Y, X) of dark ground and bright neurites, and gives one of the same
shape in which the neurites lie at the same places.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Stack = NDArray[Any]


def _like(stack: Stack, values: NDArray[Any]) -> Stack:
    """Values of the stack's type; what its range does not hold is cut off."""
    high = np.iinfo(stack.dtype).max if stack.dtype.kind in "iu" else np.inf
    return np.clip(np.round(values), 0, high).astype(stack.dtype)


def drifted(stack: Stack, seed: int = 2, fill: float = 0) -> Stack:
    """Slices that were aligned: a border of `fill`, whose width wanders with z."""
    walk = np.cumsum(np.random.default_rng(seed).normal(0, 1.2, (len(stack), 2)), 0)
    out = stack.copy()
    for plane, (dy, dx) in zip(out, np.round(walk - walk.mean(0)).astype(int), strict=True):
        plane[: max(dy, 0)] = plane[len(plane) + min(dy, 0) :] = fill
        plane[:, : max(dx, 0)] = plane[:, plane.shape[1] + min(dx, 0) :] = fill
    return out


def rotated(stack: Stack, degrees: float = 20, fill: float = 0) -> Stack:
    """The corners that a rotation about z leaves without an image."""
    _, height, width = stack.shape
    y, x = np.mgrid[:height, :width] - np.array([height - 1, width - 1])[:, None, None] / 2
    angle = np.deg2rad(degrees)
    v, u = np.cos(angle) * y - np.sin(angle) * x, np.sin(angle) * y + np.cos(angle) * x
    outside = (abs(v) > height / 2 - 2) | (abs(u) > width / 2 - 2)
    return np.where(outside, np.asarray(fill, stack.dtype), stack)


def cleared_outside(stack: Stack, fill: float = 0) -> Stack:
    """An ellipse that stays, and `fill` outside of it."""
    y, x = (np.linspace(-1, 1, n) for n in stack.shape[1:])
    return np.where(y[:, None] ** 2 + x**2 > 0.95, np.asarray(fill, stack.dtype), stack)


def mosaic(stack: Stack, seed: int = 0, fill: float = 0) -> Stack:
    """Two tiles beside each other, one of which lies further down: two corners have no image."""
    out = stack.copy()
    shift = int(np.random.default_rng(seed).integers(8, 20))
    half = stack.shape[2] // 2
    out[:, :shift, half:] = fill
    out[:, -shift:, :half] = fill
    return out


def striped(stack: Stack, seed: int = 0, strength: float = 12, along: str = "x") -> Stack:
    """Lines of equal offset in every slice."""
    depth, height, width = stack.shape
    shape = (depth, height, 1) if along == "x" else (depth, 1, width)
    return _like(stack, stack + np.random.default_rng(seed).normal(0, strength, shape))


def bleached(stack: Stack, length: float = 40, reverse: bool = False) -> Stack:
    """Light that fades exponentially with depth, over the ground of a camera, in 16 bits."""
    z = np.arange(len(stack))[:: -1 if reverse else 1, None, None]
    ground = float(np.median(stack))
    light = 100 + (stack.astype(float) - ground) * np.exp(-z / length) * 16
    return np.clip(np.round(light), 0, 65535).astype(np.uint16)


def faded(stack: Stack, length: float = 40, reverse: bool = False) -> Stack:
    """Contrast and ground that fade together, to a ground of a few counts, in 16 bits."""
    z = np.arange(len(stack))[:: -1 if reverse else 1, None, None]
    light = stack.astype(float) * np.exp(-z / length) * 16 + 20
    noise = np.random.default_rng(3).normal(0, 2, stack.shape)
    return np.clip(np.round(light + noise), 0, 65535).astype(np.uint16)


def blank(stack: Stack, slices: tuple[int, ...], fill: float = 0) -> Stack:
    """Slices that were not recorded."""
    out = stack.copy()
    out[list(slices)] = fill
    return out


def overexposed(stack: Stack, slices: tuple[int, ...]) -> Stack:
    """Slices recorded with far too much light."""
    out = stack.astype(float)
    out[list(slices)] = out[list(slices)] * 12 + 40
    return _like(stack, out)


def flickering(stack: Stack, seed: int = 0) -> Stack:
    """A lamp whose light differs from slice to slice."""
    light = np.exp(np.random.default_rng(seed).normal(0, 0.4, (len(stack), 1, 1)))
    return _like(stack, stack * light)


def offset_slices(stack: Stack, strength: float, seed: int = 1) -> Stack:
    """A ground that differs from slice to slice, in 16 bits."""
    offset = np.random.default_rng(seed).normal(0, strength, (len(stack), 1, 1))
    return np.clip(np.round(stack + 5 * strength + offset), 0, 65535).astype(np.uint16)


def half_bright(stack: Stack, step: float = 60, degrees: float = 0, seed: int = 0) -> Stack:
    """The sharp edge of a tissue that is brighter by `step` on one side."""
    _, height, width = stack.shape
    y, x = np.mgrid[:height, :width]
    angle = np.deg2rad(degrees)
    inside = np.cos(angle) * (x - width * 0.4) + np.sin(angle) * (y - height * 0.4) > 0
    extra = ndimage.gaussian_filter(inside * step, 0.7)
    light = np.random.default_rng(seed).poisson(np.broadcast_to(extra, stack.shape))
    return _like(stack, stack + light)


def inverted(stack: Stack, vignette: float = 0.0) -> Stack:
    """Dark neurites on a bright ground, which fades towards the corners by a share."""
    y, x = (np.linspace(-1, 1, n) for n in stack.shape[1:])
    light = 1 - vignette * (y[:, None] ** 2 + x**2) / 2
    return _like(stack, (255.0 - stack) * light)


def vignetted(stack: Stack, share: float = 0.7) -> Stack:
    """Light that falls towards the corners by a share."""
    y, x = (np.linspace(-1, 1, n) for n in stack.shape[1:])
    return _like(stack, stack * (1 - share * (y[:, None] ** 2 + x**2) / 2))


def saturated(stack: Stack, gain: float = 4) -> Stack:
    """A detector that was too sensitive: the brighter neurites are cut off."""
    return _like(stack, stack * gain)


def padded(stack: Stack, width: int = 12, fill: float = 0) -> Stack:
    """A border of constant width and value."""
    out = np.full_like(stack, fill)
    inner = np.s_[:, width:-width, width:-width]
    out[inner] = stack[inner]
    return out
