"""The network on a volume in parts: the bytes that it has in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dineuro_model.inference.blockwise import (
    add_piece,
    as_bytes,
    predict_piece,
    signal_map,
    tiles_in,
)
from dineuro_model.inference.segment import Predictor, SegmentOptions, Stack, segment
from dineuro_model.inference.tiles import CELL, layers, occupied_cells
from dineuro_model.intensity import intensity_range, range_of_sample, sample_of_part
from tests.support.bright_runtime import BrightRuntime


class Uneven(BrightRuntime):
    """A voxel's probability depends on its place in the window, so that no other window will do."""

    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        columns = np.linspace(0.3, 1, windows.shape[3], dtype=np.float32)
        # The last input, so that a local scale counts where there is one.
        return super().predict(windows[:, -self.geometry.depth :]) * columns


@pytest.mark.parametrize(("between", "inputs"), [
    (0, ("global",)), (1, ("global",)), (3, ("global",)), (0, ("global", "local")),
])  # fmt: skip
def test_the_pieces_of_parts_have_the_bytes_of_the_whole(
    between: int, inputs: tuple[str, ...]
) -> None:
    """Parts of 32 voxels, windows of 64, and holes without signal."""
    rng = np.random.default_rng(4)
    volume = rng.integers(1, 200, (29, 100, 150)).astype(np.uint16)
    volume[:, :, 40:90] = 1
    volume[3:20, 50:60, 60] = 200
    runtime = Uneven("cpu")
    runtime.geometry = replace(runtime.geometry, inputs=inputs)
    expected = segment(volume, runtime, SegmentOptions(between=between, overlap=20))
    stack = Stack(volume, intensity_range(volume), between + 1, inputs)
    grid = stack.grid(runtime.geometry, SegmentOptions(between=between, overlap=20))
    edge = 32
    starts = [
        (z, y, x) for z in range(0, 29, edge) for y in range(0, 100, edge)
        for x in range(0, 150, edge)
    ]  # fmt: skip
    boxes = [tuple(slice(a, a + edge) for a in start) for start in starts]
    count = len(list(layers(grid, 29)))
    signal = np.zeros((count, -(-100 // CELL), -(-150 // CELL)), dtype=np.bool_)
    parts = [
        (s, occupied_cells(volume[b], stack.faintest)) for s, b in zip(starts, boxes, strict=True)
    ]
    signal_map(grid, 29, parts, signal)
    found, names = np.zeros_like(expected), list[str]()
    for start, box in zip(starts, boxes, strict=True):
        total = np.zeros(volume[box].shape, dtype=np.float32)
        depth, rows, columns = volume[box].shape
        high = (start[0] + depth, start[1] + rows, start[2] + columns)
        for place in tiles_in(grid, (29, 100, 150), signal, start, high):
            names.append(place.name)
            add_piece(total, start, place, predict_piece(place, Predictor(runtime, stack, 1)))
        found[box] = as_bytes(total)
    assert len(set(names)) < len(names), "no tile reaches two parts: the test tests nothing"
    assert np.array_equal(found, expected)


def test_the_scale_of_parts_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dineuro_model.intensity.MOST_SAMPLES", 3000)
    rng = np.random.default_rng(1)
    for dtype in (np.uint8, np.int16, np.float32):
        volume = (rng.normal(60, 20, (20, 33, 47)).clip(0, 120) * 2).astype(dtype)
        parts = [
            sample_of_part(volume[:, y : y + 8, x : x + 16], (0, y, x), volume.shape)
            for y in range(0, 33, 8) for x in range(0, 47, 16)
        ]  # fmt: skip
        assert 1000 < sum(map(len, parts)) < 6000
        assert range_of_sample(np.concatenate(parts)) == intensity_range(volume)
