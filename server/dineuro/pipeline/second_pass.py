"""The second pass: a classifier trained on the first tracing, and a second tracing.

The method is SmartTracing (Chen et al. 2015, doi 10.1007/s40708-015-0018-y). The voxels of certain
segments and empty voxels train a small classifier (`dineuro_model.enhancers.selftraining`). The
second probability has the geometric mean of the classifier's odds and those of the first pass.
Certain voxels keep at least their first probability. The second probability is then traced.

The second pass runs in noisy stacks alone, where much of the first tree is uncertain. Clear stacks
get worse trees by it. The limits were set on the tuning stacks; `benchmarks.passes` measures the
gain.
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
class _Limits:
    """The conditions of a second pass.

    Attributes:
        certain_share: the certain share of the first tree's length must be below this.
        clearness: the clearness of the examples must be below this; see `Examples.clearness`.
        growth: the least length of the second tree as a multiple of the first tree's length.
    """

    certain_share: float
    clearness: float
    growth: float


#: The limits of each enhancer, set on the tuning stacks; other enhancers have no second pass.
#: Rose's criterion demands a clearness of 5 to distinguish a voxel from noise. The classical
#: enhancer is certain of brighter neurites alone, so its clearness is higher in the same stack.
#: Where its second tree is hardly longer, the stack has no dimmer neurites, and the first stays.
_LIMITS = {"dineuro": _Limits(0.7, 5.0, 0.0), "classical": _Limits(0.95, 7.5, 1.2)}
#: The second tree is refused where its likely share is lower by more than this: it follows haze.
_GREATEST_LOSS = 0.08
#: The most neurite and empty examples, and the least number of either that trains a classifier.
_MOST_NEURITE, _MOST_EMPTY, _LEAST = 15_000, 30_000, 200
#: The number of random voxels among which empty ones are selected.
_CANDIDATES = 2_000_000
#: An empty voxel has at most this share of the threshold. The same holds for its six neighbours
#: at this distance in voxels.
_EMPTY_SHARE, _BESIDE = 0.2, 2
#: Distances beyond a neurite's radius, in finest voxels: a neurite example lies within the first,
#: an empty example lies beyond the second.
_BELONGS, _CLEAR = 1.0, 4.0
#: Probabilities are clipped to this and its complement before their odds are taken.
_SUREST = 0.998
#: The steps to the six neighbours of a voxel.
_NEIGHBOURS = np.concatenate([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)])


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """An enhanced stack and its trace.

    Attributes:
        enhancement: the probability and its enhancer.
        trace: the trace after the removal of unlikely branches.
        segments: the segments of the trace's tree.
        number: 1 for the first pass, 2 for the second.
    """

    enhancement: Enhancement
    trace: Trace
    segments: Segments
    number: int = 1

    @property
    def length(self) -> float:
        """The length of the tree in finest voxels."""
        return float(self.segments.length.sum())

    @property
    def likely(self) -> float:
        """The expected share, 0 to 1, of the tree's length that is right."""
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
    """The second pass, or the first pass where the second has no use.

    Args:
        first: the first pass; its tree is in voxels of the volume.
        intensity: (Z, Y, X), the image.
        trace_in: traces the probability of an enhancement.
        threshold: the least probability of a voxel in the mask.
        scale: the voxel size.
        progress: called between units of work; it may raise `Cancelled`.
    """
    enhancement = first.enhancement
    limits = _LIMITS.get(enhancement.enhancer)
    if limits is None or first.segments.certain_share() >= limits.certain_share:
        return first
    training = examples(
        intensity, enhancement.probability, first.trace.tree, first.segments, threshold, scale
    )
    if training is None or training.clearness(intensity) >= limits.clearness:
        return first
    progress(Progress("enhance", 0, 1))
    probability = probability_again(intensity, enhancement.probability, training, scale, progress)
    second_enhancement = with_agreement(
        intensity, probability, threshold, enhancement.enhancer, enhancement.model
    )
    second_enhancement = replace(
        second_enhancement, sureness=enhancement.sureness, warning=enhancement.warning
    )
    try:
        second = replace(trace_in(second_enhancement), number=2)
    except BadParameter:  # the root of the options lies far from the second mask
        return first
    is_longer = second.length >= limits.growth * first.length
    return second if is_longer and second.likely >= first.likely - _GREATEST_LOSS else first


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """The examples that a first pass has for the classifier, as voxels z, y, x.

    Attributes:
        neurite: (N, 3) int64, every voxel of the mask along certain segments.
        empty: (M, 3) int64, a random sample of empty voxels.
    """

    neurite: NDArray[np.int64]
    empty: NDArray[np.int64]

    def clearness(self, intensity: NDArray[Any]) -> float:
        """The median contrast of the neurites in standard deviations of the noise.

        The result is infinite where the image (Z, Y, X) has no noise.
        """
        last = np.array(intensity.shape) - 1
        ground = intensity[tuple(self.empty.T)].astype(np.float64)
        # Neighbours have the same background, so their difference is noise alone. The median
        # absolute deviation is robust: few bright voxels do not change it.
        difference = np.concatenate(
            [
                intensity[tuple(np.clip(self.empty + step, 0, last).T)] - ground
                for step in _NEIGHBOURS
                if last[np.flatnonzero(step)[0]] > 0
            ]
        )
        noise = 1.4826 * float(np.median(np.abs(difference))) / math.sqrt(2)
        bright = intensity[tuple(self.neurite.T)].astype(np.float64)
        return float(np.median(bright) - np.median(ground)) / noise if noise else math.inf


@dataclass(frozen=True, slots=True, eq=False)
class _Distances:
    """The distances of N voxels to a tree.

    Attributes:
        beyond: (N,) the distance beyond the radius of the nearest neurite, in finest voxels.
        certain: (N,) bool, whether the segment of the nearest neurite is certain.
    """

    beyond: NDArray[np.float64]
    certain: NDArray[np.bool_]


def examples(
    intensity: NDArray[Any],
    probability: NDArray[np.uint8],
    tree: Tree,
    segments: Segments,
    threshold: int,
    scale: VoxelScale = CUBES,
) -> Examples | None:
    """The examples of a first pass; None where it has too few of a kind.

    Args:
        intensity: (Z, Y, X), the image.
        probability: (Z, Y, X) uint8, the probability of the first pass.
        tree: the first tree in voxels of the volume; its radii are in finest voxels.
        segments: the segments of the tree.
        threshold: the least probability of a voxel in the mask.
        scale: the voxel size.
    """
    if len(segments) == 0:
        return None
    mask = np.argwhere(probability >= threshold)
    distances = _distances(mask, tree, segments, scale)
    neurite = mask[distances.certain & (distances.beyond <= _BELONGS)]
    empty = _empty(intensity, probability, max(1, int(threshold * _EMPTY_SHARE)))
    empty = empty[_distances(empty, tree, segments, scale).beyond > _CLEAR]
    return None if min(len(neurite), len(empty)) < _LEAST else Examples(neurite, empty)


def probability_again(
    intensity: NDArray[Any],
    probability: NDArray[np.uint8],
    training: Examples,
    scale: VoxelScale = CUBES,
    progress: ProgressCallback = silent,
) -> NDArray[np.uint8]:
    """The probability of the second pass.

    Args:
        intensity: (Z, Y, X), the image.
        probability: (Z, Y, X) uint8, the probability of the first pass.
        training: the examples of the first pass.
        scale: the voxel size.
        progress: called between blocks; it may raise `Cancelled`.

    Returns:
        (Z, Y, X) uint8.
    """
    neurite = _sample(training.neurite, _MOST_NEURITE, intensity.shape)
    empty = _sample(training.empty, _MOST_EMPTY, intensity.shape)
    by_classifier = reclassify(intensity, neurite, empty, scale.edges, progress)
    mean = _mean_odds(probability, by_classifier)
    at = tuple(training.neurite.T)
    mean[at] = np.maximum(mean[at], probability[at])
    return mean


def _distances(
    voxels: NDArray[np.int64], tree: Tree, segments: Segments, scale: VoxelScale
) -> _Distances:
    """The distances of voxels (N, 3) to the tree."""
    samples = sample_links(replace(tree, xyz=scale.finest_xyz(tree.xyz)))
    places = scale.finest_zyx(voxels)[:, ::-1]
    distance, nearest = KDTree(samples.places).query(places, workers=-1)
    certain = segments.confidence[segments.of_node[samples.node]] >= CERTAIN
    return _Distances(distance - samples.radius[nearest], certain[nearest])


def _empty(intensity: NDArray[Any], probability: NDArray[np.uint8], most: int) -> NDArray[np.int64]:
    """A random sample (N, 3) of empty voxels.

    The voxel and its neighbours have at most the probability `most`. Voxels at the dark end of the
    image's range are left out: published stacks often set the surroundings of a neuron to zero.
    """
    dark, _ = intensity_range(intensity)
    places = _random_places(intensity.shape, _CANDIDATES)
    places = places[intensity[tuple(places.T)] > dark]
    last = np.array(intensity.shape) - 1
    is_empty = probability[tuple(places.T)] <= most
    for step in _NEIGHBOURS:
        beside = np.clip(places + _BESIDE * step, 0, last)
        is_empty &= probability[tuple(beside.T)] <= most
    return _sample(places[is_empty], 10 * _MOST_EMPTY, intensity.shape)


def _sample(places: NDArray[np.int64], most: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """All places (N, 3) in a volume, or a random sample of `most` where there are more."""
    if len(places) <= most:
        return places
    lots = sum(lots[places[:, axis]] for axis, lots in enumerate(_lots(shape, seed=1)))
    return places[np.argpartition(_scrambled(np.asarray(lots)), most)[:most]]


def _random_places(shape: tuple[int, ...], most: int) -> NDArray[np.int64]:
    """(N, 3) about `most` random voxels of a volume; all of a smaller one."""
    share = min(1.0, most / max(math.prod(shape), 1))
    limit = np.uint64(int(share * float(2**63)) * 2 - 1)
    z_lots, y_lots, x_lots = _lots(shape, seed=0)
    across = y_lots[:, None] + x_lots
    slices = [np.argwhere(_scrambled(across + lot) <= limit) for lot in z_lots]
    number = np.repeat(np.arange(shape[0]), [len(places) for places in slices])
    return np.column_stack([number, np.concatenate(slices)])


def _lots(shape: tuple[int, ...], seed: int) -> list[NDArray[np.uint64]]:
    """A random number for each place of each axis; the scrambled sum of three is a voxel's lot.

    They depend on the distance from the axis's middle, so that a mirrored volume, or one with
    swapped axes, has the same sample.
    """
    most = max(shape)
    numbers = np.random.default_rng(seed).integers(0, 2**64, 2 * most, dtype=np.uint64)
    return [numbers[np.abs(2 * np.arange(n) - (n - 1))] for n in shape]


def _scrambled(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers without the relations of their sums (the finaliser of SplitMix64)."""
    mixed = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def _mean_odds(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The probability whose odds are the geometric mean of the odds of two.

    A table has the result for every pair of the 256 values. The loop over slices bounds the memory
    that the indices need.
    """
    chance = np.clip(np.arange(256) / 255, 1 - _SUREST, _SUREST)
    odds = np.log(chance / (1 - chance)) / 2
    table = np.rint(255 / (1 + np.exp(-(odds[:, None] + odds)))).astype(np.uint8)
    result = np.empty_like(first)
    for a, b, mean in zip(first, second, result, strict=True):
        mean[...] = table[a, b]
    return result
