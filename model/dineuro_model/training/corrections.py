"""What a corrected tree teaches: labels of the voxels that a person judged, and of no others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dineuro_bridge.trees.differences import difference
from dineuro_bridge.trees.tree import Tree
from dineuro_model.synthesis.rendering import neurite_mask
from dineuro_model.training.sampling import BACKGROUND, MARGIN, NEURITE, UNKNOWN
from dineuro_model.windows import Shape


def correction_labels(before: Tree, after: Tree, shape: Shape) -> NDArray[np.uint8]:
    """Label the voxels of a stack by what was done to its tree.

    What was kept and what was added is neurite, within its radii. What was rejected is background,
    but not in the zone around a neurite, because radii are seldom correct. All other voxels are
    unknown: nobody said that nothing is there.

    Args:
        before: the traced tree, in voxels of the stack.
        after: the corrected tree, in voxels of the stack.
        shape: (Z, Y, X) of the stack.

    Returns:
        (Z, Y, X) uint8: BACKGROUND, NEURITE or UNKNOWN.
    """
    found = difference(before, after)
    neurite = _tube(np.concatenate([found.kept, found.added]), shape)
    rejected = _tube(found.rejected, shape)
    rejected &= ~ndimage.binary_dilation(neurite, iterations=MARGIN)
    labels = np.where(neurite, NEURITE, np.where(rejected, BACKGROUND, UNKNOWN))
    return labels.astype(np.uint8)


def _tube(pieces: NDArray[np.float64], shape: Shape) -> NDArray[np.bool_]:
    """The voxels within the radii of pieces, (M, 2, 4): two ends of x, y, z, radius."""
    ends = pieces.reshape(-1, 4)
    number = np.arange(len(ends))
    parents = np.where(number % 2, number - 1, -1)
    tree = Tree(ends[:, :3], ends[:, 3], parents, np.zeros(len(ends), dtype=np.int64))
    return neurite_mask(tree, shape)
