"""A stack without the faults that an enhancer would take for neurites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dineuro_model.repair.padding import padding
from dineuro_model.repair.polarity import inverted, is_dark_on_bright
from dineuro_model.repair.slices import (
    blank_slices,
    even_light,
    has_noise,
    interpolate_slices,
    measure_light,
    overexposed_slices,
)
from dineuro_model.repair.steps import without_steps
from dineuro_model.repair.stripes import without_stripes

Contrast = Literal["auto", "bright", "dark"]
Mask = NDArray[np.bool_]

#: Edge of the blocks whose medians are the ground that padding is filled with, in voxels.
_BLOCK = 16
_INVERTED = (
    "the neurites are dark on a bright ground: the image was inverted (--contrast bright leaves "
    "that out)"
)
_DARK = (
    "most of the image is bright and what stands out is dark: is it inverted? (--contrast dark "
    "traces what is dark)"
)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A stack that an enhancer may take as it is.

    Attributes:
        intensity: (Z, Y, X), bright neurites on a dark ground; the input itself where it has no
            fault.
        unknown: (Z, Y, X), the voxels without an image, where nothing can be found; None without
            such voxels.
        is_inverted: whether bright and dark were exchanged.
        remarks: sentences for the user about what was done.
    """

    intensity: NDArray[Any]
    unknown: Mask | None = None
    is_inverted: bool = False
    remarks: tuple[str, ...] = ()


def prepare(stack: NDArray[Any], contrast: Contrast = "auto") -> Prepared:
    """Find and mend the faults of a stack.

    Args:
        stack: (Z, Y, X), any real type, finite.
        contrast: whether neurites are bright or dark; "auto" finds out.
    """
    if stack.size == 0 or stack.min() == stack.max():
        return Prepared(stack)
    remarks: list[str] = []
    blank = blank_slices(stack)
    unknown = padding(stack, blank)
    if unknown is not None:
        remarks.append(
            f"{unknown.mean():.0%} of the volume is padding of one value at the border: nothing "
            "was traced there"
        )
    is_dark = contrast == "dark" or is_dark_on_bright(stack, unknown)
    if is_dark and contrast != "dark":
        remarks.append(_DARK if contrast == "bright" else _INVERTED)
    is_inverted = is_dark and contrast != "bright"
    if is_inverted:
        stack = inverted(stack, unknown)
    lost = _lost(stack, blank, unknown)
    repaired, ends = _with_whole_slices(stack, lost, remarks)
    if ends.any():
        unknown = np.zeros(stack.shape, dtype=np.bool_) if unknown is None else unknown
        unknown[ends] = True
    repaired, noise = _with_even_light(repaired, unknown, remarks)
    if unknown is not None:
        repaired = _filled(repaired, unknown, noise)
    repaired = _on_one_ground(repaired, float(np.median(noise)), remarks)
    return Prepared(repaired, unknown, is_inverted, tuple(remarks))


def as_it_is(stack: NDArray[Any], contrast: Contrast = "auto") -> Prepared:
    """A stack without a repair, inverted where `contrast` is "dark"; it may be a mask.

    Args:
        stack: (Z, Y, X), any real type, finite.
        contrast: whether neurites are bright or dark.
    """
    if contrast == "dark":
        return Prepared(inverted(stack), is_inverted=True)
    return Prepared(stack, remarks=(_DARK,) if is_dark_on_bright(stack) else ())


def _lost(stack: NDArray[Any], blank: Mask, unknown: Mask | None) -> Mask:
    """The blank slices (Z,) and the over-exposed ones; over-exposure of a whole stack is a look.

    A large bright area of a cleaned stack is no over-exposure.
    """
    lost = blank | overexposed_slices(stack, unknown)
    good = np.flatnonzero(~lost)
    if 2 * len(good) <= len(stack):
        return blank
    usual = good[len(good) // 2]
    values = stack[usual] if unknown is None else stack[usual][~unknown[usual]]
    return lost if has_noise(values) else blank


def _with_whole_slices(
    stack: NDArray[Any], lost: Mask, remarks: list[str]
) -> tuple[NDArray[Any], Mask]:
    """The stack with lost slices interpolated, and the lost slices (Z,) that stay lost."""
    if not lost.any():
        return stack, lost
    stack = stack.copy()
    ends = interpolate_slices(stack, lost)
    count = np.count_nonzero(lost & ~ends)
    if count:
        remarks.append(
            f"{count} blank or over-exposed slices were interpolated between their neighbours"
        )
    return stack, ends


def _with_even_light(
    stack: NDArray[Any], unknown: Mask | None, remarks: list[str]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The stack without stripes and with even light, and the noise (Z,) of its slices."""
    light = measure_light(stack, unknown)
    if not (light.noise > 0).all():
        return stack, light.noise
    smooth = without_stripes(stack, light.noise, unknown)
    if smooth is not stack:
        remarks.append("lines of equal offset were taken out of the slices")
        stack, light = smooth, measure_light(smooth, unknown)
    # Where most of the ground is 0, the rest is mostly neurites. Their slices differ by nature.
    if light.is_uneven and (light.fades or has_noise(stack)):
        remarks.append("the slices differ in their light: ground and noise were made even")
        stack = even_light(stack, light)
        return stack, np.full_like(light.noise, np.median(light.noise))
    return stack, light.noise


def _on_one_ground(stack: NDArray[Any], noise: float, remarks: list[str]) -> NDArray[Any]:
    """The stack without its ground, where that has sharp steps."""
    if noise <= 0:
        return stack
    level = without_steps(stack, noise)
    if level is not stack:
        remarks.append(
            "the ground has sharp steps, such as the edge of a tissue: it was subtracted"
        )
    return level


def _filled(stack: NDArray[Any], unknown: Mask, noise: NDArray[np.float64]) -> NDArray[np.float32]:
    """The stack with the ground and the noise of the image in its unknown voxels."""
    filled = stack.astype(np.float32)
    ground = _ground(filled, unknown)[unknown]
    rng = np.random.default_rng(0)
    spread = np.repeat(noise, unknown.sum(axis=(1, 2)))
    filled[unknown] = ground + spread * rng.normal(size=len(ground))
    return filled


def _ground(stack: NDArray[np.float32], unknown: Mask) -> NDArray[np.float32]:
    """The ground (Z, Y, X): medians of blocks' known voxels, interpolated between the blocks."""
    shape = stack.shape
    edge = [min(_BLOCK, n) for n in shape]
    corner = [range(0, n, step) for n, step in zip(shape, edge, strict=True)]
    medians = np.full([len(each) for each in corner], np.nan, dtype=np.float32)
    for at in np.ndindex(medians.shape):
        box = tuple(
            slice(each[i], each[i] + step) for each, i, step in zip(corner, at, edge, strict=True)
        )
        known = ~unknown[box]
        if known.mean() > 0.1:
            medians[at] = np.median(stack[box][known])
    missing = np.isnan(medians)
    if missing.all():
        return np.full(shape, np.median(stack[~unknown]), dtype=np.float32)
    nearest = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
    medians = medians[tuple(nearest)]
    places = np.meshgrid(
        *[(np.arange(n) + 0.5) / step - 0.5 for n, step in zip(shape, edge, strict=True)],
        indexing="ij", sparse=True,
    )  # fmt: skip
    places = np.broadcast_arrays(*places)
    return np.asarray(ndimage.map_coordinates(medians, places, order=1, mode="nearest"))
