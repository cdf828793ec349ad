"""DINeuro's tracer beside others on the same volumes: scores, time and memory.

    python -m benchmarks.tracing ../shared/data --plot tracing.png
    python -m benchmarks.tracing my_stacks/ \
        --peer "APP2=vaa3d -x vn2 -f app2 -i {volume} -o {swc} -p NULL 0 AUTO"
    python -m benchmarks.tracing --sizes 128 256 512 --shares 0.005 0.05

A folder has the development data's `manifest.csv` (the parts are those of `benchmarks.accuracy`),
or stacks `X.tif` with reference trees `X.swc` beside them. Tracers of masks get the mask of the
probability that DINeuro's tracer gets, once per enhancer. `--peer` adds programs of this machine.
`benchmarks.peers` describes kimimaro's parameters, and the measurement of seconds and memory. A run
that fails or gives no tree counts: its F1 is 0, and the table has a column of failures. It has no
distances, so ESA, DSA and PDS are means of the others.

`--sizes` needs no references. Neurons are grown and painted as masks until a share of a cube is
foreground. Each round runs DINeuro's tracer and then kimimaro. The table has the medians of the
rounds, and the medians of their ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import find_cases
from benchmarks.peers import THRESHOLD, TRACERS, Command, Run, has_kimimaro, run_command, run_tracer
from dineuro.evaluation import Case, as_table
from dineuro.pipeline.enhancement import run_enhancer
from dineuro_bridge.errors import FileAccess, MissingDependency
from dineuro_bridge.files import atomic_output
from dineuro_bridge.options import Enhancer
from dineuro_bridge.progress import silent
from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import is_volume, read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.inference.registry import cached_model
from dineuro_model.synthesis.growth import GrowthSettings, grow_tree
from dineuro_model.synthesis.rendering import neurite_mask
from dineuro_tracing.scores import score_trees

_CUBE = (1.0, 1.0, 1.0)
#: The approximate width of a grown neurite (voxels).
_SECTION = 10.0
#: The least and the greatest length of a grown stem (voxels).
_STEM = (30.0, 8000.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a method on a case.

    Attributes:
        case, group, method: names.
        esa, dsa, pds: distances in voxels; None without a tree.
        f1_2, f1_4: F1 within 2 and 4 voxels; 0 for a failure.
        seconds, peak: see `benchmarks.peers.Run`.
        box: the number of voxels of the foreground's bounding box.
        error: the reason of a failure.
    """

    case: str
    group: str
    method: str
    esa: float | None
    dsa: float | None
    pds: float | None
    f1_2: float
    f1_4: float
    seconds: float
    peak: int
    box: int
    error: str


def cases_in(folder: Path, part: str) -> list[Case]:
    """Return the cases of the development data, or the stacks of a folder with reference trees.

    Raises:
        FileAccess: the folder has neither.
    """
    if (folder / "manifest.csv").is_file():
        return find_cases(folder, part)
    stacks = sorted(p for p in folder.glob("*") if is_volume(p))
    found = [
        Case(stack.stem, folder.name, stack, None, stack.with_suffix(".swc"))
        for stack in stacks
        if stack.with_suffix(".swc").is_file()
    ]
    if not found:
        raise FileAccess(f"{folder}: has no manifest.csv, and no stack X.tif with a tree X.swc")
    return found


def run_case(
    case: Case, enhancers: Sequence[Enhancer], commands: Sequence[Command]
) -> Iterator[Outcome]:
    """Run every method on one case."""
    volume = read_volume(case.volume)
    scale, intensity = VoxelScale(volume.spacing), volume.channel(case.channel or 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        saved, mask = folder / "probability.npy", folder / "mask.tif"
        for enhancer in enhancers:
            probability = run_enhancer(
                intensity, enhancer, cached_model, scale=scale,
                threshold=THRESHOLD, progress=silent,
            ).probability  # fmt: skip
            foreground = probability >= THRESHOLD
            np.save(saved, probability)
            write_volume(mask, Volume(foreground[None].view(np.uint8) * 255, volume.spacing))
            box = box_size(foreground)
            for tracer in (t for t in TRACERS if t != "kimimaro" or has_kimimaro()):
                run = run_tracer(tracer, saved, scale.edges, folder)
                yield judged(case, f"{tracer}, {enhancer}", run, box)
            for command in (c for c in commands if c.wants_mask):
                run = run_command(command, case.volume, mask, folder)
                yield judged(case, f"{command.name}, {enhancer}", run, box)
        for command in (c for c in commands if not c.wants_mask):
            yield judged(case, command.name, run_command(command, case.volume, mask, folder), box)


def box_size(mask: NDArray[np.bool_]) -> int:
    """Return the number of voxels of the mask's bounding box; 0 for an empty mask."""
    size = 1
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        size *= int(hit[-1] - hit[0] + 1) if len(hit) else 0
    return size


def judged(case: Case, method: str, run: Run, box: int) -> Outcome:
    """Score a run against the reference tree of its case."""
    gold = Tree.empty() if case.gold is None else read_swc(case.gold)
    scores = score_trees(gold, run.tree)
    return Outcome(
        case.name, case.group, method, scores.esa, scores.dsa, scores.pds,
        scores.at2.f1, scores.at4.f1, run.seconds, run.peak, box, run.error,
    )  # fmt: skip


def summary(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """Return one line per group and method: means, the worst F1 in brackets, failures."""
    lines = []
    groups, methods = (dict.fromkeys(getattr(o, w) for o in outcomes) for w in ("group", "method"))
    for group, method in product(groups, methods):
        mine = [o for o in outcomes if (o.group, o.method) == (group, method)]
        line = {"group": group, "method": method, "cases": str(len(mine))}
        for title, digits in (("ESA", 2), ("DSA", 2), ("PDS", 3)):
            known = [v for o in mine if (v := getattr(o, title.lower())) is not None]
            line[title] = f"{statistics.mean(known):.{digits}f}" if known else "-"
        for title, score in (("F1@2", "f1_2"), ("F1@4", "f1_4")):
            values = [getattr(o, score) for o in mine]
            line[title] = f"{statistics.mean(values):.3f} ({min(values):.3f})"
        line["seconds"] = f"{statistics.mean(o.seconds for o in mine):.2f}"
        line["peak, MB"] = f"{max(o.peak for o in mine) / 1e6:.0f}"
        line["failed"] = str(sum(bool(o.error) for o in mine))
        lines.append(line)
    return lines


def by_case(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """Return the F1@2 of every method, one line per case."""
    lines: dict[str, dict[str, str]] = {}
    for o in outcomes:
        line = lines.setdefault(o.case, {"F1@2 of": o.case})
        line[o.method] = "failed" if o.error else f"{o.f1_2:.3f}"
    return list(lines.values())


def write_plot(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Plot F1@2, ESA and seconds: one dot per case, and one column per method.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency(
            f"{path}: a plot needs matplotlib: pip install matplotlib"
        ) from error
    methods = list(dict.fromkeys(o.method for o in outcomes))
    figure = Figure(figsize=(3.5 + 1.5 * len(methods), 4), layout="constrained")
    panels = (("f1_2", "F1@2", "linear"), ("esa", "ESA", "log"), ("seconds", "seconds", "log"))
    for number, (score, title, spread) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        axes.set_yscale(spread)
        for place, method in enumerate(methods):
            values = [getattr(o, score) for o in outcomes if o.method == method]
            known = sorted(value for value in values if value is not None)
            axes.plot(place + np.linspace(-0.2, 0.2, len(known)), known, "o", ms=4)
            if known:
                axes.hlines(statistics.mean(known), place - 0.3, place + 0.3, color="black")
        axes.set_title(title)
        axes.set_xticks(range(len(methods)), methods, rotation=30, ha="right")
    with atomic_output(path) as temporary:
        figure.savefig(temporary, dpi=150)


def grown_mask(side: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Return a cube with grown neurons, as many as the share of foreground requires."""
    rng, shape = np.random.default_rng(seed), (side, side, side)
    mask = np.zeros(shape, dtype=np.bool_)
    wanted = share * mask.size
    while (missing := wanted - np.count_nonzero(mask)) > 0.05 * wanted:
        stem = float(np.clip(missing / _SECTION / GrowthSettings().stems, *_STEM))
        mask |= neurite_mask(grow_tree(shape, rng, GrowthSettings(stem_length=stem)), shape)
    return mask


def run_size(side: int, share: float, rounds: int) -> dict[str, str]:
    """Return a line of the table of sizes: DINeuro and kimimaro on the same grown mask."""
    mask = grown_mask(side, share, seed=side)
    foreground, box = int(np.count_nonzero(mask)), box_size(mask)
    with tempfile.TemporaryDirectory() as name:
        saved = Path(name) / "mask.npy"
        np.save(saved, mask.view(np.uint8) * 255)
        pairs = [
            (run_tracer("DINeuro", saved, _CUBE, Path(name)),
             run_tracer("kimimaro", saved, _CUBE, Path(name)))
            for _ in range(rounds)
        ]  # fmt: skip
    ours, theirs = ([pair[i] for pair in pairs] for i in (0, 1))
    whole = not any(run.error for run in (*ours, *theirs))
    each = statistics.median(run.seconds for run in ours) / foreground
    ratio = statistics.median(a.seconds / b.seconds for a, b in pairs) if whole else None
    return {
        "cube": f"{side}³",
        "foreground": f"{foreground / mask.size:.2%}",
        "seconds": _middle(ours),
        "kimimaro's": _middle(theirs),
        "ratio": "-" if ratio is None else f"{ratio:.2f}",
        "µs a foreground voxel": f"{each * 1e6:.2f}",
        "bytes a voxel": f"{max(run.peak for run in ours) / box:.1f}",
        "kimimaro's bytes": f"{max(run.peak for run in theirs) / box:.1f}",
    }


def _middle(runs: Sequence[Run]) -> str:
    """Return the median of the seconds, or the reason of a failure."""
    errors = [run.error for run in runs if run.error]
    return errors[0] if errors else f"{statistics.median(run.seconds for run in runs):.2f}"


def main() -> None:
    """Run the cases or the sizes, and print Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="folder of cases")
    parser.add_argument("--part", choices=["held-out", "tune"], default="held-out")
    parser.add_argument(
        "--enhancer", action="append", choices=["auto", "dineuro", "classical", "none"],
        help="what makes the probability; may be given again; auto and classical if not given",
    )  # fmt: skip
    parser.add_argument("--peer", action="append", type=Command.parse, default=[],
                        metavar="NAME=COMMAND", help="another tracer, see above")  # fmt: skip
    parser.add_argument("--plot", type=Path, help="a picture: .png, .svg or .pdf")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="SIDE", help="cubes of masks")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.005, 0.02, 0.05])
    parser.add_argument("--rounds", type=int, default=3, help="of each cube")
    words = parser.parse_args()
    if (words.data is None) == (words.sizes is None):
        parser.error("name a folder of cases, or --sizes")
    if words.sizes:
        if not has_kimimaro():
            parser.error("--sizes needs the peer: pip install kimimaro")
        lines = []
        for side, share in product(words.sizes, words.shares):
            lines.append(run_size(side, share, words.rounds))
            print(lines[-1], file=sys.stderr)
        print(as_table(lines))
        return
    enhancers = words.enhancer or ["auto", "classical"]
    outcomes = []
    for case in cases_in(words.data, words.part):
        for outcome in run_case(case, enhancers, words.peer):
            print(outcome, file=sys.stderr)
            outcomes.append(outcome)
    print(as_table(summary(outcomes)), as_table(by_case(outcomes)), sep="\n\n")
    for outcome in (o for o in outcomes if o.error):
        print(f"\nfailed: {outcome.case}, {outcome.method}: {outcome.error}")
    if words.plot is not None:
        write_plot(words.plot, outcomes)


if __name__ == "__main__":
    main()
