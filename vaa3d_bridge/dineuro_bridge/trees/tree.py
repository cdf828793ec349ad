"""The `Tree` value type: the tree of a neuron, or a forest, as SWC describes it."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dineuro_bridge.errors import BadTree, MissingDependency

#: Coordinates and radii are below this limit, so that decimals represent them exactly.
LARGEST = 2.0**53


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """Nodes linked to their parents, every parent before its children.

    Attributes:
        xyz: (N, 3) float64, x, y, z in voxels of the full input volume. A comment states any
            other unit.
        radii: (N,) float64, in the same unit.
        parents: (N,) int64, index of the parent, -1 for a root; `parents[i] < i`.
        types: (N,) int64, SWC's types: 1 soma, 2 axon, 3 basal, 4 apical dendrite, 0 undefined.
        comments: lines without the leading `#`.

    Raises:
        BadTree: the shapes differ, a number is not finite, or a parent follows its child.
    """

    xyz: NDArray[np.float64]
    radii: NDArray[np.float64]
    parents: NDArray[np.int64]
    types: NDArray[np.int64]
    comments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, dtype in (("xyz", np.float64), ("radii", np.float64)):
            self._freeze(name, np.array(getattr(self, name), dtype=dtype))
        for name in ("parents", "types"):
            self._freeze(name, np.array(getattr(self, name), dtype=np.int64))
        check_shapes(self.xyz, self.radii, self.parents, self.types)
        numbers = np.column_stack([self.xyz, self.radii])
        if not (np.abs(numbers) < LARGEST).all():  # also false for NaN
            raise BadTree("tree: a coordinate or a radius is not a finite number below 2**53")
        if (self.parents >= np.arange(len(self))).any() or (self.parents < -1).any():
            raise BadTree("tree: a parent does not come before its child")

    def _freeze(self, name: str, array: NDArray[np.generic]) -> None:
        array.flags.writeable = False
        object.__setattr__(self, name, array)

    @classmethod
    def empty(cls, comments: tuple[str, ...] = ()) -> Tree:
        """A tree without nodes."""
        none = np.zeros(0, dtype=np.int64)
        return cls(np.zeros((0, 3)), np.zeros(0), none, none, comments)

    @classmethod
    def from_links(
        cls,
        xyz: ArrayLike,
        radii: ArrayLike,
        parents: ArrayLike,
        types: ArrayLike,
        comments: tuple[str, ...] = (),
    ) -> Tree:
        """Make a tree from nodes in any order, sorted by `depth_first_order`.

        Raises:
            BadTree: the links form a cycle, or a parent is not a node.
        """
        linked = np.array(parents, dtype=np.int64)
        nodes = np.array(xyz, dtype=np.float64)
        nodes = nodes.reshape(0, 3) if nodes.size == 0 else nodes
        sizes, kinds = np.array(radii, dtype=np.float64), np.array(types, dtype=np.int64)
        check_shapes(nodes, sizes, linked, kinds)
        order = depth_first_order(linked)
        place = np.empty(len(order) + 1, dtype=np.int64)
        place[order] = np.arange(len(order))
        place[-1] = -1  # the parent -1 selects this last place
        return cls(nodes[order], sizes[order], place[linked[order]], kinds[order], comments)

    def __len__(self) -> int:
        return len(self.parents)

    @property
    def roots(self) -> NDArray[np.int64]:
        """(R,) the indices of the nodes without a parent."""
        return np.flatnonzero(self.parents < 0)

    @property
    def n_trees(self) -> int:
        """The number of roots."""
        return len(self.roots)

    @property
    def n_children(self) -> NDArray[np.int64]:
        """(N,) the number of each node's children."""
        return np.bincount(self.parents[self.parents >= 0], minlength=len(self))

    @property
    def tips(self) -> NDArray[np.int64]:
        """(T,) the indices of the nodes without a child, without the roots."""
        return np.flatnonzero((self.n_children == 0) & (self.parents >= 0))

    @property
    def forks(self) -> NDArray[np.int64]:
        """(F,) the indices of the nodes with two or more children, without the roots."""
        return np.flatnonzero((self.n_children >= 2) & (self.parents >= 0))

    @property
    def link_lengths(self) -> NDArray[np.float64]:
        """(N,) the distance of each node to its parent, 0 for roots."""
        above = np.where(self.parents >= 0, self.parents, np.arange(len(self)))
        return np.asarray(np.linalg.norm(self.xyz - self.xyz[above], axis=1))

    @property
    def length(self) -> float:
        """The sum of the distances of all nodes to their parents."""
        return float(self.link_lengths.sum())

    def __repr__(self) -> str:
        return (
            f"Tree({len(self)} nodes, {self.n_trees} trees, {len(self.tips)} tips, "
            f"length {self.length:.1f})"
        )

    def to_pandas(self) -> Any:
        """A pandas.DataFrame of type, x, y, z, radius and parent; its index is the id.

        Ids count from 1, and the parent of a root is -1, as in `swc_text`.

        Raises:
            MissingDependency: pandas is not installed.
        """
        pandas = _library("pandas")
        x, y, z = self.xyz.T
        above = np.where(self.parents >= 0, self.parents + 1, -1)
        columns = {"type": self.types, "x": x, "y": y, "z": z, "radius": self.radii}
        ids = pandas.RangeIndex(1, len(self) + 1, name="n")
        return pandas.DataFrame({**columns, "parent": above}, index=ids)

    def to_networkx(self) -> Any:
        """A networkx.DiGraph from roots to tips, whose nodes are the ids of the SWC, from 1 on.

        Nodes have x, y, z, radius and type, and edges have their length.

        Raises:
            MissingDependency: networkx is not installed.
        """
        graph = _library("networkx").DiGraph()
        rows = zip(self.xyz.tolist(), self.radii.tolist(), self.types.tolist(), strict=True)
        for name, ((x, y, z), radius, kind) in enumerate(rows, 1):
            graph.add_node(name, x=x, y=y, z=z, radius=radius, type=kind)
        links = zip(self.parents.tolist(), self.link_lengths.tolist(), strict=True)
        for name, (parent, length) in enumerate(links, 1):
            if parent >= 0:
                graph.add_edge(parent + 1, name, length=length)
        return graph

    @classmethod
    def concatenate(cls, trees: Sequence[Tree]) -> Tree:
        """All nodes of some trees as one forest, without their comments."""
        if not trees:
            return cls.empty()
        starts = itertools.accumulate((len(tree) for tree in trees[:-1]), initial=0)
        parents = [
            np.where(tree.parents >= 0, tree.parents + start, -1)
            for tree, start in zip(trees, starts, strict=True)
        ]
        return cls(
            np.concatenate([tree.xyz for tree in trees]),
            np.concatenate([tree.radii for tree in trees]),
            np.concatenate(parents),
            np.concatenate([tree.types for tree in trees]),
        )

    def keep(self, mask: NDArray[np.bool_]) -> Tree:
        """The nodes of a mask (N,); one without its parent is a root.

        The comments are left out, because they tell of the whole tree.
        """
        number = np.where(mask, np.cumsum(mask) - 1, -1)
        parents = np.where(self.parents >= 0, number[self.parents], -1)
        return Tree(self.xyz[mask], self.radii[mask], parents[mask], self.types[mask])

    def moved(self, by: ArrayLike) -> Tree:
        """Return the tree, shifted by x, y, z."""
        return replace(self, xyz=self.xyz + np.asarray(by, dtype=np.float64))

    def scaled(self, by: ArrayLike) -> Tree:
        """Return the tree with its coordinates multiplied by factors of x, y, z.

        The radii are multiplied by the geometric mean of the factors, which keeps the volume of
        a ball. Across unequal axes, no single factor is right for all directions.
        """
        factors = np.asarray(by, dtype=np.float64)
        return replace(
            self, xyz=self.xyz * factors, radii=self.radii * float(np.cbrt(abs(np.prod(factors))))
        )

    def with_comments(self, comments: tuple[str, ...]) -> Tree:
        """Return the same nodes with other comments."""
        return replace(self, comments=comments)


def _library(name: str) -> Any:
    """A library that only an export needs.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependency(f"this export needs {name}: pip install {name}") from error


def check_shapes(
    xyz: NDArray[np.float64],
    radii: NDArray[np.float64],
    parents: NDArray[np.int64],
    types: NDArray[np.int64],
) -> None:
    """Raise `BadTree` if the arrays describe different numbers of nodes."""
    n = parents.size
    if parents.shape != (n,) or xyz.shape != (n, 3) or radii.shape != (n,) or types.shape != (n,):
        raise BadTree(
            f"tree: {n} parents, but xyz {xyz.shape}, radii {radii.shape} and types {types.shape}"
        )


def depth_first_order(parents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an order of the nodes with contiguous branches and parents before children.

    The children of a node, and the roots, keep the order of their indices. The computation is
    vectorised. Pointer jumping gives the depth of each node, and one pass per level gives the
    size of its subtree. Depth and size together give the place of the node.

    Args:
        parents: (N,) int64, index of the parent, -1 for a root.

    Returns:
        (N,) int64, the indices of the nodes in the new order.

    Raises:
        BadTree: the links form a cycle, or a parent is out of range.
    """
    n = len(parents)
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    if parents.max() >= n or parents.min() < -1:
        raise BadTree("tree: a parent is not a node of the tree")
    level = _levels(parents)
    by_level = np.argsort(level, kind="stable")
    starts = np.searchsorted(level[by_level], np.arange(level.max() + 2))
    size = np.ones(n, dtype=np.int64)
    for at in range(len(starts) - 2, 0, -1):
        nodes = by_level[starts[at] : starts[at + 1]]
        np.add.at(size, parents[nodes], size[nodes])
    place = np.zeros(n, dtype=np.int64)
    for at in range(len(starts) - 1):
        nodes = by_level[starts[at] : starts[at + 1]]
        nodes = nodes[np.argsort(parents[nodes], kind="stable")]
        # A child follows the subtrees of the siblings before it.
        before = np.cumsum(size[nodes]) - size[nodes]
        first = np.searchsorted(parents[nodes], parents[nodes], side="left")
        start = place[parents[nodes]] + 1 if at else 0
        place[nodes] = start + before - before[first]
    order = np.empty(n, dtype=np.int64)
    order[place] = np.arange(n)
    return order


def _levels(parents: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) the number of each node's ancestors."""
    n = len(parents)
    level = (parents >= 0).astype(np.int64)
    ancestor = np.where(parents >= 0, parents, np.arange(n))
    for _ in range(n.bit_length() + 1):
        if (parents[ancestor] < 0).all():
            return level
        level, ancestor = level + level[ancestor], ancestor[ancestor]
    raise BadTree(f"tree: a cycle through node {int(ancestor[parents[ancestor] >= 0].min())}")
