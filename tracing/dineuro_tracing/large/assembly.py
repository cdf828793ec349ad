"""Skeletons that are put together from the lines of several blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from dineuro_tracing.large.blocks import BlockLines
from dineuro_tracing.large.faces import Links
from dineuro_tracing.skeleton import Skeleton

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Assembly:
    """Lines of several blocks as one skeleton; the root of each tree is its first point.

    Attributes:
        skeleton: z, y, x in voxels of the whole volume; no somata are marked.
        block: (N,) the block of each point.
        point: (N,) its number in the block.
        voxels: (N, 3) int64, the voxel of each point.
        lateral: (N,) the radius across the optical axis, in finest voxels.
        number: by block, the number of each of its points here, -1 for one that was not taken.
    """

    skeleton: Skeleton
    block: Indices
    point: Indices
    voxels: Indices
    lateral: NDArray[np.float64]
    number: Mapping[int, Indices]

    def __len__(self) -> int:
        return len(self.block)

    def numbers(self, blocks: Indices, points: Indices) -> Indices:
        """(L,) the numbers of points of blocks; -1 for those that it lacks."""
        return _numbers(self.number, blocks, points)


def assemble(
    lines: Mapping[int, BlockLines],
    links: Links,
    kept: Mapping[int, NDArray[np.bool_]] | None = None,
) -> Assembly:
    """Put the lines of blocks together.

    Args:
        lines: by block.
        links: between points of these blocks; those to points that are not kept are left out.
        kept: by block (N,), the points to take; None takes all.
    """
    number, blocks, points = dict[int, Indices](), [], []
    count = 0
    for block in sorted(lines):
        mask = np.ones(len(lines[block]), np.bool_) if kept is None else kept[block]
        new = np.full(len(mask), -1, dtype=np.int64)
        new[mask] = np.arange(count, count + int(mask.sum()))
        number[block] = new
        points.append(np.flatnonzero(mask))
        blocks.append(np.full(len(points[-1]), block))
        count += len(points[-1])
    block_of, point_of = np.concatenate(blocks), np.concatenate(points)
    child, parent, joined = list[Indices](), list[Indices](), list[NDArray[np.bool_]]()
    for block in sorted(lines):
        of = lines[block]
        linked = np.flatnonzero((of.parents >= 0) & (number[block] >= 0))
        child.append(number[block][linked])
        parent.append(number[block][of.parents[linked]])
        joined.append(of.joined[linked])
    for ends, into in (((links.block_a, links.point_a), child),
                       ((links.block_b, links.point_b), parent)):  # fmt: skip
        into.append(_numbers(number, *ends))
    joined.append(links.joined)
    start, end, over_gap = np.concatenate(child), np.concatenate(parent), np.concatenate(joined)
    known = (start >= 0) & (end >= 0)
    parents, is_joined = _forest(count, start[known], end[known], over_gap[known])

    def column(name: str, block: int) -> NDArray[np.float64]:
        return np.asarray(getattr(lines[block], name), dtype=np.float64)[number[block] >= 0]

    def gathered(name: str) -> NDArray[np.float64]:
        return np.concatenate([column(name, block) for block in sorted(lines)])

    skeleton = Skeleton(
        gathered("points"), parents, gathered("radii"), is_joined, np.zeros(count, np.bool_)
    )
    voxels = gathered("voxels").astype(np.int64)
    return Assembly(skeleton, block_of, point_of, voxels, gathered("lateral"), number)


def _numbers(number: Mapping[int, Indices], blocks: Indices, points: Indices) -> Indices:
    """(L,) the numbers of points of blocks in an assembly; -1 for those that it lacks."""
    found = np.full(len(blocks), -1, dtype=np.int64)
    for block in np.unique(blocks).tolist():
        if block in number:
            of_block = blocks == block
            found[of_block] = number[block][points[of_block]]
    return found


def _forest(
    count: int, start: Indices, end: Indices, joined: NDArray[np.bool_]
) -> tuple[Indices, NDArray[np.bool_]]:
    """Parents (N,) and joined links to them (N,), from links without a loop."""
    _, tree = connected_components(
        coo_array((np.ones(len(start)), (start, end)), shape=(count, count)), directed=False
    )
    # One more node leads to the first point of each tree, so that one search visits all.
    roots = np.unique(tree, return_index=True)[1]
    tail = np.concatenate([start, end, np.full(len(roots), count)])
    head = np.concatenate([end, start, roots])
    # 1 is a link, 2 a link over a gap: a stored 0 would be no link.
    kind = np.where(joined, 2, 1)
    weights = np.concatenate([kind, kind, np.ones(len(roots), dtype=np.int64)])
    graph = coo_array((weights, (tail, head)), shape=(count + 1, count + 1)).tocsr()
    _, before = breadth_first_order(graph, count, directed=True)
    parents = np.where(before[:count] == count, -1, before[:count]).astype(np.int64)
    is_joined = np.zeros(count, dtype=np.bool_)
    linked = np.flatnonzero(parents >= 0)
    if len(linked):
        is_joined[linked] = np.asarray(graph[linked, parents[linked]]).ravel() == 2
    return parents, is_joined
