"""The confidence of segments, and the doubts that a person should examine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dineuro_bridge.options import TraceOptions
from dineuro_bridge.scale import CUBES, VoxelScale
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.confidence import CERTAIN, Segments, assess, find_segments
from dineuro_tracing.doubts import Doubt, doubts_of_segments, worst
from dineuro_tracing.trace import Trace, trace
from tests.support.shapes import line, paint

SHAPE = (40, 60, 100)
#: A root, a stem of two links, and a fork into two twigs; a second root with one link.
FORKED = Tree(
    xyz=np.array(
        [[0, 0, 0], [2, 0, 0], [4, 0, 0], [4, 3, 0], [4, 6, 0], [7, 0, 4], [20, 0, 0], [20, 1, 0]],
        dtype=float,
    ),
    radii=np.ones(8),
    parents=np.array([-1, 0, 1, 2, 3, 2, -1, 6]),
    types=np.full(8, 3),
)


def judged(
    tree: Tree,
    probability: NDArray[np.uint8],
    intensity: NDArray[np.uint8] | None = None,
    joined: NDArray[np.bool_] | None = None,
    scale: VoxelScale = CUBES,
) -> Segments:
    return assess(
        tree,
        np.zeros(len(tree), dtype=np.bool_) if joined is None else joined,
        probability,
        probability if intensity is None else intensity,
        scale,
    )


def test_segments_run_from_root_or_fork_to_fork_or_tip() -> None:
    of_node, start, end = find_segments(FORKED)
    assert of_node.tolist() == [-1, 0, 0, 1, 1, 2, -1, 3]
    assert start.tolist() == [0, 2, 2, 6]
    assert end.tolist() == [2, 4, 5, 7]


def test_lengths_windings_and_levels_are_measured() -> None:
    segments = judged(FORKED, np.full((8, 8, 24), 100, dtype=np.uint8))
    assert segments.length.tolist() == [4, 6, 5, 1]
    assert segments.tortuosity.tolist() == pytest.approx([1, 1, 1, 1])
    assert segments.levels().tolist() == [0, 1, 1, 0]
    assert segments.probability == pytest.approx(100 / 255)
    # Nothing is brighter or dimmer than anything.
    assert segments.contrast == pytest.approx(0.5)


def test_tortuosity_is_the_length_over_the_distance_of_the_ends() -> None:
    around = np.array([[0, 0, 0], [0, 4, 0], [4, 4, 0], [4, 0, 0]], dtype=float)
    tree = Tree(around, np.ones(4), np.arange(4) - 1, np.full(4, 3))
    assert judged(tree, np.zeros((8, 8, 8), dtype=np.uint8)).tortuosity.tolist() == [3]


def test_a_gap_counts_in_its_segment_and_marks_the_segments_beyond() -> None:
    joined = np.zeros(8, dtype=np.bool_)
    joined[2] = True
    segments = judged(FORKED, np.zeros((8, 8, 24), dtype=np.uint8), joined=joined)
    assert segments.gap_share.tolist() == [0.5, 0, 0, 0]
    assert segments.beyond_gap.tolist() == [False, True, True, False]


def test_thick_slices_are_measured_in_finest_voxels() -> None:
    flat = np.zeros((8, 8, 24), dtype=np.uint8)
    assert judged(FORKED, flat, scale=VoxelScale((3.0, 1.0, 1.0))).length.tolist() == pytest.approx(
        [4, 6, np.hypot(3, 12), 1]
    )


def test_a_bright_line_on_a_dark_ground_has_contrast_and_one_in_noise_has_none() -> None:
    path = line((8, 30, 20), (92, 30, 20))
    clean = paint([path], SHAPE)
    tree = trace(clean).tree
    noise = np.random.default_rng(1).integers(0, 256, SHAPE).astype(np.uint8)
    assert judged(tree, clean).contrast[0] == pytest.approx(1, abs=0.02)
    assert judged(tree, clean, noise).contrast[0] == pytest.approx(0.5, abs=0.1)


def test_a_line_in_the_image_is_certain_and_a_line_in_noise_is_not() -> None:
    path = line((8, 30, 20), (92, 30, 20))
    clean = paint([path], SHAPE)
    tree = trace(clean).tree
    noise = np.random.default_rng(1).integers(0, 256, SHAPE).astype(np.uint8)
    sure, unsure = judged(tree, clean), judged(tree, np.full(SHAPE, 140, dtype=np.uint8), noise)
    assert sure.confidence[0] > CERTAIN > unsure.confidence[0]
    assert (sure.certain_share(), unsure.certain_share()) == (1, 0)


def test_an_empty_tree_has_no_segments() -> None:
    segments = judged(Tree.empty(), np.zeros(SHAPE, dtype=np.uint8))
    assert len(segments) == 0
    assert segments.certain_share() == 0
    assert len(segments.levels()) == 0
    assert doubts_of_segments(Tree.empty(), segments) == ()


def test_a_join_is_doubted_by_what_hangs_beyond_it() -> None:
    parts = [line((10, 30, 20), (40, 30, 20)), line((50, 30, 20), (90, 30, 20))]
    result = trace(paint(parts, SHAPE, radius=1.5))
    assert result.tree.n_trees == 1
    (join,) = result.doubts
    assert join.kind == "join"
    assert join.place == pytest.approx((45, 30, 20), abs=2)
    # The root is one of the ends; either part may hang on the other.
    assert min(abs(join.length - part) for part in (30, 40)) < 14
    assert 0.5 < join.chance < 1
    assert join.across == pytest.approx(8, abs=3)


def test_an_end_before_an_open_gap_is_a_doubt_of_the_length_left_out() -> None:
    # A short piece far aside: somewhat less likely than not.
    parts = [line((10, 30, 20), (50, 30, 20)), line((66, 48, 20), (62, 56, 20))]
    volume = paint(parts, SHAPE, radius=1.5)
    result = trace(volume, TraceOptions(gap=25, root=(10, 30, 20)))
    (end,) = result.doubts
    assert end.kind == "end"
    assert end.place == pytest.approx((51, 30, 20), abs=2)
    assert 0.5 < end.chance < 0.8
    assert end.length == pytest.approx(result.left_out)
    assert trace(volume, TraceOptions(gap=10, root=(10, 30, 20))).doubts == ()


def test_a_doubtful_join_is_made_where_a_large_part_would_be_left_out() -> None:
    first, far = line((10, 30, 20), (50, 30, 20)), (76, 45, 20)

    def joined(second: NDArray[np.float64]) -> Trace:
        volume = paint([first, second], SHAPE, radius=1.5)
        volume[volume == 0] = 54  # haze, in which nothing can be seen
        return trace(volume, TraceOptions(gap=45, root=(10, 30, 20)))

    large, small = joined(line(far, (98, 58, 39))), joined(line(far, (79, 47, 22)))
    assert (large.left_out, [doubt.kind for doubt in large.doubts]) == (0, ["join"])
    assert 0.3 < large.doubts[0].chance < 0.6
    assert (small.left_out > 5, [doubt.kind for doubt in small.doubts]) == (True, ["end"])


def test_segments_below_certain_are_doubts_in_their_middle() -> None:
    segments = judged(FORKED, np.zeros((8, 8, 24), dtype=np.uint8))
    graded = replace(segments, confidence=np.array([0.95, 0.3, 0.95, 0.95]))
    (doubt,) = doubts_of_segments(FORKED, graded)
    assert (doubt.kind, doubt.place, doubt.chance, doubt.length) == ("segment", (4, 6, 0), 0.3, 6)


def test_a_likely_error_comes_before_a_long_piece_that_is_hardly_in_doubt() -> None:
    likely, long = Doubt("end", (0, 0, 0), 0.4, 60.0), Doubt("join", (0, 0, 0), 0.9, 900.0)
    assert worst([long, likely]) == (likely, long)
    # Beyond a length it is the probability alone.
    longer = Doubt("join", (0, 0, 0), 0.89, 500.0)
    assert worst([long, longer]) == (longer, long)


def test_a_doubt_that_an_earlier_one_answers_comes_later() -> None:
    """Nodes 0 to 20 in a row, and 21 to 30 on node 0. Two doubts are about the same half."""
    xyz = np.zeros((31, 3))
    xyz[1:21, 0], xyz[21:, 1] = np.arange(1, 21), np.arange(1, 11)
    parents = np.array([-1, *range(20), 0, *range(21, 30)])
    tree = Tree(xyz, np.ones(31), parents, np.full(31, 3))
    join, same = Doubt("join", (9.5, 0, 0), 0.5, 30.0), Doubt("join", (10.5, 0, 0), 0.5, 29.0)
    other, end = Doubt("segment", (0, 5, 0), 0.5, 10.0), Doubt("end", (20, 0, 0), 0.5, 12.0)
    assert worst([join, same, other, end]) == (join, same, end, other)
    assert worst([join, same, other, end], tree) == (join, end, other, same)
    # Two doubts about the very same part.
    assert worst([join, replace(join, length=20.0)], tree) == (join, replace(join, length=20.0))


def test_the_costliest_doubts_come_first_twenty_at_most_without_trifles() -> None:
    many = [Doubt("segment", (float(i), 0, 0), 0.5, 4.0 + i) for i in range(30)]
    trifle = Doubt("segment", (0, 0, 0), 0.99, 10.0)
    listed = worst([trifle, *many])
    assert len(listed) == 20
    assert [doubt.length for doubt in listed] == [33.0 - i for i in range(20)]
    assert worst([trifle]) == ()


def test_a_place_is_moved_with_its_region() -> None:
    assert Doubt("end", (1, 2, 3), 0.5, 9).moved((10, 20, 30)).place == (11, 22, 33)
