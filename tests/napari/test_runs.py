"""A run in a process of its own, and on a server: the result, errors, cancel, and its end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dineuro
from dineuro_bridge.client import Client
from dineuro_bridge.errors import (
    BadEdit,
    BadParameter,
    Cancelled,
    DineuroError,
    MemoryLimit,
    MissingDependency,
    Outdated,
    ServerGone,
    Unauthorized,
    WorkerLost,
)
from dineuro_bridge.progress import Progress
from dineuro_bridge.volumes.volume import Volume
from dineuro_napari import runs
from dineuro_napari.image import picture_of, volume_of
from dineuro_napari.layers import confidences
from dineuro_napari.local import trace_locally
from dineuro_napari.runs import Server, trace_on_server
from dineuro_server.access.tokens import add_token
from tests.napari.stacks import FAST, FORK, Steps, layer
from tests.support.server import SLOW
from tests.support.server import Server as RealServer

VOLUME = Volume(FORK[None], spacing=(1.0, 0.5, 0.5), source="fork")


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[subprocess.Popen[str]]:
    """The processes that a test starts; their folders lie in the test's."""
    begun: list[subprocess.Popen[str]] = []
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    real = subprocess.Popen

    def begin(*args: object, **more: object) -> subprocess.Popen[str]:
        begun.append(real(*args, **more))  # type: ignore[call-overload]
        return begun[-1]

    monkeypatch.setattr("subprocess.Popen", begin)
    return begun


def replaced(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the process run other code, after that which sees whether we live."""
    begin = subprocess.Popen
    code = f"from dineuro_napari import local; local._end_with_parent()\nimport os, time\n{code}"

    def other(_: object, **more: object) -> object:
        return begin([sys.executable, "-c", code], **more)  # type: ignore[call-overload]

    monkeypatch.setattr("subprocess.Popen", other)


def test_a_run_gives_what_the_library_gives(
    process: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    steps = Steps()
    outcome = trace_locally(VOLUME, FAST, steps)
    expected = dineuro.trace(VOLUME, FAST)
    assert np.allclose(outcome.tree.xyz, expected.tree.xyz, atol=1e-3)
    assert np.array_equal(outcome.mask.voxels, expected.mask.voxels)
    assert outcome.report["warnings"] == list(expected.report.warnings)
    assert outcome.report["settings"]["spacing_um_xyz"] == [0.5, 0.5, 1.0]
    sure = confidences(outcome.tree, outcome.report["segments"])
    assert len(sure) == len(outcome.tree) - 1
    assert {step.stage for step in steps} > {"start", "trace"}
    assert process[0].returncode is not None
    assert list(tmp_path.iterdir()) == []


def test_a_region_has_the_places_of_the_whole_and_its_doubts_can_be_answered() -> None:
    broken = FORK.copy()
    broken[:, :, 46:52] = 0
    options = replace(FAST, roi=(20, 4, 4, 68, 44, 18))
    outcome = trace_locally(volume_of(picture_of(layer(broken)), options.roi), options, Steps())
    assert outcome.mask.shape == FORK.shape
    inside = (slice(4, 18), slice(4, 44), slice(20, 68))
    assert np.array_equal(outcome.mask.voxels[0][inside], broken[inside])
    assert not outcome.mask.voxels[0, :, :, :20].any()
    kinds = [doubt["kind"] for doubt in outcome.report["doubts"]]
    before = outcome.editing.load()
    after = outcome.editing.edit({"op": "reject", "doubt": kinds.index("join") + 1})
    assert before.tree.xyz[:, 0].max() > 55
    assert after.tree.xyz[:, 0].max() < 50
    assert outcome.editing.edit({"op": "undo"}).tree.length == before.tree.length


def test_what_the_run_refuses_is_the_same_error_here() -> None:
    with pytest.raises(BadParameter, match=r"fork: root .* lies outside"):
        trace_locally(VOLUME, replace(FAST, root=(999.0, 0.0, 0.0)), Steps())


def test_a_cancelled_run_ends_its_process_at_once(
    process: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replaced(
        monkeypatch,
        'print(\'{"stage": "trace", "done": 1, "total": 9}\', flush=True)\ntime.sleep(60)',
    )

    def stop(step: Progress) -> None:
        if step.stage == "trace":
            raise Cancelled("enough")

    begin = time.monotonic()
    with pytest.raises(Cancelled, match="enough"):
        trace_locally(VOLUME, FAST, stop)
    assert time.monotonic() - begin < 30
    assert process[0].returncode == -9
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        ("os.kill(os.getpid(), 9)", MemoryLimit, "memory was too small: give a region"),
        ("raise TypeError('of its own')", WorkerLost, r"status 1\): TypeError: of its own"),
        (
            "import sys, pathlib; sys.modules['dineuro.pipeline.reconstruct'] = None\n"
            "local.work(pathlib.Path('.'))",
            MissingDependency,
            r"pip install 'dineuro\[cpu\]', or choose a server",
        ),
    ],
)
def test_a_process_that_ends_badly_says_why(
    monkeypatch: pytest.MonkeyPatch, code: str, error: type[DineuroError], says: str
) -> None:
    replaced(monkeypatch, code)
    with pytest.raises(error, match=says):
        trace_locally(VOLUME, FAST, Steps())


def test_the_process_ends_with_napari() -> None:
    """Its input closes when napari is gone, however it went."""
    code = "from dineuro_napari import local; local._end_with_parent()\nimport time; time.sleep(60)"
    orphan = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    assert orphan.stdin is not None
    orphan.stdin.close()
    assert orphan.wait(30) == 1


# On a server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RealServer, str]]:
    folder = tmp_path_factory.mktemp("napari")
    token = add_token(folder / "tokens", "anna")
    real = RealServer(folder / "state", tokens=str(folder / "tokens"), zmq="tcp://127.0.0.1:0")
    yield real, token
    real.close()


def test_a_server_gives_the_same_tree_and_keeps_the_edits(server: tuple[RealServer, str]) -> None:
    here = trace_locally(VOLUME, FAST, Steps())
    there = trace_on_server(Server(server[0].url, server[1]), VOLUME, FAST, Steps())
    assert np.array_equal(there.tree.xyz, here.tree.xyz)
    assert np.array_equal(there.mask.voxels, here.mask.voxels)
    assert there.report["segments"] == here.report["segments"]
    before = there.editing.load()
    assert before.ids.tolist() == list(range(1, len(before.tree) + 1))
    node = int(before.ids[-1])
    after = there.editing.edit({"op": "delete", "node": node})
    assert node not in after.ids
    assert after.can_undo
    with pytest.raises(BadEdit):
        there.editing.edit({"op": "delete", "node": node})
    with Client(server[0].url, token=server[1]) as other:
        job = other.jobs()[0]["id"]
        assert len(other.edited_tree(job)) == len(after.tree)
        other.edit(job, {"op": "undo"}, 1)
    with pytest.raises(Outdated):
        there.editing.edit({"op": "cut", "node": 3})
    assert len(there.editing.load().tree) == len(before.tree)
    assert there.editing.edit({"op": "redo"}).can_redo is False
    there.editing.close()


def test_a_server_is_also_reached_over_zeromq(server: tuple[RealServer, str]) -> None:
    steps = Steps()
    there = trace_on_server(Server(server[0].zmq), VOLUME, FAST, steps)
    assert np.abs(there.tree.xyz[:, 0].max() - 62) < 3
    assert np.array_equal(there.mask.voxels[0] > 0, FORK > 0)
    node = int(there.editing.load().ids[-1])
    assert node not in there.editing.edit({"op": "delete", "node": node}).ids
    assert node in there.editing.edit({"op": "undo"}).ids
    there.editing.close()
    with pytest.raises(BadParameter, match="over HTTP"):
        runs.open_job(Server(server[0].zmq), "0f", FORK.shape, steps)


@pytest.mark.parametrize(
    ("text", "job"),
    [
        ("0f3a", "0f3a"), ("http://lab:8000/#/jobs/0f3a", "0f3a"),
        ("https://lab/dineuro/#/jobs/0f3a?at=1,2,3&zoom=4", "0f3a"), ("the last one", None),
        ("http://lab:8000/", None),
    ],
)  # fmt: skip
def test_a_job_is_named_by_its_id_or_its_page(text: str, job: str | None) -> None:
    if job is not None:
        assert runs.job_in(text) == job
        return
    with pytest.raises(BadParameter, match="must be a job's number"):
        runs.job_in(text)


def test_a_wrong_token_is_told(server: tuple[RealServer, str]) -> None:
    with pytest.raises(Unauthorized):
        trace_on_server(Server(server[0].url, "wrong"), VOLUME, FAST, Steps())


def test_a_cancelled_job_is_cancelled_on_the_server(server: tuple[RealServer, str]) -> None:
    voxels = np.zeros((40, 240, 240), dtype=np.uint8)
    voxels[::4, ::4, :] = voxels[::4, :, ::8] = 200
    options = replace(FAST, **SLOW)  # type: ignore[arg-type]

    def stop(step: Progress) -> None:
        if step.stage not in ("connect", "upload", "wait"):
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        trace_on_server(Server(server[0].url, server[1]), Volume(voxels[None]), options, stop)
    with Client(server[0].url, token=server[1]) as client:
        (job,) = (each for each in client.jobs() if each["parameters"]["name"] == "grid.tif")
        until = time.monotonic() + 60
        while job["state"] != "cancelled":
            assert time.monotonic() < until, job
            time.sleep(0.05)
            (job,) = (each for each in client.jobs() if each["id"] == job["id"])


def test_a_server_that_does_not_answer_can_be_left_at_once() -> None:
    begin, steps = time.monotonic(), Steps()

    def stop(step: Progress) -> None:
        steps(step)
        if len(steps) == 3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        trace_on_server(Server("http://127.0.0.1:9"), VOLUME, FAST, stop)
    assert {step.stage for step in steps} == {"connect"}
    assert time.monotonic() - begin < 5


def test_a_server_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dineuro_bridge.client.http._FIRST_PAUSE_S", 0.001)
    with pytest.raises(ServerGone, match=r"http://127\.0\.0\.1:9: does not answer"):
        trace_on_server(Server("http://127.0.0.1:9"), VOLUME, FAST, Steps())
