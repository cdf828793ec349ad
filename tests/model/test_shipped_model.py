"""The weights that come with the install, on a real stack; the stacks are skipped where absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dineuro.pipeline.reconstruct import enhance_only
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.volumes.formats import read_volume
from dineuro_model.catalog import file_sha256, list_models
from dineuro_model.inference.registry import load_model
from dineuro_model.inference.segment import segment
from dineuro_model.mask_scores import dice

pytestmark = pytest.mark.slow


def test_the_weights_are_whole_small_and_have_a_card() -> None:
    model = list_models()[0]
    assert file_sha256(model.path) == model.sha256
    assert model.path.stat().st_size <= 48_000_000
    card = (model.path.parent / "MODEL_CARD.md").read_text()
    assert f"# {model.name}" in card


def test_a_real_stack_is_segmented_without_seams(shared_data: Path) -> None:
    """Held out. A copy that is shifted, and so cut into other tiles, gets the same mask."""
    runtime = load_model().runtime
    stack = read_volume(shared_data / "lifted" / "lifted_6.tif").channel(1)
    truth = read_volume(shared_data / "lifted" / "lifted_6_mask.tif").channel(1) != 0
    mask = segment(stack, runtime) >= 128
    assert dice(mask, np.asarray(truth)) > 0.82
    inner = (slice(8, -8),) * 3
    # By the steps of the network's own grid, only the tiles are others; by other numbers, all is.
    for shift, least in (((4, 56, 56), 0.97), ((12, 56, 0), 0.97), ((5, 17, 31), 0.93)):
        moved = segment(np.pad(stack, [(n, 0) for n in shift]), runtime) >= 128
        z, y, x = shift
        assert dice(mask[inner], moved[z:, y:, x:][inner]) > least


def test_light_sheet_stacks_are_noticed_and_held_out_neurons_are_not(shared_data: Path) -> None:
    """Kinds of image that the network does not know, as its model card says."""
    for name, is_unknown in (("real/dlmbmap_1000", True), ("lifted/lifted_6", False)):
        stack = read_volume(shared_data / f"{name}.tif")
        told = enhance_only(stack, TraceOptions(enhancer="dineuro")).figures["warnings"]
        assert any("the network is unsure" in text for text in told) == is_unknown, name
