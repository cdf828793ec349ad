"""Joins over gaps: which pieces are joined, and which stay apart."""

from __future__ import annotations

import numpy as np
import pytest

from dineuro_bridge.options import TraceOptions
from dineuro_bridge.progress import silent
from dineuro_bridge.scale import CUBES
from dineuro_tracing.foreground import find_foreground
from dineuro_tracing.gaps import join_gaps
from dineuro_tracing.links import candidate_links
from dineuro_tracing.paths import find_paths
from dineuro_tracing.trace import trace
from tests.support.shapes import line, paint

SHAPE = (40, 60, 100)


@pytest.mark.parametrize("hole", [3, 8])
def test_a_joined_gap_is_marked_as_joined(hole: int) -> None:
    pieces = [line((8, 30, 20), (46, 30, 20)), line((50 + hole, 30, 20), (92, 30, 20))]
    result = trace(paint(pieces, SHAPE))
    assert result.tree.n_trees == 1
    assert result.tree.length > 78
    crossing = result.tree.xyz[result.joined, 0]
    assert result.joined.any()
    assert ((crossing > 44) & (crossing < 56 + hole)).all()


def test_a_gap_wider_than_allowed_stays_open() -> None:
    pieces = [line((8, 30, 20), (40, 30, 20)), line((75, 30, 20), (92, 30, 20))]
    one = trace(paint(pieces, SHAPE))
    assert one.tree.n_trees == 1
    assert not one.joined.any()
    assert one.tree.xyz[:, 0].max() < 44  # the longer piece alone
    both = trace(paint(pieces, SHAPE), TraceOptions(trees="all"))
    assert both.tree.n_trees == 2


def test_a_long_piece_straight_ahead_is_joined_over_a_wide_gap() -> None:
    """The pieces lie 14 voxels apart. A smaller `gap` forbids the join, and both pieces stay."""
    shape = (40, 60, 140)
    pieces = [line((6, 30, 20), (58, 30, 20)), line((75, 30, 20), (125, 30, 20))]
    result = trace(paint(pieces, shape))
    assert result.tree.xyz[:, 0].max() > 110
    assert result.joined.any()
    for gap in (0, 10):
        assert trace(paint(pieces, shape), TraceOptions(gap=gap)).tree.xyz[:, 0].max() < 64
        apart = trace(paint(pieces, shape), TraceOptions(gap=gap, trees="all"))
        assert apart.tree.n_trees == 2


@pytest.mark.parametrize(("dim", "is_joined"), [(0, False), (80, True)])
def test_a_long_gap_to_the_side_of_a_neurite_needs_evidence(dim: int, is_joined: bool) -> None:
    """A branch points at the side of the trunk from 22 voxels away."""
    shape = (40, 70, 120)
    volume = paint([line((6, 10, 20), (114, 10, 20)), line((60, 34, 20), (60, 67, 20))], shape)
    gap = paint([line((60, 10, 20), (60, 34, 20))], shape) > 0
    volume[gap & (volume == 0)] = dim
    result = trace(volume)
    assert (result.tree.xyz[:, 1].max() > 60) == is_joined
    if not is_joined:
        assert result.left_out > 25
        # The doubt holds what the tree lacks if the branch belongs to it.
        (doubt,) = result.doubts
        assert doubt.kind == "end"
        assert doubt.missing is not None
        assert np.allclose(doubt.missing.xyz[0], (60, 34, 20), atol=2.5)
        assert doubt.missing.n_trees == 1
        assert doubt.missing.length == pytest.approx(result.left_out, abs=2)
        moved = doubt.moved((1, 2, 3)).missing
        assert moved is not None
        assert moved.xyz[0] == pytest.approx(doubt.missing.xyz[0] + (1, 2, 3))


@pytest.mark.parametrize(
    ("end", "gap", "joined"), [(170, 60, True), (126, 60, False), (170, 40, False)]
)
def test_only_a_large_piece_is_joined_over_a_very_wide_gap(
    end: int, gap: float, joined: bool
) -> None:
    """The neurite between the pieces is dim, 45 voxels long and not in the mask."""
    shape = (40, 60, 190)
    pieces = paint([line((6, 30, 20), (60, 30, 20)), line((110, 30, 20), (end, 30, 20))], shape)
    dim = paint([line((60, 30, 20), (110, 30, 20))], shape)
    stack = np.maximum(pieces, np.where(dim >= 128, 110, 0)).astype(np.uint8)
    skeleton = find_paths(
        find_foreground(pieces, threshold=128, gap=0, min_voxels=3),
        None,
        min_length=3,
        progress=silent,
    ).skeleton
    assert len(skeleton.tree_lengths(CUBES)) == 2
    together, joins = join_gaps(skeleton, stack, gap=gap, scale=CUBES)
    assert len(together.tree_lengths(CUBES)) == 2 - joined
    assert joins.in_skeleton.sum() == joined
    assert (joins.probability[joins.in_skeleton] > 0.5).all()


def test_what_lies_behind_a_tip_is_not_joined_to_it() -> None:
    """Two neurites end side by side, and neither tip points to the other neurite."""
    beside = [line((8, 20, 20), (60, 20, 20)), line((8, 28, 20), (60, 28, 20))]
    result = trace(paint(beside, SHAPE, 1.5), TraceOptions(trees="all"))
    assert result.tree.n_trees == 2


def test_the_likelier_of_two_joins_is_made() -> None:
    """One piece lies straight ahead of a tip; another is as near, but the link would turn."""
    shape = (40, 80, 140)
    main, ahead = line((6, 40, 20), (58, 40, 20)), line((72, 40, 20), (100, 40, 20))
    aside = line((65, 53, 20), (65, 76, 20))
    skeleton = find_paths(
        find_foreground(
            paint([main, ahead, aside], shape, 1.5), threshold=128, gap=0, min_voxels=3
        ),
        None,
        min_length=3,
        progress=silent,
    ).skeleton
    links = candidate_links(skeleton, paint([main, ahead, aside], shape, 1.5), 40.0, CUBES)
    tips = skeleton.points[links.tip]
    from_main = (np.abs(tips[:, 2] - 58) < 4) & (np.abs(tips[:, 1] - 40) < 3)
    chance = links.probability()
    to_ahead = from_main & (np.abs(skeleton.points[links.point][:, 1] - 40) < 3)
    assert to_ahead.sum() == 1
    assert chance[to_ahead].max() > chance[from_main & ~to_ahead].max(initial=0)


def test_a_neurite_that_stops_short_of_a_large_soma_is_joined_to_it() -> None:
    """Its tip is near the soma's surface and far from the soma's centre."""
    center = np.array([30.0, 30.0, 20.0])
    arm = line((55, 30, 20), (95, 30, 20))
    volume = np.maximum(paint([center[None]], SHAPE, 15.0), paint([arm], SHAPE, 1.5))
    result = trace(volume)
    assert result.root_kind == "soma"
    assert result.tree.n_trees == 1
    assert result.tree.length == pytest.approx(65, abs=3)
    assert result.joined.sum() == 1
