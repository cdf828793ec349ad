"""The whole way from image to tree does not depend on the order in which the voxels are stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dineuro.pipeline.reconstruct import reconstruct
from dineuro.pipeline.second_pass import _random_places, _sample
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.enhancers.classical import enhance_and_measure
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import Rendering, RenderSettings, render
from dineuro_tracing.scores import score_trees
from tests.support.orientations import MIRRORS, SWAPS, Orientation

#: No edge is a multiple of the background's blocks.
SHAPE = (41, 70, 83)
OPTIONS = TraceOptions(enhancer="classical", passes=1)


def stack(seed: int, settings: RenderSettings) -> Rendering:
    rng = np.random.default_rng(seed)
    return render(grow_tree(SHAPE, rng), SHAPE, rng, replace(settings, unevenness=0.6))


@pytest.mark.parametrize(
    ("seed", "settings", "orientations"),
    [(1, RenderSettings.clean(), SWAPS), (2, RenderSettings.medium(), MIRRORS)],
    ids=["clean and swapped", "noisy and mirrored"],
)
def test_a_turned_image_has_the_turned_tree(
    seed: int, settings: RenderSettings, orientations: tuple[Orientation, ...]
) -> None:
    voxels = stack(seed, settings).voxels
    tree = reconstruct(Volume(voxels[None]), OPTIONS).tree
    assert len(tree) > 20
    for orientation in orientations:
        turned = reconstruct(Volume(orientation.of_volume(voxels)[None]), OPTIONS).tree
        assert score_trees(tree, orientation.undone(turned, SHAPE)).at2.f1 > 0.995


@pytest.mark.parametrize("orientation", [*MIRRORS, *SWAPS], ids=str)
def test_a_turned_image_has_the_turned_probability(orientation: Orientation) -> None:
    voxels = stack(3, RenderSettings.medium()).voxels
    here, there = (enhance_and_measure(v) for v in (voxels, orientation.of_volume(voxels)))
    expected = orientation.of_volume(here.probability).astype(np.int64)
    assert np.abs(expected - there.probability).max() <= 1  # the last digits round apart
    assert there.clearness == pytest.approx(here.clearness, rel=1e-4)


@pytest.mark.parametrize("orientation", [*MIRRORS, *SWAPS], ids=str)
def test_the_examples_of_the_second_pass_are_the_same_voxels(orientation: Orientation) -> None:
    drawn, again = (_random_places(shape, 20_000) for shape in (SHAPE, turned_shape(orientation)))
    assert len(drawn) == pytest.approx(20_000, rel=0.1)
    for most, same in ((len(drawn), 1.0), (2_000, 0.99)):  # mirror images share a lot
        one, two = np.zeros(SHAPE, dtype=bool), np.zeros(turned_shape(orientation), dtype=bool)
        one[tuple(_sample(drawn, most, SHAPE).T)] = True
        two[tuple(_sample(again, most, two.shape).T)] = True
        assert (orientation.of_volume(one) & two).sum() >= same * min(most, len(drawn))


def turned_shape(orientation: Orientation) -> tuple[int, ...]:
    """The shape of the turned volume."""
    return tuple(SHAPE[axis] for axis in orientation.axes)
