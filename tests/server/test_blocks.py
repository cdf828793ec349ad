"""Jobs in blocks: a path to a volume that is too large for the memory becomes a brain's run."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import psutil
import pytest

from dineuro_bridge.client import Client
from dineuro_bridge.errors import (
    BadParameter,
    LimitExceeded,
    MissingDependency,
    NotFound,
    QuotaExceeded,
)
from dineuro_bridge.progress import silent
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_model.synthesis.growth import grow_tree
from dineuro_model.synthesis.rendering import RenderSettings, render
from dineuro_server.engine import Engine
from dineuro_server.jobs.records import Job, JobSpec
from dineuro_server.settings import GIB, Settings
from dineuro_server.workers.blocks import run_blocks
from tests.support.server import PACKAGES, ROOT, Server, job_after, small, until

#: More than the small neuron of the other tests has, and less than the brain.
MOST_VOXELS = 100_000
SHAPE = (64, 112, 112)
CLASSICAL = {"enhancer": "classical"}
BLOCKS: dict[str, Any] = {
    "large_voxels": MOST_VOXELS, "large_block": 64, "large_workers": 0, "zmq": "tcp://127.0.0.1:0",
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A served folder with a small stack, and a brain of four blocks as OME-Zarr and as TIFF."""
    data = tmp_path_factory.mktemp("served") / "data"
    data.mkdir()
    tree = grow_tree(SHAPE, np.random.default_rng(12))
    voxels = render(tree, SHAPE, np.random.default_rng(13), RenderSettings.clean()).voxels
    brain = Volume(voxels[None], spacing=(0.5, 0.5, 0.5))
    write_volume(data / "brain.ome.zarr", brain)
    write_volume(data / "brain.tif", brain)
    write_volume(data / "packed.v3dpbd", brain)
    small(data / "cell.tif")
    return data


@pytest.fixture(scope="module")
def command_line(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same run by `dineuro brain`."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    program = [sys.executable, "-c", "from dineuro_cli import main; main()", "brain"]
    options = ["--workers", "0", "--block", "64", "--enhancer", "classical"]
    subprocess.run(
        [*program, str(data / "brain.ome.zarr"), str(folder), *options],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": PACKAGES}, capture_output=True, check=True,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def server(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    state = tmp_path_factory.mktemp("blocks") / "state"
    runs = state.with_name("runs")
    made = Server(state, roots=data, runs=runs, max_gib=0.0005, **BLOCKS)
    yield made
    made.close()
    assert "an error of DINeuro's own" not in made.log


@pytest.fixture(params=["http", "zmq"])
def door(request: pytest.FixtureRequest, server: Server) -> Iterator[Client]:
    with closing(Client(server.url if request.param == "http" else server.zmq)) as client:
        yield client


def submitted(client: httpx.Client, path: Path, **params: Any) -> str:
    """The address of a new job."""
    query = {"path": str(path), **CLASSICAL, **params}
    answer = client.post("/v1/trace", params=query, headers={"Prefer": "respond-async"})
    assert answer.status_code in (200, 202), answer.text
    return answer.headers["location"]


# What comes out


def test_both_doors_give_what_the_command_line_gives(
    data: Path, command_line: Path, door: Client
) -> None:
    stages: list[str] = []
    result = door.trace(
        data / "brain.ome.zarr", by_path=True, reuse=False, enhancer="classical",
        progress=lambda step: stages.append(step.stage),
    )  # fmt: skip
    assert result.swc == (command_line / "all.swc").read_text()
    assert result.files["table"] == (command_line / "neurons.csv").read_bytes()
    assert result.doubts == (command_line / "doubts.marker").read_text()
    with zipfile.ZipFile(io.BytesIO(result.files["neurons"])) as archive:
        trees = {name: archive.read(name) for name in archive.namelist()}
    assert trees == {p.name: p.read_bytes() for p in (command_line / "neurons").iterdir()}
    same = json.loads((command_line / "report.json").read_bytes())
    for name in ("neurons", "somata", "length", "mask_voxels", "figures", "blocks_done"):
        assert result.report[name] == same[name], name
    assert {"lines", "joins", "trees"} & set(stages)
    with pytest.raises(NotFound, match="its mask stays on the server"):
        _ = result.mask
    assert result._repr_png_() is None


def test_the_record_the_files_and_the_volumes_of_a_job(
    data: Path, command_line: Path, server: Server
) -> None:
    with server.client() as client:
        path = submitted(client, data / "brain.ome.zarr", reuse="false")
        job = job_after(client, path, 120)
        assert (job["state"], job["kind"]) == ("done", "brain")
        assert job["input_sha256"] is None
        assert set(job["links"]) == {
            "self", "events", "swc", "report", "doubts", "neurons", "table",
        }  # fmt: skip
        for link in job["links"].values():
            if "events" not in link:
                assert client.get(link).status_code == 200, link
        report = client.get(f"{path}/report").json()
        folder = Path(report.pop("folder"))
        assert str(data) not in json.dumps(report)
        assert "/proc/" not in json.dumps(report)
        assert sorted(each.name for each in folder.iterdir()) == [
            "mask.ome.zarr", "probability.ome.zarr",
        ]  # fmt: skip
        mask = read_volume(folder / "mask.ome.zarr").voxels
        assert np.array_equal(mask, read_volume(command_line / "mask.ome.zarr").voxels)
        stored = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        assert job["result_bytes"] > stored
        for part, says in [("mask", "a job of the kind brain has no mask"), ("view", "no view")]:
            answer = client.get(f"{path}/{part}")
            assert answer.status_code == 404
            assert says in answer.json()["detail"]
        # Its tree is measured and edited like another; there is no probability to trace again.
        assert client.get(f"{path}/measurements").json()["length"] > 100
        assert client.get(f"{path}/edits").json()["revision"] == 0
        again = client.post("/v1/retrace", params={"job": job["id"]})
        assert (again.status_code, again.json()["code"]) == (409, "conflict")
        # An equal request is answered from the store, and has its own volumes.
        second = job_after(client, submitted(client, data / "brain.ome.zarr"), 20)
        assert second["reused"]
        assert client.delete(path).status_code == 200
        assert not folder.exists()
        volumes = folder.with_name(second["id"])
        assert np.array_equal(read_volume(volumes / "mask.ome.zarr").voxels, mask)
        assert client.delete(f"/v1/jobs/{second['id']}").status_code == 200
        assert not volumes.exists()


def test_a_file_that_is_read_box_by_box_runs_in_blocks_and_a_smaller_one_does_not(
    data: Path, server: Server
) -> None:
    with server.client() as client:
        large = job_after(client, submitted(client, data / "brain.tif"), 120)
        assert (large["state"], large["kind"]) == ("done", "brain")
        little = job_after(client, submitted(client, data / "cell.tif"), 120)
        assert (little["state"], little["kind"]) == ("done", "trace")
        part = submitted(client, data / "brain.ome.zarr", roi="10,10,10,60,60,60")
        assert job_after(client, part, 120)["kind"] == "trace"


def test_what_runs_in_memory_alone_has_the_limit_of_before(data: Path, door: Client) -> None:
    with pytest.raises(LimitExceeded, match=r"brain\.ome\.zarr: .* the limit is"):
        door.enhance(data / "brain.ome.zarr", by_path=True)
    with pytest.raises(LimitExceeded, match=r"packed\.v3dpbd: .* limit"):
        door.trace(data / "packed.v3dpbd", by_path=True)
    with pytest.raises(BadParameter, match=r"root .* is not read by a run in blocks"):
        door.trace(data / "brain.ome.zarr", by_path=True, root=(1.0, 2.0, 3.0))


def test_no_client_asks_for_the_kind_itself(data: Path, server: Server) -> None:
    with server.client() as client:
        answer = client.post("/v1/brain", params={"path": str(data / "cell.tif")})
        assert answer.status_code == 404
    for by_path in (False, True):
        with (
            closing(Client(server.zmq)) as client,
            pytest.raises(BadParameter, match="kind 'brain'"),
        ):
            client._run("brain", data / "cell.tif", silent, None, True, by_path, {})


# Kills, cancels, limits


def at_stage(client: httpx.Client, path: str, stage: str) -> None:
    def reached() -> bool:
        progress = client.get(path).json()["progress"]
        return progress is not None and progress["stage"] == stage

    until(reached, 120, f"the stage {stage}")


def run_of(state: Path, path: str) -> Path:
    return state / "runs" / path.rsplit("/", 1)[-1]


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    """Servers to be closed, whatever happens."""
    servers: list[Server] = []
    yield servers
    for server in servers:
        server.close()


@pytest.fixture
def slowly(tmp_path: Path) -> Path:
    """Python runs this at every start: the joins of a run wait until they are let go."""
    folder = tmp_path / "slowly"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "if 'main' in ' '.join(sys.orig_argv):\n"
        "    from dineuro.brain import tasks\n"
        "    done = tasks.find_joins\n"
        "    def find_joins(job, block, whole):\n"
        f"        while block == 2 and not Path({str(folder / 'go')!r}).exists():\n"
        "            time.sleep(0.02)\n"
        "        return done(job, block, whole)\n"
        "    tasks.find_joins = find_joins\n"
    )
    return folder


@pytest.mark.slow
def test_a_killed_server_goes_on_where_it_was(
    data: Path, command_line: Path, slowly: Path, servers: list[Server], tmp_path: Path
) -> None:
    state = tmp_path / "state"
    servers.append(first := Server(state, modules=slowly, roots=data, **BLOCKS))
    with first.client() as client:
        path = submitted(client, data / "brain.ome.zarr")
    joins = run_of(state, path) / "work" / "joins"
    until(lambda: len(list(joins.rglob("*.npz"))) == 2, 60, "two blocks")
    driver = psutil.Process(first.process.pid).children()
    first.kill()
    psutil.wait_procs(driver, 30)
    (slowly / "go").touch()
    servers.append(second := Server(state, modules=slowly, roots=data, **BLOCKS))
    with second.client() as client:
        stages = follow(client, path)
        job = job_after(client, path, 120)
        assert (job["state"], job["attempts"]) == ("done", 2)
        assert client.get(f"{path}/swc").text == (command_line / "all.swc").read_text()
    # What was done is found done: only the joins of the other two blocks are made.
    first_of = dict(reversed(stages))
    assert (first_of["lines"], first_of["joins"]) == (4, 2)


def follow(client: httpx.Client, path: str) -> list[tuple[str, int]]:
    """Stage and number of each step that the last attempt told."""
    told: list[tuple[str, int]] = []
    with client.stream("GET", f"{path}/events") as events:
        for line in events.iter_lines():
            if line.startswith("data:"):
                data = json.loads(line.removeprefix("data:"))
                if data.get("state") == "running":
                    told = []
                if "stage" in data:
                    told.append((data["stage"], data["done"]))
    return told


@pytest.mark.slow
def test_a_cancel_stops_the_run_and_nothing_stays(
    data: Path, slowly: Path, servers: list[Server], tmp_path: Path
) -> None:
    state = tmp_path / "state"
    settings = {**BLOCKS, "large_workers": 1}
    servers.append(server := Server(state, modules=slowly, roots=data, **settings))
    with server.client() as client:
        path = submitted(client, data / "brain.ome.zarr")
        at_stage(client, path, "joins")
        drivers = psutil.Process(server.process.pid).children()
        driver = next(each for each in drivers if each.children())
        crew = [driver, *driver.children(recursive=True)]
        # Another job does not wait for the large one.
        assert job_after(client, submitted(client, data / "cell.tif"), 60)["state"] == "done"
        assert client.delete(path).status_code in (200, 202)
        assert job_after(client, path, 30)["state"] == "cancelled"
        assert not psutil.wait_procs(crew, 20)[1]
        assert not run_of(state, path).exists()


@pytest.mark.slow
def test_a_shutdown_puts_the_job_back_at_once(
    data: Path, slowly: Path, servers: list[Server], tmp_path: Path
) -> None:
    state = tmp_path / "state"
    servers.append(server := Server(state, modules=slowly, roots=data, drain_s=600, **BLOCKS))
    with server.client() as client:
        path = submitted(client, data / "brain.ome.zarr")
        at_stage(client, path, "joins")
    assert server.stop() == 0
    (slowly / "go").touch()
    servers.append(again := Server(state, modules=slowly, roots=data, **BLOCKS))
    with again.client() as client:
        job = job_after(client, path, 120)
        assert (job["state"], job["attempts"]) == ("done", 1)


@pytest.mark.slow
def test_a_cluster_at_hand_does_the_work(
    data: Path, command_line: Path, servers: list[Server], tmp_path: Path
) -> None:
    file = tmp_path / "scheduler.json"
    started: list[subprocess.Popen[bytes]] = []

    def start(command: str, *words: str) -> None:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{command}", *words], cwd=tmp_path,
                env=os.environ | {"PYTHONPATH": PACKAGES}, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip

    try:
        start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
              "--scheduler-file", str(file))  # fmt: skip
        # The file is there before its content.
        until(lambda: file.exists() and file.stat().st_size > 0, 60, "the scheduler")
        address = json.loads(file.read_bytes())["address"]
        start("dask_worker", address, "--nthreads", "1", "--no-dashboard", "--death-timeout", "60")
        settings = {**BLOCKS, "scheduler": address}
        servers.append(server := Server(tmp_path / "state", roots=data, **settings))
        with server.client() as client:
            path = submitted(client, data / "brain.ome.zarr")
            assert job_after(client, path, 120)["state"] == "done"
            assert client.get(f"{path}/swc").text == (command_line / "all.swc").read_text()
    finally:
        for process in started:
            process.terminate()
            process.wait()


# The pieces by themselves


@pytest.fixture
def engine(data: Path, tmp_path: Path) -> Iterator[Engine]:
    """Not started: its jobs wait."""
    settings = Settings(
        state=tmp_path / "state", warm=False, min_free_gib=0, devices="cpu", roots=str(data),
        large_voxels=MOST_VOXELS, large_block=64, large_workers=0, owner_gib=0.001,
    )  # fmt: skip
    fresh = Engine(settings)
    yield fresh
    fresh.stop(drain=False)


def begun(engine: Engine, path: Path) -> Job:
    """A job in blocks that its runner has begun."""
    engine.submit_place(JobSpec("trace", "anna", parameters={**CLASSICAL}), str(path))
    job = engine._dispatcher.next_job(lambda: False, in_blocks=True)
    assert job is not None
    return job


def test_a_run_that_exceeds_the_owner_s_room_is_refused_before_it_works(
    data: Path, engine: Engine
) -> None:
    job = begun(engine, data / "brain.ome.zarr")
    with pytest.raises(QuotaExceeded, match=r"needs about 0\.0 GB, and 0\.0 GB of your limit"):
        run_blocks(engine._dispatcher.task(job), lambda _: None)


def test_an_error_tells_no_path_and_no_address(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        state=tmp_path / "state", min_free_gib=0, devices="cpu", roots=str(data),
        large_voxels=MOST_VOXELS, scheduler="tcp://127.0.0.1:9",
    )  # fmt: skip
    monkeypatch.setattr("dineuro.brain.workers._ANSWERS_S", 0.2)
    engine = Engine(settings)
    try:
        job = begun(engine, data / "brain.ome.zarr")
        with pytest.raises(Exception, match="the server's cluster: no Dask scheduler") as caught:
            run_blocks(engine._dispatcher.task(job), lambda _: None)
        assert "127.0.0.1" not in str(caught.value)
    finally:
        engine.stop(drain=False)


def test_without_dask_one_sentence_says_what_to_install(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dineuro_server.jobs.validation.find_spec", lambda _: None)
    settings = Settings(
        state=tmp_path / "state", min_free_gib=0, devices="cpu", roots=str(data),
        large_voxels=MOST_VOXELS,
    )  # fmt: skip
    engine = Engine(settings)
    try:
        with pytest.raises(MissingDependency, match=r"pip install 'dineuro\[brain\]'"):
            engine.submit_place(JobSpec("trace", "anna"), str(data / "brain.ome.zarr"))
        engine.submit_place(JobSpec("trace", "anna"), str(data / "cell.tif"))
    finally:
        engine.stop(drain=False)


def test_a_link_in_the_place_of_a_folder_is_not_followed(
    data: Path, engine: Engine, tmp_path: Path
) -> None:
    """Whoever may write below the root may not lead the workers elsewhere."""
    from dineuro.brain.store.input import Input

    inner = data / "inner"
    shutil.rmtree(inner, ignore_errors=True)
    shutil.copytree(data / "brain.ome.zarr", inner / "brain.ome.zarr")
    given = Input(str(inner / "brain.ome.zarr"), 0, str(data))
    assert given.source().shape == (1, *SHAPE)
    inner.rename(tmp_path / "elsewhere")
    inner.symlink_to(tmp_path / "elsewhere")
    fresh = Input(str(inner / "brain.ome.zarr"), 0, f"{data}/.")
    with pytest.raises(Exception, match="cannot be read"):
        fresh.source()
    inner.unlink()


def test_the_limit_follows_the_memory_of_a_worker(tmp_path: Path) -> None:
    plain = Settings(state=tmp_path, memory_gib=4, devices="cpu")
    assert plain.most_voxels == 4 * GIB // 40
    assert Settings(state=tmp_path, memory_gib=4000).most_voxels == 2**31
    assert Settings(state=tmp_path, large_voxels=7).most_voxels == 7
    count, memory = Settings(state=tmp_path, memory_gib=7).block_workers
    assert 1 <= count <= 2
    assert memory >= 3 * GIB
    assert plain.runs_folder == tmp_path / "runs"
