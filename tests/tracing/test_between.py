"""The cheapest path between two places: along the neurite, over gaps, and within bounds."""

from __future__ import annotations

import numpy as np
import pytest

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.scale import VoxelScale
from dineuro_tracing import between
from dineuro_tracing.between import path_between
from tests.support.shapes import line, paint

SHAPE = (24, 60, 80)


def test_a_path_follows_the_neurite_and_not_the_straight_line() -> None:
    corner = paint([line((10, 10, 12), (70, 10, 12)), line((70, 10, 12), (70, 50, 12))], SHAPE)
    found = path_between(corner, (10, 10, 12), (70, 50, 12), threshold=100)
    xyz = found.points[:, :3]
    assert xyz[0].tolist() == [10, 10, 12]
    assert xyz[-1].tolist() == [70, 50, 12]
    away = np.minimum(np.abs(xyz[:, 1] - 10), np.abs(xyz[:, 0] - 70)) + np.abs(xyz[:, 2] - 12)
    assert away.max() < 2.5
    length = np.linalg.norm(np.diff(xyz, axis=0), axis=1)
    assert length.sum() == pytest.approx(100, abs=8)
    assert length.max() < 2.5
    assert found.supported == 1
    assert np.median(found.points[:, 3]) == pytest.approx(2, abs=1)


def test_a_gap_is_crossed_and_told() -> None:
    voxels = paint([line((10, 30, 12), (70, 30, 12))], SHAPE)
    voxels[:, :, 30:50] = 0
    found = path_between(voxels, (10, 30, 12), (70, 30, 12), threshold=100)
    assert 0.5 < found.supported < 0.8
    assert np.abs(found.points[:, 1] - 30).max() < 3
    empty = path_between(np.zeros(SHAPE, np.uint8), (10, 30, 12), (70, 30, 12), threshold=100)
    assert empty.supported == 0
    assert len(empty.points) == 31


def test_thick_slices_count_by_their_thickness() -> None:
    voxels = np.full((20, 40, 40), 200, np.uint8)
    found = path_between(
        voxels, (5, 5, 2), (5, 5, 17), threshold=100, scale=VoxelScale((4.0, 1.0, 1.0))
    )
    assert len(found.points) == 31  # 15 slices of 4 finest voxels, in steps of 2
    same = path_between(voxels, (5.2, 5, 2), (5.2, 5, 2), threshold=100)
    assert same.points[:, :3].tolist() == [[5.2, 5, 2], [5.2, 5, 2]]


def test_a_place_outside_and_a_box_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = np.zeros(SHAPE, np.uint8)
    for place in ((80, 5, 5), (-1, 5, 5), (5, 60, 5), (5, 5, 24)):
        with pytest.raises(BadParameter, match="outside"):
            path_between(voxels, (5, 5, 5), place, threshold=100)
    monkeypatch.setattr(between, "MOST_VOXELS", 20_000)
    with pytest.raises(BadParameter, match="too far apart"):
        path_between(voxels, (5, 5, 5), (70, 50, 5), threshold=100)
    assert len(path_between(voxels, (5, 5, 5), (9, 5, 5), threshold=100).points) == 3
