"""Several neurons in one volume: each soma is the root of a tree of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from dineuro_bridge.options import TraceOptions
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.scores import score_trees
from dineuro_tracing.trace import trace
from tests.support.shapes import chain, line, paint

SHAPE = (40, 80, 140)
Place = tuple[float, float, float]
#: Two neurons whose dendrites touch, tip at tip.
LEFT: tuple[Place, Sequence[Place]] = (
    (30, 40, 20),
    [(70, 40, 20), (10, 10, 20), (10, 70, 20), (40, 70, 30)],
)
RIGHT: tuple[Place, Sequence[Place]] = ((110, 44, 20), [(70, 40, 20), (130, 10, 20), (130, 70, 20)])


def neuron(centre: Place, tips: Sequence[Place], radius: float = 6) -> NDArray[np.uint8]:
    body = paint([np.array([centre])], SHAPE, radius)
    return body | paint([line(centre, tip) for tip in tips], SHAPE, 1.5)


def recall(tips: Sequence[Place], centre: Place, tree: Tree) -> float:
    return float(np.mean([score_trees(chain(line(centre, tip)), tree).at2.recall for tip in tips]))


def trees_of(tree: Tree) -> list[Tree]:
    """The trees of a forest, each by itself."""
    ends = [*tree.roots[1:], len(tree)]
    return [
        Tree(
            tree.xyz[a:b],
            tree.radii[a:b],
            np.where(tree.parents[a:b] >= 0, tree.parents[a:b] - a, -1),
            tree.types[a:b],
        )
        for a, b in zip(tree.roots, ends, strict=True)
    ]


def test_two_neurons_that_touch_are_two_trees_with_their_somata_as_roots() -> None:
    result = trace(neuron(*LEFT) | neuron(*RIGHT), TraceOptions(trees="all"))
    tree = result.tree
    assert tree.n_trees == 2
    assert tree.types[tree.roots].tolist() == [1, 1]
    assert (tree.types == 1).sum() == 2
    assert tree.xyz[tree.roots] == pytest.approx(np.array([LEFT[0], RIGHT[0]]), abs=1.5)
    # The larger neuron comes first.
    for (centre, tips), other, own in zip(
        (LEFT, RIGHT), (RIGHT, LEFT), trees_of(tree), strict=True
    ):
        assert recall(tips, centre, own) > 0.93
        assert recall(other[1][1:], other[0], own) < 0.1


def test_one_tree_is_that_of_the_root_and_not_of_the_neuron_that_it_touches() -> None:
    volume = neuron(*LEFT) | neuron(*RIGHT)
    largest = trace(volume, TraceOptions(trees="one"))
    assert largest.root_kind == "soma"
    assert largest.tree.xyz[0] == pytest.approx(LEFT[0], abs=1.5)
    assert recall(RIGHT[1][1:], RIGHT[0], largest.tree) < 0.1
    assert largest.left_out == pytest.approx(100, abs=25)
    marked = trace(volume, TraceOptions(root=RIGHT[0]))
    assert marked.tree.n_trees == 1
    assert marked.tree.xyz[0] == pytest.approx(RIGHT[0], abs=1.5)
    assert recall(LEFT[1][1:], LEFT[0], marked.tree) < 0.1
    assert recall(RIGHT[1], RIGHT[0], marked.tree) > 0.93


def test_neurons_that_only_a_join_connects_are_parted_at_the_join() -> None:
    right = (RIGHT[0], [(78, 40, 20), *RIGHT[1][1:]])
    result = trace(neuron(*LEFT) | neuron(*right), TraceOptions(trees="all"))
    assert result.tree.n_trees == 2
    assert not result.joined.any()
    left = trees_of(result.tree)[0]
    assert left.xyz[:, 0].max() == pytest.approx(70, abs=3)


def test_a_wide_place_of_a_dendrite_is_no_second_neuron() -> None:
    volume = neuron(*LEFT) | paint([line((30, 40, 20), (62, 40, 20))], SHAPE, 3.5)
    volume |= paint([np.array([[62.0, 40, 20]])], SHAPE, 5.6)
    tree = trace(volume, TraceOptions(trees="all")).tree
    assert tree.n_trees == 1
    assert (tree.types == 1).sum() == 1


def test_bodies_that_touch_are_not_parted() -> None:
    volume = neuron(*LEFT) | paint([np.array([[41.0, 40, 20]])], SHAPE, 6)
    assert trace(volume, TraceOptions(trees="all")).tree.n_trees == 1


def test_a_marker_in_a_neurite_between_two_somata_keeps_the_nearer_parts() -> None:
    volume = neuron(*LEFT) | neuron(*RIGHT)
    result = trace(volume, TraceOptions(root=(60, 40, 20)))
    assert result.root_kind == "marker"
    assert result.tree.xyz[0] == pytest.approx((60, 40, 20), abs=1)
    assert result.tree.n_trees == 1
    # Its own soma is not cut off.
    assert recall(RIGHT[1][1:], RIGHT[0], result.tree) < 0.1
    assert recall(LEFT[1][1:], LEFT[0], result.tree) > 0.9
