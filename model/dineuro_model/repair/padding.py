"""Padding: places of a stack without an image, which other programs fill with a constant.

Aligned slices, a rotation, a cleared surrounding and a mosaic leave such places at the border. The
step from the constant to the ground looks like a bright structure.

Published stacks often have their ground set to 0, all around the neurites. This is no padding. The
image beside padding is whole: it has few holes, its outline is simple, and hardly any of its voxels
have the constant.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dineuro_model.repair.slices import has_noise

Mask = NDArray[np.bool_]

#: The least area of a padded place of a slice, in voxels.
_LEAST_AREA = 12
#: The least and the greatest share of the stack that is padding.
_LEAST, _MOST = 0.003, 0.9
#: The greatest share of the image's voxels that have the constant by chance.
_BY_CHANCE = 0.2
#: An outline without dents is as long as that of its bounding box, counted along the rows and
#: columns. The outline of the image may be longer by this factor.
_DENTS = 1.3
#: Voxels beside the padding may hold an interpolation with it, so they are no image either.
_BLENDED = 1
#: A bright constant is padding where the voxels at this distance are not bright, and where at least
#: this share of the slices has it.
_BESIDE, _SLICES = 2, 0.55
#: Share of the NaN that may lie in narrow places, at the tips of padding.
_ELSEWHERE = 0.02
#: Slices whose border is looked at first, and the share of it that the constant needs there.
_GLANCE, _BORDER = 32, 0.01
#: Slices whose area is looked at next. Where they have this much more of the constant than padding
#: may have, within the image or of it, the others are not looked at.
_SOME, _MARGIN = 8, 0.08


def padding(stack: NDArray[Any], skip: Mask | None = None) -> Mask | None:
    """The voxels (Z, Y, X) without an image; None where every voxel has one.

    Args:
        stack: (Z, Y, X), any real type, finite.
        skip: (Z,), the slices that are not looked at.
    """
    slices = np.arange(len(stack)) if skip is None else np.flatnonzero(~skip)
    value = _constant(stack, slices)
    if value is None:
        return None
    if _is_ground(stack, slices[:: -(-len(slices) // _SOME)], value):
        return None
    outside = np.zeros(stack.shape, dtype=np.bool_)
    for z in slices:
        outside[z] = _at_border(stack[z] == value)
    image = stack[slices][~outside[slices]]
    share = 1 - image.size / (len(slices) * stack[0].size)
    if not _LEAST <= share <= _MOST or (image == value).mean() > _BY_CHANCE:
        return None
    if not has_noise(image):
        return None
    if _dents(~outside[slices]) > _DENTS or _is_bright_place(stack, outside, image, value):
        return None
    return _widened(outside, _BLENDED)


def padding_of_nan(stack: NDArray[Any]) -> Mask | None:
    """The voxels (Z, Y, X) that are NaN, where they are padding; None where some are not.

    Args:
        stack: (Z, Y, X) floats.
    """
    outside = np.isnan(stack)
    if outside.mean() > _MOST:
        return None
    elsewhere = sum(
        np.count_nonzero(plane & ~_at_border(plane)) for plane in outside if not plane.all()
    )
    return None if elsewhere > _ELSEWHERE * np.count_nonzero(outside) else outside


def _constant(stack: NDArray[Any], slices: NDArray[np.int64]) -> Any | None:
    """The most frequent value of flat places at the slices' borders; None without such places."""
    planes = stack[slices[:: max(1, len(slices) // _GLANCE)]]
    lines = [line for p in planes for line in (p[0], p[-1], p[:, 0], p[:, -1])]
    # A voxel of a flat place equals both of its neighbours on the line.
    found = [each[1:-1][(each[1:-1] == each[:-2]) & (each[1:-1] == each[2:])] for each in lines]
    if not found:
        return None
    values, counts = np.unique(np.concatenate(found), return_counts=True)
    border = sum(stack.shape[1:]) * len(found) / 2
    return values[np.argmax(counts)] if counts.max(initial=0) > _BORDER * border else None


def _is_ground(stack: NDArray[Any], slices: NDArray[np.int64], value: Any) -> bool:
    """Whether some slices have clearly more of the constant than a stack with padding."""
    same = stack[slices] == value
    outside = np.count_nonzero([_at_border(plane) for plane in same])
    chance = (np.count_nonzero(same) - outside) / max(same.size - outside, 1)
    return bool(outside > (_MOST + _MARGIN) * same.size or chance > _BY_CHANCE + _MARGIN)


def _at_border(same: Mask) -> Mask:
    """The large places of a plane (Y, X) that reach its border.

    A place counts where it holds squares of 3 x 3 voxels. Beyond the border everything counts, so
    that a strip of one voxel is a place too.
    """
    if not same.any():
        return same
    opened = _opened(same)
    labels, count = ndimage.label(opened)
    if count == 0:
        return opened
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    chosen = np.zeros(count + 1, dtype=np.bool_)
    chosen[np.unique(edges)] = True
    chosen[areas < _LEAST_AREA] = False
    chosen[0] = False
    return np.asarray(chosen[labels])


def _opened(plane: Mask) -> Mask:
    """The squares of 3 x 3 voxels of a plane (Y, X), beyond whose border everything counts."""
    out = np.pad(plane, 2, constant_values=True)
    for axis in (0, 1):
        along = np.moveaxis(out, axis, 0)
        out = np.moveaxis(along[:-2] & along[1:-1] & along[2:], 0, axis)
    for axis in (0, 1):
        along = np.moveaxis(out, axis, 0)
        out = np.moveaxis(along[:-2] | along[1:-1] | along[2:], 0, axis)
    return out


def _dents(image: Mask) -> float:
    """How much longer the outline of the image (Z, Y, X) is than those of its bounding boxes."""
    outline, box = 0, 0
    for plane in image:
        for axis in (0, 1):
            edges = np.diff(np.pad(plane, 1).astype(np.int8), axis=axis)
            outline += int(np.count_nonzero(edges))
            occupied = np.flatnonzero(plane.any(axis=axis))
            box += 2 * int(occupied[-1] - occupied[0] + 1) if len(occupied) else 0
    return outline / max(box, 1)


def _is_bright_place(stack: NDArray[Any], outside: Mask, image: NDArray[Any], value: Any) -> bool:
    """Whether the constant is the end of the range of bright structures, such as a soma."""
    ground = float(np.median(image))
    if float(value) <= ground:
        return False
    if outside.any(axis=(1, 2)).mean() < _SLICES:
        return True
    near = _widened(outside, _BESIDE) & ~_widened(outside, _BESIDE - 1)
    beside = stack[near]
    return len(beside) > 0 and float(np.median(beside)) > (ground + float(value)) / 2


def _widened(mask: Mask, by: int) -> Mask:
    """The mask with the voxels of the same slice within this number of steps."""
    size = (1, 2 * by + 1, 2 * by + 1)
    return np.asarray(ndimage.maximum_filter(mask, size=size, mode="constant"))
