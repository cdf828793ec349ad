"""The effect of the second pass: trees after one pass and after at most two.

    python -m benchmarks.passes ../shared/data            # the held-out stacks, and the real ones
    python -m benchmarks.passes ../shared/data --part tune

The benchmark traces every lifted stack, without and with added noise, and every rendered and real
stack. It uses the enhancers `auto` and `classical`. The table has the number of stacks whose second
pass was kept, and the mean scores with one pass and with at most two. A tree without a node has no
distances, and counts for F1 alone.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np

from benchmarks.confidence import ENHANCERS, stacks
from dineuro.evaluation import as_table
from dineuro.pipeline.reconstruct import reconstruct
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.volume import Volume
from dineuro_tracing.scores import score_trees

Scores = tuple[float, float, float, float]
Row = tuple[int, list[Scores]]


def measured(tree: Tree, gold: Tree) -> Scores:
    """ESA, PDS, F1@2 and F1@4."""
    scores = score_trees(tree, gold)
    esa, pds = (math.nan if value is None else value for value in (scores.esa, scores.pds))
    return esa, pds, scores.at2.f1, scores.at4.f1


def as_line(kind: str, rows: list[Row]) -> dict[str, str]:
    """Return a line of the table. `rows` has the number of passes and both scores of each stack."""
    line = {"stacks; enhancer": kind, "stacks": str(len(rows))}
    line["second pass kept"] = str(sum(passes == 2 for passes, _ in rows))
    once, twice = np.nanmean([scores for _, scores in rows], axis=0)
    for i, (title, digits) in enumerate((("ESA", 2), ("PDS", 3), ("F1@2", 3), ("F1@4", 3))):
        line[title] = f"{once[i]:.{digits}f} → {twice[i]:.{digits}f}"
    return line


def main() -> None:
    """Trace all stacks twice and print Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with the development data's manifest.csv")
    parser.add_argument("--part", choices=["held-out", "tune"], default="held-out")
    words = parser.parse_args()
    found: dict[str, list[Row]] = {}
    for stack in stacks(words.data, words.part):
        volume = Volume(stack.intensity[None], stack.scale.spacing, source=stack.name)
        for enhancer in ENHANCERS:
            once, twice = (
                reconstruct(volume, TraceOptions(enhancer=enhancer, passes=n)) for n in (1, 2)
            )
            scores = [measured(made.tree, stack.gold) for made in (once, twice)]
            kind = f"{stack.kind}; {enhancer}"
            found.setdefault(kind, []).append((twice.report.passes, scores))
            print(f"{stack.name}, {kind}: {twice.report.passes}, {scores}", file=sys.stderr)
    print(as_table([as_line(kind, rows) for kind, rows in found.items()]))


if __name__ == "__main__":
    main()
