"""The model of the segments' confidence, and how far the confidences can be believed.

    python -m benchmarks.confidence ../shared/data

Every lifted stack, with and without added noise (`benchmarks.masks`), and every rendered one
(`benchmarks.rendered`) is traced with the enhancers `auto` and `classical`. Nothing is pruned. The
target of the fit is the share of each segment that lies within 3 voxels of the reference tree. Only
the tuning stacks are fitted. Every stack has the same weight, and in it every segment has the root
of its length. The held-out stacks and the real ones only show how good the model is.

In the tables a segment is right if that share is a half or more. AUC is the probability that a
right segment has a higher confidence than a wrong one. In the table of reliability the share of
right segments should equal the confidence.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import find_cases
from benchmarks.fitting import area_under_curve, as_source, fit_logistic
from benchmarks.masks import noisy
from benchmarks.rendered import scenes
from dineuro.evaluation import as_table
from dineuro.pipeline.enhancement import run_enhancer
from dineuro_bridge.options import Enhancer, TraceOptions
from dineuro_bridge.progress import silent
from dineuro_bridge.scale import CUBES, VoxelScale
from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import read_volume
from dineuro_model.inference.registry import cached_model
from dineuro_tracing.confidence import CERTAIN, CONFIDENCE_MODEL, assess
from dineuro_tracing.odds import LogisticModel
from dineuro_tracing.sampling import sample_links
from dineuro_tracing.scores import distances
from dineuro_tracing.trace import trace

#: A segment is right within so many voxels of the reference, for so much of its length.
_NEAR, _SHARE = 3.0, 0.5
ENHANCERS: tuple[Enhancer, ...] = ("auto", "classical")
#: Penalty on the squared weights.
_PENALTY = 5e-4
_BINS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Segments of traced stacks: what the model sees of them (S, 11), and how right they are.

    Attributes:
        features: by segment.
        share: that lies on the reference.
        length: in voxels.
        weight: together 1 a stack.
        kind: (S,) of stack, for the tables.
    """

    features: NDArray[np.float64]
    share: NDArray[np.float64]
    length: NDArray[np.float64]
    weight: NDArray[np.float64]
    kind: NDArray[np.str_]

    @property
    def right(self) -> NDArray[np.bool_]:
        """By segment: so much of it that it counts as right."""
        return np.asarray(self.share >= _SHARE)

    def of(self, chosen: NDArray[np.bool_]) -> Examples:
        """Those that are marked."""
        return Examples(*(getattr(self, part.name)[chosen] for part in fields(self)))


def examples(data: Path, part: str) -> Examples:
    """All segments of a part's stacks."""
    parts = list(_examples(data, part))
    names = [part.name for part in fields(Examples)]
    return Examples(*(np.concatenate([getattr(e, name) for e in parts]) for name in names))


def _examples(data: Path, part: str) -> Iterator[Examples]:
    model = cached_model(None)
    for stack in stacks(data, part):
        for enhancer in ENHANCERS:
            probability = run_enhancer(
                stack.intensity, enhancer, lambda: model,
                scale=stack.scale, threshold=128, progress=silent,
            ).probability  # fmt: skip
            traced = trace(probability, TraceOptions(), scale=stack.scale)
            if len(traced.tree) < 2:
                continue
            segments = assess(traced.tree, traced.joined, probability, stack.intensity, stack.scale)
            samples = sample_links(traced.tree)
            near = distances(samples.places, stack.gold) <= _NEAR
            of_sample = segments.of_node[samples.node]
            share = np.bincount(of_sample, samples.weight * near) / segments.length
            kind, n = f"{stack.kind}; {enhancer}", len(segments)
            print(f"{stack.name}, {kind}: {np.mean(share >= _SHARE):.3f} of {n}", file=sys.stderr)
            weight = np.sqrt(segments.length)
            yield Examples(
                segments.features(), share, segments.length,
                weight / weight.sum(), np.full(n, kind),
            )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """A stack to trace, (Z, Y, X), and its reference."""

    name: str
    kind: str
    intensity: NDArray[Any]
    gold: Tree
    scale: VoxelScale = CUBES


def stacks(data: Path, part: str) -> Iterator[Stack]:
    """All stacks of a part that have a reference tree."""
    for case in find_cases(data, part):
        if case.gold is None:
            continue
        volume, gold = read_volume(case.volume), read_swc(case.gold)
        intensity, scale = volume.channel(1), VoxelScale(volume.spacing)
        yield Stack(case.name, case.group, intensity, gold, scale)
        if case.group.startswith("lifted"):
            yield Stack(case.name, f"{case.group}, noisy", noisy(intensity), gold, scale)
    for scene in scenes(part):
        voxels, gold = scene.made.voxels, scene.made.tree
        yield Stack(f"{scene.seed}", f"rendered, {scene.look}", voxels, gold)


def fit(rows: Examples) -> LogisticModel:
    """The model of the examples."""
    return fit_logistic(
        CONFIDENCE_MODEL.names,
        rows.features,
        rows.share,
        rows.weight / rows.weight.sum(),
        penalty=_PENALTY,
        standardised=False,
    )


def reliability(score: NDArray[np.float64], rows: Examples) -> list[dict[str, str]]:
    """By confidence: how many segments, what was said of them, how many are right."""
    lines = []
    for low, high in pairwise(_BINS):
        inside = (score >= low) & ((score < high) | (high == _BINS[-1]))
        if inside.any():
            by_length = rows.length[inside & rows.right].sum() / rows.length[inside].sum()
            lines.append(
                {
                    "confidence": f"{low:.2f} to {high:.2f}",
                    "segments": str(inside.sum()),
                    "mean confidence": f"{score[inside].mean():.2f}",
                    "right": f"{rows.right[inside].mean():.2f}",
                    "of the length": f"{rows.length[inside].sum() / rows.length.sum():.1%}",
                    "right of it": f"{by_length:.2f}",
                }
            )
    return lines


def by_kind(score: NDArray[np.float64], rows: Examples) -> list[dict[str, str]]:
    """For every kind of stack: AUC, and what the certain segments are worth."""
    lines = []
    for kind in dict.fromkeys(rows.kind.tolist()):
        mine = rows.kind == kind
        length, right, sure = rows.length[mine], rows.right[mine], score[mine] >= CERTAIN
        lines.append(
            {
                "stacks; enhancer": kind,
                "segments": str(mine.sum()),
                "AUC": f"{area_under_curve(score[mine], right):.2f}",
                "right, of the length": f"{length[right].sum() / length.sum():.2f}",
                "certain, of the length": f"{length[sure].sum() / length.sum():.2f}",
                "right of that": f"{length[sure & right].sum() / max(length[sure].sum(), 1):.2f}",
            }
        )
    return lines


def main() -> None:
    """Fit to the tuning stacks, look at the held-out ones."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with the development data's manifest.csv")
    words = parser.parse_args()
    tune = examples(words.data, "tune")
    print(f"fitted:\n{as_source(fit(tune))}\nin use:\n{as_source(CONFIDENCE_MODEL)}")
    for part, rows in (("tune", tune), ("held-out", examples(words.data, "held-out"))):
        score = CONFIDENCE_MODEL.probability(rows.features)
        # The real stacks' references are automatic or partial: what they lack is not wrong.
        complete = rows.of(~np.char.startswith(rows.kind.astype(str), "real"))
        confidence = CONFIDENCE_MODEL.probability(complete.features)
        area = area_under_curve(confidence, complete.right)
        print(f"\n{part}, lifted and rendered: AUC {area:.3f}\n")
        print(
            as_table(reliability(confidence, complete)), as_table(by_kind(score, rows)), sep="\n\n"
        )


if __name__ == "__main__":
    main()
