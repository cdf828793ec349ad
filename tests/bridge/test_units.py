"""Trees in micrometres where trees in voxels are expected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dineuro
from dineuro.scoring import scores_in_voxels
from dineuro_bridge.errors import BadTree
from dineuro_bridge.trees.swc import write_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.trees.units import is_in_micrometres, scale_doubt

T = np.arange(90.0)
XYZ = np.stack([20 + T, 90 + 40 * np.sin(T / 9), 60 + 20 * np.cos(T / 7)], axis=1)
SPACING = (0.5, 0.4, 0.8)
UM = ("Exported by SNT; units: micron",)


def tree(xyz: np.ndarray, comments: tuple[str, ...] = (), radius: float = 1.0) -> Tree:
    parents = np.arange(-1, len(xyz) - 1)
    radii = np.full(len(xyz), radius)
    return Tree(xyz, radii, parents, np.full(len(xyz), 3), comments)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Exported by SNT; units: micron", True),
        ("Unit: µm", True),
        ("UNITS = micrometers", True),
        ("coordinates x y z, um, 0-based, of the full volume", True),
        ("coordinates x y z, voxel, 0-based, of the full volume", False),
        ("spacing_um_xyz 0.5 0.5 1", False),
        ("units: pixel", False),
        ("unit test of a number", False),
    ],
)
def test_the_unit_in_comments(line: str, expected: bool) -> None:
    assert is_in_micrometres(tree(XYZ, (line,))) == expected


def test_a_gold_tree_in_micrometres_is_refused_or_converted(tmp_path: Path) -> None:
    gold, test = tmp_path / "gold.swc", tmp_path / "test.swc"
    write_swc(gold, tree(XYZ * SPACING, UM, 0.4))
    write_swc(test, tree(XYZ))
    with pytest.raises(BadTree, match=r"gold\.swc: is in µm .*--gold-spacing"):
        scores_in_voxels(gold, test, None)
    with pytest.raises(BadTree, match=r"gold\.swc: is in µm .*--units voxel"):
        scores_in_voxels(test, gold, None)
    scores, doubt = scores_in_voxels(gold, test, SPACING)
    assert (scores.at2.f1, doubt) == (1.0, None)
    assert dineuro.score(gold, test, gold_spacing=SPACING).at2.f1 == 1.0
    assert scores_in_voxels(gold, gold, None)[0].at2.f1 == 1.0  # both in µm


def test_another_unit_is_suspected_from_the_extents(tmp_path: Path) -> None:
    gold = tree(XYZ * 0.5)
    _, doubt = scores_in_voxels(gold, tree(XYZ), None)
    assert doubt is not None
    assert "the gold tree spans 0.5 of the test tree: is it in µm?" in doubt
    assert "the test tree spans 0.5" in str(scores_in_voxels(tree(XYZ), gold, None)[1])
    assert scores_in_voxels(tree(XYZ), tree(XYZ + 1), None)[1] is None  # they match
    assert scale_doubt(tree(XYZ), tree(XYZ + 500)) is None  # elsewhere, and no other unit
    assert scale_doubt(Tree.empty(), tree(XYZ)) is None
