"""Grown trees: each setting does to the tree what its description says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.trees.tree import Tree
from dineuro_model.synthesis.growth import GrowthSettings, grow_tree

ROOMY = (400, 400, 400)
NEVER = 1e9  # a distance of forks that no branch reaches


def grown(seed: int, how: GrowthSettings, shape: tuple[int, int, int] = ROOMY) -> Tree:
    return grow_tree(shape, np.random.default_rng(seed), how)


def stem_directions(tree: Tree) -> NDArray[np.float64]:
    """(S, 3) from the soma's centre to the first node of each stem."""
    return np.asarray(tree.xyz[tree.parents == 0] - tree.xyz[0])


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(1, 9))
def test_stems_that_never_fork_are_as_many_and_as_long_as_asked(seed: int, stems: int) -> None:
    tree = grown(seed, GrowthSettings(stems=stems, stem_length=60, fork_every=NEVER))
    assert len(tree.forks) == 0
    assert len(tree.tips) == tree.n_children[0] == stems
    beyond_soma = tree.link_lengths[tree.parents > 0].sum() / stems
    assert 0.7 * 60 - 1 <= beyond_soma <= 1.3 * 60 + 1


def test_stems_leave_the_soma_s_surface_far_from_each_other() -> None:
    ways = stem_directions(grown(0, GrowthSettings(stems=6, soma_radius=7)))
    assert np.allclose(np.linalg.norm(ways, axis=1), 7)
    cosines = (ways @ ways.T / 49)[~np.eye(6, dtype=bool)]
    assert np.degrees(np.arccos(cosines.max())) > 45


def test_another_seed_gives_another_neuron() -> None:
    first, second = (stem_directions(grown(seed, GrowthSettings())) for seed in (1, 2))
    assert np.abs(first - second).max() > 1


def test_without_wandering_a_stem_is_straight_and_with_it_is_not() -> None:
    def straightness(wander: float) -> float:
        how = GrowthSettings(stems=1, stem_length=80, fork_every=NEVER, wander=wander)
        tree = grown(3, how)
        return float(np.linalg.norm(tree.xyz[-1] - tree.xyz[1]) / tree.link_lengths[2:].sum())

    assert straightness(0) == pytest.approx(1)
    assert 0.2 < straightness(0.12) < 0.97


@pytest.mark.parametrize("apart", [25.0, 50.0])
def test_forks_come_as_often_as_asked(apart: float) -> None:
    """None forks in the last quarter of the distance, so there are somewhat fewer."""
    trees = [grown(seed, GrowthSettings(fork_every=apart)) for seed in range(12)]
    forks = sum(len(tree.forks) for tree in trees)
    assert forks == pytest.approx(sum(tree.length for tree in trees) / apart, rel=0.35)


def test_branches_taper_and_thin_at_forks_down_to_the_tip_radius() -> None:
    how = GrowthSettings(stem_radius=3.0, tip_radius=0.6)
    tree = grown(5, how)
    assert tree.radii[0] == how.soma_radius
    nodes = np.flatnonzero(tree.parents > 0)
    change = tree.radii[nodes] - tree.radii[tree.parents[nodes]]
    assert change.max() <= 0
    after_fork = np.isin(tree.parents[nodes], tree.forks)
    thick = tree.radii[nodes] > how.tip_radius
    assert (tree.radii[nodes] / tree.radii[tree.parents[nodes]])[after_fork & thick].max() <= 0.95
    stem = grown(5, GrowthSettings(stems=1, fork_every=NEVER))
    assert stem.radii[-1] < 0.6 * stem.radii[1]  # thinner without any fork, too


def test_walls_turn_branches_back_instead_of_ending_them() -> None:
    how = GrowthSettings(stems=6, stem_length=150, fork_every=NEVER, wander=0.1)
    trees = [grown(seed, how, (64, 64, 64)) for seed in range(10)]
    places = np.concatenate([tree.xyz for tree in trees])
    assert places.min() > 4
    assert places.max() < 59
    # Straight on, a branch would meet a wall after some 30 voxels.
    assert np.mean([tree.length / 6 for tree in trees]) > 90


@pytest.mark.parametrize(
    "wrong",
    [{"stems": 0}, {"stem_length": 0}, {"fork_every": -1}, {"wander": -0.1}, {"soma_radius": 0},
     {"stem_radius": 0}, {"tip_radius": -1}],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadParameter, match="growth"):
        GrowthSettings(**wrong)  # type: ignore[arg-type]
