"""A page about a batch of traced stacks: each row has the picture, figures and warnings of one."""

from __future__ import annotations

import json
import os
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dineuro_bridge.errors import BadFile, FileAccess
from dineuro_bridge.files import atomic_output, read_bytes
from dineuro_bridge.parts import PARTS

_ENDING = PARTS["report"].ending
_FIGURES = ("certain", "length", "tips", "joined_gaps", "left_out")
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem .7rem; }
tr { border-bottom: 1px solid #8886; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 22rem; max-height: 16rem; background: #000; }
.warning { color: light-dark(#a8231a, #ff8a7a); }
"""


def write_overview(folder: Path, page: Path) -> int:
    """Write the page about a folder of reports, as `dineuro trace --report FOLDER` makes them.

    The page shows the picture `X_preview.png` beside a report and links the tree `X_dineuro.swc`.
    The stack with the smallest share of certain length comes first.

    Args:
        folder: with the reports.
        page: the HTML file.

    Returns:
        The number of stacks on the page.

    Raises:
        FileAccess: the folder is missing or has no report, or the page cannot be written.
        BadFile: a file that is no report of a traced stack.
    """
    if not folder.is_dir():
        raise FileAccess(f"{folder}: is no folder")
    rows = [(path, _read(path)) for path in sorted(folder.glob(f"*{_ENDING}"))]
    if not rows:
        raise FileAccess(f"{folder}: holds no report (*{_ENDING}): dineuro trace --report {folder}")
    rows.sort(key=lambda row: (row[1]["certain"], row[0].name))
    body = "\n".join(_row(path, record, page.parent) for path, record in rows)
    with atomic_output(page) as temporary:
        temporary.write_text(_document(folder, len(rows), body), encoding="utf-8")
    return len(rows)


def _read(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(read_bytes(path))
        figures = {name: float(record[name]) for name in _FIGURES}
        return record | figures | {"warnings": list(record["warnings"])}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadFile(f"{path}: is no report of a traced stack") from error


def _row(path: Path, record: dict[str, Any], page: Path) -> str:
    stem = path.name.removesuffix(_ENDING)
    picture, tree = (path.with_name(PARTS[name].file_name(stem)) for name in ("preview", "swc"))
    name = escape(stem)
    if tree.exists():
        name = f'<a href="{_link(tree, page)}">{name}</a>'
    image = ""
    if picture.exists():
        link = _link(picture, page)
        alt = f"Projections of {escape(stem)} with its tree"
        image = f'<a href="{link}"><img loading="lazy" src="{link}" alt="{alt}"></a>'
    warnings = "".join(f'<p class="warning">{escape(str(w))}</p>' for w in record["warnings"])
    certain, *others = (record[name] for name in _FIGURES)
    figures = [f"{certain:.1%}", *(f"{value:.0f}" for value in others)]
    cells = "".join(f'<td class="number">{figure}</td>' for figure in figures)
    return f"<tr><td>{name}{warnings}</td>{cells}<td>{image}</td></tr>"


def _link(file: Path, page: Path) -> str:
    relative = Path(os.path.relpath(file.absolute(), page.absolute()))
    return escape(quote(relative.as_posix()))


def _document(folder: Path, count: int, body: str) -> str:
    heads = ["Stack", "Certain", "Length", "Tips", "Joined gaps", "Left out", "Picture"]
    title = f"{count} stacks of {escape(folder.resolve().name)}"
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n"
        "<p>The least certain first; lengths in voxels.</p>\n<table>\n<tr>"
        + "".join(f"<th>{head}</th>" for head in heads)
        + f"</tr>\n{body}\n</table>\n</body>\n</html>\n"
    )
