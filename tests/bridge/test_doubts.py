"""What the doubts of a report mean for edits of the tree."""

from __future__ import annotations

from typing import Any

import numpy as np

from dineuro_bridge.trees.doubts import doubts_of
from dineuro_bridge.trees.tree import Tree

NO_PIECES = (Tree.empty(), ())


def test_a_doubt_finds_its_link() -> None:
    """1 - 2 - 3 with 4 - 5 hanging on 2; the join is between 2 and 4."""
    xyz = np.array([[0, 0, 0], [10, 0, 0], [20, 0, 0], [10, 8, 0], [10, 20, 0]], float)
    tree = Tree(xyz, np.ones(5), np.array([-1, 0, 1, 1, 3]), np.zeros(5, int))
    records: list[dict[str, Any]] = [
        {"kind": "join", "place": [10, 4, 0.2], "piece": None, "alone": True},
        {"kind": "segment", "place": [10, 20, 0]},
        {"kind": "segment", "place": [20, 0, 0]},
        {"kind": "end", "place": [20, 0, 0]},
    ]
    doubts = doubts_of(tree, np.arange(1, 6), records, NO_PIECES)
    assert [doubts[number].link for number in range(1, 5)] == [(4, 2), (4, 2), (3, 2), None]
    assert [doubts[number].alone for number in (1, 2)] == [True, False]
    alone = Tree(xyz[:1], np.ones(1), np.array([-1]), np.zeros(1, int))
    assert doubts_of(alone, np.array([1]), records[:1], NO_PIECES)[1].link is None


def test_a_doubt_finds_the_piece_that_was_left_out() -> None:
    tree = Tree(np.zeros((2, 3)), np.ones(2), np.array([-1, 0]), np.zeros(2, int))
    xyz = np.array([[5, 0, 0], [9, 0, 0], [11, 0, 0], [9, 3, 0]], float)
    pieces = Tree(xyz, np.ones(4), np.array([-1, -1, 1, 1]), np.zeros(4, int))
    end: dict[str, Any] = {"kind": "end", "place": [7, 0, 0], "piece": 2}
    records = [end, end | {"kind": "branch"}, {"kind": "branch", "place": [0.5, 0, 0]}]
    doubts = doubts_of(tree, np.array([4, 7]), records, (pieces, range(1, 5)))
    assert [(node.x, node.parent) for node in doubts[1].missing] == [(9, -1), (11, 0), (9, 0)]
    assert doubts[1].hangs_on == 4
    # A tree that went as a whole hangs on nothing, and an earlier version kept no pieces.
    assert doubts[2].hangs_on is None
    assert (doubts[3].hangs_on, doubts[3].missing) == (4, ())
