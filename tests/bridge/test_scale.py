"""`VoxelScale`: voxels, finest voxels and micrometres, in both orders of the axes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.scale import VoxelScale

STEPS = st.floats(0.01, 100)
SPACINGS = st.tuples(STEPS, STEPS, STEPS)
SCALE = VoxelScale((1.0, 0.25, 0.5))  # z, y, x in µm


def test_edges_are_in_units_of_the_shortest_one() -> None:
    assert SCALE.edges == (4.0, 1.0, 2.0)
    assert SCALE.zyx.tolist() == [4.0, 1.0, 2.0]
    assert SCALE.xyz.tolist() == [2.0, 1.0, 4.0]
    assert (SCALE.longest, SCALE.finest_um) == (4.0, 0.25)


def test_in_the_optical_scale_a_slice_is_no_thicker_than_a_pixel() -> None:
    assert SCALE.optical.edges == (1.0, 1.0, 2.0)
    assert SCALE.optical.finest_um == SCALE.finest_um
    for scale in (VoxelScale(), VoxelScale((0.1, 0.3, 0.3)), VoxelScale((0.3, 0.3, 0.3))):
        assert scale.optical is scale


def test_an_unknown_voxel_size_makes_cubes_and_no_micrometres() -> None:
    scale = VoxelScale()
    assert (scale.edges, scale.longest, scale.finest_um) == ((1.0, 1.0, 1.0), 1.0, None)
    with pytest.raises(BadParameter, match="voxel size is unknown"):
        scale.micrometres_xyz(np.zeros((1, 3)))
    with pytest.raises(BadParameter, match="voxel size is unknown"):
        scale.micrometres(np.zeros(1))


def test_one_place_in_every_unit() -> None:
    zyx, xyz = np.array([[3, 8, 5]]), np.array([[5, 8, 3]])
    assert SCALE.finest_zyx(zyx).tolist() == [[12, 8, 10]]
    assert SCALE.finest_xyz(xyz).tolist() == [[10, 8, 12]]
    assert SCALE.micrometres_xyz(xyz).tolist() == [[2.5, 2.0, 3.0]]
    assert SCALE.micrometres(np.array([8.0])).tolist() == [2.0]


@given(SPACINGS, st.tuples(*[st.integers(0, 4000)] * 3))
def test_there_and_back_is_the_same_place(
    spacing: tuple[float, float, float], place: tuple[int, int, int]
) -> None:
    scale, voxels = VoxelScale(spacing), np.array(place)
    assert np.allclose(scale.voxels_zyx(scale.finest_zyx(voxels)), voxels)
    assert np.allclose(scale.voxels_xyz(scale.finest_xyz(voxels)), voxels)
    assert np.allclose(scale.voxels_of_micrometres_xyz(scale.micrometres_xyz(voxels)), voxels)
    # Both ways to micrometres agree: over finest voxels, and at once.
    assert np.allclose(scale.micrometres(scale.finest_xyz(voxels)), scale.micrometres_xyz(voxels))


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("axis", range(3))
def test_a_step_is_positive_and_finite(step: float, axis: int) -> None:
    steps = [1.0, 1.0, 1.0]
    steps[axis] = step
    with pytest.raises(BadParameter, match="must be positive"):
        VoxelScale((steps[0], steps[1], steps[2]))
