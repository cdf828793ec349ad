"""Warnings about inputs that are unlikely to be what the user meant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from dineuro.pipeline.input_checks import input_warnings
from dineuro.pipeline.region import select_region
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.repair.polarity import is_dark_on_bright

RNG = np.random.default_rng(8)
SHAPE = (20, 96, 96)


def neuron() -> NDArray[np.bool_]:
    """A few lines through the volume."""
    lines = np.zeros(SHAPE, bool)
    lines[10, 48, 5:90] = lines[8, 10:80, 30] = lines[4:18, 60, 60] = True
    lines[5, 20, 5:60] = lines[15, 70:72, 10:80] = True
    return np.asarray(ndimage.binary_dilation(lines, iterations=2))


def image() -> NDArray[np.uint8]:
    noise = RNG.normal(30, 5, SHAPE)
    return np.where(neuron(), noise + 120, noise).clip(0, 255).astype(np.uint8)


def warnings_of(voxels: NDArray[Any], *, is_mask: bool = False, **options: Any) -> str:
    volume = Volume(voxels[None], source="a.tif")
    chosen = TraceOptions(**options)
    return "\n".join(input_warnings(select_region(volume, chosen), chosen, is_mask=is_mask))


def test_an_image_has_no_warning() -> None:
    assert warnings_of(image()) == ""
    assert warnings_of(image().astype(np.float32)) == ""
    assert warnings_of(np.where(neuron(), image(), 0)) == ""  # a ground that was set to 0


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.int32])
def test_labels_are_named(kind: type) -> None:
    labels = ndimage.label(neuron())[0].astype(kind)
    labels[neuron()] += ((np.indices(SHAPE)[2] // 8)[neuron()] % 7).astype(kind)
    assert "looks like labels" in warnings_of(labels)
    assert warnings_of(labels, enhancer="none") == ""


@pytest.mark.parametrize("value", [1, 255])
def test_a_mask_is_named_unless_it_is_traced_as_one(value: int) -> None:
    mask = neuron().astype(np.uint8) * value
    assert "two values" in warnings_of(mask)
    assert warnings_of(mask, enhancer="none") == ""
    assert warnings_of(mask, is_mask=True) == ""


def test_an_inverted_image_with_a_vignette_is_noticed() -> None:
    y, x = (np.linspace(-1, 1, n) for n in SHAPE[1:])
    vignette = 1 - 0.25 * (y[:, None] ** 2 + x**2)
    inverted = ((255.0 - image()) * vignette).astype(np.uint8)
    assert is_dark_on_bright(inverted)
    assert not is_dark_on_bright((image() * vignette).astype(np.uint8))


def test_blank_slices_between_others_are_named() -> None:
    voxels = image()
    voxels[[3, 4, 5, 11]] = 0
    assert "slices without any signal: 4-6, 12 (counted from 1)" in warnings_of(voxels)
    assert warnings_of(np.where(neuron(), 200, 0).astype(np.uint8) + neuron()) != ""


def test_overexposed_slices_are_named() -> None:
    voxels = image()
    voxels[7:10, :40] = 255
    assert "over-exposed slices: 8-10" in warnings_of(voxels)
    bright = image()
    bright[10, 40:46, 40:46] = 255  # a soma
    assert warnings_of(bright) == ""
