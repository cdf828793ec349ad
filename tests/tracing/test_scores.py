"""Scores: cases worked out by hand, and distances against brute force."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from dineuro_bridge.errors import LimitExceeded
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.sampling import edge_samples, length_samples
from dineuro_tracing.scores import Match, distances, score_trees


def chain(points: ArrayLike) -> Tree:
    xyz = np.array(points, dtype=np.float64).reshape(-1, 3)
    n = len(xyz)
    return Tree(xyz, np.ones(n), np.arange(n) - 1, np.full(n, 3))


def line(start: float, end: float) -> Tree:
    return chain([[start, 0, 0], [end, 0, 0]])


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Forests of 1 to 10 nodes, lone nodes and edges without length among them."""
    n = draw(st.integers(1, 10))
    number = st.integers(-40, 40).map(lambda quarters: quarters / 4)
    return Tree.from_links(
        [[draw(number) for _ in range(3)] for _ in range(n)],
        [1] * n,
        [draw(st.integers(-1, i - 1)) for i in range(n)],
        [3] * n,
    )


def brute_force(point: NDArray[np.float64], tree: Tree) -> float:
    best = np.inf
    for node, parent in enumerate(tree.parents.tolist()):
        a = tree.xyz[node]
        along = tree.xyz[parent] - a if parent >= 0 else np.zeros(3)
        square = float(along @ along)
        share = min(max(float((point - a) @ along) / square, 0.0), 1.0) if square else 0.0
        best = min(best, float(np.linalg.norm(point - a - share * along)))
    return best


# Distances


@given(trees(), trees(), st.sampled_from([1.0, 30.0]))
@settings(max_examples=80)
def test_distances_are_those_of_brute_force(tree: Tree, other: Tree, spread: float) -> None:
    points = other.xyz * spread
    expected = [brute_force(point, tree) for point in points]
    np.testing.assert_allclose(distances(points, tree), expected, atol=1e-9)


def test_distances_to_many_pieces_that_are_equally_near() -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    ring = chain(np.column_stack([50 * np.cos(angle), 50 * np.sin(angle), 0 * angle]))
    points = np.array([[0.0, 0, 0], [0, 0, 3], [1, 2, 0]])
    expected = [brute_force(point, ring) for point in points]
    assert distances(points, ring) == pytest.approx(expected, abs=1e-12)


def test_distance_to_the_inside_of_a_long_edge() -> None:
    points = np.array([[500.25, 3, 4], [-3, 0, 4], [1003, 4, 0]])
    assert distances(points, line(0, 1000)) == pytest.approx([5, 5, 5], abs=1e-12)


def test_no_points_have_no_distances() -> None:
    assert distances(np.zeros((0, 3)), line(0, 1)).shape == (0,)


def test_memory_stays_bounded_far_from_a_dense_tree() -> None:
    y = np.repeat(np.arange(80.0), 2)
    x = np.tile([0.0, 80, 80, 0], 40)
    sheet = chain(np.column_stack([x, y, 0 * x]))
    points = edge_samples(sheet.moved((0, 0, 50)))
    tracemalloc.start()
    try:
        assert distances(points, sheet) == pytest.approx(np.full(len(points), 50.0))
        assert tracemalloc.get_traced_memory()[1] < 300e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("far", [1e12, 2.0**52])
def test_a_tree_too_long_to_sample_is_refused(far: float) -> None:
    with pytest.raises(LimitExceeded):
        score_trees(line(0, 10), line(0, far))


# Samples


@pytest.mark.parametrize(
    ("length", "count"),
    [(0.0, 1), (0.25, 1), (0.5, 2), (1, 2), (1.25, 2), (1.5, 3), (10, 11), (10.75, 12)],
)
def test_vaa3ds_sampling(length: float, count: int) -> None:
    samples = edge_samples(line(0, length))
    assert samples[:, 0] == pytest.approx(np.linspace(length, 0, count))
    assert samples[0, 0] == length  # the child comes first, and alone where there is no other
    assert (samples[:, 1:] == 0).all()


def test_samples_of_a_fork_and_of_lone_nodes() -> None:
    xyz = np.array([[0, 0, 0], [2, 0, 0], [0, 0.25, 0]])
    fork = Tree.from_links(xyz, [1] * 3, [-1, 0, 0], [1] * 3)
    assert edge_samples(fork).tolist() == [[2, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0.25, 0]]
    lone = Tree.from_links([[1, 2, 3], [4, 5, 6]], [1, 1], [-1, -1], [1, 1])
    assert edge_samples(lone).tolist() == [[1, 2, 3], [4, 5, 6]]
    points, weights = length_samples(lone)
    assert (points.tolist(), weights.tolist()) == ([[1, 2, 3], [4, 5, 6]], [1, 1])


def test_length_samples_are_midpoints_that_weigh_the_whole_length() -> None:
    points, weights = length_samples(line(0, 2.5))
    assert sorted(points[:, 0]) == pytest.approx([2.5 / 6, 7.5 / 6, 12.5 / 6])
    assert weights == pytest.approx([2.5 / 3] * 3)


# Scores


def test_a_tree_against_itself() -> None:
    tree = chain([[0.0, 0, 0], [7.3, 1, 2], [7.3, 9, -2], [20.0, 9, 0]])
    scores = score_trees(tree, tree)
    assert scores.esa == pytest.approx(0, abs=1e-12)
    assert (scores.dsa, scores.pds, scores.failed) == (0, 0, False)
    assert scores.at2 == Match(2.0, 1.0, 1.0, 1.0)
    assert scores.gold_length == scores.test_length == tree.length
    assert scores.gold_nodes == scores.test_nodes == 4


def test_a_line_shifted_by_three_voxels() -> None:
    scores = score_trees(line(0, 20), line(0, 20).moved((0, 3, 0)))
    assert (scores.esa, scores.esa12, scores.esa21) == (3, 3, 3)
    assert (scores.dsa, scores.pds) == (3, 1)
    assert scores.at2 == Match(2.0, 0.0, 0.0, 0.0)
    assert scores.at4 == Match(4.0, 1.0, 1.0, 1.0)


def test_two_voxels_are_far_and_still_a_match() -> None:
    scores = score_trees(line(0, 20), line(0, 20).moved((0, 0, 2)))
    assert (scores.dsa, scores.pds, scores.at2.f1) == (2, 1, 1)


def test_half_of_a_tree_missing() -> None:
    scores = score_trees(line(0, 20), line(0, 10))
    # 21 gold points: 11 lie on the test line, the others 1, 2 … 10 beyond it, nine of them ≥ 2.
    assert scores.esa12 == pytest.approx(55 / 21)
    assert scores.esa21 == pytest.approx(0)
    assert scores.esa == pytest.approx(55 / 42)
    assert scores.dsa == pytest.approx(54 / 9)
    assert scores.pds == pytest.approx(9 / 42)
    assert (scores.at2.precision, scores.at2.recall) == pytest.approx((1, 12 / 20))
    assert scores.at2.f1 == pytest.approx(0.75)
    assert (scores.at4.recall, scores.at4.f1) == pytest.approx((14 / 20, 1.4 / 1.7))
    assert (scores.gold_length, scores.test_length) == (20, 10)


def test_dsa_is_the_mean_of_both_directions_means() -> None:
    # Gold has x = 0 … 10, test x = 5 … 8 and a far end of it at y = 4.
    test = Tree.from_links([[5, 0, 0], [8, 0, 0], [8, 4, 0]], [1] * 3, [-1, 0, 1], [3] * 3)
    scores = score_trees(line(0, 10), test)
    # gold -> test: 5 4 3 2 1 0 0 0 0 1 2;  test -> gold: 0 0 0 0 and 4 3 2 1 0
    assert scores.esa12 == pytest.approx(18 / 11)
    assert scores.esa21 == pytest.approx(10 / 9)
    assert scores.esa == pytest.approx((18 / 11 + 10 / 9) / 2)
    assert scores.dsa == pytest.approx((16 / 5 + 9 / 3) / 2)
    assert scores.pds == pytest.approx((5 / 11 + 3 / 9) / 2)


@given(trees(), trees())
@settings(max_examples=40)
def test_swapping_the_trees_swaps_the_directions(gold: Tree, test: Tree) -> None:
    one, other = score_trees(gold, test), score_trees(test, gold)
    assert one.esa == other.esa
    assert (one.dsa, one.pds) == pytest.approx((other.dsa, other.pds))
    assert (one.esa12, one.esa21) == (other.esa21, other.esa12)
    assert (one.at4.precision, one.at4.recall) == (other.at4.recall, other.at4.precision)
    assert one.at4.f1 == pytest.approx(other.at4.f1)


def test_nodes_put_into_edges_leave_f1_as_it_was() -> None:
    gold = chain([[0, 0, 0], [30, 0, 0], [30, 12, 0]])
    coarse = chain([[3, 1, 0], [33, 1, 0], [33, 20, 0]])
    fine = chain([[x, 1, 0] for x in range(3, 34)] + [[33, y, 0] for y in range(2, 21)])
    assert fine.length == coarse.length
    one, other = score_trees(gold, coarse), score_trees(gold, fine)
    assert 0 < one.at2.f1 < one.at4.f1 < 1
    for few, many in ((one.at2, other.at2), (one.at4, other.at4)):
        assert (few.precision, few.recall, few.f1) == pytest.approx(
            (many.precision, many.recall, many.f1), abs=1e-12
        )


def test_one_node_each() -> None:
    scores = score_trees(chain([0, 0, 0]), chain([0, 3, 4]))
    assert (scores.esa, scores.dsa, scores.pds) == (5, 5, 1)
    assert (scores.at4.f1, scores.failed) == (0, False)
    near = score_trees(chain([0, 0, 0]), chain([0, 1, 0]))
    assert (near.esa, near.dsa, near.pds, near.at2.f1) == (1, 0, 0, 1)


@pytest.mark.parametrize("swapped", [False, True])
def test_nothing_traced_is_a_failure(swapped: bool) -> None:
    gold, test = (line(0, 9), Tree.empty())[:: -1 if swapped else 1]
    scores = score_trees(gold, test)
    assert scores.failed
    assert (scores.esa, scores.esa12, scores.esa21, scores.dsa, scores.pds) == (None,) * 5
    assert scores.at2 == Match(2.0, 0.0, 0.0, 0.0)
    assert (scores.gold_nodes, scores.test_nodes) == ((0, 2) if swapped else (2, 0))
    assert json.loads(json.dumps(asdict(scores), allow_nan=False))["esa"] is None


def test_nothing_where_nothing_is_agrees() -> None:
    scores = score_trees(Tree.empty(), Tree.empty())
    assert (scores.esa, scores.dsa, scores.pds, scores.failed) == (0, 0, 0, False)
    assert scores.at4 == Match(4.0, 1.0, 1.0, 1.0)
