"""The model by which pieces of a broken neurite are joined, fitted on the tuning part.

    python -m benchmarks.joins ../shared/data

Every stack of the tuning part, lifted or rendered, is traced up to the pieces with the enhancers
"auto" and "classical". The reference judges every candidate for a join. A join is right if both of
its ends lie on the reference tree, and wrong if only one does. It does not count if none does. A
logistic model is fitted with a small penalty. The weight of a candidate is the root of the shorter
piece's length. The weights of distance and turn have a limit: without one, a long or bent link
would be as likely as a short and straight one where the volume shows nothing. The output is the
model for `dineuro_tracing/links.py`. A table shows how well models fitted on four fifths of the
stacks tell right from wrong on the last fifth.
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

from benchmarks.accuracy import find_cases
from benchmarks.fitting import area_under_curve, as_source, fit_logistic
from benchmarks.rendered import write_cases
from dineuro.evaluation import Case
from dineuro.pipeline.enhancement import run_enhancer
from dineuro_bridge.options import Enhancer, TraceOptions
from dineuro_bridge.progress import silent
from dineuro_bridge.scale import CUBES
from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import read_volume
from dineuro_model.inference.registry import cached_model
from dineuro_tracing.foreground import find_foreground
from dineuro_tracing.links import JOIN_MODEL, NEAR, candidate_links
from dineuro_tracing.odds import LogisticModel
from dineuro_tracing.paths import find_paths
from dineuro_tracing.scores import distances
from dineuro_tracing.skeleton import Skeleton
from dineuro_tracing.soma import find_somata

#: Greatest distance (voxels) of an end on the reference tree from it.
_NEAR = 3.5
#: The weight of a candidate is the root of the shorter piece's length within these bounds.
_LEAST, _MOST = 3.0, 100.0
_PENALTY, _PARTS = 1.0, 5
#: The highest weights of two features.
_HIGHEST = {"log_distance": -0.2, "turn": -0.6}


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The candidates of one stack that count: features, whether right, and weights."""

    name: str
    group: str
    features: NDArray[np.float64]
    right: NDArray[np.bool_]
    weight: NDArray[np.float64]


def samples(data: Path) -> Iterator[Sample]:
    """The samples of all stacks of the tuning part."""
    with tempfile.TemporaryDirectory() as folder:
        for case in [*find_cases(data, "tune"), *write_cases(Path(folder), "tune")]:
            for enhancer in ("auto", "classical"):
                one = sample(case, enhancer)
                print(f"{case.name} {enhancer}: {len(one.right)} candidates", file=sys.stderr)
                yield one


def sample(case: Case, enhancer: Enhancer) -> Sample:
    """The candidates of a stack."""
    if case.gold is None:
        raise ValueError(f"{case.name}: has no reference tree")
    volume = read_volume(case.volume).channel(1)
    threshold = TraceOptions().threshold
    probability = run_enhancer(
        volume, enhancer, cached_model, scale=CUBES, threshold=threshold, progress=silent
    ).probability
    skeleton = pieces(probability)
    links = candidate_links(skeleton, probability, NEAR, CUBES)
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
    defaults = TraceOptions()
    foreground = find_foreground(
        probability,
        threshold=defaults.threshold,
        gap=defaults.gap,
        min_voxels=max(2, int(defaults.min_length)),
        scale=CUBES,
    )
    somata = find_somata(foreground)
    soma = somata[0] if somata else None
    paths = find_paths(
        foreground,
        None if soma is None else soma.voxel,
        min_length=defaults.min_length,
        progress=silent,
    )
    if soma is None or paths.root is None:
        return paths.skeleton
    return paths.skeleton.with_soma(paths.root, soma.radius)


def on_reference(skeleton: Skeleton, gold: Tree) -> NDArray[np.bool_]:
    """(N,) bool, the point lies on the reference tree."""
    if len(skeleton) == 0:
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(distances(skeleton.points[:, ::-1], gold) <= _NEAR)


def fit(some: list[Sample]) -> LogisticModel:
    """The model of the samples' candidates."""
    return fit_logistic(
        JOIN_MODEL.names,
        np.concatenate([s.features for s in some]),
        np.concatenate([s.right for s in some]).astype(np.float64),
        np.concatenate([s.weight for s in some]),
        penalty=_PENALTY,
        standardised=True,
        highest=_HIGHEST,
    )


def main() -> None:
    """Print the model and its figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with the development data's manifest.csv")
    options = parser.parse_args()
    every = [s for s in samples(options.data) if len(s.right)]
    print(as_source(fit(every)))
    part = {name: n % _PARTS for n, name in enumerate(sorted({s.name for s in every}))}
    odds = {}
    for number in range(_PARTS):
        model = fit([s for s in every if part[s.name] != number])
        odds.update({id(s): model.log_odds(s.features) for s in every if part[s.name] == number})
    print("\n| group | candidates | right | area under the curve, left out |\n|---|---|---|---|")
    for group in [*dict.fromkeys(s.group for s in every), "all"]:
        chosen = [s for s in every if group in (s.group, "all")]
        right = np.concatenate([s.right for s in chosen])
        area = area_under_curve(np.concatenate([odds[id(s)] for s in chosen]), right)
        print(f"| {group} | {len(right)} | {right.sum()} | {area:.3f} |")


if __name__ == "__main__":
    main()
