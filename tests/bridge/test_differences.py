"""What a correction kept, rejected and added, on trees whose lengths are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.trees.differences import difference
from dineuro_bridge.trees.tree import Tree


def tree(xyz: list[tuple[float, float, float]], parents: list[int], radius: float = 1.0) -> Tree:
    n = len(parents)
    return Tree(np.array(xyz, float), np.full(n, radius), np.array(parents), np.full(n, 3))


def length(pieces: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(pieces[:, 0, :3] - pieces[:, 1, :3], axis=1).sum())


STEM = tree([(0, 0, 0), (100, 0, 0), (50, 40, 0)], [-1, 0, 0])


def test_the_same_line_with_other_nodes_is_kept() -> None:
    other = tree([(50, 40, 0), (25, 20, 0), (0, 0, 0), (60, 0, 0), (100, 0, 0)], [-1, 0, 1, 2, 3])
    found = difference(STEM, other)
    assert length(found.kept) == pytest.approx(100 + np.hypot(50, 40))
    assert len(found.rejected) == len(found.added) == 0


def test_a_part_of_a_link_is_rejected_and_a_branch_is_added() -> None:
    after = tree([(0, 0, 0), (60, 0, 0), (60, 0, 30), (50, 40, 0)], [-1, 0, 1, 0], radius=2)
    found = difference(STEM, after, tolerance=2)
    # Up to the tolerance around an end, a line is near the other tree.
    assert length(found.rejected) == pytest.approx(40, abs=3)
    assert length(found.added) == pytest.approx(30, abs=3)
    assert length(found.kept) + length(found.rejected) == pytest.approx(100 + np.hypot(50, 40))
    assert found.rejected[:, :, 0].min() > 60
    assert (found.added[:, :, 3] == 2).all()
    assert (found.kept[:, :, 3] == 1).all()


@pytest.mark.parametrize(("shift", "kept"), [(1.9, True), (2.6, False)])
def test_the_tolerance_is_a_distance_in_voxels(shift: float, kept: bool) -> None:
    moved = Tree(STEM.xyz + np.array([0, 0, shift]), STEM.radii, STEM.parents, STEM.types)
    found = difference(STEM, moved, tolerance=2.0)
    assert (len(found.kept) > 0, len(found.rejected) > 0) == (kept, not kept)


def test_a_difference_from_or_to_nothing() -> None:
    whole = length(difference(STEM, STEM).kept)
    assert length(difference(STEM, Tree.empty()).rejected) == pytest.approx(whole)
    assert length(difference(Tree.empty(), STEM).added) == pytest.approx(whole)
    assert difference(Tree.empty(), Tree.empty()).kept.shape == (0, 2, 4)
    with pytest.raises(BadParameter, match="above 0"):
        difference(STEM, STEM, 0)


def test_all_distances_agree_with_the_slow_way() -> None:
    rng = np.random.default_rng(3)
    trees = [
        tree([tuple(place) for place in rng.uniform(-40, 40, (60, 3))], [*range(-1, 59)])
        for _ in range(2)
    ]
    found = difference(trees[0], trees[1], tolerance=5.0)
    old = np.concatenate([found.kept, found.rejected])[:, :, :3].mean(axis=1)
    new = difference(trees[1], Tree.empty(), 5.0).rejected[:, :, :3].mean(axis=1)
    nearest = np.array([np.linalg.norm(new - place, axis=1).min() for place in old])
    assert 100 < len(found.kept) < len(old) - 100
    assert np.array_equal(nearest <= 5.0, np.arange(len(old)) < len(found.kept))
