"""How good masks and trees are over many cases: a manifest in, a row a case and means by group out.

A manifest is a CSV file with a head. Its columns, of which only `volume` is needed:

    volume            the stack
    mask              the reference labels, of the stack's shape
    gold              the reference tree (SWC, voxels of the stack)
    name, group       how the case and its group are called
    channel           counted from 1
    neurite, unknown  labels, separated by spaces: which are neurite (all but 0 if empty), and which
                      say nothing and do not count

Paths are relative to the manifest. Rows without a mask and a tree are left out, other columns too.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dineuro.pipeline.reconstruct import reconstruct
from dineuro.scoring import scores_in_voxels
from dineuro_bridge.errors import (
    BadFile,
    BadTree,
    BadVolume,
    Cancelled,
    DineuroError,
    MissingDependency,
)
from dineuro_bridge.files import atomic_output, read_bytes
from dineuro_bridge.options import Point, TraceOptions
from dineuro_bridge.progress import Progress, ProgressCallback, silent
from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.volumes.formats import read_volume
from dineuro_model.mask_scores import score_masks

Labels = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A line of the manifest; `mask` and `gold` are None where there is none."""

    name: str
    group: str
    volume: Path
    mask: Path | None
    gold: Path | None
    channel: int | None = None
    neurite: Labels = ()
    unknown: Labels = ()


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a case; a score is None where there is no reference for it.

    Seconds are of reading, enhancing, tracing and the report.
    A case that could not be judged has its `error`, and counts as 0 for Dice, clDice and F1.
    """

    name: str
    group: str
    dice: float | None = None
    cldice: float | None = None
    hd95: float | None = None
    esa: float | None = None
    dsa: float | None = None
    pds: float | None = None
    f1_2: float | None = None
    f1_4: float | None = None
    seconds: float = 0.0
    error: str = ""


#: The scores of a row, by the names that a table shows.
SCORES = {
    "dice": "Dice", "cldice": "clDice", "hd95": "HD95",
    "esa": "ESA", "dsa": "DSA", "pds": "PDS", "f1_2": "F1@2", "f1_4": "F1@4",
}  # fmt: skip
_SHARES = ("dice", "cldice", "f1_2", "f1_4")


def read_manifest(path: Path | str) -> list[Case]:
    """The cases of a manifest.

    Raises:
        FileAccess: it cannot be read.
        BadFile: no CSV with a column `volume`, a bad number, or no case with a reference.
    """
    try:
        lines = csv.DictReader(io.StringIO(read_bytes(path).decode("utf-8-sig"), newline=""))
        rows = list(lines)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadFile(f"{path}: is no CSV file: {error}") from error
    if "volume" not in (lines.fieldnames or ()):
        raise BadFile(f"{path}: has no column 'volume' in its first line")
    cases = []
    for number, row in enumerate(rows, start=2):
        try:
            case = _case({k: (v or "").strip() for k, v in row.items() if isinstance(k, str)}, path)
        except ValueError as error:
            raise BadFile(f"{path}: line {number}: {error}") from error
        if case is not None:
            cases.append(case)
    if not cases:
        raise BadFile(f"{path}: no line has a volume and a mask or gold tree")
    return cases


def _case(row: dict[str, str], manifest: Path | str) -> Case | None:
    folder = Path(manifest).parent
    if not row["volume"] or not (row.get("mask") or row.get("gold")):
        return None
    return Case(
        name=row.get("name") or Path(row["volume"]).stem,
        group=row.get("group") or row.get("kind") or "all",
        volume=folder / row["volume"],
        mask=folder / row["mask"] if row.get("mask") else None,
        gold=folder / row["gold"] if row.get("gold") else None,
        channel=int(row["channel"]) if row.get("channel") else None,
        neurite=tuple(map(int, row.get("neurite", "").split())),
        unknown=tuple(map(int, row.get("unknown", "").split())),
    )


def evaluate(
    cases: Sequence[Case],
    options: TraceOptions,
    progress: ProgressCallback = silent,
    *,
    device: str = "auto",
    gold_spacing: Point | None = None,
) -> list[Row]:
    """Reconstruct every case and judge it; one that fails is a row with its error.

    Args:
        cases: what to judge.
        options: of every trace; a case's own channel goes before theirs.
        progress: called after every case; it may raise `Cancelled`.
        device: where the network runs: "auto", "cpu" or "cuda".
        gold_spacing: x, y, z in µm of a voxel, for gold trees in µm; None for trees in voxels.
    """
    rows = []
    progress(Progress("evaluate", 0, len(cases)))
    for number, case in enumerate(cases, start=1):
        try:
            rows.append(_judged(case, options, device, gold_spacing))
        except Cancelled:
            raise
        except DineuroError as error:
            nothing = dict.fromkeys(_SHARES[:2] if case.mask else (), 0.0)
            nothing |= dict.fromkeys(_SHARES[2:] if case.gold else (), 0.0)
            rows.append(Row(case.name, case.group, error=str(error), **nothing))
        progress(Progress("evaluate", number, len(cases)))
    return rows


def _judged(case: Case, options: TraceOptions, device: str, gold_spacing: Point | None) -> Row:
    start = time.perf_counter()
    volume = replace(read_volume(case.volume), source=str(case.volume))
    options = replace(options, channel=case.channel or options.channel)
    result = reconstruct(volume, options, device=device)
    row = Row(case.name, case.group, seconds=time.perf_counter() - start)
    if case.mask is not None:
        labels = read_volume(case.mask).channel(1)
        mask = result.mask.channel(1) != 0
        if labels.shape != mask.shape:
            raise BadVolume(f"{case.mask}: has {labels.shape} voxels, the volume {mask.shape}")
        truth, counts = _truth(labels, case)
        row = replace(
            row, **asdict(score_masks(mask, truth, counts, VoxelScale(volume.spacing).edges))
        )
    if case.gold is not None:
        scores, doubt = scores_in_voxels(case.gold, result.tree, gold_spacing)
        if doubt is not None:
            raise BadTree(f"{case.gold}: {doubt} Pass --gold-spacing x,y,z")
        row = replace(
            row, esa=scores.esa, dsa=scores.dsa, pds=scores.pds,
            f1_2=scores.at2.f1, f1_4=scores.at4.f1,
        )  # fmt: skip
    return row


def _truth(labels: NDArray[np.generic], case: Case) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The reference mask, and the voxels that count for the score."""
    counts = ~np.isin(labels, case.unknown)
    neurite = np.isin(labels, case.neurite) if case.neurite else labels != 0
    return neurite & counts, counts


def summary(rows: Sequence[Row]) -> list[dict[str, str]]:
    """By group, in the order of the rows: how many, how many failed, and the mean scores.

    A mean is over the cases that have the score; "-" where none has. Behind Dice, clDice and F1 the
    worst case stands in brackets.
    """
    table = []
    for group in dict.fromkeys(row.group for row in rows):
        mine = [row for row in rows if row.group == group]
        line = {
            "group": group,
            "cases": str(len(mine)),
            "failed": str(sum(bool(row.error) for row in mine)),
        }
        for score, title in SCORES.items():
            values = [v for row in mine if (v := getattr(row, score)) is not None]
            digits = 3 if score in (*_SHARES, "pds") else 2
            line[title] = f"{statistics.mean(values):.{digits}f}" if values else "-"
            if values and score in _SHARES:
                line[title] += f" ({min(values):.{digits}f})"
        line["seconds"] = f"{statistics.mean(row.seconds for row in mine):.1f}"
        table.append(line)
    return table


def as_table(lines: Sequence[dict[str, str]]) -> str:
    """Lines of equal keys as a Markdown table, which reads well as it is."""
    head = list(lines[0])
    widths = [max(len(line[key]) for line in (dict.fromkeys(head, ""), *lines)) for key in head]
    widths = [max(width, len(key)) for width, key in zip(widths, head, strict=True)]
    texts = [
        head,
        ["-" * width for width in widths],
        *([line[key] for key in head] for line in lines),
    ]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in texts
    )


def write_rows(path: Path | str, rows: Sequence[Row]) -> None:
    """All rows as CSV; whole or not at all."""
    with (
        atomic_output(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, list(asdict(rows[0])))
        writer.writeheader()
        for row in rows:
            plain = asdict(row)
            writer.writerow(
                {k: f"{v:.4f}" if isinstance(v, float) else v for k, v in plain.items()}
            )


def write_plot(path: Path | str, rows: Sequence[Row]) -> None:
    """Every case as a dot, by score and group, as PNG, SVG or PDF; whole or not at all.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency(
            f"{path}: a plot needs matplotlib: pip install matplotlib"
        ) from error
    shown = [s for s in _SHARES if any(getattr(row, s) is not None for row in rows)]
    groups = list(dict.fromkeys(row.group for row in rows))
    figure = Figure(figsize=(2.2 * max(len(shown), 1) + 1.5, 4), layout="constrained")
    for number, score in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), number + 1)
        for place, group in enumerate(groups):
            values = [getattr(row, score) for row in rows if row.group == group]
            finite = [value for value in values if value is not None and math.isfinite(value)]
            beside = (
                np.linspace(-0.2, 0.2, len(finite)) if len(finite) > 1 else np.zeros(len(finite))
            )
            axes.plot(place + beside, sorted(finite), "o", ms=4)
            if finite:
                axes.hlines(statistics.mean(finite), place - 0.3, place + 0.3, color="black")
        axes.set_title(SCORES[score])
        axes.set_ylim(0, 1)
        axes.set_xticks(range(len(groups)), groups, rotation=30, ha="right")
    with atomic_output(path) as temporary:
        figure.savefig(temporary, dpi=150)
