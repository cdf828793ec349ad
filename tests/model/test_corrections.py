"""The labels that a corrected tree gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dineuro_bridge.trees.tree import Tree
from dineuro_model.training.corrections import correction_labels
from dineuro_model.training.sampling import BACKGROUND, NEURITE, UNKNOWN
from tests.support.shapes import chain, line

SHAPE = (20, 60, 60)
TRUNK = chain(line((5, 10, 10), (55, 10, 10)))


def beside(tree: Tree, other: Tree) -> Tree:
    """Both trees as one, unlinked."""
    parents = np.where(other.parents < 0, -1, other.parents + len(tree))
    return Tree(
        np.concatenate([tree.xyz, other.xyz]),
        np.concatenate([tree.radii, other.radii]),
        np.concatenate([tree.parents, parents]),
        np.concatenate([tree.types, other.types]),
    )


def with_radius(tree: Tree, radius: float) -> Tree:
    return replace(tree, radii=np.full(len(tree), radius))


def test_kept_and_added_lines_are_neurite_rejected_ones_background_the_rest_unknown() -> None:
    wrong = with_radius(chain(line((5, 30, 10), (55, 30, 10))), 2.5)
    added = with_radius(chain(line((5, 50, 10), (55, 50, 10))), 4.5)
    labels = correction_labels(beside(TRUNK, wrong), beside(TRUNK, added), SHAPE)
    assert labels.dtype == np.uint8
    assert labels.shape == SHAPE
    across = labels[10, :, 30]
    assert np.flatnonzero(across == NEURITE).tolist() == [10, *range(46, 55)]
    assert np.flatnonzero(across == BACKGROUND).tolist() == [28, 29, 30, 31, 32]
    assert (labels[0] == UNKNOWN).all()


def test_a_rejected_line_beside_a_neurite_leaves_a_zone_that_does_not_count() -> None:
    crossing = chain(line((30, 10, 10), (30, 50, 10)))
    labels = correction_labels(beside(TRUNK, crossing), TRUNK, SHAPE)
    along = labels[10, :, 30]
    # What is within two voxels of the kept line counts as kept.
    assert (along[10:12] == NEURITE).all()
    assert along[14] == UNKNOWN
    assert (along[16:50] == BACKGROUND).all()


def test_without_a_correction_all_lines_are_neurite_and_without_trees_nothing_is_known() -> None:
    assert set(np.unique(correction_labels(TRUNK, TRUNK, SHAPE))) == {NEURITE, UNKNOWN}
    assert (correction_labels(Tree.empty(), Tree.empty(), SHAPE) == UNKNOWN).all()
