"""A loss for thin, sparse structures: Dice, focal cross-entropy, clDice and skeleton recall.

Sources: focal loss (arXiv 1708.02002); clDice and its soft skeleton (arXiv 2003.07311); skeleton
recall (arXiv 2404.03010).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from skimage.morphology import skeletonize
from torch import Tensor
from torch.nn import functional

from dineuro_bridge.errors import BadParameter


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights and parameters of the loss.

    Attributes:
        dice: weight of soft Dice.
        focal: weight of the focal cross-entropy.
        cldice: weight of soft clDice.
        recall: weight of the skeleton recall, in which thin and thick branches count alike.
        gamma: exponent of the focal cross-entropy; 0 is plain cross-entropy.
        iterations: iterations of the soft skeleton; the radius in voxels of the thickest neurite.
        cldice_windows: number of windows of a batch on which soft clDice is computed. The term
            costs as much time as the rest of a training step.

    Raises:
        BadParameter: a negative weight or no positive one, or a parameter out of range.
    """

    dice: float = 1.0
    focal: float = 1.0
    cldice: float = 0.5
    recall: float = 0.0
    gamma: float = 1.0
    iterations: int = 3
    cldice_windows: int = 1

    def __post_init__(self) -> None:
        terms = (self.dice, self.focal, self.cldice, self.recall)
        if min(terms) < 0 or max(terms) <= 0 or self.gamma < 0:
            raise BadParameter(f"loss: {self}: weights and gamma must be 0 or more, one above")
        if min(self.iterations, self.cldice_windows) < 1:
            raise BadParameter(f"loss: {self}: iterations and cldice_windows must be 1 or more")


def segmentation_loss(
    logits: Tensor, target: Tensor, valid: Tensor, weights: LossWeights = LossWeights()
) -> Tensor:
    """The weighted sum of the terms, averaged over the windows.

    Args:
        logits: (B, Z, Y, X) float32.
        target: (B, Z, Y, X), 1 in neurites, 0 outside.
        valid: (B, Z, Y, X), 1 where the reference is valid; other voxels do not count.
        weights: weights and parameters of the terms.

    Returns:
        A scalar; 0 where no voxel is valid.
    """
    target, valid = target.to(logits.dtype), valid.to(logits.dtype)
    probability = torch.sigmoid(logits) * valid
    target = target * valid
    loss = logits.new_zeros(())
    if weights.dice:
        loss = loss + weights.dice * soft_dice_loss(probability, target)
    if weights.focal:
        loss = loss + weights.focal * focal_loss(logits, target, valid, weights.gamma)
    if weights.cldice:
        windows = slice(weights.cldice_windows)
        loss = loss + weights.cldice * soft_cldice_loss(
            probability[windows], target[windows], weights.iterations
        )
    if weights.recall:
        loss = loss + weights.recall * skeleton_recall_loss(probability, target)
    return loss


def soft_dice_loss(probability: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    """1 - Dice of the probabilities, averaged over the first axis; 0 where both are empty."""
    intersection = (probability * target).flatten(1).sum(1)
    total = (probability + target).flatten(1).sum(1)
    return (1 - (2 * intersection + smooth) / (total + smooth)).mean()


def focal_loss(logits: Tensor, target: Tensor, valid: Tensor, gamma: float) -> Tensor:
    """Focal cross-entropy, summed over valid voxels and divided by a mean of two counts.

    The weight of a voxel is (1 - p) ** gamma, where p is the probability of its class. The divisor
    is the geometric mean of two numbers: the voxels of the window and the voxels of its neurites.
    With the first alone a sparse neurite has no influence; with the second alone an empty window
    has a huge loss. The first number includes voxels that are not valid. Otherwise a window with
    few labels would outweigh the rest of its batch.

    Args:
        logits: (B, Z, Y, X).
        target: (B, Z, Y, X), 1 in neurites, 0 outside.
        valid: (B, Z, Y, X), 1 where the reference is valid.
        gamma: the exponent; 0 is plain cross-entropy.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    if gamma:
        # exp(-entropy) is the probability of the voxel's class.
        entropy = entropy * (1 - torch.exp(-entropy)).clamp(min=1e-6) ** gamma
    n_voxels = valid[0].numel()
    n_neurite = target.flatten(1).sum(1).clamp(min=0.01 * n_voxels)
    per_window = (entropy * valid).flatten(1).sum(1) / (n_voxels * n_neurite).sqrt()
    return per_window.mean()


def soft_cldice_loss(
    probability: Tensor, target: Tensor, iterations: int, smooth: float = 1.0
) -> Tensor:
    """1 - 2 Tp Ts / (Tp + Ts), with the precision Tp and the sensitivity Ts of soft skeletons."""
    with torch.no_grad():
        skeleton_of_target = soft_skeleton(target, iterations)
    skeleton = soft_skeleton(probability, iterations)
    precision = _share(skeleton, target, smooth)
    sensitivity = _share(skeleton_of_target, probability, smooth)
    return (1 - 2 * precision * sensitivity / (precision + sensitivity)).mean()


def skeleton_recall_loss(probability: Tensor, target: Tensor) -> Tensor:
    """1 - the mean probability on the reference's skeleton, averaged over the first axis.

    Only the reference is thinned, so that the skeleton needs no gradient. The loss is 0 where the
    reference is empty.
    """
    lines = [torch.from_numpy(skeletonize(one)) for one in target.bool().cpu().numpy()]
    skeleton = torch.stack(lines).to(probability)
    return (1 - _share(skeleton, probability, smooth=1e-3)).mean()


def _share(skeleton: Tensor, mask: Tensor, smooth: float) -> Tensor:
    """(B,) the share of a skeleton that lies in a mask."""
    inside = (skeleton * mask).flatten(1).sum(1)
    return (inside + smooth) / (skeleton.flatten(1).sum(1) + smooth)


def soft_skeleton(image: Tensor, iterations: int) -> Tensor:
    """The soft skeleton of an image: the sum of what openings remove, erosion after erosion.

    On a binary image with enough iterations it is a morphological skeleton. On probabilities it has
    a gradient.

    Args:
        image: (B, Z, Y, X) in [0, 1].
        iterations: number of erosions.

    Returns:
        (B, Z, Y, X) in [0, 1].
    """
    eroded = _erode(image)
    skeleton = functional.relu(image - _dilate(eroded))
    for _ in range(iterations):
        image = eroded
        eroded = _erode(image)
        ridge = functional.relu(image - _dilate(eroded))
        skeleton = skeleton + functional.relu(ridge - skeleton * ridge)
    return skeleton


def _dilate(image: Tensor) -> Tensor:
    """Maximum over 3 x 3 x 3; the border repeats."""
    return functional.max_pool3d(image.unsqueeze(1), 3, stride=1, padding=1).squeeze(1)


def _erode(image: Tensor) -> Tensor:
    """Minimum over the voxel and its six neighbours; the border repeats."""
    smallest = image
    for axis in (1, 2, 3):
        n = image.shape[axis]
        first, last = image.narrow(axis, 0, 1), image.narrow(axis, n - 1, 1)
        before = torch.cat([first, image.narrow(axis, 0, n - 1)], dim=axis)
        after = torch.cat([image.narrow(axis, 1, n - 1), last], dim=axis)
        smallest = torch.minimum(smallest, torch.minimum(before, after))
    return smallest
