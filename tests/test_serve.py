"""The real server process over real sockets: doors, statuses, cancel, restart, owners."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dineuro_bridge import read_swc, read_volume, write_swc, write_volume
from dineuro_bridge.volume import Volume
from dineuro_server.pipeline import Request, reconstruct

from .shapes import line, paint

SHAPE = (30, 50, 90)
VOXELS = paint([line((8, 25, 15), (82, 25, 15))], SHAPE)
#: Long enough for a cancel and a kill to come in the middle of it, whatever the machine.
SLOW = (400, 400, 400)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """One `dineuro serve` on a port of its own."""

    state: Path
    words: list[str] = field(default_factory=list)
    token: str | None = None
    zmq: str = "off"

    def start(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = "import sys; from dineuro_server.cli import main; sys.exit(main())"
        self.process = subprocess.Popen(
            [sys.executable, "-c", command, "serve", "--http", f"127.0.0.1:{self.port}",
             "--zmq", self.zmq, "--state", str(self.state), "--cold", "--wait-s", "200",
             *self.words],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "DINEURO_MIN_FREE_GIB": "0"},
        )  # fmt: skip
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                if self.get("/livez").status == 200:
                    return
            except OSError:
                assert self.process.poll() is None, self.process.stderr.read()  # type: ignore[union-attr]
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        _, self.log = self.process.communicate(timeout=60)
        return self.process.returncode

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            named.setdefault("Authorization", f"Bearer {self.token}")
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", body, named, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=200) as answer:
                return Answer(answer.status, _lower(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _lower(error.headers), error.read())

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, **headers)

    def post(self, path: str, body: bytes = b"", **headers: str) -> Answer:
        return self.ask("POST", path, body, **headers)

    def ended(self, job: str) -> dict[str, Any]:
        """The job's record once it has ended."""
        until = time.monotonic() + 200
        while time.monotonic() < until:
            record: dict[str, Any] = self.get(f"/v1/jobs/{job}").json()
            if record["state"] not in ("queued", "running"):
                return record
            time.sleep(0.1)
        raise AssertionError(f"{record}")


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def stack(folder: Path, suffix: str, voxels: np.ndarray = VOXELS) -> bytes:
    path = folder / f"a{suffix}"
    write_volume(path, Volume(voxels[None]))
    return path.read_bytes()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("state"))
    one.start()
    yield one
    one.stop()


@pytest.mark.parametrize("suffix", [".tif", ".v3draw", ".v3dpbd"])
def test_a_volume_posted_comes_back_as_the_tree_that_the_pipeline_makes(
    server: Server, tmp_path: Path, suffix: str
) -> None:
    answer = server.post("/v1/trace?enhancer=none", stack(tmp_path, suffix))
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    (tmp_path / "t.swc").write_bytes(answer.body)
    tree = read_swc(tmp_path / "t.swc")
    local = reconstruct(Volume(VOXELS[None]), Request(enhancer="none")).tree
    assert np.allclose(tree.xyz, local.xyz, atol=1e-3)
    assert np.array_equal(tree.parents, local.parents)


def test_a_zip_holds_tree_mask_and_report(server: Server, tmp_path: Path) -> None:
    answer = server.post(
        "/v1/trace?enhancer=none", stack(tmp_path, ".tif"), Accept="application/zip"
    )
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        names = {Path(name).suffix: name for name in archive.namelist()}
        (tmp_path / "m.v3draw").write_bytes(archive.read(names[".v3draw"]))
        report = json.loads(archive.read(names[".json"]))
    mask = read_volume(tmp_path / "m.v3draw").channel(1)
    assert np.array_equal(mask > 0, VOXELS > 0)
    assert report["trees"] == 1


def test_a_form_is_taken_and_a_job_s_results_can_be_had_one_by_one(
    server: Server, tmp_path: Path
) -> None:
    boundary = "xxBOUNDARYxx"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="enhancer"\r\n\r\nnone\r\n'.encode(),
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="n.tif"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode(),
        stack(tmp_path, ".tif"),
        f"\r\n--{boundary}--\r\n".encode(),
    ]
    answer = server.post(
        "/v1/trace?reuse=false", b"".join(parts),
        Content_Type=f"multipart/form-data; boundary={boundary}", Prefer="respond-async",
    )  # fmt: skip
    assert answer.status == 202
    place = answer.headers["location"]
    record = server.ended(place.rsplit("/", 1)[1])
    assert (record["state"], record["parameters"]["name"]) == ("done", "n.tif")
    for ending, kind in (
        ("swc", "text/plain"), ("mask.tif", "image/tiff"), ("mask.v3draw", "application/"),
        ("report", "application/json"), ("preview.png", "image/png"),
    ):  # fmt: skip
        one = server.get(f"{place}/{ending}")
        assert one.status == 200, ending
        assert one.headers["content-type"].startswith(kind)
    events = server.get(f"{place}/events").body.decode()
    numbers = [int(row[3:]) for row in events.splitlines() if row.startswith("id:")]
    assert numbers == sorted(numbers)
    assert '"done"' in events
    later = server.get(f"{place}/events", Last_Event_ID=str(numbers[-2])).body.decode()
    assert [row for row in later.splitlines() if row.startswith("id:")] == [f"id: {numbers[-1]}"]
    again = server.post(f"/v1/retrace?job={record['id']}&min_length=500")
    assert again.status == 200
    assert not [row for row in again.body.decode().splitlines() if not row.startswith("#")]
    assert server.ask("DELETE", place).status in (200, 204)
    assert server.get(place).status == 404


def test_the_same_again_is_answered_from_the_store_unless_that_is_refused(
    server: Server, tmp_path: Path
) -> None:
    body = stack(tmp_path, ".v3draw")
    first = server.post("/v1/trace?enhancer=none&min_length=7", body)
    second = server.post("/v1/trace?enhancer=none&min_length=7", body)
    anew = server.post("/v1/trace?enhancer=none&min_length=7&reuse=false", body)
    assert first.body == second.body == anew.body
    reused = [server.get(a.headers["location"]).json()["reused"] for a in (first, second, anew)]
    assert reused == [False, True, False]
    key = {"Idempotency_Key": "k1", "Prefer": "respond-async"}
    jobs = [server.post("/v1/trace?enhancer=none&gap=3", body, **key).json()["id"] for _ in "ab"]
    assert jobs[0] == jobs[1]
    assert server.post("/v1/trace?enhancer=none&gap=4", body, **key).status == 409


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "said"),
    [
        ("/v1/trace", b"no volume at all", {}, 415, "by its first bytes"),
        ("/v1/trace", b"", {}, 400, ""),
        ("/v1/trace?enhancer=magic", None, {}, 422, "enhancer"),
        ("/v1/trace?treshold=3", None, {}, 422, "treshold"),
        ("/v1/trace?gap=nan", None, {}, 422, "gap"),
        ("/v1/trace?model=/etc/passwd", None, {}, 422, "not installed"),
        ("/v1/trace?channel=9&enhancer=none", None, {}, 422, "channel 9"),
        ("/v1/trace", None, {"Accept": "text/html"}, 406, ""),
        ("/v1/trace", b"x", {"Content-Type": "text/csv"}, 415, ""),
        ("/v1/retrace?job=nope", b"", {}, 404, "nope"),
        ("/v1/nothing", b"", {}, 404, ""),
    ],
)
def test_what_is_wrong_is_a_problem_with_a_reason_and_an_id(
    server: Server, tmp_path: Path, path: str, body: bytes | None, headers: dict[str, str],
    status: int, said: str,
) -> None:  # fmt: skip
    sent = stack(tmp_path, ".v3draw") if body is None else body
    answer = server.post(path, sent, **headers)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["id"]
    assert said in problem["detail"]
    for secret in ("Traceback", str(server.state), ".py"):
        assert secret not in answer.body.decode()


def test_a_damaged_volume_is_told_and_an_oversized_one_never_read(
    server: Server, tmp_path: Path
) -> None:
    assert server.post("/v1/trace?enhancer=none", stack(tmp_path, ".v3draw")[:-9]).status == 422
    large = bytearray(stack(tmp_path, ".v3draw"))
    large[27:39] = np.array([60000, 60000, 60000], "<i4").tobytes()
    assert server.post("/v1/trace?enhancer=none", bytes(large)).status in (413, 422)


def test_health_models_figures_and_the_api_s_page(server: Server) -> None:
    assert server.get("/readyz").status in (200, 503)
    models = server.get("/v1/models").json()["models"]
    assert [m["default"] for m in models] == [True]
    assert b"dineuro_jobs_total" in server.get("/metrics").body
    page = server.get("/docs").body.decode()
    assert "http://" not in page
    assert "https://" not in page
    paths = server.get("/openapi.json").json()["paths"]
    assert {"/v1/trace", "/v1/enhance", "/v1/retrace", "/v1/jobs/{job_id}"} <= set(paths)


def test_a_running_and_a_waiting_job_can_be_cancelled(server: Server, tmp_path: Path) -> None:
    slow = stack(tmp_path, ".v3draw", np.zeros(SLOW, np.uint8) + np.arange(400, dtype=np.uint8))
    running, waiting = (
        server.post(f"/v1/trace?enhancer=classical&gap={n}", slow, Prefer="respond-async").json()
        for n in (1, 2)
    )
    for job in (waiting, running):
        assert server.ask("DELETE", f"/v1/jobs/{job['id']}").status in (200, 202, 204)
    for job in (waiting, running):
        record = server.get(f"/v1/jobs/{job['id']}")
        assert record.status == 404 or server.ended(job["id"])["state"] == "cancelled"
    # The server goes on.
    assert server.post("/v1/trace?enhancer=none&gap=9", stack(tmp_path, ".tif")).status == 200


def test_after_a_kill_what_waited_is_done_and_what_was_done_is_there(tmp_path: Path) -> None:
    server = Server(tmp_path / "state")
    server.start()
    body = stack(tmp_path, ".tif")
    done = server.post("/v1/trace?enhancer=none", body)
    slow = stack(tmp_path, ".v3draw", np.tile(VOXELS, (4, 4, 2)))
    waiting = [
        server.post(f"/v1/trace?enhancer=classical&gap={n}", slow, Prefer="respond-async").json()
        for n in range(3)
    ]
    server.process.kill()
    server.process.communicate()
    server.start()
    assert server.get(f"{done.headers['location']}/swc").body == done.body
    assert {server.ended(job["id"])["state"] for job in waiting} == {"done"}
    assert server.stop() == 0
    assert "Traceback" not in server.log


def test_owners_need_their_tokens_and_see_their_own_jobs_alone(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    command = "import sys; from dineuro_server.cli import main; sys.exit(main())"
    made = {
        name: subprocess.run(
            [sys.executable, "-c", command, "keys", "token", name, "--tokens", str(tokens)],
            capture_output=True, text=True, check=True,
        ).stdout.strip()
        for name in ("anna", "ben")
    }  # fmt: skip
    assert not any(token in tokens.read_text() for token in made.values())
    server = Server(tmp_path / "state", ["--tokens", str(tokens)])
    server.start()
    body = stack(tmp_path, ".tif")
    for wrong in ("", "Bearer nonsense", "Basic x"):
        answer = server.post("/v1/trace", body, Authorization=wrong)
        assert answer.status == 401
        assert "bearer" in answer.headers["www-authenticate"].lower()
    server.token = made["anna"]
    place = server.post("/v1/trace?enhancer=none", body).headers["location"]
    assert server.get(place).status == 200
    server.token = made["ben"]
    for path in (place, f"{place}/swc", f"{place}/events"):
        assert server.get(path).status == 404
    assert server.get("/v1/jobs").json()["jobs"] == []
    assert server.ask("DELETE", place).status == 404
    server.stop()


def test_a_door_to_others_without_tokens_is_refused(tmp_path: Path) -> None:
    command = "import sys; from dineuro_server.cli import main; sys.exit(main())"
    refused = subprocess.run(
        [sys.executable, "-c", command, "serve", "--http", "0.0.0.0:0", "--state", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 3
    assert "needs bearer tokens" in refused.stderr


def test_a_mask_can_be_traced_again_by_itself(server: Server, tmp_path: Path) -> None:
    answer = server.post("/v1/retrace", stack(tmp_path, ".v3draw"))
    assert answer.status == 200
    (tmp_path / "m.swc").write_bytes(answer.body)
    tree = read_swc(tmp_path / "m.swc")
    assert tree.length == pytest.approx(74, abs=4)
    write_swc(tmp_path / "again.swc", tree)
