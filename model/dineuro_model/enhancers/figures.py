"""The figures of a whole volume, by which the classical enhancer judges any part of it.

A volume in memory is its own only part. Of a larger one each part yields tallies; their sums give
the figures, see `parts`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from dineuro_model.enhancers.blocks import PER_DEVIATION, Size

#: Bits of a float32 that a tally drops: values are told apart to a share of 1/2048.
_DROPPED_BITS = 12
#: The number of steps between the least and the greatest ridge at which the threshold may lie.
_OTSU_STEPS = 256
#: The threshold is at most this share of the neurites' mean contrast.
_CAP = 0.3
#: The local threshold is at least this share of the stack's threshold.
_LOCAL_LEAST = 0.5
#: The ridges just below the threshold are clutter if the next octave of contrast below them has so
#: many times as many. On the tuning stacks neurites have at most 1.3, noise and clutter 2 or more.
_CLUTTER = 1.7


@dataclass(frozen=True, slots=True)
class Figures:
    """What a part of a volume needs to know of the whole; contrasts are normalised.

    Attributes:
        size: (Z, Y, X) of the volume.
        low, span: intensities from `low` to `low + span` become 0 to 1.
        darkest, brightest: of the denoised volume.
        middle: the median of the denoised volume in the rows and columns of bodies.
        noise: standard deviation of the denoised background.
        threshold: the contrast between noise and neurites; infinite without neurites.
        least: the least local threshold.
        bright: mean contrast of the neurites' ridges; 0 without neurites.
    """

    size: Size
    low: float
    span: float
    darkest: float
    brightest: float
    middle: float
    noise: float
    threshold: float
    least: float
    bright: float


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """How often values occur, (N,) each, the values in ascending order; tallies can be added.

    Values are cut to 12 bits, so that a tally of a billion values stays small.
    """

    values: NDArray[np.float32]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, values: NDArray[Any]) -> Self:
        """The tally of finite numbers of any shape."""
        bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).reshape(-1)
        counts = np.bincount(bits >> _DROPPED_BITS)
        return cls._ordered(np.flatnonzero(counts), counts[counts > 0])

    @classmethod
    def _ordered(cls, keys: NDArray[np.int64], counts: NDArray[np.int64]) -> Self:
        middle = np.uint32(1 << (_DROPPED_BITS - 1))
        bits = (keys.astype(np.uint32) << np.uint32(_DROPPED_BITS)) | middle
        values = np.where(keys % 2**19 == 0, np.float32(0), bits.view(np.float32))
        order = np.argsort(values, kind="stable")
        return cls(values[order], counts[order].astype(np.int64))

    @classmethod
    def sum(cls, tallies: Iterable[Tally]) -> Self:
        """The tally of all values of several."""
        total = np.zeros(2 ** (32 - _DROPPED_BITS), dtype=np.int64)
        for each in tallies:
            keys = each.values.view(np.uint32) >> np.uint32(_DROPPED_BITS)
            np.add.at(total, keys, each.counts)
        return cls._ordered(np.flatnonzero(total), total[total > 0])

    def quantile(self, share: float) -> float:
        """The value below which the share of all values lies; 0 for an empty tally."""
        if len(self.values) == 0:
            return 0.0
        upto = np.cumsum(self.counts)
        return float(self.values[np.searchsorted(upto, share * upto[-1])])

    def deviation(self) -> float:
        """The standard deviation of a normal distribution with the same median deviation."""
        away = np.abs(self.values - np.float32(self.quantile(0.5)))
        order = np.argsort(away, kind="stable")
        return PER_DEVIATION * Tally(away[order], self.counts[order]).quantile(0.5)


@dataclass(frozen=True, slots=True)
class Ridges:
    """What the contrasts of all ridge points say.

    Attributes:
        threshold: between ridges of noise and ridges of neurites; infinite without ridges.
        least: the least local threshold.
        bright: mean contrast of the neurites' ridges; 0 without neurites.
    """

    threshold: float
    least: float
    bright: float

    @classmethod
    def of(cls, contrast: NDArray[np.float32]) -> Self:
        """The ridges (N,) of a volume in memory."""
        if len(contrast) == 0:
            return cls(math.inf, math.inf, 0.0)
        between = float(threshold_otsu(np.sqrt(contrast))) ** 2
        # Without noise all ridges are neurites: the threshold must not remove their dimmer half.
        threshold = min(between, _CAP * float(contrast[contrast >= between].mean()))
        octaves = np.searchsorted(np.sort(contrast), _octaves(threshold))
        bright = contrast[contrast >= threshold]
        mean = float(bright.mean()) if len(bright) else 0.0
        return cls(threshold, _least(threshold, octaves), mean)

    @classmethod
    def of_tally(cls, tally: Tally) -> Self:
        """The ridges of a volume of which the parts were tallied."""
        contrast, counts = tally.values.astype(np.float64), tally.counts
        if len(contrast) == 0:
            return cls(math.inf, math.inf, 0.0)
        steps, edges = np.histogram(np.sqrt(contrast), _OTSU_STEPS, weights=counts)
        centres = (edges[:-1] + edges[1:]) / 2
        between = float(threshold_otsu(hist=(steps, centres))) ** 2 if len(counts) > 1 else 0.0

        def mean_from(least: float) -> float:
            above = contrast >= least
            return float(contrast[above] @ counts[above] / max(counts[above].sum(), 1))

        threshold = min(between, _CAP * mean_from(between))
        upto = np.concatenate([[0], np.cumsum(counts)])
        octaves = upto[np.searchsorted(contrast, _octaves(threshold))]
        return cls(threshold, _least(threshold, octaves), mean_from(threshold))


def _octaves(threshold: float) -> NDArray[np.float64]:
    """The bounds of the two octaves below the threshold."""
    return np.array([0.25, 0.5, 1.0]) * threshold


def _least(threshold: float, numbers: NDArray[np.int64]) -> float:
    """The least local threshold, from the numbers of ridges below the bounds of two octaves.

    Dim neurites are few. Where the number of ridges rises steeply as their contrast falls, the dim
    ones are noise or clutter, and the threshold of the stack holds everywhere.
    """
    below, beside = np.diff(numbers)
    is_clutter = below > _CLUTTER * beside
    return threshold if is_clutter else _LOCAL_LEAST * threshold
