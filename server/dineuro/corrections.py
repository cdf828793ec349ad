"""Learning from corrected trees: cases for the training, and whether the new network is better.

The corrections are files in one folder: a stack, the tree that was traced, the corrected tree.

    X.tif, X_traced.swc or X_dineuro.swc, X.swc
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os.path import realpath
from pathlib import Path

import numpy as np

from dineuro.evaluation import Case as Judged
from dineuro.evaluation import Row, evaluate
from dineuro.files.outputs import find_inputs
from dineuro_bridge.errors import BadParameter, BadVolume, FileAccess
from dineuro_bridge.options import Point, TraceOptions
from dineuro_bridge.parts import PARTS
from dineuro_bridge.progress import ProgressCallback, silent
from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.trees.units import check_in_voxels, in_voxels
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.training.corrections import correction_labels
from dineuro_model.training.recipe import Recipe, Schedule
from dineuro_model.training.sampling import NEURITE, UNKNOWN, Case, Rendered
from dineuro_model.training.train import train

#: What follows the stack's name in the name of its traced tree.
_TRACED = ("_traced.swc", PARTS["swc"].ending)
#: Every such stack judges and does not teach.
_JUDGES = 4
_ADVICE = "pass --gold-spacing x,y,z, the size of a voxel in µm"
#: The recipe without a file. What nobody judged is unknown, so rendered stacks teach background.
DEFAULT_RECIPE = Recipe(
    schedule=Schedule(steps=400, learning_rate=3e-4, vit_learning_rate=3e-5, warmup=20),
    rendered=Rendered(share=0.5),
)


@dataclass(frozen=True, slots=True)
class Correction:
    """A stack, the tree that was traced in it, and the tree that a person made of it."""

    volume: Path
    traced: Path
    corrected: Path


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a training learned from corrections.

    Attributes:
        weights: path of the new network.
        before: the held-out stacks, judged with the network that the training started from.
        after: the same, judged with the new network.
    """

    weights: Path
    before: tuple[Row, ...]
    after: tuple[Row, ...]

    @property
    def better(self) -> bool:
        """Whether the new network has the higher mean F1 at 2 voxels, and no stack failed."""
        failed = any(row.error for row in (*self.before, *self.after))
        return not failed and mean_f1(self.after) > mean_f1(self.before)


def mean_f1(rows: Sequence[Row]) -> float:
    """The mean F1 at 2 voxels; a stack that failed counts as 0."""
    return statistics.mean(row.f1_2 or 0.0 for row in rows)


def find_corrections(folder: Path | str) -> list[Correction]:
    """The corrected stacks of a folder, sorted by name; stacks that lack a tree are left out.

    Raises:
        FileAccess: there is no such folder, or it holds no stack.
        BadParameter: fewer than two stacks are corrected, or two differ in their suffix alone.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileAccess(f"{folder}: is no folder")
    found: dict[str, Correction] = {}
    for volume in find_inputs([str(folder)]):
        corrected = volume.with_name(f"{volume.stem}.swc")
        traced = [volume.with_name(volume.stem + ending) for ending in _TRACED]
        traced = [path for path in traced if path.exists()]
        if not traced or not corrected.exists():
            continue
        if volume.stem in found:
            raise BadParameter(f"{volume}: {found[volume.stem].volume.name} has the same trees")
        found[volume.stem] = Correction(volume, traced[0], corrected)
    if len(found) < 2:
        raise BadParameter(
            f"{folder}: holds {len(found)} corrected stacks, and 2 are needed, one to learn from "
            "and one to judge: X.tif, X_traced.swc (or X_dineuro.swc) and X.swc are one"
        )
    return list(found.values())


def divide(corrections: Sequence[Correction]) -> tuple[list[Correction], list[Correction]]:
    """Those that teach, and those that judge: every fourth, and the last of fewer than four."""
    judges = list(corrections[_JUDGES - 1 :: _JUDGES]) or list(corrections[-1:])
    return [one for one in corrections if one not in judges], judges


def learn(
    recipe: Recipe,
    corrections: Sequence[Correction],
    run: Path,
    *,
    resume: bool = False,
    gold_spacing: Point | None = None,
    progress: ProgressCallback = silent,
) -> Lesson:
    """Train with corrections, and judge by those that were held out.

    Args:
        recipe: what else is trained with, and how; its `start` names the network.
        corrections: at least two; every fourth is held out.
        run: see `teach`.
        resume: see `teach`.
        gold_spacing: see `teach`.
        progress: see `teach`.

    Raises:
        DineuroError: see `teach`.
    """
    teachers, judges = divide(corrections)
    return teach(
        recipe, teachers, judges, run,
        resume=resume, gold_spacing=gold_spacing, progress=progress,
    )  # fmt: skip


def teach(
    recipe: Recipe,
    teachers: Sequence[Correction],
    judges: Sequence[Correction],
    run: Path,
    *,
    resume: bool = False,
    gold_spacing: Point | None = None,
    progress: ProgressCallback = silent,
) -> Lesson:
    """Train with some corrections, and judge by others.

    Args:
        recipe: see `learn`.
        teachers: the corrections to learn from.
        judges: those that were held out.
        run: the folder of the run; the labels go to its folder `corrections`.
        resume: whether to continue from the folder's checkpoint.
        gold_spacing: x, y, z in µm of a voxel, for trees in µm; None for trees in voxels.
        progress: called after every step and every judged stack; it may raise `Cancelled`.

    Raises:
        BadParameter: the recipe names no network, or trains with a stack that judges.
        BadTree: a tree is in µm, and `gold_spacing` is None.
        BadVolume: no line of a stack's trees lies in it.
        And the errors of `train`.
    """
    if not recipe.start:
        raise BadParameter("corrections improve a network: name it with --from")
    held_out = {realpath(one.volume): one.volume for one in judges}
    for case in recipe.training:
        if realpath(case.volume) in held_out:
            raise BadParameter(f"{case.volume}: judges, and the recipe trains with it")
    for one in judges:
        _read_tree(one.corrected, gold_spacing)  # its faults are better known before the training
    cases = tuple(_case(one, run / "corrections", gold_spacing) for one in teachers)

    def judge(model: str) -> tuple[Row, ...]:
        judged = [
            Judged(one.volume.stem, "held out", one.volume, None, one.corrected, channel=1)
            for one in judges
        ]
        options = TraceOptions(model=model)
        device = recipe.schedule.device
        return tuple(evaluate(judged, options, progress, device=device, gold_spacing=gold_spacing))

    more = replace(recipe, training=(*recipe.training, *cases))
    weights = train(more, run, resume=resume, progress=progress)
    return Lesson(weights, judge(recipe.start), judge(str(weights)))


def _case(one: Correction, folder: Path, spacing: Point | None) -> Case:
    """The training case of a correction, whose labels are written to a folder."""
    shape = read_volume(one.volume).channel(1).shape
    trees = _read_tree(one.traced, spacing), _read_tree(one.corrected, spacing)
    depth, height, width = shape
    labels = correction_labels(*trees, (depth, height, width))
    if (labels == UNKNOWN).all():
        raise BadVolume(f"{one.volume}: no line of its trees lies in it: are they in voxels of it?")
    mask = folder / f"{one.volume.stem}.tif"
    mask.parent.mkdir(parents=True, exist_ok=True)
    write_volume(mask, Volume(np.asarray(labels)[None]), compress=True)
    return Case(str(one.volume), mask=str(mask), neurite=(NEURITE,), unknown=(UNKNOWN,))


def _read_tree(path: Path, spacing: Point | None) -> Tree:
    """A tree in voxels."""
    tree = read_swc(path)
    if spacing is not None:
        return in_voxels(tree, spacing)
    check_in_voxels(tree, path, _ADVICE)
    return tree
