"""The compiled loops of the tracer over the foreground, a graph of voxels with 26 neighbours.

All arrays are indexed by the number of a foreground voxel (see `foreground.Foreground`). The box
`index` holds the number of each voxel. All numbers are float32 and int32. The compiled code is
cached on disk, so that only the first run on a machine waits for the compiler.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_NO_VOXEL = -1
#: State of a voxel while paths are made: a target, explained by a path, the end of a short path.
OPEN, EXPLAINED, REJECTED = 0, 1, 2
#: A step adds no more than a cube's diagonal to a branch's length (finest voxels): along a coarse
#: axis one or two steps may be blur alone.
_LONGEST_STEP = np.float32(3**0.5)


class Grid(NamedTuple):
    """The graph of the foreground's voxels.

    Attributes:
        index: (bz, by, bx) int32, the number of each voxel of the box, -1 for background.
        coords: (N, 3) int32, z, y, x in the box.
        scale: (3,) float32, a voxel's edges z, y, x in finest voxels.
        from_middle: (N,) float32, see `Foreground.from_middle`; of equals the nearest is taken.
    """

    index: NDArray[np.int32]
    coords: NDArray[np.int32]
    scale: NDArray[np.float32]
    from_middle: NDArray[np.float32]


class Routes(NamedTuple):
    """The cheapest paths from the roots to every voxel.

    Attributes:
        length: (N,) float32, the path's length in finest voxels, -1 for a voxel without a path.
        before: (N,) int32, the voxel before on the path, -1 for roots and voxels without a path.
    """

    length: NDArray[np.float32]
    before: NDArray[np.int32]


class PathRules(NamedTuple):
    """Which paths join the tree, and what they explain; lengths in finest voxels.

    Attributes:
        reach_share: a path explains all within so many depths of it …
        reach: … and so many voxels more.
        min_length: least length of a path's strong voxels.
        thickness_share: so many times the depth beyond `thin` of the line that a path leaves is
            added to `min_length`.
        thin: depth up to which a line is thin.
        faint_share: greatest length of a path's weak voxels, in lengths of its strong ones.
    """

    reach_share: float
    reach: float
    min_length: float
    thickness_share: float
    thin: float
    faint_share: float


@njit(cache=True)
def _push(
    heap_key: NDArray[np.float32], heap_node: NDArray[np.int32], size: int, key: float, node: int
) -> int:
    """Add a node to a binary heap that is kept in two arrays; returns the new size."""
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
    """Remove the node with the least key from the heap; returns the new size."""
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
def _neighbour_steps(
    scale: NDArray[np.float32],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The steps to the 26 neighbours, (26, 3) z, y, x, and their lengths (26,) in finest voxels."""
    steps = np.empty((26, 3), dtype=np.int32)
    lengths = np.empty(26, dtype=np.float32)
    k = 0
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                if dz == 0 and dy == 0 and dx == 0:
                    continue
                steps[k, 0], steps[k, 1], steps[k, 2] = dz, dy, dx
                lengths[k] = np.float32(
                    np.sqrt((dz * scale[0]) ** 2 + (dy * scale[1]) ** 2 + (dx * scale[2]) ** 2)
                )
                k += 1
    return steps, lengths


@njit(cache=True)
def _wider(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same values in an array of twice the length."""
    wider = np.empty(2 * len(values), dtype=values.dtype)
    wider[: len(values)] = values
    return wider


@njit(cache=True)
def geodesic(
    grid: Grid, slowness: NDArray[np.float32], sources: NDArray[np.int32], target: int
) -> Routes:
    """The cheapest paths from all sources at once (Dijkstra): to all, or until `target` has one.

    A step costs its length times the mean slowness (N,) of its two voxels. Of equally cheap paths
    the shorter one is taken, and of equally short ones that with the nearer voxel to the middle.
    """
    index, coords, from_middle = grid.index, grid.coords, grid.from_middle
    n = len(coords)
    cost = np.full(n, np.inf, dtype=np.float32)
    length = np.full(n, -1.0, dtype=np.float32)
    before = np.full(n, _NO_VOXEL, dtype=np.int32)
    done = np.zeros(n, dtype=np.bool_)
    heap_key = np.empty(max(64, 2 * n), dtype=np.float32)
    heap_node = np.empty(max(64, 2 * n), dtype=np.int32)
    size = 0
    for s in sources:
        cost[s], length[s] = 0.0, 0.0
        size = _push(heap_key, heap_node, size, np.float32(0.0), s)
    steps, step_lengths = _neighbour_steps(grid.scale)
    depth, height, width = index.shape
    while size > 0:
        u = heap_node[0]
        size = _drop_top(heap_key, heap_node, size)
        if done[u]:
            continue
        done[u] = True
        if u == target:
            break
        for k in range(26):
            z, y, x = (
                coords[u, 0] + steps[k, 0], coords[u, 1] + steps[k, 1], coords[u, 2] + steps[k, 2]
            )  # fmt: skip
            if not (0 <= z < depth and 0 <= y < height and 0 <= x < width):
                continue
            v = index[z, y, x]
            if v < 0 or done[v]:
                continue
            step = step_lengths[k]
            new = cost[u] + step * np.float32(0.5) * (slowness[u] + slowness[v])
            along = length[u] + step
            if new == cost[v]:
                if along < length[v] or (
                    along == length[v] and from_middle[u] < from_middle[before[v]]
                ):
                    length[v], before[v] = along, u
            elif new < cost[v]:
                cost[v], length[v], before[v] = new, along, u
                if size == len(heap_key):
                    heap_key, heap_node = _wider(heap_key), _wider(heap_node)
                size = _push(heap_key, heap_node, size, new, v)
    return Routes(length, before)


@njit(cache=True)
def greatest(
    grid: Grid, component: NDArray[np.int32], values: NDArray[np.float32], count: int
) -> NDArray[np.int32]:
    """(count,) the voxel of each component 0..count-1 with the greatest value (N,)."""
    best = np.full(count, _NO_VOXEL, dtype=np.int32)
    for v in range(len(component)):
        u = best[component[v]]
        if (
            u < 0
            or values[v] > values[u]
            or (values[v] == values[u] and grid.from_middle[v] < grid.from_middle[u])
        ):
            best[component[v]] = v
    return best


@njit(cache=True)
def _cover(grid: Grid, state: NDArray[np.uint8], voxel: int, radius: float, margin: float) -> None:
    """Mark the foreground within `radius` finest voxels and `margin` voxels as explained.

    The margin is as many voxels along a coarse axis as along a fine one, because blur is.
    """
    index, coords, scale = grid.index, grid.coords, grid.scale
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
                    state[v] = EXPLAINED


@njit(cache=True)
def _is_branch(
    target: int,
    routes: Routes,
    depth: NDArray[np.float32],
    strong: NDArray[np.bool_],
    rules: PathRules,
    state: NDArray[np.uint8],
    in_tree: NDArray[np.bool_],
) -> bool:
    """Whether the path from a target to the tree is long and strong enough to join it.

    Only the part outside everything explained counts.
    """
    length, before = routes.length, routes.before
    v = target
    firm, faint = np.float32(0.0), np.float32(0.0)
    while before[v] >= 0 and not in_tree[v] and state[v] != EXPLAINED:
        step = min(length[v] - length[before[v]], _LONGEST_STEP)
        if strong[v]:
            firm += step
        else:
            faint += step
        v = before[v]
    while before[v] >= 0 and not in_tree[v]:
        v = before[v]
    least = rules.min_length + rules.thickness_share * max(depth[v] - rules.thin, 0.0)
    return bool(firm >= least and faint <= rules.faint_share * firm)


@njit(cache=True)
def grow_paths(
    grid: Grid,
    routes: Routes,
    depth: NDArray[np.float32],
    strong: NDArray[np.bool_],
    targets: NDArray[np.int32],
    first: int,
    n_paths: int,
    rules: PathRules,
    state: NDArray[np.uint8],
    in_tree: NDArray[np.bool_],
) -> int:
    """Walk from the furthest unexplained targets back to the tree, until `n_paths` have joined it.

    A path that joins the tree explains the voxels around it. The voxels of any other path are no
    targets any more, but they explain nothing. Returns the next position in `targets`.

    Args:
        grid: the foreground's voxels.
        routes: the cheapest paths to them.
        depth: (N,) in finest voxels.
        strong: (N,) the voxel is strong.
        targets: (M,) voxels, furthest first.
        first: position in `targets` to start at.
        n_paths: number of accepted paths after which the function returns.
        rules: which paths join the tree.
        state: (N,) `OPEN`, `EXPLAINED` or `REJECTED`, changed in place.
        in_tree: (N,) the voxel lies on a path of the tree, changed in place.
    """
    accepted = 0
    position = first
    while position < len(targets) and accepted < n_paths:
        target = targets[position]
        position += 1
        if state[target] != OPEN or routes.length[target] < 0:
            continue
        accept = _is_branch(target, routes, depth, strong, rules, state, in_tree)
        v = target
        while v >= 0 and not in_tree[v]:
            if accept:
                in_tree[v] = True
                _cover(grid, state, v, rules.reach_share * depth[v], rules.reach)
            elif state[v] == OPEN:
                state[v] = REJECTED
            else:
                break
            v = routes.before[v]
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
    """(N, 3) steps from places of the box to the centroid of the foreground around each of them.

    A foreground voxel has the square of its probability as its weight.

    Args:
        index: (bz, by, bx) int32, the number of each voxel of the box, -1 for background.
        probability: (V,) uint8, of the foreground's voxels.
        places: (N, 3) float64, z, y, x in the box.
        radii: (N,) float64, in finest voxels, how far the surroundings reach.
        scale: (3,) float64, a voxel's edges z, y, x in finest voxels.
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
