"""How near the trees come to the references: a row a volume, means and worst cases by group.

    python -m benchmarks.accuracy ../shared/data            # the held-out stacks, and the real ones
    python -m benchmarks.accuracy ../shared/data --part tune

The folder needs the development data's `manifest.csv`, which names volumes, references and kinds.
Lifted stacks are split by neuron: in the order of their names every fourth is held out and was not
looked at while parameters were chosen; `--part tune` runs the others. A volume on which the tracer
fails counts with F1 0 and stands in the column of failures.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dineuro_bridge.errors import DineuroError
from dineuro_bridge.formats import read_volume
from dineuro_bridge.swc import read_swc
from dineuro_server.pipeline import Request, reconstruct
from dineuro_tracing.scores import Scores, score_trees

_JANELIA = "janelia"
_EVERY = 4


@dataclass(frozen=True, slots=True)
class Case:
    """A volume with its reference tree."""

    name: str
    group: str
    volume: Path
    gold: Path


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a case; `scores` is None where it failed."""

    case: Case
    scores: Scores | None
    seconds: float


def find_cases(data: Path, part: str) -> list[Case]:
    """The cases of the manifest that have a reference: a part of the lifted ones, all real ones."""
    with (data / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["volume"] and row["gold"]]
    lifted = sorted((r for r in rows if r["kind"] == "lifted"), key=lambda r: r["name"])
    held_out = lifted[_EVERY - 1 :: _EVERY]
    chosen = {"held-out": held_out, "tune": [r for r in lifted if r not in held_out]}[part]
    if part == "held-out":
        chosen += [row for row in rows if row["kind"] == "real"]
    return [
        Case(row["name"], _group(row), data / row["volume"], data / row["gold"]) for row in chosen
    ]


def _group(row: dict[str, str]) -> str:
    if row["kind"] == "real":
        return "real (automatic or partial references)"
    return "lifted, Janelia" if _JANELIA in row["notes"] else "lifted, other laboratories"


def run(case: Case, request: Request) -> Row:
    """Trace and judge one case."""
    start = time.perf_counter()
    try:
        tree = reconstruct(read_volume(case.volume), request).tree
        seconds = time.perf_counter() - start
        return Row(case, score_trees(read_swc(case.gold), tree), seconds)
    except DineuroError as error:
        sys.stderr.write(f"{case.name}: {error}\n")
        return Row(case, None, time.perf_counter() - start)


def as_markdown(rows: list[Row]) -> str:
    """A table of all cases, and one of the groups."""
    lines = [
        "| volume | ESA | DSA | PDS | F1@2 | F1@4 | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {row.case.name} | {_cells(row)} |" for row in rows]
    lines += [
        "",
        "| group | volumes | failures | ESA | DSA | PDS | F1@2 | worst F1@2 | F1@4 | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for group in dict.fromkeys(row.case.group for row in rows):
        lines.append(_group_line(group, [row for row in rows if row.case.group == group]))
    return "\n".join(lines)


def _cells(row: Row) -> str:
    s = row.scores
    if s is None or s.failed:
        return f"- | - | - | 0 | 0 | {row.seconds:.1f}"
    values = f"{s.esa:.2f} | {s.dsa:.2f} | {s.pds:.3f} | {s.at2.f1:.3f} | {s.at4.f1:.3f}"
    return f"{values} | {row.seconds:.1f}"


def _group_line(group: str, rows: list[Row]) -> str:
    good = [row.scores for row in rows if row.scores is not None and not row.scores.failed]
    f2 = [s.at2.f1 for s in good] + [0.0] * (len(rows) - len(good))
    f4 = [s.at4.f1 for s in good] + [0.0] * (len(rows) - len(good))
    distances = [_mean([s.esa for s in good]), _mean([s.dsa for s in good])]
    return (
        f"| {group} | {len(rows)} | {len(rows) - len(good)} | {distances[0]:.2f} "
        f"| {distances[1]:.2f} | {_mean([s.pds for s in good]):.3f} | {_mean(f2):.3f} "
        f"| {min(f2):.3f} | {_mean(f4):.3f} | {_mean([row.seconds for row in rows]):.1f} |"
    )


def _mean(values: list[Any]) -> float:
    return statistics.fmean(values) if values else math.nan


def main() -> None:
    """Run the cases and print Markdown, or JSON lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with the development data's manifest.csv")
    parser.add_argument("--part", choices=["held-out", "tune"], default="held-out")
    enhancers = ["auto", "dineuro", "classical", "none"]
    parser.add_argument("--enhancer", choices=enhancers, default="auto")
    parser.add_argument("--json", action="store_true", help="a line of JSON a volume")
    words = parser.parse_args()
    request = Request(enhancer=words.enhancer)
    cases = find_cases(words.data, words.part)
    run(cases[0], request)  # compiled loops are loaded, or made, before the clock counts
    rows = []
    for case in cases:
        rows.append(run(case, request))
        if words.json:
            s = rows[-1].scores
            record = {"name": case.name, "f1_2": s.at2.f1 if s else 0, "esa": s and s.esa}
            print(json.dumps(record), flush=True)
    if not words.json:
        print(as_markdown(rows))


if __name__ == "__main__":
    main()
