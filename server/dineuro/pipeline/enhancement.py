"""Intensity -> probability by one of the enhancers, or by the better one of two ("auto").

The classical enhancer needs neurites that stand out of the noise; the network finds them within the
noise. "auto" runs the classical enhancer first and measures how clear the neurites are. In a clear
image the classical enhancer is the result, and no network is loaded.

In noise "auto" runs the network. The network is best on the kinds of image that it was trained on.
On other kinds it may miss most neurites, or mark places without any. "auto" therefore measures how
its mask agrees with the image. Where the mask of the classical enhancer agrees clearly better,
"auto" takes the classical enhancer. It also does so where the network is unsure of what it marks,
unless the user named the network.

Otherwise "auto" takes the network, and adds the probability of the classical enhancer below the
threshold. Voxels below the threshold are in no mask, but a path may run through them from one piece
to the next. Only a soma that the network misses becomes part of the mask: the tree starts there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro.pipeline.agreement import Agreement, agreement
from dineuro.pipeline.memory import SegmentationMemory
from dineuro_bridge.options import Enhancer
from dineuro_bridge.progress import Progress, ProgressCallback
from dineuro_bridge.scale import VoxelScale
from dineuro_model.enhancers.classical import as_probability, enhance, enhance_and_measure
from dineuro_model.inference.registry import Model
from dineuro_model.inference.segment import SegmentOptions, segment
from dineuro_tracing.soma import shows_soma, soma_cores

#: Slices are interpolated for the network where a voxel is longer than about this many widths.
_LONGEST_VOXEL = 2.0
#: Slices that are interpolated between two at most: memory grows with them.
_MOST_BETWEEN = 9
#: The classical enhancer is the result of "auto" where the neurites are at least this clear, see
#: `ClassicalEnhancement`. Of the stacks that were measured, those without added noise have 9.2 or
#: more, and rendered stacks in which the network is needed 3.5 or less. Between the two, on lifted
#: stacks with added noise, the network's trees are a little better.
CLEAR = 9.0
#: The classical enhancer is tried where the network's mask has less than the first share of the
#: bright places. It is taken where its own share is larger by the second number. Both were set on
#: FlyCircuit's confocal stacks, which the network does not know, and on the lifted stacks alone.
_DOUBTFUL, _BETTER = 0.8, 0.14
#: The network may not know the kind of image where its sureness is below this. The tuning stacks
#: have 0.84 or more: 15 lifted ones, with and without added noise, and 16 rendered ones. The two
#: light-sheet stacks have 0.78 and 0.81. The 46 held-out stacks, measured after the limit was set,
#: have 0.83 or more. Two real stacks of other microscopes have 0.77 and 0.78; the network draws
#: 500 and 700 branches there, most of them in bare noise.
LEAST_SURENESS = 0.82
#: "auto" does without the classical enhancer, which needs 20 bytes a voxel, in larger volumes.
_LARGEST = 250_000_000
#: A mask has no relation to the image where less than this share of it is brighter than its
#: surroundings.
LEAST_BRIGHTER = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Enhancement:
    """A probability, and how its mask agrees with the image.

    Attributes:
        probability: (Z, Y, X) uint8.
        enhancer: the enhancer of the probability: "dineuro", "classical", "none" or "mask".
        model: the network; None without a network.
        agreement: how the mask at the threshold agrees with the image.
        sureness: mean probability, 0 to 1, of the voxels with a probability of 0.5 or more; None
            where no voxel has it, or without a network.
        warning: a sentence where "auto" took the classical enhancer.
    """

    probability: NDArray[np.uint8]
    enhancer: str
    model: Model | None
    agreement: Agreement
    sureness: float | None = None
    warning: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ProbabilityMap:
    """A probability from an earlier run or from the user.

    Attributes:
        voxels: (Z, Y, X) uint8, the probability of the region.
        enhancer: its enhancer: "dineuro", "classical" or "none"; "mask" for a mask of the user.
        model: name and SHA-256 of the network; None without a network.
    """

    voxels: NDArray[np.uint8]
    enhancer: str
    model: tuple[str, str] | None = None


def run_enhancer(
    intensity: NDArray[Any],
    enhancer: Enhancer,
    load: Callable[[], Model],
    *,
    scale: VoxelScale,
    threshold: int,
    progress: ProgressCallback,
    memory: SegmentationMemory | None = None,
    always_network: bool = False,
) -> Enhancement:
    """The probability of every voxel.

    Args:
        intensity: (Z, Y, X), finite.
        enhancer: the method.
        load: returns the network, ready on its device; called only where a network is needed.
        scale: the voxel size.
        threshold: the least probability of a voxel in the mask.
        progress: called between tiles; it may raise `Cancelled`.
        always_network: "auto" runs the network also where the image is clear.
        memory: holds the network's probability of the last volume; None computes it each time.
    """
    progress(Progress("enhance", 0, 1))
    if enhancer in ("classical", "none"):
        probability = (
            enhance(intensity, scale.optical.edges)
            if enhancer == "classical"
            else as_probability(intensity)
        )
        progress(Progress("enhance", 1, 1))
        return with_agreement(intensity, probability, threshold, enhancer)
    if enhancer == "dineuro" or intensity.size > _LARGEST:
        return _by_network(intensity, load(), scale, threshold, progress, memory)
    measure = enhance_and_measure(intensity, scale.optical.edges)
    classical = measure.probability
    if measure.clearness >= CLEAR and not always_network:
        progress(Progress("enhance", 1, 1))
        return with_agreement(intensity, classical, threshold, "classical")
    by_network = _by_network(intensity, load(), scale, threshold, progress, memory)
    sureness = None if always_network else by_network.sureness
    warning = objection(
        sureness, by_network.agreement, lambda: agreement(intensity, classical >= threshold)
    )
    if warning:
        other = with_agreement(intensity, classical, threshold, "classical")
        return replace(other, warning=warning)
    combination = _combine(by_network.probability, classical, threshold, scale)
    return replace(by_network, probability=combination)


def objection(
    sureness: float | None, network: Agreement, classical: Callable[[], Agreement]
) -> str | None:
    """Why "auto" takes the classical enhancer instead of the network; None where it does not.

    Args:
        sureness: see `Enhancement`; None counts as sure.
        network: the agreement of the network's mask.
        classical: returns the agreement of the classical mask; called only where it matters.
    """
    if sureness is not None and sureness < LEAST_SURENESS:
        return _unsure_warning(sureness)
    if _is_doubtful(network):
        theirs, ours = _score(classical()), _score(network)
        if theirs >= ours + _BETTER:
            return _replacement_warning(ours, theirs)
    return None


def slices_between(scale: VoxelScale) -> int:
    """How many slices are interpolated between two for the network.

    It was trained on voxels that are about cubes; twice that length has little effect.
    """
    return min(_MOST_BETWEEN, max(0, round(scale.edges[0] / _LONGEST_VOXEL) - 1))


def _by_network(
    intensity: NDArray[Any],
    model: Model,
    scale: VoxelScale,
    threshold: int,
    progress: ProgressCallback,
    memory: SegmentationMemory | None,
) -> Enhancement:
    """The enhancement by the network alone."""
    probability = _segment(intensity, model, scale, progress, memory)
    return with_agreement(intensity, probability, threshold, "dineuro", model)


def with_agreement(
    intensity: NDArray[Any],
    probability: NDArray[np.uint8],
    threshold: int,
    enhancer: str,
    model: Model | None = None,
) -> Enhancement:
    """Measure how a probability agrees with the image.

    Args:
        intensity: (Z, Y, X), the image.
        probability: (Z, Y, X).
        threshold: the least probability of a voxel in the mask.
        enhancer: the enhancer of the probability.
        model: the network of the probability.
    """
    sureness = _sureness(probability) if enhancer == "dineuro" else None
    measure = agreement(intensity, probability >= threshold)
    return Enhancement(probability, enhancer, model, measure, sureness)


def _combine(
    by_network: NDArray[np.uint8], classical: NDArray[np.uint8], threshold: int, scale: VoxelScale
) -> NDArray[np.uint8]:
    """The network's probability, raised below the threshold to that of the classical enhancer.

    Where the network misses the soma and the classical enhancer shows one, that soma is added
    whole. The array `classical` is overwritten.
    """
    cores = soma_cores(classical, threshold, scale)
    of_cores = classical[cores]
    np.minimum(classical, threshold - 1, out=classical)
    combination = np.maximum(by_network, classical, out=classical)
    if len(of_cores) and not shows_soma(combination, threshold, scale):
        without = combination[cores]
        combination[cores] = np.maximum(without, of_cores)
        if not shows_soma(combination, threshold, scale):
            combination[cores] = without
    return combination


def _unsure_warning(sureness: float) -> str:
    """The warning where "auto" took the classical enhancer from an unsure network."""
    return (
        f"the network is unsure: what it calls neurite has a probability of {sureness:.0%} on "
        f"average, and {LEAST_SURENESS:.0%} or more on the kinds of image that it knows: the "
        "classical enhancer was used (--enhancer dineuro insists on the network)"
    )


def _replacement_warning(network: float, classical: float) -> str:
    """The warning where "auto" took the classical enhancer."""
    return (
        f"the network's mask has {network:.0%} of what stands out in the image, "
        f"the classical enhancer's {classical:.0%}: the classical one was used (--enhancer "
        "dineuro insists on the network)"
    )


def _sureness(probability: NDArray[np.uint8]) -> float | None:
    """The mean probability of the voxels with 128 or more, from 0 to 1; None without any."""
    counts = sum((np.bincount(s.ravel(), minlength=256) for s in probability), np.zeros(256))
    counts[:128] = 0
    return float(counts @ np.arange(256) / counts.sum() / 255) if counts.any() else None


def _segment(
    intensity: NDArray[Any],
    model: Model,
    scale: VoxelScale,
    progress: ProgressCallback,
    memory: SegmentationMemory | None,
) -> NDArray[np.uint8]:
    """The network's probability, with interpolated slices where the voxels are long."""
    between = slices_between(scale)

    def compute() -> NDArray[np.uint8]:
        return segment(intensity, model.runtime, SegmentOptions(between=between), progress)

    if memory is None:
        return compute()
    return memory.recall(intensity, f"{model.sha256} {between}", compute)


def _is_doubtful(measure: Agreement) -> bool:
    """Whether the mask misses too many bright places, or has no relation to the image."""
    misses = measure.found is not None and measure.found < _DOUBTFUL
    return misses or _is_unrelated(measure)


def _is_unrelated(measure: Agreement) -> bool:
    """Whether too little of the mask is brighter than its surroundings."""
    return measure.brighter is not None and measure.brighter < LEAST_BRIGHTER


def _score(measure: Agreement) -> float:
    """The share of the bright places in the mask; 0 for a mask without relation to the image."""
    return 0.0 if _is_unrelated(measure) else measure.found or 0.0
