"""Joins over gaps in a volume of blocks: candidates block by block, then one choice for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.files import atomic_output
from dineuro_bridge.scale import VoxelScale
from dineuro_tracing.gaps import RULES, Ends, Forest
from dineuro_tracing.large.assembly import Assembly
from dineuro_tracing.large.faces import Links
from dineuro_tracing.links import NEAR, Surroundings, candidate_links
from dineuro_tracing.skeleton import Skeleton
from dineuro_tracing.soma import Body

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]
#: Somata of one brain are alike: a smaller share of the upper quartile of their radii is a bump.
_ALIKE = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Possible joins, (L,) each.

    Attributes:
        block_a, point_a, piece_a: the tip.
        block_b, point_b, piece_b: the point of another piece.
        probability, bend, blind: see `gaps.Ends`.
        place_a, place_b: (L, 3) int64, z, y, x of both ends.
        across: width of the gap in finest voxels.
        near: whether it is no wider than `links.NEAR`, and the best of these.
    """

    block_a: Indices
    point_a: Indices
    piece_a: Indices
    block_b: Indices
    point_b: Indices
    piece_b: Indices
    probability: Floats
    bend: Floats
    blind: NDArray[np.bool_]
    place_a: Indices
    place_b: Indices
    across: Floats
    near: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.near)

    @classmethod
    def concatenate(cls, parts: Sequence[Candidates]) -> Self:
        """All candidates in their order."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def chosen(self, which: NDArray[np.bool_] | Indices) -> Self:
        """Some of the candidates, by a mask or by their numbers."""
        return type(self)(*(getattr(self, part.name)[which] for part in fields(self)))

    def ends(self) -> Ends:
        """What the rules of joins ask for."""
        return Ends(self.piece_a, self.piece_b, self.probability, self.bend, self.blind)

    def links(self) -> Links:
        """The candidates as links over gaps."""
        over_gap = np.ones(len(self), dtype=np.bool_)
        return Links(self.block_a, self.point_a, self.block_b, self.point_b, over_gap)

    def save(self, path: Path) -> None:
        """Write them, whole or not at all."""
        with atomic_output(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **{part.name: getattr(self, part.name) for part in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """The candidates of a file."""
        with np.load(path) as file:
            return cls(*(file[part.name] for part in fields(cls)))


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """The lines of a block and of the blocks around it.

    Attributes:
        assembly: the lines.
        piece: (N,) the piece of each of its points among all blocks.
        block: the block in the middle.
        probability: (Z, Y, X) uint8, a window that holds the lines.
        start: z, y, x of its first voxel.
        around: what the pieces need to know of the volume; its lengths are those of all pieces.
    """

    assembly: Assembly
    piece: Indices
    block: int
    probability: NDArray[np.uint8]
    start: tuple[int, int, int]
    around: Surroundings


def likely_somata(bodies: Sequence[Body], scale: VoxelScale) -> list[Body]:
    """The somata among those that blocks found, each once.

    A block without a soma takes a bump for one. Bumps are smaller than somata.
    """
    if not bodies:
        return []
    radii = np.array([body.radius for body in bodies])
    least = _ALIKE * np.quantile(radii, 0.75, method="higher")
    kept: list[Body] = []
    for body in sorted(bodies, key=lambda b: (-b.radius, b.centre)):
        centre = np.array([body.centre])
        if body.radius >= least and all(other.radii_away(centre, scale)[0] > 1 for other in kept):
            kept.append(body)
    return kept


def with_somata(
    skeleton: Skeleton, somata: Sequence[Body], scale: VoxelScale
) -> tuple[Skeleton, list[int]]:
    """The skeleton with each soma at the point next to its centre.

    Also the point of each soma; -1 where no line runs through it.
    """
    points = []
    for body in somata:
        away = skeleton.distances(np.array(body.centre), scale)
        nearest = int(away.argmin()) if len(away) else -1
        if nearest >= 0 and away[nearest] < body.radius and not skeleton.soma[nearest]:
            skeleton = skeleton.with_soma(nearest, body.radius)
            points.append(nearest)
        else:
            points.append(-1)
    return skeleton, points


def find_candidates(
    near: Neighbourhood, somata: Sequence[Body], gap: float, scale: VoxelScale
) -> tuple[Candidates, list[tuple[int, int, int]]]:
    """The possible joins of the tips of a block; and block, point and piece of each soma.

    A soma without a line has the piece -1.

    Args:
        near: the block and its surroundings.
        somata: in the window.
        gap: widest gap (finest voxels).
        scale: the voxel's edges, as blur along z makes them.
    """
    of = near.assembly
    local = replace(of.skeleton, points=(of.voxels - np.array(near.start)).astype(np.float64))
    moved = [
        replace(body, centre=tuple(np.subtract(body.centre, near.start).tolist()))
        for body in somata
    ]
    local, points = with_somata(local, moved, scale)
    number = local.tree_numbers()
    around = replace(
        near.around, length=near.around.length[near.piece[np.unique(number, return_index=True)[1]]]
    )
    parts = []
    for reach, is_near in ((min(gap, NEAR), True), (gap, False)):
        links = candidate_links(local, near.probability, reach, scale, around)
        own = of.block[links.tip] == near.block
        tip, point = links.tip[own], links.point[own]
        steps = scale.finest_zyx(of.voxels[tip] - of.voxels[point])
        parts.append(
            Candidates(
                of.block[tip], of.point[tip], near.piece[tip],
                of.block[point], of.point[point], near.piece[point],
                links.probability()[own], links.bend[own], links.blind[own],
                of.voxels[tip], of.voxels[point], np.linalg.norm(steps, axis=1),
                np.full(len(tip), is_near),
            )
        )  # fmt: skip
    found = Candidates.concatenate(parts if gap > NEAR else parts[:1])
    places = [
        (int(of.block[at]), int(of.point[at]), int(near.piece[at])) if at >= 0 else (-1, -1, -1)
        for at in points
    ]
    return found.chosen(found.piece_a != found.piece_b), places


def choose_joins(candidates: Candidates, forest: Forest) -> tuple[Candidates, Candidates]:
    """The joins that are made, and the likely ones that stay open; the forest gets the first."""
    made = []
    for rule in RULES:
        if rule.wide and not forest.has_several_large(rule.share):
            continue
        some = candidates.chosen(candidates.near != rule.wide)
        made.append(some.chosen(np.array(forest.join(some.ends(), rule), dtype=np.int64)))
    near = candidates.chosen(candidates.near)
    return Candidates.concatenate(made), near.chosen(forest.is_open(near.ends()))
