"""The registry of runtimes, and models loaded with one of them.

To add a runtime, write its module with a function `load_runtime` (see `runtime.RuntimeFactory`) and
add one line to `RUNTIMES`. No library of a runtime is imported before a model is loaded.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec

from dineuro_bridge.errors import BadParameter, MissingDependency
from dineuro_model.catalog import find_model
from dineuro_model.imports import import_quickly
from dineuro_model.inference.runtime import Runtime, RuntimeFactory, RuntimeOptions


@dataclass(frozen=True, slots=True)
class RuntimeEntry:
    """A line of the registry.

    Attributes:
        name: the runtime's name.
        module: the dotted name of the module that has `load_runtime`.
        libraries: the top-level packages that the module imports; all must be installed.
    """

    name: str
    module: str
    libraries: tuple[str, ...]

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
        "torch", "dineuro_model.inference.torch_runtime", ("torch", "timm", "safetensors")
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


def choose_runtime(name: str | None = None) -> RuntimeEntry:
    """The runtime of a name; None chooses the first one whose libraries are installed.

    Raises:
        BadParameter: the registry has no such runtime.
        MissingDependency: the libraries of the runtime, or of all runtimes, are not installed.
    """
    entries = [entry for entry in RUNTIMES if name in (None, entry.name)]
    if not entries:
        names = ", ".join(entry.name for entry in RUNTIMES)
        raise BadParameter(f"runtime {name!r}: is unknown; the runtimes are {names}")
    for entry in entries:
        if entry.is_installed():
            return entry
    needs = " or ".join(" and ".join(entry.libraries) for entry in entries)
    raise MissingDependency(f"the network needs {needs}: pip install 'dineuro[server]'")


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
        MissingDependency: no runtime is installed.
    """
    weights = find_model(name)
    load_runtime = choose_runtime(runtime).factory()
    network = load_runtime(weights.path, sha256=weights.sha256, options=options)
    return Model(weights.name, weights.sha256, network)


@lru_cache(maxsize=1)
def cached_model(name: str | None = None, options: RuntimeOptions = RuntimeOptions()) -> Model:
    """As `load_model`; the model of the last call stays in memory for the next volume."""
    return load_model(name, options)
