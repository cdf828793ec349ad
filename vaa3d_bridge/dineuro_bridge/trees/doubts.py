"""The doubts of a report as edits know them: the link in doubt, or what the tree may lack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dineuro_bridge.trees.edited import EditedTree, Node
from dineuro_bridge.trees.operations import Doubt
from dineuro_bridge.trees.tree import Tree

#: A branch that was left out started at a node this near (voxels).
_NEAR = 1.0


def doubts_of(
    tree: Tree,
    ids: NDArray[np.int64],
    records: Iterable[Mapping[str, Any]],
    pieces: tuple[Tree, Iterable[int]],
) -> dict[int, Doubt]:
    """The doubts about a tree by their numbers, from 1.

    Args:
        tree: in voxels.
        ids: (N,) of its nodes.
        records: the doubts of its report, in their order.
        pieces: what the tree may lack, in voxels, and the ids of its nodes.
    """
    by_root = _by_root(EditedTree.of(*pieces))
    return {
        number: Doubt(
            record["kind"],
            _named(link_in_doubt(tree, record["kind"], record["place"]), ids),
            record.get("alone", False),
            by_root.get(record.get("piece", -1), ()),
            _beside(tree, ids, record),
        )
        for number, record in enumerate(records, 1)
    }


def _named(link: tuple[int, int] | None, ids: NDArray[np.int64]) -> tuple[int, int] | None:
    """A link by the ids of its nodes."""
    return None if link is None else (int(ids[link[0]]), int(ids[link[1]]))


def _by_root(tree: EditedTree) -> dict[int, tuple[Node, ...]]:
    """The nodes of each piece by the id of its root; a parent is a place among them."""
    pieces = dict[int, tuple[Node, ...]]()
    for root in tree.roots:
        place = {name: at for at, name in enumerate(tree.below(root))}
        nodes = [tree.nodes[name] for name in place]
        pieces[root] = tuple(node._replace(parent=place.get(node.parent, -1)) for node in nodes)
    return pieces


def _beside(tree: Tree, ids: NDArray[np.int64], doubt: Mapping[str, Any]) -> int | None:
    """The id of the node on which the missing piece of a doubt hangs; None for none.

    A tree that went as a whole hangs on nothing, so that no node lies at its place.
    """
    if doubt["kind"] not in ("end", "branch") or not len(tree):
        return None
    away = np.linalg.norm(tree.xyz - np.array(doubt["place"], dtype=np.float64), axis=1)
    at = away.argmin()
    return int(ids[at]) if doubt["kind"] == "end" or away[at] <= _NEAR else None


def link_in_doubt(tree: Tree, kind: str, place: ArrayLike) -> tuple[int, int] | None:
    """The nodes at the ends of the link in doubt, the lower one first; None where one is missing.

    A join is the link that is nearest to its place. A segment is the link at its upper end, and its
    place is one of its nodes.

    Args:
        tree: in voxels.
        kind: of the doubt.
        place: (3,), x, y, z in voxels.
    """
    linked = np.flatnonzero(tree.parents >= 0)
    if kind not in ("join", "segment") or not len(linked):
        return None
    place = np.asarray(place, dtype=np.float64)
    if kind == "segment":
        lower = int(linked[np.linalg.norm(tree.xyz[linked] - place, axis=1).argmin()])
        forks = np.bincount(tree.parents[linked], minlength=len(tree)) > 1
        while tree.parents[upper := int(tree.parents[lower])] >= 0 and not forks[upper]:
            lower = upper
        return lower, upper
    begins, ends = tree.xyz[linked], tree.xyz[tree.parents[linked]]
    along = ends - begins
    squares = np.maximum((along**2).sum(axis=1), 1e-12)
    share = np.clip(((place - begins) * along).sum(axis=1) / squares, 0, 1)
    distances = np.linalg.norm(begins + share[:, None] * along - place, axis=1)
    lower = int(linked[distances.argmin()])
    return lower, int(tree.parents[lower])
