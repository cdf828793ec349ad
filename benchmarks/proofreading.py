"""How fast a tree gets better when its doubts are answered in their order.

    python -m benchmarks.proofreading ../shared/data            # held-out stacks, and the real ones
    python -m benchmarks.proofreading ../shared/data --part tune

A scripted user sees nothing but the list of doubts, and answers each by the reference tree. What
the answer "wrong" would remove or add belongs to the tree if half of its length or more lies within
2 voxels of the reference. The answers are edits, as the page makes them. After each share of the
answers the tree is scored: F1@2, by length within 2 voxels. Beside it stand the same list in random
order, and in the order of somebody who knows the gain of each answer. The reachable gain is that of
all answers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import find_cases
from dineuro.evaluation import as_table
from dineuro.files.proofreading import doubt_records, pieces_of
from dineuro.pipeline.reconstruct import reconstruct
from dineuro.pipeline.result import Result
from dineuro_bridge.trees.doubts import doubts_of
from dineuro_bridge.trees.edits import Edits
from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.formats import read_volume
from dineuro_tracing.sampling import length_samples
from dineuro_tracing.scores import distances, score_trees

#: What lies so near to the reference (voxels) for so much of its length belongs to the tree.
_NEAR, _SHARE = 2.0, 0.5
#: Shares of the decisions after which the trees are scored.
SHARES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
#: Random orders of each list.
_ORDERS = 10
_SEED = 1

Curve = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class User:
    """A scripted user with one tree.

    Attributes:
        edits: the tree before any edit.
        gold: the reference.
        scores: F1@2 by the wrong doubts that were answered, in their order.
    """

    edits: Edits
    gold: Tree
    scores: dict[tuple[int, ...], float] = field(default_factory=dict)

    @classmethod
    def of(cls, result: Result, gold: Tree) -> User:
        """The user of a result."""
        ids = np.arange(1, len(result.tree) + 1)
        pieces = pieces_of(result.doubts)
        doubts = doubts_of(
            result.tree, ids, doubt_records(result.doubts, result.report.layout),
            (pieces, range(1, len(pieces) + 1)),
        )  # fmt: skip
        return cls(Edits.of(result.tree, ids=ids, doubts=doubts), gold)

    def after(self, order: Sequence[int]) -> Curve:
        """F1@2 after each of `SHARES` of the answers to doubts in an order.

        A doubt whose place has left the tree is passed over, as on the page, and is no decision.
        """
        edits, wrong, scores = self.edits, tuple[int, ...](), [self._score(self.edits, ())]
        for number in order:
            if number in edits.moot:
                continue
            rejected = edits.after({"op": "reject", "doubt": number})
            if self._is_wrong(edits, rejected):
                edits, wrong = rejected, (*wrong, number)
            scores.append(self._score(edits, wrong))
        scores += scores[-1:] * (len(order) + 1 - len(scores))
        return np.array([scores[round(share * len(order))] for share in SHARES])

    def gain(self, number: int) -> float:
        """What the answer to one doubt adds to F1@2 of the tree without edits."""
        rejected = self.edits.after({"op": "reject", "doubt": number})
        if not self._is_wrong(self.edits, rejected):
            return 0.0
        return self._score(rejected, (number,)) - self._score(self.edits, ())

    def _is_wrong(self, before: Edits, after: Edits) -> bool:
        """Whether a rejection makes the tree better, as a person sees it at that place."""
        less, more = (
            {name: one.tree.nodes[name] for name in set(one.tree.nodes) - set(other.tree.nodes)}
            for one, other in ((before, after), (after, before))
        )
        if more:
            return self._share(after, set(more)) >= _SHARE
        return bool(less) and self._share(before, set(less)) < _SHARE

    def _share(self, edits: Edits, names: set[int]) -> float:
        """The share of the links of some nodes that lies on the reference."""
        tree, ids = edits.tree.as_tree()
        chosen = np.isin(ids, list(names))
        kept = chosen.copy()
        kept[tree.parents[chosen & (tree.parents >= 0)]] = True
        number = np.where(kept, np.cumsum(kept) - 1, -1)
        parents = np.where(chosen & (tree.parents >= 0), number[tree.parents], -1)[kept]
        part = Tree(tree.xyz[kept], tree.radii[kept], parents, tree.types[kept])
        if part.length <= 0:
            return 0.0
        places, weights = length_samples(part)
        near = distances(places, self.gold) <= _NEAR
        return float(weights[near].sum() / weights.sum())

    def _score(self, edits: Edits, wrong: tuple[int, ...]) -> float:
        if wrong not in self.scores:
            self.scores[wrong] = score_trees(self.gold, edits.tree.as_tree()[0]).at2.f1
        return self.scores[wrong]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One stack: F1@2 after `SHARES` of the decisions.

    The order is that of the list, random, or that of somebody who knows the gain of each answer.
    """

    name: str
    group: str
    doubts: int
    listed: Curve
    random: Curve
    knowing: Curve


def run(data: Path, part: str) -> list[Row]:
    """Trace and proofread all stacks of a part; those without a doubt stay as they are."""
    rows, rng = [], np.random.default_rng(_SEED)
    for case in find_cases(data, part):
        if case.gold is None:
            continue
        result = reconstruct(read_volume(case.volume))
        user, listed = User.of(result, read_swc(case.gold)), range(1, len(result.doubts) + 1)
        row = Row(
            case.name, case.group, len(listed), user.after(listed),
            np.mean([user.after(rng.permutation(listed).tolist()) for _ in range(_ORDERS)], axis=0),
            user.after(sorted(listed, key=lambda number: -user.gain(number))),
        )  # fmt: skip
        print(f"{row.name}: {len(listed)} doubts, {row.listed.round(3)}", file=sys.stderr)
        rows.append(row)
    return rows


def gained(curves: Sequence[Curve]) -> Curve:
    """The share of the gain of all decisions that each share of the decisions reaches."""
    mean = np.mean(curves, axis=0)
    whole = mean[-1] - mean[0]
    return np.asarray((mean - mean[0]) / whole) if whole else np.zeros(len(SHARES))


def lines(rows: Sequence[Row]) -> list[dict[str, str]]:
    """The table: by group and order, the mean F1@2 after each share of the decisions."""
    table = []
    for group in [*dict.fromkeys(row.group for row in rows), "all"]:
        mine = [row for row in rows if group in (row.group, "all")]
        for order, curves in (
            ("the list's", [row.listed for row in mine]),
            ("random", [row.random for row in mine]),
            ("knowing", [row.knowing for row in mine]),
        ):
            mean, share = np.mean(curves, axis=0), gained(curves)
            values = {f"{at:.0%}": f"{f1:.3f}" for at, f1 in zip(SHARES, mean, strict=True)}
            table.append(
                {
                    "stacks": f"{group} ({len(mine)})",
                    "order": order,
                    **values,
                    "of the gain at 20%": f"{share[SHARES.index(0.2)]:.0%}",
                }
            )
    return table


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw the share of the gain over the share of the decisions, for each order."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(4.2, 2.8), layout="constrained")
    for name, curves in (
        ("in the list's order", [row.listed for row in rows]),
        ("in random order", [row.random for row in rows]),
        ("knowing the gains", [row.knowing for row in rows]),
    ):
        axes.plot(100 * np.array(SHARES), 100 * gained(curves), marker="o", label=name)
    axes.set(xlabel="decisions, %", ylabel="gain in F1@2, %", xlim=(0, 100), ylim=(0, None))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Proofread the stacks and print Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with the development data's manifest.csv")
    parser.add_argument("--part", choices=["held-out", "tune"], default="held-out")
    parser.add_argument("--plot", type=Path, help="picture of the gain over the decisions")
    words = parser.parse_args()
    rows = run(words.data, words.part)
    print(as_table(lines(rows)))
    if words.plot is not None:
        plot(rows, words.plot)


if __name__ == "__main__":
    main()
