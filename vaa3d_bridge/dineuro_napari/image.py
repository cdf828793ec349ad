"""What an image layer holds: whether it can be traced, its voxels as a `Volume`, and its place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadVolume, DineuroError, LimitExceeded
from dineuro_bridge.progress import Progress, ProgressCallback, silent
from dineuro_bridge.scale import Spacing, implausibility
from dineuro_bridge.volumes.formats import read_header
from dineuro_bridge.volumes.terms import Roi
from dineuro_bridge.volumes.volume import DEFAULT_MAX_BYTES, Volume, check_roi

#: Bytes that are read at a time from an array that is computed or lies on a disk.
_PIECE = 2**26
#: Copies of a layer that a trace needs at least.
_COPIES = 3
_ADVICE = "give a region under More options, or trace the file block by block with 'dineuro brain'"


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image layer that can be traced.

    Attributes:
        name: of the layer.
        voxels: (Z, Y, X) of the finest level; anything that numpy can slice.
        spacing: (z, y, x) in µm; None where neither layer nor file tells.
        placement: napari's arguments that lay a further layer of the same voxels over this one.
    """

    name: str
    voxels: Any
    spacing: Spacing | None
    placement: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        depth, height, width = self.voxels.shape
        return int(depth), int(height), int(width)


def picture_of(layer: Any) -> Picture:
    """The voxels of a layer, which are not read, and where they lie.

    Args:
        layer: an image layer of napari, or None.

    Raises:
        BadVolume: no layer, a picture in colour, a 2D image, or a series. The message says what to
            do.
    """
    if layer is None:
        raise BadVolume("no image layer is chosen: open a stack, and choose its layer here")
    name = str(layer.name)
    if getattr(layer, "rgb", False):
        raise BadVolume(
            f"{name}: is a picture in colour: choose Split RGB in the layer's menu, and then the "
            "channel with the neuron"
        )
    voxels = layer.data[0] if layer.multiscale else layer.data
    shape = tuple(int(side) for side in voxels.shape)
    while len(voxels.shape) > 3 and voxels.shape[0] == 1:
        voxels = voxels[0]
    if len(voxels.shape) > 3:
        raise BadVolume(
            f"{name}: has {len(shape)} axes ({_sides(shape)}): a time series, or channels in one "
            "layer; choose Split Stack in the layer's menu, and then one of its parts"
        )
    if len(voxels.shape) < 3 or voxels.shape[0] == 1:
        raise BadVolume(f"{name}: is a 2D image ({_sides(shape)}): a stack of slices is needed")
    if np.dtype(voxels.dtype).kind not in "buif":
        raise BadVolume(f"{name}: has samples of the type {voxels.dtype}: numbers are needed")
    return Picture(name, voxels, _spacing(layer), _placement(layer))


def volume_of(
    picture: Picture,
    roi: Roi | None = None,
    *,
    progress: ProgressCallback = silent,
    free: Callable[[], int] | None = None,
) -> Volume:
    """Read the voxels of a picture; numpy's arrays are not copied.

    Args:
        picture: of a layer.
        roi: half-open x0, y0, z0, x1, y1, z1; only this box is read. None reads all.
        progress: called between pieces; it may raise `Cancelled`.
        free: returns the bytes of memory that are free; the system's if None.

    Returns:
        The volume, (1, Z, Y, X) of uint8, uint16 or float32; `whole` is set for a box.

    Raises:
        LimitExceeded: the memory is too small. The message says what to do.
        BadParameter: the box is empty or leaves the picture.
    """
    depth, height, width = picture.shape
    box = (0, 0, 0, width, height, depth) if roi is None else roi
    check_roi(picture.name, box, (width, height, depth))
    x0, y0, z0, x1, y1, z1 = box
    part = (slice(z0, z1), slice(y0, y1), slice(x0, x1))
    _check_memory(picture, (z1 - z0, y1 - y0, x1 - x0), (free or free_memory)())
    if isinstance(picture.voxels, np.ndarray):
        voxels: NDArray[Any] = picture.voxels[part]
    else:
        voxels = _read(picture.voxels, part, progress)
    return Volume(
        _samples(voxels)[None], picture.spacing, (0, 0, 0) if roi is None else (z0, y0, x0),
        source=picture.name, whole=None if roi is None else picture.shape,
    )  # fmt: skip


def free_memory() -> int:
    """Bytes that are free on this machine; no limit where the system does not tell."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        return 1024 * int(text.split("MemAvailable:")[1].split()[0])
    except (OSError, IndexError, ValueError):
        return _COPIES * DEFAULT_MAX_BYTES


def _check_memory(picture: Picture, shape: tuple[int, int, int], free: int) -> None:
    needed = math.prod(shape) * np.dtype(picture.voxels.dtype).itemsize
    limit = min(DEFAULT_MAX_BYTES, free // _COPIES)
    if needed > limit:
        raise LimitExceeded(
            f"{picture.name}: {_sides(shape[::-1])} voxels are {needed / 2**30:.3g} GiB, and "
            f"{limit / 2**30:.3g} GiB can be traced in this machine's memory now: {_ADVICE}"
        )


def _read(voxels: Any, part: tuple[slice, slice, slice], progress: ProgressCallback) -> Any:
    """A box of an array that is not in memory, slab by slab."""
    z, y, x = part
    shape = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
    whole = np.empty(shape, dtype=voxels.dtype)
    step = max(1, _PIECE // max(1, shape[1] * shape[2] * whole.itemsize))
    for low in range(0, shape[0], step):
        progress(Progress("read", low, shape[0]))
        high = min(low + step, shape[0])
        whole[low:high] = np.asarray(voxels[z.start + low : z.start + high, y, x])
    return whole


def _samples(voxels: NDArray[Any]) -> NDArray[Any]:
    """Samples of a type that every format and server takes: uint8, uint16 or float32."""
    if voxels.dtype.kind == "b":
        return voxels * np.uint8(255)
    if voxels.dtype in (np.uint8, np.uint16, np.float32):
        return voxels
    if voxels.dtype.kind in "ui" and voxels.size and voxels.min() >= 0 and voxels.max() < 2**16:
        return voxels.astype(np.uint16)
    return voxels.astype(np.float32)


def _spacing(layer: Any) -> Spacing | None:
    """(z, y, x) in µm by the layer's units, else by its scale, else by its file."""
    scale = np.abs(np.asarray(layer.scale, dtype=np.float64)[-3:])
    units = [str(unit) for unit in getattr(layer, "units", None) or ()][-3:]
    factors = [_MICROMETRES.get(unit, math.nan) for unit in units]
    if len(factors) == 3 and all(map(math.isfinite, factors)):
        return _plausible(scale * factors)
    if not np.allclose(scale, 1):
        return _plausible(scale)  # who scales a layer of pixels means micrometres
    source = getattr(layer, "source", None)
    return _spacing_of_file(getattr(source, "path", None))


#: Micrometres of the units of length that napari names.
_MICROMETRES = {
    "nanometer": 1e-3, "micrometer": 1.0, "micron": 1.0, "millimeter": 1e3, "meter": 1e6,
    "angstrom": 1e-4, "centimeter": 1e4,
}  # fmt: skip


def _plausible(spacing: NDArray[np.float64]) -> Spacing | None:
    z, y, x = spacing.tolist()
    return None if implausibility((z, y, x)) else (z, y, x)


def _spacing_of_file(path: str | None) -> Spacing | None:
    """The voxel size that a file states; napari itself does not read that of a TIFF."""
    if path is None:
        return None
    try:
        return read_header(path).with_plausible_spacing().spacing
    except DineuroError:
        return None


def _placement(layer: Any) -> dict[str, Any]:
    """The transforms of a layer's last three axes."""
    placement: dict[str, Any] = {
        "scale": np.asarray(layer.scale)[-3:],
        "translate": np.asarray(layer.translate)[-3:],
        "rotate": np.asarray(layer.rotate)[-3:, -3:],
        "affine": np.asarray(layer.affine.affine_matrix)[-4:, -4:],
    }
    units = getattr(layer, "units", None)
    if units is not None:
        placement["units"] = tuple(str(unit) for unit in units)[-3:]
    if np.asarray(layer.scale).size == 3:
        placement["shear"] = np.asarray(layer.shear)
    return placement


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
