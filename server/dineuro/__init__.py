"""From a microscope stack to the neuron's tree.

    import dineuro

    result = dineuro.trace("neuron.tif", threshold=100)
    dineuro.write_swc("neuron.swc", result.tree)
    print(result.report.length, result.report.warnings)

Each name is loaded when it is used first: the import itself loads no numerical library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dineuro.api import enhance, score, trace
    from dineuro.pipeline.result import EnhancedVolume, Result
    from dineuro_bridge.client import AsyncClient, Client
    from dineuro_bridge.errors import DineuroError
    from dineuro_bridge.options import TraceOptions
    from dineuro_bridge.trees.swc import read_swc, write_swc
    from dineuro_bridge.trees.tree import Tree
    from dineuro_bridge.volumes.formats import read_volume, write_volume
    from dineuro_bridge.volumes.volume import Volume
    from dineuro_tracing.scores import Scores

__all__ = [
    "AsyncClient",
    "Client",
    "DineuroError",
    "EnhancedVolume",
    "Result",
    "Scores",
    "TraceOptions",
    "Tree",
    "Volume",
    "enhance",
    "read_swc",
    "read_volume",
    "score",
    "trace",
    "write_swc",
    "write_volume",
]

#: The names of each module.
_MODULES = {
    "dineuro.api": ("enhance", "score", "trace"),
    "dineuro.pipeline.result": ("EnhancedVolume", "Result"),
    "dineuro_bridge.client": ("AsyncClient", "Client"),
    "dineuro_bridge.errors": ("DineuroError",),
    "dineuro_bridge.options": ("TraceOptions",),
    "dineuro_bridge.trees.swc": ("read_swc", "write_swc"),
    "dineuro_bridge.trees.tree": ("Tree",),
    "dineuro_bridge.volumes.formats": ("read_volume", "write_volume"),
    "dineuro_bridge.volumes.volume": ("Volume",),
    "dineuro_tracing.scores": ("Scores",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name from its module; it stays in this one."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dineuro' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
