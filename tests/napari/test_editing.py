"""Edits of a tree here, what a click meets, and results in words."""

from __future__ import annotations

import numpy as np
import pytest

from dineuro_bridge.errors import BadEdit
from dineuro_bridge.trees.operations import Doubt
from dineuro_bridge.trees.swc import parse_swc
from dineuro_napari import editing
from dineuro_napari.editing import LocalEditing, State
from tests.napari.stacks import small_tree


def state_of() -> State:
    return LocalEditing(small_tree(), {}).load()


def test_an_edit_keeps_the_ids_and_can_be_taken_back() -> None:
    here = LocalEditing(small_tree(), {1: Doubt("segment", (3, 2))})
    before = here.load()
    assert (before.ids.tolist(), before.can_undo) == ([1, 2, 3, 4], False)
    after = here.edit({"op": "reject", "doubt": 1})
    assert (after.ids.tolist(), dict(after.answers)) == ([1, 2, 4], {1: "rejected"})
    assert (after.can_undo, after.can_redo) == (True, False)
    assert after.tree.comments == small_tree().comments
    back = here.edit({"op": "undo"})
    assert np.array_equal(back.tree.xyz, before.tree.xyz)
    assert (dict(back.answers), back.can_redo) == ({}, True)
    assert here.edit({"op": "redo"}).ids.tolist() == [1, 2, 4]


def test_a_refused_edit_changes_nothing() -> None:
    here = LocalEditing(small_tree(), {})
    with pytest.raises(BadEdit, match="no such node"):
        here.edit({"op": "cut", "node": 9})
    assert here.load().can_undo is False


def test_another_tree_takes_the_place_of_all() -> None:
    here = LocalEditing(small_tree(), {})
    other = parse_swc("1 2 0 0 0 1 -1\n2 2 3 0 0 1 1\n")
    after = here.edit(editing.replacement(other))
    assert np.array_equal(after.tree.xyz, other.xyz)
    assert here.edit({"op": "undo"}).ids.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("begin", "end", "node"),
    [
        ((5, 20, 18.5), (5, 20, 18.5), 3),
        ((-1e5, 20.4, 14), (1e5, 20.4, 14), 2),  # along z, past node 2
        ((6, -1e5, 14), (6, 1e5, 14), 4),  # along y: both branches, node 4 is on the line
        ((5, 40, 40), (5, 40, 40), None),
        ((9, 20, 18), (9, 20, 18), None),  # another slice
        ((5, 22.9, 10), (5, 22.9, 10), 1),  # the surface of a thick node
    ],
)
def test_a_click_selects_the_node_that_it_meets(
    begin: tuple[float, ...], end: tuple[float, ...], node: int | None
) -> None:
    assert editing.nearest_node(state_of(), begin, end, 1.5) == node


def test_no_click_meets_an_empty_tree() -> None:
    empty = LocalEditing(small_tree().keep(np.zeros(4, bool)), {}).load()
    assert editing.nearest_node(empty, (0, 0, 0), (0, 0, 0), 99) is None


def test_a_node_says_what_an_edit_of_it_takes() -> None:
    assert editing.node_words(state_of(), 2) == (
        "Node 2 (dendrite) at 14, 20, 5. Nodes of its branch: 1; nodes that Cut and Delete take: 3."
    )
    assert "(root, soma)" in editing.node_words(state_of(), 1)
    assert editing.touched_nodes(state_of(), 2).tolist() == [[5, 20, 14], [5, 20, 18], [6, 26, 14]]


def test_doubts_are_lines_with_their_answers() -> None:
    records = [
        {"kind": "join", "place": [1.2, 2.0, 30.6], "says": "joined over 9 voxels"},
        {"kind": "end", "place": [4.0, 5.0, 6.0], "says": "left out"},
    ]
    assert editing.doubt_lines(records, {2: "rejected"}) == [
        "? 1. Join at 1, 2, 31: joined over 9 voxels",
        "✗ 2. End at 4, 5, 6: left out",
    ]


def test_the_warnings_of_a_report_are_sentences() -> None:
    report = {
        "nodes": 4, "tips": 2, "length": 15.3, "certain": 0.875, "doubts": [{}, {}],
        "warnings": ["the volume is a mask", "20% of the tree crosses gaps"],
    }  # fmt: skip
    assert editing.summary(report, "here").splitlines() == [
        "4 nodes, 2 tips, 15 voxels long; 88% of the length is certain.",
        "• The volume is a mask.",
        "• 20% of the tree crosses gaps.",
        "Places to look at: 2. Edits are kept here.",
    ]
    none = {**report, "nodes": 0, "doubts": [], "warnings": []}
    assert editing.summary(none, "here").startswith("No tree was found.\nPlaces to look at: 0.")
