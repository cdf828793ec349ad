"""The Tree value type: what it refuses, how it sorts, what it measures."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dineuro_bridge.errors import BadTree, MissingDependency
from dineuro_bridge.trees.tree import Tree, depth_first_order

#       0 soma ─ 1 ─ 2 fork ─ 3 tip
#                     └ 4 ─ 5 tip        6 a lone node, 7 ─ 8 a second tree
PARENTS = [-1, 0, 1, 2, 2, 4, -1, -1, 7]
XYZ = [
    [0, 0, 0],
    [3, 4, 0],
    [3, 4, 2],
    [3, 5, 2],
    [3, 4, 3],
    [5, 4, 3],
    [9, 9, 9],
    [0, 0, 5],
    [0, 0, 12],
]
PAIR: dict[str, Any] = {
    "xyz": [[0, 0, 0], [1, 0, 0]],
    "radii": [1, 1],
    "parents": [-1, 0],
    "types": [1, 3],
}


def forest() -> Tree:
    return Tree(np.array(XYZ), np.arange(1.0, 10.0), np.array(PARENTS), np.full(9, 3))


@st.composite
def links(draw: st.DrawFn) -> NDArray[np.int64]:
    """Parents of a random forest whose nodes stand in no order."""
    n = draw(st.integers(0, 40))
    parents = [draw(st.integers(-1, i - 1)) for i in range(n)]
    label = draw(st.permutations(range(n)))
    shuffled = np.empty(n, dtype=np.int64)
    for i, parent in enumerate(parents):
        shuffled[label[i]] = label[parent] if parent >= 0 else -1
    return shuffled


def naive_depth_first(parents: NDArray[np.int64]) -> list[int]:
    children: dict[int, list[int]] = {}
    for node, parent in enumerate(parents.tolist()):
        children.setdefault(parent, []).append(node)
    order: list[int] = []
    stack = children.get(-1, [])[::-1]
    while stack:
        order.append(stack.pop())
        stack += children.get(order[-1], [])[::-1]
    return order


def test_measures() -> None:
    tree = forest()
    assert len(tree) == 9
    assert tree.n_trees == 3
    assert tree.roots.tolist() == [0, 6, 7]
    assert tree.n_children.tolist() == [1, 1, 2, 0, 1, 0, 0, 1, 0]
    assert tree.tips.tolist() == [3, 5, 8]
    assert tree.forks.tolist() == [2]
    assert tree.link_lengths.tolist() == [0, 5, 2, 1, 1, 2, 0, 0, 7]
    assert tree.length == 18.0


def test_a_soma_with_many_branches_is_no_fork() -> None:
    star = Tree(np.eye(4)[:, :3], np.ones(4), np.array([-1, 0, 0, 0]), np.ones(4, dtype=np.int64))
    assert star.forks.tolist() == []
    assert star.tips.tolist() == [1, 2, 3]


def test_an_empty_tree_measures_nothing() -> None:
    tree = Tree.empty(("why",))
    assert len(tree) == tree.n_trees == 0
    assert tree.length == 0.0
    assert tree.xyz.shape == (0, 3)
    assert tree.n_children.tolist() == tree.tips.tolist() == tree.forks.tolist() == []
    assert tree.moved((1, 2, 3)).comments == ("why",)
    assert len(Tree.from_links([], [], [], [])) == 0


def test_arrays_are_copies_that_cannot_be_written() -> None:
    xyz = np.zeros((1, 3))
    tree = Tree(xyz, np.ones(1), np.array([-1]), np.array([1]))
    xyz[:] = 7
    assert tree.xyz.tolist() == [[0, 0, 0]]
    for array in (tree.xyz, tree.radii, tree.parents, tree.types):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert (tree.xyz.dtype.name, tree.parents.dtype.name) == ("float64", "int64")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("xyz", [[0, 0], [1, 1]], "2 parents, but xyz"),
        ("xyz", [[0, 0, 0]], "2 parents, but xyz"),
        ("xyz", [[0, 0, 0], [0, np.nan, 0]], "finite"),
        ("radii", [1.0, np.inf], "finite"),
        ("radii", [1.0], "2 parents, but xyz"),
        ("types", [1, 2, 3], "2 parents, but xyz"),
        ("parents", [1, -1], "before its child"),
        ("parents", [-1, 1], "before its child"),
        ("parents", [-1, -2], "before its child"),
        ("parents", [-1, 2], "before its child"),
    ],
)
def test_what_is_no_tree_is_refused(field: str, value: Any, message: str) -> None:
    pair: dict[str, Any] = {name: np.array(v) for name, v in PAIR.items()}
    assert len(Tree(**pair)) == 2
    with pytest.raises(BadTree, match=message):
        Tree(**(pair | {field: np.array(value)}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("xyz", [[0, 0], [1, 1]]),
        ("xyz", [[0, 0, 0]] * 3),
        ("radii", [1]),
        ("types", [1, 2, 3]),
        ("parents", [-1, 2]),
        ("parents", [-2, 0]),
    ],
)
def test_from_links_refuses_what_does_not_fit(field: str, value: Any) -> None:
    assert len(Tree.from_links(**PAIR)) == 2
    with pytest.raises(BadTree):
        Tree.from_links(**(PAIR | {field: value}))


def test_from_links_sorts_branch_by_branch() -> None:
    #  node 2 is the root; 0 and 4 leave it; 0 - 3 - 1 is one branch, 4 the other; 5 is alone
    tree = Tree.from_links(
        [[i, 0, 0] for i in range(6)], range(6), [2, 3, -1, 0, 2, -1], range(10, 16), ("c",)
    )
    assert tree.xyz[:, 0].tolist() == [2, 0, 3, 1, 4, 5]
    assert tree.radii.tolist() == [2, 0, 3, 1, 4, 5]
    assert tree.types.tolist() == [12, 10, 13, 11, 14, 15]
    assert tree.parents.tolist() == [-1, 0, 1, 2, 0, -1]
    assert tree.comments == ("c",)


@given(links())
def test_the_order_is_the_naive_one(parents: NDArray[np.int64]) -> None:
    assert depth_first_order(parents).tolist() == naive_depth_first(parents)


@given(links())
def test_sorting_keeps_every_link(parents: NDArray[np.int64]) -> None:
    n = len(parents)
    names = np.arange(n)
    tree = Tree.from_links(np.repeat(names, 3).reshape(-1, 3), names, parents, names)
    above = np.where(tree.parents >= 0, tree.types[tree.parents], -1) if n else tree.parents
    assert above.tolist() == parents[tree.types].tolist()
    again = Tree.from_links(tree.xyz, tree.radii, tree.parents, tree.types)
    assert again.types.tolist() == tree.types.tolist()


def test_a_long_branch_is_sorted_without_recursion() -> None:
    n = 20_000
    assert depth_first_order(np.arange(n) - 1).tolist() == list(range(n))
    backwards = np.append(np.arange(1, n), -1)
    assert depth_first_order(backwards).tolist() == list(range(n))[::-1]


@pytest.mark.parametrize(
    ("parents", "node"),
    [([0], 0), ([-1, 1], 1), ([-1, 2, 1], 1), ([1, 2, 3, 4, 0], 0)],
)
def test_a_cycle_is_named(parents: list[int], node: int) -> None:
    with pytest.raises(BadTree, match=f"cycle through node {node}$"):
        depth_first_order(np.array(parents))


def test_a_node_that_only_leads_to_a_cycle_is_not_blamed() -> None:
    with pytest.raises(BadTree, match=r"cycle through node [12]$"):
        depth_first_order(np.array([2, 2, 1]))


def test_moved_scaled_and_commented() -> None:
    tree = forest()
    moved = tree.moved((1, -2, 0.5))
    assert moved.xyz[1].tolist() == [4, 2, 0.5]
    assert moved.radii.tolist() == tree.radii.tolist()
    scaled = tree.scaled((1, 2, 4))
    assert scaled.xyz[1].tolist() == [3, 8, 0]
    assert scaled.xyz[8].tolist() == [0, 0, 48]
    assert scaled.radii == pytest.approx(2 * tree.radii)
    assert tree.with_comments(("a", "b")).comments == ("a", "b")
    assert tree.comments == ()


def test_a_mirrored_tree_keeps_its_radii() -> None:
    mirrored = forest().scaled((1, -1, 1))
    assert mirrored.xyz[1].tolist() == [3, -4, 0]
    assert mirrored.radii.tolist() == forest().radii.tolist()


# Texts and exports


def exported() -> Tree:
    xyz = np.array([[0, 0, 0], [3, 4, 0], [3, 4, 2], [9, 4, 0]], float)
    return Tree(xyz, np.array([2, 1, 1, 0.5]), np.array([-1, 0, 1, 1]), np.array([1, 3, 3, 2]))


def test_a_tree_says_in_one_line_what_it_is() -> None:
    assert repr(exported()) == "Tree(4 nodes, 1 trees, 2 tips, length 13.0)"


def test_a_graph_has_the_nodes_of_the_swc() -> None:
    networkx = pytest.importorskip("networkx")
    graph = exported().to_networkx()
    assert networkx.is_arborescence(graph)
    assert sorted(graph.edges) == [(1, 2), (2, 3), (2, 4)]
    assert graph.nodes[4] == {"x": 9, "y": 4, "z": 0, "radius": 0.5, "type": 2}
    assert graph.size(weight="length") == 13


def test_a_table_has_the_columns_of_the_swc(monkeypatch: pytest.MonkeyPatch) -> None:
    """pandas need not be installed: what it is given is enough."""
    given: dict[str, Any] = {}
    stub = types.SimpleNamespace(
        RangeIndex=lambda *ends, name: (*ends, name),
        DataFrame=lambda columns, index: given.update(columns, index=index),
    )
    monkeypatch.setitem(sys.modules, "pandas", stub)
    exported().to_pandas()
    assert list(given) == ["type", "x", "y", "z", "radius", "parent", "index"]
    assert given["parent"].tolist() == [-1, 1, 2, 2]
    assert given["x"].tolist() == [0, 3, 3, 9]
    assert given["index"] == (1, 5, "n")


def test_an_export_without_its_library_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(MissingDependency, match="pip install networkx"):
        exported().to_networkx()


def test_kept_nodes_without_their_parent_are_roots() -> None:
    count = len(PARENTS)
    tree = Tree(
        np.array(XYZ), np.arange(1.0, count + 1), np.array(PARENTS), np.arange(count), ("a",)
    )
    part = tree.keep(~np.isin(np.arange(count), [2, 6]))
    assert part.parents.tolist() == [-1, 0, -1, -1, 3, -1, 5]
    assert part.types.tolist() == [0, 1, 3, 4, 5, 7, 8]
    assert part.radii.tolist() == [1, 2, 4, 5, 6, 8, 9]
    assert np.array_equal(part.xyz, np.array(XYZ)[part.types])
    assert part.comments == ()


def test_concatenated_trees_are_one_forest() -> None:
    pair = Tree(np.array(XYZ)[:2], np.ones(2), np.array([-1, 0]), np.full(2, 3))
    forest = Tree.concatenate([pair, Tree.empty(), pair.moved((1, 0, 0))])
    assert forest.parents.tolist() == [-1, 0, -1, 2]
    assert forest.xyz.tolist() == [XYZ[0], XYZ[1], [1, 0, 0], [4, 4, 0]]
    assert len(Tree.concatenate([])) == 0
