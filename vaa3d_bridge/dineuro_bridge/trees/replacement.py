"""A tree that takes the place of an edited one, as another program saved it.

A node at the place of a present one keeps its id, so that doubts still find their links.
"""

from __future__ import annotations

from collections import defaultdict

from dineuro_bridge.errors import BadEdit, BadTree
from dineuro_bridge.trees.edited import EditedTree, Node
from dineuro_bridge.trees.swc import parse_swc
from dineuro_bridge.trees.tree import Tree

#: The largest type; SWC leaves those above 7 to programs.
LARGEST_TYPE = 999
#: Places that agree in this many decimals are one place; programs keep no more of a voxel.
_DECIMALS = 3
#: The radius of a point or a node that has none (voxels).
LEAST_RADIUS = 0.1

Nodes = dict[int, tuple[Node | None, Node | None]]


def swc_field(op: str, key: str, value: object) -> str:
    """The field of an operation that holds SWC text.

    Raises:
        BadEdit: it is no text, or a blank one.
    """
    if not isinstance(value, str) or not value.strip():
        raise BadEdit(f"{op}: {key} must be the text of an SWC file")
    return value


def replaced(
    present: EditedTree,
    text: str,
    *,
    size: tuple[int, int, int] | None,
    next_id: int,
) -> Nodes:
    """The nodes that differ between an edited tree and the one in a text.

    Args:
        present: the edited tree.
        text: SWC in voxels.
        size: x, y, z of the volume in voxels; None is unknown.
        next_id: the id of the first new node.

    Returns:
        Each touched node before and after, by its id; at least one.

    Raises:
        BadEdit: the text is no tree, or a node lies outside the volume or has a wrong radius or
            type, or nothing differs. The message names the line, or the node by its place.
    """
    try:
        tree = parse_swc(text, "tree")
    except BadTree as error:
        raise BadEdit(f"replace: {error}") from error
    _check(tree, size)
    ids = _ids(present, tree, next_id)
    nodes = Nodes()
    columns = (tree.xyz.tolist(), tree.radii, tree.types, tree.parents)
    for name, (x, y, z), radius, kind, parent in zip(ids, *columns, strict=True):
        above = ids[parent] if parent >= 0 else -1
        after = Node(x, y, z, max(float(radius), LEAST_RADIUS), int(kind), above)
        if (before := present.nodes.get(name)) != after:
            nodes[name] = (before, after)
    kept = set(ids)
    gone = {name: (node, None) for name, node in present.nodes.items() if name not in kept}
    if not nodes and not gone:
        raise BadEdit("replace: the tree is the present one already")
    return nodes | gone


def _ids(present: EditedTree, tree: Tree, next_id: int) -> list[int]:
    """The id of each node of a tree: that of a present node at its place, or a new one."""
    free = defaultdict[tuple[float, ...], list[int]](list)
    for name, node in sorted(present.nodes.items(), reverse=True):
        free[tuple(round(value, _DECIMALS) for value in node[:3])].append(name)
    ids = list[int]()
    for xyz in tree.xyz.tolist():
        same = free.get(tuple(round(value, _DECIMALS) for value in xyz))
        if same:
            ids.append(same.pop())
        else:
            ids.append(next_id)
            next_id += 1
    return ids


def _check(tree: Tree, size: tuple[int, int, int] | None) -> None:
    rows = zip(tree.xyz.tolist(), tree.radii, tree.types, strict=True)
    for xyz, radius, kind in rows:
        place = ", ".join(f"{value:g}" for value in xyz)
        if size is not None and not all(
            -0.5 <= value <= side - 0.5 for value, side in zip(xyz, size, strict=True)
        ):
            raise BadEdit(f"replace: the node at ({place}) lies outside the volume (voxels)")
        if radius < 0:
            raise BadEdit(f"replace: the node at ({place}) has the radius {radius:g}")
        if not 0 <= kind <= LARGEST_TYPE:
            raise BadEdit(f"replace: the node at ({place}) has the type {kind}")
