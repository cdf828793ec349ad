"""What the tests of the plugin trace: a fork, and a layer as far as the plugin looks at it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.options import TraceOptions
from dineuro_bridge.progress import Progress
from dineuro_bridge.trees.tree import Tree
from tests.support.shapes import line, paint

SHAPE = (20, 48, 72)
#: A trunk along x, and a branch along y.
FORK = paint([line((8, 12, 10), (62, 12, 10)), line((36, 12, 10), (36, 38, 10))], SHAPE)
#: A trace that needs no network.
FAST = TraceOptions(name="fork", enhancer="none", passes=1)


def layer(data: Any, **more: Any) -> Any:
    """An image layer of napari, as far as `picture_of` looks at it."""
    array = data[0] if more.get("multiscale") else data
    axes = array.ndim
    plain = {
        "name": "stack", "data": data, "rgb": False, "multiscale": False,
        "scale": np.ones(axes), "translate": np.zeros(axes), "rotate": np.eye(axes),
        "shear": np.zeros(axes * (axes - 1) // 2), "units": ("pixel",) * axes,
        "affine": SimpleNamespace(affine_matrix=np.eye(axes + 1)),
        "source": SimpleNamespace(path=None),
    }  # fmt: skip
    return SimpleNamespace(**{**plain, **more})


def small_tree() -> Tree:
    """Nodes 1-2-3 along x, and 4 on 2."""
    xyz = np.array([[10, 20, 5], [14, 20, 5], [18, 20, 5], [14, 26, 6]], dtype=np.float64)
    return Tree.from_links(xyz, [3, 1, 1, 0.5], [-1, 0, 1, 1], [1, 3, 3, 2], ("DINeuro test",))


class Lazy:
    """An array that counts the voxels that were read, and has no others in memory."""

    def __init__(self, voxels: NDArray[Any]) -> None:
        self._voxels = voxels
        self.shape, self.dtype, self.ndim = voxels.shape, voxels.dtype, voxels.ndim
        self.largest = self.read = 0

    def __getitem__(self, box: Any) -> Any:
        part = self._voxels[box]
        self.read += part.size
        self.largest = max(self.largest, part.size)
        return part


class Steps(list[Progress]):
    """The progress that was told."""

    def __call__(self, step: Progress) -> None:
        self.append(step)
