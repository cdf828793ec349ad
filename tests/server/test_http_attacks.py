"""The HTTP door against clients that mean it harm, and the small print of its answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx
import psutil
import pytest

from dineuro_server.access.tokens import TokenFile, add_token
from dineuro_server.doors.http.app import make_app
from dineuro_server.doors.http.service import Service
from dineuro_server.engine import Engine
from dineuro_server.jobs.headers import Checked, HeaderReader
from dineuro_server.ops.logs import TextLines
from dineuro_server.settings import Settings
from tests.support.server import FAST, Server, job_after, other, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("http") / "state", max_gib=0.02)
    yield server
    server.close()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def job(server: Server) -> str:
    """The address of a done job."""
    with server.client() as client:
        wait = {"Prefer": "respond-async"}
        answer = client.post("/v1/trace", params=FAST, content=other(1), headers=wait)
        assert job_after(client, answer.headers["location"], 300)["state"] == "done"
        return answer.headers["location"]


def connection(server: Server) -> socket.socket:
    place = urlsplit(server.url)
    return socket.create_connection((place.hostname or "", place.port or 0), timeout=30)


def answer_to(server: Server, *pieces: bytes, most: int = 10**9) -> bytes:
    """What comes back until the server ends the connection; `most` bytes are sent at most."""
    with connection(server) as sock:
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                sock.sendall(piece)
                sent += len(piece)
                assert sent < most, "the server takes it all"
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := sock.recv(65536):
                received += piece
        return received


GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST /v1/trace HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (GET, b"X-Filler: " + b"x" * 990 + b"\r\n"),
        (GET + b"X-One: ", b"x" * 1000),
        (b"GET /", b"x" * 1000),
        (CHUNKED + b"1\r\nx\r\n0\r\n", b"X-Trailer: " + b"x" * 900 + b"\r\n"),
        (CHUNKED + b"1;", b"extension=" + b"x" * 900),
    ],
    ids=["headers", "value", "path", "trailers", "extension"],
)
def test_a_head_that_does_not_end_is_ended(server: Server, start: bytes, more: bytes) -> None:
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    pieces = (start, *[more * 20] * 2000)  # 40 MB
    answer_to(server, *pieces, most=2**23)
    assert process.memory_info().rss - before < 2**25
    with server.client() as client:
        assert client.get("/livez").status_code == 200


def test_a_connection_without_a_request_is_ended_and_keeps_nobody_out(server: Server) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    silent = [connection(server) for _ in range(1100)]
    try:
        silent[0].sendall(b"GET /livez HTTP/1.1\r\n")
        with server.client() as client:
            start = time.monotonic()
            assert client.get("/livez").status_code == 200
            assert time.monotonic() - start < 5
        silent[-1].settimeout(60)
        with contextlib.suppress(ConnectionResetError):
            assert silent[-1].recv(100) == b""
    finally:
        for sock in silent:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_form_of_empty_fields_is_refused_at_once(client: httpx.Client) -> None:
    field = b'--x\r\nContent-Disposition: form-data; name="a%d"\r\n\r\n\r\n'
    body = b"".join(field % number for number in range(20_000)) + b"--x--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/v1/trace", content=body, headers=kind)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert "parts" in answer.json()["detail"]


@pytest.mark.parametrize("boundary", ["b" * 300, '"', "ü"])
def test_a_boundary_that_is_none_is_refused(client: httpx.Client, boundary: str) -> None:
    kind = {b"Content-Type": f"multipart/form-data; boundary={boundary}".encode()}
    answer = client.post("/v1/trace", content=b"--x--", headers=kind)
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    "headers",
    [{"Host": "[::1"}, {"Host": "[x]"}, {"Origin": "http://["}, {"Origin": "http://[::1"}],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(client: httpx.Client, headers: dict[str, str]) -> None:
    answer = client.get("/v1/jobs", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("part", ["results.zip", "mask.tif"])
@pytest.mark.parametrize("range_", ["bytes=99999999-", "bytes=x", "bytes=0-9", "bytes=0-1,5-6"])
def test_a_range_leaves_no_file_behind(
    client: httpx.Client, server: Server, job: str, part: str, range_: str
) -> None:
    answer = client.get(f"{job}/{part}", headers={"Range": range_})
    assert answer.status_code in (206, 400, 416)
    spool = server.log_path.with_suffix("") / "spool"
    until(lambda: not list(spool.iterdir()), 10, "the temporary file's end")


@pytest.mark.parametrize(
    "path",
    ["/", "/livez", "/readyz", "/metrics", "/docs", "/openapi.json", "/v1/models", "/v1/jobs",
     "{job}", "{job}/swc", "{job}/mask", "{job}/mask.tif", "{job}/results.zip", "{job}/events"],
)  # fmt: skip
def test_head_is_answered_like_get_without_a_body(
    client: httpx.Client, server: Server, job: str, path: str
) -> None:
    get, head = (client.request(m, path.format(job=job)) for m in ("GET", "HEAD"))
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    if path != "/metrics":  # its figures change
        assert head.headers.get("content-length") == get.headers.get("content-length")
    spool = server.log_path.with_suffix("") / "spool"
    until(lambda: not list(spool.iterdir()), 10, "the temporary file's end")
    assert client.head("/v1/jobs/0").status_code == 404
    assert "Traceback" not in server.log


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/metrics", "/v1/models", "/v1/jobs", "{job}", "{job}/swc"]
)
def test_parameters_that_a_route_does_not_have_are_refused(
    client: httpx.Client, job: str, path: str
) -> None:
    answer = client.get(path.format(job=job), params={"bogus": "1"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_parameter")
    assert answer.json()["detail"].startswith("bogus: is no parameter here")
    assert client.delete(job, params={"bogus": "1"}).status_code == 422


def test_jobs_are_listed_by_state_and_kind(client: httpx.Client, job: str) -> None:
    enhanced = client.post("/v1/enhance", params=FAST, content=other(2)).headers["location"]

    def listed(**filters: object) -> list[str]:
        links, url = list[str](), httpx.URL("/v1/jobs", params={"limit": 1, **filters})
        while url is not None:
            page = client.get(url).json()
            links += [record["links"]["self"] for record in page["jobs"]]
            url = page["next"]
        return links

    assert enhanced in listed()
    assert job in listed(kind="trace", state="done")
    assert enhanced not in listed(kind="trace")
    assert listed(state="running") == []
    assert client.get("/v1/jobs", params={"state": "lost"}).status_code == 422


def test_answers_are_private_and_are_what_their_type_says(client: httpx.Client, job: str) -> None:
    for path in ("/v1/jobs", job, f"{job}/swc", f"{job}/results.zip", "/v1/nothing"):
        headers = client.get(path).headers
        assert headers["cache-control"] == "no-store", path
        assert headers["x-content-type-options"] == "nosniff", path
    policy = client.get("/docs").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "sha256-" in policy
    assert "script-src 'self' 'unsafe" not in policy


def test_a_request_is_logged_with_its_route_owner_and_peer(
    client: httpx.Client, server: Server, job: str
) -> None:
    client.get(job)
    client.get("/v1/nowhere%0Adineuro%1b[31m forged")
    assert f"GET {job}: 200" in server.log
    assert "local from 127.0.0.1" in server.log
    assert "\ndineuro" not in server.log
    assert "\x1b" not in server.log
    assert "unknown" not in client.get("/metrics").text


def test_a_line_of_the_log_stays_one_line() -> None:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "a\nb\x1b[0m\r", (), None)
    assert TextLines().format(record).endswith("a\\nb\\x1b[0m\\r")


def test_a_token_file_that_is_broken_tells_clients_nothing(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    token = add_token(tokens, "anna")
    server = Server(tmp_path / "state", tokens=tokens)
    try:
        with server.client(token) as client:
            assert client.get("/v1/jobs").status_code == 200
            assert "dineuro_owner_jobs" not in client.get("/metrics").text
            with server.client(add_token(tokens, "prometheus")) as watcher:
                assert "dineuro_owner_jobs" in watcher.get("/metrics").text
            tokens.write_text("nonsense\n")
            answer = client.get("/v1/jobs")
            assert (answer.status_code, answer.json()["code"]) == (500, "file_access")
            assert str(tmp_path) not in answer.text
            assert "is no token" in server.log
    finally:
        server.close()


def test_a_zip_without_room_is_said_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dineuro_bridge.errors import DiskFull
    from dineuro_server.doors.http.temporary import temporary_file

    def fill(path: Path) -> None:
        with path.open("wb") as file:
            file.write(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(DiskFull), temporary_file(tmp_path, ".zip") as path:
        fill(path)
    assert not list(tmp_path.iterdir())


def test_headers_that_take_long_leave_threads_for_other_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(state=tmp_path / "state", warm=False, min_free_gib=0, devices="cpu")
    engine = Engine(settings)
    checked = threading.Event()

    def slow_check(*_: object) -> Checked:
        assert checked.wait(120)
        return Checked(".v3draw", in_blocks=False)

    monkeypatch.setattr(HeaderReader, "prepare", lambda _: None)
    monkeypatch.setattr(HeaderReader, "check", slow_check)
    spool = engine.store.folder / "spool"
    uploads = 60  # more than the threads of the server's pool

    async def attack() -> None:
        transport = httpx.ASGITransport(make_app(Service(engine, settings, None, lambda: True)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            posts = [
                asyncio.create_task(
                    client.post(
                        "/v1/trace",
                        params=FAST,
                        content=other(number),
                        headers={"Prefer": "respond-async"},
                    )
                )
                for number in range(uploads)
            ]
            try:
                async with asyncio.timeout(30):
                    while sum(1 for part in spool.iterdir() if part.stat().st_size) < uploads:
                        await asyncio.sleep(0.02)
                    assert (await client.get("/v1/jobs")).status_code == 200
            finally:
                checked.set()
                await asyncio.gather(*posts)

    try:
        asyncio.run(attack())
    finally:
        engine.stop(drain=False)


@pytest.mark.parametrize(("pause", "status"), [(0.2, 400), (0.0, 202)])
def test_an_upload_of_a_byte_now_and_then_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause: float, status: int
) -> None:
    monkeypatch.setattr("dineuro_server.doors.http.uploads.GRACE_S", 2.0)
    settings = Settings(state=tmp_path / "state", warm=False, min_free_gib=0, devices="cpu")
    engine = Engine(settings)
    data = other(1)

    async def body() -> AsyncIterator[bytes]:
        for at in range(len(data) // 1000 + 1):
            await asyncio.sleep(pause)
            yield data[1000 * at : 1000 * (at + 1)]

    async def upload() -> httpx.Response:
        transport = httpx.ASGITransport(make_app(Service(engine, settings, None, lambda: True)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post(
                "/v1/trace", params=FAST, content=body(), headers={"Prefer": "respond-async"}
            )

    try:
        # Each pause alone is much shorter than the time without a byte.
        monkeypatch.setattr("dineuro_server.doors.http.uploads.SLOWEST_BYTES_S", 10**5)
        answer = asyncio.run(upload())
        assert answer.status_code == status, answer.text
        if status == 400:
            assert "the upload was abandoned" in answer.text
        assert not list((engine.store.folder / "spool").iterdir())
    finally:
        engine.stop(drain=False)


def test_many_headers_of_one_owner_do_not_keep_another_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each header waits until it is let go, one after the other."""
    settings = Settings(state=tmp_path / "state", warm=False, min_free_gib=0, devices="cpu")
    engine = Engine(settings)
    let_go = threading.Semaphore(0)

    def slow_check(*_: object) -> Checked:
        assert let_go.acquire(timeout=120)
        return Checked(".v3draw", in_blocks=False)

    monkeypatch.setattr(HeaderReader, "prepare", lambda _: None)
    monkeypatch.setattr(HeaderReader, "check", slow_check)
    spool = engine.store.folder / "spool"
    tokens = {name: add_token(tmp_path / "tokens", name) for name in ("anna", "ben")}
    many = 30

    async def attack() -> None:
        app = make_app(
            Service(engine, settings, TokenFile(tmp_path / "tokens", settings), lambda: True)
        )
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:

            async def post(owner: str, number: int) -> int:
                headers = {"Prefer": "respond-async", "Authorization": f"Bearer {tokens[owner]}"}
                answer = await client.post(
                    "/v1/trace", params=FAST, content=other(number), headers=headers
                )
                return answer.status_code

            async def arrived(count: int) -> None:
                async with asyncio.timeout(30):
                    while sum(1 for part in spool.iterdir() if part.stat().st_size) < count:
                        await asyncio.sleep(0.02)

            posts = [asyncio.create_task(post("anna", number)) for number in range(many)]
            try:
                await arrived(many)
                ben = asyncio.create_task(post("ben", many))
                await arrived(many + 1)
                let_go.release(9)  # those that had begun, ben's, and a few more
                async with asyncio.timeout(30):
                    assert await ben == 202
                assert not all(one.done() for one in posts)
            finally:
                let_go.release(2 * many)
                assert await asyncio.gather(*posts) == [202] * many

    try:
        asyncio.run(attack())
    finally:
        engine.stop(drain=False)
