"""What the segmentation asks of a network: the `Runtime` protocol and its value types.

A runtime holds one network, ready to predict on one device. The segmentation knows this protocol
alone, so that it runs with any library that can evaluate the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter
from dineuro_model.network.config import PLANE_STEP
from dineuro_model.windows import Shape


@dataclass(frozen=True, slots=True)
class Geometry:
    """The shape of the windows that a network reads.

    Attributes:
        depth: slices of a window.
        predicted: slices in the middle of a window that the network predicts.
        size: rows and columns of a window in training.
        step: the rows and columns of every window are multiples of this number. Along an axis of
            the volume that is shorter they may be fewer, see `fitting`.
        patch: edge of the patches that the network reads; 0 has windows of `step` at least.
        inputs: what the network reads, see `inputs`.
    """

    depth: int
    predicted: int
    size: int
    step: int
    patch: int = 0
    inputs: tuple[str, ...] = ("global",)

    def fitting(self, length: int) -> int:
        """The rows or columns of a window that covers an axis of `length` voxels.

        They are whole steps. A shorter axis takes the fewest whole patches, so that as little as
        possible is mirrored, up to the next number that the U-Net can halve.
        """
        if self.patch and length < self.step:
            patches = -(-length // self.patch) * self.patch
            return -(-patches // PLANE_STEP) * PLANE_STEP
        return -(-length // self.step) * self.step


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """Where and how precisely a network is evaluated.

    Attributes:
        device: "cpu", "cuda", or "auto" for CUDA where the machine has it.
        bf16: whether to compute in bfloat16. None chooses bfloat16 where the processor has
            instructions for it.

    Raises:
        BadParameter: another device.
    """

    device: str = "auto"
    bf16: bool | None = None

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda"):
            raise BadParameter(f"device {self.device!r}: auto, cpu or cuda")


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """What evaluates a network, for messages and tables.

    Attributes:
        name: the runtime's name in the registry.
        device: the device's name, such as "cpu" or "cuda".
        precision: the floating-point type, such as "float32".
    """

    name: str
    device: str
    precision: str

    def __str__(self) -> str:
        return f"{self.name} on {self.device} in {self.precision}"


class Runtime(Protocol):
    """One network on one device."""

    @property
    def info(self) -> RuntimeInfo:
        """The library, the device and the precision."""
        ...

    @property
    def geometry(self) -> Geometry:
        """The shape of the network's windows."""
        ...

    def batch_size(self, shape: Shape) -> int:
        """How many windows of a shape (depth, rows, columns) to predict at a time, at least 1."""
        ...

    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probabilities of the slices in the middle of each window.

        Args:
            windows: (N, inputs * depth, rows, columns), the network's inputs one after the other;
                the first is the intensity on the scale of `intensity.normalise`. Rows and columns
                are numbers of `geometry.fitting`.

        Returns:
            (N, predicted, rows, columns) probabilities from 0 to 1.

        Raises:
            MemoryError: the windows do not fit into the device's memory together.
        """
        ...


class RuntimeFactory(Protocol):
    """The function `load_runtime` that the module of every runtime has."""

    def __call__(self, path: Path, *, sha256: str, options: RuntimeOptions) -> Runtime:
        """Load the weights of a file.

        Args:
            path: a file of weights.
            sha256: the file's SHA-256 in hexadecimal, which is checked.
            options: where and how precisely to compute.

        Raises:
            BadFile: the file is damaged, or it holds no network of this program.
            BadParameter: the machine does not have the device.
            FileAccess: the file cannot be read.
            MissingDependency: the runtime cannot evaluate this kind of network.
        """
        ...
