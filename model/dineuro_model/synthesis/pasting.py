"""Rendered neurites in a real background: real noise and clutter with a known truth.

The light of rendered neurites is added to a stack that nobody has traced, and has the photon noise
that the stack itself shows. What the stack contains of its own is no truth: where the classical
enhancer sees something in the untouched stack, the labels are unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.trees.tree import Tree
from dineuro_model.enhancers.classical import enhance
from dineuro_model.synthesis.rendering import RenderSettings, neurite_mask, shine
from dineuro_model.windows import Shape

#: Probability of the classical enhancer from which the stack may contain a neurite of its own, and
#: the voxels around it that are unknown as well.
_DOUBTFUL, _AROUND = 64, 2


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """A stack without a reference.

    Attributes:
        voxels: (Z, Y, X), the samples.
        unknown: (Z, Y, X) bool, where it may contain neurites of its own.
    """

    voxels: NDArray[Any]
    unknown: NDArray[np.bool_]

    @classmethod
    def of(cls, voxels: NDArray[Any]) -> Self:
        """A stack (Z, Y, X), whose own structures are looked for."""
        return cls(
            voxels, ndimage.binary_dilation(enhance(voxels) >= _DOUBTFUL, iterations=_AROUND)
        )

    def part(self, most: Shape, rng: np.random.Generator) -> Background:
        """A random part of at most the shape (Z, Y, X), mirrored at random."""
        places = []
        for n, length in zip(self.voxels.shape, most, strict=True):
            start = int(rng.integers(0, max(n - length, 0) + 1))
            places.append(slice(start, start + length))
        step = tuple(slice(None, None, int(rng.choice((-1, 1)))) for _ in range(3))
        where = tuple(places)
        return Background(self.voxels[where][step], self.unknown[where][step])


@dataclass(frozen=True, slots=True, eq=False)
class Pasting:
    """A background with rendered neurites.

    Attributes:
        voxels: (Z, Y, X), in the type of the background.
        neurites: (Z, Y, X) bool, the voxels within the radii of the rendered trees.
        unknown: (Z, Y, X) bool, what the background may contain of its own, without the neurites.
    """

    voxels: NDArray[Any]
    neurites: NDArray[np.bool_]
    unknown: NDArray[np.bool_]


def paste(
    tree: Tree,
    background: Background,
    rng: np.random.Generator,
    settings: RenderSettings,
    others: Sequence[Tree] = (),
) -> Pasting:
    """Add rendered neurites to a background.

    Args:
        tree: in voxels of the background; its centre lines define the contrast.
        background: the stack.
        rng: the only source of randomness.
        settings: the contrast is in units of the background's noise; photons, read noise,
            unevenness, haze, puncta and masks are those of the background.
        others: trees of other neurons; they are neurites as well.

    Raises:
        BadParameter: no node of the tree lies in the background.
    """
    stack = background.voxels.astype(np.float32)
    depth, height, width = stack.shape
    shape = (depth, height, width)
    light = shine([tree, *others], shape, settings, rng)
    if not light.any():
        raise BadParameter("pasting: the tree has no node in the background")
    neurites = np.logical_or.reduce([neurite_mask(each, shape) for each in (tree, *others)])
    noise, gain = _noise(stack)
    light *= settings.contrast * noise
    stack += light + np.sqrt(gain * light) * rng.standard_normal(shape, dtype=np.float32)
    if background.voxels.dtype.kind in "ui":
        limits = np.iinfo(background.voxels.dtype)
        stack = np.clip(np.rint(stack), limits.min, min(limits.max, 2**24))
    voxels = stack.astype(background.voxels.dtype)
    return Pasting(voxels, neurites, background.unknown & ~neurites)


def _noise(stack: NDArray[np.float32]) -> tuple[float, float]:
    """The standard deviation of the noise of single voxels, and its variance per light.

    The differences of neighbours contain noise and hardly any structure.
    """
    noise = float(np.median(np.abs(np.diff(stack, axis=2)))) * 1.4826 / 2**0.5
    noise = max(noise, 1e-3 * float(np.ptp(stack)), 1e-6)
    above = float(np.median(stack)) - float(np.percentile(stack, 0.1))
    return noise, noise**2 / max(above, noise)
