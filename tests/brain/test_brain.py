"""A run from the volume to the trees: the same as in memory, and what may go wrong."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dineuro
from dineuro.brain.plan import estimate
from dineuro.brain.run import prepare_job
from dineuro.brain.store import folder as folders
from dineuro.brain.store.grid import Grid
from dineuro.brain.store.input import Input, occupied_blocks
from dineuro_bridge.errors import BadParameter, BadVolume, FileAccess
from dineuro_bridge.options import DEFAULTS, TraceOptions
from dineuro_bridge.progress import Progress, silent
from dineuro_bridge.trees.marker import read_markers
from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes import ome_zarr
from dineuro_bridge.volumes.formats import read_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.enhancers.parts import enhance_part
from dineuro_tracing.scores import score_trees
from tests.brain.conftest import EDGE, SHAPE, run


@pytest.fixture(scope="module")
def done(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run; do not change it."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run(stored, folder)
    return folder


def results(folder: Path) -> dict[str, bytes]:
    """The bytes of all trees of a run."""
    paths = [folder / "all.swc", folder / "neurons.csv", *sorted(folder.glob("neurons/*.swc"))]
    return {path.name: path.read_bytes() for path in paths}


def test_the_trees_are_as_good_as_in_memory(stored: Path, done: Path, truth: Tree) -> None:
    memory = dineuro.trace(stored, enhancer="classical", passes=1)
    there = score_trees(truth, memory.tree).at2.f1
    here = score_trees(truth, read_swc(done / "all.swc")).at2.f1
    assert there > 0.95
    assert here >= there - 0.01
    mask = read_volume(done / "mask.ome.zarr").voxels[0] > 0
    both = memory.mask.voxels[0] > 0
    assert mask.shape == SHAPE
    assert (mask != both).sum() <= 0.02 * both.sum()


def test_the_results_of_a_run(done: Path) -> None:
    report = json.loads((done / "report.json").read_bytes())
    rows = (done / "neurons.csv").read_text().splitlines()
    assert report["blocks"] == report["blocks_done"] == 4
    assert report["holes"] == []
    assert report["somata"] == 1
    assert rows[0].startswith("id,file,kind,x,y,z,soma_radius,length,tips,forks,confidence")
    assert rows[1].split(",")[2] == "soma"
    assert len(rows) == 1 + report["neurons"]
    tree = read_swc(done / "neurons" / "00001.swc")
    assert tree.types[0] == 1
    assert tree.length == pytest.approx(float(rows[1].split(",")[7]), rel=0.01)
    assert len(read_markers(done / "doubts.marker")) == len(report["doubts"])
    assert read_volume(done / "probability.ome.zarr").spacing == (0.5, 0.5, 0.5)
    assert report["costs"]["enhance"]["units"] == 4


def test_a_run_that_was_interrupted_goes_on_and_has_the_same_bytes(
    stored: Path, done: Path, tmp_path: Path
) -> None:
    work = Counter[str]()
    usual = folders.Ledger.record

    def record(ledger: folders.Ledger, entry: folders.Entry, inputs: str) -> None:
        work[f"{entry.stage} {entry.number}"] += 1
        usual(ledger, entry, inputs)

    for stop in (2, 9, 14, 10**6):
        seen = 0

        def progress(step: Progress, stop: int = stop) -> None:
            nonlocal seen
            seen += step.stage != "plan"
            if seen == stop:
                raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(folders.Ledger, "record", record)
            try:
                run(stored, tmp_path / "run", progress=progress)
            except KeyboardInterrupt:
                assert not (tmp_path / "run" / "report.json").exists()
    assert results(tmp_path / "run") == results(done)
    assert max(work.values()) == 1, "work was done twice"


def test_another_run_in_the_folder_is_refused(stored: Path, done: Path, tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match="threshold was 128 and is 100 now"):
        run(stored, done, replace(DEFAULTS, threshold=100))
    with pytest.raises(BadParameter, match="block was 64 and is 32 now"):
        run(stored, done, edge=32)
    (tmp_path / "a.txt").touch()
    with pytest.raises(FileAccess, match=r"holds 'a.txt' and no run.json"):
        run(stored, tmp_path)


def test_a_poison_block_is_a_hole_that_the_next_run_fills(
    stored: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = list[int]()

    def poison(part: Any, *more: Any) -> Any:
        if part.core_frame.start == (0, 64, 0):
            tried.append(1)
            raise ValueError("poison")
        return enhance_part(part, *more)

    with monkeypatch.context() as patch:
        patch.setattr("dineuro.brain.tasks.enhance_part", poison)
        report = run(stored, tmp_path / "run")
    assert len(tried) == 3
    (hole,) = report["holes"]
    assert (hole["stage"], hole["number"]) == ("enhance", 2)
    assert hole["box_xyz"] == (0, 64, 0, 64, 112, 64)
    assert hole["says"] == "ValueError: poison"
    assert "# hole 0,64,0,64,112,64" in (tmp_path / "run" / "all.swc").read_text()
    assert run(stored, tmp_path / "run")["holes"] == []
    assert results(tmp_path / "run") == results(done)


def test_a_damaged_chunk_costs_its_block_alone(stored: Path, tmp_path: Path) -> None:
    path = tmp_path / "brain.ome.zarr"
    ome_zarr.write(path, read_volume(stored), zarr="0.4")
    chunk = path / "0" / "0" / "1" / "1"
    chunk.write_bytes(b"\x02" * 100)
    report = run(path, tmp_path / "run")
    (hole,) = report["holes"]
    assert (hole["stage"], hole["number"]) == ("range", 3)
    assert "damaged chunk 0/1/1" in hole["says"]
    assert report["blocks_done"] == 3
    assert len(read_swc(tmp_path / "run" / "all.swc")) > 100


def test_blocks_without_a_chunk_or_in_the_dark_are_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    voxels = np.zeros((64, 64, 256), dtype=np.uint8)
    voxels[:, :, 64:192] = rng.normal(20, 2, (64, 64, 128))
    voxels[30:34, :, 90:94] = 200
    path = tmp_path / "a.ome.zarr"
    ome_zarr.write(path, Volume(voxels[None]), zarr="0.4", levels="mean")
    grid = Grid((64, 64, 256), 64)
    kept, dark = occupied_blocks(Input(str(path), 0), grid)
    assert kept == [1]
    assert dark == [2]


def test_an_empty_brain_has_no_trees_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "empty.ome.zarr"
    ome_zarr.write(path, Volume(np.zeros((1, 40, 40, 40), dtype=np.uint8)))
    report = run(path, tmp_path / "run")
    assert report["trees"] == 0
    assert any("no block shows anything" in text for text in report["warnings"])
    assert any("voxel size unknown" in text for text in report["warnings"])
    assert len(read_swc(tmp_path / "run" / "all.swc")) == 0


def test_what_a_run_refuses(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match="multiple of 4"):
        prepare_job(stored, tmp_path, DEFAULTS, 65)
    with pytest.raises(BadParameter, match="has no channel 2"):
        prepare_job(stored, tmp_path, TraceOptions(channel=2), EDGE)
    bare = tmp_path / "bare.ome.zarr"
    ome_zarr.write(bare, Volume(np.zeros((1, 4, 8, 8), dtype=np.uint8)))
    with pytest.raises(BadParameter, match="give --spacing"):
        prepare_job(bare, tmp_path, TraceOptions(units="um"), EDGE)
    flat = tmp_path / "flat.ome.zarr"
    ome_zarr.write(flat, Volume(np.zeros((1, 1, 8, 8), dtype=np.uint8)))
    with pytest.raises(BadVolume, match="one slice"):
        prepare_job(flat, tmp_path, DEFAULTS, EDGE)


def test_too_little_room_is_told_before_the_start(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FileAccess, match=r"needs about .* GB, and the disk has 0.0 GB"):
        run(stored, tmp_path / "run")
    assert not (tmp_path / "run" / "work").exists()


def test_a_dry_run_touches_nothing_and_tells_the_cost(stored: Path, tmp_path: Path) -> None:
    job = prepare_job(stored, tmp_path / "run", DEFAULTS, EDGE)
    figures = estimate(job, 2.0, silent).figures()
    assert not (tmp_path / "run").exists()
    assert figures["blocks"] == figures["blocks_occupied"] == 4
    assert figures["voxels"] == 64 * 112 * 112
    assert figures["core_hours"] > 0
    assert figures["price"] == pytest.approx(2 * figures["core_hours"], abs=0.01)
