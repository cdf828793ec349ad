"""Large libraries, imported without looking for garbage among them."""

from __future__ import annotations

import gc
import sys
from importlib import import_module


def import_quickly(*modules: str) -> None:
    """Import modules of which some import torch and timm, as an import statement would.

    Such an import makes hundreds of thousands of objects that stay. Python's cyclic garbage
    collector would look through them again and again, a sixth of the time until a network is ready,
    and once more when the program ends: it rests meanwhile, and leaves them alone from then on.
    """
    if all(module in sys.modules for module in modules):
        return
    worked = gc.isenabled()
    gc.collect()  # what is garbage now must not be kept
    gc.disable()
    try:
        for module in modules:
            import_module(module)
        gc.freeze()
    finally:
        if worked:
            gc.enable()
