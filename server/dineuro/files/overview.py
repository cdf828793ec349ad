"""A page and a table about a batch of traced stacks; each row has the figures of one.

The page sorts by a click on a heading. It lists the stacks that failed, and why.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from dineuro_bridge.errors import BadFile, FileAccess
from dineuro_bridge.files import atomic_output, read_bytes
from dineuro_bridge.parts import PARTS

_ENDING = PARTS["report"].ending
#: What follows the image's name in the record of a stack of a batch that failed.
_FAILED = "_failed.json"
_LINKED = ("swc", "mask", "doubts", "report")
_UNITS = {"um": "µm", "voxel": "voxels"}
_STYLE = """
:root { color-scheme: light dark; }
body {
  font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem;
  background: light-dark(#ffffff, #15171b); color: light-dark(#1b1f27, #e6e9ee);
}
a { color: light-dark(#0a6b78, #4cc3d0); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem .7rem; }
tr { border-bottom: 1px solid #8886; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
th button { font: inherit; color: inherit; font-weight: bold; border: 0; background: none; }
th button { padding: 0; cursor: pointer; }
th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
img { max-width: 14rem; max-height: 10rem; background: #000; }
.links { font-size: .85em; }
.warning, .failed { color: light-dark(#a8231a, #ff8a7a); }
"""
#: Rows without a value stay below, in both directions.
_SCRIPT = """
const heads = [...document.querySelectorAll("th")];
for (const [column, head] of heads.entries())
  head.querySelector("button")?.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = document.querySelector("tbody");
    const key = (row) => row.cells[column].dataset.value;
    const number = head.hasAttribute("data-number");
    const compare = (a, b) => (number ? a - b : a.localeCompare(b, undefined, { numeric: true }));
    body.append(...[...body.rows].sort((one, other) => {
      const [a, b] = [key(one), key(other)];
      if (a === "" || b === "") return (a === "") - (b === "");
      return up ? compare(a, b) : compare(b, a);
    }));
  });
"""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of numbers: its heading, its value in a report, and how the page shows it."""

    head: str
    value: Callable[[Mapping[str, Any]], Any]
    shown: str = "{:.0f}"


def _figure(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda record: record.get(name)


def _measured(name: str) -> Callable[[Mapping[str, Any]], Any]:
    """A figure of the measurements, which an earlier version did not have."""
    return lambda record: record.get("measurements", {}).get(name)


_COLUMNS = (
    _Column("Certain", _figure("certain"), "{:.1%}"),
    _Column("Length", lambda record: _measured("length")(record) or record.get("length")),
    _Column("Trees", _figure("trees")),
    _Column("Tips", _figure("tips")),
    _Column("Forks", _figure("forks")),
    _Column("Strahler", _measured("strahler")),
    _Column("Tortuosity", _measured("tortuosity"), "{:.2f}"),
    _Column("Joined gaps", _figure("joined_gaps")),
    _Column("Left out", _figure("left_out")),
    _Column("Doubts", lambda record: len(record["doubts"]) if "doubts" in record else None),
)


@dataclass(frozen=True, slots=True)
class _Row:
    """A stack: the file of its record, its name, and its report or why it failed."""

    path: Path
    stem: str
    record: Mapping[str, Any]

    @property
    def error(self) -> str | None:
        """Why it failed; None for a stack that was traced."""
        return self.record.get("error")

    @property
    def unit(self) -> str:
        """The unit of its length, "um" or "voxel"."""
        return str(self.record.get("measurements", {}).get("unit", "voxel"))

    def numbers(self) -> list[float | None]:
        """The values of the columns; none for a stack that failed."""
        if self.error is not None:
            return [None] * len(_COLUMNS)
        return [column.value(self.record) for column in _COLUMNS]

    def beside(self, part: str) -> Path | None:
        """The file of a part beside the record, if it exists."""
        path = self.path.with_name(PARTS[part].file_name(self.stem))
        return path if path.exists() else None


def failure_beside(report: Path) -> Path:
    """Where a batch says why a stack has no report, beside the place of the report."""
    return report.with_name(report.name.removesuffix(_ENDING) + _FAILED)


def write_overview(folder: Path, page: Path) -> int:
    """Write the page about a folder of reports, as `dineuro trace --report FOLDER` makes them.

    The table lies beside the page as CSV. The stack with the smallest share of certain length comes
    first, after those that failed. A stack that a server traced is linked to its view there.

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
    rows = [
        _Row(path, path.name.removesuffix(ending), read(path))
        for ending, read in ((_FAILED, _read_failed), (_ENDING, _read))
        for path in sorted(folder.glob(f"*{ending}"))
    ]
    if not rows:
        raise FileAccess(f"{folder}: holds no report (*{_ENDING}): dineuro trace --report {folder}")
    rows.sort(key=lambda row: (row.error is None, row.record.get("certain", 0), row.path.name))
    with atomic_output(page) as temporary:
        temporary.write_text(_document(folder, rows, page.parent), encoding="utf-8")
    _write_table(rows, page.with_suffix(".csv"))
    return len(rows)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        record: dict[str, Any] = json.loads(read_bytes(path))
        names = ("certain", "length", "tips", "joined_gaps", "left_out")
        figures = {name: float(record[name]) for name in names}
        record |= figures | {"warnings": list(record["warnings"])}
        row = _Row(path, "", record)
        numbers = [float(value) for value in row.numbers() if value is not None]
        if row.unit in _UNITS and min(numbers) >= 0:
            return record
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadFile(f"{path}: is no report of a traced stack") from error
    raise BadFile(f"{path}: is no report of a traced stack")


def _read_failed(path: Path) -> Mapping[str, Any]:
    try:
        return {"error": str(json.loads(read_bytes(path))["error"])}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadFile(f"{path}: is no record of a stack that failed") from error


def _write_table(rows: Sequence[_Row], path: Path) -> None:
    """The table as CSV; a name that a spreadsheet would take for a formula gets an apostrophe."""

    def safe(text: str) -> str:
        return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text

    with (
        atomic_output(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file)
        heads = [column.head.lower().replace(" ", "_") for column in _COLUMNS]
        table.writerow(["stack", *heads, "unit", "warnings", "error"])
        for row in rows:
            texts = (" ".join(map(str, row.record.get("warnings", ()))), row.error or "")
            numbers = ["" if value is None else value for value in row.numbers()]
            unit = "" if row.error else row.unit
            table.writerow([safe(row.stem), *numbers, unit, *map(safe, texts)])


def _row(row: _Row, page: Path) -> str:
    warnings = "".join(
        f'<p class="warning">{escape(str(w))}</p>' for w in row.record.get("warnings", ())
    )
    if row.error is not None:
        warnings = f'<p class="failed">failed: {escape(row.error)}</p>'
    cells = [f'<td data-value="{escape(row.stem)}">{_name(row, page)}{warnings}</td>']
    for column, value in zip(_COLUMNS, row.numbers(), strict=True):
        shown = "" if value is None else column.shown.format(value)
        if column.head == "Length" and shown:
            shown += f" {_UNITS[row.unit]}"
        key = "" if value is None else f"{float(value):g}"
        cells.append(f'<td class="number" data-value="{key}">{shown}</td>')
    picture, image = row.beside("preview"), ""
    if picture is not None:
        link = _link(picture, page)
        alt = f"Projections of {escape(row.stem)} with its tree"
        image = f'<a href="{link}"><img loading="lazy" src="{link}" alt="{alt}"></a>'
    return f"<tr>{''.join(cells)}<td>{image}</td></tr>"


def _name(row: _Row, page: Path) -> str:
    """The name of a stack, linked to its view on a server, and links to its files."""
    name, view = escape(row.stem), str(row.record.get("view", ""))
    if urlsplit(view).scheme in ("http", "https"):
        name = f'<a href="{escape(view)}">{name}</a>'
    files = [(part, row.beside(part)) for part in _LINKED]
    links = [f'<a href="{_link(path, page)}">{part}</a>' for part, path in files if path]
    return f'{name}<div class="links">{" ".join(links)}</div>' if links else name


def _link(file: Path, page: Path) -> str:
    relative = Path(os.path.relpath(file.absolute(), page.absolute()))
    return escape(quote(relative.as_posix()))


def _document(folder: Path, rows: Sequence[_Row], page: Path) -> str:
    failed = sum(row.error is not None for row in rows)
    title = f"{len(rows)} stacks of {escape(folder.resolve().name)}"
    heads = "".join(f"<th data-number><button>{column.head}</button></th>" for column in _COLUMNS)
    body = "\n".join(_row(row, page) for row in rows)
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n<main>\n"
        f"<h1>{title}</h1>\n"
        f"<p>{failed} failed. The least certain come first; a click on a heading sorts. "
        "What was left out is in voxels.</p>\n<table>\n<thead><tr>"
        f"<th><button>Stack</button></th>{heads}<th>Picture</th></tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>\n</main>\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )
