"""What a network reads of a window: the intensity, and what else its configuration names.

    global   the intensity on the scale of the whole stack, see `intensity`
    local    the same, less the mean of the surroundings and in units of their spread
    ridge    the probability of the classical enhancer, from 0 to 1

A soma that is fifty times as bright as its neurites sets the global scale, and the neurites nearly
vanish on it. The local scale does not depend on what lies beyond `HALO`. The ridges are those of
the whole stack, so that no input depends on where a window begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_model.windows import Shape

#: Voxels (z, y, x) to both sides of a voxel that are its surroundings.
HALO: Shape = (8, 12, 12)
#: The spread is at least this much, on the scale of the intensity. Flat darkness stays dark.
_LEAST_SPREAD = 0.03
#: The local scale is cut at so many spreads below and above the mean, and divided by the latter.
_BELOW, _ABOVE = -2.0, 8.0

Floats = NDArray[np.float32]


def halo(names: Sequence[str]) -> Shape:
    """The voxels (z, y, x) around a window that its inputs depend on, without the ridges."""
    return HALO if "local" in names else (0, 0, 0)


def window_inputs(names: Sequence[str], wide: Floats, ridge: Floats | None = None) -> Floats:
    """The inputs of a window.

    Args:
        names: the names of the inputs.
        wide: (Z, Y, X) normalised intensity of the window and `halo(names)` around it.
        ridge: (Z, Y, X) from 0 to 1, the ridges in the window; None finds them in `wide`.

    Returns:
        (inputs * depth, rows, columns), the inputs one after the other.
    """
    margin = halo(names)
    inner = tuple(slice(m, n - m) for m, n in zip(margin, wide.shape, strict=True))
    parts: list[Floats] = []
    for name in names:
        if name == "local":
            parts.append(local_scale(wide))
        elif name == "ridge":
            parts.append(as_ridge(find_ridges(np.square(wide))[inner]) if ridge is None else ridge)
        else:
            parts.append(wide[inner])
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def find_ridges(volume: NDArray[Any]) -> NDArray[np.uint8]:
    """(Z, Y, X) the probability of the classical enhancer, 0..255, of a volume of that shape.

    The enhancer's libraries are loaded here, because few networks read the ridges.
    """
    from dineuro_model.enhancers.classical import enhance

    return enhance(volume)


def as_ridge(probability: NDArray[np.uint8]) -> Floats:
    """A probability from 0 to 255 as an input from 0 to 1."""
    return probability.astype(np.float32) * np.float32(1 / 255)


def local_scale(wide: Floats) -> Floats:
    """The intensity relative to its surroundings, of a window that has `HALO` around it.

    Every voxel's value is the same in every window that contains it, to the last bit.

    Args:
        wide: (Z, Y, X), normalised.

    Returns:
        (Z, Y, X) without the halo, from -0.25 to 1; 0 where a voxel is as its surroundings are.
    """
    count = np.prod([2 * reach + 1 for reach in HALO])
    mean = _box_sums(wide) / np.float32(count)
    spread = _box_sums(np.square(wide)) / np.float32(count)
    spread -= np.square(mean)
    np.sqrt(np.maximum(spread, 0, out=spread), out=spread)
    spread += np.float32(_LEAST_SPREAD)
    z, y, x = (slice(reach, n - reach) for reach, n in zip(HALO, wide.shape, strict=True))
    values = wide[z, y, x] - mean
    values /= spread
    np.clip(values, _BELOW, _ABOVE, out=values)
    values *= np.float32(1 / _ABOVE)
    return values


def _box_sums(values: Floats) -> Floats:
    """The sums over the surroundings of every voxel that has them whole.

    Sums of 1, 2, 4, … voxels are made of one another. Their order does not depend on where the
    array begins, as that of running sums would.
    """
    for axis, reach in enumerate(HALO):
        along = np.moveaxis(values, axis, 0)
        length, n = 2 * reach + 1, values.shape[axis]
        total, width, at = None, 1, 0
        while True:
            if length & width:
                part = along[at : at + n - length + 1]
                total = part if total is None else total + part
                at += width
            if 2 * width > length:
                break
            along = along[:-width] + along[width:]
            width *= 2
        assert total is not None  # noqa: S101 - the length is above 0
        values = np.moveaxis(total, 0, axis)
    return values
