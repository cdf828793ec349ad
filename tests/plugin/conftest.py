"""Builds of the plugin, and one server for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.host import BUILDS, Build, build_of
from tests.support.server import Server


@pytest.fixture(scope="module", params=BUILDS)
def build(request: pytest.FixtureRequest) -> Build:
    found = build_of(request.param)
    if not found.host.exists():
        pytest.skip("the plugin is not built: make plugin")
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("plugin") / "state", zmq="tcp://127.0.0.1:0")
    yield made
    made.close()
    assert "an error of DINeuro's own" not in made.log
