"""How much better a network gets by corrected stacks of a kind that it does not know.

    python -m benchmarks.corrections                       # 0, 1, 2 and 4 stacks, 400 steps each
    python -m benchmarks.corrections --steps 100 --batch 1 --keep-vit     # 25 minutes on two cores

The stacks are rendered: thick neurites of which only the membrane is stained, so that each looks
like a tube. A network of filled neurites follows the walls. The corrections are simulated. A stack
is traced by the network that the training starts from, and the corrected tree is the reference, as
of a person who has corrected everything. The judges are three other stacks of the same kind, and
F1@2 is that of their trees.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from dineuro.corrections import DEFAULT_RECIPE, Correction, mean_f1, teach
from dineuro.evaluation import as_table
from dineuro.pipeline.reconstruct import reconstruct
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.trees.swc import write_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.synthesis.growth import GrowthSettings, grow_tree
from dineuro_model.synthesis.rendering import neurite_mask
from dineuro_model.training.recipe import Recipe

SHAPE = (48, 128, 128)
START = "dineuro-s1"
#: Thick neurites, whose membrane encloses what is dark.
GROWTH = GrowthSettings(
    stems=3, stem_length=150.0, fork_every=50.0, wander=0.08,
    soma_radius=8.0, stem_radius=5.0, tip_radius=3.5,
)  # fmt: skip
#: The seeds of the stacks that teach, and of those that judge.
TEACHERS, JUDGES = range(301, 317), range(401, 404)
#: Thickness of the membrane (voxels); the grey values of the ground and of the membrane; the noise.
_MEMBRANE, _GROUND, _LIGHT, _NOISE = 1.5, 20.0, 120.0, 16.0
_BLUR = (1.0, 0.6, 0.6)


def hollow(seed: int) -> tuple[Volume, Tree]:
    """A stack with a membrane stain, and its reference."""
    rng = np.random.default_rng(seed)
    tree = grow_tree(SHAPE, rng, GROWTH)
    depth = ndimage.distance_transform_edt(neurite_mask(tree, SHAPE))
    membrane = ((depth > 0) & (depth <= _MEMBRANE)).astype(np.float32)
    light = _GROUND + _LIGHT * ndimage.gaussian_filter(membrane, _BLUR)
    noisy = np.clip(light + rng.normal(0, _NOISE, SHAPE), 0, 255).astype(np.uint8)
    return Volume(noisy[None]), tree


def corrected(folder: Path, seeds: Iterable[int]) -> list[Correction]:
    """Stacks as files, with the trees that the network traces, and their references."""
    made = []
    for seed in seeds:
        volume, gold = hollow(seed)
        one = Correction(*(folder / f"{seed}{end}" for end in (".tif", "_traced.swc", ".swc")))
        write_volume(one.volume, volume)
        result = reconstruct(read_volume(one.volume), TraceOptions(model=START))
        write_swc(one.traced, result.tree)
        write_swc(one.corrected, gold)
        made.append(one)
    return made


def recipe_of(steps: int, batch: int, *, keep_vit: bool) -> Recipe:
    """The default recipe of corrections with other numbers of steps and windows."""
    warmup = min(20, steps // 5)
    schedule = replace(DEFAULT_RECIPE.schedule, steps=steps, batch=batch, warmup=warmup)
    if keep_vit:
        schedule = replace(schedule, vit_learning_rate=0.0)
    return replace(DEFAULT_RECIPE, schedule=schedule, start=START)


def run(folder: Path, stacks: list[int], recipe: Recipe) -> list[dict[str, str]]:
    """The table: by the number of corrected stacks, the scores of the judges."""
    judges = corrected(folder, JUDGES)
    teachers = corrected(folder, TEACHERS[: max(stacks)])
    table = list[dict[str, str]]()
    for count in sorted(stacks):
        lesson = teach(
            recipe, teachers[:count], judges, folder / f"run{count}",
            progress=lambda at: print(at.stage, at.done, at.total, file=sys.stderr, flush=True),
        )  # fmt: skip
        if not table:
            table.append(_row("none", [row.f1_2 or 0 for row in lesson.before]))
        table.append(_row(str(count), [row.f1_2 or 0 for row in lesson.after]))
        print(f"{count} stacks: {mean_f1(lesson.after):.3f}", file=sys.stderr, flush=True)
    return table


def _row(stacks: str, scores: list[float]) -> dict[str, str]:
    each = ", ".join(f"{score:.3f}" for score in scores)
    return {"corrected stacks": stacks, "F1@2": f"{statistics.mean(scores):.3f}", "each": each}


def main() -> None:
    """Correct, train, judge and print Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stacks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--steps", type=int, default=DEFAULT_RECIPE.schedule.steps)
    parser.add_argument("--batch", type=int, default=DEFAULT_RECIPE.schedule.batch)
    parser.add_argument("--keep-vit", action="store_true", help="train without the ViT: faster")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recipe = recipe_of(words.steps, words.batch, keep_vit=words.keep_vit)
        rows = run(Path(folder), words.stacks, recipe)
    print(as_table(rows))


if __name__ == "__main__":
    main()
