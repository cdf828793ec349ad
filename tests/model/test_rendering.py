"""Grown trees and rendered stacks: the truth beside a stack has to be its truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.trees.swc import swc_text
from dineuro_bridge.trees.tree import Tree
from dineuro_model.synthesis.growth import GrowthSettings, grow_tree
from dineuro_model.synthesis.rendering import RenderSettings, render
from dineuro_tracing.scores import distances
from tests.support.shapes import chain, line

SHAPE = (64, 96, 128)


def straight(radius: float = 2.0) -> Tree:
    tree = chain(line((10, 48, 32), (118, 48, 32)))
    return Tree(tree.xyz, np.full(len(tree), radius), tree.parents, tree.types)


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_a_grown_tree_is_one_neuron_inside_its_box(seed: int, stems: int) -> None:
    tree = grow_tree(SHAPE, np.random.default_rng(seed), GrowthSettings(stems=stems))
    assert tree.n_trees == 1
    assert tree.types[0] == 1
    assert (tree.types[1:] == 3).all()
    assert 1 <= tree.n_children[0] <= stems
    size = np.array(SHAPE[::-1])
    assert (tree.xyz > 0).all()
    assert (tree.xyz < size - 1).all()
    assert tree.radii[1:].max() <= 2.2 * 1.2
    assert tree.radii[1:].min() >= 0.8
    # Steps of a voxel, but for the links that leave the soma.
    assert np.allclose(tree.link_lengths[tree.parents > 0], 1)


def test_growth_and_rendering_repeat_for_the_same_seed() -> None:
    def once() -> tuple[str, bytes]:
        rng = np.random.default_rng(8)
        tree = grow_tree(SHAPE, rng)
        return swc_text(tree), render(tree, SHAPE, rng, RenderSettings.hard()).voxels.tobytes()

    assert once() == once()


def test_a_box_too_small_for_a_soma_is_refused() -> None:
    with pytest.raises(BadParameter, match="holds no neuron"):
        grow_tree((10, 100, 100), np.random.default_rng(0))


def test_the_mask_is_the_tree_and_its_surroundings() -> None:
    rng = np.random.default_rng(2)
    tree = grow_tree(SHAPE, rng)
    mask = render(tree, SHAPE, rng).mask
    at = np.rint(tree.xyz[:, ::-1]).astype(int)
    assert mask[tuple(at.T)].all()
    inside = np.argwhere(mask)[:, ::-1].astype(float)
    assert distances(inside[tree_far_from_soma(inside, tree)], tree).max() <= 2.2 * 1.2 + 0.5


def tree_far_from_soma(points: np.ndarray, tree: Tree) -> np.ndarray:
    return np.asarray(np.linalg.norm(points - tree.xyz[0], axis=1) > tree.radii[0] + 3)


def test_a_tube_has_its_radius() -> None:
    mask = render(straight(3.0), SHAPE, np.random.default_rng(0)).mask
    section = mask[:, :, 64].sum()
    assert section == pytest.approx(np.pi * 3**2, rel=0.15)


def test_contrast_and_noise_are_as_asked() -> None:
    how = RenderSettings(contrast=5, beading=0, point_spread=(0, 0, 0), dtype="uint16")
    voxels = render(straight(), SHAPE, np.random.default_rng(0), how).voxels.astype(float)
    ground = voxels[:20].ravel()
    # The gain is unknown, but signal over noise is not.
    signal = voxels[32, 48, 20:108].mean() - ground.mean()
    dimming = 0.8  # the mean along the line; the median, which is set, lies there too
    assert signal / ground.std() == pytest.approx(5, rel=0.15), dimming
    gain = ground.var() / ground.mean()
    assert ground.var() / gain**2 == pytest.approx(how.photons + how.read_noise**2, rel=0.2)


def test_gaps_lower_the_signal_and_stay_in_the_mask() -> None:
    quiet = RenderSettings(contrast=50, beading=0, photons=400)
    whole = render(straight(), SHAPE, np.random.default_rng(3), quiet)
    holes = render(straight(), SHAPE, np.random.default_rng(3), replace(quiet, gaps=6))
    on_line = (32, 48, slice(14, 114))
    low = np.percentile(holes.voxels[on_line], 5) / np.median(holes.voxels[on_line])
    assert low < 0.5 < np.percentile(whole.voxels[on_line], 5) / np.median(whole.voxels[on_line])
    assert np.array_equal(whole.mask, holes.mask)


def test_a_soma_may_outshine_its_neurites_and_light_may_fade_with_depth() -> None:
    tree = grow_tree(SHAPE, np.random.default_rng(2))
    how = RenderSettings(contrast=5, soma=50, dtype="uint16")
    stack = render(tree, SHAPE, np.random.default_rng(2), how).voxels.astype(float)
    z, y, x = np.rint(tree.xyz[:, ::-1]).astype(int).T
    above = stack[z, y, x] - np.median(stack)
    assert above[0] > 20 * np.median(above[tree.types != 1])
    upright = chain(line((64, 48, 6), (64, 48, 58)))
    how = replace(how, contrast=100)
    faded, whole = (
        render(upright, SHAPE, np.random.default_rng(2), replace(how, fading=fading)).voxels
        for fading in (2.0, 0.0)
    )
    ratio = [v[10:20, 48, 64].mean() / v[44:54, 48, 64].mean() for v in (faded, whole)]
    assert ratio[0] > 2 * ratio[1]


def test_masked_stacks_are_zero_far_from_the_neuron_and_only_there() -> None:
    stack = render(straight(), SHAPE, np.random.default_rng(1), RenderSettings(masked="wide"))
    assert (stack.voxels == 0).mean() > 0.3
    assert (stack.voxels[stack.mask] > 0).mean() > 0.99
    # The edge of what was kept does not follow the neurite: it is no hint where that is.
    kept = stack.voxels[:, :, 20:108].max(axis=0) > 0
    assert np.ptp(kept.sum(axis=0)) >= 8


def test_distractors_shine_but_are_not_in_the_truth() -> None:
    other = chain(line((10, 20, 50), (118, 20, 50)))
    how = RenderSettings.clean()
    alone = render(straight(), SHAPE, np.random.default_rng(1), how)
    both = render(straight(), SHAPE, np.random.default_rng(1), how, distractors=[other])
    assert np.array_equal(alone.mask, both.mask)
    assert np.array_equal(alone.mask, alone.neurites)
    assert both.neurites[50, 20, 30:100].all()
    assert (both.neurites & both.mask).sum() == both.mask.sum()
    assert both.voxels[50, 20, 30:100].mean() > 2 * alone.voxels[50, 20, 30:100].mean()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_samples_use_their_range(dtype: str) -> None:
    how = RenderSettings(dtype=dtype)  # type: ignore[arg-type]
    voxels = render(straight(), SHAPE, np.random.default_rng(1), how).voxels
    assert voxels.dtype == dtype
    assert voxels.max() == np.iinfo(dtype).max


@pytest.mark.parametrize(
    "wrong", [{"contrast": 0}, {"photons": -1}, {"haze": -0.1}, {"dtype": "float32"}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadParameter, match="rendering"):
        RenderSettings(**wrong)  # type: ignore[arg-type]


def test_an_empty_tree_is_refused() -> None:
    with pytest.raises(BadParameter, match="no node in the stack"):
        render(Tree.empty(), SHAPE, np.random.default_rng(0))
