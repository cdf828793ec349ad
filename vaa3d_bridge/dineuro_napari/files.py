"""What napari opens and saves through the plugin: trees, and Vaa3D's volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dineuro_bridge.errors import BadVolume, UnsupportedFormat
from dineuro_bridge.trees.swc import Eswc, read_eswc, write_eswc, write_swc
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_napari.layers import LayerData, channel_layers, tree_layer, tree_of

Reader = Callable[[Any], list[LayerData]]
_COLUMNS = ("n", "type", "x", "y", "z", "radius", "parent")


def tree_reader(path: str | Sequence[str]) -> Reader | None:
    """The question of napari who reads trees: one SWC or ESWC file or several."""
    return read_trees if _all_end(path, (".swc", ".eswc")) else None


def volume_reader(path: str | Sequence[str]) -> Reader | None:
    """The question of napari who reads Vaa3D's volumes."""
    return read_volumes if _all_end(path, (".v3draw", ".raw", ".v3dpbd", ".pbd")) else None


def read_trees(path: str | Sequence[str]) -> list[LayerData]:
    """Trees as layers of vectors, coloured by the confidence that an ESWC of DINeuro holds.

    Raises:
        FileAccess, BadFile, BadTree: see `dineuro_bridge.trees.swc.read_swc`.
    """
    layers = []
    for one in _paths(path):
        graded = read_eswc(one)
        layers.append(
            tree_layer(graded.tree, name=one.stem, confidence=_confidence_of(one, graded))
        )
    return layers


def read_volumes(path: str | Sequence[str]) -> list[LayerData]:
    """Volumes as image layers, one for each channel.

    Raises:
        DineuroError: see `dineuro_bridge.volumes.formats.read_volume`.
    """
    layers = []
    for one in _paths(path):
        layers += channel_layers(read_volume(one), one.stem)
    return layers


def write_tree(path: str, data: Any, arguments: dict[str, Any]) -> list[str]:
    """Save a tree's layer as SWC, or as ESWC with its confidence.

    Raises:
        BadTree: the layer is no tree.
        FileAccess: the path cannot be written.
    """
    graded = tree_of(data, arguments)
    if path.lower().endswith(".eswc"):
        write_eswc(path, graded)
    else:
        write_swc(path, graded.tree)
    return [path]


def write_stack(path: str, data: Any, arguments: dict[str, Any]) -> list[str]:
    """Save an image or labels as a volume, whose sample type is not changed.

    Raises:
        BadVolume: the layer has not three axes, or is a picture in colour.
        UnsupportedFormat: the format cannot hold the sample type.
        FileAccess: the path cannot be written.
    """
    name = arguments.get("name", path)
    if not hasattr(data, "dtype") and len(data):
        data = data[0]  # the finest of several levels
    if arguments.get("rgb") or np.ndim(data) != 3:
        raise BadVolume(f"{name}: only a stack in grey with three axes (z, y, x) can be saved so")
    voxels = np.asarray(data)
    if voxels.dtype.kind in "bi" and voxels.size and voxels.min() >= 0 and voxels.max() < 2**16:
        voxels = voxels.astype(np.uint8 if voxels.max() < 2**8 else np.uint16)
    if voxels.dtype not in (np.uint8, np.uint16, np.float32):
        raise UnsupportedFormat(f"{name}: {voxels.dtype} samples do not fit Vaa3D's formats")
    write_volume(path, Volume(voxels[None]))
    return [path]


def _confidence_of(path: Path, graded: Eswc) -> dict[int, float]:
    """The confidences by the number of the node, where the line of column names has them."""
    with path.open(encoding="utf-8", errors="replace") as file:
        headers = [line[1:].split() for line in file if line.startswith("#")]
    for words in headers:
        if words[:2] == ["n", "type"] and "confidence" in words:
            at = words.index("confidence") - len(_COLUMNS)
            column = list(graded.columns.values())[at] if 0 <= at < len(graded.columns) else None
            if column is not None:
                return dict(enumerate(np.nan_to_num(column, nan=1.0).tolist(), 1))
    return {}


def _all_end(path: str | Sequence[str], suffixes: tuple[str, ...]) -> bool:
    return all(str(one).lower().endswith(suffixes) for one in _paths(path))


def _paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
