"""Scores of a tree against a gold tree, which may be in micrometres."""

from __future__ import annotations

from pathlib import Path

from dineuro_bridge.options import Point
from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.trees.units import check_in_voxels, in_voxels, is_in_micrometres, scale_doubt
from dineuro_tracing.scores import Scores, score_trees

#: F1 within 4 voxels below which the unit of the gold tree is looked at.
_NO_MATCH = 0.2


def scores_in_voxels(
    gold: Tree | Path | str, test: Tree | Path | str, gold_spacing: Point | None
) -> tuple[Scores, str | None]:
    """The scores of a tree against a gold tree, and a doubt about the gold tree's unit.

    Args:
        gold: an SWC file or a tree, in voxels, or in µm where `gold_spacing` is given.
        test: an SWC file or a tree, in voxels.
        gold_spacing: x, y, z in µm of a voxel.

    Raises:
        BadTree: one of the two is in µm by its comments.
    """
    reference = gold if isinstance(gold, Tree) else read_swc(gold)
    tree = test if isinstance(test, Tree) else read_swc(test)
    if gold_spacing is not None:
        reference = in_voxels(reference, gold_spacing)
    elif is_in_micrometres(reference) != is_in_micrometres(tree):
        check_in_voxels(
            reference, _name(gold), "pass --gold-spacing x,y,z, the size of a voxel in µm"
        )
        check_in_voxels(tree, _name(test), "trace again with --units voxel")
    scores = score_trees(reference, tree)
    bad = scores.at4.f1 < _NO_MATCH and gold_spacing is None
    return scores, scale_doubt(reference, tree) if bad else None


def _name(tree: Tree | Path | str) -> str:
    return "the tree" if isinstance(tree, Tree) else str(tree)
