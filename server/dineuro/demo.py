"""A neuron grown and rendered on the spot, traced as any other stack, and judged by its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dineuro.files.outputs import make_folder
from dineuro.files.write import run_one
from dineuro_bridge.parts import PARTS
from dineuro_bridge.progress import ProgressCallback
from dineuro_bridge.trees.swc import write_swc
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import RenderSettings, render
from dineuro_tracing.scores import score_trees

_SHAPE = (96, 224, 224)
_LOOK = RenderSettings(contrast=8.0, unevenness=0.3, beading=0.3, gaps=0.2, puncta=10)


def run_demo(
    folder: Path, seed: int, progress: ProgressCallback
) -> tuple[dict[str, Any], dict[str, str]]:
    """Write stack, truth, tree, mask, report, picture and doubts into a folder.

    Returns the report, and the scores against the truth for a person to read.
    """
    rng = np.random.default_rng(seed)
    grown = grow_tree(_SHAPE, rng)
    rendering = render(grown, _SHAPE, rng, _LOOK)
    make_folder(folder)
    stack = folder / "neuron.tif"
    write_volume(stack, Volume(rendering.voxels[None], spacing=(0.5, 0.5, 0.5)))
    write_swc(folder / "neuron_truth.swc", grown)
    outputs = {
        part.name: folder / part.file_name("neuron")
        for part in PARTS.values()
        if part.is_delivered and part.in_blocks != "alone"
    }
    done = run_one(stack, outputs, progress=progress)
    scores = score_trees(grown, done.tree)
    figures = {
        "F1 within 2 voxels": f"{scores.at2.f1:.3f}",
        "F1 within 4 voxels": f"{scores.at4.f1:.3f}",
        "mean distance (ESA)": "-" if scores.esa is None else f"{scores.esa:.2f} voxels",
        "length traced, grown": f"{scores.test_length:.0f}, {scores.gold_length:.0f} voxels",
    }
    return done.record, figures
