"""Edits of a tree: what each operation does and refuses, and that nothing is lost or broken."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dineuro_bridge.errors import BadEdit
from dineuro_bridge.trees import operations
from dineuro_bridge.trees.edited import EditedTree, Node
from dineuro_bridge.trees.edits import Edits, sentence, summary
from dineuro_bridge.trees.operations import Doubt
from dineuro_bridge.trees.swc import swc_text
from dineuro_bridge.trees.tree import Tree

#: 1 - 2 - 3 - 4, with 5 - 6 hanging on 3; 7 - 8 is a piece of its own.
PARENTS = [-1, 0, 1, 2, 2, 4, -1, 6]
XYZ = [[0, 0, 0], [2, 0, 0], [4, 0, 0], [6, 0, 0], [4, 2, 0], [4, 9, 0], [0, 9, 5], [2, 9, 5]]
SIZE = (20, 20, 10)


def small_tree() -> Tree:
    n = len(PARENTS)
    return Tree(np.array(XYZ, float), np.full(n, 1.5), np.array(PARENTS), np.array([1] + [3] * 7))


def start(**more: Any) -> Edits:
    return Edits.of(small_tree(), size=SIZE, **more)


def parents(edits: Edits) -> dict[int, int]:
    return {name: node.parent for name, node in edits.tree.nodes.items()}


def check(edits: Edits) -> None:
    """The tree is a forest of finite nodes with radii above 0, and its links agree."""
    tree = edits.tree
    for name, node in tree.nodes.items():
        assert all(map(math.isfinite, node[:4]))
        assert node.radius > 0
        assert name < edits.next_id
        if node.parent >= 0:
            assert name in tree.children[node.parent]
    assert sum(map(len, tree.children.values())) + len(tree.roots) == len(tree)
    # Every node is reached from a root, so that no loop exists; `Tree` checks the order.
    flat, ids = tree.as_tree()
    assert len(flat) == len(tree)
    assert set(ids.tolist()) == set(tree.nodes)


# Single operations


def test_an_unchanged_tree_keeps_its_order_its_ids_and_its_values() -> None:
    tree, ids = start().tree.as_tree(("a comment",))
    expected = small_tree()
    assert ids.tolist() == list(range(1, 9))
    assert np.array_equal(tree.parents, expected.parents)
    assert np.array_equal(tree.xyz, expected.xyz)
    assert np.array_equal(tree.types, expected.types)
    assert tree.comments == ("a comment",)


def test_cut_makes_a_piece_of_its_own() -> None:
    edits = start().after({"op": "cut", "node": 5})
    assert parents(edits)[5] == -1
    assert edits.tree.roots == [1, 5, 7]
    assert len(edits.tree) == 8


def test_delete_removes_a_node_and_all_below_it() -> None:
    edits = start().after({"op": "delete", "node": 3})
    assert sorted(edits.tree.nodes) == [1, 2, 7, 8]
    everything = edits.after({"op": "delete", "node": 1}).after({"op": "delete", "node": 7})
    assert len(everything.tree) == 0
    assert len(everything.tree.as_tree()[0]) == 0


def test_a_join_turns_the_piece_round_and_hangs_it_on_the_other() -> None:
    path = [[2, 9, 5, 1], [3, 9, 3, 1.2], [4, 9, 1, 1.4], [4, 9, 0, 9]]  # with both ends
    edits = start().after({"op": "join", "from": 8, "to": 6, "path": path})
    assert edits.tree.roots == [1]
    assert [*edits.tree.above(7)] == [7, 8, 10, 9, 6, 5, 3, 2, 1]
    assert edits.tree.nodes[10][:4] == (3, 9, 3, 1.2)
    assert edits.tree.nodes[10].type == 3
    straight = start().after({"op": "join", "from": 8, "to": 6})
    assert parents(straight)[8] == 6
    assert parents(straight)[7] == 8


def test_extend_adds_a_branch_with_the_radius_of_its_node() -> None:
    edits = start().after({"op": "extend", "from": 1, "path": [[0, 0, 0], [0, 1, 0], [0, 2, 0, 3]]})
    assert edits.tree.nodes[9] == (0, 1, 0, 1.5, 0, 1)  # undefined, because node 1 is a soma
    assert edits.tree.nodes[10] == (0, 2, 0, 3, 0, 9)
    assert edits.after({"op": "extend", "from": 4, "path": [[7, 0, 0]]}).tree.nodes[11].type == 3


def test_root_and_reverse_turn_the_links_of_one_piece() -> None:
    rooted = start().after({"op": "root", "node": 3})
    assert rooted.tree.roots == [3, 7]
    assert [*rooted.tree.above(1)] == [1, 2, 3]
    assert parents(rooted)[4] == 3
    reversed_ = start().after({"op": "reverse", "node": 4})
    assert reversed_.tree.roots == [6, 7]  # the end that is furthest from node 1
    line = start().after({"op": "reverse", "node": 7})
    assert line.after({"op": "reverse", "node": 7}).tree.same_as(start().tree)


def test_type_changes_a_branch_or_all_below() -> None:
    edits = start().after({"op": "type", "node": 2, "type": 2, "scope": "branch"})
    assert [name for name, node in edits.tree.nodes.items() if node.type == 2] == [2, 3]
    edits = start().after({"op": "type", "node": 6, "type": 2, "scope": "branch"})
    assert [name for name, node in edits.tree.nodes.items() if node.type == 2] == [5, 6]
    edits = start().after({"op": "type", "node": 3, "type": 4})
    assert [name for name, node in edits.tree.nodes.items() if node.type == 4] == [3, 4, 5, 6]
    edits = start().after({"op": "type", "node": 1, "type": 2, "scope": "branch"})
    assert [name for name, node in edits.tree.nodes.items() if node.type == 2] == [1]


def test_an_answer_is_kept_and_a_rejected_join_leaves_with_what_hangs_on_it() -> None:
    doubts = {1: Doubt("join", (5, 3)), 2: Doubt("end"), 3: Doubt("segment", (2, 1))}
    edits = start(doubts=doubts).after({"op": "accept", "doubt": 1})
    assert edits.tree.answers == {1: "accepted"}
    assert len(edits.tree) == 8
    edits = edits.after({"op": "reject", "doubt": 1}).after({"op": "reject", "doubt": 2})
    assert edits.tree.answers == {1: "rejected", 2: "rejected"}
    assert sorted(edits.tree.nodes) == [1, 2, 3, 4, 7, 8]
    with pytest.raises(BadEdit, match="was changed there: undo"):
        edits.after({"op": "accept", "doubt": 1})
    # The link runs the other way after the root has moved beyond it.
    turned = (
        start(doubts=doubts).after({"op": "root", "node": 4}).after({"op": "reject", "doubt": 3})
    )
    assert sorted(turned.tree.nodes) == [2, 3, 4, 5, 6, 7, 8]
    gone = (
        start(doubts=doubts).after({"op": "delete", "node": 5}).after({"op": "reject", "doubt": 1})
    )
    assert gone.tree.answers == {1: "rejected"}
    moot = start(doubts=doubts).after({"op": "delete", "node": 5})
    assert moot.moot == (1,)
    assert (moot.after({"op": "undo"}).moot, gone.moot) == ((), ())
    cut = start(doubts=doubts).after({"op": "cut", "node": 5})
    assert cut.moot == (1,)  # this link itself
    back = gone.after({"op": "undo"}).after({"op": "undo"})
    assert back.tree.same_as(start().tree)


def test_a_rejected_end_gets_the_piece_that_was_left_out() -> None:
    tree = start().tree
    x, y, z, *_ = tree.nodes[6]
    piece = (
        Node(x + 8, y, z, 2, 3, -1), Node(x + 8, y + 2, z, 1, 3, 0), Node(x + 9, y, z, 1, 3, 0),
    )  # fmt: skip
    doubts = {1: Doubt("end", missing=piece, hangs_on=6), 2: Doubt("branch", missing=piece)}
    edits = start(doubts=doubts).after({"op": "accept", "doubt": 1})
    assert edits.tree.nodes == tree.nodes  # the neurite ends there indeed
    edits = edits.after({"op": "reject", "doubt": 1})
    new = {name: node for name, node in edits.tree.nodes.items() if name not in tree.nodes}
    kind = tree.nodes[6].type
    # Three points of the line to it, and the piece.
    assert new == {
        9: (x + 2, y, z, 2, kind, 6), 10: (x + 4, y, z, 2, kind, 9), 11: (x + 6, y, z, 2, kind, 10),
        12: (x + 8, y, z, 2, kind, 11), 13: (x + 8, y + 2, z, 1, kind, 12),
        14: (x + 9, y, z, 1, kind, 12),
    }  # fmt: skip
    assert edits.after({"op": "undo"}).after({"op": "redo"}).tree.same_as(edits.tree)
    alone = edits.after({"op": "reject", "doubt": 2})
    assert 15 in alone.tree.roots
    assert sorted(alone.tree.below(15)) == [15, 16, 17]
    # The place at which it would hang has left the tree.
    gone = start(doubts=doubts).after({"op": "delete", "node": 6})
    assert gone.moot == (1,)
    assert gone.after({"op": "reject", "doubt": 1}).tree.nodes == gone.tree.nodes


def test_what_lies_beyond_a_wrong_join_may_stay_alone() -> None:
    doubts = {1: Doubt("join", (5, 3), alone=True)}
    edits = start(doubts=doubts).after({"op": "reject", "doubt": 1})
    assert len(edits.tree) == len(start().tree)
    assert 5 in edits.tree.roots


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        ({"op": "cut", "node": 99}, "node 99: the tree has no such node"),
        ({"op": "cut", "node": 1}, "is a root"),
        ({"op": "root", "node": 1}, "is the root already"),
        ({"op": "join", "from": 4, "to": 6}, "makes a loop"),
        ({"op": "join", "from": 4, "to": 4}, "makes a loop"),
        ({"op": "join", "from": 8, "to": 6, "path": [[30, 1, 1, 1]]}, "outside the volume"),
        ({"op": "extend", "from": 4, "path": []}, "no point"),
        ({"op": "extend", "from": 4, "path": [[6.1, 0, 0, 1]]}, "no point"),
        ({"op": "extend", "from": 4, "path": [[-1, 0, 0, 1]]}, "outside the volume"),
        ({"op": "extend", "from": 4, "path": [[7, 0, 0, 0]]}, "radius must be above 0"),
        ({"op": "extend", "from": 4, "path": [[7, 0, float("nan"), 1]]}, r"must be \[x, y, z"),
        ({"op": "extend", "from": 4, "path": [[7, 0, True, 1]]}, r"must be \[x, y, z"),
        ({"op": "extend", "from": 4, "path": "far"}, "must be a list"),
        ({"op": "extend", "from": 4, "path": [[7, 0, 0, 1]] * 10_001}, "the limit is 10000"),
        ({"op": "type", "node": 4, "type": -1}, "must be a whole number"),
        ({"op": "type", "node": 4, "type": 1000}, "from 0 to 999"),
        ({"op": "type", "node": 4, "type": 2, "scope": "all"}, "branch or subtree"),
        ({"op": "replace", "tree": ""}, "must be the text of an SWC"),
        ({"op": "replace", "tree": "1 0 1 1 1 1 -1\n2 0 1 1"}, "line 2 has 4 columns"),
        ({"op": "replace", "tree": "1 0 99 1 1 1 -1"}, r"\(99, 1, 1\) lies outside"),
        ({"op": "replace", "tree": "1 0 1 1 1 -1 -1"}, "the radius -1"),
        ({"op": "replace", "tree": "1 1000 1 1 1 1 -1"}, "the type 1000"),
        ({"op": "accept", "doubt": 1}, "there is none"),
        ({"op": "cut", "node": 2, "also": 3}, "has no field 'also'"),
        ({"op": "cut"}, "must be a whole number"),
        ({"op": "fly"}, "must be one of accept"),
        ({"op": ["cut"]}, "must be one of accept"),
        ([], "must be an object"),
        ({"op": "undo"}, "no edit is left"),
        ({"op": "redo"}, "no edit was taken back"),
    ],
)
def test_an_operation_that_does_not_fit_is_refused(operation: object, says: str) -> None:
    with pytest.raises(BadEdit, match=says):
        start().after(operation)


def test_a_replaced_tree_keeps_the_ids_of_its_places() -> None:
    before = start()
    tree, ids = before.tree.as_tree()
    assert len(ids) > 4
    changed = swc_text(
        Tree(tree.xyz + np.array([0, 0, 1]) * (ids == ids[-1])[:, None], tree.radii, tree.parents,
             tree.types)
    )  # fmt: skip
    after = before.after({"op": "replace", "tree": changed})
    assert set(after.tree.nodes) == {*ids[:-1].tolist(), before.next_id}
    check(after)
    assert after.after({"op": "undo"}).tree.same_as(before.tree)
    assert after.after({"op": "undo"}).after({"op": "redo"}).tree.same_as(after.tree)
    with pytest.raises(BadEdit, match="present one already"):
        after.after({"op": "replace", "tree": changed})


def test_a_tree_may_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MOST_NODES", 10)
    edits = start().after({"op": "extend", "from": 4, "path": [[7, 0, 0], [8, 0, 0]]})
    with pytest.raises(BadEdit, match="more than 10 nodes"):
        edits.after({"op": "extend", "from": 4, "path": [[7, 0, 0]]})


def test_a_new_operation_ends_what_could_come_back_and_no_id_is_given_twice() -> None:
    first = start().after({"op": "extend", "from": 4, "path": [[7, 0, 0]]})
    undone = first.after({"op": "undo"})
    assert undone.can_redo
    assert undone.after({"op": "redo"}).tree.same_as(first.tree)
    other = undone.after({"op": "extend", "from": 4, "path": [[8, 0, 0]]})
    assert not other.can_redo
    assert sorted(other.tree.nodes)[-1] == 10
    assert [step.revision for step in other.done] == [3]


def test_edits_are_told_in_words() -> None:
    join = {"op": "join", "from": 8, "to": 6, "path": [[1, 2, 3], [2, 2, 3]]}
    assert sentence(join) == "join from 8 to 6 2 points"
    assert summary([join, {"op": "cut"}, {"op": "cut"}]) == "2 cut, 1 join"
    assert summary([]) == "none"


# Many operations


def random_tree(rng: np.random.Generator, n: int = 120) -> Tree:
    above = np.array([-1 if rng.random() < 0.05 or i == 0 else rng.integers(i) for i in range(n)])
    radii = rng.uniform(0.5, 3, n)
    return Tree.from_links(rng.uniform(0, 60, (n, 3)), radii, above, rng.integers(0, 5, n))


def random_operation(edits: Edits, rng: np.random.Generator) -> dict[str, Any]:
    """One operation, which may not fit."""
    names = list(edits.tree.nodes)
    node, other = (int(names[rng.integers(len(names))]) for _ in range(2))
    path = [[*rng.uniform(0, 60, 3).tolist(), 1.0] for _ in range(rng.integers(0, 4))]
    kinds: list[dict[str, Any]] = [
        {"op": "cut", "node": node},
        {"op": "join", "from": node, "to": other, "path": path},
        {"op": "join", "from": other, "to": node, "path": path},
        {"op": "extend", "from": node, "path": path},
        {"op": "root", "node": node},
        {"op": "reverse", "node": node},
        {"op": "type", "node": node, "type": int(rng.integers(8)), "scope": "branch"},
        {"op": "type", "node": node, "type": int(rng.integers(8))},
        {"op": "accept", "doubt": int(rng.integers(1, 9))},
        {"op": "reject", "doubt": int(rng.integers(1, 9))},
    ]
    if rng.random() < 0.1:  # seldom, so that the tree stays
        return {
            "op": "delete",
            "node": max(
                names, key=lambda name: (len(edits.tree.children.get(name, ())) == 0, name)
            ),
        }
    return kinds[rng.integers(len(kinds))]


def edited_at_random(rng: np.random.Generator, count: int, seen: list[Edits]) -> Edits:
    """A tree after `count` operations that fit; `seen` gets every state."""
    tree = random_tree(rng)
    links = [i for i in range(len(tree)) if tree.parents[i] >= 0]
    doubts = {
        number: Doubt("join", (at + 1, int(tree.parents[at]) + 1))
        for number, at in enumerate(rng.choice(links[-40:], 8, replace=False).tolist(), 1)
    }
    edits = Edits.of(tree, doubts=doubts, size=(60, 60, 60))
    seen.append(edits)
    while len(seen) <= count:
        try:
            edits = edits.after(random_operation(edits, rng))
        except BadEdit:
            continue
        seen.append(edits)
    return edits


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_random_edits_undone_and_redone_are_the_same_tree(seed: int) -> None:
    states = list[Edits]()
    last = edits = edited_at_random(np.random.default_rng(seed), 1000, states)
    assert len({step.operation["op"] for step in edits.done}) == 9
    for before in reversed(states[:-1]):
        edits = edits.after({"op": "undo"})
        assert edits.tree.same_as(before.tree)
    assert not edits.can_undo
    for after in states[1:]:
        edits = edits.after({"op": "redo"})
        assert edits.tree.same_as(after.tree)
    assert edits.revision == 3000
    check(edits)
    # The log alone gives the same tree again.
    again = states[0]
    for step in last.done:
        again = again.after(json.loads(json.dumps(step.operation)))
    assert again.tree.same_as(last.tree)


@pytest.mark.parametrize("seed", range(4))
def test_the_tree_is_a_forest_after_every_edit(seed: int) -> None:
    states = list[Edits]()
    rng = np.random.default_rng(100 + seed)
    edited_at_random(rng, 250, states)
    for edits in states:
        check(edits)
    edits = states[-1]
    for _ in range(200):  # undo, redo and new edits in any order
        record = {"op": ("undo", "redo")[rng.integers(2)]}
        try:
            edits = edits.after(random_operation(edits, rng) if rng.random() < 0.3 else record)
        except BadEdit:
            continue
        check(edits)


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
_NAMES = ("node", "from", "to", "type", "doubt", "scope", "path")


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["cut", "join", "extend", "type", "reject", "undo"]) | _JUNK},
        optional={name: st.integers(0, 9) | _JUNK for name in _NAMES},
    )
)
def test_junk_is_refused_or_leaves_a_forest(record: dict[str, Any]) -> None:
    try:
        edits = start().after(record)
    except BadEdit:
        return
    check(edits)


def test_a_large_tree_is_edited_in_milliseconds() -> None:
    n = 20_000
    tree = EditedTree.of(Tree(np.zeros((n, 3)), np.ones(n), np.arange(n) - 1, np.zeros(n, int)))
    edits = Edits(tree, n + 1)
    for node in range(2, 40):
        edits = edits.after({"op": "cut", "node": node * 400})
    assert len(edits.tree.roots) == 39
