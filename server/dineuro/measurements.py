"""Measurements of the trees in files, in µm where the voxel size is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dineuro_bridge.options import Point
from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.trees.units import is_in_micrometres
from dineuro_tracing.measure import measure

_SPACING = re.compile(r"spacing_um_xyz ([\d.e+-]+) ([\d.e+-]+) ([\d.e+-]+)")


def measured_file(path: Path | str, spacing: Point | None, step: float) -> dict[str, Any]:
    """The measurements of an SWC file, as JSON values.

    Args:
        path: the file; its comments may say that it is in µm, or the size of a voxel.
        spacing: x, y, z in µm of a voxel, for a tree in voxels; None takes that of the comments.
        step: the distance of Sholl's spheres.

    Raises:
        BadTree, BadFile, FileAccess: as `read_swc`.
    """
    tree = read_swc(path)
    if spacing is None and is_in_micrometres(tree):
        return measure(tree, unit="um", step=step).as_dict()
    known = spacing or _stated_spacing(tree)
    return measure(tree, None if known is None else known[::-1], step=step).as_dict()


def as_row(record: Mapping[str, Any]) -> dict[str, str | int | float]:
    """Measurements as one flat row: a column for each figure, and for the length of each type."""
    row: dict[str, str | int | float] = {
        name: "" if value is None else value
        for name, value in record.items()
        if not isinstance(value, Mapping)
    }
    for kind, part in record["by_type"].items():
        row[f"length_type_{kind}"] = part["length"]
    row["sholl_step"] = record["sholl"]["step"]
    row["sholl_crossings"] = " ".join(map(str, record["sholl"]["crossings"]))
    return row


def _stated_spacing(tree: Tree) -> Point | None:
    """The size of a voxel by the comments that DINeuro writes."""
    for line in tree.comments:
        if found := _SPACING.fullmatch(line):
            x, y, z = (float(word) for word in found.groups())
            return (x, y, z) if min(x, y, z) > 0 else None
    return None
