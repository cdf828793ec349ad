"""What each package imports, measured in a fresh interpreter: a start loads no library too many."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Libraries that compute, and libraries of the server, of the command line and of pictures.
NETWORK = {"torch", "timm", "safetensors", "openvino"}
COMPUTE = {"numba", "scipy", "skimage", "sklearn", "cc3d", "edt"}
WEB = {"fastapi", "uvicorn", "starlette", "pydantic", "prometheus_client"}
TERMINAL = {"typer", "rich"}
PICTURES = {"PIL", "matplotlib"}
ZARR = {"zarr", "numcodecs"}
ALL = NETWORK | COMPUTE | WEB | TERMINAL | PICTURES | ZARR

#: A statement, and the libraries that it must not load.
RULES = {
    "import dineuro": ALL | {"numpy", "tifffile", "zmq"},
    "import dineuro_bridge": ALL,
    "import dineuro_bridge.errors": ALL | {"numpy", "tifffile", "zmq"},
    "import dineuro_model": ALL | {"numpy"},
    "import dineuro_model.inference.segment": ALL,
    "import dineuro_model.inference.registry": ALL,
    "import dineuro_model.enhancers.classical": NETWORK | WEB | TERMINAL | {"sklearn"},
    "import dineuro_tracing": NETWORK | WEB | TERMINAL | PICTURES,
    "import dineuro.pipeline.reconstruct": NETWORK | WEB | TERMINAL | ZARR,
    "import dineuro_server.engine": NETWORK | COMPUTE | ZARR,
    "import dineuro_bridge.volumes.formats": ALL,
    "import dineuro_napari.files": ALL | {"napari", "qtpy", "dineuro"},
    "import dineuro_napari.local": ALL | {"napari", "qtpy", "dineuro"},
    "import dineuro_cli.app": NETWORK
    | COMPUTE
    | WEB
    | PICTURES
    | ZARR
    | {"numpy", "tifffile", "zmq"},
}
#: The library that reads the weights, and OpenVINO without what it says of its user.
OPENVINO_S = (NETWORK - {"safetensors", "openvino"}) | COMPUTE | {"openvino_telemetry"}
HELP = "import sys; sys.argv = ['dineuro', '--help']; from dineuro_cli import main; main()"


def loaded(statement: str) -> set[str]:
    """The top-level packages in `sys.modules` after a statement, which may leave by SystemExit."""
    code = (
        f"import sys\ntry:\n    {statement}\nexcept SystemExit:\n    pass\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stderr.split())


@pytest.mark.parametrize("statement", RULES)
def test_an_import_loads_only_what_its_package_needs(statement: str) -> None:
    packages = loaded(statement)
    assert statement.split()[1].partition(".")[0] in packages
    assert packages & RULES[statement] == set()


def test_the_runtime_without_torch_loads_neither_torch_nor_telemetry() -> None:
    pytest.importorskip("openvino")
    packages = loaded("import dineuro_model.inference.openvino_runtime")
    assert "openvino" in packages
    assert packages & OPENVINO_S == set()


def test_the_help_of_the_command_line_loads_no_library_that_computes() -> None:
    packages = loaded(HELP)
    assert {"dineuro_cli", "typer"} <= packages
    heavy = NETWORK | COMPUTE | WEB | PICTURES | {"numpy", "tifffile", "zmq"}
    assert packages & heavy == set()
