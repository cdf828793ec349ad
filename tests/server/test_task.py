"""What a worker does for one job: the network runs once for one volume; its server may end."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dineuro.pipeline.memory import SegmentationMemory
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.progress import silent
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.inference.segment import segment
from dineuro_server.workers.source import Task
from dineuro_server.workers.task import run_task
from tests.support.server import VOXELS


@pytest.fixture
def segmentations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The networks that ran, in order."""
    runs: list[str] = []

    def counted(intensity: Any, runtime: Any, *rest: Any) -> Any:
        runs.append(type(runtime).__name__)
        return segment(intensity, runtime, *rest)

    monkeypatch.setattr("dineuro.pipeline.enhancement.segment", counted)
    return runs


def results(folder: Path, image: Path, memory: SegmentationMemory | None, **options: Any) -> Any:
    """The tree and the mask of a job by the network, as bytes."""
    options = {"name": "cell.tif", "enhancer": "dineuro", **options}
    parameters = TraceOptions(**options).as_dict()
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    task = Task("1", "trace", str(image), digest, parameters, str(folder), 2**30)
    run_task(task, "cpu", silent, memory)
    return (folder / "tree.swc").read_bytes(), (folder / "mask.v3draw").read_bytes()


def test_another_threshold_on_the_same_volume_runs_no_network_and_changes_no_byte(
    tmp_path: Path, segmentations: list[str]
) -> None:
    image = tmp_path / "cell.tif"
    write_volume(image, Volume(VOXELS[None]))
    memory = SegmentationMemory()
    results(tmp_path / "1", image, memory, threshold=128)
    again = results(tmp_path / "2", image, memory, threshold=200, min_length=5.0)
    assert len(segmentations) == 1
    fresh = results(tmp_path / "3", image, None, threshold=200, min_length=5.0)
    assert len(segmentations) == 2
    assert again == fresh


def test_another_region_or_volume_is_segmented_anew(
    tmp_path: Path, segmentations: list[str]
) -> None:
    image, other = tmp_path / "cell.tif", tmp_path / "other.tif"
    write_volume(image, Volume(VOXELS[None]))
    voxels = VOXELS.copy()
    voxels[0, 0, 0] = 9
    write_volume(other, Volume(voxels[None]))
    memory = SegmentationMemory()
    results(tmp_path / "1", image, memory)
    results(tmp_path / "2", other, memory)
    results(tmp_path / "3", other, memory, roi=(0, 0, 0, 40, 24, 16))
    assert len(segmentations) == 3


def test_a_memory_holds_no_more_than_its_bytes() -> None:
    memory, runs = SegmentationMemory(max_bytes=10), []
    image = np.zeros((2, 3, 4), np.uint8)

    def compute() -> Any:
        runs.append(1)
        return np.zeros(image.shape, np.uint8)

    for _ in range(2):
        memory.recall(image, "network", compute)
    assert len(runs) == 2


def test_a_worker_whose_server_was_killed_ends_without_a_traceback(tmp_path: Path) -> None:
    """Its input may still be open when a message meets the closed pipe."""
    image = tmp_path / "cell.tif"
    write_volume(image, Volume(VOXELS[None]))
    parameters = TraceOptions(name="cell.tif", enhancer="classical").as_dict()
    task = Task("1", "trace", str(image), "0" * 64, parameters, str(tmp_path / "1"), 2**30)
    with subprocess.Popen(
        [sys.executable, "-m", "dineuro_server.workers.main", "cpu", "text"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as worker:
        streams = worker.stdin, worker.stdout, worker.stderr
        messages, answers, log = (stream for stream in streams if stream is not None)
        assert "ready" in answers.readline()
        answers.close()
        print(json.dumps(asdict(task)), file=messages, flush=True)
        assert "Traceback" not in log.read()
    assert worker.returncode == 0
