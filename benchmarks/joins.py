"""The weights by which pieces of a broken neurite are joined, fitted on the tuning part.

    python -m benchmarks.joins ../shared/data

Every stack of the tuning part (lifted ones with both enhancers, rendered ones with "auto" and the
classical one) is traced up to the pieces; all candidates for joins are judged by the reference: a
join is right where both of its ends lie on the reference tree, wrong where only one does, and of no
interest where none does. A logistic model is fitted with a small penalty; a candidate weighs with
the root of the length that is at stake. Prints the weights for `dineuro_tracing/gaps.py`, and how
well models fitted on four fifths of the stacks tell right from wrong on the last fifth.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.accuracy import find_cases
from benchmarks.rendered import write_cases
from dineuro.evaluation import Case
from dineuro.pipeline.enhancement import enhanced
from dineuro_bridge.options import Enhancer, TraceOptions
from dineuro_bridge.progress import silent
from dineuro_bridge.scale import CUBES
from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import read_volume
from dineuro_model.inference.registry import cached_model
from dineuro_tracing.foreground import find_foreground
from dineuro_tracing.gaps import FEATURES, NEAR, candidate_links
from dineuro_tracing.paths import find_paths
from dineuro_tracing.scores import distances
from dineuro_tracing.skeleton import Skeleton
from dineuro_tracing.soma import find_somata

#: An end belongs to the reference if it is at most so far from it (voxels).
_NEAR = 3.5
#: A candidate weighs with the root of the shorter piece's length between these.
_LEAST, _MOST = 3.0, 100.0
_PENALTY, _PARTS = 1.0, 5


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The candidates of one stack that count: what is seen, whether right, and their weights."""

    name: str
    group: str
    features: NDArray[np.float64]
    right: NDArray[np.bool_]
    weight: NDArray[np.float64]


def samples(data: Path) -> Iterator[Sample]:
    """Of all stacks of the tuning part."""
    with tempfile.TemporaryDirectory() as folder:
        for case in [*find_cases(data, "tune"), *write_cases(Path(folder), "tune")]:
            for enhancer in ("auto", "classical"):
                found = sample(case, enhancer)
                print(f"{case.name} {enhancer}: {len(found.right)} candidates", file=sys.stderr)
                yield found


def sample(case: Case, enhancer: Enhancer) -> Sample:
    """The candidates of a stack."""
    if case.gold is None:
        raise ValueError(f"{case.name}: has no reference tree")
    volume = read_volume(case.volume).channel(1)
    threshold = TraceOptions().threshold
    model = cached_model() if enhancer == "auto" else None
    probability = enhanced(
        volume, enhancer, model, scale=CUBES, threshold=threshold, progress=silent
    ).probability
    skeleton = pieces(probability)
    links = candidate_links(skeleton, probability, NEAR, CUBES.edges)
    gold: Tree = read_swc(case.gold)
    on = on_reference(skeleton, gold)
    ours, theirs = on[links.tip], on[links.point] | skeleton.soma[links.point]
    counts = ours | theirs
    return Sample(
        case.name,
        f"{case.group}, {enhancer}",
        links.features[counts],
        (ours & theirs)[counts],
        np.sqrt(np.clip(links.shorter, _LEAST, _MOST))[counts],
    )


def pieces(probability: NDArray[np.uint8]) -> Skeleton:
    """The tracer's stages before the joins, with its defaults."""
    asked = TraceOptions()
    foreground = find_foreground(
        probability,
        threshold=asked.threshold,
        gap=asked.gap,
        min_voxels=max(2, int(asked.min_length)),
        scale=CUBES.edges,
    )
    somata = find_somata(foreground)
    soma = somata[0] if somata else None
    paths = find_paths(
        foreground,
        None if soma is None else soma.voxel,
        min_length=asked.min_length,
        progress=silent,
    )
    if soma is None or paths.root is None:
        return paths.skeleton
    return paths.skeleton.with_soma(paths.root, soma.radius)


def on_reference(skeleton: Skeleton, gold: Tree) -> NDArray[np.bool_]:
    """(N,) which points lie on the reference tree."""
    if len(skeleton) == 0:
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(distances(skeleton.points[:, ::-1], gold) <= _NEAR)


def fit(some: list[Sample]) -> NDArray[np.float64]:
    """(F,) the weights; the penalty is on those of features of unit spread, not on the constant."""
    x = np.concatenate([s.features for s in some])
    y = np.concatenate([s.right for s in some]).astype(np.float64)
    weight = np.concatenate([s.weight for s in some])
    middle, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    middle[0], spread[0] = 0.0, 1.0
    z = (x - middle) / spread

    def cost(b: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = z @ b
        slope = z.T @ (weight * (1 / (1 + np.exp(-odds)) - y))
        slope[1:] += 2 * _PENALTY * b[1:]
        entropy = weight @ (np.logaddexp(0, odds) - y * odds)
        return float(entropy + _PENALTY * (b[1:] ** 2).sum()), slope

    found = minimize(cost, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
    weights = found / spread
    weights[0] -= (found[1:] * middle[1:] / spread[1:]).sum()
    return np.asarray(weights)


def area_under_curve(right: NDArray[np.bool_], odds: NDArray[np.float64]) -> float:
    """The probability that a right candidate has better odds than a wrong one."""
    if right.all() or not right.any():
        return float("nan")
    good, bad = odds[right], np.sort(odds[~right])
    below = np.searchsorted(bad, good, "left") + np.searchsorted(bad, good, "right")
    return float(below.mean() / (2 * len(bad)))


def main() -> None:
    """Print weights and figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with the development data's manifest.csv")
    words = parser.parse_args()
    found = [s for s in samples(words.data) if len(s.right)]
    for name, weight in zip(FEATURES, fit(found), strict=True):
        print(f'    "{name}": {weight:.3f},')
    part = {name: n % _PARTS for n, name in enumerate(sorted({s.name for s in found}))}
    odds = {}
    for number in range(_PARTS):
        weights = fit([s for s in found if part[s.name] != number])
        odds.update({id(s): s.features @ weights for s in found if part[s.name] == number})
    print("\n| group | candidates | right | area under the curve, left out |\n|---|---|---|---|")
    for group in [*dict.fromkeys(s.group for s in found), "all"]:
        mine = [s for s in found if group in (s.group, "all")]
        right = np.concatenate([s.right for s in mine])
        area = area_under_curve(right, np.concatenate([odds[id(s)] for s in mine]))
        print(f"| {group} | {len(right)} | {right.sum()} | {area:.3f} |")


if __name__ == "__main__":
    main()
