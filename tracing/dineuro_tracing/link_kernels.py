"""The compiled loops of the search for joins: pairs of a tip and a point of another piece.

A very broken stack has millions of such pairs. Each is looked at once, and none is kept but the
cheapest of each tip and piece. All lengths are in finest voxels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: Up to this distance the direction of a tip says nothing about a link.
_TOUCHING = 3.0
#: The sharpest turn of a link at a tip (cosine).
_SHARPEST_TURN = 0.3
#: Weight of a turn in the price: at 60 degrees a link costs twice its length.
_TURN_PRICE = 2.0
#: Places along a link, without its ends, for its price. The brighter ones are left out, because
#: both ends of a link lie in neurites.
_LINE_PLACES, _DARKER_PLACES = 7, 4
#: Places along a link for its evidence. Its surroundings lie so far beyond the neurite's border.
_TUBE_PLACES, _BESIDE = 13, (4.0, 6.0)
#: A direction this near to that of the link (cosine) meets the neurite itself.
_AHEAD = 0.7
#: What is added to the brightness 0..1 of a link before its length is divided by it.
_DARKEST = 0.5
#: Prices are compared as whole numbers of this share. Their last digits are chance.
_PRICE_STEPS = 1e6


class Ends(NamedTuple):
    """The points of all pieces, as ends of links.

    Attributes:
        places: (N, 3) float64, z, y, x.
        heading: (N, 3) float64, unit vectors out of the neurite at tips; NaN elsewhere.
        body: (N,) float64, the soma's radius at the centre of a soma, 0 elsewhere.
        number: (N,) int64, the piece of each point.
        from_middle: (N,) float64, the distance from the middle of all points.
    """

    places: NDArray[np.float64]
    heading: NDArray[np.float64]
    body: NDArray[np.float64]
    number: NDArray[np.int64]
    from_middle: NDArray[np.float64]


class Cells(NamedTuple):
    """The points without the somata, sorted by the cell of space in which they lie.

    Attributes:
        order: (M,) int64, the points by cell; in one cell by number.
        cell: (M,) int64, their cells, ascending. Cells that follow each other along x have
            numbers that follow each other.
        of_tip: (K, 3) int64, the cell z, y, x of each tip.
        shape: (3,) int64, the number of cells along each axis. The outermost cells are empty.
    """

    order: NDArray[np.int64]
    cell: NDArray[np.int64]
    of_tip: NDArray[np.int64]
    shape: NDArray[np.int64]


class Best(NamedTuple):
    """By piece, the cheapest point for the tip that looked at it last.

    Attributes:
        tip: (T,) int64, that tip, -1 at first.
        price: (T,) float64, in steps.
        point: (T,) int64.
    """

    tip: NDArray[np.int64]
    price: NDArray[np.float64]
    point: NDArray[np.int64]


@njit(cache=True)
def _cosine(cosine: float, distance: float) -> float:
    """The cosine of a turn; 1 for ends that touch and for a point without direction (NaN)."""
    return 1.0 if distance <= _TOUCHING or np.isnan(cosine) else cosine


@njit(cache=True)
def _step(places: NDArray[np.float64], tip: int, point: int) -> tuple[float, float, float]:
    """The way z, y, x from a tip to a point."""
    return (
        places[point, 0] - places[tip, 0],
        places[point, 1] - places[tip, 1],
        places[point, 2] - places[tip, 2],
    )


@njit(cache=True)
def _link(ends: Ends, tip: int, point: int) -> tuple[float, float, float]:
    """The distance of both ends, and the cosines of the turns at the tip and at the point."""
    z, y, x = _step(ends.places, tip, point)
    straight = np.sqrt(z * z + y * y + x * x)
    size = max(straight, 1e-9)
    ahead, behind = ends.heading[tip], ends.heading[point]
    distance = max(straight - ends.body[point], 1.0)
    z, y, x = z / size, y / size, x / size
    turn = _cosine(z * ahead[0] + y * ahead[1] + x * ahead[2], distance)
    facing = _cosine(-(z * behind[0] + y * behind[1] + x * behind[2]), distance)
    if distance < ends.body[point]:
        turn = 1.0  # a soma lies ahead of every tip beside it
    return distance, turn, facing


@njit(cache=True)
def link_geometry(
    ends: Ends, tips: NDArray[np.int64], points: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The distance of each pair (L,), and the cosines of the turns at the tip and at the point.

    The second cosine is 1 for a point that is no tip.
    """
    distance, turn, facing = np.empty(len(tips)), np.empty(len(tips)), np.empty(len(tips))
    for i in range(len(tips)):
        distance[i], turn[i], facing[i] = _link(ends, tips[i], points[i])
    return distance, turn, facing


@njit(cache=True)
def _brightness(
    probability: NDArray[np.uint8],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    values: NDArray[np.float64],
) -> float:
    """The mean probability 0..1 of the darker half of the way between two voxels (3,).

    `values` (`_LINE_PLACES`,) is memory for the values along the way, the darkest first.
    """
    for place in range(_LINE_PLACES):
        share = (place + 1) / (_LINE_PLACES + 1)
        # The steps are rounded and not the places: halves are then rounded alike everywhere.
        z = int(start[0] + np.rint(share * (end[0] - start[0])))
        y = int(start[1] + np.rint(share * (end[1] - start[1])))
        x = int(start[2] + np.rint(share * (end[2] - start[2])))
        value = float(probability[z, y, x])
        at = place
        while at > 0 and values[at - 1] > value:
            values[at] = values[at - 1]
            at -= 1
        values[at] = value
    darker = 0.0
    for place in range(_DARKER_PLACES):
        darker += values[place]
    return darker / _DARKER_PLACES / 255.0


@njit(cache=True)
def cheapest_points(
    ends: Ends,
    points: NDArray[np.float64],
    probability: NDArray[np.uint8],
    tips: NDArray[np.int64],
    somata: NDArray[np.int64],
    cells: Cells,
    gap: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each tip and each other piece within a gap the point with the lowest price.

    A turn raises the price of a link, and bright voxels along it lower the price. Of equal prices
    the point nearer to the middle of all counts, and then the lower number.

    Args:
        ends: the points of all pieces.
        points: (N, 3) float64, their voxels z, y, x.
        probability: (Z, Y, X) uint8, the volume that the links run through.
        tips: (K,) int64, ascending.
        somata: (S,) int64, the centres of somata. A soma is within the gap if its surface is.
        cells: all other points; a cell is at least as long as the gap.
        gap: greatest distance.

    Returns:
        (L,) int64 tips and (L,) int64 points, by tip and then by the point's piece.
    """
    pieces = int(ends.number.max()) + 1
    best = Best(np.full(pieces, -1), np.zeros(pieces), np.zeros(pieces, dtype=np.int64))
    found_tips, found_points = [np.int64(0) for _ in range(0)], [np.int64(0) for _ in range(0)]
    near = np.empty(len(cells.order) + len(somata), dtype=np.int64)
    for number, tip in enumerate(tips):
        count = _points_around(cells, number, near)
        near[count : count + len(somata)] = somata
        among = near[: count + len(somata)]
        for piece in _cheapest_of_tip(ends, points, probability, tip, among, gap, best):
            found_tips.append(tip)
            found_points.append(best.point[piece])
    return np.array(found_tips, dtype=np.int64), np.array(found_points, dtype=np.int64)


@njit(cache=True)
def _cheapest_of_tip(
    ends: Ends,
    points: NDArray[np.float64],
    probability: NDArray[np.uint8],
    tip: int,
    among: NDArray[np.int64],
    gap: float,
    best: Best,
) -> list[np.int64]:
    """Write the cheapest points of one tip to `best`, and return their pieces, ascending."""
    touched = [np.int64(0) for _ in range(0)]
    values = np.empty(_LINE_PLACES)
    for point in among:
        piece = ends.number[point]
        if piece == ends.number[tip]:
            continue
        z, y, x = _step(ends.places, tip, point)
        if z * z + y * y + x * x > (gap + ends.body[point]) ** 2:
            continue
        distance, turn, facing = _link(ends, tip, point)
        cosine = min(turn, facing)
        if cosine < _SHARPEST_TURN:
            continue
        length = distance * (1 + _TURN_PRICE * (1 - cosine))
        known = best.tip[piece] == tip
        if known and np.rint(length / (_DARKEST + 1) * _PRICE_STEPS) > best.price[piece]:
            continue  # too long, even through the brightest voxels
        bright = _brightness(probability, points[tip], points[point], values)
        price = np.rint(length / (_DARKEST + bright) * _PRICE_STEPS)
        if not known:
            touched.append(piece)
        elif not _is_cheaper(ends, price, point, best.price[piece], best.point[piece]):
            continue
        best.tip[piece], best.price[piece], best.point[piece] = tip, price, point
    return sorted(touched)


@njit(cache=True)
def _is_cheaper(ends: Ends, price: float, point: int, other_price: float, other: int) -> bool:
    """Whether a point has a lower price, or of equal ones is nearer to the middle of all."""
    if price != other_price:
        return price < other_price
    here, there = ends.from_middle[point], ends.from_middle[other]
    return here < there or (here == there and point < other)


@njit(cache=True)
def _points_around(cells: Cells, number: int, near: NDArray[np.int64]) -> int:
    """Write the points in the 27 cells around a tip to `near`, and return their number."""
    count = 0
    z, y, x = cells.of_tip[number]
    for other_z in range(z - 1, z + 2):
        for other_y in range(y - 1, y + 2):
            row = (other_z * cells.shape[1] + other_y) * cells.shape[2] + x
            first = np.searchsorted(cells.cell, row - 1)
            last = np.searchsorted(cells.cell, row + 2)
            near[count : count + last - first] = cells.order[first:last]
            count += last - first
    return count


@njit(cache=True)
def headings(
    places: NDArray[np.float64],
    tips: NDArray[np.int64],
    parents: NDArray[np.int64],
    children: NDArray[np.int64],
    look_back: float,
) -> NDArray[np.float64]:
    """(N, 3) unit vectors out of the neurite at each tip; NaN for a lone point and elsewhere.

    Args:
        places: (N, 3) float64, z, y, x.
        tips: (K,) int64.
        parents: (N,) int64, the parent of each point, -1 for roots.
        children: (N,) int64, its main child, -1 without one.
        look_back: the direction is measured over this length.
    """
    out = np.full(places.shape, np.nan)
    for tip in tips:
        way = parents if parents[tip] >= 0 else children
        back = tip
        step = places[tip] - places[back]
        while way[back] >= 0 and np.sqrt((step * step).sum()) < look_back:
            back = way[back]
            step = places[tip] - places[back]
        if back != tip:
            out[tip] = step / max(np.sqrt((step * step).sum()), 1e-9)
    return out


@njit(cache=True)
def line_evidence(
    probability: NDArray[np.uint8],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radius: NDArray[np.float64],
    edges: NDArray[np.float64],
    directions: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the volume shows along straight lines between voxels.

    Args:
        probability: (Z, Y, X) uint8.
        start: (L, 3) float64, z, y, x of voxels.
        end: (L, 3) float64, z, y, x of voxels.
        radius: (L,) float64, of the neurite that each line continues.
        edges: (3,) float64, z, y, x, a voxel's edges.
        directions: (D, 3) float64, unit vectors to the surroundings.

    Returns:
        (L,) the mean probability 0..1 along each line, and (L,) the share of the places around it
        that are dimmer; equal ones count half. Everywhere the highest of 27 voxels counts, on the
        line and around it: noise alone has shares near 0.5.
    """
    bright, stands_out = np.zeros(len(start)), np.zeros(len(start))
    place, other = np.empty(3), np.empty(3)
    for i in range(len(start)):
        way = (end[i] - start[i]) * edges
        way = way / max(np.sqrt((way * way).sum()), 1e-9)
        dimmer, counted = 0.0, 0
        for k in range(_TUBE_PLACES):
            share = (k + 1) / (_TUBE_PLACES + 1)
            for axis in range(3):
                place[axis] = start[i, axis] + np.rint(share * (end[i, axis] - start[i, axis]))
            here = _highest_at(probability, place)
            bright[i] += here
            for d in range(len(directions)):
                if abs((directions[d] * way).sum()) >= _AHEAD:
                    continue
                for away in _BESIDE:
                    for axis in range(3):
                        step = (radius[i] + away) * directions[d, axis] / edges[axis]
                        other[axis] = place[axis] + np.rint(step)
                    there = _highest_at(probability, other)
                    if there >= 0:
                        counted += 1
                        dimmer += 1.0 if there < here else 0.5 if there == here else 0.0
        bright[i] /= _TUBE_PLACES * 255.0
        stands_out[i] = dimmer / counted if counted else 0.5
    return bright, stands_out


@njit(cache=True)
def _highest_at(probability: NDArray[np.uint8], place: NDArray[np.float64]) -> int:
    """The highest probability at most a voxel beside a place; -1 outside of the volume."""
    z, y, x = int(place[0]), int(place[1]), int(place[2])
    depth, height, width = probability.shape
    if not (0 <= z < depth and 0 <= y < height and 0 <= x < width):
        return -1
    highest = 0
    for other_z in range(max(z - 1, 0), min(z + 2, depth)):
        for other_y in range(max(y - 1, 0), min(y + 2, height)):
            for other_x in range(max(x - 1, 0), min(x + 2, width)):
                highest = max(highest, int(probability[other_z, other_y, other_x]))
    return highest
