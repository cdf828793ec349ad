"""Intensity -> probability by the enhancer asked for; "auto" takes what the image bears out.

The network is best on what it was trained for. On another kind of image it may leave out most of
what stands out, or dream; the classical enhancer has no such habits. "auto" takes the network,
looks whether mask and image agree, and takes the classical enhancer where it agrees clearly better.
Where it takes the network, what the classical enhancer sees besides stays below the threshold: it
is in no mask, but a path may run through it from one piece to the next. A soma alone is taken into
the mask where only the classical enhancer shows it: the tree starts there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro.pipeline.agreement import Agreement, agreement
from dineuro_bridge.options import Enhancer
from dineuro_bridge.progress import Progress, ProgressCallback
from dineuro_bridge.scale import VoxelScale
from dineuro_model.enhancers.classical import as_probability, enhance
from dineuro_model.inference.registry import Model
from dineuro_model.inference.segment import SegmentOptions, segment
from dineuro_tracing.soma import shows_soma, soma_cores

#: A voxel whose length is so many times its width is halved for the network, and so on.
_LONGEST_VOXEL = 2.0
#: Where the network has less of what stands out than this, the classical enhancer is tried, and
#: taken where it has so much more. Set with FlyCircuit's confocal stacks in view, which the network
#: does not know; nothing but these and the lifted stacks stood behind it.
_DOUBTFUL, _BETTER = 0.8, 0.14
#: Of a larger volume (voxels) the classical enhancer sees nothing: it holds 20 bytes a voxel.
_LARGEST = 250_000_000
#: A mask of which less than this is brighter than its surroundings has been dreamt.
LEAST_BRIGHTER = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Enhanced:
    """What came of it.

    Attributes:
        probability: (Z, Y, X) uint8.
        enhancer: which was used: "dineuro", "classical" or "none".
        model: the network that was used, if any.
        agreement: of the mask, at the threshold, with the image.
        sureness: mean probability, 0 to 1, of the voxels that the network calls neurite rather
            than not; None where it calls none so, or it was not the network.
        warning: a sentence if another enhancer than the network was taken by "auto".
    """

    probability: NDArray[np.uint8]
    enhancer: str
    model: Model | None
    agreement: Agreement
    sureness: float | None = None
    warning: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """A probability that was made before.

    Attributes:
        probability: (Z, Y, X) uint8 of the region.
        enhancer: which made it: "dineuro", "classical" or "none"; "mask" for one that came so.
        model: name and SHA-256 of the network, if one made it.
    """

    probability: NDArray[np.uint8]
    enhancer: str
    model: tuple[str, str] | None = None


def enhanced(
    intensity: NDArray[Any],
    enhancer: Enhancer,
    model: Model | None,
    *,
    scale: VoxelScale,
    threshold: int,
    progress: ProgressCallback,
) -> Enhanced:
    """The probability of every voxel.

    Args:
        intensity: (Z, Y, X), finite.
        enhancer: "auto" and "dineuro" need the model.
        model: the network, ready on its device.
        scale: of the voxels.
        threshold: from which probability on a voxel is in the mask.
        progress: called between tiles; it may raise `Cancelled`.
    """
    if model is None:
        progress(Progress("enhance", 0, 1))
        make = (
            enhance(intensity, scale.edges)
            if enhancer == "classical"
            else as_probability(intensity)
        )
        progress(Progress("enhance", 1, 1))
        return judged(intensity, make, threshold, enhancer)
    probability = _segmented(intensity, model, scale, progress)
    by_network = judged(intensity, probability, threshold, "dineuro", model)
    if enhancer == "dineuro" or intensity.size > _LARGEST:
        return by_network
    besides = enhance(intensity, scale.edges)
    if _is_doubtful(by_network.agreement):
        other = judged(intensity, besides, threshold, "classical")
        if _found(other) >= _found(by_network) + _BETTER:
            return replace(other, warning=_instead(by_network, other))
    return replace(by_network, probability=_together(probability, besides, threshold, scale))


def _together(
    by_network: NDArray[np.uint8], besides: NDArray[np.uint8], threshold: int, scale: VoxelScale
) -> NDArray[np.uint8]:
    """The network's probability, and below the threshold what the classical enhancer sees besides.

    Where the network shows no soma and the classical enhancer does, that soma is taken over whole.
    The second array is used up.
    """
    cores = soma_cores(besides, threshold, scale)
    of_cores = besides[cores]
    np.minimum(besides, threshold - 1, out=besides)
    together = np.maximum(by_network, besides, out=besides)
    if len(of_cores) and not shows_soma(together, threshold, scale):
        without = together[cores]
        together[cores] = np.maximum(without, of_cores)
        if not shows_soma(together, threshold, scale):
            together[cores] = without
    return together


def _instead(by_network: Enhanced, other: Enhanced) -> str:
    return (
        f"the network's mask has {_found(by_network):.0%} of what stands out in the image, "
        f"the classical enhancer's {_found(other):.0%}: the classical one was used (--enhancer "
        "dineuro insists on the network)"
    )


def judged(
    intensity: NDArray[Any],
    probability: NDArray[np.uint8],
    threshold: int,
    enhancer: str,
    model: Model | None = None,
) -> Enhanced:
    """A probability (Z, Y, X) with how its mask agrees with the image; `model` made it, if any."""
    agreed = agreement(intensity, probability >= threshold)
    sure = _sureness(probability) if enhancer == "dineuro" else None
    return Enhanced(probability, enhancer, model, agreed, sure)


def _sureness(probability: NDArray[np.uint8]) -> float | None:
    counts = sum((np.bincount(s.ravel(), minlength=256) for s in probability), np.zeros(256))
    counts[:128] = 0
    return float(counts @ np.arange(256) / counts.sum() / 255) if counts.any() else None


def _segmented(
    intensity: NDArray[Any], model: Model, scale: VoxelScale, progress: ProgressCallback
) -> NDArray[np.uint8]:
    # The network knows voxels that are about cubes; up to twice as long is near enough.
    between = max(0, round(scale.edges[0] / _LONGEST_VOXEL) - 1)
    return segment(intensity, model.runtime, SegmentOptions(between=between), progress)


def _is_doubtful(agreed: Agreement) -> bool:
    missed = agreed.found is not None and agreed.found < _DOUBTFUL
    return missed or _is_dreamt(agreed)


def _is_dreamt(agreed: Agreement) -> bool:
    return agreed.brighter is not None and agreed.brighter < LEAST_BRIGHTER


def _found(made: Enhanced) -> float:
    """How much of what stands out a mask has; nothing counts of one that was dreamt."""
    return 0.0 if _is_dreamt(made.agreement) else made.agreement.found or 0.0
