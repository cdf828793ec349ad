"""Candidates for joins: links from a tip of one piece to a point of another, and their odds.

For each tip and each other piece within the gap there is one candidate. It is the link with the
lowest price: short, straight, and through bright voxels. `JOIN_MODEL` gives the probability that
both ends of a link belong to one neuron.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.scale import VoxelScale
from dineuro_tracing.odds import LogisticModel
from dineuro_tracing.pieces import Pieces
from dineuro_tracing.skeleton import Skeleton

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: The log-odds that both ends of a link belong to one neuron. Fitted by
#: `python -m benchmarks.joins ../shared/data` on the tuning stacks. Lengths are in finest voxels.
JOIN_MODEL = LogisticModel(
    constant=1.483,
    weights={
        "distance": 0.066,  # of the ends, in tens
        "log_distance": -1.044,
        "turn_at_tip": -1.430,  # 1 - cosine
        "turn_at_end": 0.290,  # 1 - cosine, at the other end; 0 for an end that is no tip
        "ends_at_side": 0.265,  # 1 for an end that is no tip
        "probability": 1.625,  # along the link, 0..1
        "log_shorter_piece": 0.192,  # of its length
        "radius_difference": -0.556,  # of the logarithms of both radii
        "stack_probability": 0.972,  # median on all lines, 0..1: how clear the stack is
        "log_pieces_per_length": 0.255,  # how broken the neurites are
        "log_longer_piece": -0.037,  # of its length
        "turn_by_distance": 0.454,  # the product of `turn_at_tip` and `distance`
    },
)
#: The longest links in the fit (finest voxels); beyond this the model extrapolates.
NEAR = 40.0

#: A longer link (finest voxels) needs at least this mean probability (0..1) along it. On the tuning
#: stacks 0.37 of the likely links of 10 to 20 voxels were right, and 0.53 of those with 0.3. Two
#: tips of pieces that are at least this long and that face each other (bend) need no evidence.
_LONGEST_BLIND, _LEAST_EVIDENCE = 10.0, 0.2
_FACING_LENGTH, _FACING_BEND = 30.0, 0.1
#: Least length (finest voxels) of a piece that counts in `log_pieces_per_length`.
_PIECE = 8.0
#: Lengths and radius differences beyond these make no further difference.
_LONGEST_SHORTER, _LONGEST_LONGER, _MOST_UNLIKE = 200.0, 2000.0, 1.5
#: Places along a link, in a tube three voxels wide.
_TUBE_PLACES = 13


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Possible joins.

    Attributes:
        tip: (L,) int64, the point at which a link starts, a tip.
        point: (L,) int64, the point of another piece at which it ends.
        shorter: (L,) float64, length of the shorter piece, at most 200 (finest voxels).
        bend: (L,) float64, the sharper of the turns at both ends, 1 - cosine.
        blind: (L,) bool, the link is long, the volume shows no neurite along it, and its ends do
            not face each other.
        features: (L, F) float64, a table of `JOIN_MODEL`.
    """

    tip: Indices
    point: Indices
    shorter: Floats
    bend: Floats
    blind: NDArray[np.bool_]
    features: Floats

    def probability(self) -> Floats:
        """(L,) the probability that both ends belong to one neuron."""
        return JOIN_MODEL.probability(self.features)


def candidate_links(
    skeleton: Skeleton, probability: NDArray[np.uint8], gap: float, scale: VoxelScale
) -> Links:
    """For each tip and each other piece within the gap the link with the lowest price.

    Args:
        skeleton: the pieces.
        probability: (Z, Y, X) uint8, the volume that the links run through.
        gap: greatest distance of the ends (finest voxels).
        scale: the voxel's edges.
    """
    pieces = Pieces.of(skeleton, scale)
    tip, point = pieces.cheapest_links(probability, gap)
    return _measure(pieces, probability, tip, point)


def _measure(pieces: Pieces, probability: NDArray[np.uint8], tip: Indices, point: Indices) -> Links:
    """The links from tips to points (L,) with their features."""
    skeleton = pieces.skeleton
    distance, turn, facing = pieces.geometry(tip, point)
    number, length = pieces.ends.number, pieces.length.copy()
    length[number[skeleton.soma]] = np.inf  # a soma is no speck, even with short neurites
    lengths = length[number[np.stack([tip, point])]]
    shorter = np.clip(lengths.min(axis=0), 1, _LONGEST_SHORTER)
    radius = np.maximum(skeleton.radii, 0.5)
    evidence = _along_tube(probability, skeleton.points[tip], skeleton.points[point])
    bend = 1 - np.minimum(turn, facing)
    face_each_other = pieces.is_tip()[point] & (bend <= _FACING_BEND) & (shorter >= _FACING_LENGTH)
    blind = (distance > _LONGEST_BLIND) & (evidence < _LEAST_EVIDENCE) & ~face_each_other
    unlike = np.where(skeleton.soma[point], 0, np.abs(np.log(radius[tip] / radius[point])))
    features = JOIN_MODEL.table(
        {
            "distance": distance / 10,
            "log_distance": np.log(distance),
            "turn_at_tip": 1 - turn,
            "turn_at_end": 1 - facing,
            "ends_at_side": ~pieces.is_tip()[point],
            "probability": evidence,
            "log_shorter_piece": np.log(shorter),
            "radius_difference": np.minimum(unlike, _MOST_UNLIKE),
            "stack_probability": _stack_probability(skeleton, probability),
            "log_pieces_per_length": _log_pieces_per_length(pieces),
            "log_longer_piece": np.log(np.clip(lengths.max(axis=0), 1, _LONGEST_LONGER)),
            "turn_by_distance": (1 - turn) * distance / 10,
        }
    )
    return Links(tip, point, shorter, bend, blind, features)


def _stack_probability(skeleton: Skeleton, probability: NDArray[np.uint8]) -> float:
    """The median probability 0..1 on the lines."""
    voxels = tuple(np.rint(skeleton.points).astype(np.int64).T)
    return float(np.median(probability[voxels])) / 255


def _log_pieces_per_length(pieces: Pieces) -> float:
    """The logarithm of the number of breaks in a hundred finest voxels of neurite."""
    breaks = max(int((pieces.length >= _PIECE).sum()) - 1, 0.5)
    return float(np.log(breaks / max(float(pieces.length.sum()) / 100, 0.01)))


def _along_tube(probability: NDArray[np.uint8], start: Floats, end: Floats) -> Floats:
    """(M,) the mean over each way of the highest probability 0..1 at most a voxel beside it."""
    at = _between(start, end, _TUBE_PLACES)
    last = np.array(probability.shape) - 1
    highest = np.zeros(at.shape[:2], dtype=np.uint8)
    for beside in np.ndindex(3, 3, 3):
        z, y, x = np.moveaxis(np.clip(at + np.array(beside) - 1, 0, last), -1, 0)
        np.maximum(highest, probability[z, y, x], out=highest)
    return np.asarray(highest.mean(axis=0) / 255.0)


def _between(start: Floats, end: Floats, count: int) -> Indices:
    """(count, M, 3) voxels evenly spaced between two voxels (M, 3), without the ends.

    The steps are rounded and not the places: halves are then rounded alike in every direction.
    """
    share = np.linspace(0.0, 1.0, count + 2)[1:-1, None, None]
    return (start + np.rint(share * (end - start))).astype(np.int64)
