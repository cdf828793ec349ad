"""Probability -> tree: the stages of the tracer, and the scores between two trees.

Importing the package loads numpy only. A stage is loaded with the first use of its name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dineuro_tracing.confidence import Segments, assess
    from dineuro_tracing.doubts import Doubt
    from dineuro_tracing.pruning import prune
    from dineuro_tracing.scores import Scores, score_trees
    from dineuro_tracing.trace import Trace

__all__ = ["Doubt", "Scores", "Segments", "Trace", "assess", "prune", "score_trees"]

_MODULES = {
    "Doubt": "doubts",
    "Scores": "scores",
    "Segments": "confidence",
    "Trace": "trace",
    "assess": "confidence",
    "prune": "pruning",
    "score_trees": "scores",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
