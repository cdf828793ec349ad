"""Volumes with mirrored or swapped axes, and their trees turned back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.trees.tree import Tree


@dataclass(frozen=True, slots=True)
class Orientation:
    """A mirrored axis, or another order of the axes.

    Attributes:
        axes: the order of the axes (Z, Y, X) in the turned volume.
        mirrored: the axis of the volume that is reversed; None for none.
    """

    axes: tuple[int, ...] = (0, 1, 2)
    mirrored: int | None = None

    def of_volume(self, volume: NDArray[Any]) -> NDArray[Any]:
        """The turned volume, in raster order of its own axes."""
        if self.mirrored is not None:
            volume = np.flip(volume, self.mirrored)
        return np.ascontiguousarray(volume.transpose(self.axes))

    def undone(self, tree: Tree, shape: tuple[int, ...]) -> Tree:
        """A tree of the turned volume, in the voxels of the volume of this shape."""
        zyx = np.empty((len(tree), 3))
        zyx[:, self.axes] = tree.xyz[:, ::-1]
        if self.mirrored is not None:
            zyx[:, self.mirrored] = shape[self.mirrored] - 1 - zyx[:, self.mirrored]
        return replace(tree, xyz=zyx[:, ::-1])


MIRRORS = tuple(Orientation(mirrored=axis) for axis in range(3))
SWAPS = tuple(Orientation(axes) for axes in permutations(range(3)) if axes != (0, 1, 2))
