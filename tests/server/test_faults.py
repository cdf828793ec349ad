"""What a lab's server goes through: kills, a full disk, a second server, owners, shutdown."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil
import pytest

from tests.support.server import FAST, SLOW, Server, job_after, other, slow, small, until


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Server]]:
    """Servers to be closed, whatever happens."""
    servers: list[Server] = []
    yield servers
    for server in servers:
        server.close()


@pytest.fixture
def grid(tmp_path: Path) -> bytes:
    return slow(tmp_path / "grid.tif")


def queued(client: httpx.Client, body: bytes, **params: Any) -> str:
    """The address of a new job."""
    answer = client.post(
        "/v1/trace", params=params, content=body, headers={"Prefer": "respond-async"}
    )
    assert answer.status_code in (200, 202), answer.text
    return answer.headers["location"]


def running(client: httpx.Client, path: str) -> None:
    until(lambda: client.get(path).json()["state"] == "running", 200, "the job to run")


def at_stage(client: httpx.Client, path: str, stage: str) -> None:
    """Wait until a running job has reached a stage."""

    def reached() -> bool:
        progress = client.get(path).json()["progress"]
        return progress is not None and progress["stage"] == stage

    until(reached, 200, f"the stage {stage}")


def dineuro(*words: object) -> subprocess.CompletedProcess[str]:
    command = "from dineuro_cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", command, *map(str, words)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_worker_that_is_killed_is_replaced_the_job_tried_once_more_and_then_given_up(
    tmp_path: Path, servers: list[Server], grid: bytes
) -> None:
    servers.append(server := Server(tmp_path / "state"))
    with server.client() as client:
        job = queued(client, grid, **SLOW)
        behind = queued(client, other(1), **FAST)
        at_stage(client, job, "trace")
        first = server.worker()
        os.kill(first, signal.SIGKILL)
        until(lambda: server.worker() != first, 60, "another worker")
        running(client, job)
        at_stage(client, job, "trace")
        assert client.get(job).json()["attempts"] == 2
        os.kill(server.worker(), signal.SIGKILL)
        lost = job_after(client, job)
        assert lost["state"] == "failed"
        assert lost["error"]["code"] == "worker_lost"
        assert job_after(client, behind)["state"] == "done"
        answer = client.get(f"{job}/swc")
        assert (answer.status_code, answer.json()["code"]) == (500, "worker_lost")
        assert "dineuro_workers_lost_total 2.0" in client.get("/metrics").text


@pytest.mark.slow
def test_after_a_kill_of_the_server_nothing_is_lost(
    tmp_path: Path, servers: list[Server], grid: bytes
) -> None:
    servers.append(server := Server(tmp_path / "state"))
    with server.client() as client:
        done = client.post("/v1/trace", params=FAST, content=other(1))
        job = queued(client, grid, **SLOW)
        waiting = [queued(client, other(n), **FAST) for n in (2, 3)]
        running(client, job)
    worker = psutil.Process(server.worker())
    server.kill()
    worker.wait(30)  # it does not outlive its server
    servers.append(again := Server(tmp_path / "state"))
    with again.client() as client:
        assert client.get(done.headers["location"] + "/swc").content == done.content
        for path in waiting:
            assert job_after(client, path)["state"] == "done"
        ended = job_after(client, job, 200)
        assert ended["state"] == "done"
        assert ended["attempts"] == 2
    assert again.stop() == 0
    assert "Traceback" not in again.log


@pytest.mark.slow
def test_at_shutdown_what_runs_may_end_and_what_waits_is_done_by_the_next_start(
    tmp_path: Path, servers: list[Server], grid: bytes
) -> None:
    servers.append(server := Server(tmp_path / "state", drain_s=0.5))
    with server.client() as client:
        jobs = [queued(client, grid, **SLOW, gap=n) for n in (1, 2)]
        running(client, jobs[0])
    begun = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begun < 30
    with sqlite3.connect(next((tmp_path / "state").glob("*.sqlite*"))) as store:
        states = {row[0] for row in store.execute("select state from jobs")}
    assert states == {"queued"}
    servers.append(again := Server(tmp_path / "state"))
    with again.client() as client:
        for job in jobs:
            record = job_after(client, job, 200)
            assert (record["state"], record["attempts"]) == ("done", 1)


def test_a_second_server_on_one_state_folder_is_refused(
    tmp_path: Path, servers: list[Server]
) -> None:
    servers.append(server := Server(tmp_path / "state"))
    second = dineuro(
        "serve", "--state", tmp_path / "state", "--http", "127.0.0.1:0", "--zmq", "off"
    )
    assert second.returncode == 6
    assert "another server" in second.stderr
    with server.client() as client:
        assert client.get("/livez").status_code == 200


def test_a_disk_that_is_too_full_refuses_uploads_and_goes_on(
    tmp_path: Path, servers: list[Server]
) -> None:
    servers.append(server := Server(tmp_path / "state", min_free_gib=10**6))
    with server.client() as client:
        answer = client.post("/v1/trace", params=FAST, content=small(tmp_path / "a.tif"))
        assert answer.status_code == 507
        assert answer.json()["code"] == "disk_full"
        assert str(tmp_path) not in answer.text
        assert client.get("/livez").status_code == 200
    assert not list((tmp_path / "state" / "spool").iterdir())


def test_queues_and_quotas_are_bounded_and_say_when_to_come_again(
    tmp_path: Path, servers: list[Server], grid: bytes
) -> None:
    servers.append(server := Server(tmp_path / "state", max_queue=2, owner_jobs=3))
    with server.client() as client:
        running(client, queued(client, grid, **SLOW))
        mine = [queued(client, grid, **SLOW, gap=n) for n in (1, 2)]
        full = client.post("/v1/trace", params=FAST, content=other(1))
        assert full.status_code in (429, 503)
        assert int(full.headers["retry-after"]) >= 1
        assert client.request("DELETE", mine[0]).status_code in (200, 202)
        quota = queued(client, grid, **SLOW, gap=3)
        again = client.post("/v1/trace", params=FAST, content=other(1))
        assert again.status_code in (429, 503)
        assert again.json()["code"] in ("quota", "queue_full")
        assert client.get(quota).json()["state"] == "queued"


def test_a_job_over_its_time_or_memory_is_ended_and_the_next_one_done(
    tmp_path: Path, servers: list[Server], grid: bytes
) -> None:
    servers.append(server := Server(tmp_path / "state", memory_gib=0.05))
    with server.client() as client:
        job = job_after(client, queued(client, grid, **SLOW), 100)
        assert (job["state"], job["error"]["code"]) == ("failed", "memory_limit")
    server.stop()
    servers.append(timed := Server(tmp_path / "other"))
    with timed.client() as client:
        job = job_after(client, queued(client, grid, **SLOW, time_limit=0.5), 100)
        assert (job["state"], job["error"]["code"]) == ("failed", "time_limit")
        assert job_after(client, queued(client, other(1), **FAST))["state"] == "done"


@pytest.mark.slow
def test_results_are_swept_after_their_time(tmp_path: Path, servers: list[Server]) -> None:
    servers.append(server := Server(tmp_path / "state", keep_hours=0.0003))
    with server.client() as client:
        job = queued(client, other(1), **FAST)
        until(lambda: client.get(job).status_code == 404, 120, "the sweep")
        until(lambda: not list((tmp_path / "state" / "results").iterdir()), 30, "the files' end")


def test_owners_need_their_tokens_and_see_their_own_jobs_alone(
    tmp_path: Path, servers: list[Server]
) -> None:
    tokens = tmp_path / "tokens"
    own = {
        name: dineuro("keys", "token", name, "--tokens", tokens).stdout.strip()
        for name in ("anna", "ben")
    }
    assert tokens.stat().st_mode & 0o077 == 0
    assert not any(token in tokens.read_text() for token in own.values())
    servers.append(server := Server(tmp_path / "state", tokens=tokens))
    body = other(1)
    with server.client() as client:
        for wrong in ("", "Bearer nonsense", "Basic x"):
            answer = client.post("/v1/trace", content=body, headers={"Authorization": wrong})
            assert answer.status_code == 401
            assert "bearer" in answer.headers["www-authenticate"].lower()
    with server.client(own["anna"]) as anna, server.client(own["ben"]) as ben:
        place = anna.post("/v1/trace", params=FAST, content=body).headers["location"]
        assert anna.get(place).status_code == 200
        for path in (place, f"{place}/swc", f"{place}/events"):
            assert ben.get(path).status_code == 404
        assert ben.get("/v1/jobs").json()["jobs"] == []
        assert ben.request("DELETE", place).status_code == 404
        assert ben.patch(place, json={"name": "mine"}).status_code == 404
        # What another sent is not answered from the store as if it were one's own.
        theirs = ben.post("/v1/trace", params=FAST, content=body)
        assert theirs.headers["x-dineuro-reused"] == "false"
        assert dineuro("keys", "revoke", "ben", "--tokens", tokens).returncode == 0
        assert ben.get("/v1/jobs").status_code == 401


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--http", "0.0.0.0:0"], "needs bearer tokens"),
        (["--zmq", "tcp://0.0.0.0:0"], "needs CURVE keys"),
        (["--zmq", "5599"], "must be tcp://HOST:PORT"),
        (["--http", "here"], "must be HOST:PORT"),
        (["--max-gib", "-1"], "--max-gib"),
    ],
)
def test_a_server_that_would_be_open_or_is_wrongly_told_does_not_start(
    tmp_path: Path, words: list[str], text: str
) -> None:
    refused = dineuro("serve", "--state", tmp_path, *words)
    assert refused.returncode == 3
    assert text in refused.stderr
    assert "Traceback" not in refused.stderr
