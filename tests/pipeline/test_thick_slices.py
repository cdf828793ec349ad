"""Stacks whose slices lie far apart: the voxel size must not make the tree worse."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from dineuro.pipeline.reconstruct import reconstruct
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.volume import Volume
from dineuro_tracing.scores import score_trees
from tests.support.shapes import chain, line

SHAPE = (50, 60, 160)
TRUNK = np.concatenate(
    [line((8, 20, 20), (60, 30, 22)), line((60, 30, 22), (110, 30, 27)),
     line((110, 30, 27), (150, 40, 30))]
)  # fmt: skip


def blurred(path: NDArray[np.float64], seed: int) -> NDArray[np.uint8]:
    """A beaded neurite (Z, Y, X), blurred over many slices, with noise."""
    rng = np.random.default_rng(seed)
    beads = np.exp(1.2 * ndimage.gaussian_filter1d(rng.normal(size=len(path)), 3) * 2.5)
    light = np.zeros(SHAPE, dtype=np.float64)
    x, y, z = np.rint(path.T).astype(np.int64)
    np.maximum.at(light, (z, y, x), beads)
    light = ndimage.gaussian_filter(light, (3.0, 1.2, 1.2))
    light *= 400 / np.median(light[z, y, x])
    return np.asarray(np.clip(rng.poisson(light + 20), 0, 255).astype(np.uint8))


def traced(stack: NDArray[np.uint8], spacing: tuple[float, float, float] | None) -> Tree:
    """The tree of the classical enhancer; the spacing is x, y, z in µm."""
    options = TraceOptions(enhancer="classical", spacing=spacing)
    return reconstruct(Volume(stack[None]), options).tree


@pytest.mark.parametrize("seed", range(3))
def test_a_trunk_that_is_blurred_along_z_is_one_line_and_no_comb(seed: int) -> None:
    stack, gold = blurred(TRUNK, seed), chain(TRUNK)
    known, unknown = traced(stack, (0.33, 0.33, 1.0)), traced(stack, None)
    assert len(known.forks) <= 3  # in the true scale alone there are 17 or more
    assert score_trees(gold, known).at2.f1 >= score_trees(gold, unknown).at2.f1 - 0.03
