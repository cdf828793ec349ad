"""The compiled loops that turn a volume into a list of voxels; each passes once over the box.

A box of KINDS, one byte a voxel, holds `NOTHING`, `WEAK` or `STRONG`. The stages after this one
work on the list of weak and strong voxels alone.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

NOTHING, WEAK, STRONG = 0, 1, 2
_NO_VOXEL = -1
#: Edge of the cubes (voxels) by which regions of haze are skipped.
_BLOCK = 16
#: More steps along a row than any reach.
_FAR = np.iinfo(np.int16).max


@njit(cache=True)
def bounds(probability: NDArray[np.uint8], threshold: int) -> NDArray[np.int64]:
    """(3, 2) first and last z, y, x of a volume (Z, Y, X) that reach the threshold; -1 for none."""
    depth, height, width = probability.shape
    box = np.full((3, 2), -1, dtype=np.int64)
    low, high = width, -1
    first, last = height, -1
    for z in range(depth):
        hit = False
        for y in range(height):
            row = probability[z, y]
            left = 0
            while left < width and row[left] < threshold:
                left += 1
            if left == width:
                continue
            right = width - 1
            while row[right] < threshold:
                right -= 1
            hit = True
            low, high = min(low, left), max(high, right)
            first, last = min(first, y), max(last, y)
        if hit:
            if box[0, 0] < 0:
                box[0, 0] = z
            box[0, 1] = z
    if high >= 0:
        box[1, 0], box[1, 1] = first, last
        box[2, 0], box[2, 1] = low, high
    return box


@njit(cache=True)
def classify(probability: NDArray[np.uint8], threshold: int, weak: int) -> NDArray[np.uint8]:
    """(Z, Y, X) the kind of every voxel: strong from `threshold` on, weak from `weak` on."""
    kinds = np.empty(probability.shape, dtype=np.uint8)
    depth, height, width = probability.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                here = probability[z, y, x]
                kinds[z, y, x] = STRONG if here >= threshold else WEAK if here >= weak else NOTHING
    return kinds


@njit(cache=True)
def fill(kinds: NDArray[np.uint8], labels: NDArray[np.uint32], enclosed: NDArray[np.bool_]) -> None:
    """Make every voxel strong whose label is `enclosed`, in place."""
    depth, height, width = kinds.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if enclosed[labels[z, y, x]]:
                    kinds[z, y, x] = STRONG


@njit(cache=True)
def drop_far(kinds: NDArray[np.uint8], rows: NDArray[np.int64], reaches: NDArray[np.int16]) -> None:
    """Remove the weak voxels without a strong voxel near, in place.

    The distance along x to the nearest strong voxel is computed first. A weak voxel then tests a
    disk of rows and not a ball of voxels. It tests nothing in a block far from any strong voxel.

    Args:
        kinds: (Z, Y, X).
        rows: (R, 2) steps in z and y to the rows of a ball, the nearest row first.
        reaches: (R,) the steps along x that the ball reaches in each row.
    """
    depth, height, width = kinds.shape
    near_strong = _blocks_near_strong(kinds, max(rows.max(), reaches.max()))
    along = np.full(kinds.shape, _FAR, dtype=np.int16)
    for z in range(depth):
        for y in range(height):
            _steps_to_strong(kinds[z, y], along[z, y])
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if kinds[z, y, x] != WEAK:
                    continue
                near = False
                n_rows = len(rows) if near_strong[z // _BLOCK, y // _BLOCK, x // _BLOCK] else 0
                for r in range(n_rows):
                    i, j = z + rows[r, 0], y + rows[r, 1]
                    if 0 <= i < depth and 0 <= j < height and along[i, j, x] <= reaches[r]:
                        near = True
                        break
                if not near:
                    kinds[z, y, x] = NOTHING


@njit(cache=True)
def _blocks_near_strong(kinds: NDArray[np.uint8], reach: int) -> NDArray[np.bool_]:
    """Bool for each cube of `_BLOCK` voxels: a strong voxel lies in it or within its reach."""
    depth, height, width = kinds.shape
    shape = (-(-depth // _BLOCK), -(-height // _BLOCK), -(-width // _BLOCK))
    holds = np.zeros(shape, dtype=np.bool_)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if kinds[z, y, x] == STRONG:
                    holds[z // _BLOCK, y // _BLOCK, x // _BLOCK] = True
    away = 1 + reach // _BLOCK
    near = np.zeros(shape, dtype=np.bool_)
    for z in range(shape[0]):
        for y in range(shape[1]):
            for x in range(shape[2]):
                if holds[z, y, x]:
                    near[
                        max(z - away, 0) : z + away + 1,
                        max(y - away, 0) : y + away + 1,
                        max(x - away, 0) : x + away + 1,
                    ] = True
    return near


@njit(cache=True)
def _steps_to_strong(row: NDArray[np.uint8], steps: NDArray[np.int16]) -> None:
    """Steps along a row to its nearest strong voxel, in place; `_FAR` in a row without one."""
    width = len(row)
    since = _FAR
    for x in range(width):
        since = 0 if row[x] == STRONG else min(since + 1, _FAR)
        steps[x] = since
    if since == _FAR:
        return
    since = _FAR
    for x in range(width - 1, -1, -1):
        since = 0 if row[x] == STRONG else min(since + 1, _FAR)
        steps[x] = min(steps[x], since)


@njit(cache=True)
def count_strong(
    kinds: NDArray[np.uint8], labels: NDArray[np.uint32], n_labels: int
) -> NDArray[np.int64]:
    """(n_labels,) the number of strong voxels of each label."""
    counts = np.zeros(n_labels, dtype=np.int64)
    depth, height, width = kinds.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if kinds[z, y, x] == STRONG:
                    counts[labels[z, y, x]] += 1
    return counts


@njit(cache=True)
def gather(
    labels: NDArray[np.uint32], number: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The voxels (N, 3) in raster order whose label has a number, and their numbers (N,).

    `number` is indexed by label; it is -1 for a label without a number.
    """
    depth, height, width = labels.shape
    count = 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                count += number[labels[z, y, x]] >= 0
    coords = np.empty((count, 3), dtype=np.int32)
    component = np.empty(count, dtype=np.int32)
    i = 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                new = number[labels[z, y, x]]
                if new >= 0:
                    coords[i, 0], coords[i, 1], coords[i, 2] = z, y, x
                    component[i] = new
                    i += 1
    return coords, component


@njit(cache=True)
def index_box(coords: NDArray[np.int32], shape: tuple[int, int, int]) -> NDArray[np.int32]:
    """A box that holds the row number of each place of `coords` (N, 3), and -1 elsewhere."""
    index = np.full(shape, _NO_VOXEL, dtype=np.int32)
    for i in range(len(coords)):
        index[coords[i, 0], coords[i, 1], coords[i, 2]] = i
    return index


@njit(cache=True)
def depths(
    index: NDArray[np.int32],
    coords: NDArray[np.int32],
    strong: NDArray[np.bool_],
    scale: NDArray[np.float32],
) -> NDArray[np.float32]:
    """(N,) float32, distance of every strong voxel to the nearest that is not; 0 for weak voxels.

    The volume's border does not count: the distance is infinite if every voxel is strong. The
    transform works on one axis after the other (Felzenszwalb and Huttenlocher 2012). It visits only
    the runs of strong voxels: the voxel after a run is not strong, so nothing beyond it is nearer.
    """
    square = np.where(strong, np.float32(np.inf), np.float32(0.0))
    for axis in (2, 1, 0):
        length = index.shape[axis]
        run = np.empty(length, dtype=np.int32)
        before = np.empty(length + 2, dtype=np.float32)
        for start in range(len(coords)):
            if strong[start] and not _is_strong(index, strong, coords[start], axis, -1):
                n = _collect_run(index, strong, coords[start], axis, run)
                at = coords[start, axis]
                before[0] = 0.0 if at > 0 else np.inf
                for k in range(n):
                    before[k + 1] = square[run[k]]
                before[n + 1] = 0.0 if at + n < length else np.inf
                _lower_run(before, n, scale[axis], run, square)
    return np.sqrt(square)


@njit(cache=True)
def _is_strong(
    index: NDArray[np.int32],
    strong: NDArray[np.bool_],
    place: NDArray[np.int32],
    axis: int,
    step: int,
) -> bool:
    """Whether the voxel `step` voxels from a place along an axis is in the box and strong."""
    z = place[0] + (step if axis == 0 else 0)
    y = place[1] + (step if axis == 1 else 0)
    x = place[2] + (step if axis == 2 else 0)
    if not (0 <= z < index.shape[0] and 0 <= y < index.shape[1] and 0 <= x < index.shape[2]):
        return False
    v = index[z, y, x]
    return bool(v >= 0 and strong[v])


@njit(cache=True)
def _collect_run(
    index: NDArray[np.int32],
    strong: NDArray[np.bool_],
    start: NDArray[np.int32],
    axis: int,
    run: NDArray[np.int32],
) -> int:
    """Write the numbers of the run of strong voxels from `start` on; returns their number."""
    z, y, x = start[0], start[1], start[2]
    n = 0
    while z < index.shape[0] and y < index.shape[1] and x < index.shape[2]:
        v = index[z, y, x]
        if v < 0 or not strong[v]:
            break
        run[n] = v
        n += 1
        if axis == 0:
            z += 1
        elif axis == 1:
            y += 1
        else:
            x += 1
    return n


@njit(cache=True)
def _lower_run(
    before: NDArray[np.float32],
    n: int,
    step: float,
    run: NDArray[np.int32],
    square: NDArray[np.float32],
) -> None:
    """Lower the squared distances of a run by those of its own voxels, in place.

    The search of a voxel stops where the way alone is longer than the best distance so far.

    Args:
        before: (n + 2,) squared distances over the axes done: the run's, one beyond each end.
        n: the number of voxels in the run.
        step: the voxel's edge along the axis.
        run: (n,) the numbers of the voxels.
        square: (N,) squared distances of all voxels.
    """
    if before[: n + 2].min() == np.inf:
        return
    for k in range(1, n + 1):
        best = before[k]
        for away in range(1, max(k, n + 1 - k) + 1):
            way = np.float32(away * step) ** 2
            if way >= best:
                break
            if k - away >= 0:
                best = min(best, before[k - away] + way)
            if k + away <= n + 1:
                best = min(best, before[k + away] + way)
        square[run[k - 1]] = best


@njit(cache=True)
def sums_around(
    index: NDArray[np.int32],
    coords: NDArray[np.int32],
    values: NDArray[np.float32],
    some: NDArray[np.int64],
    reach: int,
) -> NDArray[np.float64]:
    """(M,) the sum of the values (N,) in a cube of so many voxels around each of some voxels."""
    sums = np.zeros(len(some))
    for i, voxel in enumerate(some):
        z, y, x = coords[voxel, 0], coords[voxel, 1], coords[voxel, 2]
        for other_z in range(max(z - reach, 0), min(z + reach + 1, index.shape[0])):
            for other_y in range(max(y - reach, 0), min(y + reach + 1, index.shape[1])):
                for other_x in range(max(x - reach, 0), min(x + reach + 1, index.shape[2])):
                    number = index[other_z, other_y, other_x]
                    if number >= 0:
                        sums[i] += values[number]
    return sums
