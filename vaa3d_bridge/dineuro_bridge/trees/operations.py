"""The operations of a person who edits a tree: each is checked, and becomes a `Change`.

    accept, reject {doubt}     whether the tree is right at a doubtful place; a rejected join or
                               segment leaves the tree with all that hangs on it, and a rejected end
                               or branch gets the piece that was left out
    cut {node}                 the link above the node goes: what is below is a piece of its own
    delete {node}              the node and all below it go
    join {from, to, path}      two pieces become one; that of `from` gets its root there first
    extend {from, path}        a new branch
    root {node}                the node becomes the root of its piece
    reverse {node}             the root of its piece moves to the end that is furthest along it
    type {node, type, scope}   SWC's type of the node's branch, or of all below it
    replace {tree}             another tree as SWC text takes the place of all; see `replacement`

A path is a list of [x, y, z] or [x, y, z, radius] in voxels, without or with the nodes at its ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dineuro_bridge.errors import BadEdit
from dineuro_bridge.trees.edited import Answer, Change, EditedTree, Node
from dineuro_bridge.trees.replacement import LARGEST_TYPE, LEAST_RADIUS, replaced, swc_field

#: The most points of one path, and the most nodes of a tree.
MOST_POINTS, MOST_NODES = 10_000, 200_000
_SOMA = 1
#: A path's point this near to the node at its end is that node (voxels).
_SAME = 0.5
#: Distance of the points of a line to a piece that was left out (voxels).
_STEP = 2.0

Point = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A doubtful place of the tree that the edits began with.

    Attributes:
        kind: "join", "segment", "end" or "branch"; see `dineuro_tracing.doubts`.
        link: the ids of the lower and of the upper node of the link in doubt; None where something
            is missing.
        alone: whether what lies beyond a wrong link stays, as a piece of its own.
        missing: the nodes that the tree lacks if it is wrong here, parents first; a parent is the
            place of its node among them, and -1 for the first one.
        hangs_on: the id of the node on which they would hang; None for a piece of its own.
    """

    kind: str
    link: tuple[int, int] | None = None
    alone: bool = False
    missing: tuple[Node, ...] = ()
    hangs_on: int | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """What an operation may refer to beside the tree.

    Attributes:
        doubts: by their number.
        size: x, y, z of the volume in voxels; None is unknown.
        next_id: the id of the next new node.
    """

    doubts: Mapping[int, Doubt]
    size: tuple[int, int, int] | None
    next_id: int


Operation = Mapping[str, Any]


def checked(record: object) -> dict[str, Any]:
    """An operation as it came from a client -> its fields and no others, as JSON values.

    Raises:
        BadEdit: it is no operation. The message says what is wrong.
    """
    if not isinstance(record, Mapping):
        raise BadEdit("an edit must be an object with the field op")
    name = record.get("op")
    if not isinstance(name, str) or name not in _FIELDS:
        raise BadEdit(f"op {str(name)[:40]!r}: must be one of {', '.join(_FIELDS)}")
    fields = _FIELDS[name]
    for key in record:
        if key != "op" and key not in fields:
            raise BadEdit(f"{name}: has no field {str(key)[:40]!r}")
    return {"op": name} | {key: check(name, key, record.get(key)) for key, check in fields.items()}


def change_of(tree: EditedTree, operation: Operation, scene: Scene) -> Change:
    """What a checked operation does to a tree.

    Raises:
        BadEdit: it does not fit the tree: no such node, a loop, a place outside the volume.
    """
    change = _CHANGES[operation["op"]](tree, operation, scene)
    if len(tree) + _growth(change) > MOST_NODES:
        raise BadEdit(f"a tree of more than {MOST_NODES} nodes cannot be edited here")
    return change


# The fields


def _whole(op: str, key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise BadEdit(f"{op}: {key} must be a whole number")
    return value


def _kind(op: str, key: str, value: object) -> int:
    kind = _whole(op, key, value)
    if kind > LARGEST_TYPE:
        raise BadEdit(f"{op}: {key} {kind}: must be from 0 to {LARGEST_TYPE}")
    return kind


def _scope(op: str, key: str, value: object) -> str:
    if value is None:
        return "subtree"
    if value not in ("branch", "subtree"):
        raise BadEdit(f"{op}: {key} must be branch or subtree")
    return str(value)


def _path(op: str, key: str, value: object) -> list[list[float]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadEdit(f"{op}: {key} must be a list of [x, y, z, radius]")
    if len(value) > MOST_POINTS:
        raise BadEdit(f"{op}: {key} has {len(value)} points; the limit is {MOST_POINTS}")
    return [_point(op, at, point) for at, point in enumerate(value)]


def _point(op: str, at: int, point: object) -> list[float]:
    if not isinstance(point, list) or len(point) not in (3, 4) or not all(map(_is_number, point)):
        raise BadEdit(f"{op}: point {at} of the path must be [x, y, z, radius] in voxels")
    if len(point) == 4 and not 0 < point[3] < 1e6:
        raise BadEdit(f"{op}: point {at} of the path: its radius must be above 0")
    return [float(value) for value in point]


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < 1e9  # also false for NaN
        and math.isfinite(value)
    )


_Check = Callable[[str, str, object], Any]
_FIELDS: dict[str, dict[str, _Check]] = {
    "accept": {"doubt": _whole},
    "reject": {"doubt": _whole},
    "cut": {"node": _whole},
    "delete": {"node": _whole},
    "join": {"from": _whole, "to": _whole, "path": _path},
    "extend": {"from": _whole, "path": _path},
    "root": {"node": _whole},
    "reverse": {"node": _whole},
    "type": {"node": _whole, "type": _kind, "scope": _scope},
    "replace": {"tree": swc_field},
    "undo": {},
    "redo": {},
}


# The changes


def _accept(tree: EditedTree, operation: Operation, scene: Scene) -> Change:
    return Change({}, _answer(tree, operation["doubt"], scene, "accepted"))


def _reject(tree: EditedTree, operation: Operation, scene: Scene) -> Change:
    answers = _answer(tree, operation["doubt"], scene, "rejected")
    doubt = scene.doubts[operation["doubt"]]
    lower = lower_end(tree, doubt.link)
    if lower is None:
        return Change(_completed(tree, doubt, scene.next_id), answers)
    return Change(_apart(tree, lower) if doubt.alone else _removed(tree, lower), answers)


def _completed(
    tree: EditedTree, doubt: Doubt, first: int
) -> dict[int, tuple[Node | None, Node | None]]:
    """What the tree lacks at a doubt, and a straight line to it; nothing where that place is gone.

    Args:
        tree: the tree.
        doubt: the doubt.
        first: the id of the first new node.
    """
    if not doubt.missing or (doubt.hangs_on is not None and doubt.hangs_on not in tree.nodes):
        return {}
    chain, kind = dict[int, tuple[Node | None, Node | None]](), None
    above = -1 if doubt.hangs_on is None else doubt.hangs_on
    if doubt.hangs_on is not None:
        kind = _neurite(tree.nodes[above])
        chain = _chain(_straight(tree.nodes[above], doubt.missing[0]), above, kind, first)
        above = first + len(chain) - 1 if chain else above
        first += len(chain)
    for at, node in enumerate(doubt.missing, first):
        parent = first + node.parent if node.parent >= 0 else above
        chain[at] = (None, node._replace(parent=parent, type=node.type if kind is None else kind))
    return chain


def _straight(begin: Node, end: Node) -> list[Point]:
    """The points between two nodes, without both."""
    count = max(round(math.dist(begin[:3], end[:3]) / _STEP), 1)
    return [
        (
            begin.x + (end.x - begin.x) * at / count,
            begin.y + (end.y - begin.y) * at / count,
            begin.z + (end.z - begin.z) * at / count,
            max(end.radius, LEAST_RADIUS),
        )
        for at in range(1, count)
    ]


def _answer(
    tree: EditedTree, number: int, scene: Scene, answer: Answer
) -> dict[int, tuple[Answer | None, Answer | None]]:
    """The answer to a doubt as a part of a change."""
    if number not in scene.doubts:
        raise BadEdit(f"doubt {number}: there is none; they are numbered 1 to {len(scene.doubts)}")
    before = tree.answers.get(number)
    if before == answer:
        raise BadEdit(f"doubt {number}: is {answer} already")
    if before == "rejected":
        raise BadEdit(f"doubt {number}: was rejected, and the tree was changed there: undo that")
    return {number: (before, answer)}


def lower_end(tree: EditedTree, link: tuple[int, int] | None) -> int | None:
    """The lower node of a link, which may run the other way by now; None if it is gone."""
    for lower, upper in () if link is None else (link, link[::-1]):
        if lower in tree.nodes and tree.nodes[lower].parent == upper:
            return lower
    return None


def _cut(tree: EditedTree, operation: Operation, _: Scene) -> Change:
    name = operation["node"]
    node = tree.node(name)
    if node.parent < 0:
        raise BadEdit(f"cut: node {name} is a root and has no link above it")
    return Change(_apart(tree, name))


def _apart(tree: EditedTree, name: int) -> dict[int, tuple[Node | None, Node | None]]:
    """A node and all below it as a piece of its own."""
    node = tree.nodes[name]
    return {name: (node, node._replace(parent=-1))}


def _delete(tree: EditedTree, operation: Operation, _: Scene) -> Change:
    tree.node(operation["node"])
    return Change(_removed(tree, operation["node"]))


def _removed(tree: EditedTree, name: int) -> dict[int, tuple[Node | None, Node | None]]:
    """A node and all below it, gone; the lower ones first."""
    names = list(tree.below(name))
    return {one: (tree.nodes[one], None) for one in reversed(names)}


def _root(tree: EditedTree, operation: Operation, _: Scene) -> Change:
    name = operation["node"]
    if tree.node(name).parent < 0:
        raise BadEdit(f"root: node {name} is the root already")
    return Change(_turned(tree, name, -1))


def _turned(tree: EditedTree, name: int, parent: int) -> dict[int, tuple[Node | None, Node | None]]:
    """The links from a node up to its root turned round, so that the node hangs on `parent`."""
    nodes = dict[int, tuple[Node | None, Node | None]]()
    for one in tree.above(name):
        nodes[one] = (tree.nodes[one], tree.nodes[one]._replace(parent=parent))
        parent = one
    return nodes


def _reverse(tree: EditedTree, operation: Operation, _: Scene) -> Change:
    tree.node(operation["node"])
    root = tree.root_of(operation["node"])
    length = {root: 0.0}
    for name in tree.below(root):
        if name != root:
            node = tree.nodes[name]
            above = tree.nodes[node.parent]
            length[name] = length[node.parent] + math.dist(node[:3], above[:3])
    furthest = max(length, key=lambda name: (length[name], -name))
    if furthest == root:
        raise BadEdit(f"reverse: node {root} is a piece of its own and has no other end")
    return Change(_turned(tree, furthest, -1))


def _type(tree: EditedTree, operation: Operation, _: Scene) -> Change:
    name, kind = operation["node"], operation["type"]
    tree.node(name)
    names = tree.branch(name) if operation["scope"] == "branch" else list(tree.below(name))
    nodes = {one: tree.nodes[one] for one in names}
    touched = {one: (node, node._replace(type=kind)) for one, node in nodes.items()}
    return Change({one: pair for one, pair in touched.items() if pair[0] != pair[1]})


def _extend(tree: EditedTree, operation: Operation, scene: Scene) -> Change:
    name = operation["from"]
    points = _between(operation, scene, tree.node(name), None)
    if not points:
        raise BadEdit("extend: the path has no point beside the node that it begins at")
    return Change(_chain(points, name, _neurite(tree.nodes[name]), scene.next_id))


def _join(tree: EditedTree, operation: Operation, scene: Scene) -> Change:
    begin, end = operation["from"], operation["to"]
    points = _between(operation, scene, tree.node(begin), tree.node(end))
    if tree.root_of(begin) == tree.root_of(end):
        raise BadEdit(f"join: nodes {begin} and {end} are of one piece, and a link makes a loop")
    chain = _chain(points[::-1], end, _neurite(tree.nodes[begin]), scene.next_id)
    last = scene.next_id + len(points) - 1 if points else end
    return Change({**chain, **_turned(tree, begin, last)})


def _replace(tree: EditedTree, operation: Operation, scene: Scene) -> Change:
    return Change(replaced(tree, operation["tree"], size=scene.size, next_id=scene.next_id))


def _between(operation: Operation, scene: Scene, begin: Node, end: Node | None) -> list[Point]:
    """The points of a path without those that are the nodes at its ends.

    Raises:
        BadEdit: a point lies outside the volume.
    """
    points = list[Point]()
    for at, (x, y, z, *rest) in enumerate(operation["path"]):
        if scene.size is not None and not all(
            -0.5 <= value <= side - 0.5 for value, side in zip((x, y, z), scene.size, strict=True)
        ):
            raise BadEdit(f"{operation['op']}: point {at} of the path lies outside the volume")
        points.append((x, y, z, rest[0] if rest else max(begin.radius, LEAST_RADIUS)))
    while points and math.dist(points[0][:3], begin[:3]) < _SAME:
        del points[0]
    while end is not None and points and math.dist(points[-1][:3], end[:3]) < _SAME:
        del points[-1]
    return points


def _chain(
    points: list[Point], parent: int, kind: int, first: int
) -> dict[int, tuple[Node | None, Node | None]]:
    """New nodes, each on the one before; the first hangs on `parent`."""
    nodes = dict[int, tuple[Node | None, Node | None]]()
    for name, point in enumerate(points, first):
        nodes[name] = (None, Node(*point, kind, parent))
        parent = name
    return nodes


def _neurite(node: Node) -> int:
    """The type of a new neurite at a node: the node's own, or undefined at a soma."""
    return 0 if node.type == _SOMA else node.type


def _growth(change: Change) -> int:
    return sum(
        (after is not None) - (before is not None) for before, after in change.nodes.values()
    )


_CHANGES: dict[str, Callable[[EditedTree, Operation, Scene], Change]] = {
    "accept": _accept,
    "reject": _reject,
    "cut": _cut,
    "delete": _delete,
    "join": _join,
    "extend": _extend,
    "root": _root,
    "reverse": _reverse,
    "type": _type,
    "replace": _replace,
}
