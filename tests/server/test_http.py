"""The HTTP door of a real server process over real sockets: formats, statuses, streams."""

from __future__ import annotations

import io
import json
import re
import socket
import struct
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx
import numpy as np
import pytest
import tifffile

from dineuro.files.write import run_one
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume
from tests.support.server import (
    FAST,
    SHAPE,
    SLOW,
    VOXELS,
    Server,
    job_after,
    other,
    slow,
    small,
    until,
)
from tests.support.tiffs import ome_xml, run_xml, write_described


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("http") / "state", max_gib=0.02)
    yield server
    server.close()
    assert "an error of DINeuro's own" not in server.log


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small(tmp_path_factory.mktemp("cell") / "cell.tif")


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return slow(tmp_path_factory.mktemp("grid") / "grid.tif")


def check_problem(answer: httpx.Response, server: Server, status: int, code: str) -> str:
    """The answer is that problem, its id is in the log, and it tells nothing of the server."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"urn:dineuro:problem:{code}"
    assert problem["title"]
    assert f"problem {problem['id']}: {status} {code}" in server.log
    for secret in ("Traceback", "/tmp", "spool", "blobs", ".part", "site-packages"):
        assert secret not in answer.text
    return str(problem["detail"])


def done_job(client: httpx.Client, body: bytes, **more: str) -> str:
    answer = client.post("/v1/trace", params=FAST | more, content=body)
    assert answer.status_code == 200, answer.text
    return answer.headers["location"]


# What comes back


def test_a_tiff_comes_back_as_the_tree_that_the_command_line_makes(
    client: httpx.Client, cell: bytes, tmp_path: Path
) -> None:
    answer = client.post("/v1/trace", params=FAST, content=cell)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    (tmp_path / "cell.tif").write_bytes(cell)
    here = {"swc": tmp_path / "here.swc", "mask": tmp_path / "here.v3draw"}
    run_one(tmp_path / "cell.tif", here, TraceOptions(enhancer="classical"), lambda _: None)
    assert answer.text == (tmp_path / "here.swc").read_text()
    mask = client.get(answer.headers["location"] + "/mask.v3draw").content
    assert mask == (tmp_path / "here.v3draw").read_bytes()


@pytest.mark.parametrize("suffix", [".tif", ".v3draw", ".v3dpbd"])
@pytest.mark.parametrize("form", [False, True])
def test_every_format_is_taken_raw_and_as_a_form(
    client: httpx.Client, tmp_path: Path, suffix: str, form: bool
) -> None:
    body = small(tmp_path / f"cell{suffix}")
    if form:
        answer = client.post(
            "/v1/trace",
            files={"file": (f"folder/cell{suffix}", body)},
            data={"enhancer": "classical", "min_length": "4"},
        )
    else:
        query = {"enhancer": "classical", "min_length": "4", "name": f"cell{suffix}"}
        answer = client.post("/v1/trace", params=query, content=body)
    assert answer.status_code == 200, answer.text
    (tmp_path / "t.swc").write_text(answer.text)
    tree = read_swc(tmp_path / "t.swc")
    assert 28 < tree.length < 36
    assert f"image cell{suffix}" in tree.comments
    assert "min_length 4.0" in tree.comments


def test_accept_chooses_what_comes_back(client: httpx.Client, cell: bytes, tmp_path: Path) -> None:
    def post(accept: str) -> httpx.Response:
        return client.post("/v1/trace", params=FAST, content=cell, headers={"Accept": accept})

    tree = post("text/plain").text
    with zipfile.ZipFile(io.BytesIO(post("application/zip, */*;q=0.1").content)) as archive:
        assert set(archive.namelist()) == {
            "cell_dineuro.swc", "cell_mask.v3draw", "cell_report.json", "cell_preview.png",
            "cell_doubts.marker",
        }  # fmt: skip
        assert archive.read("cell_dineuro.swc").decode() == tree
        report = json.loads(archive.read("cell_report.json"))
    assert report == post("application/json").json()
    assert report["input"] == "cell.tif"
    assert report["outputs"]["swc"] == "tree.swc"
    assert post("image/png").content.startswith(b"\x89PNG")
    (tmp_path / "m.tif").write_bytes(post("image/tiff;q=0.9, text/html").content)
    mask = read_volume(tmp_path / "m.tif")
    assert mask.shape == SHAPE
    assert mask.spacing == (1.0, 0.5, 0.5)
    assert set(np.unique(mask.voxels)) == {0, 255}


def test_the_mask_has_the_format_of_suffix_or_accept(
    client: httpx.Client, cell: bytes, tmp_path: Path
) -> None:
    job = done_job(client, cell)
    masks = []
    for suffix, kind in (
        (".v3draw", "application/x-v3draw"),
        (".tif", "image/tiff"),
        (".v3dpbd", "application/x-v3dpbd"),
    ):
        by_suffix = client.get(f"{job}/mask{suffix}")
        by_accept = client.get(f"{job}/mask", headers={"Accept": kind})
        assert by_suffix.content == by_accept.content
        assert by_suffix.headers["content-type"] == kind
        (tmp_path / f"m{suffix}").write_bytes(by_suffix.content)
        masks.append(read_volume(tmp_path / f"m{suffix}").voxels)
    assert masks[0].any()
    assert all(np.array_equal(mask, masks[0]) for mask in masks)


def test_results_lie_at_the_addresses_that_the_job_tells(client: httpx.Client, cell: bytes) -> None:
    job = client.get(done_job(client, cell)).json()
    assert job["state"] == "done"
    assert (job["kind"], job["error"], job["source"]) == ("trace", None, None)
    assert job["parameters"]["name"] == "cell.tif"
    links = job["links"]
    parts = {"swc", "mask", "report", "view", "preview", "doubts", "pieces"}
    assert set(links) == {"self", "events", *parts}
    assert client.get(links["doubts"]).text.startswith("##x,y,z")
    assert client.get(links["swc"]).text.startswith("# DINeuro ")
    assert client.get(links["report"]).json()["nodes"] > 5
    assert client.get(links["preview"]).headers["content-type"] == "image/png"
    assert client.get(links["mask"]).content.startswith(b"raw_image_stack_by_hpeng")
    assert client.get(links["self"]).json() == job
    assert "owner" not in job


def test_a_view_is_for_a_browser(client: httpx.Client, cell: bytes) -> None:
    answer = client.get(done_job(client, cell) + "/view")
    assert answer.headers["content-type"] == "application/x-dineuro-view"
    assert answer.content[:4] == b"DNV1"
    head = np.frombuffer(answer.content, "<i4", 9, 4).reshape(3, 3)
    assert head.tolist() == [list(SHAPE), [1, 1, 1], [0, 0, 0]]
    voxels = np.frombuffer(answer.content, np.uint8, offset=40).reshape(SHAPE)
    mask = client.get(done_job(client, cell) + "/mask.v3draw").content
    assert np.array_equal(voxels & 1, np.frombuffer(mask, np.uint8, offset=43).reshape(SHAPE) >> 7)
    assert voxels[VOXELS > 0].min() > voxels[VOXELS == 0].max()


def test_the_page_asks_nothing_of_anybody_else(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) == 3
    for name in files:
        assert name.startswith("/web/")
        assert client.get(name).status_code == 200
    assert "http" not in page.text.replace("http://www.w3.org", "")
    assert client.get("/web/../settings.py").status_code == 404
    assert client.get("/web/%2e%2e%2fsettings.py").status_code == 404


def test_enhance_gives_the_mask_and_no_tree(client: httpx.Client, cell: bytes) -> None:
    answer = client.post("/v1/enhance", params=FAST, content=cell)
    assert answer.content.startswith(b"raw_image_stack_by_hpeng")
    traced = client.get(done_job(client, cell) + "/mask").content
    assert answer.content == traced
    job = answer.headers["location"]
    report = client.get(f"{job}/report").json()
    assert report["mask_voxels"] == np.count_nonzero(np.frombuffer(traced[43:], np.uint8))
    assert "nodes" not in report
    assert client.get(f"{job}/swc").status_code == 404
    # The tree can be had afterwards.
    tree = client.post("/v1/retrace", params={"job": job.rsplit("/", 1)[1]}).text
    assert _nodes(tree) == _nodes(client.get(done_job(client, cell) + "/swc").text)


def _nodes(swc: str) -> list[str]:
    return [line for line in swc.splitlines() if not line.startswith("#")]


def test_a_mask_is_traced_as_it_is(client: httpx.Client, cell: bytes) -> None:
    job = done_job(client, cell)
    mask = client.get(f"{job}/mask.v3draw").content
    tree = client.post("/v1/retrace", content=mask).text
    assert "enhancer mask" in tree
    assert len(_nodes(tree)) > 10
    zeros_and_ones = mask[:43] + bytes(v // 255 for v in mask[43:])
    assert _nodes(client.post("/v1/retrace", content=zeros_and_ones).text) == _nodes(tree)


def test_a_mask_is_traced_without_an_enhancer_if_that_is_said(
    client: httpx.Client, tmp_path: Path
) -> None:
    """It becomes the tree of the image that it was painted from, and no warning doubts it."""
    write_volume(tmp_path / "mask.tif", Volume((VOXELS > 0).astype(np.uint8)[None] * 255))
    body = (tmp_path / "mask.tif").read_bytes()
    query = {"enhancer": "none", "name": "mask.tif"}
    answer = client.post("/v1/trace", params=query, content=body)
    assert answer.status_code == 200, answer.text
    here = {"swc": tmp_path / "here.swc"}
    run_one(tmp_path / "mask.tif", here, TraceOptions(enhancer="none"), lambda _: None)
    assert answer.text == (tmp_path / "here.swc").read_text()
    assert 28 < read_swc(tmp_path / "here.swc").length < 38  # 32, and the ends' thickness
    warnings = client.get(answer.headers["location"] + "/report").json()["warnings"]
    assert not [text for text in warnings if "two values" in text or "inverted" in text]
    query["enhancer"] = "classical"
    job = client.post("/v1/trace", params=query, content=body).headers["location"]
    warnings = client.get(job + "/report").json()["warnings"]
    assert [text for text in warnings if "a mask is traced as it is with --enhancer none" in text]


def test_a_finished_job_is_traced_again_with_other_parameters(
    client: httpx.Client, cell: bytes, server: Server
) -> None:
    first = done_job(client, cell).rsplit("/", 1)[1]
    same = client.post("/v1/retrace", params={"job": first})
    assert _nodes(same.text) == _nodes(client.get(f"/v1/jobs/{first}/swc").text)
    none = client.post("/v1/retrace", params={"job": first, "min_length": 200})
    assert _nodes(none.text) == []
    assert "image_sha256" in none.text
    assert "enhancer classical" in none.text
    report = client.get(none.headers["location"] + "/report").json()
    assert "enhance" not in report["seconds"]
    refused = client.post("/v1/retrace", params={"job": first, "enhancer": "none"})
    assert "enhancer" in check_problem(refused, server, 422, "bad_parameter")
    absent = client.post("/v1/retrace", params={"job": "0" * 32})
    check_problem(absent, server, 404, "not_found")


# When it comes back


def test_what_cannot_wait_is_answered_with_the_job(client: httpx.Client, tmp_path: Path) -> None:
    for number, how in enumerate(("respond-async", "wait=0", "")):
        query = {**FAST, **({} if how else {"deadline": "0"})}
        answer = client.post(
            "/v1/trace", params=query, content=other(50 + number), headers={"Prefer": how}
        )
        assert answer.status_code == 202
        assert int(answer.headers["retry-after"]) >= 1
        job = answer.headers["location"]
        assert answer.json()["links"]["self"] == job
        if how:
            assert answer.headers["preference-applied"] == how
        assert job_after(client, job)["state"] == "done"
        assert client.get(f"{job}/swc").status_code == 200


def test_the_events_of_a_job_are_told_in_order_and_again_from_any_number(
    client: httpx.Client,
) -> None:
    answer = client.post(
        "/v1/trace", params=FAST, content=other(60), headers={"Prefer": "respond-async"}
    )
    url = answer.headers["location"] + "/events"
    events = _events(client, url, {})
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    states = [data["state"] for _, kind, data in events if kind == "state"]
    assert states == ["queued", "running", "done"]
    stages = [data["stage"] for _, kind, data in events if kind == "progress"]
    assert list(dict.fromkeys(stages)) == ["read", "enhance", "trace", "write"]
    assert _events(client, url, {"Last-Event-ID": "3"}) == events[3:]
    assert _events(client, url, {"Last-Event-ID": str(len(events))}) == []
    assert client.get(url, headers={"Last-Event-ID": "x"}).status_code == 400


def _events(client: httpx.Client, url: str, headers: dict[str, str]) -> list[tuple[int, str, dict]]:  # type: ignore[type-arg]
    with client.stream("GET", url, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = "".join(answer.iter_text())
    events = []
    for block in text.strip().split("\n\n"):
        fields = dict(part.split(": ", 1) for part in block.splitlines() if part[:1] != ":")
        if fields:
            events.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return events


def test_the_same_is_answered_from_the_store_unless_refused(client: httpx.Client) -> None:
    body = other(70)
    first = client.post("/v1/trace", params=FAST, content=body)
    again = client.post("/v1/trace", params=FAST, content=body)
    assert first.headers["x-dineuro-reused"] == "false"
    assert again.headers["x-dineuro-reused"] == "true"
    assert again.text == first.text
    assert again.headers["location"] != first.headers["location"]
    assert client.get(again.headers["location"]).json()["attempts"] == 0
    anew = client.post("/v1/trace", params=FAST | {"reuse": "false"}, content=body)
    assert anew.headers["x-dineuro-reused"] == "false"
    assert anew.text == first.text
    # What was answered from the store lives on its own.
    assert client.delete(first.headers["location"]).status_code == 200
    assert client.get(again.headers["location"] + "/swc").text == first.text


def test_an_idempotency_key_gives_the_same_job(client: httpx.Client, server: Server) -> None:
    key = {"Idempotency-Key": "a-key", "Prefer": "respond-async"}
    first = client.post("/v1/trace", params=FAST, content=other(80), headers=key)
    again = client.post("/v1/trace", params=FAST, content=other(80), headers=key)
    # The second may find the job done, and then has its tree.
    assert again.headers.get("X-DINeuro-Job", first.json()["id"]) == first.json()["id"]
    assert again.status_code == 200 or again.json()["id"] == first.json()["id"]
    else_ = client.post("/v1/trace", params=FAST, content=other(81), headers=key)
    assert "a-key" in check_problem(else_, server, 409, "conflict")


def test_a_running_job_ends_within_a_second_of_its_cancel(
    client: httpx.Client, grid: bytes, server: Server
) -> None:
    answer = client.post(
        "/v1/trace", params=SLOW, content=grid, headers={"Prefer": "respond-async"}
    )
    job = answer.headers["location"]
    until(lambda: (client.get(job).json()["progress"] or {}).get("stage") == "trace", 30, "trace")
    conflict = client.get(f"{job}/swc")
    check_problem(conflict, server, 409, "conflict")
    start = time.monotonic()
    assert client.delete(job).status_code == 202
    ended = job_after(client, job, 10)
    assert time.monotonic() - start < 3  # cancel_s, and what a busy machine takes
    assert (ended["state"], ended["error"]["code"]) == ("cancelled", "cancelled")
    check_problem(client.get(f"{job}/swc"), server, 409, "cancelled")
    # The next job is done, and an ended one can be forgotten.
    assert client.post("/v1/trace", params=FAST, content=other(90)).status_code == 200
    assert client.delete(job).status_code == 200
    check_problem(client.get(job), server, 404, "not_found")


def test_a_waiting_job_is_cancelled_at_once(client: httpx.Client, grid: bytes) -> None:
    wait = {"Prefer": "respond-async"}
    running = client.post("/v1/trace", params=SLOW, content=grid, headers=wait)
    waiting = client.post("/v1/trace", params=FAST, content=other(91), headers=wait)
    assert client.delete(waiting.headers["location"]).json()["state"] == "cancelled"
    client.delete(running.headers["location"])
    assert job_after(client, running.headers["location"])["state"] == "cancelled"


def test_jobs_are_listed_from_the_newest_on(client: httpx.Client) -> None:
    ids = [
        client.post("/v1/trace", params=FAST, content=other(100 + n)).headers["x-dineuro-job"]
        for n in range(3)
    ]
    page = client.get("/v1/jobs", params={"limit": 2}).json()
    assert [job["id"] for job in page["jobs"]] == [ids[2], ids[1]]
    assert client.get(page["next"]).json()["jobs"][0]["id"] == ids[0]
    assert client.get("/v1/jobs", params={"limit": 0}).status_code == 422


def test_a_job_that_has_ended_is_renamed(client: httpx.Client, server: Server, grid: bytes) -> None:
    job = done_job(client, other(110))
    files = {part: client.get(f"{job}/{part}").content for part in ("swc", "report", "preview.png")}
    renamed = client.patch(job, json={"name": "a/b\\Zelle 3 \u03b2\x00\n"})
    assert renamed.status_code == 200
    assert renamed.json()["parameters"] == {
        **client.get(job).json()["parameters"], "name": "Zelle 3 \u03b2",
    }  # fmt: skip
    assert client.get("/v1/jobs", params={"limit": 1}).json()["jobs"][0] == renamed.json()
    for part, content in files.items():
        assert client.get(f"{job}/{part}").content == content
    # The same request is still answered from the store, under its own name.
    again = client.post("/v1/trace", params=FAST, content=other(110))
    assert again.headers["x-dineuro-reused"] == "true"
    assert client.get(again.headers["location"]).json()["parameters"]["name"] == FAST["name"]
    for body, status, code in (
        (b"{", 400, "bad_request"),
        (b'["name"]', 422, "bad_parameter"),
        (b'{"name": 3}', 422, "bad_parameter"),
        (b'{"name": null}', 422, "bad_parameter"),
        (b'{"name": "x", "priority": 1}', 422, "bad_parameter"),
        (b" " * 2**17, 413, "too_large"),
    ):
        check_problem(client.patch(job, content=body), server, status, code)
    wait = {"Prefer": "respond-async"}
    running = client.post("/v1/trace", params=SLOW, content=grid, headers=wait).json()["id"]
    conflict = client.patch(f"/v1/jobs/{running}", json={"name": "late"})
    assert "when it has ended" in check_problem(conflict, server, 409, "conflict")
    client.delete(f"/v1/jobs/{running}")


# What is refused


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"threshold": "300"}, "threshold"),
        ({"threshold": "x"}, "threshold"),
        ({"roi": "0,0,0,9"}, "roi"),
        ({"roi": "9,0,0,3,9,9"}, "roi"),
        ({"spacing": "0,1,1"}, "spacing"),
        ({"root": "nan,1,1"}, "root"),
        ({"nonsense": "1"}, "nonsense"),
        ({"model": "/etc/passwd"}, "model"),
        ({"model": "absent", "enhancer": "auto"}, "model"),
        ({"priority": "11"}, "priority"),
        ({"deadline": "-1"}, "deadline"),
        ({"time_limit": "soon"}, "time_limit"),
        ({"reuse": "perhaps"}, "reuse"),
        ({"channel": "0"}, "channel"),
    ],
)
def test_a_parameter_that_cannot_be_is_named(
    client: httpx.Client, server: Server, cell: bytes, query: dict[str, str], text: str
) -> None:
    answer = client.post("/v1/trace", params=FAST | query, content=cell)
    assert text in check_problem(answer, server, 422, "bad_parameter")


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ({"channel": "3"}, "bad_parameter", "channel 3"),
        ({"roi": "0,0,0,999,2,2"}, "bad_parameter", "region"),
        ({"root": "1000,0,0"}, "bad_parameter", "root"),
    ],
)
def test_what_the_volume_has_not_fails_the_job_with_its_reason(
    client: httpx.Client,
    server: Server,
    cell: bytes,
    query: dict[str, str],
    code: str,
    text: str,
) -> None:
    answer = client.post("/v1/trace", params=FAST | query, content=cell)
    detail = check_problem(answer, server, 422, code)
    assert detail.startswith("cell.tif: ")
    assert text in detail
    job = client.get(f"/v1/jobs/{answer.json()['job']}").json()
    assert job["state"] == "failed"
    assert job["error"] == {"code": code, "detail": detail}


def test_damaged_files_are_refused_by_their_headers(
    client: httpx.Client, server: Server, cell: bytes, tmp_path: Path
) -> None:
    raw = small(tmp_path / "a.v3draw")
    write_volume(tmp_path / "flat.tif", Volume(np.ones((1, 1, 8, 8), np.uint8)))
    flat = (tmp_path / "flat.tif").read_bytes()
    before = set((server.log_path.with_suffix("") / "blobs").rglob("*.*"))
    for body, status, code in (
        (b"", 400, "bad_request"),
        (b"GIF89a" + bytes(100), 415, "unsupported_format"),
        (raw[:-1], 422, "bad_file"),
        (raw[:30], 422, "bad_file"),
        (cell[:600], 422, "bad_file"),
    ):
        answer = client.post("/v1/trace", params=FAST, content=body)
        assert check_problem(answer, server, status, code).startswith("cell.tif: ")
    # A header that is good and a volume that cannot be traced: the job fails.
    answer = client.post("/v1/trace", params=FAST, content=flat)
    assert "2D" in check_problem(answer, server, 422, "bad_volume")
    after = set((server.log_path.with_suffix("") / "blobs").rglob("*.*"))
    assert len(after - before) == 1  # the failed job's


def test_what_is_too_large_is_refused_before_and_while_it_comes(
    client: httpx.Client, server: Server
) -> None:
    most = int(0.02 * 2**30)
    header = other(0)[:27]
    claims = header + np.array([4000, 4000, 4, 1], "<i4").tobytes()
    announced = client.post("/v1/trace", params=FAST, content=bytes(most + 2**20 + 1))
    check_problem(announced, server, 413, "too_large")

    def unannounced() -> Iterator[bytes]:
        yield claims
        for _ in range(most // 2**20 + 3):
            yield bytes(2**20)

    with _raw(server) as sock:
        sock.sendall(
            b"POST /v1/trace HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\n\r\n"
        )
        try:
            for piece in unannounced():
                sock.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            sock.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert b" 413 " in sock.recv(4096).split(b"\r\n")[0]
    until(lambda: not list((server.log_path.with_suffix("") / "spool").iterdir()), 5, "the spool")


def test_a_volume_that_its_packing_hides_is_too_large(
    client: httpx.Client, server: Server, tmp_path: Path
) -> None:
    big = Volume(np.zeros((1, 30, 1000, 1000), np.uint8))
    write_volume(tmp_path / "big.tif", big, compress=True)
    answer = client.post("/v1/trace", params=FAST, content=(tmp_path / "big.tif").read_bytes())
    assert "GiB" in check_problem(answer, server, 413, "too_large")


def test_types_that_are_none_of_ours(client: httpx.Client, server: Server, cell: bytes) -> None:
    post = client.post("/v1/trace", content=cell, headers={"Content-Type": "application/json"})
    check_problem(post, server, 415, "unsupported_format")
    html = client.post("/v1/trace", params=FAST, content=cell, headers={"Accept": "text/html"})
    check_problem(html, server, 406, "not_acceptable")
    job = done_job(client, cell)
    check_problem(
        client.get(f"{job}/mask", headers={"Accept": "text/html"}), server, 406, "not_acceptable"
    )
    check_problem(client.get("/v1/nothing"), server, 404, "not_found")
    check_problem(client.put("/v1/trace"), server, 405, "method_not_allowed")
    check_problem(client.get(f"{job}/mask.gif"), server, 422, "bad_parameter")


def test_forms_that_are_none(client: httpx.Client, server: Server, cell: bytes) -> None:
    two = client.post("/v1/trace", files=[("file", ("a.tif", cell)), ("more", ("b.tif", cell))])
    check_problem(two, server, 400, "bad_request")
    none = client.post("/v1/trace", files={"threshold": (None, "3")})
    check_problem(none, server, 400, "bad_request")
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"no form at all", b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--"):
        check_problem(
            client.post("/v1/trace", content=body, headers=kind), server, 400, "bad_request"
        )
    cut = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + cell
    check_problem(client.post("/v1/trace", content=cut, headers=kind), server, 400, "bad_request")
    check_problem(
        client.post("/v1/trace", content=cell, headers={"Content-Type": "multipart/form-data"}),
        server, 400, "bad_request",
    )  # fmt: skip
    twice = client.post(
        "/v1/trace", params={"threshold": 3}, files={"file": cell}, data={"threshold": "4"}
    )
    check_problem(twice, server, 422, "bad_parameter")


def _raw(server: Server) -> socket.socket:
    place = urlsplit(server.url)
    assert place.hostname is not None
    return socket.create_connection((place.hostname, place.port or 0), timeout=20)


def test_a_client_that_goes_away_in_its_upload_leaves_nothing(
    client: httpx.Client, server: Server
) -> None:
    spool = server.log_path.with_suffix("") / "spool"
    with _raw(server) as sock:
        sock.sendall(
            b"POST /v1/trace HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n"
        )
        sock.sendall(bytes(2**19 + 5))
        until(lambda: len(list(spool.iterdir())) == 1, 10, "the spool")
    until(lambda: not list(spool.iterdir()), 10, "the spool's end")
    assert client.get("/readyz").status_code == 200


def test_half_open_uploads_do_not_keep_others_out(client: httpx.Client, server: Server) -> None:
    half_open = [_raw(server) for _ in range(500)]
    try:
        for sock in half_open:
            sock.sendall(
                b"POST /v1/trace HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\nhalf"
            )
        assert client.post("/v1/trace", params=FAST, content=other(120)).status_code == 200
    finally:
        for sock in half_open:
            sock.close()
    until(lambda: not list((server.log_path.with_suffix("") / "spool").iterdir()), 20, "the spools")


def test_pages_from_elsewhere_may_not_use_a_server_without_tokens(
    client: httpx.Client, server: Server
) -> None:
    check_problem(
        client.get("/v1/jobs", headers={"Host": "evil.example"}), server, 403, "forbidden"
    )
    foreign = {"Origin": "https://evil.example"}
    check_problem(client.get("/v1/jobs", headers=foreign), server, 403, "forbidden")
    assert client.get("/v1/jobs", headers={"Origin": server.url}).status_code == 200
    # Prometheus asks a container by that container's name.
    assert client.get("/metrics", headers={"Host": "server:8000"}).status_code == 200


def test_a_container_s_server_is_for_its_own_machine(tmp_path: Path) -> None:
    """It listens at every address, is asked by this machine's names alone, and takes no tokens."""
    server = Server(tmp_path / "state", http="0.0.0.0:0", local="true", tokens="", keys="")
    try:
        port = server.url.rpartition(":")[2]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            assert client.get("/v1/jobs").status_code == 200
            away = client.get("/v1/jobs", headers={"Host": f"lab.example:{port}"})
            check_problem(away, server, 403, "forbidden")
    finally:
        server.stop()


# Operation


def test_health_models_and_figures(client: httpx.Client, cell: bytes) -> None:
    assert client.get("/livez").json()["status"] == "ok"
    assert client.get("/readyz").json() == {"status": "ok", "detail": "ready"}
    models = client.get("/v1/models").json()["models"]
    assert models[0]["name"] == "dineuro-s1"
    assert [model["default"] for model in models] == [True] + [False] * (len(models) - 1)
    done_job(client, cell, reuse="false")
    client.post("/v1/trace", params=FAST | {"channel": "7"}, content=cell)
    figures = dict(
        line.rsplit(" ", 1)
        for line in client.get("/metrics").text.splitlines()
        if not line.startswith("#")
    )
    name = 'dineuro_jobs_total{code="%s",kind="trace",reused="false",state="%s"}'
    assert float(figures[name % ("", "done")]) >= 1
    assert float(figures[name % ("bad_parameter", "failed")]) >= 1
    assert float(figures['dineuro_stage_seconds_count{stage="trace"}']) >= 1
    assert float(figures["dineuro_voxels_total"]) >= np.prod(SHAPE)
    assert figures["dineuro_ready"] == "1.0"
    assert float(figures["dineuro_worker_memory_bytes"]) > 1e6


def test_the_api_describes_itself_without_a_network(client: httpx.Client) -> None:
    page = client.get("/docs").text
    assert "//cdn" not in page
    assert "https://" not in page
    script = client.get("/static/swagger-ui-bundle.js")
    assert script.status_code == 200
    assert len(script.content) > 100_000
    description = client.get("/openapi.json").json()
    assert set(description["paths"]) >= {
        "/v1/trace", "/v1/enhance", "/v1/retrace", "/v1/jobs", "/v1/jobs/{job_id}",
        "/v1/jobs/{job_id}/events", "/v1/models", "/livez", "/readyz", "/metrics",
    }  # fmt: skip
    trace = description["paths"]["/v1/trace"]["post"]
    assert set(trace["responses"]) == {
        "200", "202", "400", "401", "403", "404", "406", "409", "413", "415", "422", "429",
        "503", "507",
    }  # fmt: skip
    names = {parameter["name"] for parameter in trace["parameters"]}
    assert {"threshold", "roi", "Prefer", "Idempotency-Key"} <= names
    assert "image/tiff" in trace["requestBody"]["content"]


def test_many_clients_at_once_get_what_is_theirs(server: Server) -> None:
    trees: dict[int, str] = {}

    def ask(number: int) -> None:
        with server.client() as client:
            query = FAST | {"name": f"n{number}.v3draw"}
            trees[number] = client.post("/v1/trace", params=query, content=other(number)).text

    threads = [threading.Thread(target=ask, args=(130 + n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, tree in trees.items():
        assert f"image n{number}.v3draw" in tree
    assert len(trees) == 8


def test_an_upload_that_names_a_file_of_the_server_is_refused(
    client: httpx.Client, server: Server, tmp_path: Path
) -> None:
    planes = np.full((6, 8, 9), 77, np.uint8)
    secret, path = tmp_path / "secret.ome.tif", tmp_path / "upload.ome.tif"
    write_described(secret, planes, ome_xml((6, 8, 9), run_xml(0, 0, 6), uuid="b"))
    runs = run_xml(0, 0, 1, "upload.ome.tif", "a") + run_xml(1, 0, 5, str(secret), "b")
    write_described(path, planes[:1], ome_xml((6, 8, 9), runs, uuid="a"))
    answer = client.post("/v1/trace", params=FAST, content=path.read_bytes())
    detail = check_problem(answer, server, 422, "bad_file")
    assert "promises 6 planes, the file holds 1" in detail


def test_a_header_that_loops_is_refused_at_once(client: httpx.Client, server: Server) -> None:
    loop = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 256, 4, 1, 9, 8)
    answer = client.post("/v1/trace", params=FAST, content=loop)
    assert "points back" in check_problem(answer, server, 422, "bad_file")
    assert client.get("/livez").status_code == 200


def test_slices_kept_as_time_are_traced_if_that_is_said(client: httpx.Client, cell: bytes) -> None:
    stack = tifffile.imread(io.BytesIO(cell))
    body = io.BytesIO()
    tifffile.imwrite(body, stack, imagej=True, metadata={"axes": "TYX"})
    answer = client.post("/v1/trace", params=FAST | {"z_axis": "t"}, content=body.getvalue())
    assert answer.status_code == 200, answer.text
    answer = client.post("/v1/trace", params=FAST, content=body.getvalue())
    assert answer.status_code == 422
    assert "z-axis t" in answer.text
