"""Faults of a stack are mended before it is traced: the tree is that of the stack without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from dineuro.pipeline.reconstruct import reconstruct
from dineuro.pipeline.result import Result
from dineuro_bridge.errors import BadVolume
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.repair.slices import measure_light
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import RenderSettings, render
from dineuro_tracing.scores import score_trees
from tests.support import looks

Stack = NDArray[Any]

SHAPE = (40, 96, 96)
_RNG = np.random.default_rng(5)
_GROWN = grow_tree(SHAPE, _RNG)
GOOD = render(_GROWN, SHAPE, _RNG, RenderSettings(contrast=16, unevenness=0.2, puncta=10)).voxels

NOISE = float(np.median(measure_light(GOOD, None).noise))


def traced(stack: Stack, **options: Any) -> Result:
    values: dict[str, Any] = {"enhancer": "classical", "passes": 1} | options
    return reconstruct(Volume(stack[None], source="a.tif"), TraceOptions(**values))


def f1(tree: Tree) -> float:
    """F1@2 against the tree that was rendered."""
    return score_trees(_GROWN, tree).at2.f1


def is_right(tree: Tree, visible: Stack) -> bool:
    """Whether a tree is all neurite, and has what is visible without a break from the root."""
    at = np.clip(np.rint(_GROWN.xyz[:, ::-1]).astype(int), 0, np.array(SHAPE) - 1)
    keep = visible[tuple(at.T)] > 0
    for node, parent in enumerate(_GROWN.parents):  # parents come first
        keep[node] &= parent < 0 or keep[parent]
    reached = score_trees(_GROWN.keep(keep), tree).at2.recall
    return score_trees(_GROWN, tree).at2.precision > 0.97 and reached > 0.9


def told(result: Result) -> str:
    return "\n".join(result.report.warnings)


def test_a_good_stack_is_left_alone() -> None:
    result = traced(GOOD)
    assert f1(result.tree) > 0.95
    assert result.report.warnings == ()


PADDINGS: dict[str, Callable[[Stack, float], Stack]] = {
    "drift": lambda stack, fill: looks.drifted(stack, 7, fill),
    "rotation": lambda stack, fill: looks.rotated(stack, 20, fill),
    "clear outside": looks.cleared_outside,
    "mosaic": lambda stack, fill: looks.mosaic(stack, 1, fill),
    "border": lambda stack, fill: looks.padded(stack, 9, fill),
}


@pytest.mark.parametrize("fill", [0, 90, 255])
@pytest.mark.parametrize("kind", PADDINGS)
def test_padding_is_not_traced(kind: str, fill: int) -> None:
    result = traced(PADDINGS[kind](GOOD, fill))
    visible = PADDINGS[kind](np.ones_like(GOOD), 0)
    assert is_right(result.tree, visible)
    assert "padding" in told(result)
    assert not result.mask.voxels[0][visible == 0].any()


def test_nan_at_the_border_is_padding_and_elsewhere_refused() -> None:
    stack = GOOD.astype(np.float32)
    result = traced(looks.rotated(stack, 33, np.nan))
    assert is_right(result.tree, looks.rotated(np.ones_like(GOOD), 33, 0))
    stack[20, 30:40, 30:40] = np.nan
    with pytest.raises(BadVolume, match=r"slice 21 .*has [0-9]+ voxels that are NaN"):
        traced(stack)


def test_a_cleaned_ground_is_no_padding() -> None:
    rng = np.random.default_rng(5)
    made = render(_GROWN, SHAPE, rng, RenderSettings(contrast=12, masked="tight"))
    assert "padding" not in told(traced(made.voxels))


def test_a_bright_area_of_a_mask_is_no_overexposure() -> None:
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[18:22, 10:50, 10:60] = 85
    assert "interpolated" not in told(traced(mask))


def test_a_soma_at_the_border_is_no_padding() -> None:
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    soma = (z - 20) ** 2 + (y - 48) ** 2 + x**2 < 9**2
    stack = np.maximum(GOOD, ndimage.gaussian_filter(soma * 400.0, 1.5).clip(0, 255))
    stack = stack.astype(np.uint8)
    assert "padding" not in told(traced(stack))


@pytest.mark.parametrize("strength", [8, 25])
@pytest.mark.parametrize("along", ["x", "y"])
def test_stripes_are_not_traced(along: str, strength: float) -> None:
    result = traced(looks.striped(GOOD, 3, strength, along))
    assert f1(result.tree) > 0.95
    assert "lines of equal offset" in told(result)


def test_a_neurite_along_a_row_is_no_stripe() -> None:
    stack = np.random.default_rng(0).normal(20, 4, (24, 64, 64))
    stack[11:14, 31:34] += 60
    result = traced(stack.clip(0, 255).astype(np.uint8))
    assert result.report.length > 50
    assert "lines" not in told(result)


@pytest.mark.parametrize(("step", "degrees"), [(40, 0), (40, 35), (80, 90)])
def test_the_edge_of_a_tissue_is_not_traced(step: float, degrees: float) -> None:
    result = traced(looks.half_bright(GOOD, step, degrees))
    assert f1(result.tree) > 0.95
    assert "sharp steps" in told(result)


@pytest.mark.parametrize("slices", [(20,), (20, 21, 22), (3, 17, 30, 31)])
def test_blank_and_overexposed_slices_are_interpolated(slices: tuple[int, ...]) -> None:
    # Neurites that lie within three lost slices cannot be seen.
    for stack in (looks.blank(GOOD, slices), looks.overexposed(GOOD, slices)):
        result = traced(stack)
        assert f1(result.tree) > 0.92
        assert f"{len(slices)} blank or over-exposed slices were interpolated" in told(result)


def test_blank_slices_at_the_end_are_padding() -> None:
    result = traced(looks.blank(GOOD, (36, 37, 38, 39), 90))
    assert is_right(result.tree, looks.blank(np.ones_like(GOOD), (36, 37, 38, 39)))
    assert not result.mask.voxels[0, 36:].any()


@pytest.mark.parametrize("reverse", [False, True])
def test_light_that_fades_with_depth_costs_little(reverse: bool) -> None:
    for stack in (looks.bleached(GOOD, 15, reverse), looks.faded(GOOD, 20, reverse)):
        assert f1(traced(stack).tree) > 0.95


def test_a_flickering_lamp_costs_little() -> None:
    result = traced(looks.flickering(GOOD))
    assert f1(result.tree) > 0.95
    assert "differ in their light" in told(result)


def test_large_steps_of_the_ground_between_slices_are_evened_and_small_ones_left() -> None:
    steep = traced(looks.offset_slices(GOOD, 3 * NOISE))
    assert f1(steep.tree) > 0.95
    assert "differ in their light" in told(steep)
    slight = traced(looks.offset_slices(GOOD, NOISE))
    assert f1(slight.tree) > 0.95
    assert slight.report.warnings == ()


@pytest.mark.parametrize("vignette", [0.0, 0.6])
def test_dark_neurites_are_traced(vignette: float) -> None:
    stack = looks.inverted(GOOD, vignette)
    result = traced(stack)
    assert f1(result.tree) > 0.95
    assert "dark on a bright ground: the image was inverted" in told(result)
    assert np.array_equal(result.intensity, stack)  # what a person sees is the file
    dark = traced(stack, contrast="dark")
    assert f1(dark.tree) > 0.95
    assert dark.report.warnings == ()
    bright = traced(stack, contrast="bright")
    assert "is it inverted? (--contrast dark" in told(bright)


def test_dark_neurites_between_padding_are_traced() -> None:
    result = traced(looks.rotated(looks.inverted(GOOD, 0.3), 20, 0))
    assert is_right(result.tree, looks.rotated(np.ones_like(GOOD), 20, 0))


def test_auto_is_not_misled_by_an_overexposed_slice() -> None:
    clear = render(_GROWN, SHAPE, np.random.default_rng(2), RenderSettings(contrast=25)).voxels
    result = traced(looks.overexposed(clear, (20,)), enhancer="auto")
    assert result.enhancer == "classical"
    assert f1(result.tree) > 0.95
