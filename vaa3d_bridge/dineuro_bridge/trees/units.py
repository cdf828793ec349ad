"""Trees in micrometres, where trees in voxels are expected: how they are noticed and converted."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadTree
from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.trees.tree import Tree

_MICROMETRES = re.compile(
    r"\b(?:units?|coordinates)\b.*?(?<![a-z_])"
    r"(?:um|\u00b5m|\u03bcm|microns?|micromet(?:er|re)s?)(?![a-z_])",
    re.IGNORECASE,
)
#: Ratios of the extents of two trees that point to another unit, and how alike the axes must be.
_SMALLEST, _LARGEST, _ALIKE = 0.02, 0.85, 1.6
#: Voxels of an extent that is axes.
_EXTENT = 8.0
#: Share of a tree's nodes that lie in its volume, and how bright these are for a sure judgement.
_INSIDE, _BRIGHT, _BRIGHTER = 0.9, 0.8, 0.2


def is_in_micrometres(tree: Tree) -> bool:
    """Whether the comments of a tree's file say that its unit is the micrometre."""
    return any(_MICROMETRES.search(line) for line in tree.comments)


def in_voxels(tree: Tree, spacing_xyz: tuple[float, float, float]) -> Tree:
    """A tree in µm -> the tree in voxels of a size (x, y, z) in µm; radii in finest voxels."""
    scale = VoxelScale(spacing_xyz[::-1])
    radii = tree.radii / min(spacing_xyz)
    return replace(tree, xyz=scale.voxels_of_micrometres_xyz(tree.xyz), radii=radii)


def check_in_voxels(tree: Tree, path: Path | str, advice: str) -> None:
    """Refuse a tree whose comments say that it is in micrometres.

    Raises:
        BadTree: they do; `advice` says what to do instead.
    """
    if is_in_micrometres(tree):
        raise BadTree(f"{path}: is in µm by its comments, and voxels are expected: {advice}")


def fits_in_micrometres(
    tree: Tree, voxels: NDArray[Any], spacing_xyz: tuple[float, float, float]
) -> bool:
    """Whether a tree lies on bright voxels of its volume only if it is taken to be in µm.

    Args:
        tree: a tree of unknown unit, with a node or more.
        voxels: (Z, Y, X) intensities.
        spacing_xyz: x, y, z in µm of a voxel.
    """
    as_voxels = _brightness(tree, voxels)
    as_micrometres = _brightness(in_voxels(tree, spacing_xyz), voxels)
    return as_micrometres > max(_BRIGHT, as_voxels + _BRIGHTER)


def _brightness(tree: Tree, voxels: NDArray[Any]) -> float:
    """Mean share of the volume that is darker than the tree's nodes; 0 if they leave the volume."""
    places = np.rint(tree.xyz[:, ::-1]).astype(np.int64)
    places = places[((places >= 0) & (places < voxels.shape)).all(axis=1)]
    if len(places) < _INSIDE * len(tree):
        return 0.0
    sample = np.sort(voxels.reshape(-1)[:: (voxels.size // 1_000_000) | 1])
    values = voxels[tuple(places.T)]
    ranks = np.searchsorted(sample, values, "left") + np.searchsorted(sample, values, "right")
    return float(ranks.mean() / 2 / len(sample))


def scale_doubt(gold: Tree, test: Tree) -> str | None:
    """A sentence if one tree looks like the other in another unit; None if not.

    Args:
        gold: the reference.
        test: a tree that matches it badly; trees that match have the same unit.
    """
    if len(gold) < 2 or len(test) < 2:
        return None
    sizes = [np.ptp(tree.xyz, axis=0) for tree in (gold, test)]
    axes = np.minimum(*sizes) > _EXTENT * _SMALLEST
    axes &= np.maximum(*sizes) > _EXTENT
    if axes.sum() < 2:
        return None
    ratios = sizes[0][axes] / sizes[1][axes]
    if ratios.max() > _ALIKE**2 * ratios.min():
        return None
    if _SMALLEST < ratios.max() < _LARGEST:
        return f"the gold tree spans {np.median(ratios):.2g} of the test tree: is it in µm?"
    if _SMALLEST < 1 / ratios.min() < _LARGEST:
        return f"the test tree spans {np.median(1 / ratios):.2g} of the gold tree: is it in µm?"
    return None
