"""How far each segment of a traced tree is to be trusted: the tracer's check of itself.

A segment runs from a root or fork to the next fork or tip. What speaks for it or against it:

    probability   the mean along it
    contrast      share of the places around it that are dimmer in the image than it is: 1 for a
                  clean neurite, 0.5 for a line through noise
    gap share     of its length that crosses joined gaps
    tortuosity    its length over the distance of its ends
    length        what is long is seldom noise
    beyond a gap  it hangs on its root over a joined gap alone
    radius        of the neurite: what branches off inside a thick one is often its surface
    twig          it ends in a tip: what leads on to other segments is seldom wrong
    usual         the mean probability along the whole tree: how clear the stack is

The contrast counts also squared, and times the length: of a short segment it may be chance.

A logistic model makes one number of these: the share of the segment that is expected to lie within
3 voxels of where a person would have drawn it. After the idea of SmartTracing (Chen et al. 2015),
which grades the segments of a first trace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.trees.tree import Tree

Scale = tuple[float, float, float]

#: From this chance on a segment is called certain.
CERTAIN = 0.9
#: The surroundings are looked at so far (finest voxels) beyond the neurite's border.
_BESIDE = (2.0, 4.0)
#: Directions in which to look: to the faces and the corners of a cube.
_AROUND = np.array(
    [[s * (i == a) for i in range(3)] for a in range(3) for s in (1, -1)]
    + (np.argwhere(np.ones((2, 2, 2))) * 2 - 1).tolist(),
    dtype=np.float64,
)
_AROUND /= np.linalg.norm(_AROUND, axis=1, keepdims=True)
#: What lies this near to the segment's own direction (cosine) is the segment and not beside it.
_AHEAD = 0.7
#: Longer and more winding than this makes no difference any more.
_LONGEST, _MOST_WINDING = 200.0, 3.0
#: Added to a radius before its logarithm is taken.
_VOXEL_RADIUS = 0.5


@dataclass(frozen=True, slots=True)
class Model:
    """The coefficients of the logistic model, by what they weigh; see `features`."""

    constant: float
    probability: float
    contrast: float
    gap_share: float
    winding: float
    length: float
    beyond_gap: float
    radius: float
    twig: float
    usual: float
    contrast_squared: float
    contrast_of_long: float

    def weights(self) -> NDArray[np.float64]:
        """(11,) in the order of the columns of `features`."""
        return np.array(
            [
                self.probability, self.contrast, self.gap_share, self.winding, self.length,
                self.beyond_gap, self.radius, self.twig, self.usual,
                self.contrast_squared, self.contrast_of_long,
            ]
        )  # fmt: skip


#: Fitted by `python -m benchmarks.confidence ../shared/data` on the tuning stacks.
MODEL = Model(
    constant=-2.483,
    probability=1.079,
    contrast=1.618,
    gap_share=-0.775,
    winding=-0.345,
    length=0.842,
    beyond_gap=-0.032,
    radius=-1.086,
    twig=-0.961,
    usual=0.354,
    contrast_squared=2.679,
    contrast_of_long=1.757,
)


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """The segments of a tree of N nodes, numbered 0..S-1 in the order of their first nodes.

    Attributes:
        of_node: (N,) int64, the segment of a node's link to its parent; -1 for roots.
        start, end: (S,) int64, the root or fork where a segment begins, the node where it ends.
        length: (S,) in finest voxels.
        probability: (S,) 0..1, mean along the segment.
        contrast: (S,) 0..1.
        gap_share: (S,) 0..1.
        tortuosity: (S,) 1 or more.
        beyond_gap: (S,) bool, a joined gap lies between its start and its root.
        radius: (S,) mean of the neurite's, in finest voxels.
        confidence: (S,) 0..1.
    """

    of_node: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    length: NDArray[np.float64]
    probability: NDArray[np.float64]
    contrast: NDArray[np.float64]
    gap_share: NDArray[np.float64]
    tortuosity: NDArray[np.float64]
    beyond_gap: NDArray[np.bool_]
    radius: NDArray[np.float64]
    confidence: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.start)

    def features(self) -> NDArray[np.float64]:
        """(S, 11) what the model weighs: all of about the size of 1."""
        winding = np.minimum(self.tortuosity, _MOST_WINDING) - 1
        length = np.log1p(np.minimum(self.length, _LONGEST)) / np.log1p(_LONGEST)
        usual = self.probability @ self.length / max(self.length.sum(), 1e-9)
        return np.column_stack(
            [
                self.probability, self.contrast, self.gap_share, winding, length, self.beyond_gap,
                np.log(self.radius + _VOXEL_RADIUS), ~np.isin(self.end, self.start),
                np.full(len(self), usual), self.contrast**2, self.contrast * length,
            ]
        )  # fmt: skip

    def levels(self) -> NDArray[np.int64]:
        """(S,) how many segments lie between each and its root."""
        above = self.of_node[self.start]
        levels = (above >= 0).astype(np.int64)
        while (above >= 0).any():
            levels += np.where(above >= 0, levels[above], 0)
            above = np.where(above >= 0, above[above], -1)
        return levels

    def certain_share(self) -> float:
        """Share of the length that is certain; 0 for an empty tree."""
        whole = self.length.sum()
        return float(self.length[self.confidence >= CERTAIN].sum() / whole) if whole else 0.0

    def of_nodes(self, tree: Tree) -> NDArray[np.float64]:
        """(N,) each node's confidence: a root's is that of the surest segment that leaves it."""
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
    scale: Scale = (1.0, 1.0, 1.0),
) -> Segments:
    """Judge every segment of a tree.

    Args:
        tree: in voxels of the volume, radii in finest voxels.
        joined: (N,) bool, the link to the parent crosses a gap.
        probability: (Z, Y, X) uint8, what was traced.
        intensity: (Z, Y, X), the image itself, any real sample type.
        scale: (z, y, x), a voxel's edges in units of the shortest one.
    """
    tree = replace(tree, xyz=tree.xyz * np.array(scale[::-1]))
    of_node, start, end = find_segments(tree)
    lengths = tree.link_lengths
    linked = np.flatnonzero(of_node >= 0)
    n = len(start)
    length = np.bincount(of_node[linked], lengths[linked], n).astype(np.float64)
    whole = np.maximum(length, 1e-9)
    gaps = np.bincount(of_node[linked], (lengths * joined)[linked], n)
    samples = sample_links(tree)
    seen = probability[_nearest(samples.places, scale, probability.shape)] / 255.0
    dimmer = _dimmer_beside(samples, intensity, scale)
    straight = np.linalg.norm(tree.xyz[end] - tree.xyz[start], axis=1)
    segments = Segments(
        of_node, start, end, length,
        probability=_mean_by(of_node[samples.node], seen, samples.weight, n),
        contrast=_mean_by(of_node[samples.node], dimmer, samples.weight, n),
        gap_share=np.minimum(gaps / whole, 1.0),
        tortuosity=np.maximum(length / np.maximum(straight, 1.0), 1.0),
        beyond_gap=_has_joined_above(tree, joined)[start],
        radius=_mean_by(of_node[samples.node], samples.radius, samples.weight, n),
        confidence=np.zeros(n),
    )  # fmt: skip
    return replace(segments, confidence=chance(segments, MODEL))


def chance(segments: Segments, model: Model) -> NDArray[np.float64]:
    """(S,) what the model makes of the segments."""
    return np.asarray(1 / (1 + np.exp(-model.constant - segments.features() @ model.weights())))


def find_segments(
    tree: Tree,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(N,) the segment of each node's link, -1 for roots; (S,) where each starts and ends."""
    parents, n = tree.parents, len(tree)
    linked = parents >= 0
    parts = (tree.n_children >= 2) | ~linked  # where segments begin
    first = np.flatnonzero(linked & parts[parents])
    # Each node looks up to the first node of its segment.
    above = np.where(linked & ~parts[parents], parents, np.arange(n))
    while not np.array_equal(further := above[above], above):
        above = further
    of_node = np.full(n, -1, dtype=np.int64)
    of_node[first] = np.arange(len(first))
    of_node[linked] = of_node[above[linked]]
    ends = np.flatnonzero(linked & (tree.n_children != 1))
    end = np.empty(len(first), dtype=np.int64)
    end[of_node[ends]] = ends
    return of_node, parents[first], end


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Places along the links, at most a finest voxel apart.

    Attributes:
        places: (M, 3) x, y, z in finest voxels.
        node: (M,) the link's child.
        weight: (M,) the length that a place stands for.
        radius: (M,) the neurite's there.
        along: (M, 3) unit vectors of the links.
    """

    places: NDArray[np.float64]
    node: NDArray[np.int64]
    weight: NDArray[np.float64]
    radius: NDArray[np.float64]
    along: NDArray[np.float64]


def sample_links(tree: Tree) -> Samples:
    """The middles of equal pieces of each link."""
    child = np.flatnonzero(tree.parents >= 0)
    above = tree.parents[child]
    count = np.maximum(np.ceil(tree.link_lengths[child]), 1).astype(np.int64)
    link = np.repeat(np.arange(len(child)), count)
    first = np.cumsum(count) - count
    share = (np.arange(len(link)) - first[link] + 0.5) / count[link]
    step = tree.xyz[child] - tree.xyz[above]
    length = tree.link_lengths[child]
    grow = tree.radii[child] - tree.radii[above]
    return Samples(
        places=tree.xyz[above][link] + share[:, None] * step[link],
        node=child[link],
        weight=(length / count)[link],
        radius=tree.radii[above][link] + share * grow[link],
        along=(step / np.maximum(length, 1e-9)[:, None])[link],
    )


def _nearest(
    places: NDArray[np.float64], scale: Scale, shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], ...]:
    """The voxels nearest to places (…, 3) x, y, z in finest voxels; those outside at the border."""
    at = np.rint(places[..., ::-1] / np.array(scale)).astype(np.int64)
    at = np.clip(at, 0, np.array(shape) - 1)
    return tuple(np.moveaxis(at, -1, 0))


def _dimmer_beside(samples: Samples, intensity: NDArray[Any], scale: Scale) -> NDArray[np.float64]:
    """(M,) share of the places around each sample dimmer than it; equal ones count half."""
    here = intensity[_nearest(samples.places, scale, intensity.shape)][:, None]
    beside = np.abs(samples.along @ _AROUND.T) < _AHEAD
    dimmer, looked = np.zeros(len(beside)), np.zeros(len(beside))
    last = (np.array(intensity.shape[::-1]) - 1) * np.array(scale[::-1])
    for away in _BESIDE:
        reach = (samples.radius + away)[:, None, None]
        places = samples.places[:, None] + reach * _AROUND
        counts = beside & ((places >= 0) & (places <= last)).all(axis=-1)
        there = intensity[_nearest(places, scale, intensity.shape)]
        dimmer += (((there < here) + 0.5 * (there == here)) * counts).sum(axis=1)
        looked += counts.sum(axis=1)
    return np.where(looked > 0, dimmer / np.maximum(looked, 1), 0.5)


def _mean_by(
    group: NDArray[np.int64], values: NDArray[np.float64], weight: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    """(n,) the weighted mean of each group's values; links of no length count equally."""
    weight = np.maximum(weight, 1e-9)
    total = np.bincount(group, weight, n)
    return np.asarray(np.bincount(group, weight * values, n) / np.maximum(total, 1e-12))


def _has_joined_above(tree: Tree, joined: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) whether a joined link lies between a node and its root."""
    found = joined.copy()
    above = np.where(tree.parents >= 0, tree.parents, np.arange(len(tree)))
    while not np.array_equal(further := above[above], above):
        found, above = found | found[above], further
    return np.asarray(found | found[above])
