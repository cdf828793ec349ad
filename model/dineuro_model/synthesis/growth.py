"""Grown trees: neurons that no one traced, with every node known.

A soma sends out stems; each stem is a walk whose direction wanders at every voxel and turns
back from the walls; it forks now and then, and thins with every fork.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.trees.tree import Tree

_SOMA, _DENDRITE = 1, 3
#: Nothing grows closer to the walls than this (voxels).
_MARGIN = 4.0


@dataclass(frozen=True, slots=True)
class GrowthSettings:
    """How a neuron grows; lengths in voxels.

    Attributes:
        stems: branches that leave the soma.
        stem_length: of a stem with all its branches, about, if no wall stops it.
        fork_every: mean distance of forks along a branch.
        wander: how much the direction changes a voxel (radians, about).
        soma_radius, stem_radius, tip_radius: of soma, stems at their start, and tips.
    """

    stems: int = 5
    stem_length: float = 300.0
    fork_every: float = 35.0
    wander: float = 0.12
    soma_radius: float = 6.0
    stem_radius: float = 2.2
    tip_radius: float = 0.8

    def __post_init__(self) -> None:
        lengths = (self.stem_length, self.soma_radius, self.stem_radius, self.tip_radius)
        if not (1 <= self.stems <= 100 and 0 <= self.wander <= 10):
            raise BadParameter(f"growth {self}: stems must be in 1 … 100, wander in 0 … 10")
        if not all(0 < length < 1e4 for length in lengths):
            raise BadParameter(f"growth {self}: lengths must be in 0 … 10^4")
        if not self.fork_every > 1:
            raise BadParameter(f"growth {self}: fork_every must be above 1")


@dataclass(frozen=True, slots=True)
class _Cone:
    """A growing end: where it is, which way it goes, how much may still grow from it."""

    node: int
    place: NDArray[np.float64]
    direction: NDArray[np.float64]
    radius: float
    left: float


def grow_tree(
    shape: tuple[int, int, int],
    rng: np.random.Generator,
    settings: GrowthSettings | None = None,
) -> Tree:
    """A neuron that fits a volume (Z, Y, X); the root is its soma. The generator decides all.

    Raises:
        BadParameter: the volume is too small for soma and walls.
    """
    how = settings or GrowthSettings()
    size = np.array(shape[::-1], dtype=np.float64)
    room = how.soma_radius + _MARGIN
    if (size <= 2 * room).any():
        raise BadParameter(f"a volume of {shape} holds no neuron with a soma of {how.soma_radius}")
    low, high = np.maximum(0.3 * size, room), np.minimum(0.7 * size, size - room)
    soma = rng.uniform(np.minimum(low, size / 2), np.maximum(high, size / 2))
    places, radii, parents = [soma], [how.soma_radius], [-1]
    cones = []
    for direction in _spread_directions(how.stems, rng):
        length = how.stem_length * rng.uniform(0.7, 1.3)
        start = soma + how.soma_radius * direction
        cones.append(_Cone(0, start, direction, how.stem_radius * rng.uniform(0.7, 1.2), length))
    while cones:
        cone = cones.pop()
        if not ((cone.place > _MARGIN) & (cone.place < size - 1 - _MARGIN)).all():
            continue
        places.append(cone.place)
        radii.append(cone.radius)
        parents.append(cone.node)
        cones += _grown(cone, len(places) - 1, size, how, rng)
    types = np.full(len(places), _DENDRITE)
    types[0] = _SOMA
    return Tree.from_links(np.array(places), np.array(radii), np.array(parents), types)


def _grown(
    cone: _Cone,
    node: int,
    size: NDArray[np.float64],
    how: GrowthSettings,
    rng: np.random.Generator,
) -> list[_Cone]:
    """What becomes of an end after one voxel: nothing, one end, or two."""
    if cone.left <= 0:
        return []
    direction = cone.direction + rng.normal(0, how.wander, 3)
    # A wall pushes back within ten voxels, the harder the nearer.
    direction += 0.2 * np.clip(1 - (cone.place - _MARGIN) / 10, 0, 1)
    direction -= 0.2 * np.clip(1 - (size - 1 - _MARGIN - cone.place) / 10, 0, 1)
    taper = (cone.radius - how.tip_radius) / max(cone.left, 1.0) * 0.7
    radius = max(cone.radius - taper, how.tip_radius)
    left = cone.left - 1
    if rng.random() >= 1 / how.fork_every or left < how.fork_every / 4:
        unit = direction / np.linalg.norm(direction)
        return [_Cone(node, cone.place + unit, unit, radius, left)]
    across = np.cross(direction, rng.normal(size=3))
    across /= np.linalg.norm(across)
    ends = []
    # What is left is shared out, so that a tree is no longer than it was meant to be.
    first = rng.uniform(0.3, 0.7)
    for side, share in ((1.0, first), (-1.0, 1 - first)):
        unit = direction / np.linalg.norm(direction) + side * rng.uniform(0.35, 0.8) * across
        unit /= np.linalg.norm(unit)
        thinner = max(radius * rng.uniform(0.75, 0.95), how.tip_radius)
        ends.append(_Cone(node, cone.place + unit, unit, thinner, left * share))
    return ends


def _spread_directions(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Unit vectors in all directions (a Fibonacci sphere), turned at random."""
    step = np.arange(count) + 0.5
    polar, around = np.arccos(1 - 2 * step / count), np.pi * (1 + 5**0.5) * step
    vectors = np.column_stack(
        [np.cos(around) * np.sin(polar), np.sin(around) * np.sin(polar), np.cos(polar)]
    )
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return np.asarray(vectors @ turn)
