"""A runtime that refuses every network."""

from __future__ import annotations

from pathlib import Path

from dineuro_bridge.errors import MissingDependency
from dineuro_model.inference.runtime import Runtime, RuntimeOptions


def load_runtime(path: Path, *, sha256: str, options: RuntimeOptions) -> Runtime:
    raise MissingDependency(f"{path} needs another library")
