"""Lines across the faces of blocks: which points of two blocks are linked.

Overlapping windows usually find the same voxels, so most links that a face cuts are the same on
both sides. Where they differ, a port is linked to the nearest point of the block that it leads to.
A link that would close a loop is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dineuro_bridge.scale import VoxelScale
from dineuro_tracing.gaps import Forest
from dineuro_tracing.large.blocks import BlockLines

#: A port is linked to a point within this distance (finest voxels) of the voxel that it leads to.
_REACH = 4.0

Indices = NDArray[np.int64]
Load = Callable[[int], BlockLines]


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Links between points of blocks, (L,) each.

    Attributes:
        block_a, point_a, block_b, point_b: the ends.
        joined: whether the link crosses weak voxels or a gap.
    """

    block_a: Indices
    point_a: Indices
    block_b: Indices
    point_b: Indices
    joined: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.joined)

    @classmethod
    def of(cls, rows: list[tuple[int, int, int, int, bool]]) -> Self:
        """The links of rows in the order of the attributes."""
        table = np.array(rows, dtype=np.int64).reshape(-1, 5)
        block_a, point_a, block_b, point_b, joined = table.T
        return cls(block_a, point_a, block_b, point_b, joined.astype(np.bool_))

    def chosen(self, mask: NDArray[np.bool_]) -> Self:
        """The links of a mask (L,)."""
        return type(self)(*(getattr(self, part.name)[mask] for part in fields(self)))

    def touching(self, blocks: set[int]) -> Self:
        """The links with both ends in blocks of a set."""
        known = np.array(sorted(blocks))
        return self.chosen(np.isin(self.block_a, known) & np.isin(self.block_b, known))

    def renumbered(self, blocks: Indices) -> Self:
        """The links with other numbers for the blocks 0, 1, … (B,)."""
        return type(self)(
            blocks[self.block_a], self.point_a, blocks[self.block_b], self.point_b, self.joined
        )

    @classmethod
    def concatenate(cls, *parts: Links) -> Self:
        """All links in their order."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


@dataclass(frozen=True, slots=True, eq=False)
class PieceTable:
    """The pieces of all blocks; it holds no points.

    Attributes:
        first: (B + 1,) the number of the first piece of each block.
        length: (T,) float64, of each piece in finest voxels.
    """

    first: Indices
    length: NDArray[np.float64]

    def number(self, block: int, lines: BlockLines) -> Indices:
        """(N,) the piece of each point of a block."""
        if len(lines) == 0:
            return np.zeros(0, dtype=np.int64)
        return lines.skeleton().tree_numbers() + int(self.first[block])


@dataclass(frozen=True, slots=True, eq=False)
class _Port:
    """A link that a face cuts, seen from one side."""

    block: int
    point: int
    piece: int
    beyond: tuple[int, int, int]
    joined: bool


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """What the faces between all blocks say.

    Attributes:
        pieces: of all blocks.
        links: across faces.
        forest: the pieces with these links.
        open_ports: the number of ports that lead to no line.
        loops: the number of links that were left out because they would close a loop.
    """

    pieces: PieceTable
    links: Links
    forest: Forest
    open_ports: int
    loops: int


def link_faces(
    n_blocks: int, load: Load, block_of: Callable[[tuple[int, int, int]], int | None],
    scale: VoxelScale,
) -> Faces:  # fmt: skip
    """Link the lines of all blocks across their faces.

    Args:
        n_blocks: the number of blocks.
        load: returns the lines of a block; one block is in memory at a time.
        block_of: the block of a voxel z, y, x; None where there is none.
        scale: the voxel's edges.
    """
    lengths, first, ports = [], [0], dict[tuple[int, ...], _Port]()
    for block in range(n_blocks):
        lines = load(block)
        if len(lines) == 0:
            first.append(first[-1])
            continue
        skeleton = lines.skeleton()
        number, length = skeleton.tree_numbers(), skeleton.tree_lengths(scale)
        for at in range(len(lines.port)):
            point = int(lines.port[at])
            inner, beyond = lines.voxels[point].tolist(), tuple(lines.beyond[at].tolist())
            piece = first[-1] + int(number[point])
            ports[(*inner, *beyond)] = _Port(
                block, point, piece, beyond, bool(lines.port_joined[at])
            )
        lengths.append(length)
        first.append(first[-1] + len(length))
    pieces = PieceTable(
        np.array(first), np.concatenate(lengths) if lengths else np.zeros(0, dtype=np.float64)
    )
    forest = Forest(pieces.length)
    rows, rest, loops = _same_links(ports, forest)
    more, n_open, more_loops = _near_links(rest, load, block_of, pieces, forest, scale)
    return Faces(pieces, Links.of(rows + more), forest, n_open, loops + more_loops)


def _same_links(
    ports: dict[tuple[int, ...], _Port], forest: Forest
) -> tuple[list[tuple[int, int, int, int, bool]], list[_Port], int]:
    """The links that both sides have, the ports without such a link, and the loops left out."""
    rows, rest, loops = [], [], 0
    for key, port in ports.items():
        other = ports.get(key[3:] + key[:3])
        if other is None:
            rest.append(port)
        elif port.block < other.block:
            if forest.unite(port.piece, other.piece):
                rows.append((port.block, port.point, other.block, other.point, port.joined))
            else:
                loops += 1
    return rows, rest, loops


def _near_links(
    ports: list[_Port],
    load: Load,
    block_of: Callable[[tuple[int, int, int]], int | None],
    pieces: PieceTable,
    forest: Forest,
    scale: VoxelScale,
) -> tuple[list[tuple[int, int, int, int, bool]], int, int]:
    """Links from ports to the nearest points of the blocks that they lead to, the nearest first.

    Also the number of ports that lead to no line, and that of loops left out.
    """
    by_block: dict[int, list[_Port]] = {}
    for port in ports:
        block = block_of(port.beyond)
        if block is not None:
            by_block.setdefault(block, []).append(port)
    found = []
    for block, some in sorted(by_block.items()):
        lines = load(block)
        if len(lines) == 0:
            continue
        number = pieces.number(block, lines)
        places = np.array([port.beyond for port in some])
        away, at = KDTree(scale.finest_zyx(lines.voxels)).query(scale.finest_zyx(places))
        found += [
            (float(distance), port, block, int(point), int(number[point]))
            for distance, port, point in zip(away, some, at, strict=True)
            if distance <= _REACH
        ]
    found.sort(key=lambda row: (row[0], row[1].block, row[1].point, row[3]))
    rows, loops = [], 0
    for _, port, block, point, piece in found:
        if forest.unite(port.piece, piece):
            rows.append((port.block, port.point, block, point, port.joined))
        else:
            loops += 1
    return rows, len(ports) - len(found), loops
