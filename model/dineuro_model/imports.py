"""Imports of large libraries with the garbage collector at rest."""

from __future__ import annotations

import gc
import sys
from importlib import import_module


def import_quickly(*modules: str) -> None:
    """Import modules that import torch and timm, as an import statement does.

    Such an import creates hundreds of thousands of permanent objects. Python's cyclic garbage
    collector would traverse them repeatedly, which takes a sixth of the time until a network is
    ready, and once more at exit. Therefore the collector rests during the import. Afterwards it
    ignores these objects.

    Args:
        modules: dotted names of the modules.

    Raises:
        ImportError: a module cannot be imported.
    """
    if all(module in sys.modules for module in modules):
        return
    was_enabled = gc.isenabled()
    gc.collect()  # garbage of this moment must not become permanent
    gc.disable()
    try:
        for module in modules:
            import_module(module)
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
