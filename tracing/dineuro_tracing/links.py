"""Candidates for joins: links from a tip of one piece to a point of another, and their odds.

For each tip and each other piece within the gap there is one candidate. It is the link with the
lowest price: short, straight, and through bright voxels. `JOIN_MODEL` gives the probability that
both ends of a link belong to one neuron.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.scale import VoxelScale
from dineuro_tracing.link_kernels import line_evidence
from dineuro_tracing.odds import LogisticModel
from dineuro_tracing.pieces import Pieces
from dineuro_tracing.skeleton import Skeleton

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: The log-odds that both ends of a link belong to one neuron. Fitted by
#: `python -m benchmarks.joins ../shared/data` on the tuning stacks. Lengths are in finest voxels.
JOIN_MODEL = LogisticModel(
    constant=-0.032,
    weights={
        "log_distance": -0.200,  # of the ends
        "turn": -0.600,  # 1 - cosine, the sharper one of both ends
        "ends_at_side": 0.084,  # 1 for an end that is no tip
        "stands_out": 3.418,  # square of twice the share of dimmer places around it, less 1
        "log_shorter_piece": 0.314,  # of its length
        "radius_difference": -0.677,  # of the logarithms of both radii
        "stack_probability": -0.578,  # median on all lines, 0..1: how clear the stack is
        "log_pieces_per_length": 0.325,  # how broken the neurites are
    },
)
#: The longest links in the fit (finest voxels); beyond this the model extrapolates.
NEAR = 40.0

#: A longer link (finest voxels) needs at least this mean probability (0..1) along it, or this share
#: of places around it that are dimmer. Two tips of pieces that are at least this long and that face
#: each other (bend) need no evidence.
_LONGEST_BLIND, _LEAST_EVIDENCE, _STANDS_OUT = 10.0, 0.2, 0.8
#: A link of more than this length (finest voxels) and mean probability runs through a third piece,
#: which is then joined at both of its ends.
_LONGEST_BRIGHT, _MOST_EVIDENCE = 20.0, 0.5
_FACING_LENGTH, _FACING_BEND = 30.0, 0.1
#: Least length (finest voxels) of a piece that counts in `log_pieces_per_length`.
_PIECE = 8.0
#: Lengths and radius differences beyond these make no further difference.
_LONGEST_SHORTER, _MOST_UNLIKE = 200.0, 1.5
#: Directions to the surroundings of a link: to the faces, edges and corners of a cube.
DIRECTIONS = np.array([step for step in np.ndindex(3, 3, 3) if step != (1, 1, 1)]) - 1.0
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Possible joins.

    Attributes:
        tip: (L,) int64, the point at which a link starts, a tip.
        point: (L,) int64, the point of another piece at which it ends.
        shorter: (L,) float64, length of the shorter piece, at most 200 (finest voxels).
        bend: (L,) float64, the sharper of the turns at both ends, 1 - cosine.
        blind: (L,) bool, the link is long, and it runs through a third piece, or the volume shows
            no neurite along it and its ends do not face each other.
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


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What the pieces of a part need to know of the volume around it.

    Attributes:
        length: (T,) float64, the whole length of each piece of the part (finest voxels).
        probability: the median probability 0..1 on the lines of the volume.
        n_pieces: the number of pieces of the volume that are long enough to count as breaks.
        total: the length of all its pieces (finest voxels).
    """

    length: Floats
    probability: float
    n_pieces: int
    total: float


def counts_as_piece(length: Floats) -> NDArray[np.bool_]:
    """(T,) bool, the pieces that are long enough to show how broken the neurites are."""
    return np.asarray(length >= _PIECE)


def candidate_links(
    skeleton: Skeleton,
    probability: NDArray[np.uint8],
    gap: float,
    scale: VoxelScale,
    around: Surroundings | None = None,
) -> Links:
    """For each tip and each other piece within the gap the link with the lowest price.

    Args:
        skeleton: the pieces.
        probability: (Z, Y, X) uint8, the volume that the links run through.
        gap: greatest distance of the ends (finest voxels).
        scale: the voxel's edges.
        around: the volume that this one is a part of; None if it is whole.
    """
    pieces = Pieces.of(skeleton, scale)
    if around is None:
        around = Surroundings(
            pieces.length, _stack_probability(skeleton, probability),
            int(counts_as_piece(pieces.length).sum()), float(pieces.length.sum()),
        )  # fmt: skip
    pieces = replace(pieces, length=around.length)
    tip, point = pieces.cheapest_links(probability, gap)
    return _measure(pieces, probability, tip, point, around)


def _measure(
    pieces: Pieces,
    probability: NDArray[np.uint8],
    tip: Indices,
    point: Indices,
    around: Surroundings,
) -> Links:
    """The links from tips to points (L,) with their features."""
    skeleton, ends = pieces.skeleton, pieces.skeleton.points.astype(np.float64)
    distance, turn, facing = pieces.geometry(tip, point)
    number, length = pieces.ends.number, pieces.length.copy()
    length[number[skeleton.soma]] = np.inf  # a soma is no speck, even with short neurites
    lengths = length[number[np.stack([tip, point])]]
    shorter = np.clip(lengths.min(axis=0), 1, _LONGEST_SHORTER)
    radius = np.maximum(skeleton.radii, 0.5)
    evidence, stands_out = line_evidence(
        probability,
        ends[tip],
        ends[point],
        radius[tip],
        pieces.scale.zyx,
        DIRECTIONS,
    )
    bend = 1 - np.minimum(turn, facing)
    face_each_other = pieces.is_tip()[point] & (bend <= _FACING_BEND) & (shorter >= _FACING_LENGTH)
    shows_nothing = (evidence < _LEAST_EVIDENCE) & (stands_out < _STANDS_OUT)
    blind = (distance > _LONGEST_BLIND) & shows_nothing & ~face_each_other
    blind |= (distance > _LONGEST_BRIGHT) & (evidence > _MOST_EVIDENCE)
    unlike = np.where(skeleton.soma[point], 0, np.abs(np.log(radius[tip] / radius[point])))
    features = JOIN_MODEL.table(
        {
            "log_distance": np.log(distance),
            "turn": bend,
            "ends_at_side": ~pieces.is_tip()[point],
            "stands_out": np.square(np.maximum(2 * stands_out - 1, 0)),
            "log_shorter_piece": np.log(shorter),
            "radius_difference": np.minimum(unlike, _MOST_UNLIKE),
            "stack_probability": around.probability,
            "log_pieces_per_length": _log_pieces_per_length(around),
        }
    )
    return Links(tip, point, shorter, bend, blind, features)


def _stack_probability(skeleton: Skeleton, probability: NDArray[np.uint8]) -> float:
    """The median probability 0..1 on the lines."""
    voxels = tuple(np.rint(skeleton.points).astype(np.int64).T)
    return float(np.median(probability[voxels])) / 255


def _log_pieces_per_length(around: Surroundings) -> float:
    """The logarithm of the number of breaks in a hundred finest voxels of neurite."""
    breaks = max(around.n_pieces - 1, 0.5)
    return float(np.log(breaks / max(around.total / 100, 0.01)))
