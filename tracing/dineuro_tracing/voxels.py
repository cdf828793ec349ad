"""The compiled loops that turn a volume into a list of voxels: each passes once over the box.

A box of KINDS, one byte a voxel, says what a voxel is: `NOTHING`, `WEAK` or `STRONG`. What comes
after works on the list of weak and strong voxels alone, and in proportion to it.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

NOTHING, WEAK, STRONG = 0, 1, 2
_NO_VOXEL = -1
#: Edge of the cubes by which haze is passed over.
_BLOCK = 16
#: Further along a row than any reach.
_FAR = np.iinfo(np.int16).max


@njit(cache=True)
def bounds(probability: NDArray[np.uint8], threshold: int) -> NDArray[np.int64]:
    """(3, 2) first and last z, y, x of (Z, Y, X) with at least this probability; -1 for none."""
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
    """The kind of every voxel of (Z, Y, X): strong from `threshold` on, weak from `weak` on."""
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
    """Make strong what bears a label that is enclosed."""
    depth, height, width = kinds.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if enclosed[labels[z, y, x]]:
                    kinds[z, y, x] = STRONG


@njit(cache=True)
def drop_far(kinds: NDArray[np.uint8], rows: NDArray[np.int64], reaches: NDArray[np.int16]) -> None:
    """Take out the weak voxels that have no strong one near.

    Near is a pile of rows: those at `rows` (R, 2), steps in z and y, the nearest first, each up to
    its `reaches` (R,) steps along x. How far the next strong voxel of its own row is, is known of
    every voxel beforehand; so a weak voxel has to look at a disk and not at a ball, and in blocks
    without a strong one about, where haze is, at nothing.
    """
    depth, height, width = kinds.shape
    about = _blocks_about_strong(kinds, max(rows.max(), reaches.max()))
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
                looked = len(rows) if about[z // _BLOCK, y // _BLOCK, x // _BLOCK] else 0
                for r in range(looked):
                    i, j = z + rows[r, 0], y + rows[r, 1]
                    if 0 <= i < depth and 0 <= j < height and along[i, j, x] <= reaches[r]:
                        near = True
                        break
                if not near:
                    kinds[z, y, x] = NOTHING


@njit(cache=True)
def _blocks_about_strong(kinds: NDArray[np.uint8], reach: int) -> NDArray[np.bool_]:
    """Which cubes of `_BLOCK` voxels have a strong one, or lie within reach of one that has."""
    depth, height, width = kinds.shape
    shape = (-(-depth // _BLOCK), -(-height // _BLOCK), -(-width // _BLOCK))
    holds = np.zeros(shape, dtype=np.bool_)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if kinds[z, y, x] == STRONG:
                    holds[z // _BLOCK, y // _BLOCK, x // _BLOCK] = True
    away = 1 + reach // _BLOCK
    about = np.zeros(shape, dtype=np.bool_)
    for z in range(shape[0]):
        for y in range(shape[1]):
            for x in range(shape[2]):
                if holds[z, y, x]:
                    about[
                        max(z - away, 0) : z + away + 1,
                        max(y - away, 0) : y + away + 1,
                        max(x - away, 0) : x + away + 1,
                    ] = True
    return about


@njit(cache=True)
def _steps_to_strong(row: NDArray[np.uint8], steps: NDArray[np.int16]) -> None:
    """How many steps along a row the nearest strong voxel is; stays `_FAR` where none is."""
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
    """(n_labels,) how many strong voxels bear each label."""
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
    """The voxels (N, 3) in raster order whose label has a number from 0 on, and that number (N,).

    `number` is indexed by label.
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
def numbered(coords: NDArray[np.int32], shape: tuple[int, int, int]) -> NDArray[np.int32]:
    """The box that knows of each place (N, 3) its number, and -1 of every other."""
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
    """(N,) float32, distance of every strong voxel to the nearest that is not; 0 for weak ones.

    The volume's border is no end: infinite where nothing else ends the mask. One axis after the
    other (Felzenszwalb and Huttenlocher 2012), but only along the runs of strong voxels: the voxel
    after a run's end is not strong, so that nothing behind it is nearer.
    """
    square = np.where(strong, np.float32(np.inf), np.float32(0.0))
    for axis in (2, 1, 0):
        length = index.shape[axis]
        run = np.empty(length, dtype=np.int32)
        before = np.empty(length + 2, dtype=np.float32)
        for start in range(len(coords)):
            if strong[start] and not _is_strong(index, strong, coords[start], axis, -1):
                n = _collect(index, strong, coords[start], axis, run)
                at = coords[start, axis]
                before[0] = 0.0 if at > 0 else np.inf
                for k in range(n):
                    before[k + 1] = square[run[k]]
                before[n + 1] = 0.0 if at + n < length else np.inf
                _least(before, n, scale[axis], run, square)
    return np.sqrt(square)


@njit(cache=True)
def _is_strong(
    index: NDArray[np.int32],
    strong: NDArray[np.bool_],
    place: NDArray[np.int32],
    axis: int,
    step: int,
) -> bool:
    """Whether the voxel some steps from a place along an axis is in the box and strong."""
    z = place[0] + (step if axis == 0 else 0)
    y = place[1] + (step if axis == 1 else 0)
    x = place[2] + (step if axis == 2 else 0)
    if not (0 <= z < index.shape[0] and 0 <= y < index.shape[1] and 0 <= x < index.shape[2]):
        return False
    v = index[z, y, x]
    return bool(v >= 0 and strong[v])


@njit(cache=True)
def _collect(
    index: NDArray[np.int32],
    strong: NDArray[np.bool_],
    start: NDArray[np.int32],
    axis: int,
    run: NDArray[np.int32],
) -> int:
    """Write the numbers of the strong voxels in one piece from `start` on; returns how many."""
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
def _least(
    before: NDArray[np.float32],
    n: int,
    step: float,
    run: NDArray[np.int32],
    square: NDArray[np.float32],
) -> None:
    """For each voxel of a run the least of what others know and the way to them, squared.

    `before` has n + 2 values: the run's, and one beyond each end. Whoever is further away than the
    best found so far is not asked; where no one knows anything nothing is done.
    """
    known = False
    for k in range(n + 2):
        if before[k] < np.inf:
            known = True
            break
    if not known:
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
