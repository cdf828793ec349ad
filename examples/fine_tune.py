"""Fine-tune the network on your own stacks.

python examples/fine_tune.py mine/ mine/run

The folder holds stacks with their trees: a.tif and a.swc, b.tif and b.swc, and so on. 400 steps
take a quarter of an hour on two processor cores. docs/training.md describes every setting.
"""

import sys
from pathlib import Path

import dineuro
from dineuro_model.training.recipe import Recipe, Schedule
from dineuro_model.training.sampling import Case
from dineuro_model.training.train import train


def main(folder: Path, run: Path, steps: int = 400) -> None:
    """Train on each stack that has a tree; then trace the first one with the new network."""
    stacks = [stack for stack in sorted(folder.glob("*.tif")) if stack.with_suffix(".swc").exists()]
    recipe = Recipe(
        start="dineuro-s1",
        schedule=Schedule(steps=steps, learning_rate=3e-4, vit_learning_rate=3e-5, warmup=20),
        training=tuple(Case(str(stack), tree=str(stack.with_suffix(".swc"))) for stack in stacks),
    )
    weights = train(recipe, run)
    print("weights:", weights)
    result = dineuro.trace(stacks[0], enhancer="dineuro", model=str(weights))
    print(f"{stacks[0].name}: {result.tree.length:.0f} voxels of neurite")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
