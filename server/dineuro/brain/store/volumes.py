"""The volumes of a run on disk: masks that are written block by block, and lazy readers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dineuro.brain.store.grid import Grid, Size
from dineuro_bridge.errors import MissingDependency
from dineuro_bridge.files import folder_output
from dineuro_bridge.scale import Spacing
from dineuro_bridge.volumes.terms import Roi

#: The longest edge of a chunk; one block is a shard, which one task writes.
_CHUNK = 64
#: Boxes of a lazy volume that stay in memory, and their edge.
_CACHED, _EDGE = 256, 64


def create_volume(path: Path, grid: Grid, spacing: Spacing | None) -> None:
    """Make an empty OME-Zarr 0.5 of bytes, of which a block is one shard; it may exist already."""
    zarr = _zarr()
    if path.exists():
        return
    steps = list(spacing or (1.0, 1.0, 1.0))
    unit = {} if spacing is None else {"unit": "micrometer"}
    image = {
        "name": path.name,
        "axes": [{"name": axis, "type": "space", **unit} for axis in "zyx"],
        "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": steps}]}
        ],
    }
    # A shard that two processes write loses what the first one wrote.
    chunk = max(n for n in range(1, _CHUNK + 1) if grid.edge % n == 0)
    with folder_output(path) as temporary:
        zarr.create_group(
            store=str(temporary), zarr_format=3,
            attributes={"ome": {"version": "0.5", "multiscales": [image]}},
        )  # fmt: skip
        zarr.create_array(
            store=str(temporary / "0"), shape=grid.size, chunks=(chunk,) * 3,
            shards=(grid.edge,) * 3, dtype=np.uint8, fill_value=0,
            zarr_format=3, dimension_names=["z", "y", "x"],
            compressors=zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
        )  # fmt: skip


class ZarrWriter:
    """Writes blocks of a volume of `create_volume`."""

    def __init__(self, path: Path) -> None:
        self._array = _zarr().open_array(str(path / "0"), mode="r+")

    def write(self, box: Roi, voxels: NDArray[np.uint8]) -> None:
        """Write a block (Z, Y, X); one without any voxel above 0 takes no place."""
        x0, y0, z0, x1, y1, z1 = box
        self._array[z0:z1, y0:y1, x0:x1] = voxels


def zarr_reader(path: Path) -> Callable[[Roi], NDArray[np.uint8]]:
    """Reads boxes (Z, Y, X) of a volume of `create_volume`."""
    array = _zarr().open_array(str(path / "0"), mode="r")

    def read(box: Roi) -> NDArray[np.uint8]:
        x0, y0, z0, x1, y1, z1 = box
        return np.asarray(array[z0:z1, y0:y1, x0:x1])

    return read


class LazyVolume:
    """A volume that reads the boxes in which its voxels are asked for; a few stay in memory.

    Args:
        read: returns a box (Z, Y, X).
        shape: (Z, Y, X).
    """

    def __init__(self, read: Callable[[Roi], NDArray[Any]], shape: Size) -> None:
        self.shape = shape
        self._read = read
        self._boxes: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._counts = [-(-n // _EDGE) for n in shape]

    def as_array(self) -> NDArray[Any]:
        """The volume for functions that index an array by arrays, and ask for its shape alone."""
        return cast(NDArray[Any], self)

    def __getitem__(self, at: tuple[NDArray[np.int64], ...]) -> NDArray[Any]:
        """The voxels at indices z, y, x, arrays of one shape."""
        z, y, x = (np.asarray(each) for each in at)
        _, height, width = self._counts
        box = ((z // _EDGE) * height + y // _EDGE) * width + x // _EDGE
        numbers, place = np.unique(box, return_inverse=True)
        place = place.reshape(box.shape)
        result: NDArray[Any] | None = None
        for at_box, number in enumerate(numbers.tolist()):
            here = place == at_box
            voxels = self._box(number)
            if result is None:
                result = np.zeros(box.shape, dtype=voxels.dtype)
            result[here] = voxels[z[here] % _EDGE, y[here] % _EDGE, x[here] % _EDGE]
        return self._box(0)[:0, 0, 0].reshape(box.shape) if result is None else result

    def _box(self, number: int) -> NDArray[Any]:
        if number in self._boxes:
            self._boxes.move_to_end(number)
            return self._boxes[number]
        _, height, width = self._counts
        place = (number // (height * width), number // width % height, number % width)
        low = [a * _EDGE for a in place]
        high = [min(n, a + _EDGE) for a, n in zip(low, self.shape, strict=True)]
        voxels = self._read((low[2], low[1], low[0], high[2], high[1], high[0]))
        self._boxes[number] = voxels
        if len(self._boxes) > _CACHED:
            self._boxes.popitem(last=False)
        return voxels


def _zarr() -> Any:
    try:
        import zarr
        import zarr.codecs
    except ImportError as error:
        raise MissingDependency(
            "brain: the volumes of a run need zarr: pip install 'dineuro[brain]'"
        ) from error
    return zarr
