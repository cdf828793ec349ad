"""Joining the pieces of a broken neurite over gaps.

Links that are more likely right than wrong are made, the likeliest first. Each connects two trees
that are still apart (Kruskal), so that no loop arises. If a large part of the neurites would be
left out, less likely and wider links are made too: a stray neurite is seldom that long. A long link
through a volume that shows nothing along it is never made; it is reported as an open end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.scale import VoxelScale
from dineuro_tracing.links import NEAR, Links, candidate_links
from dineuro_tracing.skeleton import Skeleton

#: A link that was not made is reported from this probability on.
_LEAST_REPORTED = 0.2
#: Least length of a large tree (finest voxels).
_LARGE = 30.0


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which links are made.

    Attributes:
        least: the links are more probable than this.
        share: if above 0, both trees have this share of the longest one's length, and `_LARGE`.
        bend: greatest turn of a link (1 - cosine).
        wide: the links may be longer than `NEAR`.
    """

    least: float
    share: float = 0.0
    bend: float = np.inf
    wide: bool = False


#: First the links that are more likely right than wrong; then, between large trees, less likely
#: ones that go straight on; then wider ones. The last rule was made for `lifted_108`, where a
#: neurite sinks into haze. With a lower bar it joins what the classical enhancer makes of noise.
_RULES = (_Rule(0.5), _Rule(0.3, share=0.2, bend=0.3), _Rule(0.5, share=0.2, wide=True))


@dataclass(frozen=True, slots=True, eq=False)
class Joins:
    """The likely links between the pieces.

    Attributes:
        tip, point: (J,) int64, the ends of each link.
        probability: (J,) float64, the probability that both ends belong to one neuron.
        in_skeleton: (J,) bool, the link was made; if not, its ends lie in different trees.
    """

    tip: NDArray[np.int64]
    point: NDArray[np.int64]
    probability: NDArray[np.float64]
    in_skeleton: NDArray[np.bool_]

    @classmethod
    def of(cls, links: Links, mask: NDArray[np.bool_], in_skeleton: bool) -> Joins:
        """The links of a mask (L,)."""
        return cls(
            links.tip[mask],
            links.point[mask],
            links.probability()[mask],
            np.full(int(mask.sum()), in_skeleton),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Joins]) -> Joins:
        """All joins of the parts in their order."""
        names = [part.name for part in fields(cls)]
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def join_gaps(
    skeleton: Skeleton, probability: NDArray[np.uint8], *, gap: float, scale: VoxelScale
) -> tuple[Skeleton, Joins]:
    """Connect pieces over gaps where that is likely to be right.

    Args:
        skeleton: the pieces.
        probability: (Z, Y, X) uint8, the volume that the links run through.
        gap: widest gap (finest voxels); over more than `NEAR` only large pieces are joined, and
            with 0 none.
        scale: the voxel's edges.

    Returns:
        The same points with more links, and these links. The root of a joined tree is arbitrary.
    """
    forest = _Forest(skeleton, scale)
    near = links = candidate_links(skeleton, probability, min(gap, NEAR), scale)
    joins = []
    for rule in _RULES:
        if rule.wide:
            if gap <= NEAR or not forest.has_several_large(rule.share):
                continue
            links = candidate_links(skeleton, probability, gap, scale)
        joins.append(forest.join(links, rule))
    joins.append(forest.open_links(near))
    return forest.skeleton, Joins.concatenate(joins)


class _Forest:
    """Pieces that are joined to fewer and fewer trees.

    Attributes:
        skeleton: the points with the links made so far.
    """

    def __init__(self, skeleton: Skeleton, scale: VoxelScale) -> None:
        self.skeleton = skeleton
        #: (N,) the piece of each point at first.
        self._piece = skeleton.tree_numbers()
        #: By piece, the piece that stands for its tree.
        self._tree = np.arange(int(self._piece.max(initial=-1)) + 1)
        #: By a piece that stands for a tree, the tree's length in finest voxels.
        self._length = skeleton.tree_lengths(scale)

    def has_several_large(self, share: float) -> bool:
        """Whether two trees or more have the share of the longest one's length, and `_LARGE`."""
        lengths = self._length[np.unique(self._tree)]
        return bool((lengths >= self._least_length(share)).sum() > 1)

    def join(self, links: Links, rule: _Rule) -> Joins:
        """Make the links that a rule allows, the likeliest first, and return them."""
        probability, least_length = links.probability(), self._least_length(rule.share)
        is_new = np.zeros(len(probability), dtype=np.bool_)
        allowed = (probability > rule.least) & (links.bend <= rule.bend) & ~links.blind
        likeliest_first = np.argsort(-probability, kind="stable")
        for at in likeliest_first[allowed[likeliest_first]]:
            tip, point = int(links.tip[at]), int(links.point[at])
            ours, theirs = self._trees(np.array([tip, point]))
            if ours == theirs or min(self._length[ours], self._length[theirs]) < least_length:
                continue
            self.skeleton = self.skeleton.reroot(tip).join(tip, point)
            self._tree[self._tree == ours] = theirs
            self._length[theirs] += self._length[ours]
            is_new[at] = True
        return Joins.of(links, is_new, in_skeleton=True)

    def open_links(self, links: Links) -> Joins:
        """The links between trees that are still apart, from `_LEAST_REPORTED` on."""
        apart = self._trees(links.tip) != self._trees(links.point)
        return Joins.of(links, apart & (links.probability() >= _LEAST_REPORTED), in_skeleton=False)

    def _trees(self, points: NDArray[np.int64]) -> NDArray[np.int64]:
        """(M,) the piece that stands for the tree of each point."""
        return np.asarray(self._tree[self._piece[points]])

    def _least_length(self, share: float) -> float:
        """Least length of a tree under a rule with this share; 0 without a share."""
        return max(_LARGE, share * float(self._length.max(initial=0.0))) if share else 0.0
