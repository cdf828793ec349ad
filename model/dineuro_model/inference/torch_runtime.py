"""The runtime of PyTorch, on CPU or CUDA, in float32 or bfloat16."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter
from dineuro_model.inference.runtime import Geometry, RuntimeInfo, RuntimeOptions
from dineuro_model.network.network import Network
from dineuro_model.network.weights import load_network
from dineuro_model.windows import Shape

#: Voxels of a batch of windows; their features take a few hundred megabytes.
_BATCH_VOXELS = 2_000_000


class TorchRuntime:
    """A network in PyTorch; it implements the protocol `Runtime`.

    Args:
        network: the trained network. The runtime works on a copy.
        options: where and how precisely to compute.

    Raises:
        BadParameter: CUDA is required and PyTorch finds no such device.
    """

    def __init__(self, network: Network, options: RuntimeOptions = RuntimeOptions()) -> None:
        self.device = choose_device(options.device)
        bf16 = has_fast_bf16(self.device) if options.bf16 is None else options.bf16
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        self.network = copy.deepcopy(network).to(self.device, self.dtype).eval().reuse_memory()

    @property
    def info(self) -> RuntimeInfo:
        """The library, the device and the precision."""
        return RuntimeInfo("torch", str(self.device), str(self.dtype).removeprefix("torch."))

    @property
    def geometry(self) -> Geometry:
        """The shape of the network's windows."""
        network, config = self.network, self.network.config
        depth, predicted, size = config.depth, config.predicted, config.size
        return Geometry(depth, predicted, size, network.step, network.patch, config.inputs)

    def batch_size(self, shape: Shape) -> int:
        """How many windows of a shape (depth, rows, columns) to predict at a time."""
        return max(1, _BATCH_VOXELS // math.prod(shape))

    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, inputs * depth, rows, columns) -> (N, predicted, rows, columns) probabilities.

        Raises:
            MemoryError: the windows do not fit into the device's memory together.
        """
        try:
            with torch.inference_mode():
                batch = torch.from_numpy(windows).to(self.device, self.dtype)
                probabilities: NDArray[np.float32] = self.network(batch).sigmoid().cpu().numpy()
                return probabilities
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            raise MemoryError(str(error)) from error


def load_runtime(path: Path, *, sha256: str, options: RuntimeOptions) -> TorchRuntime:
    """Load a network from a file of weights; see `runtime.RuntimeFactory`."""
    return TorchRuntime(load_network(path, sha256=sha256), options)


def choose_device(name: str) -> torch.device:
    """The device "cpu" or "cuda"; "auto" is CUDA where PyTorch finds it.

    Raises:
        BadParameter: CUDA is required and PyTorch finds no such device.
    """
    cuda = torch.cuda.is_available()
    if name == "cuda" and not cuda:
        raise BadParameter("device cuda: this machine has none that torch can use")
    return torch.device("cuda" if cuda and name != "cpu" else "cpu")


def has_fast_bf16(device: torch.device) -> bool:
    """Whether a device computes faster in bfloat16 than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch's error says that an allocation failed."""
    text = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
    )
