"""A runtime without a network, for tests: the probability of a voxel is its intensity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dineuro_model.inference.runtime import Geometry, RuntimeInfo, RuntimeOptions
from dineuro_model.windows import Shape


class BrightRuntime:
    """Returns the intensity of the slices in the middle of each window, cut to 0 … 1."""

    def __init__(self, device: str) -> None:
        self.info = RuntimeInfo("bright", device, "float32")
        self.geometry = Geometry(depth=8, predicted=4, size=32, step=8)

    def batch_size(self, shape: Shape) -> int:
        """Two windows at a time."""
        return 2

    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 8, rows, columns) -> (N, 4, rows, columns)."""
        return np.clip(windows[:, 2:6], 0, 1)


def load_runtime(path: Path, *, sha256: str, options: RuntimeOptions) -> BrightRuntime:
    """The weights are not read."""
    return BrightRuntime(options.device)
