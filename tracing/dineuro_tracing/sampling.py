"""Sample points along the links of a tree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.forest import parents_or_self

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Points on the links of a tree, at most 1 unit of its coordinates apart.

    Attributes:
        places: (M, 3) float64, x, y, z in the tree's unit.
        node: (M,) int64, the child of the link on which a point lies.
        weight: (M,) float64, the length of the link that a point stands for.
        radius: (M,) float64, the neurite's radius, interpolated along the link.
        direction: (M, 3) float64, unit vectors from parent to child; 0 for a link without length.
    """

    places: Floats
    node: Indices
    weight: Floats
    radius: Floats
    direction: Floats


def sample_links(tree: Tree) -> Samples:
    """The midpoints of equal pieces of each link; a piece is at most 1 unit long."""
    child = np.flatnonzero(tree.parents >= 0)
    parent = tree.parents[child]
    length = tree.link_lengths[child]
    count = np.maximum(np.ceil(length), 1).astype(np.int64)
    link, rank = _spread(count)
    share = (rank + 0.5) / count[link]
    step = tree.xyz[child] - tree.xyz[parent]
    growth = tree.radii[child] - tree.radii[parent]
    return Samples(
        places=tree.xyz[parent][link] + share[:, None] * step[link],
        node=child[link],
        weight=(length / count)[link],
        radius=tree.radii[parent][link] + share * growth[link],
        direction=(step / np.maximum(length, 1e-9)[:, None])[link],
    )


def edge_samples(tree: Tree) -> Floats:
    """(M, 3) points on the links as Vaa3D's neuron_distance samples them (Peng et al. 2010).

    A link of length L has int(1 + L + 0.5) points from child to parent, both ends included.
    A link shorter than half a unit gives its child alone. A tree without links gives its nodes.
    """
    child = np.flatnonzero(tree.parents >= 0)
    if len(child) == 0:
        return tree.xyz
    start, end = tree.xyz[child], tree.xyz[tree.parents[child]]
    count = (1.5 + np.linalg.norm(end - start, axis=1)).astype(np.int64)
    link, rank = _spread(count)
    share = rank / np.maximum(count[link] - 1, 1)
    return np.asarray(start[link] + share[:, None] * (end - start)[link])


def length_samples(tree: Tree) -> tuple[Floats, Floats]:
    """Midpoints (M, 3) of pieces of at most 1 unit, and the length (M,) of each piece.

    A tree without length gives its nodes with weight 1.
    """
    start, end = cut_links(tree, 1.0)
    weights = np.linalg.norm(end - start, axis=1)
    if weights.sum() == 0:
        return tree.xyz, np.ones(len(tree))
    return (start + end) / 2, weights


def cut_links(tree: Tree, longest: float) -> tuple[Floats, Floats]:
    """Starts and ends (K, 3) of equal pieces of the links; no piece is longer than `longest`.

    A root without children is a piece without length, so that a lone node counts.
    """
    child = np.flatnonzero((tree.parents >= 0) | (tree.n_children == 0))
    parent = parents_or_self(tree.parents)[child]
    start, step = tree.xyz[child], tree.xyz[parent] - tree.xyz[child]
    count = np.maximum(np.ceil(np.linalg.norm(step, axis=1) / longest), 1).astype(np.int64)
    link, rank = _spread(count)
    step = step / count[:, None]
    begin = start[link] + rank[:, None] * step[link]
    return begin, begin + step[link]


def _spread(count: Indices) -> tuple[Indices, Indices]:
    """For counts (E,): the owner of each of the sum(count) items, and its rank at the owner."""
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
