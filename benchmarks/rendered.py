"""Trees of rendered neurons, which have an exact reference.

    python -m benchmarks.rendered                          # the held-out seeds
    python -m benchmarks.rendered --part tune --enhancer classical

The looks are clean; medium (four times the noise, no other neurites); near (signal near the noise,
gaps of 2 to 8 voxels); and hard (signal about the noise). All but medium have three passing
neurites of other neurons, 50 to 110 voxels long, some of them with their soma. They are not in the
reference.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dineuro.evaluation import Case, as_table, evaluate, summary
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.trees.swc import write_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import Rendering, RenderSettings, render

SHAPE = (96, 192, 192)
#: The settings of each look, and its number of passing neurites.
LOOKS = {
    "clean": (RenderSettings.clean(), 3),
    "medium": (RenderSettings.medium(), 0),
    "near": (replace(RenderSettings.hard(), contrast=2.4), 3),
    "hard": (RenderSettings.hard(), 3),
}
#: Parameters are chosen on the first seeds, and reported on the others.
SEEDS = {"tune": range(601, 607), "held-out": range(9201, 9207)}
#: The least and the greatest length of a passing neurite (voxels).
_PASSING = (50, 110)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Return a rendered neuron by look and seed."""

    look: str
    seed: int
    made: Rendering


def scenes(part: str) -> Iterator[Scene]:
    """Yield all looks and seeds of a part, "tune" or "held-out"."""
    for look, (settings, count) in LOOKS.items():
        for seed in SEEDS[part]:
            rng = np.random.default_rng(seed)
            tree = grow_tree(SHAPE, rng)
            others = [passing(rng) for _ in range(count)]
            yield Scene(look, seed, render(tree, SHAPE, rng, settings, distractors=others))


def passing(rng: np.random.Generator) -> Tree:
    """Return one unbranched neurite of another neuron: the path from a tip towards its root."""
    tree = grow_tree(SHAPE, rng)
    node = int(rng.choice(tree.tips))
    longest, length = rng.uniform(*_PASSING), 0.0
    kept = np.zeros(len(tree), dtype=bool)
    while node >= 0 and length < longest:
        kept[node] = True
        length += tree.link_lengths[node]
        node = int(tree.parents[node])
    return tree.keep(kept)


def write_cases(folder: Path, part: str) -> list[Case]:
    """Write the scenes as files in a folder."""
    cases = []
    for scene in scenes(part):
        name = f"{scene.look}_{scene.seed}"
        volume, mask, gold = (
            folder / f"{name}{end}" for end in (".v3draw", "_mask.v3draw", ".swc")
        )
        write_volume(volume, Volume(scene.made.voxels[None]))
        write_volume(mask, Volume(scene.made.mask[None].astype(np.uint8)))
        write_swc(gold, scene.made.tree)
        cases.append(Case(name, f"rendered, {scene.look}", volume, mask, gold))
    return cases


def main() -> None:
    """Render, reconstruct and print Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--part", choices=list(SEEDS), default="held-out")
    enhancers = ["auto", "dineuro", "classical", "none"]
    parser.add_argument("--enhancer", choices=enhancers, default="auto")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cases = write_cases(Path(folder), words.part)
        rows = evaluate(cases, TraceOptions(enhancer=words.enhancer))
    print(as_table(summary(rows)))


if __name__ == "__main__":
    main()
