"""Slices of a job's volume over HTTP: the right voxels, for their owner, and cheap to keep."""

from __future__ import annotations

import io
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image

from tests.support.server import FAST, SHAPE, VOXELS, Server, small

DEPTH, HEIGHT, WIDTH = SHAPE


@pytest.fixture(scope="module")
def job(
    server: Server, tokens: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> str:  # fmt: skip
    """A job of a region, whose slices show the whole volume."""
    body = small(tmp_path_factory.mktemp("cell") / "cell.tif")
    with server.client(tokens["anna"]) as client:
        answer = client.post("/v1/trace", params=FAST | {"roi": "0,0,0,44,24,16"}, content=body)
    assert answer.status_code == 200, answer.text
    return answer.headers["location"]


def picture(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    image = Image.open(io.BytesIO(answer.content))
    assert image.mode == "L"
    return np.asarray(image)


def test_the_tiles_are_the_planes_of_the_whole_volume(client: httpx.Client, job: str) -> None:
    record = client.get(f"{job}/tiles").json()
    assert record["levels"] == [{"level": 0, "shape": list(SHAPE), "scale": [1, 1, 1]}]
    assert (record["tile"], record["spacing"]) == (512, [1.0, 0.5, 0.5])
    assert (record["low"], record["high"]) == (VOXELS.min(), VOXELS.max())
    white = 255 / (VOXELS.max() - VOXELS.min())
    expected = np.round((VOXELS - float(VOXELS.min())) * white)
    xy = picture(client.get(f"{job}/tiles/0/8/0/0"))
    assert xy.any()
    assert np.array_equal(xy, expected[8])
    xz = picture(client.get(f"{job}/tiles/0/0/12/0", params={"plane": "xz"}))
    assert np.array_equal(xz, expected[:, 12])
    yz = picture(client.get(f"{job}/tiles/0/0/0/20", params={"plane": "yz"}))
    assert np.array_equal(yz, expected[:, :, 20].T)


@pytest.mark.parametrize(
    "address",
    [
        f"0/{DEPTH}/0/0", "0/0/1/0", "0/0/0/1", "1/0/0/0", f"0/0/{HEIGHT}/0?plane=xz",
        f"0/0/0/{WIDTH}?plane=yz", "0/1/0/0?plane=yz", "2147483647/0/0/0",
    ],
)  # fmt: skip
def test_a_tile_that_is_not_there_is_not_found(
    client: httpx.Client, job: str, address: str
) -> None:
    answer = client.get(f"{job}/tiles/{address}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "address",
    ["0/-1/0/0", "0/a/0/0", "0/0/1e9/0", f"0/{2**31}/0/0", "0/0/0/0?plane=zz", "0/0/0/0?q=1"],
)
def test_an_index_that_is_none_is_refused(client: httpx.Client, job: str, address: str) -> None:
    answer = client.get(f"{job}/tiles/{address}")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_parameter")


def test_a_browser_keeps_a_tile_for_ever(client: httpx.Client, job: str) -> None:
    answer = client.get(f"{job}/tiles/0/8/0/0")
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    same = client.get(f"{job}/tiles/0/8/0/0", headers={"If-None-Match": answer.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    other = client.get(f"{job}/tiles/0/9/0/0", headers={"If-None-Match": answer.headers["etag"]})
    assert other.status_code == 200
    head = client.head(f"{job}/tiles/0/8/0/0")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == answer.headers["content-length"]


def test_only_the_owner_sees_slices(server: Server, tokens: dict[str, str], job: str) -> None:
    with server.client(tokens["ben"]) as other, server.client() as nobody:
        for address in ("tiles", "tiles/0/8/0/0"):
            assert other.get(f"{job}/{address}").status_code == 404
            assert nobody.get(f"{job}/{address}").status_code == 401


def test_a_retrace_shares_its_slices_and_keeps_them_longer(
    client: httpx.Client, server: Server, tmp_path: Path
) -> None:
    answer = client.post("/v1/trace", params=FAST, content=small(tmp_path / "cell.tif"))
    first = answer.headers["location"]
    again = client.post(
        "/v1/retrace", params={"job": first.rsplit("/", 1)[1], "min_length": "3"}
    ).headers["location"]
    results = server.log_path.with_suffix("") / "results"
    files = [results / one.rsplit("/", 1)[1] / "slices.u8" for one in (first, again)]
    assert files[0].stat().st_ino == files[1].stat().st_ino
    before = client.get(f"{first}/tiles/0/8/0/0").content
    assert client.delete(first).status_code == 200
    assert client.get(f"{first}/tiles/0/8/0/0").status_code == 404
    assert client.get(f"{again}/tiles/0/8/0/0").content == before


def test_a_job_of_an_earlier_version_has_no_slices(
    client: httpx.Client, server: Server, tmp_path: Path
) -> None:
    params = FAST | {"min_length": "9"}
    answer = client.post("/v1/trace", params=params, content=small(tmp_path / "cell.tif"))
    job = answer.headers["location"]
    (server.log_path.with_suffix("") / "results" / job.rsplit("/", 1)[1] / "slices.u8").unlink()
    for address in ("tiles", "tiles/0/8/0/0"):
        answer = client.get(f"{job}/{address}")
        assert answer.status_code == 404
        assert "an earlier version" in answer.json()["detail"]
