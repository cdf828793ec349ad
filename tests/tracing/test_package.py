"""What the package exports, and what importing it loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

import dineuro_tracing


def test_importing_the_package_loads_no_compiled_library() -> None:
    code = "import dineuro_tracing, sys; print(*sorted(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    packages = {name.partition(".")[0] for name in run.stdout.split()}
    assert not packages & {"numba", "scipy", "cc3d", "edt", "torch", "fastapi", "zmq"}


def test_every_exported_name_is_there_and_an_unknown_one_is_not() -> None:
    assert list(dineuro_tracing.__all__) == sorted(dineuro_tracing.__all__)
    for name in dineuro_tracing.__all__:
        assert getattr(dineuro_tracing, name).__name__ == name
        assert name in dir(dineuro_tracing)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dineuro_tracing.nothing
