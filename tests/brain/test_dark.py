"""Blocks that are left out as dark: what they lose of the true length, and what a run tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dineuro.brain import run as runs
from dineuro.brain.store.grid import Grid
from dineuro.brain.store.input import Input, occupied_blocks
from dineuro_bridge.options import DEFAULTS
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes import ome_zarr
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import RenderSettings, render
from tests.brain.conftest import run

INNER, SIZE, EDGE = (64, 128, 128), (64, 128, 512), 32


def neuron_in_the_dark(path: Path, seed: int, levels: str) -> Tree:
    """A neuron beside three times as much of its own ground, as OME-Zarr; returns the truth."""
    rng = np.random.default_rng(seed)
    tree = grow_tree(INNER, rng)
    scene = render(tree, INNER, rng, RenderSettings.medium()).voxels
    voxels = rng.choice(scene[:, :8, :8].ravel(), SIZE).astype(scene.dtype)
    voxels[:, :, : INNER[2]] = scene
    ome_zarr.write(path, Volume(voxels[None], spacing=(0.5, 0.5, 0.5)), levels=levels)
    return tree


def length_in(tree: Tree, grid: Grid, blocks: list[int]) -> tuple[float, float]:
    """The length of a tree within blocks, and its whole length."""
    child = np.flatnonzero(tree.parents >= 0)
    a, b = tree.xyz[child], tree.xyz[tree.parents[child]]
    length = np.linalg.norm(a - b, axis=1)
    middle = np.clip(((a + b) / 2)[:, ::-1], 0, np.array(grid.size) - 1).astype(int)
    of = np.array([grid.block_of((z, y, x)) for z, y, x in middle.tolist()])
    return float(length[np.isin(of, blocks)].sum()), float(length.sum())


def test_dark_blocks_lose_at_most_a_thousandth_of_the_true_length(tmp_path: Path) -> None:
    grid = Grid(SIZE, EDGE)
    n_dark, lost, whole = 0, 0.0, 0.0
    for seed, levels in ((3, "mean"), (2, "maximum"), (4, "mean"), (5, "maximum")):
        path = tmp_path / f"{seed}.ome.zarr"
        tree = neuron_in_the_dark(path, seed, levels)
        _, dark = occupied_blocks(Input(str(path), 0), grid)
        found = length_in(tree, grid, dark)
        n_dark, lost, whole = n_dark + len(dark), lost + found[0], whole + found[1]
    assert n_dark > 100
    assert lost <= 0.001 * whole


@pytest.mark.parametrize("enhancer", ["classical", "dineuro"])
def test_a_run_looks_at_some_dark_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enhancer: str
) -> None:
    path = tmp_path / "brain.ome.zarr"
    neuron_in_the_dark(path, 3, "mean")
    options = replace(DEFAULTS, enhancer=enhancer)  # type: ignore[arg-type]
    usual = occupied_blocks(Input(str(path), 0), Grid(SIZE, 64))
    assert len(usual[1]) >= 4
    sample = run(path, tmp_path / "right", options)["dark_sample"]
    assert sample["blocks"] == min(8, len(usual[1]))
    assert sample["share_of_length"] <= 0.001
    # One of two blocks with the neuron is left out.
    monkeypatch.setattr(runs, "occupied_blocks", lambda *_: (usual[0][:1], usual[0][1:2]))
    report = run(path, tmp_path / "wrong", options)
    assert report["dark_sample"]["share_of_length"] > 0.05
    assert any("left out as dark" in text for text in report["warnings"])
