"""Every example runs, and its output and its files are checked."""

from __future__ import annotations

import csv
import json
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pytest

from dineuro_bridge.trees.swc import read_swc, write_swc
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.network.weights import load_network
from tests.support.server import ROOT, Server
from tests.support.shapes import chain, line, paint

EXAMPLES = ROOT / "examples"
SHAPE = (20, 64, 96)
TRUNK = line((8, 30, 10), (88, 30, 10))

Run = Callable[..., str]


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A stack of one neurite 80 voxels long with a branch, beside its reference tree."""
    voxels = paint([TRUNK, line((48, 30, 10), (48, 58, 10))], SHAPE)
    write_volume(tmp_path / "neuron.tif", Volume(voxels[None]))
    write_swc(tmp_path / "neuron_truth.swc", chain(TRUNK))
    return tmp_path / "neuron.tif"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a script of the folder as a user does; return what it prints."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_trace_stack(stack: Path, run: Run) -> None:
    length = float(run("trace_stack.py", stack).split()[0])
    assert 100 < length < 125
    assert read_swc(stack.with_name("neuron_tree.swc")).length == pytest.approx(length, abs=1)
    assert read_volume(stack.with_name("neuron_mask.tif")).voxels.shape == (1, *SHAPE)


def test_batch_doubts(stack: Path, run: Run) -> None:
    stack.with_name("broken.tif").write_bytes(b"II*\0")
    output = run("batch_doubts.py", stack.parent, stack.with_name("doubts.csv")).splitlines()
    assert output[0].startswith("failed: ")
    assert "broken.tif" in output[0]
    with stack.with_name("doubts.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["chance that it is right", "stack", "kind", "x", "y", "z"]
    assert output[1] == f"neuron.tif: {len(rows)} places to proofread"
    assert len(read_swc(stack.with_suffix(".swc"))) > 10


def test_use_server(stack: Path, run: Run, tmp_path: Path) -> None:
    server = Server(tmp_path / "state", zmq="tcp://127.0.0.1:0")
    try:
        output = run("use_server.py", server.zmq, stack).splitlines()
    finally:
        server.close()
    stages = [text.removeprefix("stage: ") for text in output if text.startswith("stage: ")]
    assert stages[0] == "upload"
    # A client is told of the stages that last: some of a small job are over too soon.
    assert len(stages) >= 2
    assert set(stages) <= {"upload", "read", "load", "enhance", "trace", "write", "download"}
    assert float(output[-1].split(": ")[1].split()[0]) > 100
    assert read_swc(stack.with_name("neuron_tree.swc")).length > 100
    assert stack.with_name("neuron_doubts.marker").read_text().startswith("##x,y,z")


def test_score_tree(stack: Path, run: Run) -> None:
    gold = stack.with_name("neuron_truth.swc")
    half = stack.with_name("half.swc")
    write_swc(half, chain(line((8, 30, 10), (48, 30, 10))))
    head, same, part = run("score_tree.py", gold, gold, half).splitlines()
    assert head.split() == ["precision", "recall", "F1", "ESA", "tree"]
    assert same.split() == ["1.000", "1.000", "1.000", "0.00", str(gold)]
    precision, recall = map(float, part.split()[:2])
    assert precision == 1
    assert 0.5 < recall < 0.55


@pytest.mark.slow
def test_fine_tune(stack: Path, run: Run, tmp_path: Path) -> None:
    shutil.move(stack.with_name("neuron_truth.swc"), stack.with_suffix(".swc"))
    output = run("fine_tune.py", stack.parent, tmp_path / "run", 1).splitlines()
    weights = Path(output[0].removeprefix("weights: "))
    assert weights == tmp_path / "run" / "model.safetensors"
    load_network(weights)
    assert output[1].startswith("neuron.tif: ")


def test_the_notebook_runs_from_its_first_cell_to_its_last(
    stack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stack.parent / "demo"
    folder.mkdir()
    for name in ("neuron.tif", "neuron_truth.swc"):
        shutil.move(stack.with_name(name), folder / name)
    monkeypatch.chdir(stack.parent)
    mpl.use("agg")
    notebook = json.loads((EXAMPLES / "first_steps.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] for cell in cells), "outputs are not committed"
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    output = capsys.readouterr().out
    assert "(1, 20, 64, 96) uint8" in output
    assert "of the length is certain" in output
    assert "F1 within 2 voxels: 0." in output


def test_the_page_lists_every_example() -> None:
    page = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.iterdir():
        if path.suffix in (".py", ".ipynb"):
            assert f"]({path.name})" in page, path.name
