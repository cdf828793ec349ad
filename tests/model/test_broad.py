"""Glow, edges of tissue and cell bodies: what is broad is told from neurites."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from dineuro_model.enhancers.broad import broad_part, find_bodies
from dineuro_model.enhancers.classical import enhance
from dineuro_model.enhancers.windows import highest_within

CUBES = (1.0, 1.0, 1.0)


def line(shape: tuple[int, int, int], radius: float, y: float, z: float) -> np.ndarray:
    """A straight neurite along x."""
    places = np.indices(shape)
    return np.asarray(np.exp(-((places[0] - z) ** 2 + (places[1] - y) ** 2) / (2 * radius**2)))


def noisy(image: np.ndarray, seed: int = 3) -> np.ndarray:
    """Counts of photons."""
    return np.random.default_rng(seed).poisson(image).astype(np.uint16)


@pytest.mark.parametrize("reach", [(1, 2, 3), (0, 4, 0), (5, 0, 7), (9, 9, 9)])
def test_the_highest_value_in_a_box(reach: tuple[int, int, int]) -> None:
    values = np.random.default_rng(0).normal(size=(8, 12, 20)).astype(np.float32)
    expected = ndimage.maximum_filter(values, size=[2 * r + 1 for r in reach], mode="nearest")
    assert np.array_equal(highest_within(values, reach), expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_neurite_is_not_broad_and_a_plane_is(axis: int) -> None:
    shape = (48, 48, 48)
    neurite = np.zeros(shape, dtype=np.float32)
    neurite[20:26, 20:26] = 1
    plane = np.zeros(shape, dtype=np.float32)
    plane[:, :, 20:25] = 1
    for image, expected in ((neurite, 0.0), (plane, 1.0)):
        turned = np.ascontiguousarray(np.moveaxis(image, 2, axis))
        assert broad_part(turned, CUBES).highest.max() == pytest.approx(expected, abs=1e-4)


def test_a_thin_stack_is_not_broad_along_z() -> None:
    """A neurite fills a stack of three slices from top to bottom."""
    image = np.zeros((3, 64, 64), dtype=np.float32)
    image[:, 30:34] = 1
    assert broad_part(image, CUBES).highest.max() == 0


def test_the_noise_of_a_glow_is_no_neurite() -> None:
    """A soma's glow is brighter than the neurite: it has more noise than the neurite contrast."""
    z, y, x = np.indices((60, 160, 160))
    away = np.hypot(y - 80, x - 80)
    glow = 800 * np.exp(-((away / 35) ** 2)) * np.exp(-(((z - 30) / 8.0) ** 2))
    neurite = 120 * line((60, 160, 160), 1.5, 20, 10)
    soma = ((z - 30) / 6) ** 2 + ((y - 80) ** 2 + (x - 80) ** 2) / 20**2
    mask = enhance(noisy(40 + glow + neurite + 4000.0 * (soma < 1))) >= 128
    along = mask[8:13, 18:23].any(axis=(0, 1)).mean()
    beside = mask.copy()
    beside[4:17, 14:27] = False
    beside &= soma > 2
    assert along > 0.95
    assert beside.mean() < 1e-4


def test_an_edge_of_tissue_is_no_neurite() -> None:
    image = np.full((48, 96, 96), 40.0)
    image[:, 50:] = 100
    image = ndimage.gaussian_filter(image, 1) + 150 * line(image.shape, 1.5, 20, 24)
    mask = enhance(noisy(image)) >= 128
    assert mask[22:27, 18:23].any(axis=(0, 1)).mean() > 0.95
    assert mask[:, 44:56].mean() < 1e-4


def body_image(height: float, radii: tuple[float, float, float]) -> np.ndarray:
    """A body in the middle of a volume, and a neurite."""
    places = np.indices((60, 160, 160))
    square = sum(((p - c) / r) ** 2 for p, c, r in zip(places, (30, 80, 80), radii, strict=True))
    body = ndimage.gaussian_filter((square < 1).astype(np.float64), 1)
    return np.asarray(height * body + 100 * line((60, 160, 160), 1.5, 30, 20))


@pytest.mark.parametrize("height", [150.0, 2000.0])
@pytest.mark.parametrize("radii", [(24.0, 24.0, 24.0), (6.0, 26.0, 22.0)])
def test_a_large_body_is_in_the_mask_whole(
    height: float, radii: tuple[float, float, float]
) -> None:
    """It is too broad for a neurite, also where slices that are far apart make it flat."""
    mask = enhance(noisy(20 + body_image(height, radii))) >= 128
    places = np.indices(mask.shape)
    square = sum(((p - c) / r) ** 2 for p, c, r in zip(places, (30, 80, 80), radii, strict=True))
    assert mask[square < 0.8].mean() > 0.95
    assert mask[square > 2].mean() < 0.02


def test_haze_and_planes_are_no_bodies() -> None:
    z, y, x = np.indices((60, 160, 160)).astype(np.float32)
    haze = 200 * np.exp(-((z - 30) ** 2 + (y - 80) ** 2 + (x - 80) ** 2) / (2 * 40.0**2))
    plane = 200 * (np.abs(y - 80) < 20).astype(np.float32)
    slice_ = 200 * (np.abs(z - 30) < 1).astype(np.float32)
    for image in (haze, plane, slice_):
        lateral = broad_part(image, CUBES).lateral
        assert not find_bodies(image, lateral, 50.0, CUBES).any()
