"""Volumes, trees and their file formats, which every other package builds on.

A name is loaded when it is first used, so that `dineuro_bridge.errors` needs no numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dineuro_bridge.trees.marker import Marker, read_markers, write_markers
    from dineuro_bridge.trees.swc import read_swc, write_swc
    from dineuro_bridge.trees.tree import Tree
    from dineuro_bridge.volumes.formats import open_volume, read_header, read_volume, write_volume
    from dineuro_bridge.volumes.volume import Header, Volume

__all__ = [
    "Header",
    "Marker",
    "Tree",
    "Volume",
    "open_volume",
    "read_header",
    "read_markers",
    "read_swc",
    "read_volume",
    "write_markers",
    "write_swc",
    "write_volume",
]

#: The names of each module.
_MODULES = {
    "dineuro_bridge.trees.marker": ("Marker", "read_markers", "write_markers"),
    "dineuro_bridge.trees.swc": ("read_swc", "write_swc"),
    "dineuro_bridge.trees.tree": ("Tree",),
    "dineuro_bridge.volumes.formats": (
        "open_volume", "read_header", "read_volume", "write_volume",
    ),
    "dineuro_bridge.volumes.volume": ("Header", "Volume"),
}  # fmt: skip
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name from its module; afterwards it is an attribute of this module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dineuro_bridge' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
