"""The tree does not depend on the order in which the voxels are stored."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from dineuro_bridge.options import TraceOptions
from dineuro_model.enhancers.classical import enhance
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import RenderSettings, render
from dineuro_tracing.scores import score_trees
from dineuro_tracing.trace import trace
from tests.support.orientations import MIRRORS, SWAPS, Orientation

SHAPE = (40, 72, 84)
#: Three of ten stacks have several somata, half are broken into pieces, and half are masks, in
#: which most voxels are equal.
SEEDS = range(20)


@cache
def probability(seed: int) -> NDArray[np.uint8]:
    """A neuron with a neighbour, clean or broken, as a probability or as a mask."""
    rng = np.random.default_rng(seed)
    neurons = [grow_tree(SHAPE, rng) for _ in range(2)]
    settings = RenderSettings.medium() if seed % 2 else RenderSettings.clean()
    others = neurons[1:] if seed % 3 == 0 else []
    values = enhance(render(neurons[0], SHAPE, rng, settings, distractors=others).voxels)
    return np.where(values >= 128, np.uint8(255), np.uint8(0)) if seed % 4 < 2 else values


@pytest.mark.parametrize("orientations", [MIRRORS, SWAPS], ids=["mirrored", "swapped"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_turned_volume_has_the_turned_tree(
    seed: int, orientations: tuple[Orientation, ...]
) -> None:
    volume = probability(seed)
    tree = trace(volume, TraceOptions(trees="all")).tree
    assert len(tree) > 20
    # One order of axes a volume; over the volumes all of them are tried.
    for orientation in orientations if orientations is MIRRORS else [SWAPS[seed % len(SWAPS)]]:
        turned = trace(orientation.of_volume(volume), TraceOptions(trees="all")).tree
        same = score_trees(tree, orientation.undone(turned, SHAPE))
        assert same.at2.f1 > 0.995
        assert len(turned) == pytest.approx(len(tree), abs=2)
