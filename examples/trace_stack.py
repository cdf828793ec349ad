"""Trace one stack, and write its tree and its mask beside it.

python examples/trace_stack.py demo/neuron.tif
"""

import sys
from pathlib import Path

import dineuro


def main(stack: Path) -> None:
    """Trace a stack and print how far to trust the tree."""
    result = dineuro.trace(stack)
    dineuro.write_swc(stack.with_name(f"{stack.stem}_tree.swc"), result.tree)
    dineuro.write_volume(stack.with_name(f"{stack.stem}_mask.tif"), result.mask)
    print(f"{result.report.length:.0f} voxels of neurite, {result.report.certain:.0%} certain")
    for warning in result.report.warnings:
        print("warning:", warning)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
