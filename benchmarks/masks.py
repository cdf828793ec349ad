"""The network's masks beside those of other methods, on volumes that were not in training.

    python -m benchmarks.masks ../shared/data
    python -m benchmarks.masks ../shared/data --model my.safetensors --model other.safetensors

The groups are the held-out lifted stacks by laboratory, without and with Poisson and Gaussian
noise; the real volumes with labels; and rendered neurons, clean, medium and hard. The methods are
Otsu's threshold; the best threshold, chosen with the reference; Sato's ridge filter with Otsu's
threshold; DINeuro's classical enhancer; and the networks. The figures are means. The table also
has the two halves of clDice: the share of the mask's centre lines that lie in the reference, and
the share of the reference's centre lines that lie in the mask. If the labels omit neurites, the
first half says little.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.filters import sato, threshold_otsu

from benchmarks.accuracy import find_cases
from dineuro_bridge.volumes.formats import read_volume
from dineuro_model.enhancers.classical import enhance
from dineuro_model.inference.registry import load_model
from dineuro_model.inference.segment import segment
from dineuro_model.mask_scores import line_shares, score_masks
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import RenderSettings, render

_RENDERED = (96, 192, 192)
#: Seeds that no training run uses.
_SEEDS = (9001, 9002, 9003)
#: Real volumes with labels: the labels of neurites, and those without information.
_REAL: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "trailmap_train": ((2,), (0, 4)),
    "dlmbmap_1000": ((), ()),
}
_LOOKS = {
    "rendered, clean": RenderSettings.clean(),
    "rendered, medium": RenderSettings.medium(),
    "rendered, hard": RenderSettings.hard(),
}


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A volume, its reference mask, and the voxels that count."""

    name: str
    group: str
    voxels: NDArray[Any]
    truth: NDArray[np.bool_]
    known: NDArray[np.bool_] | None = None


def volumes(data: Path) -> Iterator[Labelled]:
    """Yield all stacks."""
    for case in find_cases(data, "held-out"):
        if case.mask is None:
            continue
        voxels = read_volume(case.volume).channel(1)
        mask = read_volume(case.mask).channel(1)
        plain = Labelled(case.name, case.group, voxels, np.asarray(mask != 0))
        yield plain
        yield replace(plain, group=f"{case.group}, noisy", voxels=noisy(voxels))
    for name, (neurite, unknown) in _REAL.items():
        labels = read_volume(data / "real" / f"{name}_mask.tif").channel(1)
        truth = np.isin(labels, neurite) if neurite else np.asarray(labels != 0)
        known = ~np.isin(labels, unknown) if unknown else None
        seen = " (in training)" if name == "trailmap_train" else ""
        voxels = read_volume(data / "real" / f"{name}.tif").channel(1)
        yield Labelled(name, f"{name}{seen}", voxels, truth, known)
    for group, look in _LOOKS.items():
        for seed in _SEEDS:
            rng = np.random.default_rng(seed)
            made = render(grow_tree(_RENDERED, rng), _RENDERED, rng, look)
            yield Labelled(f"{group} {seed}", group, made.voxels, made.mask)


def noisy(voxels: NDArray[Any]) -> NDArray[np.uint8]:
    """Add the noise of few photons and of a camera: the brightest 0.1 % have 40 photons."""
    rng = np.random.default_rng(1)
    photons = voxels.astype(np.float64) * (
        40 / max(float(np.percentile(voxels[voxels > 0], 99.9)), 1)
    )
    seen = rng.poisson(photons + 4) + rng.normal(0, 2, voxels.shape)
    return np.clip(np.rint(seen * 4), 0, 255).astype(np.uint8)


def otsu(case: Labelled) -> NDArray[np.bool_]:
    """Return the mask of Otsu's threshold."""
    return np.asarray(case.voxels > threshold_otsu(case.voxels))


def best_threshold(case: Labelled) -> NDArray[np.bool_]:
    """Return the mask of the threshold with the best Dice, which needs the reference."""
    known = np.ones(case.truth.shape, bool) if case.known is None else case.known
    size = int(case.voxels.max()) + 1
    # For all thresholds at once: the count of voxels above each, and of the right ones among them.
    above, right = (
        np.cumsum(np.bincount(case.voxels[some], minlength=size)[::-1])[::-1]
        for some in (known, known & case.truth)
    )
    return np.asarray(case.voxels >= np.argmax(2 * right / np.maximum(above + right[0], 1)))


def sato_ridges(case: Labelled) -> NDArray[np.bool_]:
    """Return the mask of Sato's ridge filter at the widths of neurites, with Otsu's threshold."""
    ridges = sato(case.voxels.astype(np.float32), sigmas=(1, 1.5, 2.5), black_ridges=False)
    return np.asarray(ridges > threshold_otsu(ridges))


def classical(case: Labelled) -> NDArray[np.bool_]:
    """Return the mask of DINeuro's classical enhancer."""
    return enhance(case.voxels) >= 128


def by_network(name: str | None) -> Callable[[Labelled], NDArray[np.bool_]]:
    """Return the method of the network with this name or path."""
    runtime = load_model(name).runtime
    return lambda case: segment(case.voxels, runtime) >= 128


def main() -> None:
    """Score all stacks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with the development data's manifest.csv")
    parser.add_argument("--model", action="append", default=[], help="further networks, by path")
    parser.add_argument("--without", action="append", default=[], help="methods to leave out")
    words = parser.parse_args()
    methods: dict[str, Callable[[Labelled], NDArray[np.bool_]]] = {
        "Otsu": otsu,
        "best threshold": best_threshold,
        "Sato + Otsu": sato_ridges,
        "classical": classical,
        "DINeuro": by_network(None),
        **{Path(name).stem: by_network(name) for name in words.model},
    }
    methods = {name: run for name, run in methods.items() if name not in words.without}
    found: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for case in volumes(words.data):
        for method, run in methods.items():
            mask = run(case)
            scores = score_masks(mask, case.truth, case.known)
            known = True if case.known is None else case.known
            row = (*astuple(scores), *line_shares(mask & known, case.truth & known))
            found.setdefault((case.group, method), []).append(row)
            print(f"{case.name}, {method}: {scores}, {row[3:]}", file=sys.stderr)
    print("| group | volumes | method | Dice | clDice | HD95 | lines right | lines found |")
    print("|---|---|---|---|---|---|---|---|")
    for (group, method), rows in found.items():
        dice, cldice, hd95, right, seen = np.mean(rows, axis=0)
        print(
            f"| {group} | {len(rows)} | {method} | {dice:.3f} | {cldice:.3f} | {hd95:.1f} "
            f"| {right:.3f} | {seen:.3f} |"
        )


if __name__ == "__main__":
    main()
