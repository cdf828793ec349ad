"""A picture of a reconstruction: three maximum projections with the tree drawn over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dineuro_bridge.files import atomic_output
from dineuro_bridge.trees.tree import Tree

#: The most pixels of the picture's longer side, and of a voxel's side.
_MAX_SIDE, _MAX_ZOOM = 1600, 4
_GAP = 6
_BACKGROUND = 40
_NEURITE, _SOMA = (255, 70, 60), (80, 220, 255)


def write_preview(path: Path | str, intensity: NDArray[Any], tree: Tree) -> None:
    """Write the picture as PNG, whole or not at all.

    Args:
        path: the PNG file.
        intensity: (Z, Y, X), any real dtype.
        tree: coordinates x, y, z in voxels of `intensity`.

    Raises:
        FileAccess: the place cannot be written to.
    """
    picture = preview(intensity, tree)
    with atomic_output(path) as temporary:
        picture.save(temporary, format="PNG")


def preview(intensity: NDArray[Any], tree: Tree) -> Image.Image:
    """The projections along z (top left), x (right) and y (below), all in the same scale.

    Args:
        intensity: (Z, Y, X), any real dtype.
        tree: coordinates x, y, z in voxels of `intensity`.
    """
    depth, height, width = intensity.shape
    side = max(width, height) + depth
    zoom = min(_MAX_ZOOM, max((_MAX_SIDE - _GAP) / side, 1e-3))
    views = [
        (intensity.max(axis=0), (0, 1), (0, 0)),
        (intensity.max(axis=2).T, (2, 1), (width, 0)),
        (intensity.max(axis=1), (0, 2), (0, height)),
    ]
    size = (round((width + depth) * zoom) + _GAP, round((height + depth) * zoom) + _GAP)
    canvas = Image.new("RGB", size, (_BACKGROUND,) * 3)
    for plane, axes, (right, down) in views:
        corner = (
            round(right * zoom) + (_GAP if right else 0),
            round(down * zoom) + (_GAP if down else 0),
        )
        canvas.paste(_projection(_gray(plane), tree, axes, zoom), corner)
    return canvas


def _gray(plane: NDArray[Any]) -> NDArray[np.uint8]:
    """A projection as 8-bit gray, from its median to its 99.8th percentile.

    The square root makes dim neurites visible.
    """
    values = plane.astype(np.float32)
    low, high = np.percentile(values, [50, 99.8])
    if high <= low:
        low, high = values.min(), max(values.max(), values.min() + 1)
    return np.asarray(np.sqrt(np.clip((values - low) / (high - low), 0, 1)) * 255, dtype=np.uint8)


def _projection(
    gray: NDArray[np.uint8], tree: Tree, axes: tuple[int, int], zoom: float
) -> Image.Image:
    """One projection, enlarged, with the tree's links as lines and its roots as rings."""
    rows, columns = gray.shape
    size = (max(1, round(columns * zoom)), max(1, round(rows * zoom)))
    image = Image.fromarray(gray).resize(size, Image.Resampling.BILINEAR).convert("RGB")
    pen = ImageDraw.Draw(image)
    places = ((tree.xyz[:, axes] + 0.5) * zoom).tolist()
    for node, parent in enumerate(tree.parents.tolist()):
        if parent >= 0:
            pen.line([*places[parent], *places[node]], fill=_NEURITE, width=1)
    for root in tree.roots.tolist():
        x, y = places[root]
        r = max(3.0, float(tree.radii[root]) * zoom)
        pen.ellipse([x - r, y - r, x + r, y + r], outline=_SOMA, width=2)
    return image
