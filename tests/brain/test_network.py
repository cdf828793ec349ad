"""The network in a run of blocks: the mask of memory, and the choice between the enhancers."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dineuro.brain.network import work
from dineuro.brain.plan import estimate
from dineuro.brain.run import prepare_job
from dineuro.brain.tasks import Job
from dineuro.pipeline import enhancement
from dineuro.pipeline.enhancement import run_enhancer
from dineuro_bridge.errors import BadParameter, FileAccess
from dineuro_bridge.options import DEFAULTS, TraceOptions
from dineuro_bridge.progress import silent
from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes import ome_zarr
from dineuro_bridge.volumes.formats import read_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.enhancers.classical import enhance_and_measure
from dineuro_model.inference.blockwise import Place, predict_piece
from dineuro_model.inference.registry import load_model
from dineuro_model.inference.segment import Predictor, segment
from dineuro_model.synthesis.rendering import RenderSettings, render
from dineuro_tracing.scores import score_trees
from tests.brain.conftest import SHAPE, run

NETWORK = replace(DEFAULTS, enhancer="dineuro")


@pytest.fixture(scope="module")
def noisy(truth: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The neurons in so much noise that "auto" takes the network."""
    voxels = render(truth, SHAPE, np.random.default_rng(3), RenderSettings.medium()).voxels
    path = tmp_path_factory.mktemp("brain") / "noisy.ome.zarr"
    ome_zarr.write(path, Volume(voxels[None], spacing=(0.5, 0.5, 0.5)))
    return path


@pytest.fixture(scope="module")
def done(noisy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    run(noisy, folder, NETWORK)
    return folder


def test_the_probability_has_the_bytes_of_memory(noisy: Path, done: Path) -> None:
    """Whatever the size of the blocks."""
    expected = segment(read_volume(noisy).voxels[0], load_model().runtime)
    assert (expected >= 128).sum() > 1000
    assert np.array_equal(read_volume(done / "probability.ome.zarr").voxels[0], expected)


def test_smaller_blocks_have_the_same_probability(
    noisy: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiles = Counter[str]()

    def counted(place: Place, predictor: Predictor) -> NDArray[np.float32]:
        tiles.update([place.name])
        return predict_piece(place, predictor)

    monkeypatch.setattr(work, "predict_piece", counted)
    run(noisy, tmp_path / "run", NETWORK, edge=40)
    one, other = (read_volume(f / "probability.ome.zarr").voxels for f in (done, tmp_path / "run"))
    assert np.array_equal(one, other)
    assert max(tiles.values()) == 1, "a tile was predicted twice"


def test_the_report_and_the_trees_name_the_network(done: Path, truth: Tree) -> None:
    report = json.loads((done / "report.json").read_bytes())
    assert report["enhancer"] == "dineuro"
    assert not (done / "work" / "network").exists(), "the pieces are of no further use"
    assert len(report["network"]["sha256"]) == 64
    text = (done / "all.swc").read_text()
    assert "# enhancer dineuro, in blocks of 64" in text
    assert f"sha256 {report['network']['sha256']}" in text
    assert score_trees(truth, read_swc(done / "all.swc")).at2.f1 > 0.9


def test_auto_chooses_as_in_memory(stored: Path, noisy: Path, tmp_path: Path) -> None:
    for path, expected in ((stored, "classical"), (noisy, "dineuro")):
        report = run(path, tmp_path / path.stem, DEFAULTS)
        volume = read_volume(path)
        memory = run_enhancer(
            volume.voxels[0], "auto", load_model, scale=VoxelScale(volume.spacing),
            threshold=128, progress=silent,
        )  # fmt: skip
        assert report["enhancer"] == memory.enhancer == expected
        clearness = enhance_and_measure(volume.voxels[0]).clearness
        assert report["clearness"] == pytest.approx(clearness, rel=0.02)
        mask = read_volume(tmp_path / path.stem / "mask.ome.zarr").voxels[0] > 0
        theirs = memory.probability >= 128
        assert (mask != theirs).sum() <= 0.02 * theirs.sum()


def test_auto_takes_the_classical_enhancer_from_an_unsure_network(
    noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enhancement, "LEAST_SURENESS", 0.999)
    report = run(noisy, tmp_path / "run", DEFAULTS)
    assert report["enhancer"] == "classical"
    assert any("the network is unsure" in text for text in report["warnings"])


def test_a_dry_run_knows_the_cost_of_the_network(
    noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = work.predict_tiles

    def slow(job: Job, block: int, net: work.Net) -> dict[str, Any]:
        until = time.process_time() + 1
        while time.process_time() < until:
            pass
        return usual(job, block, net)

    monkeypatch.setattr(work, "predict_tiles", slow)
    job = prepare_job(noisy, tmp_path / "run", NETWORK, 64)
    assert estimate(job, 0, silent).core_hours * 3600 > 4 * 1.0


def test_a_poison_tile_is_a_hole_that_the_next_run_fills(
    noisy: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = work.predict_tiles

    def poison(job: Job, block: int, net: work.Net) -> dict[str, Any]:
        if block == 1:
            raise ValueError("poison")
        return usual(job, block, net)

    with monkeypatch.context() as patch:
        patch.setattr(work, "predict_tiles", poison)
        report = run(noisy, tmp_path / "run", NETWORK)
    assert [(hole["stage"], hole["number"]) for hole in report["holes"]] == [("network", 1)]
    assert run(noisy, tmp_path / "run", NETWORK)["holes"] == []
    assert (tmp_path / "run" / "all.swc").read_bytes() == (done / "all.swc").read_bytes()


def test_an_even_grid_of_cells_is_asked_for(noisy: Path, tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match="multiple of 8"):
        prepare_job(noisy, tmp_path, NETWORK, 36)
    with pytest.raises(BadParameter, match="enhancer none"):
        prepare_job(noisy, tmp_path, TraceOptions(enhancer="none"), 64)
    job = prepare_job(noisy, tmp_path, replace(DEFAULTS, enhancer="classical"), 36)
    assert job.grid.edge == 36


def test_the_pieces_of_the_network_need_room(
    noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than the classical enhancer, which has enough here."""
    usage = shutil.disk_usage(tmp_path)._replace(free=22_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    run(noisy, tmp_path / "classical", replace(DEFAULTS, enhancer="classical"))
    for enhancer in ("dineuro", "auto"):
        options = replace(DEFAULTS, enhancer=enhancer)
        with pytest.raises(FileAccess, match=r"needs about .* GB"):
            run(noisy, tmp_path / enhancer, options)


def test_a_network_that_reads_the_ridges_of_the_whole_is_refused(
    noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model()
    geometry = replace(model.runtime.geometry, inputs=("global", "ridge"))
    other = SimpleNamespace(runtime=SimpleNamespace(geometry=geometry))
    monkeypatch.setattr("dineuro.brain.network.choice.cached_model", lambda _: other)
    with pytest.raises(BadParameter, match="reads the classical ridges"):
        run(noisy, tmp_path / "run", NETWORK)
