"""Compare one or more trees with a reference tree (the gold standard).

python examples/score_tree.py demo/neuron_truth.swc demo/neuron_dineuro.swc

All files are SWC in voxels of the same stack.
"""

import sys

import dineuro


def main(gold: str, *trees: str) -> None:
    """Print precision, recall and F1 within 2 voxels, and the mean distance, of each tree."""
    print("precision  recall     F1    ESA  tree")
    for tree in trees:
        scores = dineuro.score(gold, tree)
        near = scores.at2
        distance = "     -" if scores.esa is None else f"{scores.esa:6.2f}"
        print(f"{near.precision:9.3f}  {near.recall:6.3f}  {near.f1:5.3f} {distance}  {tree}")


if __name__ == "__main__":
    main(*sys.argv[1:])
