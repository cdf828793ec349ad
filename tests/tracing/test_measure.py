"""Measurements of trees: by hand on small ones, and those of MorphIO on grown ones."""

from __future__ import annotations

from pathlib import Path

import morphio
import numpy as np
import pytest

from dineuro_bridge.trees.swc import swc_text
from dineuro_bridge.trees.tree import Tree
from dineuro_model.synthesis.growth import grow_tree
from dineuro_tracing.measure import measure


def tree_of(xyz: list[list[float]], parents: list[int], types: list[int] | None = None) -> Tree:
    n = len(parents)
    return Tree(np.array(xyz, float), np.ones(n), np.array(parents), np.array(types or [3] * n))


def test_a_forked_tree_is_measured_by_hand() -> None:
    """A stem of 30, then an arm of 40, and one of 50 with a corner after 30."""
    tree = tree_of(
        [[0, 0, 0], [30, 0, 0], [30, 40, 0], [30, -30, 0], [50, -30, 0]],
        [-1, 0, 1, 1, 3],
        [1, 3, 3, 2, 2],
    )
    got = measure(tree)
    assert (got.unit, got.nodes, got.trees) == ("voxel", 5, 1)
    assert (got.total.length, got.total.branches) == (120, 3)
    assert (got.total.tips, got.total.forks, got.strahler) == (2, 1, 2)
    assert got.tortuosity == pytest.approx((1 + 1 + 50 / np.hypot(20, 30)) / 3)
    assert got.longest == 80
    assert {kind: part.length for kind, part in got.by_type.items()} == {2: 50, 3: 70}
    assert (got.by_type[2].tips, got.by_type[3].forks) == (1, 1)
    # The distances from the root are 30 at the fork, 50 at the first arm's end, and 42.4 and 58.3.
    assert got.sholl_step == 10
    assert got.sholl == (1, 1, 1, 2, 2)


def test_a_link_crosses_every_sphere_between_its_ends_once() -> None:
    line = tree_of([[0, 0, 0], [95, 0, 0], [15, 0, 0]], [-1, 0, 1])
    assert measure(line).sholl == (1, 2, 2, 2, 2, 2, 2, 2, 2)
    assert measure(line, step=50.0).sholl == (2,)
    far = measure(tree_of([[0, 0, 0], [1e6, 0, 0]], [-1, 0]))
    assert len(far.sholl) <= 500
    assert set(far.sholl) == {1}


def test_lengths_are_in_micrometres_where_the_voxel_size_is_known() -> None:
    tree = tree_of([[0, 0, 0], [10, 0, 0], [10, 0, 5]], [-1, 0, 1])
    got = measure(tree, (2.0, 0.5, 0.5))
    assert (got.unit, got.total.length) == ("um", 15)
    assert measure(tree, unit="um").total.length == 15
    assert measure(tree).unit == "voxel"


def test_strahlers_order_grows_where_two_of_the_highest_meet() -> None:
    #      a full tree of three levels: 1-2-(3-(4 5) 6-(7 8))
    parents = [-1, 0, 1, 2, 2, 1, 5, 5]
    places = [[float(i), i % 3, i % 2] for i in range(8)]
    assert measure(tree_of(places, parents)).strahler == 3
    assert measure(tree_of(places[:6], parents[:6])).strahler == 2
    assert measure(tree_of(places[:4], parents[:4])).strahler == 1
    star = tree_of(places[:4], [-1, 0, 0, 0], [1, 3, 3, 3])
    assert measure(star).strahler == 1  # branches of a soma do not meet


def test_trees_without_branches_are_measured() -> None:
    for tree in (Tree.empty(), tree_of([[1, 2, 3]], [-1])):
        got = measure(tree)
        assert (got.total.length, got.strahler, got.tortuosity, got.sholl) == (0, 0, None, ())
        assert got.as_dict()["length"] == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_numbers_are_those_of_morphio(seed: int, tmp_path: Path) -> None:
    tree = grow_tree((60, 120, 120), np.random.default_rng(seed))
    kinds = np.where(tree.parents < 0, 1, 3)
    tree = Tree(tree.xyz, tree.radii, tree.parents, kinds)
    (tmp_path / "n.swc").write_text(swc_text(tree))
    neuron = morphio.Morphology(tmp_path / "n.swc")
    sections = [section.points for section in neuron.iter()]
    lengths = [float(np.linalg.norm(np.diff(p, axis=0), axis=1).sum()) for p in sections]
    got = measure(tree)
    # MorphIO leaves out the links of a soma.
    at_soma = float(tree.link_lengths[tree.parents == 0].sum())
    assert got.total.length - at_soma == pytest.approx(sum(lengths), rel=1e-3)
    assert got.total.branches == len(sections)
    assert got.total.tips == sum(not section.children for section in neuron.iter())
    assert got.total.forks == sum(len(section.children) > 1 for section in neuron.iter())

    def order(section: morphio.Section) -> int:
        below = sorted((order(child) for child in section.children), reverse=True)
        return 1 if not below else below[0] + (below[1:2] == below[:1])

    assert got.strahler == max(order(section) for section in neuron.root_sections)
