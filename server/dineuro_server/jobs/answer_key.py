"""The key that all equal requests share: same input, parameters, weights and program."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version

from dineuro_model.catalog import ModelInfo
from dineuro_server.jobs.records import JobSpec


def answer_key(spec: JobSpec, models: Sequence[ModelInfo]) -> str:
    """The SHA-256, in hexadecimal, of everything that the answer to a request depends on.

    Args:
        spec: the request, with all parameters written out.
        models: the installed networks, the default one first.
    """
    name = spec.parameters.get("model")
    weights = [model.sha256 for model in models if name in (None, model.name)][:1]
    if spec.parameters.get("enhancer") not in ("auto", "dineuro"):
        weights = []
    request = {
        "kind": spec.kind,
        "input": spec.input,
        "source": spec.source,
        "parameters": spec.parameters,
        "weights": weights,
        "program": version("dineuro"),
    }
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
