"""One neuron, neurons with a soma each, or a field of axons: what the default keeps."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dineuro_bridge.options import TraceOptions
from dineuro_bridge.scale import CUBES
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.fields import find_field, part_doubtful
from dineuro_tracing.gaps import Joins
from dineuro_tracing.scores import score_trees
from dineuro_tracing.skeleton import Skeleton
from dineuro_tracing.trace import trace
from tests.support.shapes import chain, line, paint

SHAPE = (40, 100, 160)
Lines = list[NDArray[np.float64]]
#: Seven axons that cross the volume from left to right, 14 voxels apart and not parallel.
AXONS: Lines = [line((0, 7 + 14 * k, 10 + 3 * k), (159, 10 + 13 * k, 26 - 2 * k)) for k in range(7)]


def union(paths: Lines) -> Tree:
    trees = [chain(path) for path in paths]
    start = np.cumsum([0, *map(len, trees)])[:-1]
    return Tree(
        np.concatenate([tree.xyz for tree in trees]),
        np.concatenate([tree.radii for tree in trees]),
        np.concatenate(
            [
                np.where(tree.parents >= 0, tree.parents + at, -1)
                for tree, at in zip(trees, start, strict=True)
            ]
        ),
        np.concatenate([tree.types for tree in trees]),
    )


def neuron(centre: tuple[float, float, float], reach: float) -> Lines:
    """Eight dendrites of a soma; the soma itself is painted by its caller."""
    angles = np.arange(8) * np.pi / 4 + 0.2
    steps = np.stack([np.cos(angles), np.sin(angles), np.zeros(8)], axis=1)
    return [line(centre, np.array(centre) + reach * step) for step in steps]


def body(centre: tuple[float, float, float]) -> NDArray[np.uint8]:
    return paint([np.array([centre])], SHAPE, 6)


def test_a_field_of_axons_keeps_its_axons_apart() -> None:
    volume = paint(AXONS, SHAPE, 1.5)
    result = trace(volume)
    assert result.layout == "field"
    assert result.tree.n_trees == len(AXONS)
    assert result.field is not None
    assert result.field.pieces == len(AXONS)
    assert result.field.crossing == pytest.approx(1.0)
    assert result.field.ends_at_border > 0.9
    assert score_trees(union(AXONS), result.tree).at2.f1 > 0.98
    one = trace(volume, TraceOptions(trees="one"))
    assert (one.layout, one.tree.n_trees, one.field) == ("neuron", 1, None)
    assert score_trees(union(AXONS), one.tree).at2.recall < 0.2


def test_a_root_in_a_field_keeps_its_axon_alone() -> None:
    x, y, z = AXONS[3][40].tolist()
    result = trace(paint(AXONS, SHAPE, 1.5), TraceOptions(root=(x, y, z)))
    assert (result.layout, result.root_kind, result.tree.n_trees) == ("neuron", "marker", 1)
    assert score_trees(chain(AXONS[3]), result.tree).at2.f1 > 0.98


def test_short_pieces_are_no_axons_of_a_field() -> None:
    speck = line((70, 98, 35), (85, 98, 35))
    result = trace(paint([*AXONS, speck], SHAPE, 1.5))
    assert (result.layout, result.tree.n_trees) == ("field", len(AXONS))
    assert result.left_out == pytest.approx(15, abs=5)


def test_a_soma_makes_one_neuron_among_axons() -> None:
    centre = (80.0, 50.0, 20.0)
    dendrites = neuron(centre, 28)
    beside = [line((0, y, z), (159, y, z)) for y in (6, 94) for z in (4, 20, 36)]
    result = trace(paint([*dendrites, *beside], SHAPE, 1.5) | body(centre), TraceOptions(gap=5))
    assert (result.layout, result.root_kind, result.tree.n_trees) == ("neuron", "soma", 1)
    assert score_trees(union(dendrites), result.tree).at2.f1 > 0.9


def test_a_tree_without_a_soma_is_one_neuron() -> None:
    trunk = line((0, 50, 20), (120, 50, 20))
    twigs = [line((x, 50, 20), (x + 30, 50 + dy, 20)) for x in (20, 50, 80) for dy in (35, -35)]
    far = [line((150, 20, 20), (150, 80, 20))]
    result = trace(paint([trunk, *twigs, *far], SHAPE, 1.5))
    assert (result.layout, result.tree.n_trees, result.field) == ("neuron", 1, None)


def test_pieces_that_end_inside_the_volume_are_no_field() -> None:
    inside = [line((20, 7 + 14 * k, 20), (140, 7 + 14 * k, 20)) for k in range(7)]
    result = trace(paint(inside, SHAPE, 1.5))
    assert (result.layout, result.tree.n_trees) == ("neuron", 1)


def test_two_neurons_with_somata_have_a_tree_each() -> None:
    left, right = (38.0, 50.0, 20.0), (122.0, 50.0, 20.0)
    lines = [*neuron(left, 30), *neuron(right, 34)]
    volume = paint(lines, SHAPE, 1.5) | body(left) | body(right)
    result = trace(volume)
    assert (result.layout, result.root_kind, result.tree.n_trees) == ("neurons", "soma", 2)
    assert score_trees(union(lines), result.tree).at2.f1 > 0.9
    assert trace(volume, TraceOptions(trees="one")).tree.n_trees == 1
    alone = trace(volume, TraceOptions(root=left))
    assert (alone.layout, alone.tree.n_trees) == ("neuron", 1)
    assert alone.tree.xyz[0] == pytest.approx(np.array(left), abs=1.5)


def skeleton_of(*paths: NDArray[np.float64]) -> Skeleton:
    """A skeleton whose pieces are these lines, each from its first point on."""
    tree = union(list(paths))
    n = len(tree)
    no = np.zeros(n, dtype=np.bool_)
    return Skeleton(tree.xyz[:, ::-1].copy(), tree.parents, np.ones(n), no, no)


@pytest.mark.parametrize(("chance", "parted"), [(0.6, True), (0.8, False)])
def test_doubtful_joins_between_large_trees_are_cut(chance: float, parted: bool) -> None:
    left, right = line((0, 50, 20), (50, 50, 20)), line((60, 50, 20), (110, 50, 20))
    short = line((120, 50, 20), (130, 50, 20))
    pieces = skeleton_of(left, right, short)
    first, second = len(left), len(left) + len(right)
    joined = pieces.join(first, first - 1).join(second, second - 1)
    joins = Joins(
        np.array([first, second]),
        np.array([first - 1, second - 1]),
        np.array([chance, 0.51]),
        np.ones(2, dtype=np.bool_),
    )
    apart, left_joins = part_doubtful(joined, joins, SHAPE, CUBES)
    assert left_joins.in_skeleton.tolist() == [not parted, True]
    assert int((apart.parents < 0).sum()) == 1 + parted
    assert apart.joined.sum() == 2 - parted


@pytest.mark.parametrize(("middle", "cut"), [(25, [True, False]), (45, [True, True])])
def test_what_an_earlier_cut_left_decides_about_the_next_one(middle: int, cut: list[bool]) -> None:
    """The first cut is at the left; the middle alone may then be too short to stand alone."""
    pieces = skeleton_of(
        line((0, 50, 20), (40, 50, 20)),
        line((50, 50, 20), (50 + middle, 50, 20)),
        line((60 + middle, 50, 20), (100 + middle, 50, 20)),
    )
    first, second = np.flatnonzero(pieces.parents < 0)[1:]
    joined = pieces.join(first, first - 1).join(second, second - 1)
    joins = Joins(
        np.array([first, second]),
        np.array([first - 1, second - 1]),
        np.array([0.51, 0.52]),
        np.ones(2, dtype=np.bool_),
    )
    _, left = part_doubtful(joined, joins, SHAPE, CUBES)
    assert left.in_skeleton.tolist() == [not is_cut for is_cut in cut]


def test_gaps_make_no_ends() -> None:
    shape = (40, 100, 160)
    halves = [part for path in AXONS for part in (path[:150], path[170:])]
    pieces = skeleton_of(*halves)
    assert find_field(pieces, pieces, shape, CUBES) is None
    joined = pieces
    at = 0
    for first, second in zip(halves[::2], halves[1::2], strict=True):
        joined = joined.join(at + len(first), at + len(first) - 1)
        at += len(first) + len(second)
    assert find_field(joined, joined, shape, CUBES) is not None


def test_joins_between_ends_at_the_border_are_no_evidence_and_are_cut() -> None:
    axons = [line((0, 5 + 10 * k, 5), (89, 5 + 10 * k, 25)) for k in range(5)]
    result = trace(paint(axons, (30, 50, 90)))
    assert (result.layout, result.tree.n_trees) == ("field", 5)
    assert not result.joined.any()
    assert result.field is not None
    assert result.field.ends_at_border == 1.0
