"""Jobs that name a file by its path: what is read, what is refused, and what is noticed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from dineuro.files.write import run_one
from dineuro_bridge.client import Client
from dineuro_bridge.errors import (
    Conflict,
    DineuroError,
    FileAccess,
    Forbidden,
    LimitExceeded,
    NotFound,
    UnsupportedFormat,
)
from dineuro_bridge.fingerprint import fingerprint_of
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_cli.app import app
from dineuro_server.engine import Engine
from dineuro_server.jobs.places import reopened
from dineuro_server.jobs.records import Job, JobSpec
from dineuro_server.settings import Settings
from tests.support.server import VOXELS, Server, job_after, small, until
from tests.support.tiffs import ome_xml, run_xml, write_described

CLASSICAL = {"enhancer": "classical"}
OUTSIDE = "lies below none of the folders that this server reads"


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two served folders, `data` and `more`, and what lies beside them."""
    ground = tmp_path_factory.mktemp("paths")
    (ground / "data" / "day 1").mkdir(parents=True)
    (ground / "more").mkdir()
    (ground / "beside").mkdir()
    small(ground / "beside" / "secret.tif")
    small(ground / "data" / "day 1" / "cell.tif")
    small(ground / "more" / "cell.v3draw")
    write_volume(ground / "more" / "cell.zarr", Volume(VOXELS[None], spacing=(1.0, 0.5, 0.5)))
    (ground / "data" / "link.tif").symlink_to(ground / "beside" / "secret.tif")
    (ground / "data" / "out").symlink_to(ground / "beside")
    (ground / "data" / "in.tif").symlink_to(ground / "data" / "day 1" / "cell.tif")
    return ground


@pytest.fixture(scope="module")
def server(ground: Path) -> Iterator[Server]:
    roots = f"{ground / 'data'}:{ground / 'more'}"
    made = Server(ground / "data" / "state", zmq="tcp://127.0.0.1:0", max_gib=0.02, roots=roots)
    yield made
    made.close()
    assert "an error of DINeuro's own" not in made.log


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(params=["http", "zmq"])
def door(request: pytest.FixtureRequest, server: Server) -> Iterator[Client]:
    """The Python client of each door."""
    made = Client(server.url if request.param == "http" else server.zmq)
    yield made
    made.close()


def here(path: Path, tmp_path: Path) -> str:
    """The tree that the command line makes of a file."""
    run_one(path, {"swc": tmp_path / "here.swc"}, TraceOptions(**CLASSICAL), lambda _: None)  # type: ignore[arg-type]
    return (tmp_path / "here.swc").read_text()


# What is read


@pytest.mark.parametrize(
    "name", ["data/day 1/cell.tif", "data/in.tif", "more/cell.v3draw", "more/cell.zarr"]
)
def test_both_doors_trace_a_file_where_it_is(
    ground: Path, server: Server, door: Client, tmp_path: Path, name: str
) -> None:
    place = ground / name
    result = door.trace(place, by_path=True, reuse=False, **CLASSICAL)  # type: ignore[arg-type]
    assert result.swc.replace(f"image {place.name}", "image X") == here(place, tmp_path).replace(
        f"image {place.name}", "image X"
    )
    assert str(ground) not in result.swc + json.dumps(result.report)
    blobs = ground / "data" / "state" / "blobs"
    assert not [path for path in blobs.rglob("*") if path.is_file()], "the file was copied"
    assert not list((ground / "data" / "state" / "results").rglob("input*"))


def test_the_record_names_the_path_as_it_was_sent_and_a_retrace_reads_it_again(
    ground: Path, client: httpx.Client
) -> None:
    named = f"{ground}/data/../data/in.tif"
    answer = client.post("/v1/trace", params={"path": named, **CLASSICAL})
    assert answer.status_code == 200, answer.text
    job = client.get(answer.headers["location"]).json()
    assert (job["path"], job["parameters"]["name"]) == (named, "in.tif")
    assert f"image_sha256 {job['input_sha256']}" in answer.text
    again = client.post("/v1/retrace", params={"job": job["id"], "min_length": "20"})
    assert again.status_code == 200, again.text
    assert client.get(again.headers["location"]).json()["path"] == named
    mask = client.post("/v1/retrace", params={"path": named})
    assert mask.status_code == 200, mask.text


def test_an_upload_of_the_same_bytes_answers_a_path_and_the_disk_is_the_upload_s(
    ground: Path, client: httpx.Client
) -> None:
    body = small(ground / "more" / "same.tif")
    query = {**CLASSICAL, "name": "same.tif", "threshold": "99"}
    first = client.post("/v1/trace", params=query, content=body)
    second = client.post("/v1/trace", params=query | {"path": str(ground / "more" / "same.tif")})
    assert first.text == second.text
    assert client.get(second.headers["location"]).json()["reused"]
    assert client.delete(first.headers["location"]).status_code == 200
    blobs = ground / "data" / "state" / "blobs"
    until(lambda: not [path for path in blobs.rglob("*") if path.is_file()], 10, "the input to go")
    assert client.get(second.headers["location"] + "/swc").text == first.text


def test_a_region_of_a_folder_that_is_larger_than_the_limit(ground: Path, door: Client) -> None:
    large = np.zeros((4, 2400, 2400), np.uint8)  # 23 MB, where 21 are allowed
    large[1:3, 40:44, 20:60] = 200
    place = ground / "more" / "large.zarr"
    if not place.exists():
        write_volume(place, Volume(large[None]))
    with pytest.raises(LimitExceeded, match=r"large\.zarr: .*"):
        door.trace(place, by_path=True, **CLASSICAL)  # type: ignore[arg-type]
    roi = (10, 30, 0, 74, 54, 4)
    tree = door.trace(place, by_path=True, roi=roi, reuse=False, **CLASSICAL).tree  # type: ignore[arg-type]
    assert 30 < tree.length < 45
    assert tree.xyz[:, 0].min() >= 19, "in voxels of the whole volume"


def test_send_by_path(ground: Path, server: Server, tmp_path: Path) -> None:
    command = ["send", str(ground / "data" / "day 1"), "-o", str(tmp_path), "--by-path"]
    command += ["--server", server.zmq, "--enhancer", "classical"]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 0, answer.output
    assert (tmp_path / "cell_dineuro.swc").exists()
    refused = CliRunner().invoke(app, [*command[:1], str(ground / "beside"), *command[2:]])
    assert refused.exit_code != 0


# What is refused


def refusal(door: Client, path: Path | str, **more: Any) -> DineuroError:
    with pytest.raises(DineuroError) as caught:
        door.trace(path, by_path=True, **{**CLASSICAL, **more})
    return caught.value


@pytest.mark.parametrize(
    "name",
    [
        "beside/secret.tif", "beside/none.tif", "data/../beside/secret.tif", "data/link.tif",
        "data/out/secret.tif", "data/out/none.tif", "data2/cell.tif", "data/state/jobs.sqlite", "",
    ],
)  # fmt: skip
def test_what_leads_elsewhere_is_refused_with_one_sentence(
    ground: Path, door: Client, name: str
) -> None:
    error = refusal(door, f"{ground}/{name}")
    assert isinstance(error, Forbidden)
    assert OUTSIDE in str(error)


@pytest.mark.parametrize(
    "path",
    [
        "cell.tif", "day 1/cell.tif", "~/cell.tif", "file:///etc/passwd", "", "\0", "/" * 9999,
        "http://127.0.0.1:1/a.zarr", "s3://bucket/a.zarr", "gs://bucket/a.n5",
    ],
)  # fmt: skip
def test_a_path_that_is_not_absolute_is_refused(client: httpx.Client, path: str) -> None:
    answer = client.post("/v1/trace", params={"path": path})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert OUTSIDE in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 500


def test_what_is_not_there_or_no_volume(ground: Path, door: Client) -> None:
    data = ground / "data"
    (data / "text.tif").write_text("no volume at all")
    (data / "empty.tif").touch()
    for name, kind, says in [
        ("none.tif", NotFound, "there is no such file"),
        ("day 1/cell.tif/inner.tif", NotFound, "there is no such file"),
        ("day 1", UnsupportedFormat, "is a folder and no volume"),
        ("text.tif", UnsupportedFormat, "is no volume"),
        ("empty.tif", DineuroError, "is empty"),
    ]:
        error = refusal(door, data / name)
        assert isinstance(error, kind), error
        assert says in str(error)
        assert "/proc/" not in str(error)


def test_a_pipe_is_not_opened(ground: Path, client: httpx.Client) -> None:
    pipe = ground / "data" / "pipe.tif"
    os.mkfifo(pipe)
    answer = client.post("/v1/trace", params={"path": str(pipe)}, timeout=9)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_format")
    with pytest.raises(FileAccess, match="no regular file"):
        fingerprint_of(pipe)


def test_a_folder_with_a_link_in_it_is_refused(ground: Path, door: Client) -> None:
    place = ground / "more" / "linked.zarr"
    if not place.exists():
        shutil.copytree(ground / "more" / "cell.zarr", place)
        (place / "0" / "9").symlink_to(ground / "beside" / "secret.tif")
    error = refusal(door, place)
    assert isinstance(error, UnsupportedFormat)
    assert "holds '9', which is a link" in str(error)


def test_a_file_that_names_another_is_read_as_an_upload_is(
    ground: Path, client: httpx.Client
) -> None:
    """Its own pages alone, although the named file lies below the same root."""
    planes = np.full((6, 8, 9), 77, np.uint8)
    whole, place = ground / "data" / "whole.ome.tif", ground / "data" / "names.ome.tif"
    write_described(whole, planes, ome_xml((6, 8, 9), run_xml(0, 0, 6), uuid="b"))
    runs = run_xml(0, 0, 1, place.name, "a") + run_xml(1, 0, 5, whole.name, "b")
    write_described(place, planes[:1], ome_xml((6, 8, 9), runs, uuid="a"))
    answer = client.post("/v1/trace", params={"path": str(place), **CLASSICAL})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_file")
    assert "promises 6 planes, the file holds 1" in answer.json()["detail"]


def test_a_path_stands_alone(ground: Path, client: httpx.Client) -> None:
    path = str(ground / "data" / "in.tif")
    for query, body in [
        ({"path": path}, b"bytes"),
        ({"path": path, "job": "0" * 32}, b""),
        ({"fingerprint": "0"}, b""),
    ]:
        answer = client.post("/v1/retrace", params=query, content=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), answer.text
    form = client.post("/v1/trace", files={"file": ("a.tif", b"x")}, data={"path": path})
    assert form.status_code == 400
    wrong = client.post("/v1/trace", params={"path": path, "threshold": "999"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "bad_parameter")


def test_a_server_without_roots_reads_no_path(tmp_path: Path) -> None:
    small(tmp_path / "cell.tif")
    server = Server(tmp_path / "state", zmq="tcp://127.0.0.1:0")
    try:
        for address in (server.url, server.zmq):
            with (
                closing(Client(address)) as client,
                pytest.raises(Forbidden, match="reads no files by their path"),
            ):
                client.trace(tmp_path / "cell.tif", by_path=True)
    finally:
        server.close()


def test_a_root_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileAccess, match="correct --root"):
        Engine(Settings(state=tmp_path / "state", roots=str(tmp_path / "none")))


# What is noticed


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Not started: its jobs wait."""
    (tmp_path / "data").mkdir()
    small(tmp_path / "data" / "cell.tif")
    settings = Settings(
        state=tmp_path / "state", warm=False, min_free_gib=0, devices="cpu",
        roots=str(tmp_path / "data"),
    )  # fmt: skip
    fresh = Engine(settings)
    yield fresh
    fresh.stop(drain=False)


def submitted(engine: Engine, path: Path, fingerprint: str | None = None) -> Job:
    return engine.submit_place(
        JobSpec("trace", "anna", parameters={**CLASSICAL}), str(path), fingerprint
    )


def opened(job: Job) -> None:
    assert job.place is not None
    with reopened(job.place, lambda _: None) as path:
        assert path.exists()


def test_a_changed_file_fails_and_an_unchanged_one_does_not(engine: Engine, tmp_path: Path) -> None:
    place = tmp_path / "data" / "cell.tif"
    job = submitted(engine, place)
    opened(job)
    whole, times = place.read_bytes(), place.stat()
    os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    with pytest.raises(Conflict, match="was changed"):
        opened(job)
    place.write_bytes(whole + b"\0")
    with pytest.raises(Conflict, match="was changed after the job was submitted"):
        opened(job)
    # As large and as old as before: its bytes tell.
    place.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(Conflict, match="was changed"):
        opened(job)
    place.unlink()
    with pytest.raises(NotFound):
        opened(job)
    place.symlink_to("/etc/hostname")
    with pytest.raises(NotFound):
        opened(job)


def test_a_folder_that_changes_while_it_is_read_fails(engine: Engine, tmp_path: Path) -> None:
    place = tmp_path / "data" / "cell.zarr"
    write_volume(place, Volume(VOXELS[None]))
    job = submitted(engine, place)
    assert job.place is not None
    with (
        pytest.raises(Conflict, match="was changed"),
        reopened(job.place, lambda _: None) as path,
    ):
        # Somebody puts a link in the place of a folder, and the folder back.
        (place / "0").rename(place / "1")
        (place / "0").symlink_to(tmp_path)
        assert (path / "0").is_symlink()
        (place / "0").unlink()
        (place / "1").rename(place / "0")
    opened(job)


def test_another_file_under_the_same_path_is_noticed(engine: Engine, tmp_path: Path) -> None:
    place = tmp_path / "data" / "cell.tif"
    (tmp_path / "mine.tif").write_bytes(place.read_bytes()[:-1] + b"\7")
    with pytest.raises(Conflict, match="is another file on the server's machine"):
        submitted(engine, place, fingerprint_of(tmp_path / "mine.tif"))
    submitted(engine, place, fingerprint_of(place).upper())


def test_the_state_folder_is_never_served(tmp_path: Path) -> None:
    engine = Engine(
        Settings(state=tmp_path / "state", min_free_gib=0, devices="cpu", roots=str(tmp_path))
    )
    small(tmp_path / "state" / "blobs" / "other.tif")
    with pytest.raises(Forbidden, match=OUTSIDE):
        submitted(engine, tmp_path / "state" / "blobs" / "other.tif")
    engine.stop(drain=False)


def test_no_disk_of_the_owner_is_counted(engine: Engine, tmp_path: Path) -> None:
    submitted(engine, tmp_path / "data" / "cell.tif")
    with engine.spool("ben") as spool:  # another owner has sent the same bytes
        spool.write((tmp_path / "data" / "cell.tif").read_bytes())
        engine.submit(JobSpec("trace", "ben", spool.finish().sha256))
    assert engine.store.usage("ben").nbytes > 0
    assert engine.store.usage("anna").nbytes == 0
    assert engine.store.usage("anna").jobs == 1


def test_a_restart_keeps_the_job(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    small(tmp_path / "data" / "cell.tif")
    query = {"path": str(tmp_path / "data" / "cell.tif"), **CLASSICAL}
    server = Server(tmp_path / "state", roots=tmp_path / "data")
    try:
        with server.client() as client:  # its worker has not started yet
            asked = {"Prefer": "respond-async"}
            job = client.post("/v1/trace", params=query, headers=asked).json()["id"]
        server.kill()
        server = Server(tmp_path / "state", roots=tmp_path / "data")
        with server.client() as client:
            record = job_after(client, f"/v1/jobs/{job}")
        assert (record["state"], record["path"]) == ("done", query["path"])
    finally:
        server.close()


def test_a_root_that_is_gone_after_a_restart_ends_its_jobs(engine: Engine, tmp_path: Path) -> None:
    job = submitted(engine, tmp_path / "data" / "cell.tif")
    assert engine._dispatcher.task(job).place == asdict(job.place)  # type: ignore[arg-type]
    engine.stop(drain=False)
    (tmp_path / "other").mkdir()
    for roots in (tmp_path / "other", ""):
        again = Engine(Settings(state=tmp_path / "state", devices="cpu", roots=str(roots)))
        with pytest.raises(Forbidden, match="is not read by this server any more"):
            again._dispatcher.task(again.store.job(job.id))
        again.stop(drain=False)


# The fingerprint


def test_the_fingerprint_is_that_of_the_documentation(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for size in (0, 1, 2**20, 2**20 + 1, 3_000_001):
        data = rng.bytes(size)
        (tmp_path / "file").write_bytes(data)
        counted = data
        if size > 2**20:
            starts = [i * (size - 65536) // 15 for i in range(16)]
            counted = b"".join(data[at : at + 65536] for at in starts)
        expected = hashlib.sha256(f"{size}\n".encode() + counted).hexdigest()
        assert fingerprint_of(tmp_path / "file") == expected


def test_folders_of_other_contents_have_other_fingerprints(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 1), ("c", 2)):
        voxels = VOXELS.copy()
        voxels[0, 0, 0] = value
        (tmp_path / name).mkdir()
        write_volume(tmp_path / name / "cell.zarr", Volume(voxels[None]))
    a, b, c = (fingerprint_of(tmp_path / name / "cell.zarr") for name in "abc")
    assert a == b != c
