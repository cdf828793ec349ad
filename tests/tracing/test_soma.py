"""Flat somata, and what is a branch of a soma."""

from __future__ import annotations

import numpy as np
import pytest

from dineuro.pipeline.reconstruct import reconstruct
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.volumes.volume import Volume
from dineuro_tracing.trace import trace

SHAPE = (40, 120, 140)


def neuron(radii: tuple[float, float, float], bump: bool = False) -> np.ndarray:
    """A soma in the middle with two long neurites along x, and perhaps a bump."""
    places = np.indices(SHAPE)
    square = sum(((p - c) / r) ** 2 for p, c, r in zip(places, (20, 60, 70), radii, strict=True))
    mask = square <= 1
    z, y, _ = places
    mask |= (z - 20) ** 2 + (y - 60) ** 2 <= 4
    if bump:
        _, y, x = places
        mask |= ((z - 20) ** 2 + (x - 70) ** 2 <= 4) & (y > 60) & (y < 60 + radii[1] + 6)
    return np.where(mask, np.uint8(255), np.uint8(0))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flat_soma_is_the_root(axis: int) -> None:
    """Without a voxel size a soma is a disk, as thin as a thick dendrite."""
    volume = np.moveaxis(neuron((4, 18, 18)), 0, axis)
    made = trace(np.ascontiguousarray(volume))
    centre = np.moveaxis(np.array([20.0, 60.0, 70.0])[:, None], 0, 0).ravel()
    expected = list(centre[1:])
    expected.insert(axis, centre[0])
    assert made.root_kind == "soma"
    assert np.linalg.norm(made.tree.xyz[0, ::-1] - expected) <= 3
    assert made.soma_radius == pytest.approx(np.cbrt(4 * 18 * 18), rel=0.25)


@pytest.mark.parametrize("radii", [(4.0, 18.0, 18.0), (12.0, 12.0, 12.0)])
def test_a_bump_of_a_soma_is_no_branch(radii: tuple[float, float, float]) -> None:
    made = trace(neuron(radii, bump=True), TraceOptions(min_length=5))
    assert len(made.tree.tips) == 2


def test_no_line_runs_inside_a_flat_soma() -> None:
    tree = trace(neuron((4, 18, 18))).tree
    away = np.linalg.norm((tree.xyz - tree.xyz[0]) / (18, 18, 4), axis=1)
    assert (away[1:] > 0.8).all()


@pytest.mark.parametrize("rival", [True, False])
def test_a_place_as_thick_as_the_soma_is_told(rival: bool) -> None:
    """A ball on a thin neurite is a soma; a vessel as thick makes it unsure."""
    z, y, x = np.indices((40, 60, 240))
    mask = ((z - 20) ** 2 + (y - 30) ** 2 <= 4) | (
        (z - 20) ** 2 + (y - 30) ** 2 + (x - 30) ** 2 <= 64
    )
    if rival:
        mask |= ((z - 20) ** 2 + (y - 30) ** 2 <= 56) & (x > 120)
    volume = np.where(mask, np.uint8(255), np.uint8(0))
    made = trace(volume)
    assert made.root_kind == "soma"
    assert made.tree.xyz[0] == pytest.approx([30, 30, 20], abs=3)
    assert made.soma_radius is not None
    assert (made.rival_radius > 0.9 * made.soma_radius) == rival
    warnings = reconstruct(Volume(volume[None]), TraceOptions(enhancer="none")).report.warnings
    assert any("the soma is unsure" in each for each in warnings) == rival
