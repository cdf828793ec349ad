"""Synthetic neurons: random trees that fit a volume.

Stems leave a soma. Each stem is a random walk whose direction changes at every voxel and turns away
from the walls. It forks at random, and every fork makes it thinner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.trees.tree import Tree

_SOMA, _DENDRITE = 1, 3
#: Distance in voxels from the walls at which growth ends.
_MARGIN = 4.0


@dataclass(frozen=True, slots=True)
class GrowthSettings:
    """Parameters of growth; all lengths are in voxels.

    Attributes:
        stems: number of branches that leave the soma.
        stem_length: approximate length of a stem with all its branches, if no wall stops it.
        fork_every: mean distance between forks along a branch.
        wander: approximate change of direction in each voxel, in radians.
        soma_radius, stem_radius, tip_radius: radius of the soma, of a stem at its start, and of
            tips.

    Raises:
        BadParameter: a parameter is out of range.
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
    """A growth cone, the growing end of a branch.

    Attributes:
        node: the node behind the cone.
        position: (3,) x, y, z.
        direction: (3,) unit vector.
        radius: of the branch at the cone.
        budget: length that may still grow from the cone.
    """

    node: int
    position: NDArray[np.float64]
    direction: NDArray[np.float64]
    radius: float
    budget: float


def grow_tree(
    shape: tuple[int, int, int],
    rng: np.random.Generator,
    settings: GrowthSettings | None = None,
) -> Tree:
    """Grow a neuron in a volume.

    Args:
        shape: (Z, Y, X) of the volume.
        rng: the only source of randomness.
        settings: parameters of growth; None takes the defaults.

    Returns:
        A tree in voxels of the volume; its root is the soma.

    Raises:
        BadParameter: the volume is too small for the soma and the margins at the walls.
    """
    how = settings or GrowthSettings()
    size = np.array(shape[::-1], dtype=np.float64)
    room = how.soma_radius + _MARGIN
    if (size <= 2 * room).any():
        raise BadParameter(f"a volume of {shape} holds no neuron with a soma of {how.soma_radius}")
    low, high = np.maximum(0.3 * size, room), np.minimum(0.7 * size, size - room)
    soma = rng.uniform(np.minimum(low, size / 2), np.maximum(high, size / 2))
    points, radii, parents = [soma], [how.soma_radius], [-1]
    cones = []
    for direction in _spread_directions(how.stems, rng):
        length = how.stem_length * rng.uniform(0.7, 1.3)
        start = soma + how.soma_radius * direction
        cones.append(_Cone(0, start, direction, how.stem_radius * rng.uniform(0.7, 1.2), length))
    while cones:
        cone = cones.pop()
        if not ((cone.position > _MARGIN) & (cone.position < size - 1 - _MARGIN)).all():
            continue
        points.append(cone.position)
        radii.append(cone.radius)
        parents.append(cone.node)
        cones += _advance(cone, len(points) - 1, size, how, rng)
    types = np.full(len(points), _DENDRITE)
    types[0] = _SOMA
    return Tree.from_links(np.array(points), np.array(radii), np.array(parents), types)


def _advance(
    cone: _Cone,
    node: int,
    size: NDArray[np.float64],
    how: GrowthSettings,
    rng: np.random.Generator,
) -> list[_Cone]:
    """The cones that continue a cone after one voxel: none, one, or two after a fork.

    Args:
        cone: the cone.
        node: the node at the cone.
        size: (3,) x, y, z of the volume.
        how: parameters of growth.
        rng: the source of randomness.
    """
    if cone.budget <= 0:
        return []
    direction = cone.direction + rng.normal(0, how.wander, 3)
    # A wall repels the branch within ten voxels, more strongly the closer it is.
    direction += 0.2 * np.clip(1 - (cone.position - _MARGIN) / 10, 0, 1)
    direction -= 0.2 * np.clip(1 - (size - 1 - _MARGIN - cone.position) / 10, 0, 1)
    taper = (cone.radius - how.tip_radius) / max(cone.budget, 1.0) * 0.7
    radius = max(cone.radius - taper, how.tip_radius)
    budget = cone.budget - 1
    if rng.random() >= 1 / how.fork_every or budget < how.fork_every / 4:
        unit = direction / np.linalg.norm(direction)
        return [_Cone(node, cone.position + unit, unit, radius, budget)]
    across = np.cross(direction, rng.normal(size=3))
    across /= np.linalg.norm(across)
    ends = []
    # The two branches share the budget, so that forks do not make the tree longer.
    first = rng.uniform(0.3, 0.7)
    for side, share in ((1.0, first), (-1.0, 1 - first)):
        unit = direction / np.linalg.norm(direction) + side * rng.uniform(0.35, 0.8) * across
        unit /= np.linalg.norm(unit)
        thinner = max(radius * rng.uniform(0.75, 0.95), how.tip_radius)
        ends.append(_Cone(node, cone.position + unit, unit, thinner, budget * share))
    return ends


def _spread_directions(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(count, 3) unit vectors, spread evenly (a Fibonacci sphere) and rotated at random."""
    step = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - 2 * step / count), np.pi * (1 + 5**0.5) * step
    vectors = np.column_stack(
        [np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)]
    )
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return np.asarray(vectors @ rotation)
