"""The API as it describes itself, with random requests: every answer is one that it describes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from tests.support.server import VOXELS, Server, other

#: Ends that neither volumes come in through nor files go out through.
_JSON = r"^/(livez|readyz|v1/models|v1/jobs|v1/jobs/\{job_id\})$"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("schema") / "state", max_gib=0.01, wait_s=20)
    yield server
    server.close()
    assert "an error of DINeuro's own" not in server.log


@pytest.fixture(scope="module")
def described(server: Server) -> Any:
    with server.client() as client:
        client.post("/v1/trace", params={"enhancer": "none"}, content=other(1))
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def test_every_answer_is_one_that_the_api_describes(described: Any) -> None:
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    requests = []
    for found in described.include(path_regex=_JSON).get_all_operations():
        operation = found.ok()

        @settings(max_examples=40, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            case.call_and_validate(checks=checks)

        ask()
        requests.append(f"{operation.method.upper()} {operation.path}")
    assert len(requests) >= 6


_HEADS = [
    b"",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"raw_image_stack_by_hpeng",
    b"v3d_volume_pkbitdf_encod",
]


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(
    head=st.sampled_from(_HEADS),
    rest=st.binary(max_size=400),
    path=st.sampled_from(["trace", "enhance", "retrace"]),
    query=st.dictionaries(
        st.sampled_from(["channel", "roi", "root", "spacing", "threshold", "name", "gap", "x"]),
        st.text(max_size=12),
        max_size=2,
    ),
)
def test_bytes_that_are_no_volume_are_refused_and_never_an_error_of_the_server(
    server: Server, head: bytes, rest: bytes, path: str, query: dict[str, str]
) -> None:
    answer = httpx.post(f"{server.url}/v1/{path}", params=query, content=head + rest, timeout=60)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


@pytest.mark.slow
def test_five_thousand_bad_inputs_are_refused_and_leave_nothing_behind(
    server: Server, tmp_path: Path
) -> None:
    """Real files cut short and random bytes; beside them the ZeroMQ door gets as many."""
    rng = random.Random(11)
    whole = []
    for suffix in (".tif", ".v3draw", ".v3dpbd"):
        write_volume(tmp_path / f"a{suffix}", Volume(VOXELS[None]))
        whole.append((tmp_path / f"a{suffix}").read_bytes())
    process, grown_from = psutil.Process(server.process.pid), 0
    with server.client() as client:
        for number in range(5000):
            if number == 500:  # what is loaded once is loaded by now
                grown_from = process.memory_info().rss
            file = rng.choice(whole)
            cut = file[
                : rng.randrange(len(file) * 4 // 5)
            ]  # a TIFF ends in what can be done without
            noise = rng.choice(_HEADS) + rng.randbytes(rng.randrange(300))
            path = rng.choice(["trace", "enhance", "retrace"])
            answer = client.post(f"/v1/{path}", content=rng.choice([cut, noise]))
            assert 400 <= answer.status_code < 500, answer.text
        grown = process.memory_info().rss - grown_from
    assert grown < 32 << 20
    assert not list((server.log_path.with_suffix("") / "spool").iterdir())
