"""Finishing: from the lines of a tree to the nodes of an SWC file, with confidences and doubts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dineuro_bridge.options import TraceOptions
from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.confidence import Segments
from dineuro_tracing.doubts import Doubt, doubts_of_joins, doubts_of_segments
from dineuro_tracing.gaps import Joins
from dineuro_tracing.large.assembly import Assembly
from dineuro_tracing.large.joins import Candidates, with_somata
from dineuro_tracing.neurons import part_neurons
from dineuro_tracing.pruning import prune
from dineuro_tracing.refine import gather_somata, resample, smooth
from dineuro_tracing.skeleton import Skeleton
from dineuro_tracing.soma import Body
from dineuro_tracing.spines import find_spines
from dineuro_tracing.trace import NODE_STEP, Trace, as_tree, main_root, with_spines


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A tree of one neuron or piece, in voxels of the volume.

    Attributes:
        tree: radii in finest voxels.
        segments: its segments with their confidence.
        doubts: the places to proofread.
        soma_radius: finest voxels; None for a tree without a soma.
        joined: length (finest voxels) of its links over gaps.
    """

    tree: Tree
    segments: Segments
    doubts: tuple[Doubt, ...]
    soma_radius: float | None
    joined: float

    @property
    def length(self) -> float:
        """The length in finest voxels."""
        return float(self.segments.length.sum())

    @property
    def confidence(self) -> float:
        """The share of the length that is expected to be right."""
        right = float(self.segments.length @ self.segments.confidence)
        return right / max(self.length, 1e-9)


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """What a tree is judged by; arrays, or readers that take arrays of indices.

    Attributes:
        probability: (Z, Y, X) uint8.
        intensity: (Z, Y, X), the image itself.
    """

    probability: NDArray[np.uint8]
    intensity: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class OpenEnds:
    """Places where a tree may go on to another one, (E,) each, the likeliest first.

    Attributes:
        block, point: the end.
        piece: the piece that it may go on to.
        length: of that piece's tree (finest voxels).
        probability: that both belong to one neuron.
        across: the gap (finest voxels).
    """

    block: NDArray[np.int64]
    point: NDArray[np.int64]
    piece: NDArray[np.int64]
    length: NDArray[np.float64]
    probability: NDArray[np.float64]
    across: NDArray[np.float64]

    @classmethod
    def of(
        cls, links: Candidates, known: NDArray[np.int64], length: NDArray[np.float64]
    ) -> OpenEnds:
        """The ends at known pieces of links that were not made.

        Args:
            links: those that were not made.
            known: the pieces.
            length: (T,) of the tree of each piece (finest voxels).
        """
        here_a, here_b = np.isin(links.piece_a, known), np.isin(links.piece_b, known)
        links, here = links.chosen(here_a != here_b), here_a[here_a != here_b]
        piece = np.where(here, links.piece_b, links.piece_a)
        order = np.argsort(-links.probability, kind="stable")
        return cls(
            np.where(here, links.block_a, links.block_b)[order],
            np.where(here, links.point_a, links.point_b)[order],
            piece[order],
            length[piece][order],
            links.probability[order],
            links.across[order],
        )

    def doubts(self, assembly: Assembly, mask: NDArray[np.bool_]) -> tuple[Doubt, ...]:
        """The doubts of a tree, whose points are a mask (N,): one for each other piece."""
        at = assembly.numbers(self.block, self.point)
        doubts, pieces = [], set[int]()
        for end, point in enumerate(at.tolist()):
            piece = int(self.piece[end])
            if point < 0 or not mask[point] or piece in pieces:
                continue
            pieces.add(piece)
            x, y, z = assembly.skeleton.points[point, ::-1].tolist()
            doubts.append(
                Doubt("end", (x, y, z), 1 - float(self.probability[end]), float(self.length[end]),
                      float(self.across[end]))
            )  # fmt: skip
        return tuple(doubts)


def finish_trees(
    assembly: Assembly,
    somata: Sequence[Body],
    joins: Candidates,
    ends: OpenEnds,
    images: Images,
    options: TraceOptions,
    scale: VoxelScale,
) -> list[Finished]:
    """The trees of some lines, one for each soma, in the order of their first points.

    A tree without a soma is left out if it is shorter than `min_length`, or more likely wrong than
    right by `min_confidence`.

    Args:
        assembly: the lines with their joins.
        somata: those of these lines.
        joins: the joins over gaps in them.
        ends: the likely joins that were not made.
        images: the whole volume.
        options: the tracer reads `min_length`, `spines` and `min_confidence`.
        scale: the voxel's edges.
    """
    skeleton, _ = with_somata(assembly.skeleton, somata, scale)
    skeleton = part_neurons(skeleton, scale)
    made = Joins(
        assembly.numbers(joins.block_a, joins.point_a),
        assembly.numbers(joins.block_b, joins.point_b),
        joins.probability,
        np.ones(len(joins), dtype=np.bool_),
    )
    lateral = KDTree(scale.finest_zyx(skeleton.points)), assembly.lateral
    number, lengths = skeleton.tree_numbers(), skeleton.tree_lengths(scale)
    finished = []
    for tree in range(len(lengths)):
        mask = number == tree
        if lengths[tree] < options.min_length and not skeleton.soma[mask].any():
            continue
        root = int(np.flatnonzero(mask)[main_root(skeleton.keep(mask), scale)])
        rooted = skeleton.reroot(root)
        doubts = doubts_of_joins(rooted, _within(made, mask), mask, scale)
        doubts += ends.doubts(assembly, mask)
        one = rooted.keep(mask).with_first(int(mask[:root].sum()))
        done = _finished(one, somata, doubts, lateral, images, options, scale)
        if done.soma_radius is not None or done.confidence >= options.min_confidence:
            finished.append(done)
    return finished


def _within(joins: Joins, mask: NDArray[np.bool_]) -> Joins:
    """The joins between two points of a mask (N,)."""
    return Joins.concatenate([joins]) if mask.all() else Joins(
        *(getattr(joins, name)[mask[joins.tip] & mask[joins.point]]
          for name in ("tip", "point", "probability", "in_skeleton"))
    )  # fmt: skip


def _finished(
    skeleton: Skeleton,
    somata: Sequence[Body],
    doubts: tuple[Doubt, ...],
    lateral: tuple[KDTree, NDArray[np.float64]],
    images: Images,
    options: TraceOptions,
    scale: VoxelScale,
) -> Finished:
    """One tree, whose root is point 0: smoothed, resampled, judged and pruned."""
    skeleton = replace(skeleton, soma=skeleton.soma & (skeleton.parents < 0))
    soma_radius = float(skeleton.radii[0]) if skeleton.soma[0] else None
    skeleton = smooth(gather_somata(skeleton, somata, scale), None)
    tree, joined = as_tree(resample(skeleton, NODE_STEP, scale))
    places, radii = lateral
    near = places.query(scale.finest_zyx(tree.xyz[:, ::-1]))[1]
    spines = find_spines(tree, radii[near], scale, soma_radius)
    tree, joined = with_spines(tree, joined, spines, options)
    trace = Trace(tree, joined, doubts, 0.0, "end" if soma_radius is None else "soma", soma_radius)
    trace, segments = prune(
        trace, images.probability, images.intensity,
        min_confidence=options.min_confidence, scale=scale,
    )  # fmt: skip
    over_gaps = float(
        replace(trace.tree, xyz=scale.finest_xyz(trace.tree.xyz)).link_lengths[trace.joined].sum()
    )
    return Finished(
        trace.tree, segments, (*trace.doubts, *doubts_of_segments(trace.tree, segments)),
        soma_radius, over_gaps,
    )  # fmt: skip
