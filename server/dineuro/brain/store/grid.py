"""The blocks of a volume, and the windows in which they are worked on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from dineuro_bridge.volumes.terms import Roi

Size = tuple[int, int, int]
Slices = tuple[slice, slice, slice]

#: A window starts at voxels that are multiples of this, see `enhancers.parts`.
_STEP = 4


@dataclass(frozen=True, slots=True)
class Window:
    """A box of a volume with a core.

    Attributes:
        start: z, y, x of its first voxel in the volume.
        stop: z, y, x after its last voxel.
        core: the core in the window.
    """

    start: Size
    stop: Size
    core: Slices

    @property
    def shape(self) -> Size:
        """(Z, Y, X) of the window."""
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    @property
    def roi(self) -> Roi:
        """x0, y0, z0, x1, y1, z1 of the window."""
        return roi_of(self.start, self.stop)

    @property
    def core_roi(self) -> Roi:
        """x0, y0, z0, x1, y1, z1 of the core in the volume."""
        low = [a + c.start for a, c in zip(self.start, self.core, strict=True)]
        high = [a + c.stop for a, c in zip(self.start, self.core, strict=True)]
        return roi_of((low[0], low[1], low[2]), (high[0], high[1], high[2]))


@dataclass(frozen=True, slots=True)
class Grid:
    """Equal blocks from the volume's origin on; those at its end may be shorter.

    Attributes:
        size: (Z, Y, X) of the volume.
        edge: of a block in voxels, a multiple of 4.
    """

    size: Size
    edge: int

    @property
    def counts(self) -> Size:
        """The number of blocks along z, y and x."""
        z, y, x = (-(-n // self.edge) for n in self.size)
        return z, y, x

    def __len__(self) -> int:
        return math.prod(self.counts)

    def place(self, block: int) -> Size:
        """The place z, y, x of a block in the grid; blocks are numbered along x, y, z."""
        _, height, width = self.counts
        return block // (height * width), block // width % height, block % width

    def number(self, place: Size) -> int:
        """The number of the block at a place."""
        _, height, width = self.counts
        return (place[0] * height + place[1]) * width + place[2]

    def block_of(self, voxel: Size) -> int:
        """The block of a voxel z, y, x."""
        z, y, x = (a // self.edge for a in voxel)
        return self.number((z, y, x))

    def window(self, block: int, margin: Size = (0, 0, 0)) -> Window:
        """A block with a margin of voxels along z, y and x, within the volume."""
        starts, stops, core = [], [], []
        for at, n, more in zip(self.place(block), self.size, margin, strict=True):
            low, high = at * self.edge, min(n, (at + 1) * self.edge)
            start = max(0, low - more) // _STEP * _STEP
            starts.append(start)
            stops.append(min(n, high + more))
            core.append(slice(low - start, high - start))
        return Window(
            (starts[0], starts[1], starts[2]), (stops[0], stops[1], stops[2]),
            (core[0], core[1], core[2]),
        )  # fmt: skip

    def within(self, low: Size, high: Size) -> Iterator[int]:
        """The blocks with a voxel in the box from `low` to `high`, both z, y, x."""
        ranges = [range(a // self.edge, -(-b // self.edge)) for a, b in zip(low, high, strict=True)]
        for z, y, x in itertools.product(*ranges):
            yield self.number((z, y, x))

    def around(self, block: int) -> Iterator[int]:
        """The block and those that touch it."""
        ranges = [
            range(max(0, at - 1), min(n, at + 2))
            for at, n in zip(self.place(block), self.counts, strict=True)
        ]
        for z, y, x in itertools.product(*ranges):
            yield self.number((z, y, x))


def roi_of(start: Size, stop: Size) -> Roi:
    """The box between two places z, y, x as x0, y0, z0, x1, y1, z1."""
    return start[2], start[1], start[0], stop[2], stop[1], stop[0]
