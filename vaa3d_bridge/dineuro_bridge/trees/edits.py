"""The edits of one tree: operations in their order, with undo and redo.

    edits = Edits.of(tree)
    edits = edits.after({"op": "cut", "node": 17}).after({"op": "undo"})

The same operations give the same tree, whenever and wherever they are repeated. A log of operations
is therefore all that has to be stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dineuro_bridge.errors import BadEdit
from dineuro_bridge.trees.edited import Change, EditedTree
from dineuro_bridge.trees.operations import (
    MOST_NODES,
    Doubt,
    Operation,
    Scene,
    change_of,
    checked,
    lower_end,
)
from dineuro_bridge.trees.tree import Tree


@dataclass(frozen=True, slots=True)
class Step:
    """An operation that is in force, the revision that it made, and what it changed."""

    revision: int
    operation: Operation
    change: Change


@dataclass(frozen=True, slots=True, eq=False)
class Edits:
    """The state after some operations. No method changes it.

    Attributes:
        tree: the edited tree.
        revision: the number of operations so far, undo and redo included.
        done: the operations in force, the oldest first.
        undone: those that a redo brings back, the next one last.
        next_id: the id of the next new node; no id is given twice, also after an undo.
        last: the operation of this revision, with its fields checked; empty before the first.
        doubts: the doubtful places, by their number.
        size: x, y, z of the volume in voxels; None is unknown.
    """

    tree: EditedTree
    next_id: int
    revision: int = 0
    done: tuple[Step, ...] = ()
    undone: tuple[Step, ...] = ()
    last: Operation = field(default_factory=dict)
    doubts: Mapping[int, Doubt] = field(default_factory=dict)
    size: tuple[int, int, int] | None = None

    @classmethod
    def of(
        cls,
        tree: Tree,
        *,
        ids: Iterable[int] | None = None,
        doubts: Mapping[int, Doubt] | None = None,
        size: tuple[int, int, int] | None = None,
    ) -> Edits:
        """The state before any operation.

        Args:
            tree: in voxels.
            ids: of its nodes; None counts them from 1.
            doubts: see the attributes.
            size: see the attributes.

        Raises:
            BadEdit: the tree is too large to be edited.
        """
        if len(tree) > MOST_NODES:
            raise BadEdit(f"a tree of more than {MOST_NODES} nodes cannot be edited here")
        start = EditedTree.of(tree, ids)
        return cls(start, max(start.nodes, default=0) + 1, doubts=doubts or {}, size=size)

    @property
    def moot(self) -> tuple[int, ...]:
        """The numbers of the doubts without an answer whose place an edit has taken away."""
        answered = self.tree.answers
        return tuple(n for n in sorted(self.doubts) if n not in answered and self._is_moot(n))

    def _is_moot(self, number: int) -> bool:
        """Whether the link in doubt has gone, or the node on which what is missing would hang."""
        doubt = self.doubts[number]
        if doubt.link is not None:
            return lower_end(self.tree, doubt.link) is None
        return doubt.hangs_on is not None and doubt.hangs_on not in self.tree.nodes

    @property
    def can_undo(self) -> bool:
        """Whether an operation is in force."""
        return bool(self.done)

    @property
    def can_redo(self) -> bool:
        """Whether an undone operation can come back."""
        return bool(self.undone)

    def after(self, record: object) -> Edits:
        """The state after one more operation.

        Args:
            record: the operation as JSON values; see `operations`. "undo" and "redo" are two more.

        Raises:
            BadEdit: it is no operation, or does not fit the tree. The message is for a person.
        """
        operation = checked(record)
        if operation["op"] == "undo":
            return self._undo(operation)
        if operation["op"] == "redo":
            return self._redo(operation)
        scene = Scene(self.doubts, self.size, self.next_id)
        step = Step(self.revision + 1, operation, change_of(self.tree, operation, scene))
        return replace(
            self,
            tree=self.tree.changed(step.change),
            next_id=max(self.next_id, max(step.change.nodes, default=0) + 1),
            revision=step.revision,
            last=operation,
            done=(*self.done, step),
            undone=(),
        )

    def _undo(self, operation: Operation) -> Edits:
        if not self.done:
            raise BadEdit("undo: no edit is left to take back")
        step = self.done[-1]
        return replace(
            self,
            tree=self.tree.changed(step.change.reversed()),
            revision=self.revision + 1,
            last=operation,
            done=self.done[:-1],
            undone=(*self.undone, step),
        )

    def _redo(self, operation: Operation) -> Edits:
        if not self.undone:
            raise BadEdit("redo: no edit was taken back")
        step = self.undone[-1]
        return replace(
            self,
            tree=self.tree.changed(step.change),
            revision=self.revision + 1,
            last=operation,
            done=(*self.done, step),
            undone=self.undone[:-1],
        )


def summary(operations: Iterable[Mapping[str, Any]]) -> str:
    """What some operations are, by their kinds: "2 cut, 1 join"; "none" for no operation."""
    counts = Counter(str(operation["op"]) for operation in operations)
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def short(operation: Mapping[str, Any]) -> dict[str, Any]:
    """An operation whose path or tree is only counted, as `points` or `nodes`."""
    counted = dict[str, Any]()
    for name, value in operation.items():
        if name == "path":
            counted["points"] = len(value)
        elif name == "tree":
            lines = (line.strip() for line in value.splitlines())
            counted["nodes"] = sum(bool(line) and not line.startswith("#") for line in lines)
        else:
            counted[name] = value
    return counted


def sentence(operation: Mapping[str, Any]) -> str:
    """An operation in one line, without the points of its path or the text of its tree."""
    words = [str(operation["op"])]
    for name, value in short(operation).items():
        if name in ("points", "nodes"):
            words.append(f"{value} {name}")
        elif name != "op":
            words.append(f"{name} {value}")
    return " ".join(words)
