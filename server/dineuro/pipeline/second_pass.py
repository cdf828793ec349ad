"""The second pass, after SmartTracing: the stack judged again by what the first tracing is sure of.

The voxels of certain segments and places that are surely empty teach a light classifier
(`dineuro_model.enhancers.selftraining`). Its odds and those of the first pass are averaged
(geometrically); what was certain stays. What comes of it is traced again like any probability.

It is made in noise alone, where the first pass is unsure of much of its tree: elsewhere it makes
trees worse. From where on it helps was measured on the tuning stacks; `benchmarks.passes` says how
much.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dineuro.pipeline.enhancement import Enhancement, with_agreement
from dineuro_bridge.errors import BadParameter
from dineuro_bridge.progress import Progress, ProgressCallback, silent
from dineuro_bridge.scale import CUBES, VoxelScale
from dineuro_bridge.trees.tree import Tree
from dineuro_model.enhancers.selftraining import reclassify
from dineuro_model.intensity import intensity_range
from dineuro_tracing.confidence import CERTAIN, Segments
from dineuro_tracing.sampling import sample_links
from dineuro_tracing.trace import Trace


@dataclass(frozen=True, slots=True)
class _Noise:
    """What has to be so for a second pass.

    Attributes:
        unsure: the certain share of the first tree's length is below this.
        clear: single voxels of its certain neurites stand out of the noise by less than this many
            standard deviations.
        growth: the second tree has at least so many times the first one's length.
    """

    unsure: float
    clear: float
    growth: float


#: By enhancer, set on the tuning stacks. Rose's criterion says that 5 are needed to tell a voxel
#: from noise; in the same stack the classical enhancer is sure of brighter neurites alone, and
#: where a second pass adds little to them, they were all. What is traced as it was given is not
#: judged again.
_NOISE = {"dineuro": _Noise(0.7, 5.0, 0.0), "classical": _Noise(0.95, 7.5, 1.2)}
#: A second tree of which so much less is expected to be right has found haze.
_LESS = 0.08
#: At most so many examples of each kind; with fewer than the least there is nothing to learn from.
_MOST_NEURITE, _MOST_EMPTY, _LEAST = 15_000, 30_000, 200
#: So many places are drawn in search of empty ones.
_DRAWN = 2_000_000
#: An empty place has at most this share of the threshold, and so have those so many voxels beside.
_EMPTY_SHARE, _BESIDE = 0.2, 2
#: Finest voxels beyond a neurite's radius: up to the one a voxel is a part of it, beyond the other
#: it lies clear of it.
_BELONGS, _CLEAR = 1.0, 4.0
#: Odds are not taken to be surer than this.
_SUREST = 0.998


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """An enhanced stack and what was traced in it.

    Attributes:
        enhancement: the probability and its enhancer.
        trace: after branches were taken off.
        segments: of the trace's tree.
        number: 1, or 2 where the probability is that of a second look.
    """

    enhancement: Enhancement
    trace: Trace
    segments: Segments
    number: int = 1

    @property
    def length(self) -> float:
        """Of the tree, in finest voxels."""
        return float(self.segments.length.sum())

    @property
    def likely(self) -> float:
        """The share of the tree's length that is expected to be right."""
        right = float(self.segments.length @ self.segments.confidence)
        return right / max(self.length, 1e-9)


def with_second_pass(
    first: Pass,
    intensity: NDArray[Any],
    trace_in: Callable[[Enhancement], Pass],
    *,
    threshold: int,
    scale: VoxelScale = CUBES,
    progress: ProgressCallback = silent,
) -> Pass:
    """A second pass, or the first one where a second is of no use.

    Args:
        first: the first pass, its tree in voxels of the volume.
        intensity: (Z, Y, X), the image itself.
        trace_in: what traces a probability.
        threshold: from which probability on a voxel is in the mask.
        scale: of the voxels.
        progress: may raise `Cancelled`.
    """
    enhancement = first.enhancement
    noise = _NOISE.get(enhancement.enhancer)
    if noise is None or first.segments.certain_share() >= noise.unsure:
        return first
    known = examples(
        intensity, enhancement.probability, first.trace.tree, first.segments, threshold, scale
    )
    if known is None or known.clearness(intensity) >= noise.clear:
        return first
    progress(Progress("enhance", 0, 1))
    probability = probability_again(intensity, enhancement.probability, known, scale, progress)
    again = with_agreement(
        intensity, probability, threshold, enhancement.enhancer, enhancement.model
    )
    again = replace(again, sureness=enhancement.sureness, warning=enhancement.warning)
    try:
        second = replace(trace_in(again), number=2)
    except BadParameter:  # the root that was given lies far from all that is left
        return first
    grown = second.length >= noise.growth * first.length
    return second if grown and second.likely >= first.likely - _LESS else first


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """What a first tracing teaches, as voxels z, y, x.

    Attributes:
        neurite: (N, 3), all in the mask along certain segments.
        empty: (M, 3), some that are surely empty.
    """

    neurite: NDArray[np.int64]
    empty: NDArray[np.int64]

    def clearness(self, intensity: NDArray[Any]) -> float:
        """By how many standard deviations of the noise the neurites' median stands out."""
        last = intensity.shape[2] - 1
        ground, beside = (
            intensity[tuple(at.T)].astype(np.float64)
            for at in (
                self.empty,
                np.minimum(self.empty + np.array([0, 0, 1]), [2**62, 2**62, last]),
            )
        )
        # What lies beside each other shares its background; a deviation that few values can move.
        noise = 1.4826 * float(np.median(np.abs(beside - ground))) / math.sqrt(2)
        bright = intensity[tuple(self.neurite.T)].astype(np.float64)
        return float(np.median(bright) - np.median(ground)) / noise if noise else math.inf


@dataclass(frozen=True, slots=True, eq=False)
class _Beside:
    """Voxels (N, 3) as seen from a tree.

    Attributes:
        away: (N,) finest voxels beyond the radius of the nearest neurite.
        certain: (N,) bool, whether that one is certain.
    """

    away: NDArray[np.float64]
    certain: NDArray[np.bool_]


def examples(
    intensity: NDArray[Any],
    probability: NDArray[np.uint8],
    tree: Tree,
    segments: Segments,
    threshold: int,
    scale: VoxelScale = CUBES,
) -> Examples | None:
    """What a first pass teaches, or None where it is sure of too little.

    Args:
        intensity: (Z, Y, X), the image itself.
        probability: (Z, Y, X) uint8, of the first pass.
        tree: of the first pass, in voxels of the volume, radii in finest voxels.
        segments: the tree's.
        threshold: from which probability on a voxel is in the mask.
        scale: of the voxels.
    """
    if len(segments) == 0:
        return None
    mask = np.argwhere(probability >= threshold)
    seen = _seen(mask, tree, segments, scale)
    neurite = mask[seen.certain & (seen.away <= _BELONGS)]
    empty = _empty(intensity, probability, max(1, int(threshold * _EMPTY_SHARE)))
    empty = empty[_seen(empty, tree, segments, scale).away > _CLEAR]
    return None if min(len(neurite), len(empty)) < _LEAST else Examples(neurite, empty)


def probability_again(
    intensity: NDArray[Any],
    probability: NDArray[np.uint8],
    known: Examples,
    scale: VoxelScale = CUBES,
    progress: ProgressCallback = silent,
) -> NDArray[np.uint8]:
    """The probability of a second look, (Z, Y, X) uint8; arguments as of `examples`."""
    rng = np.random.default_rng(0)
    neurite, empty = _some(known.neurite, _MOST_NEURITE, rng), _some(known.empty, _MOST_EMPTY, rng)
    by_itself = reclassify(intensity, neurite, empty, scale.edges, progress)
    together = _mean_odds(probability, by_itself)
    at = tuple(known.neurite.T)
    together[at] = np.maximum(together[at], probability[at])
    return together


def _seen(voxels: NDArray[np.int64], tree: Tree, segments: Segments, scale: VoxelScale) -> _Beside:
    """How voxels (N, 3) lie to the tree."""
    samples = sample_links(replace(tree, xyz=scale.finest_xyz(tree.xyz)))
    places = scale.finest_zyx(voxels)[:, ::-1]
    away, nearest = KDTree(samples.places).query(places, workers=-1)
    certain = segments.confidence[segments.of_node[samples.node]] >= CERTAIN
    return _Beside(away - samples.radius[nearest], certain[nearest])


def _empty(intensity: NDArray[Any], probability: NDArray[np.uint8], most: int) -> NDArray[np.int64]:
    """(N, 3) places of at most this probability, drawn at random; none that are masked out."""
    rng = np.random.default_rng(0)
    dark, _ = intensity_range(intensity)
    drawn = np.unique(rng.integers(0, intensity.size, min(_DRAWN, 2 * intensity.size)))
    places = np.column_stack(np.unravel_index(drawn, intensity.shape))
    places = places[intensity[tuple(places.T)] > dark]
    last = np.array(intensity.shape) - 1
    is_empty = probability[tuple(places.T)] <= most
    for step in np.concatenate([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)]):
        beside = np.clip(places + _BESIDE * step, 0, last)
        is_empty &= probability[tuple(beside.T)] <= most
    return _some(places[is_empty], 10 * _MOST_EMPTY, rng)


def _some(places: NDArray[np.int64], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """At most so many of the places."""
    return places if len(places) <= most else rng.permutation(places)[:most]


def _mean_odds(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The geometric mean of the odds, slice by slice: by a table, as both have 256 values."""
    chance = np.clip(np.arange(256) / 255, 1 - _SUREST, _SUREST)
    odds = np.log(chance / (1 - chance)) / 2
    table = np.rint(255 / (1 + np.exp(-(odds[:, None] + odds)))).astype(np.uint8)
    result = np.empty_like(first)
    for a, b, mean in zip(first, second, result, strict=True):
        mean[...] = table[a, b]
    return result
