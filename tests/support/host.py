"""The plugin's host, which stands in for Vaa3D; the stack that tests open in it.

`make plugin` builds host and plugin, and `make test-plugin` tests a sanitized build too.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from dineuro_bridge import read_volume, write_volume
from dineuro_bridge.client import Client
from dineuro_bridge.trees.swc import parse_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.volume import Volume
from dineuro_cli.app import app
from tests.support.server import Server
from tests.support.shapes import line, paint

ROOT = Path(__file__).resolve().parents[2]
MENU = [
    "Enhance && trace…", "Trace without enhancing…", "Places to proofread…", "Send corrections…",
    "Server settings…", "About and help",
]  # fmt: skip
SHAPE = (30, 60, 80)
SOMA = (20, 30, 15)
NEURON = np.maximum(
    paint([np.array([SOMA])], SHAPE, 7.0),
    paint([line(SOMA, t) for t in ((75, 30, 15), (5, 8, 6), (60, 55, 24))], SHAPE),
)
RNG = np.random.default_rng(5)
STACK = np.clip(RNG.normal(20, 4, SHAPE) + NEURON * 0.5, 0, 255).astype(np.uint8)


#: Folders under build/.
BUILDS = os.environ.get("DINEURO_PLUGIN_BUILDS", "plugin-qt5 plugin-qt6").split()


@dataclass(frozen=True)
class Build:
    """A plugin and its host.

    Attributes:
        name: the folder under build/.
        table: whose table of functions they share, "plain" of QT6_NEW or "master".
    """

    name: str
    table: str

    @property
    def host(self) -> Path:
        return ROOT / "build" / self.name / "tests" / f"host_{self.table}"

    @property
    def plugin(self) -> Path:
        found = list((ROOT / "build" / self.name / "vaa3d" / self.table).glob("libdineuro_*.so"))
        return found[0] if found else Path("not built")

    @property
    def other_table(self) -> Build:
        """The same Qt with the other table; only Qt 6 has both in the real program."""
        other = Build(self.name, "plain" if self.table == "master" else "master")
        if not other.host.exists():
            pytest.skip(f"{self.name} has one table of functions")
        return other


def build_of(name: str) -> Build:
    """The build in a folder; a few tests take its other table too."""
    master = Build(name, "master")
    return master if master.host.exists() else Build(name, "plain")


class Host:
    """One run of the host for a script; what it saw and made."""

    def __init__(
        self, build: Build, folder: Path, steps: list[dict[str, Any]], plugin: Path | None = None
    ) -> None:
        self.out = folder / "host"
        self.out.mkdir(exist_ok=True)
        script = folder / "script.json"
        script.write_text(json.dumps(steps))
        environment = os.environ | {
            "QT_QPA_PLATFORM": "offscreen",
            "XDG_CONFIG_HOME": str(folder / "config"),
            "ASAN_OPTIONS": "detect_leaks=0",  # Qt and fontconfig keep theirs until the end
        }
        self.done = subprocess.run(
            [build.host, plugin or build.plugin, script, self.out],
            env=environment, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        self.seen: dict[str, Any] = {}
        if self.done.returncode == 0:
            self.seen = json.loads((self.out / "seen.json").read_text())

    def step(self, number: int) -> dict[str, Any]:
        step: dict[str, Any] = self.seen["steps"][number]
        return step

    def messages(self, number: int = 1) -> str:
        return "\n".join(self.step(number)["messages"])

    def window(self, number: int) -> Volume:
        return read_volume(self.out / f"{number}.v3draw")

    def tree(self, number: int) -> Tree:
        return parse_swc((self.out / f"{number}.swc").read_text(), "host")


def stack_file(folder: Path, voxels: np.ndarray[Any, Any] = STACK, name: str = "cell") -> Path:
    path = folder / f"{name}.v3draw"
    write_volume(path, Volume(voxels if voxels.ndim == 4 else voxels[None]))
    return path


def asked(server: Server, path: Path, **params: Any) -> Any:
    """The answer to the Python client, for rows as Vaa3D has them in memory."""
    with Client(server.zmq) as client:
        return client.trace(path, row_order="vaa3d", **params)


def traced_here(path: Path, *options: str, ending: str = ".swc") -> Path:
    """The tree that `dineuro trace FILE` writes, for rows as Vaa3D has them."""
    tree = path.with_name(f"{path.stem}_here{ending}")
    line = ["trace", str(path), "-o", str(tree), "--enhancer", "classical", *options]
    done = CliRunner().invoke(app, [*line, "--row-order", "vaa3d"])
    assert done.exit_code == 0, done.output
    return tree


def without_twins(tree: Tree) -> Tree:
    """The tree without the second node at a place, where its type changes."""
    twin = np.zeros(len(tree), dtype=bool)
    linked = tree.parents >= 0
    twin[linked] = tree.link_lengths[linked] == 0
    up = np.arange(len(tree))
    for node in np.flatnonzero(twin):
        up[node] = up[tree.parents[node]]
    new = np.cumsum(~twin) - 1
    kept = np.flatnonzero(~twin)
    parents = [-1 if tree.parents[n] < 0 else new[up[tree.parents[n]]] for n in kept]
    return Tree(tree.xyz[kept], tree.radii[kept], np.array(parents), tree.types[kept])


def same_nodes(found: Tree, expected: Tree) -> None:
    assert len(found) == len(expected)
    assert found.xyz == pytest.approx(expected.xyz, abs=1e-4)
    assert found.radii == pytest.approx(expected.radii, abs=1e-4)
    assert np.array_equal(found.parents, expected.parents)


def menu(server: str, number: int = 0, **more: Any) -> dict[str, Any]:
    return {"menu": MENU[number], "fields": {"server": server, **more.pop("fields", {})}, **more}
