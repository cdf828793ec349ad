"""A server with tokens for two people; modules that need another one define their own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2 as httpx
import pytest

from dineuro_server.access.tokens import add_token
from tests.support.server import Server


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    return {"file": str(file), **{name: add_token(file, name) for name in ("anna", "ben")}}


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, tokens: dict[str, str]
) -> Iterator[Server]:  # fmt: skip
    server = Server(tmp_path_factory.mktemp("server") / "state", tokens=tokens["file"])
    yield server
    server.close()
    assert "an error of DINeuro's own" not in server.log


@pytest.fixture
def client(server: Server, tokens: dict[str, str]) -> Iterator[httpx.Client]:
    with server.client(tokens["anna"]) as client:
        yield client
