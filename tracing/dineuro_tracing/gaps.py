"""Joining the pieces of a broken neurite: from a tip, on to the next piece, where that is likely.

Candidates are links from a tip of one piece to a point of another within the gap allowed: for each
tip and piece the one that turns least, is shortest and runs through the brightest voxels.
How probable it is that both ends belong to one neuron is told by a logistic model of what can be
seen of a link (`FEATURES`), fitted by `benchmarks/joins.py` on stacks with reference trees. Links
that are more likely right than wrong are made, the likeliest first, each only between pieces that
are not connected yet (Kruskal), so that no loop can come about. Where a large part of what was
found would be left out otherwise, less likely links are made too, and wider ones: a stray neurite
is seldom that long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dineuro_tracing.skeleton import Skeleton

#: What the model looks at, and the weight of each in the logarithm of the odds.
FEATURES = {
    "constant": 1.483,
    "distance, tens of voxels": 0.066,
    "logarithm of the distance": -1.044,
    "turn at the tip, 1 - cosine": -1.430,
    "turn at the other tip": 0.290,
    "ends at a side, no tip": 0.265,
    "probability along the gap": 1.625,
    "logarithm of the shorter piece": 0.192,
    "difference of the radii's logarithms": -0.556,
    "usual probability on the lines": 0.972,
    "logarithm of pieces a length": 0.255,
    "logarithm of the longer piece": -0.037,
    "turn times distance": 0.454,
}  # fmt: skip

#: A tip points from where the neurite was this far back (finest voxels) to where it ends.
_LOOK_BACK = 6.0
#: So near (finest voxels), the direction of a tip says nothing any more.
_TOUCHING = 3.0
#: What is less likely than this is not told either.
_LEAST_TOLD = 0.2
#: The sharpest turn of a link at a tip (cosine).
_SHARPEST = 0.3
#: How much a turn adds to the price: at 60 degrees a gap counts double.
_TURN = 2.0
#: A piece this long (finest voxels) is counted where it is asked how broken the neurites are.
_PIECE = 8.0
#: Lengths and radii that differ more than this make no further difference.
_LONGEST_SMALL, _LONGEST, _MOST_UNLIKE = 200.0, 2000.0, 1.5
#: Places along a gap that are looked at: first along a line, then in a tube of 3 voxels' width.
_LINE, _TUBE = 7, 13
#: Pairs of a tip and a point that are held in memory at a time.
_AT_ONCE = 500_000


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which links are made.

    Attributes:
        least: they are likelier than this.
        share: both trees have this share of the longest one's length, and `_LARGE`, if above 0.
        bend: they turn no more than so much (1 - cosine).
        wide: they may be wider than `NEAR`.
    """

    least: float
    share: float = 0.0
    bend: float = np.inf
    wide: bool = False


#: What is more likely right than wrong; between large trees also what is less likely and goes
#: straight on, and what is wider. The last was made for `lifted_108`, where a neurite sinks into
#: haze; with a lower bar it joins what the classical enhancer dreams in noise.
_RULES = (_Rule(0.5), _Rule(0.3, share=0.2, bend=0.3), _Rule(0.5, share=0.2, wide=True))
#: The odds were learnt on links of up to so many finest voxels.
NEAR = 40.0
#: A large tree has this length at least (finest voxels).
_LARGE = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Possible joins.

    Attributes:
        tip: (L,) int64, the point where a link starts, a tip.
        point: (L,) int64, the point of another piece where it ends.
        shorter: (L,) float64, length of the shorter piece, as far as it counts (finest voxels).
        features: (L, 13) float64, in the order of `FEATURES`.
    """

    tip: NDArray[np.int64]
    point: NDArray[np.int64]
    shorter: NDArray[np.float64]
    features: NDArray[np.float64]

    def probability(self) -> NDArray[np.float64]:
        """(L,) how probable it is that both ends belong to one neuron."""
        odds = self.features @ np.array(list(FEATURES.values()))
        return np.asarray(1 / (1 + np.exp(-odds)))

    def turns(self) -> NDArray[np.float64]:
        """(L,) the sharper of the turns at both ends, 1 - cosine."""
        names = list(FEATURES)
        ends = [
            names.index(name) for name in ("turn at the tip, 1 - cosine", "turn at the other tip")
        ]
        return np.asarray(self.features[:, ends].max(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class Joins:
    """What became of the likely links between the pieces.

    Attributes:
        tip, point: (J,) int64, the ends of a link.
        chance: (J,) float64, how probable it is that both belong to one neuron.
        made: (J,) bool; what was not made connects trees that are apart still.
    """

    tip: NDArray[np.int64]
    point: NDArray[np.int64]
    chance: NDArray[np.float64]
    made: NDArray[np.bool_]

    @classmethod
    def of(cls, parts: Sequence[Joins]) -> Joins:
        """All of them."""
        names = [part.name for part in fields(cls)]
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def join_gaps(
    skeleton: Skeleton,
    probability: NDArray[np.uint8],
    *,
    gap: float,
    scale: tuple[float, float, float],
) -> tuple[Skeleton, Joins]:
    """Connect pieces over gaps where that is likely to be right.

    Args:
        skeleton: the pieces.
        probability: (Z, Y, X), what the links run through.
        gap: the widest that is joined (finest voxels), over more than `NEAR` between large pieces
            alone; 0 joins nothing.
        scale: (z, y, x), a voxel's edges in units of the shortest one.

    Returns:
        The same points with more links, and what is known of these; which point is the root of a
        joined tree is not said.
    """
    forest = _Forest(skeleton, scale)
    near = links = candidate_links(skeleton, probability, min(gap, NEAR), scale)
    joins = []
    for rule in _RULES:
        if rule.wide:
            if gap <= NEAR or not forest.has_several(rule.share):
                continue
            links = candidate_links(skeleton, probability, gap, scale)
        joins.append(forest.join(links, rule))
    joins.append(forest.left_apart(near))
    return forest.skeleton, Joins.of(joins)


class _Forest:
    """Pieces that are joined to fewer and fewer trees.

    Attributes:
        skeleton: the points with the links made so far.
        number: (N,) which piece a point belonged to at first.
        group: by piece, the piece that stands for its tree.
        length: by such a piece, its tree's length in finest voxels.
    """

    def __init__(self, skeleton: Skeleton, scale: tuple[float, float, float]) -> None:
        self.skeleton = skeleton
        self.number = skeleton.tree_numbers()
        self.length = skeleton.tree_lengths(scale)
        self.group = np.arange(len(self.length))

    def has_several(self, share: float) -> bool:
        """Whether two trees or more are large."""
        lengths = self.length[np.unique(self.group)]
        return bool((lengths >= self._shortest(share)).sum() > 1)

    def join(self, links: Links, rule: _Rule) -> Joins:
        """Make what a rule allows, the likeliest first."""
        chance, shortest = links.probability(), self._shortest(rule.share)
        made = np.zeros(len(chance), dtype=np.bool_)
        allowed = (chance > rule.least) & (links.turns() <= rule.bend)
        likeliest_first = np.argsort(-chance, kind="stable")
        for at in likeliest_first[allowed[likeliest_first]]:
            tip, point = int(links.tip[at]), int(links.point[at])
            ours, theirs = self._trees(np.array([tip, point]))
            if ours == theirs or min(self.length[ours], self.length[theirs]) < shortest:
                continue
            self.skeleton = self.skeleton.rerooted(tip).linked(tip, point)
            self.group[self.group == ours] = theirs
            self.length[theirs] += self.length[ours]
            made[at] = True
        return Joins(links.tip[made], links.point[made], chance[made], made[made])

    def left_apart(self, links: Links) -> Joins:
        """The likelier ones of those that were not made."""
        chance = links.probability()
        told = (self._trees(links.tip) != self._trees(links.point)) & (chance >= _LEAST_TOLD)
        return Joins(links.tip[told], links.point[told], chance[told], ~told[told])

    def _trees(self, points: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(self.group[self.number[points]])

    def _shortest(self, share: float) -> float:
        return max(_LARGE, share * float(self.length.max(initial=0.0))) if share else 0.0


def candidate_links(
    skeleton: Skeleton,
    probability: NDArray[np.uint8],
    gap: float,
    scale: tuple[float, float, float],
) -> Links:
    """For each tip and each other piece within the gap the link with the lowest price.

    The price is the distance, made dearer by turns and cheaper by what is bright along the way.
    """
    pieces = _Pieces.of(skeleton, scale)
    found = [
        _cheapest(pieces, probability, tips, points)
        for tips, points in pieces.pairs_within(gap)
        if len(tips)
    ]
    if not found:
        none = np.zeros(0, dtype=np.int64)
        return Links(none, none, np.zeros(0), np.zeros((0, len(FEATURES))))
    tip, point = (np.concatenate(part) for part in zip(*found, strict=True))
    return _described(pieces, probability, tip, point)


@dataclass(frozen=True, slots=True, eq=False)
class _Pieces:
    """A skeleton with what the links need to know of it; lengths in finest voxels.

    Attributes:
        skeleton: the points.
        places: (N, 3), the points in finest voxels.
        number: (N,) which piece a point belongs to.
        length: (T,) of each piece.
        body: (N,) radius of a soma at its centre, 0 elsewhere: a soma begins at its surface, which
            may lie far from the point that stands for it.
        tips: (K,) the ends of the pieces, somata left out.
        heading: (N, 3) where a tip points to; NaN elsewhere.
    """

    skeleton: Skeleton
    places: NDArray[np.float64]
    number: NDArray[np.int64]
    length: NDArray[np.float64]
    body: NDArray[np.float64]
    tips: NDArray[np.int64]
    heading: NDArray[np.float64]

    @classmethod
    def of(cls, skeleton: Skeleton, scale: tuple[float, float, float]) -> _Pieces:
        places = skeleton.points * np.array(scale)
        degree = skeleton.n_children() + (skeleton.parents >= 0)
        tips = np.flatnonzero((degree <= 1) & ~skeleton.soma)
        return cls(
            skeleton,
            places,
            skeleton.tree_numbers(),
            skeleton.tree_lengths(scale),
            np.where(skeleton.soma, skeleton.radii, 0.0),
            tips,
            _headings(skeleton, tips, places),
        )

    def pairs_within(self, gap: float) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Tips and points of other pieces at most `gap` apart, some at a time."""
        if gap <= 0 or len(self.length) < 2 or len(self.tips) == 0:
            return
        tree = KDTree(self.places)
        many = tree.query_ball_point(self.places[self.tips], gap, return_length=True)
        share = np.cumsum(many) // _AT_ONCE
        centres = np.flatnonzero(self.body)
        for part in np.unique(share):
            some = self.tips[share == part]
            near = tree.query_ball_point(self.places[some], gap)
            tips = np.repeat(some, [len(points) for points in near])
            points = np.concatenate([np.asarray(p, dtype=np.int64) for p in near])
            # Somata whose surface is within reach though their centre is not.
            away = np.linalg.norm(self.places[some, None] - self.places[centres], axis=2)
            facing, soma = np.nonzero((away > gap) & (away <= gap + self.body[centres]))
            tips = np.concatenate([tips, some[facing]])
            points = np.concatenate([points, centres[soma]])
            apart = self.number[tips] != self.number[points]
            yield tips[apart], points[apart]

    def geometry(
        self, tip: NDArray[np.int64], point: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """(M,) distance of each pair, cosine of the turn at the tip, and of that at the point.

        The second cosine is 1 where the point is no tip.
        """
        step = self.places[point] - self.places[tip]
        straight = np.linalg.norm(step, axis=1)
        ahead = step / np.maximum(straight, 1e-9)[:, None]
        distance = np.maximum(straight - self.body[point], 1.0)
        turn = _cosine((ahead * self.heading[tip]).sum(axis=1), distance)
        turn[distance < self.body[point]] = 1.0  # a soma lies ahead of whatever ends beside it
        facing = _cosine(-(ahead * self.heading[point]).sum(axis=1), distance)
        return distance, turn, facing

    def is_tip(self) -> NDArray[np.bool_]:
        """(N,) which points are tips."""
        marked = np.zeros(len(self.number), dtype=np.bool_)
        marked[self.tips] = True
        return marked


def _cheapest(
    pieces: _Pieces,
    probability: NDArray[np.uint8],
    tip: NDArray[np.int64],
    point: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of all pairs, the cheapest of each tip and piece; none turns too sharply."""
    distance, turn, facing = pieces.geometry(tip, point)
    sharpest = np.minimum(turn, facing)
    ahead = sharpest >= _SHARPEST
    tip, point, distance, sharpest = tip[ahead], point[ahead], distance[ahead], sharpest[ahead]
    points = pieces.skeleton.points
    bright = _along_line(probability, points[tip], points[point])
    price = distance * (1 + _TURN * (1 - sharpest)) / (0.5 + bright)
    piece = pieces.number[point]
    order = np.lexsort((point, price, piece, tip))
    tips, others = tip[order], piece[order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = (tips[1:] != tips[:-1]) | (others[1:] != others[:-1])
    return tips[first], point[order[first]]


def _described(
    pieces: _Pieces,
    probability: NDArray[np.uint8],
    tip: NDArray[np.int64],
    point: NDArray[np.int64],
) -> Links:
    """The links from these tips to these points, with what can be seen of each."""
    skeleton = pieces.skeleton
    distance, turn, facing = pieces.geometry(tip, point)
    bent, bent_there = 1 - turn, 1 - facing
    side = ~pieces.is_tip()[point]
    whole = pieces.length.copy()
    whole[pieces.number[skeleton.soma]] = np.inf  # a soma is no speck, however short its neurites
    ours, theirs = whole[pieces.number[tip]], whole[pieces.number[point]]
    shorter = np.clip(np.minimum(ours, theirs), 1, _LONGEST_SMALL)
    radius = np.maximum(skeleton.radii, 0.5)
    unlike = np.where(skeleton.soma[point], 0, np.abs(np.log(radius[tip] / radius[point])))
    voxels = tuple(np.rint(skeleton.points).astype(np.int64).T)
    usual = float(np.median(probability[voxels])) / 255
    count = max(int((pieces.length >= _PIECE).sum()) - 1, 0.5)
    broken = np.log(count / max(float(pieces.length.sum()) / 100, 0.01))
    one = np.ones(len(tip))
    features = np.column_stack(
        [
            one,
            distance / 10,
            np.log(distance),
            bent,
            bent_there,
            side,
            _along_tube(probability, skeleton.points[tip], skeleton.points[point]),
            np.log(shorter),
            np.minimum(unlike, _MOST_UNLIKE),
            usual * one,
            broken * one,
            np.log(np.clip(np.maximum(ours, theirs), 1, _LONGEST)),
            bent * distance / 10,
        ]
    )
    return Links(tip, point, shorter, features)


def _cosine(cosine: NDArray[np.float64], distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cosine of a turn, 1 where the ends touch or where a point has no direction (NaN)."""
    return np.where((distance <= _TOUCHING) | np.isnan(cosine), 1.0, cosine)


def _headings(
    skeleton: Skeleton, tips: NDArray[np.int64], places: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N, 3) unit vectors out of the neurite at each tip; NaN for a lone point and elsewhere."""
    child = np.full(len(skeleton), -1)
    has_parent = skeleton.parents >= 0
    child[skeleton.parents[has_parent]] = np.flatnonzero(has_parent)
    headings = np.full((len(skeleton), 3), np.nan)
    for tip in tips:
        way = skeleton.parents if has_parent[tip] else child
        back = tip
        while way[back] >= 0 and np.linalg.norm(places[tip] - places[back]) < _LOOK_BACK:
            back = way[back]
        if back != tip:
            out = places[tip] - places[back]
            headings[tip] = out / max(float(np.linalg.norm(out)), 1e-9)
    return headings


def _along_line(
    probability: NDArray[np.uint8], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(M,) mean probability 0..1 of the darker half of the way from one point to another.

    The brighter half is left out, since both ends of the way lie in neurites themselves.
    """
    at = _between(start, end, _LINE)
    seen = np.sort(probability[at[..., 0], at[..., 1], at[..., 2]], axis=0)
    return np.asarray(seen[: _LINE // 2 + 1].mean(axis=0) / 255.0)


def _along_tube(
    probability: NDArray[np.uint8], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(M,) mean over the way of the highest probability 0..1 at most a voxel beside it."""
    at = _between(start, end, _TUBE)
    last = np.array(probability.shape) - 1
    seen = np.zeros(at.shape[:2], dtype=np.uint8)
    for beside in np.ndindex(3, 3, 3):
        z, y, x = np.moveaxis(np.clip(at + np.array(beside) - 1, 0, last), -1, 0)
        np.maximum(seen, probability[z, y, x], out=seen)
    return np.asarray(seen.mean(axis=0) / 255.0)


def _between(start: NDArray[np.float64], end: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """(count, M, 3) voxels evenly spaced between two places (M, 3), the ends left out."""
    share = np.linspace(0.0, 1.0, count + 2)[1:-1, None, None]
    return np.rint(start + share * (end - start)).astype(np.int64)
