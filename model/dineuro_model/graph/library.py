"""OpenVINO without its telemetry; every other module takes `openvino` and `ops` from here.

`import openvino` alone tells Google Analytics of the import, under an identifier that it stores in
the home directory. It does without where the package `openvino_telemetry` cannot be imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TELEMETRY = "openvino_telemetry"


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Make an import of a package fail, as if it were not installed."""
    before = sys.modules.pop(package, None)
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]
        if before is not None:
            sys.modules[package] = before


with _without(_TELEMETRY):
    import openvino
    import openvino.opset13 as ops

__all__ = ["openvino", "ops"]
