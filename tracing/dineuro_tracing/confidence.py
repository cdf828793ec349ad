"""The confidence of each segment of a traced tree: the tracer's check of itself.

A segment runs from a root or fork to the next fork or tip. Its confidence is the share of it that
is expected to lie within 3 voxels of the line that a person would draw. `CONFIDENCE_MODEL` computes
it from these features:

    probability       mean along the segment
    contrast          share of the places around it that are dimmer in the image: 1 for a clean
                      neurite, 0.5 for a line through noise
    gap_share         share of its length that crosses joined gaps
    winding           tortuosity - 1: its length over the distance of its ends, less 1
    length            logarithm of its length: a long line is seldom noise
    beyond_gap        1 if a joined gap lies between it and its root
    radius            logarithm of the mean radius: a branch inside a thick neurite is often surface
    twig              1 if it ends in a tip: a segment that leads to others is seldom wrong
    tree_probability  mean along the whole tree: how clear the stack is
    contrast_squared  contrast squared
    contrast_length   contrast times length: the contrast of a short segment may be chance

The idea is that of SmartTracing (Chen et al. 2015), which grades the segments of a first trace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.scale import CUBES, VoxelScale
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.forest import last_ancestors, parents_or_self
from dineuro_tracing.odds import LogisticModel
from dineuro_tracing.sampling import Samples, sample_links

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: From this confidence on a segment is called certain.
CERTAIN = 0.9
#: Fitted by `python -m benchmarks.confidence ../shared/data` on the tuning stacks.
CONFIDENCE_MODEL = LogisticModel(
    constant=-2.483,
    weights={
        "probability": 1.079,
        "contrast": 1.618,
        "gap_share": -0.775,
        "winding": -0.345,
        "length": 0.842,
        "beyond_gap": -0.032,
        "radius": -1.086,
        "twig": -0.961,
        "tree_probability": 0.354,
        "contrast_squared": 2.679,
        "contrast_length": 1.757,
    },
)
#: The surroundings of a line lie so far (finest voxels) beyond its border.
_BESIDE = (2.0, 4.0)
#: Directions to the surroundings: to the faces and the corners of a cube.
_DIRECTIONS = np.array(
    [[s * (i == a) for i in range(3)] for a in range(3) for s in (1, -1)]
    + (np.argwhere(np.ones((2, 2, 2))) * 2 - 1).tolist(),
    dtype=np.float64,
)
_DIRECTIONS /= np.linalg.norm(_DIRECTIONS, axis=1, keepdims=True)
#: A direction this near to that of the segment (cosine) meets the segment itself.
_AHEAD = 0.7
#: Length and tortuosity beyond these make no further difference.
_LONGEST, _MOST_WINDING = 200.0, 3.0
#: Added to a radius before its logarithm is taken.
_VOXEL_RADIUS = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """The segments of a tree of N nodes, numbered 0..S-1 in the order of their first nodes.

    Attributes:
        of_node: (N,) int64, the segment of the link from a node to its parent; -1 for roots.
        start, end: (S,) int64, the root or fork at which a segment begins, the node at its end.
        length: (S,) in finest voxels.
        probability: (S,) 0..1, mean along the segment.
        contrast: (S,) 0..1.
        gap_share: (S,) 0..1.
        tortuosity: (S,) 1 or more.
        beyond_gap: (S,) bool, a joined gap lies between its start and its root.
        radius: (S,) mean of the neurite's radius, in finest voxels.
        confidence: (S,) 0..1.
    """

    of_node: Indices
    start: Indices
    end: Indices
    length: Floats
    probability: Floats
    contrast: Floats
    gap_share: Floats
    tortuosity: Floats
    beyond_gap: NDArray[np.bool_]
    radius: Floats
    confidence: Floats

    def __len__(self) -> int:
        return len(self.start)

    def features(self) -> Floats:
        """(S, 11) a table of `CONFIDENCE_MODEL`; every feature is about the size of 1."""
        length = np.log1p(np.minimum(self.length, _LONGEST)) / np.log1p(_LONGEST)
        return CONFIDENCE_MODEL.table(
            {
                "probability": self.probability,
                "contrast": self.contrast,
                "gap_share": self.gap_share,
                "winding": np.minimum(self.tortuosity, _MOST_WINDING) - 1,
                "length": length,
                "beyond_gap": self.beyond_gap,
                "radius": np.log(self.radius + _VOXEL_RADIUS),
                "twig": ~np.isin(self.end, self.start),
                "tree_probability": self.probability @ self.length / max(self.length.sum(), 1e-9),
                "contrast_squared": self.contrast**2,
                "contrast_length": self.contrast * length,
            }
        )

    def parents(self) -> Indices:
        """(S,) the segment at whose end each segment starts; -1 for a start at a root."""
        return self.of_node[self.start]

    def levels(self) -> Indices:
        """(S,) the number of segments between each segment and its root."""
        above = self.parents()
        levels = (above >= 0).astype(np.int64)
        while (above >= 0).any():
            levels += np.where(above >= 0, levels[above], 0)
            above = np.where(above >= 0, above[above], -1)
        return levels

    def certain_share(self) -> float:
        """Share of the length that is certain; 0 for an empty tree."""
        whole = self.length.sum()
        return float(self.length[self.confidence >= CERTAIN].sum() / whole) if whole else 0.0

    def of_nodes(self, tree: Tree) -> Floats:
        """(N,) the confidence of each node; a root has that of its most certain segment."""
        values = np.zeros(len(tree))
        linked = self.of_node >= 0
        values[linked] = self.confidence[self.of_node[linked]]
        np.maximum.at(values, self.start, np.where(linked[self.start], 0.0, self.confidence))
        return values


def assess(
    tree: Tree,
    joined: NDArray[np.bool_],
    probability: NDArray[np.uint8],
    intensity: NDArray[Any],
    scale: VoxelScale = CUBES,
) -> Segments:
    """Measure every segment of a tree, and its confidence.

    Args:
        tree: in voxels of the volume, radii in finest voxels.
        joined: (N,) bool, the link to the parent crosses a gap.
        probability: (Z, Y, X) uint8, the volume that was traced.
        intensity: (Z, Y, X), the image itself, any real sample type.
        scale: the voxel's edges.
    """
    tree = replace(tree, xyz=scale.finest_xyz(tree.xyz))
    of_node, start, end = find_segments(tree)
    n, lengths = len(start), tree.link_lengths
    linked = np.flatnonzero(of_node >= 0)
    length = np.bincount(of_node[linked], lengths[linked], n).astype(np.float64)
    joined_length = np.bincount(of_node[linked], (lengths * joined)[linked], n)
    straight = np.linalg.norm(tree.xyz[end] - tree.xyz[start], axis=1)
    samples = sample_links(tree)

    def mean(values: Floats) -> Floats:
        return _mean_by(of_node[samples.node], values, samples.weight, n)

    segments = Segments(
        of_node,
        start,
        end,
        length,
        probability=mean(
            probability[_nearest_voxels(samples.places, scale, probability.shape)] / 255.0
        ),
        contrast=mean(_contrast(samples, intensity, scale)),
        gap_share=np.minimum(joined_length / np.maximum(length, 1e-9), 1.0),
        tortuosity=np.maximum(length / np.maximum(straight, 1.0), 1.0),
        beyond_gap=_joined_above(tree, joined)[start],
        radius=mean(samples.radius),
        confidence=np.zeros(n),
    )
    return replace(segments, confidence=CONFIDENCE_MODEL.probability(segments.features()))


def find_segments(tree: Tree) -> tuple[Indices, Indices, Indices]:
    """(N,) the segment of each node's link, -1 for roots; (S,) the start and end of each."""
    parents = tree.parents
    linked = parents >= 0
    begins = (tree.n_children >= 2) | ~linked
    first = np.flatnonzero(linked & begins[parents])
    # The way up from each node ends at the first node of its segment.
    above = np.where(linked & ~begins[parents], parents, np.arange(len(tree)))
    of_node = np.full(len(tree), -1, dtype=np.int64)
    of_node[first] = np.arange(len(first))
    of_node[linked] = of_node[last_ancestors(above)[linked]]
    ends = np.flatnonzero(linked & (tree.n_children != 1))
    end = np.empty(len(first), dtype=np.int64)
    end[of_node[ends]] = ends
    return of_node, parents[first], end


def _nearest_voxels(
    places: Floats, scale: VoxelScale, shape: tuple[int, ...]
) -> tuple[Indices, ...]:
    """The voxels nearest to places (…, 3), x, y, z in finest voxels, clipped to the volume."""
    at = np.rint(scale.voxels_xyz(places)[..., ::-1]).astype(np.int64)
    at = np.clip(at, 0, np.array(shape) - 1)
    return tuple(np.moveaxis(at, -1, 0))


def _contrast(samples: Samples, intensity: NDArray[Any], scale: VoxelScale) -> Floats:
    """(M,) share of the places around each sample that are dimmer; equal ones count half."""
    here = intensity[_nearest_voxels(samples.places, scale, intensity.shape)][:, None]
    is_beside = np.abs(samples.direction @ _DIRECTIONS.T) < _AHEAD
    dimmer, counted = np.zeros(len(is_beside)), np.zeros(len(is_beside))
    last = scale.finest_xyz(np.array(intensity.shape[::-1]) - 1)
    for away in _BESIDE:
        reach = (samples.radius + away)[:, None, None]
        places = samples.places[:, None] + reach * _DIRECTIONS
        counts = is_beside & ((places >= 0) & (places <= last)).all(axis=-1)
        there = intensity[_nearest_voxels(places, scale, intensity.shape)]
        dimmer += (((there < here) + 0.5 * (there == here)) * counts).sum(axis=1)
        counted += counts.sum(axis=1)
    return np.where(counted > 0, dimmer / np.maximum(counted, 1), 0.5)


def _mean_by(group: Indices, values: Floats, weight: Floats, n: int) -> Floats:
    """(n,) the weighted mean of each group's values; links without length count equally."""
    weight = np.maximum(weight, 1e-9)
    total = np.bincount(group, weight, n)
    return np.asarray(np.bincount(group, weight * values, n) / np.maximum(total, 1e-12))


def _joined_above(tree: Tree, joined: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) bool, the node's own link or one between the node and its root is joined."""
    # The way up stops at a joined link; elsewhere it stops at a root, whose link is not joined.
    above = np.where(joined, np.arange(len(tree)), parents_or_self(tree.parents))
    return joined[last_ancestors(above)]
