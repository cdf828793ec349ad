"""A tree whose nodes keep their names while it is edited, and the changes between two states.

A node's id is its number in the SWC file of the tree that the edits began with. New nodes get new
ids. A `Change` holds the nodes that an edit touches, as they were and as they become, so that it
can be undone. `operations` makes changes, and `edits` keeps their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadEdit
from dineuro_bridge.trees.tree import Tree

Answer = Literal["accepted", "rejected"]


class Node(NamedTuple):
    """A node: x, y, z and radius in voxels, SWC's type, and its parent's id (-1 for a root)."""

    x: float
    y: float
    z: float
    radius: float
    type: int
    parent: int


@dataclass(frozen=True, slots=True)
class Change:
    """What an edit does to a tree.

    Attributes:
        nodes: the id of each touched node, and the node before and after; None where there is none.
        answers: the number of each answered doubt, and its answer before and after.
    """

    nodes: Mapping[int, tuple[Node | None, Node | None]] = field(default_factory=dict)
    answers: Mapping[int, tuple[Answer | None, Answer | None]] = field(default_factory=dict)

    def reversed(self) -> Change:
        """The change that takes this one back."""
        return Change(
            {node: (after, before) for node, (before, after) in self.nodes.items()},
            {doubt: (after, before) for doubt, (before, after) in self.answers.items()},
        )


@dataclass(frozen=True, slots=True, eq=False)
class EditedTree:
    """A forest of named nodes. No method changes it.

    Attributes:
        nodes: every node by its id.
        children: the ids of the children of each node that has some, in ascending order.
        answers: the answers to doubts, by their number.
    """

    nodes: Mapping[int, Node]
    children: Mapping[int, tuple[int, ...]]
    answers: Mapping[int, Answer]

    @classmethod
    def of(cls, tree: Tree, ids: Iterable[int] | None = None) -> EditedTree:
        """The nodes of a tree.

        Args:
            tree: in voxels.
            ids: of its nodes, in their order; None counts them from 1, as `swc_text` does.
        """
        names = list(range(1, len(tree) + 1) if ids is None else map(int, ids))
        nodes, children = dict[int, Node](), dict[int, list[int]]()
        rows = zip(
            names, tree.xyz.tolist(), tree.radii.tolist(), tree.types.tolist(),
            tree.parents.tolist(), strict=True,
        )  # fmt: skip
        for name, (x, y, z), radius, kind, parent in rows:
            above = names[parent] if parent >= 0 else -1
            nodes[name] = Node(x, y, z, radius, kind, above)
            if parent >= 0:
                children.setdefault(above, []).append(name)
        ordered = {name: tuple(sorted(below)) for name, below in children.items()}
        return cls(MappingProxyType(nodes), MappingProxyType(ordered), MappingProxyType({}))

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def roots(self) -> list[int]:
        """The ids of the nodes without a parent, in ascending order."""
        return sorted(name for name, node in self.nodes.items() if node.parent < 0)

    def node(self, name: int) -> Node:
        """The node with an id.

        Raises:
            BadEdit: there is none.
        """
        if name not in self.nodes:
            raise BadEdit(f"node {name}: the tree has no such node")
        return self.nodes[name]

    def below(self, name: int) -> Iterator[int]:
        """Yield a node and all nodes that hang on it, parents first; children by their ids."""
        waiting = [name]
        while waiting:
            current = waiting.pop()
            yield current
            waiting.extend(reversed(self.children.get(current, ())))

    def above(self, name: int) -> Iterator[int]:
        """Yield a node, its parent and so on up to the root."""
        while name >= 0:
            yield name
            name = self.nodes[name].parent

    def root_of(self, name: int) -> int:
        """The root of a node's piece."""
        *_, root = self.above(name)
        return root

    def branch(self, name: int) -> list[int]:
        """The nodes between two forks or ends that hold a node, from the upper end to the lower.

        The fork or root at the upper end is left out, because its own link belongs to another
        branch. The branch of a root is the root alone.
        """
        if self.nodes[name].parent < 0:
            return [name]
        first = name
        while self._goes_on(parent := self.nodes[first].parent):
            first = parent
        nodes = [first]
        while len(below := self.children.get(nodes[-1], ())) == 1:
            nodes.append(below[0])
        return nodes

    def _goes_on(self, name: int) -> bool:
        """Whether a node is neither a root nor a fork."""
        return self.nodes[name].parent >= 0 and len(self.children[name]) == 1

    def changed(self, change: Change) -> EditedTree:
        """The tree after a change, whose nodes must be as the change found them."""
        nodes, children, answers = dict(self.nodes), dict(self.children), dict(self.answers)
        for name, (before, after) in change.nodes.items():
            if before is not None and before.parent >= 0:
                left = tuple(one for one in children[before.parent] if one != name)
                children[before.parent] = left
                if not left:
                    del children[before.parent]
            if after is None:
                del nodes[name]
            else:
                nodes[name] = after
        for name, (_, after) in change.nodes.items():
            if after is not None and after.parent >= 0:
                children[after.parent] = tuple(sorted((*children.get(after.parent, ()), name)))
        for doubt, (_, answer) in change.answers.items():
            if answer is None:
                del answers[doubt]
            else:
                answers[doubt] = answer
        return EditedTree(
            MappingProxyType(nodes), MappingProxyType(children), MappingProxyType(answers)
        )

    def as_tree(self, comments: tuple[str, ...] = ()) -> tuple[Tree, NDArray[np.int64]]:
        """The tree in depth-first order, and the id of each of its nodes, (N,) int64.

        The order of an unchanged tree is that of its SWC file.
        """
        names = [name for root in self.roots for name in self.below(root)]
        if not names:
            return Tree.empty(comments), np.zeros(0, dtype=np.int64)
        place = {name: at for at, name in enumerate(names)}
        rows = [self.nodes[name] for name in names]
        table = np.array([row[:4] for row in rows], dtype=np.float64)
        parents = [place[row.parent] if row.parent >= 0 else -1 for row in rows]
        kinds = np.array([row.type for row in rows], dtype=np.int64)
        tree = Tree(table[:, :3], table[:, 3], np.array(parents, dtype=np.int64), kinds, comments)
        return tree, np.array(names, dtype=np.int64)

    def same_as(self, other: EditedTree) -> bool:
        """Whether nodes, links and answers are equal."""
        return (
            self.nodes == other.nodes
            and self.children == other.children
            and self.answers == other.answers
        )
