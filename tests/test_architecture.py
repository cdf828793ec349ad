"""The rules that ARCHITECTURE.md states of packages, modules and functions.

All imports count: those at the top of a module, those inside functions, and those for types only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.server import ROOT

FOLDERS = ("server", "model", "tracing", "vaa3d_bridge")
#: The packages that each package may import.
PACKAGES = {
    "dineuro_bridge": set(),
    "dineuro_tracing": {"dineuro_bridge"},
    "dineuro_model": {"dineuro_bridge"},
    "dineuro": {"dineuro_bridge", "dineuro_tracing", "dineuro_model"},
    "dineuro_server": {"dineuro_bridge", "dineuro_tracing", "dineuro_model", "dineuro"},
    "dineuro_cli": {
        "dineuro_bridge", "dineuro_tracing", "dineuro_model", "dineuro", "dineuro_server",
    },
    "dineuro_napari": {"dineuro_bridge"},
}  # fmt: skip
#: What a package imports besides, in these of its modules: a run on this machine needs the tracer.
LAZY = {"dineuro_napari.local": {"dineuro"}}
#: The rooms of the server that each of its rooms may import.
ROOMS = {
    "settings": set(),
    "jobs": {"settings"},
    "ops": {"settings", "jobs"},
    "access": {"settings", "jobs"},
    "workers": {"settings", "jobs", "ops"},
    "engine": {"settings", "jobs", "ops", "workers"},
    "doors": {"settings", "jobs", "ops", "workers", "access", "engine"},
    "serve": {"settings", "jobs", "ops", "workers", "access", "engine", "doors"},
}
#: Modules that may import torch or a library that loads it.
TORCH_ROOMS = (
    "dineuro_model.network",
    "dineuro_model.training",
    "dineuro_model.inference.torch_runtime",
)
#: Modules of these rooms that every runtime needs.
WITHOUT_TORCH = {"dineuro_model.network.config", "dineuro_model.network.stored"}
TORCH = {"torch", "torchvision", "timm"}
MODULE_LINES = 400
#: Of a body with its docstring. The signature is a table: a command's lists all its options.
FUNCTION_LINES = 50


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the packages: its dotted name and its tree."""
    trees = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).glob("dineuro*/**/*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            trees[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return trees


def imports(tree: ast.AST, names: set[str] | None = None) -> Iterator[str]:
    """Yield the dotted name of each module that a tree imports.

    Args:
        tree: of one module.
        names: the modules of the project; `from package import name` is `package.name` for these.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide an arrow"
            assert node.module is not None
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & (names or set())
            yield from inner or {node.module}


@cache
def arrows() -> dict[str, set[str]]:
    """The modules of the project that each of its modules imports."""
    names = set(modules())
    return {
        name: {target for target in imports(tree, names) if target.split(".")[0] in PACKAGES}
        for name, tree in modules().items()
    }


def room(module: str) -> str | None:
    """The room of the server that a module lies in; None outside the server and for its top."""
    parts = module.split(".")
    return parts[1] if parts[0] == "dineuro_server" and len(parts) > 1 else None


def test_packages_import_only_those_below() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, targets in arrows().items()
        for target in targets
        if (source := name.split(".")[0]) != (package := target.split(".")[0])
        and package not in PACKAGES[source] | LAZY.get(name, set())
    ]
    assert not wrong


def test_rooms_of_the_server_import_only_those_below() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, targets in arrows().items()
        for target in targets
        if (source := room(name)) and (other := room(target)) and source != other
        and other not in ROOMS[source]
    ]  # fmt: skip
    assert not wrong


def test_the_doors_do_not_know_each_other() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, targets in arrows().items()
        for target in targets
        if name.startswith("dineuro_server.doors.") and target.startswith("dineuro_server.doors.")
        and name.split(".")[2] != target.split(".")[2]
    ]  # fmt: skip
    assert not wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(arrows()).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_only_the_network_its_training_and_its_runtime_import_torch() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, tree in modules().items()
        for target in imports(tree)
        if target.split(".")[0] in TORCH
        and (not name.startswith(TORCH_ROOMS) or name in WITHOUT_TORCH)
    ]
    assert not wrong
    assert set(modules()) >= WITHOUT_TORCH


def test_openvino_is_imported_in_one_place_which_leaves_out_its_telemetry() -> None:
    importers = {
        name
        for name, tree in modules().items()
        if any(target.split(".")[0] == "openvino" for target in imports(tree))
    }
    assert importers == {"dineuro_model.graph.library"}


def test_the_napari_plugin_needs_qt_in_one_room_and_the_tracer_in_one_function() -> None:
    """What is not Qt's is tested without it, and a thin client lacks the tracer."""
    inside = {name: tree for name, tree in modules().items() if name.startswith("dineuro_napari")}
    qt = {name for name, tree in inside.items() if any("qtpy" in each for each in imports(tree))}
    assert qt == {name for name in inside if name.startswith("dineuro_napari.qt.")}
    assert not [name for name, tree in inside.items() if "napari" in set(imports(tree))]
    top = [node for node in inside["dineuro_napari.local"].body if isinstance(node, ast.ImportFrom)]
    assert not [node for node in top if str(node.module).split(".")[0] == "dineuro"]


def test_no_module_is_long() -> None:
    suffixes = {".py", ".ts", ".cpp", ".h"}
    paths = [
        path
        for folder in (*FOLDERS, "benchmarks", "examples", "release")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes and "node_modules" not in path.parts
    ]
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > MODULE_LINES} == {}


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines from the first statement of a function, its docstring included, to the last."""
    assert function.end_lineno is not None
    return function.end_lineno - function.body[0].lineno + 1


def test_no_function_is_long() -> None:
    long = {
        f"{name}.{node.name}": body_lines(node)
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and body_lines(node) > FUNCTION_LINES
    }
    assert long == {}


def test_the_top_of_the_server_has_eight_entries() -> None:
    top = {name.split(".")[1] for name in modules() if room(name)}
    assert top <= set(ROOMS)
    assert len(top) <= 8


def test_no_test_sleeps_a_fixed_time() -> None:
    """A sleep is allowed where it paces a loop that waits for an event."""
    wrong = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        loops = (node for node in ast.walk(tree) if isinstance(node, ast.While))
        paced = {id(node) for loop in loops for node in ast.walk(loop)}
        wrong += [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep"
            and id(node) not in paced
        ]  # fmt: skip
    assert not wrong


# The rules themselves notice what they forbid.


def test_an_import_inside_a_function_and_one_for_types_count() -> None:
    source = (
        "def f():\n    import a.b\nif TYPE_CHECKING:\n    from c import d, e\nfrom g import h\n"
    )
    assert sorted(imports(ast.parse(source), {"c.d"})) == ["a.b", "c.d", "g"]


def test_the_lines_of_a_body_leave_out_the_signature() -> None:
    function = ast.parse('def f(\n    a,\n    b,\n):\n    """Text."""\n    return a\n').body[0]
    assert isinstance(function, ast.FunctionDef)
    assert body_lines(function) == 2


def test_every_package_is_looked_at() -> None:
    assert {name.split(".")[0] for name in modules()} == set(PACKAGES)
    assert {room(name) for name in modules()} - {None} == set(ROOMS)
    assert all(Path(ROOT / folder).is_dir() for folder in FOLDERS)
