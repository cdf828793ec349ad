"""Joining the pieces of a broken neurite: from a tip, straight ahead, to the next piece.

Twice: first over gaps that any piece may have; then, where one neuron is looked for, a piece that
is longer than the gap before it is taken for the neuron's too, since nothing as long is noise.

Candidates are links from a tip of one tree to a point of another within the gap that was allowed.
A link is dearer the more it turns away from where the tip points (and, if it ends at a tip, from
where that one points), and cheaper if the voxels along it are bright. The cheapest links are made
first, each only between trees not connected yet (Kruskal), so that no loop can come about.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dineuro_tracing.skeleton import Skeleton

#: A tip points from where the neurite was this far back (finest voxels) to where it ends.
_LOOK_BACK = 6.0
#: So near (finest voxels), the direction of a tip says nothing any more.
_TOUCHING = 3.0
#: How much a turn adds to the price: at 60 degrees a gap counts double.
_TURN = 2.0


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which links are allowed.

    Attributes:
        reach: of the widest (finest voxels).
        piece: a piece is no continuation if it is shorter than this share of the gap.
        cosine: of the sharpest turn at a tip.
        to_tip, to_side: the dearest, in reaches: two tips that face each other say more than a tip
            and another's side, which may just run past it.
    """

    reach: float
    piece: float
    cosine: float
    to_tip: float
    to_side: float


@dataclass(frozen=True, slots=True)
class _Link:
    """A possible join from a tip of one tree to a point of another, and its price."""

    price: float
    tip: int
    point: int


def join_gaps(
    skeleton: Skeleton,
    probability: NDArray[np.uint8],
    *,
    gap: float,
    reach: float = 0.0,
    scale: tuple[float, float, float],
) -> Skeleton:
    """Connect trees whose tips face each other.

    Args:
        skeleton: the pieces.
        probability: (Z, Y, X), what the links run through.
        gap: widest gap (finest voxels) that is joined anyway.
        reach: widest gap before a piece that is longer than the gap.
        scale: (z, y, x), a voxel's edges in units of the shortest one.

    Returns:
        The same points with more links; which point is the root of a joined tree is not said.
    """
    near = _Rule(gap, piece=0.5, cosine=0.3, to_tip=2.0, to_side=1.5)
    far = _Rule(reach, piece=1.0, cosine=0.6, to_tip=np.inf, to_side=np.inf)
    return _joined(_joined(skeleton, probability, near, scale), probability, far, scale)


def _joined(
    skeleton: Skeleton,
    probability: NDArray[np.uint8],
    rule: _Rule,
    scale: tuple[float, float, float],
) -> Skeleton:
    """The cheapest links that the rule allows, made one by one."""
    number = skeleton.tree_numbers()
    if len(skeleton) == 0 or number.max() == 0 or rule.reach <= 0:
        return skeleton
    links = _candidates(skeleton, number, probability, rule, np.array(scale))
    group = np.arange(number.max() + 1)
    for link in sorted(links, key=lambda one: (one.price, one.tip, one.point)):
        ours, theirs = group[number[link.tip]], group[number[link.point]]
        if ours == theirs:
            continue
        skeleton = skeleton.rerooted(link.tip).linked(link.tip, link.point)
        group[group == ours] = theirs
    return skeleton


def _candidates(
    skeleton: Skeleton,
    number: NDArray[np.int64],
    probability: NDArray[np.uint8],
    rule: _Rule,
    scale: NDArray[np.float64],
) -> list[_Link]:
    """For each tip and each other tree within reach, the cheapest link that is not too dear."""
    places = skeleton.points * scale
    degree = skeleton.n_children() + (skeleton.parents >= 0)
    tips = np.flatnonzero((degree <= 1) & ~skeleton.soma)
    heading = _headings(skeleton, tips, places)
    is_tip = np.full(len(skeleton), -1)
    is_tip[tips] = np.arange(len(tips))
    length = skeleton.tree_lengths((scale[0], scale[1], scale[2]))
    length[number[skeleton.soma]] = np.inf  # a soma is no speck, however short its neurites
    # A soma begins at its surface, which may lie far from the point that stands for it.
    body = np.where(skeleton.soma, skeleton.radii, 0.0)
    near = KDTree(places).query_ball_point(places[tips], rule.reach)
    for center in np.flatnonzero(skeleton.soma):
        away = np.linalg.norm(places[tips] - places[center], axis=1)
        for facing in np.flatnonzero((away > rule.reach) & (away <= rule.reach + body[center])):
            near[facing].append(center)
    links: list[_Link] = []
    for t, points in enumerate(near):
        others = np.array([p for p in points if number[p] != number[tips[t]]], dtype=np.int64)
        if len(others) == 0:
            continue
        step = places[others] - places[tips[t]]
        straight = np.linalg.norm(step, axis=1)
        ahead = step / np.maximum(straight, 1e-9)[:, None]
        distance = np.maximum(straight - body[others], 1.0)
        turn = _cosine(ahead @ heading[t], distance)
        turn[distance < body[others]] = 1.0  # a soma lies ahead of whatever ends beside it
        theirs = is_tip[others]
        meets = theirs >= 0
        turn[meets] = np.minimum(
            turn[meets],
            _cosine(-(ahead[meets] * heading[theirs[meets]]).sum(axis=1), distance[meets]),
        )
        bright = _brightness(probability, skeleton.points[tips[t]], skeleton.points[others])
        price = distance * (1 + _TURN * (1 - turn)) / (0.5 + bright)
        allowed = turn >= rule.cosine
        allowed &= (
            np.minimum(length[number[others]], length[number[tips[t]]]) >= rule.piece * distance
        )
        for tree in np.unique(number[others[allowed]]):
            of_tree = np.flatnonzero(allowed & (number[others] == tree))
            best = of_tree[np.argmin(price[of_tree])]
            if price[best] <= (rule.to_tip if meets[best] else rule.to_side) * rule.reach:
                links.append(_Link(float(price[best]), int(tips[t]), int(others[best])))
    return links


def _cosine(cosine: NDArray[np.float64], distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cosine of a turn, 1 where the ends touch or where a tip has no direction (NaN)."""
    return np.where((distance <= _TOUCHING) | np.isnan(cosine), 1.0, cosine)


def _headings(
    skeleton: Skeleton, tips: NDArray[np.int64], places: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(T, 3) unit vectors out of the neurite at each tip; NaN for a lone point."""
    child = np.full(len(skeleton), -1)
    has_parent = skeleton.parents >= 0
    child[skeleton.parents[has_parent]] = np.flatnonzero(has_parent)
    headings = np.full((len(tips), 3), np.nan)
    for t, tip in enumerate(tips):
        step = skeleton.parents if has_parent[tip] else child
        back = tip
        while step[back] >= 0 and np.linalg.norm(places[tip] - places[back]) < _LOOK_BACK:
            back = step[back]
        if back != tip:
            out = places[tip] - places[back]
            headings[t] = out / max(float(np.linalg.norm(out)), 1e-9)
    return headings


def _brightness(
    probability: NDArray[np.uint8], start: NDArray[np.float64], ends: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(M,) mean probability 0..1 of the darker half of the way from one point to each of many.

    The brighter half is left out, since both ends of the way lie in neurites themselves.
    """
    share = np.linspace(0.0, 1.0, 9)[1:-1]
    points = start + share[:, None, None] * (ends - start)  # S M 3
    at = np.rint(points).astype(np.int64)
    seen = np.sort(probability[at[..., 0], at[..., 1], at[..., 2]], axis=0)
    return np.asarray(seen[: len(share) // 2 + 1].mean(axis=0) / 255.0)
