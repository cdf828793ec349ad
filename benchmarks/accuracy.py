"""Masks and trees against references: one row per volume, then means and worst cases by group.

    python -m benchmarks.accuracy ../shared/data            # the held-out stacks, and the real ones
    python -m benchmarks.accuracy ../shared/data --part tune

The folder needs the development data's `manifest.csv`, which names volumes, references and kinds.
Lifted stacks are split by neuron: in the order of their names, every fourth is held out. No
parameter was chosen on held-out stacks. `--part tune` runs the others. A volume that fails counts
as 0 for Dice, clDice and F1, and the table has a column of failures.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from dineuro.evaluation import SCORES, Case, Row, as_table, evaluate, summary
from dineuro_bridge.options import TraceOptions

_JANELIA = "janelia"
_EVERY = 4
#: Real stacks on which parameters were chosen; all other real stacks are held out.
_REAL_TUNED = frozenset(
    {
        "diadem_OP_1", "diadem_OP_5_crop", "bigneuron_frog245", "bpl_dendrite",
        "flycircuit_branch", "flycircuit_full", "flycircuit_small",
    }
)  # fmt: skip


def find_cases(data: Path, part: str) -> list[Case]:
    """Return the cases with a reference: one part of the lifted stacks, and the real stacks.

    Parameters were chosen on some of the real stacks. Both parts contain these.
    """
    with (data / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["volume"] and row["gold"]]
    lifted = sorted((r for r in rows if r["kind"] == "lifted"), key=lambda r: r["name"])
    held_out = lifted[_EVERY - 1 :: _EVERY]
    chosen = {"held-out": held_out, "tune": [r for r in lifted if r not in held_out]}[part]
    real = [row for row in rows if row["kind"] in ("real", "real_gold")]
    chosen += [r for r in real if part == "held-out" or r["name"] in _REAL_TUNED]
    return [
        Case(
            name=row["name"],
            group=_group(row),
            volume=data / row["volume"],
            mask=data / row["mask"] if row["mask"] else None,
            gold=data / row["gold"],
        )
        for row in chosen
    ]


def _group(row: dict[str, str]) -> str:
    if row["kind"] != "lifted":
        return "real, tuned on" if row["name"] in _REAL_TUNED else "real, held out"
    return "lifted, Janelia" if _JANELIA in row["notes"] else "lifted, other laboratories"


def as_line(row: Row) -> dict[str, str]:
    """Return a row of the table of volumes."""
    values = {title: getattr(row, score) for score, title in SCORES.items()}
    shown = {title: "-" if value is None else f"{value:.3f}" for title, value in values.items()}
    return {"volume": row.name, **shown, "seconds": f"{row.seconds:.1f}"}


def main() -> None:
    """Run the cases and print Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with the development data's manifest.csv")
    parser.add_argument("--part", choices=["held-out", "tune"], default="held-out")
    enhancers = ["auto", "dineuro", "classical", "none"]
    parser.add_argument("--enhancer", choices=enhancers, default="auto")
    words = parser.parse_args()
    request = TraceOptions(enhancer=words.enhancer)
    cases = find_cases(words.data, words.part)
    evaluate(cases[:1], request)  # loads or compiles the compiled loops before the measurement
    rows = evaluate(cases, request)
    print(as_table([as_line(row) for row in rows]), as_table(summary(rows)), sep="\n\n")


if __name__ == "__main__":
    main()
