"""Results as data of napari's layers, and a layer of a tree as a tree again.

A tree is a layer of vectors, one for each node, from the node to its parent. A root's vector has
no length. napari draws 10,000 of them in one call, and colours each by a column. Its columns hold
what the vectors do not: the number, parent, type and radius of each node, and its confidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadTree
from dineuro_bridge.trees.swc import Eswc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.trees.units import is_in_micrometres
from dineuro_bridge.volumes.volume import Volume

#: Data, arguments and kind of a layer, as napari's readers return them.
LayerData = tuple[Any, dict[str, Any], str]

#: From a node that is likely wrong to a certain one; the colours of the server's page.
_COLOURS = {
    "name": "DINeuro confidence",
    "colors": [
        [1, 0.15, 0, 1], [1, 0.15, 0, 1], [1, 0.9, 0.18, 1], [0.3, 0.9, 0.35, 1],
    ],
    "controls": [0, 0.5, 0.75, 1],
}  # fmt: skip
#: Colours of the kinds of doubts, and of answered ones.
_KINDS = {"join": "#ff8000", "end": "#0080ff", "branch": "#0080ff", "segment": "#ff2020"}
_ANSWERED = {"accepted": "#40c040", "rejected": "#808080"}
_COLUMNS = ("node", "parent", "type", "radius")
#: Width of a tree's lines, in voxels.
_WIDTH = 1.0


def tree_layer(
    tree: Tree,
    ids: NDArray[np.int64] | None = None,
    *,
    name: str = "tree",
    confidence: Mapping[int, float] | None = None,
    placement: Mapping[str, Any] | None = None,
) -> LayerData:
    """A tree as a layer of vectors.

    Args:
        tree: in voxels, or in µm by its comments.
        ids: (N,) of its nodes; None counts from 1.
        name: of the layer.
        confidence: by id; a node without one was set by a person, and is certain.
        placement: where the volume lies; see `image.Picture`.
    """
    place = dict(placement or {})
    if placement is None and is_in_micrometres(tree):
        place = {"units": ("um",) * 3}
    data, columns = tree_data(tree, ids, confidence)
    arguments = {
        "name": name, "features": columns, "edge_width": _WIDTH, "vector_style": "line",
        "edge_color": "confidence", "edge_colormap": _COLOURS, "edge_contrast_limits": (0, 1),
        "ndim": 3, "opacity": 1.0, "metadata": {"comments": tree.comments}, **place,
    }  # fmt: skip
    return data, arguments, "vectors"


def tree_data(
    tree: Tree, ids: NDArray[np.int64] | None, confidence: Mapping[int, float] | None
) -> tuple[NDArray[np.float64], dict[str, NDArray[Any]]]:
    """The vectors of a tree, (N, 2, 3) as z, y, x, and its columns, (N,) each; as `tree_layer`."""
    names = np.arange(1, len(tree) + 1) if ids is None else np.asarray(ids)
    linked = tree.parents >= 0
    nodes = tree.xyz[:, ::-1]
    above = nodes[np.where(linked, tree.parents, np.arange(len(tree)))]
    known = confidence or {}
    columns = {
        "node": names.astype(np.int64),
        "parent": np.where(linked, names[tree.parents], -1).astype(np.int64),
        "type": np.array(tree.types),
        "radius": np.array(tree.radii),
        "confidence": np.array([known.get(name, 1.0) for name in names.tolist()]),
    }
    return np.stack([nodes, above - nodes], axis=1), columns


def tree_of(data: Any, arguments: Mapping[str, Any]) -> Eswc:
    """The tree of a layer that `tree_layer` made, with its confidence as a column.

    Args:
        data: of the layer, (N, 2, 3).
        arguments: of the layer, as napari gives them to a writer.

    Raises:
        BadTree: the layer is no tree, or its links are broken.
    """
    columns = arguments.get("features")
    vectors = np.asarray(data, dtype=np.float64)
    if columns is None or any(name not in columns for name in _COLUMNS):
        raise BadTree(
            f"{arguments.get('name', 'the layer')}: is no tree: its vectors have no columns "
            f"{', '.join(_COLUMNS)}"
        )
    names = np.asarray(columns["node"], dtype=np.int64)
    place = {name: at for at, name in enumerate(names.tolist())}
    parents = [place.get(name, -1) for name in np.asarray(columns["parent"]).tolist()]
    # The row numbers take the place of the types, so the tree tells its order.
    sorted_tree = Tree.from_links(
        vectors.reshape(-1, 2, 3)[:, 0, ::-1], columns["radius"], parents, np.arange(len(names)),
        tuple((arguments.get("metadata") or {}).get("comments", ())),
    )  # fmt: skip
    order = sorted_tree.types
    tree = Tree(
        sorted_tree.xyz, sorted_tree.radii, sorted_tree.parents,
        np.asarray(columns["type"], dtype=np.int64)[order], sorted_tree.comments,
    )  # fmt: skip
    sure = np.asarray(columns["confidence"] if "confidence" in columns else np.ones(len(order)))
    zeros = np.zeros(len(tree))
    empty = dict.fromkeys(("seg_id", "level", "mode", "timestamp", "teraflyindex"), zeros)
    return Eswc(tree, {**empty, "confidence": sure[order].astype(np.float64)})


def confidences(tree: Tree, segments: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    """The confidence of each node by its number, from the segments of a report.

    Args:
        tree: as it was traced; its nodes count from 1.
        segments: each with the numbers of its ends and its confidence.
    """
    above = tree.parents.tolist()
    known = dict[int, float]()
    for segment in segments:
        node, start = int(segment["end"]), int(segment["start"])
        while 0 < node <= len(above) and node != start:
            known[node] = float(segment["confidence"])
            node = above[node - 1] + 1
    return known


def mask_layer(
    mask: Volume, shape: tuple[int, int, int], name: str, placement: Mapping[str, Any]
) -> LayerData:
    """A mask as labels, 0 and 1.

    Args:
        mask: (1, Z, Y, X) uint8, of the whole volume or of a box in it.
        shape: (Z, Y, X) of the whole volume.
        name: of the layer.
        placement: where the whole volume lies.
    """
    labels = (mask.voxels[0] > 0).view(np.uint8)
    place = dict(placement)
    if mask.shape != tuple(shape):
        place["translate"] = _moved(place, mask.origin)
    return labels, {"name": name, "opacity": 0.35, "blending": "additive", **place}, "labels"


def _moved(placement: Mapping[str, Any], origin: Sequence[int]) -> NDArray[np.float64]:
    """The translation of a box that begins at a voxel (z, y, x)."""
    shear = np.eye(3)
    shear[np.triu_indices(3, 1)] = placement.get("shear", np.zeros(3))
    step = np.asarray(placement.get("scale", np.ones(3))) * origin
    turned = np.asarray(placement.get("rotate", np.eye(3))) @ shear @ step
    return np.asarray(placement.get("translate", np.zeros(3))) + turned


def doubt_layer(
    doubts: Sequence[Mapping[str, Any]], name: str, placement: Mapping[str, Any]
) -> LayerData:
    """The doubts as numbered points."""
    places = np.array([doubt["place"][::-1] for doubt in doubts], dtype=np.float64).reshape(-1, 3)
    arguments = {
        "name": name, "ndim": 3, "features": {"number": np.arange(1, len(doubts) + 1)},
        "size": 6.0, "face_color": "transparent", "border_width": 0.2,
        "border_color": doubt_colours(doubts, {}) or "white",
        "text": {"string": "{number}", "size": 10, "color": "white", "translation": [0, -6, 0]},
        **placement,
    }  # fmt: skip
    return places, arguments, "points"


def doubt_colours(doubts: Sequence[Mapping[str, Any]], answers: Mapping[int, str]) -> list[str]:
    """The colour of each doubt: of its kind, or of its answer."""
    return [
        _ANSWERED.get(answers.get(number, ""), _KINDS.get(doubt["kind"], "#ffffff"))
        for number, doubt in enumerate(doubts, 1)
    ]


def channel_layers(volume: Volume, name: str) -> list[LayerData]:
    """Each channel of a volume as an image, in µm where the voxel size is known."""
    place: dict[str, Any] = {}
    if volume.spacing is not None:
        place = {"scale": volume.spacing, "units": ("um",) * 3}
    many = volume.n_channels > 1
    return [
        (
            volume.voxels[at],
            {
                "name": f"{name} channel {at + 1}" if many else name,
                "blending": "additive" if many else "translucent_no_depth",
                **place,
            },
            "image",
        )
        for at in range(volume.n_channels)
    ]
