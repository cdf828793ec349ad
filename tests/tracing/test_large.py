"""Lines across the faces of blocks: no break, no double line, wherever the faces lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from dineuro_bridge.options import TraceOptions
from dineuro_bridge.scale import CUBES
from dineuro_tracing.large.assembly import Assembly, assemble
from dineuro_tracing.large.blocks import BlockLines, trace_block
from dineuro_tracing.large.faces import Faces, Links, link_faces
from dineuro_tracing.large.joins import Neighbourhood, choose_joins, find_candidates, likely_somata
from dineuro_tracing.links import Surroundings
from dineuro_tracing.soma import Body
from dineuro_tracing.trace import trace
from tests.support.shapes import line, paint

HALO = 24
OPTIONS = TraceOptions()


@dataclass(frozen=True)
class Traced:
    blocks: dict[int, BlockLines]
    faces: Faces
    whole: Assembly


def traced(volume: NDArray[np.uint8], edge: int) -> Traced:
    """The lines of a volume in blocks, put together."""
    size = volume.shape
    counts = [-(-n // edge) for n in size]
    blocks = dict[int, BlockLines]()
    for corner in np.ndindex(*counts):
        low = np.array(corner) * edge
        high = np.minimum(low + edge, size)
        start, stop = np.maximum(low - HALO, 0), np.minimum(high + HALO, size)
        box = tuple(slice(a, b) for a, b in zip(start.tolist(), stop.tolist(), strict=True))
        z, y, x = (slice(int(a), int(b)) for a, b in zip(low - start, high - start, strict=True))
        first = (int(start[0]), int(start[1]), int(start[2]))
        blocks[len(blocks)] = trace_block(
            volume[box], first, (z, y, x), (size[0], size[1], size[2]), OPTIONS, CUBES
        )

    def block_of(voxel: tuple[int, int, int]) -> int:
        return int(np.ravel_multi_index([a // edge for a in voxel], counts))

    faces = link_faces(len(blocks), blocks.__getitem__, block_of, CUBES)
    return Traced(blocks, faces, assemble(blocks, faces.links))


def lengths(volume: NDArray[np.uint8], edge: int) -> tuple[float, float, int]:
    """The length of all lines in blocks and in memory, and the number of trees in blocks."""
    here = traced(volume, edge).whole.skeleton
    there = trace(volume, OPTIONS).tree
    of_trees = here.tree_lengths(CUBES)
    return float(of_trees.sum()), there.length, len(of_trees)


@pytest.mark.parametrize("offset", [-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5])
def test_a_neurite_along_a_face_is_one_line(offset: float) -> None:
    volume = paint([line((8, 32 + offset, 32), (152, 32 + offset, 32))], (64, 64, 160), 2.5)
    blocks, memory, trees = lengths(volume, 32)
    assert trees == 1
    assert blocks == pytest.approx(144, abs=8)
    assert memory == pytest.approx(144, abs=8)


@pytest.mark.parametrize("slope", [1.0, 2.0, 5.0])
def test_a_neurite_that_crosses_a_face_slowly_is_one_line(slope: float) -> None:
    path = line((8, 32 - slope, 31 + slope), (152, 32 + slope, 31 - slope))
    blocks, memory, trees = lengths(paint([path], (64, 64, 160), 2.0), 32)
    assert trees == 1
    assert blocks == pytest.approx(memory, rel=0.05)


def test_a_neurite_through_twenty_blocks_is_one_line() -> None:
    volume = paint([line((5, 20, 12), (635, 40, 20))], (32, 64, 640), 2.0)
    blocks, memory, trees = lengths(volume, 32)
    assert trees == 1
    assert blocks == pytest.approx(memory, rel=0.03)


@pytest.mark.parametrize("at", [(32, 32, 32), (31, 32, 33), (33, 30, 32)])
def test_a_fork_at_the_corner_of_eight_blocks(at: tuple[int, int, int]) -> None:
    ends = [(4, 32, 32), (58, 50, 32), (50, 6, 40), (36, 34, 4)]
    volume = paint([line(at, end) for end in ends], (64, 64, 64), 2.0)
    blocks, memory, trees = lengths(volume, 32)
    assert trees == 1
    assert blocks == pytest.approx(memory, rel=0.06)


@pytest.mark.parametrize("at", [(48, 48, 48), (47, 49, 48), (44, 48, 52)])
def test_a_soma_at_the_corner_of_eight_blocks_is_one(at: tuple[int, int, int]) -> None:
    ends = [(6, 48, 48), (90, 60, 40), (52, 6, 60), (48, 50, 92)]
    volume = paint([line(at, end) for end in ends], (96, 96, 96), 1.5)
    volume |= paint([np.array([at], dtype=np.float64)], (96, 96, 96), 9.0)
    made = traced(volume, 48)
    bodies = [
        Body((z, y, x), radius, lateral, int(axis))
        for block in made.blocks.values()
        for (z, y, x), (radius, lateral, axis) in zip(
            block.soma_centre.tolist(), block.soma_size.tolist(), strict=True
        )
    ]
    (soma,) = likely_somata(bodies, CUBES)
    assert np.abs(np.array(soma.centre[::-1]) - at).max() <= 1
    assert soma.radius == pytest.approx(9, abs=1)
    skeleton = made.whole.skeleton
    assert len(skeleton.tree_lengths(CUBES)) == 1
    assert int(skeleton.ends().sum()) == 4


def test_a_gap_at_a_face_is_joined() -> None:
    paths = [line((4, 30, 16), (44, 31, 16)), line((53, 31, 16), (92, 32, 16))]
    volume = paint(paths, (32, 64, 96), 2.0)
    made = traced(volume, 48)
    forest, pieces = made.faces.forest, made.faces.pieces
    assert len(np.unique(forest.trees())) == 2
    number = np.concatenate([pieces.number(b, lines) for b, lines in made.blocks.items()])
    around = Surroundings(forest.lengths(), 1.0, 2, 79.0)
    found = [
        find_candidates(
            Neighbourhood(made.whole, number, block, volume, (0, 0, 0), around), [], 40.0, CUBES
        )[0]
        for block in made.blocks
    ]
    joins, still_open = choose_joins(type(found[0]).concatenate(found), forest)
    assert len(joins) == 1
    assert len(still_open) == 0
    assert len(np.unique(forest.trees())) == 1
    whole = assemble(made.blocks, Links.concatenate(made.faces.links, joins.links())).skeleton
    assert len(whole.tree_lengths(CUBES)) == 1
    assert int(whole.joined.sum()) == 1


def test_an_empty_block_and_a_file(tmp_path: object) -> None:
    empty = BlockLines.empty()
    assert len(empty) == 0
    made = traced(np.zeros((40, 40, 40), dtype=np.uint8), 32)
    assert len(made.whole) == 0
    assert len(made.faces.links) == 0


def test_lines_that_windows_see_differently_are_still_linked() -> None:
    """A port whose voxel the other block lacks goes to the nearest point there."""

    def lines(x: list[int], port: int, beyond: int, y: int) -> BlockLines:
        n = len(x)
        voxels = np.array([[5, y, at] for at in x], dtype=np.int32)
        ones = np.ones(n, dtype=np.float32)
        return BlockLines(
            voxels, voxels.astype(np.float32), np.arange(n) - 1, ones, ones,
            np.zeros(n, dtype=np.bool_), np.full(n, 255, dtype=np.uint8), np.array([port]),
            np.array([[5, y, beyond]], dtype=np.int32), np.zeros(1, dtype=np.bool_),
            np.zeros((0, 3), dtype=np.int32), np.zeros((0, 3)),
        )  # fmt: skip

    blocks = {0: lines([5, 6, 7, 8, 9], 4, 10, 5), 1: lines([10, 11, 12], 0, 9, 6)}
    faces = link_faces(2, blocks.__getitem__, lambda voxel: voxel[2] // 10, CUBES)
    assert len(faces.links) == 1
    assert faces.loops == 1  # both ports ask for the same link
    assert len(np.unique(faces.forest.trees())) == 1
