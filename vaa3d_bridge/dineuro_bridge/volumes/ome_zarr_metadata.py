"""What OME's metadata say of an image: its levels, axes, voxel size and channels.

Sources: the OME-Zarr specifications 0.1 to 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from dineuro_bridge.errors import BadFile, BadVolume, UnsupportedFormat
from dineuro_bridge.scale import Spacing
from dineuro_bridge.volumes.ome_zarr_nodes import Layout, Node, layout_of, nodes_below, read_node
from dineuro_bridge.volumes.remote import Place
from dineuro_bridge.volumes.voxel_size import micrometres_of

_AXES = "tczyx"
#: How many names of arrays or images an error lists.
_MOST_NAMES = 5


@dataclass(frozen=True, slots=True)
class Level:
    """One level of resolution.

    Attributes:
        layout: of its array.
        scale: units of each axis per voxel, in the order of the axes; None where not stated.
    """

    layout: Layout
    scale: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Image:
    """A multiscale image, or a bare array as an image of one level.

    Attributes:
        version: of OME-Zarr; empty for a bare array.
        axes: a letter of "tczyx" for each axis, in the order of the arrays.
        units: of each axis, None where not stated.
        levels: the finest first.
        channels: their names.
        warnings: about what the metadata leave open.
    """

    version: str
    axes: str
    units: tuple[str | None, ...]
    levels: tuple[Level, ...]
    channels: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def spacing(self, level: int) -> Spacing | None:
        """(z, y, x) in µm of a level; None where one of the three or its unit is not known."""
        scale = self.levels[level].scale
        if scale is None or not set("zyx") <= set(self.axes):
            return None
        steps = []
        for axis in "zyx":
            at = self.axes.index(axis)
            factor = micrometres_of(self.units[at] or "")
            if factor is None:
                return None
            steps.append(scale[at] * factor)
        z, y, x = steps
        return z, y, x


def read_image(path: Place) -> Image:
    """The image of a folder; raises as `ome_zarr.ZarrSource`."""
    node = read_node(path)
    if node is None:
        raise BadFile(f"{path}: holds no zarr.json, .zgroup or .zarray")
    if _multiscales(node) is None and node.other is not None and _multiscales(node.other):
        node = node.other
    if node.is_array:
        return _bare_array(node)
    if not _multiscales(node):
        node = _only_image_below(node)
    doubt = (f"the folder holds metadata of Zarr 2 and of Zarr 3: those of {node.version} are read"
             if _is_mixed(path) else None)  # fmt: skip
    return _image(node, () if doubt is None else (doubt,))


def _is_mixed(path: Place) -> bool:
    return (path / "zarr.json").exists() and any(
        (path / name).exists() for name in (".zgroup", ".zattrs", ".zarray")
    )


def _ome(node: Node) -> dict[str, Any]:
    """OME's attributes, which 0.5 keeps below a name of their own."""
    ome = node.attributes.get("ome")
    return ome if isinstance(ome, dict) else node.attributes


def _multiscales(node: Node) -> list[Any] | None:
    found = _ome(node).get("multiscales")
    return found if isinstance(found, list) else None


def _only_image_below(node: Node) -> Node:
    """The single image of a group that is no image itself, as bioformats2raw writes it."""
    below = nodes_below(node.path)
    images = [each for each in below if _multiscales(each)]
    pictures = [each for each in images if "labels" not in each.path.parts]
    if len(pictures) == 1:
        return pictures[0]
    if pictures:
        raise BadFile(
            f"{node.path}: holds {len(pictures)} images: name one of them: {_names(pictures)}"
        )
    arrays = [each for each in below if each.is_array]
    if arrays:
        raise BadFile(
            f"{node.path}: its metadata name no image (no multiscales): name one of its arrays: "
            f"{_names(arrays)}"
        )
    raise BadFile(
        f"{node.path}: its metadata name no image (no multiscales), and it holds no array "
        "(copied in part?)"
    )


def _names(nodes: Sequence[Node]) -> str:
    names = " ".join(str(each.path) for each in nodes[:_MOST_NAMES])
    return names + (" …" if len(nodes) > _MOST_NAMES else "")


def _bare_array(node: Node) -> Image:
    """An array without OME's metadata: the last axes are taken as z, y and x."""
    layout = layout_of(node)
    count = len(layout.shape)
    if not 2 <= count <= len(_AXES):
        raise BadVolume(f"{node.path}: an array of {count} axes is no volume")
    names = node.fields.get("dimension_names") or node.attributes.get("_ARRAY_DIMENSIONS")
    stated = isinstance(names, list) and all(isinstance(name, str) for name in names)
    axes = "".join(names).lower() if stated and isinstance(names, list) else ""
    if len(axes) != count or not _is_known(axes):
        axes = _AXES[-count:]
    warning = f"a bare array without OME's metadata: its axes are taken as {axes}"
    return Image("", axes, (None,) * count, (Level(layout, None),), warnings=(warning,))


def _image(node: Node, warnings: tuple[str, ...]) -> Image:
    path, ome = node.path, _ome(node)
    first = (_multiscales(node) or [None])[0]
    if not isinstance(first, dict):
        raise BadFile(f"{path}: damaged: multiscales is no list of objects")
    datasets = first.get("datasets")
    if not isinstance(datasets, list) or not datasets:
        raise BadFile(f"{path}: damaged: multiscales has no datasets")
    layouts = [_layout(path, dataset) for dataset in datasets]
    count = len(layouts[0].shape)
    for layout in layouts[1:]:
        if (len(layout.shape), layout.dtype.newbyteorder("=")) != (
            count, layouts[0].dtype.newbyteorder("="),
        ):  # fmt: skip
            raise BadFile(f"{layout.path}: damaged: unlike {layouts[0].path} in axes or samples")
    axes, units = _axes(path, first.get("axes"), count)
    common = _scale(path, first.get("coordinateTransformations"), count)
    levels = []
    for dataset, layout in zip(datasets, layouts, strict=True):
        scale = _scale(path, dataset.get("coordinateTransformations"), count)
        if scale is not None and common is not None:
            scale = tuple(a * b for a, b in zip(scale, common, strict=True))
        levels.append(Level(layout, scale))
    version = str(ome.get("version") or first.get("version") or "?")[:20]
    image = Image(version, axes, units, tuple(levels), _channels(ome), warnings)
    doubt = _unit_doubt(image)
    if doubt is None:
        return image
    return Image(version, axes, units, tuple(levels), image.channels, (*warnings, doubt))


def _layout(path: Place, dataset: Any) -> Layout:
    name = dataset.get("path") if isinstance(dataset, dict) else None
    if not isinstance(name, str) or not name or "\0" in name:
        raise BadFile(f"{path}: damaged: a dataset of multiscales has no path")
    inner = PurePosixPath(name)
    if inner.is_absolute() or ".." in inner.parts:
        raise BadFile(f"{path}: the array {name[:60]!r} lies outside the folder")
    node = read_node(path / str(inner))
    if node is None:
        raise BadFile(f"{path}: the array {name[:60]!r} is missing (copied in part?)")
    if not node.is_array and node.other is not None:
        node = node.other
    if not node.is_array:
        raise BadFile(f"{path / str(inner)}: damaged: multiscales names it, but it is no array")
    return layout_of(node)


def _is_known(axes: str) -> bool:
    return len(set(axes)) == len(axes) and set("yx") <= set(axes) <= set(_AXES)


def _axes(path: Place, stated: Any, count: int) -> tuple[str, tuple[str | None, ...]]:
    """A letter and a unit for each axis; 0.1 and 0.2 have no names, 0.3 has no units."""
    if stated is None:
        stated = list(_AXES[-count:])
    if not isinstance(stated, list):
        raise BadFile(f"{path}: damaged: axes is no list")
    names, units = list[str](), list[str | None]()
    for axis in stated:
        name = axis.get("name") if isinstance(axis, dict) else axis
        unit = axis.get("unit") if isinstance(axis, dict) else None
        names.append(str(name).lower())
        units.append(unit if isinstance(unit, str) else None)
    if len(names) != count:
        raise BadFile(f"{path}: damaged: {len(names)} axes are named, and the array has {count}")
    if not all(len(name) == 1 for name in names) or not _is_known("".join(names)):
        raise UnsupportedFormat(
            f"{path}: axes {', '.join(names)[:80]}: they must be y and x, and of t, c and z"
        )
    return "".join(names), tuple(units)


def _scale(path: Place, transformations: Any, count: int) -> tuple[float, ...] | None:
    """The product of the scales; None where none is stated, or one that is not a list here."""
    if not isinstance(transformations, list):
        return None
    product: tuple[float, ...] | None = None
    for each in transformations:
        if not isinstance(each, dict) or each.get("type") != "scale":
            continue
        steps = each.get("scale")
        if steps is None:  # a file of its own, which no program is known to write
            return None
        if not isinstance(steps, list) or len(steps) != count:
            raise BadFile(f"{path}: damaged: a scale of {str(steps)[:60]} for {count} axes")
        if not all(type(s) in (int, float) and 0 < s < math.inf for s in steps):
            raise BadFile(f"{path}: damaged: a scale of {str(steps)[:60]}")
        before = product or (1.0,) * count
        product = tuple(float(a * b) for a, b in zip(steps, before, strict=True))
    return product


def _unit_doubt(image: Image) -> str | None:
    """The warning about a voxel size whose unit is missing or no length."""
    scale = image.levels[0].scale
    if scale is None or image.spacing(0) is not None or "z" not in image.axes:
        return None
    at = [image.axes.index(axis) for axis in "xyz"]
    if all(scale[n] == 1 for n in at):
        return None
    sizes = " x ".join(f"{scale[n]:g}" for n in at)
    units = [image.units[n] or "no unit" for n in at]
    unknown = next(unit for unit in units if micrometres_of(unit) is None)
    text = unknown if unknown == "no unit" else f"the unit {unknown[:40]!r}"
    return (
        f"the voxel size {sizes} (x, y, z) has {text} and is not used: pass --spacing x,y,z in µm"
    )


def _channels(ome: dict[str, Any]) -> tuple[str, ...]:
    """The labels that OMERO's block gives the channels."""
    omero = ome.get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list):
        return ()
    labels = [str(c.get("label", ""))[:40] if isinstance(c, dict) else "" for c in channels[:100]]
    return tuple("".join(letter for letter in label if letter.isprintable()) for label in labels)
