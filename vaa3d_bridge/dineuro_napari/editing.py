"""A tree while a person corrects it: in this process, or on the server that traced it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dineuro_bridge.client import Client
from dineuro_bridge.errors import Outdated
from dineuro_bridge.trees.edited import EditedTree
from dineuro_bridge.trees.edits import Edits
from dineuro_bridge.trees.operations import Doubt
from dineuro_bridge.trees.swc import swc_text
from dineuro_bridge.trees.tree import Tree


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """The tree after some edits.

    Attributes:
        tree: in voxels.
        ids: (N,) of its nodes.
        answers: "accepted" or "rejected", by the number of the doubt.
        can_undo, can_redo: whether an edit can be taken back, or brought back.
    """

    tree: Tree
    ids: NDArray[np.int64]
    answers: Mapping[int, str]
    can_undo: bool = False
    can_redo: bool = False


class Editing(Protocol):
    """Where a tree is edited. Each call may block; see `dineuro_bridge.trees.operations`."""

    #: Where the edits are kept, as the end of a sentence.
    kept: str

    def load(self) -> State:
        """The present state.

        Raises:
            DineuroError: it cannot be had.
        """
        ...

    def edit(self, operation: Mapping[str, Any]) -> State:
        """The state after one more operation.

        Raises:
            BadEdit: the operation does not fit the tree.
            Outdated: somebody else has edited the tree; `load` has the present state.
        """
        ...

    def close(self) -> None:
        """Release the connection, if there is one."""
        ...


class LocalEditing:
    """Edits in this process, which are lost unless the tree is saved.

    Args:
        tree: in voxels.
        doubts: by their number.
        size: x, y, z of the volume.
    """

    kept = "here, until you save the tree"

    def __init__(
        self, tree: Tree, doubts: Mapping[int, Doubt], size: tuple[int, int, int] | None = None
    ) -> None:
        self._comments = tree.comments
        self._edits = Edits.of(tree, doubts=doubts, size=size)

    def load(self) -> State:
        """See `Editing`."""
        tree, ids = self._edits.tree.as_tree(self._comments)
        answers = dict(self._edits.tree.answers)
        return State(tree, ids, answers, self._edits.can_undo, self._edits.can_redo)

    def edit(self, operation: Mapping[str, Any]) -> State:
        """See `Editing`."""
        self._edits = self._edits.after(operation)
        return self.load()

    def close(self) -> None:
        """See `Editing`."""


class ServerEditing:
    """Edits that a server keeps.

    Args:
        client: of the server.
        job: the id of a done job with a tree.
    """

    def __init__(self, client: Client, job: str) -> None:
        self.kept = f"on the server as job {job}"
        self._client, self._job, self._revision = client, job, 0

    def load(self) -> State:
        """See `Editing`."""
        edits = self._client.edits(self._job)
        tree, ids = self._client.numbered_tree(self._job)
        self._revision = edits.revision
        return State(tree, ids, edits.doubts, edits.can_undo, edits.can_redo)

    def edit(self, operation: Mapping[str, Any]) -> State:
        """See `Editing`. An edit that was refused as outdated is not made."""
        self._client.edit(self._job, operation, self._revision)
        return self.load()

    def close(self) -> None:
        """See `Editing`."""
        self._client.close()


def replacement(tree: Tree) -> dict[str, Any]:
    """The operation by which another tree takes the place of the edited one."""
    return {"op": "replace", "tree": swc_text(tree.with_comments(()))}


def nearest_node(state: State, begin: ArrayLike, end: ArrayLike, reach: float) -> int | None:
    """The id of the node that a click meets; None if it meets none.

    Args:
        state: the tree.
        begin: z, y, x in voxels of an end of the line of sight.
        end: of its other end; both are the same for a place in a slice.
        reach: the distance within which a node is met, in voxels.
    """
    if not len(state.tree):
        return None
    nodes = state.tree.xyz[:, ::-1]
    low, along = np.asarray(begin, dtype=np.float64), np.subtract(end, begin)
    squared = float(along @ along)
    share = np.clip((nodes - low) @ along / squared, 0, 1) if squared else np.zeros(len(nodes))
    away = np.linalg.norm(nodes - low - share[:, None] * along, axis=1)
    # A thick neurite is met on its surface, and of the nodes that are met the nearest to its axis.
    met = away <= np.maximum(reach, state.tree.radii)
    if not met.any():
        return None
    best = int(np.where(met, away, math.inf).argmin())
    return int(state.ids[best])


def node_words(state: State, node: int) -> str:
    """A node in words: its number, type and place, and what an edit of it touches."""
    at = int(np.flatnonzero(state.ids == node)[0])
    x, y, z = state.tree.xyz[at].tolist()
    named = EditedTree.of(state.tree, state.ids)
    below, branch = len(list(named.below(node))), len(named.branch(node))
    kind = _TYPES.get(int(state.tree.types[at]), f"type {state.tree.types[at]}")
    root = "root, " if named.nodes[node].parent < 0 else ""
    return (
        f"Node {node} ({root}{kind}) at {x:.0f}, {y:.0f}, {z:.0f}. "
        f"Nodes of its branch: {branch}; nodes that Cut and Delete take: {below}."
    )


def touched_nodes(state: State, node: int) -> NDArray[np.float64]:
    """(M, 3) z, y, x of a node and of all nodes that hang on it, the node first."""
    named = EditedTree.of(state.tree, state.ids)
    places = [named.nodes[name][:3] for name in named.below(node)]
    return np.array(places, dtype=np.float64)[:, ::-1]


def doubt_lines(records: Sequence[Mapping[str, Any]], answers: Mapping[int, str]) -> list[str]:
    """One line for each doubt: its number, answer, kind, place and sentence."""
    return [
        f"{_MARKS.get(answers.get(number, ''), '?')} {number}. {record['kind'].capitalize()} at "
        f"{', '.join(f'{value:.0f}' for value in record['place'])}: {record['says']}"
        for number, record in enumerate(records, 1)
    ]


def summary(report: Mapping[str, Any], kept: str) -> str:
    """The figures and the warnings of a report in words, and where edits are kept."""
    if not report["nodes"]:
        first = "No tree was found."
    else:
        first = (
            f"{report['nodes']} nodes, {report['tips']} tips, {report['length']:.0f} voxels long; "
            f"{report['certain']:.0%} of the length is certain."
        )
    warnings = [f"• {text[:1].upper()}{text[1:]}." for text in report["warnings"]]
    count = len(report.get("doubts", ()))
    return "\n".join([first, *warnings, f"Places to look at: {count}. Edits are kept {kept}."])


_MARKS = {"accepted": "✓", "rejected": "✗"}
_TYPES = {0: "no type", 1: "soma", 2: "axon", 3: "dendrite", 4: "apical dendrite", 7: "spine"}


def is_outdated(error: BaseException) -> bool:
    """Whether an edit was refused because somebody else has edited the tree."""
    return isinstance(error, Outdated)
