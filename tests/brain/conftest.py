"""A small volume with two neurons, as OME-Zarr, and its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dineuro.brain.run import prepare_job, run_brain
from dineuro.brain.workers import ThisProcess
from dineuro_bridge.options import DEFAULTS, TraceOptions
from dineuro_bridge.progress import ProgressCallback, silent
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes import ome_zarr
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import RenderSettings, render

SHAPE = (64, 112, 112)
EDGE = 64


@pytest.fixture(scope="session")
def truth() -> Tree:
    return grow_tree(SHAPE, np.random.default_rng(12))


@pytest.fixture(scope="session")
def stored(truth: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The volume; do not change it."""
    rng = np.random.default_rng(13)
    voxels = render(truth, SHAPE, rng, RenderSettings.clean()).voxels
    path = tmp_path_factory.mktemp("brain") / "brain.ome.zarr"
    ome_zarr.write(path, Volume(voxels[None], spacing=(0.5, 0.5, 0.5)))
    return path


def run(
    path: Path,
    folder: Path,
    options: TraceOptions = DEFAULTS,
    progress: ProgressCallback = silent,
    edge: int = EDGE,
) -> dict[str, Any]:
    """A run in this process."""
    return run_brain(prepare_job(path, folder, options, edge), ThisProcess(), progress)
