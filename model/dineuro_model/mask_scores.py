"""How well a mask agrees with a reference mask: Dice, clDice and HD95."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

Mask = NDArray[np.bool_]
Scale = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class MaskScores:
    """Scores of a mask against a reference.

    Attributes:
        dice: 2 |A and B| / (|A| + |B|).
        cldice: harmonic mean of the shares of either skeleton that lie in the other mask.
        hd95: the larger of the 95th percentiles of the distances from the border of one mask to
            the border of the other, in finest voxels.
    """

    dice: float
    cldice: float
    hd95: float


def score_masks(
    mask: Mask, truth: Mask, known: Mask | None = None, scale: Scale = (1.0, 1.0, 1.0)
) -> MaskScores:
    """All scores of a mask (Z, Y, X) against a reference of the same shape.

    Two empty masks agree: 1, 1 and 0. Where one of them is empty, Dice and clDice are 0 and HD95 is
    the volume's diagonal.

    Args:
        mask: to judge.
        truth: the reference.
        known: voxels that count; None for all.
        scale: (z, y, x), a voxel's edges in units of the shortest one.
    """
    if known is not None:
        mask, truth = mask & known, truth & known
    return MaskScores(dice(mask, truth), cldice(mask, truth), hd95(mask, truth, scale))


def dice(mask: Mask, truth: Mask) -> float:
    """2 |A and B| / (|A| + |B|); 1 where both are empty."""
    both = int(mask.sum()) + int(truth.sum())
    return 2 * int((mask & truth).sum()) / both if both else 1.0


def cldice(mask: Mask, truth: Mask) -> float:
    """ClDice (arXiv 2003.07311): the skeletons' share in the other mask; 1 where both are empty."""
    precision, sensitivity = line_shares(mask, truth)
    return 2 * precision * sensitivity / (precision + sensitivity) if precision else 0.0


def line_shares(mask: Mask, truth: Mask) -> tuple[float, float]:
    """The two halves of clDice: how much of the mask's skeleton lies in the reference, and of the
    reference's in the mask. Where the reference leaves out neurites, only the second means much.

    Both are 1 where both masks are empty, 0 where one is.
    """
    if not mask.any() or not truth.any():
        same = float(mask.any() == truth.any())
        return same, same
    box = _box(mask | truth)
    mask, truth = mask[box], truth[box]
    return float(truth[_skeleton(mask)].mean()), float(mask[_skeleton(truth)].mean())


def _skeleton(mask: Mask) -> Mask:
    """The skeleton; of a few voxels, which thinning may wipe out, it is the voxels themselves."""
    skeleton = np.asarray(skeletonize(mask) > 0)
    return skeleton if skeleton.any() else mask


def hd95(mask: Mask, truth: Mask, scale: Scale = (1.0, 1.0, 1.0)) -> float:
    """The symmetric 95 % Hausdorff distance between borders, in finest voxels."""
    if not mask.any() or not truth.any():
        diagonal = float(np.linalg.norm(np.array(mask.shape) * scale))
        return 0.0 if mask.any() == truth.any() else diagonal
    box = _box(mask | truth)
    borders = [one & ~ndimage.binary_erosion(one) for one in (mask[box], truth[box])]
    furthest = 0.0
    for here, there in (borders, borders[::-1]):
        away = ndimage.distance_transform_edt(~there, sampling=scale)
        furthest = max(furthest, float(np.percentile(away[here], 95)))
    return furthest


def _box(mask: Mask) -> tuple[slice, ...]:
    """The box of the true voxels, with one around them where there is one."""
    spans = []
    for axis in range(mask.ndim):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        spans.append(slice(max(0, int(hit[0]) - 1), int(hit[-1]) + 2))
    return tuple(spans)
