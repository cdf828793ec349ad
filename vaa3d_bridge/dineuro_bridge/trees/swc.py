"""SWC and ESWC files.

Reading is tolerant, because programs write many variants. It accepts tabs, commas, floats as ids,
any order, any ids and several roots. Writing is strict, so that every program can read the file.
It writes ids from 1, parents before children, single spaces, and lines below Vaa3D's limit of
999 characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dineuro_bridge.errors import BadTree
from dineuro_bridge.files import atomic_output, read_bytes
from dineuro_bridge.trees.tree import Tree

_HEADER = "n type x y z radius parent"
_COLUMNS = ("id", "type", "x", "y", "z", "radius", "parent")
_ESWC_COLUMNS = ("seg_id", "level", "mode", "timestamp", "teraflyindex")
#: The width of a comment in bytes, which is the unit of Vaa3D's limit.
_COMMENT_WIDTH = 900


@dataclass(frozen=True, slots=True, eq=False)
class Eswc:
    """A tree with the additional columns of ESWC, in the order of the tree's nodes.

    Attributes:
        tree: the nodes.
        columns: (N,) float64 each, by name: seg_id, level, mode, timestamp, teraflyindex. Further
            columns are named feature_1, feature_2 and so on. A missing value is NaN.
    """

    tree: Tree
    columns: dict[str, NDArray[np.float64]]


def read_swc(path: Path | str) -> Tree:
    """Read the tree of an SWC, ESWC or CSV-like file. Columns after the seventh are ignored.

    A file with comments alone is an empty tree.

    Raises:
        FileAccess: the file cannot be read.
        BadTree: a line has too few columns or no number, an id occurs twice, a parent is missing,
            or the links form a cycle. The message names the line.
        BadFile: the file is empty.
    """
    comments, lines, rows = _rows(path, read_bytes(path))
    return _tree(path, comments, lines, rows)[0]


def parse_swc(text: str, source: str = "text") -> Tree:
    """Return the tree of a text in SWC format. The errors are those of `read_swc`."""
    comments, lines, rows = _rows(source, text.encode())
    return _tree(source, comments, lines, rows)[0]


def read_numbered(path: Path | str) -> tuple[Tree, NDArray[np.int64]]:
    """The tree of a file, and the id of each node in it, (N,). Errors as in `read_swc`."""
    return _numbered(path, read_bytes(path))


def parse_numbered(text: str, source: str = "text") -> tuple[Tree, NDArray[np.int64]]:
    """The tree of a text in SWC format, and the id of each node in it, (N,)."""
    return _numbered(source, text.encode())


def _numbered(path: Path | str, raw: bytes) -> tuple[Tree, NDArray[np.int64]]:
    comments, lines, rows = _rows(path, raw)
    tree, order = _tree(path, comments, lines, rows)
    return tree, np.array([int(float(rows[row][0])) for row in order], dtype=np.int64)


def read_eswc(path: Path | str) -> Eswc:
    """Read the tree and the additional columns of an ESWC file. Errors as in `read_swc`."""
    comments, lines, rows = _rows(path, read_bytes(path))
    tree, order = _tree(path, comments, lines, rows)
    width = max((len(row) for row in rows), default=len(_COLUMNS))
    more = np.full((len(rows), width - len(_COLUMNS)), np.nan)
    for r, row in enumerate(rows):
        more[r, : len(row) - len(_COLUMNS)] = _numbers(path, lines[r : r + 1], [row[7:]])
    names = [
        _ESWC_COLUMNS[c] if c < len(_ESWC_COLUMNS) else f"feature_{c - len(_ESWC_COLUMNS) + 1}"
        for c in range(more.shape[1])
    ]
    return Eswc(tree, {name: more[order, c] for c, name in enumerate(names)})


def swc_text(tree: Tree, ids: Sequence[int] | None = None) -> str:
    """Return the tree as SWC. The same tree gives the same bytes.

    The comments come first, then the nodes in the order of the tree. Numbers have at most
    3 decimals.

    Args:
        tree: the nodes.
        ids: of the nodes, for a reader that knows them by these; None counts from 1, which every
            program reads.
    """
    return "\n".join([*_comment_lines(tree), f"# {_HEADER}", *_node_lines(tree, ids)]) + "\n"


def eswc_text(graded: Eswc) -> str:
    """Return the tree as ESWC: the columns of SWC, then the others with at most 4 decimals.

    Raises:
        BadTree: a column has another length than the tree, or a number that is not finite.
    """
    n = len(graded.tree)
    for name, column in graded.columns.items():
        if column.shape != (n,) or not np.isfinite(column).all():
            raise BadTree(f"tree: the column {name} must be {n} finite numbers")
    more = np.column_stack([*graded.columns.values(), np.zeros(n)])[:, :-1]
    tails = [" ".join(_decimal(value, 4) for value in row) for row in more.tolist()]
    header = " ".join([_HEADER, *graded.columns])
    lines = [
        f"{node} {tail}".rstrip()
        for node, tail in zip(_node_lines(graded.tree), tails, strict=True)
    ]
    return "\n".join([*_comment_lines(graded.tree), f"# {header}", *lines]) + "\n"


def _comment_lines(tree: Tree) -> list[str]:
    return [f"# {line}".rstrip() for comment in tree.comments for line in _wrapped(comment)]


def _node_lines(tree: Tree, ids: Sequence[int] | None = None) -> list[str]:
    """Return one line of seven columns per node."""
    lines, names = [], range(1, len(tree) + 1) if ids is None else ids
    numbers = np.column_stack([tree.xyz, tree.radii])
    rounded = np.round(numbers, 3) + 0.0  # + 0.0 turns -0.0 into 0.0
    for i, (kind, parent, row) in enumerate(
        zip(tree.types.tolist(), tree.parents.tolist(), rounded.tolist(), strict=True)
    ):
        x, y, z, radius = (_decimal(value, 3) for value in row)
        above = names[parent] if parent >= 0 else -1
        lines.append(f"{names[i]} {kind} {x} {y} {z} {radius} {above}")
    return lines


def _decimal(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")


def write_swc(path: Path | str, tree: Tree) -> None:
    """Write a tree as SWC. The file is complete or absent.

    Raises:
        FileAccess: the path cannot be written.
    """
    _write(path, swc_text(tree))


def write_eswc(path: Path | str, graded: Eswc) -> None:
    """Write a tree with additional columns as ESWC. The file is complete or absent.

    Raises:
        BadTree: see `eswc_text`.
        FileAccess: the path cannot be written.
    """
    _write(path, eswc_text(graded))


def _write(path: Path | str, text: str) -> None:
    with atomic_output(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _wrapped(comment: str) -> list[str]:
    """Return a comment as lines within the limit of Vaa3D's reader; no line is a node."""
    clean = comment.encode(errors="backslashreplace").decode().replace("\0", "\\0")
    return [piece for line in clean.splitlines() or [""] for piece in _cut(line)]


def _cut(line: str) -> list[str]:
    """Return a line as pieces of at most `_COMMENT_WIDTH` bytes of UTF-8."""
    pieces, size = [""], 0
    for letter in line:
        width = len(letter.encode())
        if size + width > _COMMENT_WIDTH:
            pieces.append("")
            size = 0
        pieces[-1] += letter
        size += width
    return pieces


def _rows(path: Path | str, raw: bytes) -> tuple[tuple[str, ...], list[int], list[list[str]]]:
    """Return the comments, and the line numbers and words of the lines of nodes."""
    if b"\0" in raw:
        raise BadTree(f"{path}: is a binary file, not SWC")
    comments: list[str] = []
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        bare = line.strip()
        if bare.startswith("#"):
            comments.append(bare[1:].strip())
        elif bare:
            words = _words(bare.split("#", 1)[0])
            if len(words) < len(_COLUMNS):
                raise BadTree(
                    f"{path}: line {number} has {len(words)} columns; SWC has 7: "
                    "id type x y z radius parent"
                )
            lines.append(number)
            rows.append(words)
    # `swc_text` writes the line of column names again, so it is not kept as a comment.
    return tuple(c for c in comments if not f"{c} ".startswith(f"{_HEADER} ")), lines, rows


def _words(line: str) -> list[str]:
    """Return the words of a node.

    Commas separate them only if there are enough, because "1,5" may be a decimal number.
    """
    if line.count(",") < len(_COLUMNS) - 1:
        return line.split()
    return [word.strip() for word in line.split(",")]


def _tree(
    path: Path | str, comments: tuple[str, ...], lines: Sequence[int], rows: list[list[str]]
) -> tuple[Tree, NDArray[np.int64]]:
    """Return the tree, and the row of each of its nodes."""
    table = _numbers(path, lines, [row[:7] for row in rows]).reshape(-1, 7)
    for column in (0, 1, 6):
        odd = np.flatnonzero(table[:, column] != np.rint(table[:, column]))
        if len(odd):
            raise BadTree(
                f"{path}: line {lines[odd[0]]}: {_COLUMNS[column]} "
                f"{table[odd[0], column]:g} is not a whole number"
            )
    ids = table[:, 0].astype(np.int64)
    parents = _links(path, lines, ids, table[:, 6].astype(np.int64))
    order = np.arange(len(ids), dtype=np.int64)
    try:
        if len(ids):
            # The row numbers take the place of the types, so the result gives the new order.
            order = Tree.from_links(table[:, 2:5], table[:, 5], parents, order).types
    except BadTree:
        raise BadTree(
            f"{path}: line {lines[_in_cycle(parents)]}: the node is its own ancestor (a cycle)"
        ) from None
    place = np.empty(len(order) + 1, dtype=np.int64)
    place[order], place[-1] = np.arange(len(order)), -1
    table = table[order]
    tree = Tree(
        table[:, 2:5], table[:, 5], place[parents[order]], table[:, 1].astype(np.int64), comments
    )
    return tree, order


def _numbers(path: Path | str, lines: Sequence[int], rows: list[list[str]]) -> NDArray[np.float64]:
    """Return the words of equally long rows as finite numbers.

    Raises:
        BadTree: a word is not a number. The message names its line.
    """
    try:
        table = np.array(rows, dtype=np.float64)
    except ValueError:
        table = np.full((len(rows), 1), np.nan)
    if np.isfinite(table).all() and (np.abs(table) < 2**53).all():
        return table
    for number, row in zip(lines, rows, strict=True):
        for word in row:
            if not _is_number(word):
                raise BadTree(f"{path}: line {number}: {word!r} is not a usable number")
    raise BadTree(f"{path}: a column is not a number")


def _is_number(word: str) -> bool:
    try:
        value = float(word)
    except ValueError:
        return False
    return abs(value) < 2**53  # also false for NaN and infinity


def _links(
    path: Path | str, lines: Sequence[int], ids: NDArray[np.int64], parents: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the parents as row numbers, -1 for roots. Any negative parent marks a root.

    Raises:
        BadTree: an id occurs twice, or no line has the id of a parent.
    """
    order = np.argsort(ids, kind="stable")
    ranked = ids[order]
    twice = np.flatnonzero(ranked[1:] == ranked[:-1])
    if len(twice):
        first, second = sorted((order[twice[0]], order[twice[0] + 1]))
        raise BadTree(
            f"{path}: line {lines[second]}: id {ids[second]} is already on line {lines[first]}"
        )
    at = np.searchsorted(ranked, parents)
    at[at == len(ids)] = 0
    exists = ranked[at] == parents if len(ids) else np.zeros(0, dtype=np.bool_)
    lost = ~exists & (parents >= 0)
    if lost.any():
        line = int(np.flatnonzero(lost)[0])
        raise BadTree(
            f"{path}: line {lines[line]}: parent {parents[line]} of node {ids[line]} is missing "
            "(a root's parent is -1)"
        )
    return np.where(exists & (parents >= 0), order[at] if len(ids) else 0, -1)


def _in_cycle(parents: NDArray[np.int64]) -> int:
    """Return the first row that is its own ancestor."""
    ancestor = parents.copy()
    for _ in range(len(parents).bit_length() + 1):  # after N steps only cycles remain
        inside = ancestor >= 0
        ancestor[inside] = ancestor[ancestor[inside]]
    return int(ancestor[ancestor >= 0].min())
