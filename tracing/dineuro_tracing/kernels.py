"""The compiled loops of the tracer: voxels of the foreground as a graph of 26 neighbours.

All arrays are indexed by a foreground voxel's number (see `foreground.Foreground`); `index` turns a
place in the bounding box into that number. Everything is float32 and int32, and nothing here knows
of files, parameters or Python objects. Compiled code is cached on disk, so that only the very first
run on a machine waits for the compiler.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_NO_VOXEL = -1
#: What is known of a voxel while paths are sought.
OPEN, EXPLAINED, REJECTED = 0, 1, 2
#: For a branch's least length a step counts as no more than a cube's diagonal: along a coarse
#: axis one or two steps may be blur alone.
_LONGEST_STEP = np.float32(3**0.5)


@njit(cache=True)
def _push(
    heap_key: NDArray[np.float32], heap_node: NDArray[np.int32], size: int, key: float, node: int
) -> int:
    """Sift a node up into a binary heap kept in two arrays; returns the new size."""
    i = size
    while i > 0:
        above = (i - 1) >> 1
        if heap_key[above] <= key:
            break
        heap_key[i] = heap_key[above]
        heap_node[i] = heap_node[above]
        i = above
    heap_key[i] = key
    heap_node[i] = node
    return size + 1


@njit(cache=True)
def _drop_top(heap_key: NDArray[np.float32], heap_node: NDArray[np.int32], size: int) -> int:
    """Remove the least key of the heap; returns the new size."""
    size -= 1
    key = heap_key[size]
    node = heap_node[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and heap_key[child + 1] < heap_key[child]:
            child += 1
        if heap_key[child] >= key:
            break
        heap_key[i] = heap_key[child]
        heap_node[i] = heap_node[child]
        i = child
    heap_key[i] = key
    heap_node[i] = node
    return size


@njit(cache=True)
def geodesic(
    index: NDArray[np.int32],
    coords: NDArray[np.int32],
    slowness: NDArray[np.float32],
    sources: NDArray[np.int32],
    scale: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Dijkstra's cheapest paths from all sources at once over the 26-neighbour graph.

    A step costs its length times the mean slowness of its two voxels. Returns each voxel's path
    LENGTH from its source in finest voxels (float32, -1 where none leads) and its predecessor
    (int32, -1 for sources and unreached voxels).
    """
    n = len(coords)
    cost = np.full(n, np.inf, dtype=np.float32)
    length = np.full(n, -1.0, dtype=np.float32)
    before = np.full(n, _NO_VOXEL, dtype=np.int32)
    done = np.zeros(n, dtype=np.bool_)
    capacity = max(64, 2 * n)
    heap_key = np.empty(capacity, dtype=np.float32)
    heap_node = np.empty(capacity, dtype=np.int32)
    size = 0
    for s in sources:
        cost[s] = 0.0
        length[s] = 0.0
        size = _push(heap_key, heap_node, size, np.float32(0.0), s)
    depth, height, width = index.shape
    while size > 0:
        u = heap_node[0]
        size = _drop_top(heap_key, heap_node, size)
        if done[u]:
            continue
        done[u] = True
        z, y, x = coords[u, 0], coords[u, 1], coords[u, 2]
        for dz in range(-1, 2):
            if not 0 <= z + dz < depth:
                continue
            for dy in range(-1, 2):
                if not 0 <= y + dy < height:
                    continue
                for dx in range(-1, 2):
                    if not 0 <= x + dx < width:
                        continue
                    v = index[z + dz, y + dy, x + dx]
                    if v < 0 or done[v]:
                        continue
                    step = np.float32(
                        np.sqrt((dz * scale[0]) ** 2 + (dy * scale[1]) ** 2 + (dx * scale[2]) ** 2)
                    )
                    new = cost[u] + step * np.float32(0.5) * (slowness[u] + slowness[v])
                    if new < cost[v]:
                        cost[v] = new
                        length[v] = length[u] + step
                        before[v] = u
                        if size == capacity:
                            capacity *= 2
                            grown_key = np.empty(capacity, dtype=np.float32)
                            grown_node = np.empty(capacity, dtype=np.int32)
                            grown_key[:size] = heap_key[:size]
                            grown_node[:size] = heap_node[:size]
                            heap_key, heap_node = grown_key, grown_node
                        size = _push(heap_key, heap_node, size, new, v)
    return length, before


@njit(cache=True)
def _cover(
    index: NDArray[np.int32],
    coords: NDArray[np.int32],
    covered: NDArray[np.uint8],
    voxel: int,
    radius: float,
    margin: float,
    scale: NDArray[np.float32],
) -> None:
    """Mark the foreground within `radius` (finest voxels) and `margin` voxels as explained.

    Along a coarse axis the margin is as many voxels as along a fine one: what blur spreads over.
    """
    depth, height, width = index.shape
    z, y, x = coords[voxel, 0], coords[voxel, 1], coords[voxel, 2]
    az, ay, ax = radius + margin * scale[0], radius + margin * scale[1], radius + margin * scale[2]
    rz, ry, rx = int(az / scale[0]), int(ay / scale[1]), int(ax / scale[2])
    for i in range(max(0, z - rz), min(depth, z + rz + 1)):
        for j in range(max(0, y - ry), min(height, y + ry + 1)):
            here = ((i - z) * scale[0] / az) ** 2 + ((j - y) * scale[1] / ay) ** 2
            if here > 1:
                continue
            for k in range(max(0, x - rx), min(width, x + rx + 1)):
                v = index[i, j, k]
                if v >= 0 and here + ((k - x) * scale[2] / ax) ** 2 <= 1:
                    covered[v] = EXPLAINED


@njit(cache=True)
def grow_paths(
    index: NDArray[np.int32],
    coords: NDArray[np.int32],
    depth: NDArray[np.float32],
    length: NDArray[np.float32],
    before: NDArray[np.int32],
    strong: NDArray[np.bool_],
    targets: NDArray[np.int32],
    first: int,
    n_paths: int,
    reach_share: float,
    reach: float,
    min_length: float,
    thickness_share: float,
    thin: float,
    faint_share: float,
    scale: NDArray[np.float32],
    covered: NDArray[np.uint8],
    in_tree: NDArray[np.bool_],
) -> int:
    """Walk from the furthest unexplained targets back to the tree, until `n_paths` are accepted.

    `targets` are voxels, furthest first; the walk starts at position `first` and the position to go
    on from is returned (len(targets) at the end). Of a path only the part counts that lies outside
    everything explained so far. It is accepted when its strong voxels are at least `min_length`
    long, and `thickness_share` times the depth beyond `thin` of the line that it leaves more, and
    its weak ones at most `faint_share` of that, so that no speck draws a path through the haze to
    itself. Then it joins the tree (`in_tree`) and explains all within `reach_share` depths and
    `reach` voxels of it (`covered`). The voxels of a path that is not accepted are no targets any
    more, but they explain nothing.
    """
    accepted = 0
    position = first
    while position < len(targets) and accepted < n_paths:
        target = targets[position]
        position += 1
        if covered[target] != OPEN or length[target] < 0:
            continue
        v = target
        firm, faint = np.float32(0.0), np.float32(0.0)
        while before[v] >= 0 and not in_tree[v] and covered[v] != EXPLAINED:
            step = min(length[v] - length[before[v]], _LONGEST_STEP)
            if strong[v]:
                firm += step
            else:
                faint += step
            v = before[v]
        branch = v
        while before[branch] >= 0 and not in_tree[branch]:
            branch = before[branch]
        least = min_length + thickness_share * max(depth[branch] - thin, 0.0)
        accept = firm >= least and faint <= faint_share * firm
        v = target
        while v >= 0 and not in_tree[v]:
            if accept:
                in_tree[v] = True
                _cover(index, coords, covered, v, reach_share * depth[v], reach, scale)
            elif covered[v] == OPEN:
                covered[v] = REJECTED
            else:
                break
            v = before[v]
        accepted += accept
    return position


@njit(cache=True)
def centroids(
    index: NDArray[np.int32],
    probability: NDArray[np.uint8],
    places: NDArray[np.float64],
    radii: NDArray[np.float64],
    scale: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(N, 3) from each place of the box to the centre of what lies within its radius.

    Radii (N,) are in finest voxels. Foreground voxels weigh with the square of their probability,
    all others nothing.
    """
    depth, height, width = index.shape
    moves = np.zeros((len(places), 3))
    for n in range(len(places)):
        z, y, x = places[n]
        rz, ry, rx = radii[n] / scale[0], radii[n] / scale[1], radii[n] / scale[2]
        total = 0.0
        for i in range(max(0, int(np.ceil(z - rz))), min(depth, int(z + rz) + 1)):
            for j in range(max(0, int(np.ceil(y - ry))), min(height, int(y + ry) + 1)):
                for k in range(max(0, int(np.ceil(x - rx))), min(width, int(x + rx) + 1)):
                    v = index[i, j, k]
                    away = (
                        ((i - z) * scale[0]) ** 2
                        + ((j - y) * scale[1]) ** 2
                        + ((k - x) * scale[2]) ** 2
                    )
                    if v < 0 or away > radii[n] ** 2:
                        continue
                    weight = float(probability[v]) ** 2
                    total += weight
                    moves[n, 0] += weight * (i - z)
                    moves[n, 1] += weight * (j - y)
                    moves[n, 2] += weight * (k - x)
        if total > 0:
            moves[n] /= total
    return moves
