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
from dineuro_tracing.forest import last_ancestors
from dineuro_tracing.links import NEAR, Links, candidate_links
from dineuro_tracing.skeleton import Skeleton

#: A link that was not made is reported from this probability on.
_LEAST_REPORTED = 0.2
#: Least length of a large tree (finest voxels).
_LARGE = 30.0


@dataclass(frozen=True, slots=True)
class Rule:
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
RULES = (Rule(0.5), Rule(0.3, share=0.2, bend=0.3), Rule(0.5, share=0.2, wide=True))


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
    piece = skeleton.tree_numbers()
    forest = Forest(skeleton.tree_lengths(scale))

    def ends(links: Links) -> Ends:
        return Ends(
            piece[links.tip], piece[links.point], links.probability(), links.bend, links.blind
        )

    near = links = candidate_links(skeleton, probability, min(gap, NEAR), scale)
    joins = []
    for rule in RULES:
        if rule.wide:
            if gap <= NEAR or not forest.has_several_large(rule.share):
                continue
            links = candidate_links(skeleton, probability, gap, scale)
        made = forest.join(ends(links), rule)
        for at in made:
            tip, point = int(links.tip[at]), int(links.point[at])
            skeleton = skeleton.reroot(tip).join(tip, point)
        mask = np.zeros(len(links.tip), dtype=np.bool_)
        mask[made] = True
        joins.append(Joins.of(links, mask, in_skeleton=True))
    joins.append(Joins.of(near, forest.is_open(ends(near)), in_skeleton=False))
    return skeleton, Joins.concatenate(joins)


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """The pieces at the ends of links, and what the rules ask of a link.

    Attributes:
        tip, point: (L,) int64, the pieces.
        probability: (L,) float64, the probability that both belong to one neuron.
        bend: (L,) float64, the sharper of the turns at both ends, 1 - cosine.
        blind: (L,) bool, the link may not be made.
    """

    tip: NDArray[np.int64]
    point: NDArray[np.int64]
    probability: NDArray[np.float64]
    bend: NDArray[np.float64]
    blind: NDArray[np.bool_]


class Forest:
    """Pieces that are joined to fewer and fewer trees; it knows no points.

    Args:
        length: (T,) float64, of each piece in finest voxels.
    """

    def __init__(self, length: NDArray[np.float64]) -> None:
        #: By piece, a piece of the same tree; the one that stands for its tree names itself.
        self._above = np.arange(len(length))
        #: By a piece that stands for a tree, the tree's length in finest voxels.
        self._length = length.copy()

    def has_several_large(self, share: float) -> bool:
        """Whether two trees or more have the share of the longest one's length, and `_LARGE`."""
        lengths = self._length[np.unique(self.trees())]
        return bool((lengths >= self._least_length(share)).sum() > 1)

    def join(self, ends: Ends, rule: Rule) -> list[int]:
        """Make the links that a rule allows, the likeliest first, and return them in this order."""
        least_length = self._least_length(rule.share)
        allowed = (ends.probability > rule.least) & (ends.bend <= rule.bend) & ~ends.blind
        likeliest_first = np.argsort(-ends.probability, kind="stable")
        made = []
        for at in likeliest_first[allowed[likeliest_first]].tolist():
            ours, theirs = self._tree(int(ends.tip[at])), self._tree(int(ends.point[at]))
            if ours == theirs or min(self._length[ours], self._length[theirs]) < least_length:
                continue
            self._unite(ours, theirs)
            made.append(at)
        return made

    def unite(self, one: int, other: int) -> bool:
        """Make one tree of the trees of two pieces; False if they are one already."""
        ours, theirs = self._tree(one), self._tree(other)
        if ours != theirs:
            self._unite(ours, theirs)
        return ours != theirs

    def is_open(self, ends: Ends) -> NDArray[np.bool_]:
        """(L,) bool, the links between trees that are still apart, from `_LEAST_REPORTED` on."""
        tree = self.trees()
        return np.asarray(
            (tree[ends.tip] != tree[ends.point]) & (ends.probability >= _LEAST_REPORTED)
        )

    def trees(self) -> NDArray[np.int64]:
        """(T,) the piece that stands for the tree of each piece."""
        return last_ancestors(self._above)

    def lengths(self) -> NDArray[np.float64]:
        """(T,) the length of each piece's tree in finest voxels."""
        return np.asarray(self._length[self.trees()])

    def lengthen(self, piece: int, by: float) -> None:
        """Add the length of a link to the tree of a piece."""
        self._length[self._tree(piece)] += by

    def _tree(self, piece: int) -> int:
        """The piece that stands for the tree of a piece."""
        above = self._above
        while above[piece] != piece:
            above[piece] = above[above[piece]]
            piece = int(above[piece])
        return piece

    def _unite(self, ours: int, theirs: int) -> None:
        self._above[ours] = theirs
        self._length[theirs] += self._length[ours]

    def _least_length(self, share: float) -> float:
        """Least length of a tree under a rule with this share; 0 without a share."""
        return max(_LARGE, share * float(self._length.max(initial=0.0))) if share else 0.0
