"""When two requests are the same: same bytes, same parameters, same weights, same program."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version

from dineuro_model.catalog import ModelInfo
from dineuro_server.jobs.records import JobSpec


def answer_key(spec: JobSpec, models: Sequence[ModelInfo]) -> str:
    """What all requests have in common that must get the same answer, as a hash.

    Args:
        spec: with all parameters written out.
        models: the installed networks, the default one first.
    """
    wanted = spec.parameters.get("model")
    weights = [model.sha256 for model in models if wanted in (None, model.name)][:1]
    if spec.parameters.get("enhancer") not in ("auto", "dineuro"):
        weights = []
    asked = {
        "kind": spec.kind,
        "input": spec.input,
        "source": spec.source,
        "parameters": spec.parameters,
        "weights": weights,
        "program": version("dineuro"),
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
