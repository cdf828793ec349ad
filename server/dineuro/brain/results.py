"""The results of a run: trees as SWC, a table of neurons, doubts as markers, a report."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dineuro.brain.store.skeletons import write_skeletons
from dineuro.files.proofreading import as_markers, doubt_records
from dineuro_bridge.files import atomic_output
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.trees.marker import write_markers
from dineuro_bridge.trees.swc import swc_text, write_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_tracing.doubts import Doubt, worst
from dineuro_tracing.large.trees import Finished

#: A tree without a soma is a neuron of its own from this length on (finest voxels).
LEAST_NEURON = 300.0
#: Markers of all neurons together.
_MOST_MARKERS = 1000
_COLUMNS = ("id", "file", "kind", "x", "y", "z", "soma_radius", "length", "tips", "forks",
            "confidence", "joined_length", "doubts")  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Neuron:
    """A finished tree, as the results tell it; coordinates in voxels of the volume.

    Attributes:
        tree: radii in finest voxels.
        length, joined: finest voxels; of all links, and of those over gaps.
        confidence: share of the length that is expected to be right.
        soma_radius: finest voxels; None without a soma.
        doubts: the places to proofread.
    """

    tree: Tree
    length: float
    joined: float
    confidence: float
    soma_radius: float | None
    doubts: tuple[Doubt, ...]

    @property
    def is_neuron(self) -> bool:
        """Whether it has a file of its own."""
        return self.soma_radius is not None or self.length >= LEAST_NEURON

    def order(self) -> tuple[Any, ...]:
        """Somata first, then the longest; equal ones by their place."""
        return self.soma_radius is None, -self.length, *self.tree.xyz[0].tolist(), len(self.tree)


def save_trees(path: Path, trees: Sequence[Finished]) -> None:
    """Write finished trees to a file of the run."""
    first = np.cumsum([0, *(len(each.tree) for each in trees)])
    figures = [
        {
            "length": each.length, "joined": each.joined, "confidence": each.confidence,
            "soma_radius": each.soma_radius,
            "doubts": [[d.kind, *d.place, d.chance, d.length, d.across]
                       for d in worst(each.doubts)],
        }
        for each in trees
    ]  # fmt: skip
    some = [each.tree for each in trees] or [Tree.empty()]
    with atomic_output(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file, first=first, figures=np.array(json.dumps(figures)),
            xyz=np.concatenate([t.xyz for t in some]),
            radii=np.concatenate([t.radii for t in some]),
            parents=np.concatenate([t.parents for t in some]),
            types=np.concatenate([t.types for t in some]),
        )  # fmt: skip


def load_trees(path: Path) -> Iterator[Neuron]:
    """The finished trees of a file."""
    with np.load(path) as file:
        first, figures = file["first"].tolist(), json.loads(str(file["figures"]))
        xyz, radii, parents, types = (file[name] for name in ("xyz", "radii", "parents", "types"))
    for low, high, each in zip(first, first[1:], figures, strict=False):
        some = slice(low, high)
        doubts = tuple(
            Doubt(kind, (x, y, z), chance, length, across)
            for kind, x, y, z, chance, length, across in each["doubts"]
        )
        yield Neuron(
            Tree(xyz[some], radii[some], parents[some], types[some]), each["length"],
            each["joined"], each["confidence"], each["soma_radius"], doubts,
        )  # fmt: skip


def write_results(
    folder: Path,
    trees: Iterable[Neuron],
    options: TraceOptions,
    scale: VoxelScale,
    comments: tuple[str, ...],
) -> dict[str, Any]:
    """Write the trees, the table and the markers, and return their figures.

    Args:
        folder: of the run.
        trees: all finished ones, in any order.
        options: `units` is the unit of the SWC files.
        scale: the voxel's edges.
        comments: of every SWC file.
    """
    ordered = sorted(trees, key=Neuron.order)
    neurons = [each for each in ordered if each.is_neuron]
    (folder / "neurons").mkdir(exist_ok=True)
    rows = []
    for number, each in enumerate(neurons, 1):
        name = f"neurons/{number:05d}.swc"
        write_swc(folder / name, _in_unit(each.tree, options, scale).with_comments(comments))
        rows.append(_row(number, name, each))
    for old in (folder / "neurons").glob("*.swc"):
        if not old.stem.isdigit() or int(old.stem) > len(neurons):
            old.unlink()
    whole = Tree.concatenate([_in_unit(each.tree, options, scale) for each in ordered])
    with atomic_output(folder / "all.swc") as temporary:
        temporary.write_text(swc_text(whole.with_comments(comments)), encoding="utf-8")
    _write_table(folder / "neurons.csv", rows)
    doubts = sorted(
        (d for each in neurons for d in each.doubts), key=lambda d: (-d.urgency, d.place)
    )
    write_markers(folder / "doubts.marker", as_markers(doubts[:_MOST_MARKERS]))
    view = write_skeletons(folder, [n.tree for n in neurons], [row[1] for row in rows], scale)
    return {
        "trees": len(ordered),
        "neurons": len(neurons),
        "somata": sum(each.soma_radius is not None for each in neurons),
        "length": round(sum(each.length for each in ordered), 1),
        "length_of_neurons": round(sum(each.length for each in neurons), 1),
        "joined_length": round(sum(each.joined for each in ordered), 1),
        "likely": _likely(ordered),
        "doubts": doubt_records(doubts[:_MOST_MARKERS]),
        "neuroglancer": view,
    }


def _likely(trees: Sequence[Neuron]) -> float | None:
    """The share of all length that is expected to be right; None without length."""
    length = sum(each.length for each in trees)
    return (
        round(sum(each.length * each.confidence for each in trees) / length, 4) if length else None
    )


def _row(number: int, name: str, each: Neuron) -> list[Any]:
    x, y, z = (round(value, 1) for value in each.tree.xyz[0].tolist())
    radius = "" if each.soma_radius is None else round(each.soma_radius, 2)
    return [
        number, name, "end" if each.soma_radius is None else "soma", x, y, z, radius,
        round(each.length, 1), len(each.tree.tips), len(each.tree.forks),
        round(each.confidence, 3), round(each.joined, 1), len(each.doubts),
    ]  # fmt: skip


def _write_table(path: Path, rows: list[list[Any]]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    table.writerows(rows)
    with atomic_output(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")


def _in_unit(tree: Tree, options: TraceOptions, scale: VoxelScale) -> Tree:
    if options.units == "voxel":
        return tree
    return Tree(
        scale.micrometres_xyz(tree.xyz), scale.micrometres(tree.radii), tree.parents, tree.types
    )
