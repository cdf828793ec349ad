"""Spines: left out or typed; branches of the same length on thin neurites stay."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dineuro_bridge.options import TraceOptions
from dineuro_bridge.scale import VoxelScale
from dineuro_tracing.spines import SPINE_TYPE
from dineuro_tracing.trace import trace
from tests.support.shapes import line, paint

SHAPE = (40, 80, 160)
TRUNK = line((8, 40, 20), (152, 40, 20))


def dendrite(radius: float = 5.0, flat: bool = False) -> NDArray[np.uint8]:
    """A trunk with six spines of 12 voxels from its middle, and a branch of 34."""
    spines = [line((x, 40, 20), (x, 28, 20)) for x in range(30, 150, 20)]
    branch = line((80, 40, 20), (80, 74, 20))
    volume = np.maximum(
        paint([TRUNK], SHAPE, radius), paint([*spines, branch], SHAPE, min(radius, 1.5))
    )
    return volume[::2] if flat else volume  # a coarse z step that nobody states


@pytest.mark.parametrize("flat", [False, True])
def test_a_thick_dendrite_is_one_line_with_its_branch(flat: bool) -> None:
    tree = trace(dendrite(flat=flat)).tree
    assert len(tree.tips) == 2  # the trunk's far end and the branch
    assert tree.xyz[:, 1].max() > 70
    assert tree.xyz[:, 1].min() > 33
    assert not (tree.types == SPINE_TYPE).any()


def test_spines_are_kept_with_their_type_on_request() -> None:
    tree = trace(dendrite(flat=True), TraceOptions(spines="keep")).tree
    is_spine = tree.types == SPINE_TYPE
    heads = tree.xyz[:, 1] < 30
    assert heads.sum() >= 6
    assert is_spine[heads].all()
    assert not is_spine[tree.xyz[:, 1] > 50].any()  # the branch
    above = tree.parents[is_spine]
    assert set(tree.types[above]) == {3, SPINE_TYPE}


@pytest.mark.parametrize(("step", "end", "tips"), [(12, 16, 1), (120, 16, 9), (120, 22, 5)])
def test_long_spines_are_told_from_branches_by_their_number(step: int, end: int, tips: int) -> None:
    """Long spines are many; few branches of that length are branches, unless they are short."""
    shape = (24, 60, 520)
    trunk = line((8, 30, 12), (512, 30, 12))
    short = [line((x, 30, 12), (x, end, 12)) for x in range(20, 500, step)]
    long = [line((x, 30, 12), (x, 54, 12)) for x in range(26, 500, 120)]
    volume = np.maximum(paint([trunk], shape, 5.0), paint([*short, *long], shape, 1.5))
    assert len(trace(volume[::2]).tree.tips) == tips  # a coarse z step that nobody states


def test_a_branch_of_a_thin_neurite_stays() -> None:
    assert len(trace(dendrite(radius=1.5)).tree.tips) == 8


def test_short_dendrites_of_a_soma_are_no_spines() -> None:
    volume = paint([np.array([[80.0, 40.0, 20.0]])], SHAPE, 9)
    dendrites = [line((80, 40, 20), end) for end in ((80, 3, 20), (125, 40, 20), (35, 40, 20))]
    tree = trace(np.maximum(volume, paint(dendrites, SHAPE, 1.5))).tree
    assert len(tree.tips) == 3


def test_the_width_is_measured_in_the_true_size_of_voxels() -> None:
    volume = dendrite()
    coarse = trace(volume[::3], scale=VoxelScale((3.0, 1.0, 1.0))).tree
    assert len(coarse.tips) == 2


def test_the_root_is_never_the_tip_of_a_thick_spine() -> None:
    """The spine is as thick as the dendrite, and blur along z makes it long."""
    dendrite = paint([line((5, 30, 12), (135, 30, 12))], (50, 60, 140), 3.0)
    spine = paint([line((70, 30, 12), (70, 40, 12)), line((70, 40, 12), (70, 40, 40))],
                  (50, 60, 140), 3.5)  # fmt: skip
    tree = trace(np.maximum(dendrite, spine)).tree
    assert abs(tree.xyz[0, 0] - 70) > 50
