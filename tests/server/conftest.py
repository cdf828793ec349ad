"""A server with tokens for two people, and the ZeroMQ door of an engine with a peer.

Modules that need others define their own.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx2 as httpx
import pytest

from dineuro_server.access.tokens import add_token
from dineuro_server.doors.zeromq.door import Door
from dineuro_server.engine import Engine
from dineuro_server.settings import Settings
from tests.support.peer import LIMITS, Peer
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


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    state = tmp_path_factory.mktemp("state")
    fresh = Engine(Settings(state=state, warm=False, min_free_gib=0, max_gib=0.001, devices="cpu"))
    fresh.start()
    yield fresh
    fresh.stop(drain=False)


@pytest.fixture(scope="module")
def door(engine: Engine) -> Iterator[Door]:
    fresh = Door(engine, "tcp://127.0.0.1:0", limits=LIMITS)
    fresh.start()
    yield fresh
    fresh.close()


@pytest.fixture
def peer(door: Door) -> Iterator[Peer]:
    fresh = Peer(door.address)
    yield fresh
    fresh.close()
