"""The runtime of OpenVINO, on the CPU, in float32 or bfloat16; it needs no torch."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadFile, BadParameter
from dineuro_model.graph.library import openvino
from dineuro_model.graph.network import build_graph
from dineuro_model.inference.runtime import Geometry, RuntimeInfo, RuntimeOptions
from dineuro_model.network.config import PLANE_STEP
from dineuro_model.network.stored import StoredNetwork, read_network
from dineuro_model.windows import Shape

#: Voxels of a batch of windows; their features take a few hundred megabytes.
_BATCH_VOXELS = 2_000_000
#: OpenVINO's names of types, and those of everybody else.
_TYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


class OpenVinoRuntime:
    """A network in OpenVINO; it implements the protocol `Runtime`.

    The environment variable OMP_NUM_THREADS limits the threads, as it does in torch.

    Args:
        network: the content of a file of weights.
        options: where and how precisely to compute.

    Raises:
        BadFile: the weights do not fit the configuration.
        BadParameter: another device than the CPU.
        MissingDependency: only torch can evaluate the network.
    """

    def __init__(self, network: StoredNetwork, options: RuntimeOptions = RuntimeOptions()) -> None:
        if options.device == "cuda":
            raise BadParameter("device cuda: needs torch; OpenVINO runs on the CPU here")
        self._config = network.config
        graph = build_graph(network.config, network.tensors)
        self._places = graph.places
        compiled = openvino.Core().compile_model(graph.model, "CPU", _settings(options))
        self._precision = _TYPES[compiled.get_property("INFERENCE_PRECISION_HINT").to_string()]
        self._request = compiled.create_infer_request()

    @property
    def info(self) -> RuntimeInfo:
        """The library, the device and the precision."""
        return RuntimeInfo("openvino", "cpu", self._precision)

    @property
    def geometry(self) -> Geometry:
        """The shape of the network's windows."""
        config = self._config
        patch = 1 if self._places is None else self._places.patch
        step = math.lcm(patch, PLANE_STEP)
        depth, predicted, size = config.depth, config.predicted, config.size
        return Geometry(depth, predicted, size, step, patch, config.inputs)

    def batch_size(self, shape: Shape) -> int:
        """How many windows of a shape (depth, rows, columns) to predict at a time."""
        return max(1, _BATCH_VOXELS // math.prod(shape))

    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, inputs * depth, rows, columns) -> (N, predicted, rows, columns) probabilities.

        Raises:
            MemoryError: the windows do not fit into the memory together.
        """
        inputs = [np.ascontiguousarray(windows)]
        if self._places is not None:
            inputs.append(self._places.of(*windows.shape[2:]))
        try:
            return np.array(self._request.infer(inputs, share_inputs=True)[0])
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            raise MemoryError(str(error)) from error


def load_runtime(path: Path, *, sha256: str, options: RuntimeOptions) -> OpenVinoRuntime:
    """Load a network from a file of weights; see `runtime.RuntimeFactory`."""
    network = read_network(path, sha256=sha256)
    try:
        return OpenVinoRuntime(network, options)
    except BadFile as error:
        raise BadFile(f"{path}: {error}") from error


def _settings(options: RuntimeOptions) -> dict[str, Any]:
    """OpenVINO's settings: one window after the other, with all threads on each.

    Threads are bound to no core. Several processes would otherwise bind theirs to the same ones.
    """
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
    if options.bf16 is not None:
        settings["INFERENCE_PRECISION_HINT"] = "bf16" if options.bf16 else "f32"
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads) > 0:
        settings["INFERENCE_NUM_THREADS"] = int(threads)
    return settings


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether OpenVINO's error says that an allocation failed."""
    text = str(error).lower()
    return any(sign in text for sign in ("bad_alloc", "bad alloc", "memory", "allocat"))
