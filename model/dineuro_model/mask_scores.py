"""Dice, clDice and HD95 of a mask against a reference mask."""

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
        cldice: the harmonic mean of two shares: of the mask's skeleton in the reference, and of
            the reference's skeleton in the mask.
        hd95: the distances from the border of each mask to the border of the other have two 95th
            percentiles; this is the larger, in finest voxels.
    """

    dice: float
    cldice: float
    hd95: float


def score_masks(
    mask: Mask, truth: Mask, valid: Mask | None = None, scale: Scale = (1.0, 1.0, 1.0)
) -> MaskScores:
    """All scores of a mask against a reference.

    Two empty masks have the scores 1, 1 and 0. Where only one mask is empty, Dice and clDice are 0
    and HD95 is the volume's diagonal.

    Args:
        mask: (Z, Y, X), the mask under test.
        truth: (Z, Y, X), the reference.
        valid: (Z, Y, X), the voxels that count; None for all.
        scale: (z, y, x), a voxel's edges in finest voxels.
    """
    if valid is not None:
        mask, truth = mask & valid, truth & valid
    return MaskScores(dice(mask, truth), cldice(mask, truth), hd95(mask, truth, scale))


def dice(mask: Mask, truth: Mask) -> float:
    """2 |A and B| / (|A| + |B|); 1 where both are empty."""
    total = int(mask.sum()) + int(truth.sum())
    return 2 * int((mask & truth).sum()) / total if total else 1.0


def cldice(mask: Mask, truth: Mask) -> float:
    """ClDice (arXiv 2003.07311), the harmonic mean of `line_shares`; 1 where both are empty."""
    precision, sensitivity = line_shares(mask, truth)
    return 2 * precision * sensitivity / (precision + sensitivity) if precision else 0.0


def line_shares(mask: Mask, truth: Mask) -> tuple[float, float]:
    """The two shares of clDice.

    Where the reference lacks neurites, the first share says little about the mask.

    Returns:
        The share of the mask's skeleton that lies in the reference (precision), and the share of
        the reference's skeleton that lies in the mask (sensitivity). Both are 1 where both masks
        are empty, and 0 where only one mask is empty.
    """
    if not mask.any() or not truth.any():
        same = float(mask.any() == truth.any())
        return same, same
    box = _box(mask | truth)
    mask, truth = mask[box], truth[box]
    return float(truth[_skeleton(mask)].mean()), float(mask[_skeleton(truth)].mean())


def _skeleton(mask: Mask) -> Mask:
    """The skeleton of a mask; the mask itself where thinning removes all of its few voxels."""
    skeleton = np.asarray(skeletonize(mask) > 0)
    return skeleton if skeleton.any() else mask


def hd95(mask: Mask, truth: Mask, scale: Scale = (1.0, 1.0, 1.0)) -> float:
    """The symmetric 95 % Hausdorff distance between the borders, in finest voxels.

    It is 0 where both masks are empty, and the volume's diagonal where only one mask is empty.
    """
    if not mask.any() or not truth.any():
        diagonal = float(np.linalg.norm(np.array(mask.shape) * scale))
        return 0.0 if mask.any() == truth.any() else diagonal
    box = _box(mask | truth)
    borders = [one & ~ndimage.binary_erosion(one) for one in (mask[box], truth[box])]
    largest = 0.0
    for border, other in (borders, borders[::-1]):
        distance = ndimage.distance_transform_edt(~other, sampling=scale)
        largest = max(largest, float(np.percentile(distance[border], 95)))
    return largest


def _box(mask: Mask) -> tuple[slice, ...]:
    """The bounding box of the true voxels and one voxel around it, within the volume."""
    spans = []
    for axis in range(mask.ndim):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        spans.append(slice(max(0, int(hit[0]) - 1), int(hit[-1]) + 2))
    return tuple(spans)
