"""Trace a folder of stacks, and write one table of the places to proofread.

python examples/batch_doubts.py stacks/ doubts.csv

A stack that cannot be traced is reported, and does not stop the others.
"""

import csv
import sys
from pathlib import Path

import dineuro


def main(folder: Path, table: Path) -> None:
    """Trace each TIFF of a folder; write the doubts of all trees, the least certain first."""
    rows = []
    for stack in sorted(folder.glob("*.tif")):
        try:
            result = dineuro.trace(stack)
        except dineuro.DineuroError as error:
            print("failed:", error)
            continue
        dineuro.write_swc(stack.with_suffix(".swc"), result.tree)
        rows += [
            (round(doubt.chance, 2), stack.name, doubt.kind, *map(round, doubt.place))
            for doubt in result.doubts
        ]
        print(f"{stack.name}: {len(result.doubts)} places to proofread")
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("chance that it is right", "stack", "kind", "x", "y", "z"))
        writer.writerows(sorted(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
