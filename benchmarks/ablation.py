"""The effect of each part of the method: the same short training for every variant of the network.

    python -m benchmarks.ablation RECIPE.toml --steps 150 --seeds 1 2 --out runs/ablation
    python -m benchmarks.ablation RECIPE.toml --slices --out runs/slices

Every variant is trained with the recipe's data, loss and rates. All variants see the same windows
in the same order, for the same number of steps. They are scored on the validation volumes of the
recipe, in windows with a neurite, without and with added noise. A finished variant is not
repeated, and an interrupted one continues. The table has the mean over the seeds. The number after
± is half of the distance between the best and the worst seed.

`--slices` compares two kinds of networks. One predicts all but the outermost slices of a window,
and the other predicts the two slices in its middle (the paper: one). Windows would show them
different slices. Both therefore segment the same piece of every validation volume, with their own
number of windows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dineuro_bridge.progress import Progress
from dineuro_model.inference.segment import segment
from dineuro_model.inference.torch_runtime import TorchRuntime
from dineuro_model.mask_scores import score_masks
from dineuro_model.network.config import NetworkConfig
from dineuro_model.network.network import Network
from dineuro_model.network.weights import load_network
from dineuro_model.training.recipe import Recipe, read_recipe
from dineuro_model.training.sampling import NEURITE, UNKNOWN, read_case
from dineuro_model.training.train import CHECKPOINT, train
from dineuro_model.training.validation import ValidationScores, validate, validation_windows

#: The number of windows per validation volume.
_WINDOWS = 4
#: The piece of each validation volume for `--slices`, and the noise that is added to it.
_PIECE, _NOISE = (32, 160, 160), 0.1
_FIGURES = ("dice", "cldice", "hd95", "noisy_dice", "noisy_cldice", "noisy_hd95")


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant of the network: its differences from the recipe, and whether it has the prior."""

    name: str
    changes: dict[str, Any]
    prior: bool = True


VARIANTS = (
    Variant("U-Net alone, wider, no ViT", {"backbone": "", "channels": (16, 32, 64, 128)}, False),
    Variant("from scratch", {"inflation": "center", "tubular": "none"}, False),
    Variant("average", {"inflation": "average", "tubular": "none"}),
    Variant("center", {"inflation": "center", "tubular": "none"}),
    Variant("center + tubular", {"inflation": "center", "tubular": "straight"}),
    Variant("center + deformable tubular", {"inflation": "center", "tubular": "deformable"}),
    Variant("average + deformable tubular", {"inflation": "average", "tubular": "deformable"}),
)

SLICES = (
    Variant("twelve slices of a window", {"predicted": 12}),
    Variant("the two slices in its middle", {"predicted": 2}),
)


def run(
    variant: Variant, recipe: Recipe, seed: int, steps: int, folder: Path, *, slices: bool
) -> dict[str, float]:
    """Train and score one variant with one seed, or read its stored scores."""
    result = folder / "result.json"
    if result.exists():
        figures: dict[str, float] = json.loads(result.read_text())
        return figures
    config = replace(recipe.network or NetworkConfig(), **variant.changes)
    schedule = replace(
        recipe.schedule, seed=seed, steps=steps, warmup=steps // 10, ema=0.98, validate_every=steps,
        checkpoint_every=50,
    )  # fmt: skip
    mine = replace(
        recipe,
        network=config,
        schedule=schedule,
        prior=recipe.prior if variant.prior else "",
        start="",
        validation=(),
    )

    def tell(step: Progress) -> None:
        if step.done % 10 == 0:
            sys.stderr.write(f"\r{variant.name}, seed {seed}: {step.done} / {step.total} ")

    weights = train(mine, folder, resume=(folder / CHECKPOINT).exists(), progress=tell)
    with (folder / "log.csv").open() as file:
        seconds = float(file.read().splitlines()[-1].split(",")[5])
    network = load_network(weights)
    if slices:
        scores = score_pieces(network, recipe)
    else:
        windows = validation_windows(recipe.validation, config, 0, count=_WINDOWS)
        scores = validate(network, windows, torch.device("cpu"), bf16=schedule.bf16)
    figures = {**asdict(scores), "seconds": seconds}
    result.write_text(json.dumps(figures))
    return figures


def score_pieces(network: Network, recipe: Recipe) -> ValidationScores:
    """Score the network on the middle of every validation volume, without and with noise."""
    runtime = TorchRuntime(network)
    rows = []
    for number, case in enumerate(recipe.validation):
        volume = read_case(case)
        middle = tuple(
            slice(max(0, (n - size) // 2), max(0, (n - size) // 2) + size)
            for n, size in zip(volume.labels.shape, _PIECE, strict=True)
        )
        labels, voxels = volume.labels[middle], volume.voxels[middle].astype(np.float32)
        noise = np.random.default_rng(number).normal(0, _NOISE * volume.scale[1], voxels.shape)
        noisy = np.maximum(voxels + noise, 0).astype(np.float32)
        row: list[float] = []
        for stack in (voxels, noisy):
            mask = segment(stack, runtime) >= 128
            row += astuple(score_masks(mask, labels == NEURITE, labels != UNKNOWN))
        rows.append(row)
    return ValidationScores(*(float(value) for value in np.mean(rows, axis=0)))


def main() -> None:
    """Run all variants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--slices", action="store_true", help="two slices of a window or twelve")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    words = parser.parse_args()
    recipe = read_recipe(words.recipe)
    variants = SLICES if words.slices else VARIANTS
    found: dict[str, list[dict[str, float]]] = {variant.name: [] for variant in variants}
    for seed in words.seeds:
        for number, variant in enumerate(variants):
            folder = words.out / f"{number}-seed{seed}"
            row = run(variant, recipe, seed, words.steps, folder, slices=words.slices)
            found[variant.name].append(row)
    print("| variant | Dice | clDice | HD95 | noisy Dice | noisy clDice | noisy HD95 | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for name, rows in found.items():
        cells = [_spread([row[figure] for row in rows], figure) for figure in _FIGURES]
        seconds = statistics.mean(row["seconds"] for row in rows)
        print(f"| {name} | {' | '.join(cells)} | {seconds:.0f} |")


def _spread(values: list[float], figure: str) -> str:
    digits = 1 if "hd95" in figure else 3
    return f"{statistics.mean(values):.{digits}f} ± {(max(values) - min(values)) / 2:.{digits}f}"


if __name__ == "__main__":
    main()
