"""The registry of runtimes, and models loaded with one of them.

To add a runtime, write its module with a function `load_runtime` (see `runtime.RuntimeFactory`) and
add one line to `RUNTIMES`. No library of a runtime is imported before a model is loaded.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from dineuro_bridge.errors import BadParameter, MissingDependency
from dineuro_model.catalog import ModelInfo, find_model
from dineuro_model.imports import import_quickly
from dineuro_model.inference.runtime import Runtime, RuntimeFactory, RuntimeOptions

#: One of these exists where NVIDIA's driver is loaded: on Linux, and in Linux on Windows.
_GPU_FILES = ("/dev/nvidiactl", "/dev/dxg")


@dataclass(frozen=True, slots=True)
class RuntimeEntry:
    """A line of the registry.

    Attributes:
        name: the runtime's name.
        module: the dotted name of the module that has `load_runtime`.
        libraries: the top-level packages that the module imports; all must be installed.
        devices: the devices that the runtime may use.
    """

    name: str
    module: str
    libraries: tuple[str, ...]
    devices: tuple[str, ...] = ("cpu",)

    def is_installed(self) -> bool:
        """Whether every library of the runtime is installed. None of them is imported."""
        return all(find_spec(library) is not None for library in self.libraries)

    def factory(self) -> RuntimeFactory:
        """Import the module of the runtime; returns its `load_runtime`."""
        import_quickly(self.module)
        load_runtime: RuntimeFactory = sys.modules[self.module].load_runtime
        return load_runtime


#: All runtimes, the preferred one first.
RUNTIMES: tuple[RuntimeEntry, ...] = (
    RuntimeEntry(
        "openvino", "dineuro_model.inference.openvino_runtime", ("openvino", "safetensors")
    ),
    RuntimeEntry(
        "torch",
        "dineuro_model.inference.torch_runtime",
        ("torch", "timm", "safetensors"),
        ("cpu", "cuda"),
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A network that is ready to predict, with the provenance that its results carry.

    Attributes:
        name: the name of an installed model, or the name of its file.
        sha256: the SHA-256 of the weights in hexadecimal.
        runtime: the network on its device.
    """

    name: str
    sha256: str
    runtime: Runtime


def runtimes_for(device: str = "auto", name: str | None = None) -> list[RuntimeEntry]:
    """The runtimes that are installed and may use a device, the best one first.

    Args:
        device: "cpu", "cuda" or "auto". With "auto", the runtimes that may use CUDA come first
            where the machine has a GPU of NVIDIA.
        name: the name of a runtime; None is any.

    Raises:
        BadParameter: the registry has no such runtime, or it cannot use the device.
        MissingDependency: the libraries of the runtime, or of all runtimes, are not installed.
    """
    named = [entry for entry in RUNTIMES if name in (None, entry.name)]
    if not named:
        names = ", ".join(entry.name for entry in RUNTIMES)
        raise BadParameter(f"runtime {name!r}: is unknown; the runtimes are {names}")
    entries = [entry for entry in named if device == "auto" or device in entry.devices]
    if not entries:
        raise BadParameter(f"device {device}: the runtime {name} cannot use it")
    if device == "auto" and has_nvidia_gpu():
        entries.sort(key=lambda entry: "cuda" not in entry.devices)
    if installed := [entry for entry in entries if entry.is_installed()]:
        return installed
    needs = " or ".join(" and ".join(entry.libraries) for entry in entries)
    extra = "server" if device == "cuda" else "cpu"
    raise MissingDependency(f"the network needs {needs}: pip install 'dineuro[{extra}]'")


def has_nvidia_gpu() -> bool:
    """Whether this process may use a GPU of NVIDIA; no library is imported for the answer."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    return not hidden and any(Path(path).exists() for path in _GPU_FILES)


def nvidia_gpus() -> list[str]:
    """The GPUs of NVIDIA that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if not has_nvidia_gpu():
        return []
    if named := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return named.split(",")
    folder = Path("/proc/driver/nvidia/gpus")
    return [str(n) for n, _ in enumerate(folder.iterdir())] if folder.is_dir() else ["0"]


def load_model(
    name: str | None = None,
    options: RuntimeOptions = RuntimeOptions(),
    *,
    runtime: str | None = None,
) -> Model:
    """Load a model.

    Args:
        name: the name of an installed model or the path of its weights; None is the default model.
        options: where and how precisely to compute.
        runtime: the name of a runtime; None chooses the best one that is installed.

    Raises:
        BadParameter: no such model, no such runtime, or the machine does not have the device.
        BadFile: the weights are damaged, or they are not the released file.
        FileAccess: the weights cannot be read.
        MissingDependency: no runtime is installed, or none of those can evaluate the network.
    """
    weights = find_model(name)
    *others, last = runtimes_for(options.device, runtime)
    for entry in others:
        with suppress(MissingDependency):  # it cannot evaluate this network, and the next one may
            return _loaded(weights, entry, options)
    return _loaded(weights, last, options)


def _loaded(weights: ModelInfo, entry: RuntimeEntry, options: RuntimeOptions) -> Model:
    """A model in one runtime."""
    load_runtime = entry.factory()
    network = load_runtime(weights.path, sha256=weights.sha256, options=options)
    return Model(weights.name, weights.sha256, network)


@lru_cache(maxsize=1)
def cached_model(name: str | None = None, options: RuntimeOptions = RuntimeOptions()) -> Model:
    """As `load_model`; the model of the last call stays in memory for the next volume."""
    return load_model(name, options)
