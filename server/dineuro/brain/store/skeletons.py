"""Neurons as a layer of skeletons for Neuroglancer, in its precomputed format.

neuroglancer/info              the format, and the attribute of the vertices
neuroglancer/N                 the skeleton of neurons/0000N.swc
neuroglancer/properties/info   the names of the neurons
neuroglancer/state.json        a view with the skeletons and the enhanced volume

Places and radii are in nanometres. A voxel's centre lies at its index times the voxel size, as
Neuroglancer places OME-Zarr.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from dineuro_bridge.files import atomic_output
from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.trees.tree import Tree

#: The address at which the folder of the run is expected, and the page that shows it.
ADDRESS = "http://127.0.0.1:9000"
_PAGE = "https://neuroglancer-demo.appspot.com/#!"
_NANOMETRES = 1000.0
#: Neurons that are shown at first, so that the address stays short.
_SHOWN = 100


def skeleton_bytes(tree: Tree, scale: VoxelScale) -> bytes:
    """A tree as a skeleton.

    Args:
        tree: in voxels, radii in finest voxels.
        scale: the voxel's edges; without a size, a voxel is a cube of 1 µm.
    """
    places = np.ascontiguousarray(scale.micrometres_xyz(tree.xyz) * _NANOMETRES, dtype="<f4")
    radii = np.ascontiguousarray(scale.micrometres(tree.radii) * _NANOMETRES, dtype="<f4")
    child = np.flatnonzero(tree.parents >= 0)
    edges = np.stack([child, tree.parents[child]], axis=1).astype("<u4")
    head = struct.pack("<II", len(places), len(edges))
    return head + places.tobytes() + edges.tobytes() + radii.tobytes()


def write_skeletons(
    folder: Path, trees: Sequence[Tree], names: Sequence[str], scale: VoxelScale
) -> str:
    """Write a layer with the trees as segments 1, 2, …; others that it held are removed.

    Args:
        folder: of the run.
        trees: in voxels.
        names: of the trees.
        scale: the voxel's edges.

    Returns:
        The address of a view, for a browser; the folder of the run must be served at `ADDRESS`.
    """
    place = folder / "neuroglancer"
    (place / "properties").mkdir(parents=True, exist_ok=True)
    known = VoxelScale((1.0, 1.0, 1.0)) if scale.spacing is None else scale
    for number, tree in enumerate(trees, 1):
        with atomic_output(place / str(number)) as temporary:
            temporary.write_bytes(skeleton_bytes(tree, known))
    for old in place.iterdir():
        if old.name.isdigit() and int(old.name) > len(trees):
            old.unlink()
    ids = [str(number) for number in range(1, len(trees) + 1)]
    _write(place / "info", {
        "@type": "neuroglancer_skeletons",
        "transform": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
        "vertex_attributes": [{"id": "radius", "data_type": "float32", "num_components": 1}],
        "segment_properties": "properties",
    })  # fmt: skip
    _write(place / "properties" / "info", {
        "@type": "neuroglancer_segment_properties",
        "inline": {
            "ids": ids, "properties": [{"id": "label", "type": "label", "values": list(names)}],
        },
    })  # fmt: skip
    state = _state(ids[:_SHOWN], known)
    _write(place / "state.json", state)
    return _PAGE + quote(json.dumps(state, separators=(",", ":")))


def _state(ids: list[str], scale: VoxelScale) -> dict[str, Any]:
    edges = (scale.spacing or (1.0, 1.0, 1.0))[::-1]
    return {
        "dimensions": {name: [edge * 1e-6, "m"] for name, edge in zip("xyz", edges, strict=True)},
        "layers": [
            {
                "type": "image", "name": "probability",
                "source": f"{ADDRESS}/probability.ome.zarr/|zarr3:",
            },
            {
                "type": "segmentation", "name": "neurons",
                "source": f"precomputed://{ADDRESS}/neuroglancer", "segments": ids,
            },
        ],
        "layout": "4panel",
    }  # fmt: skip


def _write(path: Path, record: dict[str, Any]) -> None:
    with atomic_output(path) as temporary:
        temporary.write_text(json.dumps(record), encoding="utf-8")
