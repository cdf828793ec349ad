"""The scripted proofreader answers by the reference, and its answers change the tree."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from benchmarks.proofreading import SHARES, User, gained

from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.doubts import Doubt

N = 60


def neurite(begin: float, end: float, y: float = 0.0) -> Tree:
    x = np.arange(begin, end + 1)
    xyz = np.column_stack([x, np.full_like(x, y), np.zeros_like(x)])
    return Tree(xyz, np.ones(len(x)), np.arange(len(x)) - 1, np.full(len(x), 3))


def test_a_wrong_branch_goes_a_missing_piece_comes_and_a_right_one_stays() -> None:
    """The tree lacks the second half of the reference, and has a branch that is not there."""
    stem = neurite(0, 30)
    spur = np.column_stack([np.full(12, 10.0), np.arange(1, 13.0), np.zeros(12)])
    tree = Tree(
        np.vstack([stem.xyz, spur]), np.ones(43),
        np.concatenate([stem.parents, [10], np.arange(31, 42)]), np.full(43, 3),
    )  # fmt: skip
    doubts = (
        Doubt("segment", (20, 0, 0), 0.5, 20),  # right
        Doubt("end", (30, 0, 0), 0.5, 40, 4, missing=neurite(34, N)),
        Doubt("end", (30, 0, 0), 0.5, 40, 4, missing=neurite(34, N, y=9.0)),  # another neurite
        Doubt("segment", (10, 6, 0), 0.5, 12),
        Doubt("join", (10, 6.5, 0), 0.5, 6),  # goes with the segment
    )
    result: Any = SimpleNamespace(tree=tree, doubts=doubts, report=SimpleNamespace(layout="neuron"))
    user = User.of(result, neurite(0, N))
    curve = user.after([1, 2, 3, 4])
    assert curve[0] < 0.7
    assert curve[SHARES.index(0.3)] == curve[0]  # the first answer changes nothing
    assert curve[-1] == pytest.approx(1, abs=0.01)
    assert sorted(user.scores) == [(), (2,), (2, 4)]
    assert user.after([2, 1, 3, 4])[SHARES.index(0.3)] > curve[0]
    assert user.gain(1) == 0 < user.gain(4) < user.gain(2)
    # What has gone with an earlier answer is no decision.
    assert user.after([4, 5, 2])[SHARES.index(0.7)] == pytest.approx(1, abs=0.01)
    share = gained([curve])
    assert (share[0], share[-1]) == (0, 1)
