"""A viewer without a canvas, and a traced stack, for the tests of the plugin for napari.

napari is not a part of the environment of the other tests; `make test-napari` has it.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest

WITHOUT_NAPARI = "napari is not installed here; `make test-napari` runs this test"

with warnings.catch_warnings():
    # The libraries that napari imports warn of their own future.
    warnings.simplefilter("ignore")
    try:
        from napari.components import ViewerModel as Model
    except ImportError:
        Model = None

HAS_NAPARI = Model is not None


@pytest.fixture
def viewer() -> Any:
    """napari's model of a viewer: its layers, axes and camera."""
    if not HAS_NAPARI:
        pytest.skip(WITHOUT_NAPARI)
    return Model()
