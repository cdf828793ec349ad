"""The plugin in a host that stands in for Vaa3D, against the real server.

`make plugin` builds both; without them these tests are skipped. What comes back is compared with
what the Python client gets from the same server.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from dineuro_bridge import read_markers, read_swc, read_volume, write_volume
from dineuro_bridge.client import Client
from dineuro_bridge.protocol import Message, decode, encode
from dineuro_bridge.trees.swc import parse_swc
from dineuro_bridge.trees.tree import Tree
from dineuro_bridge.volumes.volume import Volume
from dineuro_server.access.curve import make_client_keys
from tests.support.server import Server, job_after, slow
from tests.support.shapes import line, paint

ROOT = Path(__file__).resolve().parents[2]
MENU = ["Enhance && trace…", "Trace without enhancing…", "Server settings…", "About and help"]
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
    """A plugin and its host."""

    name: str

    @property
    def host(self) -> Path:
        return ROOT / "build" / self.name / "tests" / "host"

    @property
    def plugin(self) -> Path:
        found = list((ROOT / "build" / self.name / "vaa3d").glob("libdineuro_*.so"))
        return found[0] if found else Path("not built")


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


@pytest.fixture(scope="module", params=BUILDS)
def build(request: pytest.FixtureRequest) -> Build:
    found = Build(request.param)
    if not found.host.exists():
        pytest.skip("the plugin is not built: make plugin")
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("plugin") / "state", zmq="tcp://127.0.0.1:0")
    yield made
    made.close()
    assert "an error of DINeuro's own" not in made.log


def stack_file(folder: Path, voxels: np.ndarray[Any, Any] = STACK, name: str = "cell") -> Path:
    path = folder / f"{name}.v3draw"
    write_volume(path, Volume(voxels if voxels.ndim == 4 else voxels[None]))
    return path


def asked(server: Server, path: Path, **params: Any) -> Any:
    """The answer to the Python client, for rows as Vaa3D has them in memory."""
    with Client(server.zmq) as client:
        return client.trace(path, row_order="vaa3d", **params)


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


def test_what_vaa3d_is_told_of_the_plugin(build: Build, tmp_path: Path) -> None:
    host = Host(build, tmp_path, [{"menu": MENU[3]}])
    assert host.seen["menus"] == MENU
    assert host.seen["funcs"] == ["enhance_trace", "trace", "help"]
    assert host.seen["version"] == pytest.approx(0.1)
    assert "vaa3d -x dineuro -f help" in host.messages(0)


def test_a_plugin_of_another_qt_is_refused_with_a_reason(build: Build, tmp_path: Path) -> None:
    other = Build("plugin-qt6" if "qt5" in build.plugin.name else "plugin-qt5")
    if not other.plugin.exists():
        pytest.skip("only one Qt is built")
    host = Host(build, tmp_path, [], plugin=other.plugin)
    assert host.done.returncode == 1
    # The first is what Qt 6 says, the second what Qt 5 does.
    assert (
        "incompatible Qt library" in host.done.stderr
        or "Failed to extract plugin meta data" in host.done.stderr
    )


def test_one_click_brings_mask_and_tree(build: Build, server: Server, tmp_path: Path) -> None:
    voxels = STACK.copy()
    voxels[0, 0, 0] = BUILDS.index(
        build.name
    )  # what was traced before would come from the server's store
    path = stack_file(tmp_path, voxels)
    host = Host(build, tmp_path, [{"open": str(path)}, menu(server.zmq)])
    expected = asked(server, path)
    assert len(expected.tree) > 20
    assert np.array_equal(host.window(1).voxels, expected.mask.voxels)
    image, mask = host.seen["windows"]
    assert mask["name"] == "cell.v3draw_mask"
    assert mask["updates"] == 1
    assert image["tree"] == "cell.v3draw_dineuro"
    assert image["pushes"] == 1
    assert image["hashed"]
    same_nodes(without_twins(host.tree(0)), expected.tree)
    assert host.step(1)["hash"] == host.step(0)["hash"], "the user's image was changed"
    saved = tmp_path / "cell_dineuro.swc"
    assert saved.read_text() == expected.swc
    assert (tmp_path / "cell_dineuro_doubts.marker").read_text() == expected.doubts
    said = host.messages()
    assert f"{len(expected.tree)} nodes" in said
    assert "of the length is certain" in said
    assert str(saved) in said
    stages = host.step(1)["stages"]
    assert stages[0] == "Sending the image..."
    assert set(stages) & {"Enhancing...", "Tracing...", "Receiving the results..."}


def test_a_soma_keeps_its_type_where_vaa3d_flattens_segments(
    build: Build, server: Server, tmp_path: Path
) -> None:
    path = stack_file(tmp_path)
    host = Host(build, tmp_path, [{"open": str(path)}, menu(server.zmq)])
    expected = asked(server, path).tree
    assert expected.types[0] == 1
    assert set(expected.types[1:]) == {3}
    drawn = host.tree(0)
    somata = drawn.xyz[drawn.types == 1]
    assert len(somata) >= 1
    assert np.allclose(somata, expected.xyz[0], atol=1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("enhance", [True, False])
def test_samples_of_every_kind(
    build: Build, server: Server, tmp_path: Path, dtype: str, enhance: bool
) -> None:
    path = stack_file(tmp_path, STACK.astype(dtype) * (100 if dtype == "uint16" else 1))
    fields = {"enhancer": "classical"} if enhance else {}
    host = Host(
        build, tmp_path, [{"open": str(path)}, menu(server.zmq, 0 if enhance else 1, fields=fields)]
    )
    expected = asked(server, path, enhancer="classical" if enhance else "none")
    assert np.array_equal(host.window(1).voxels, expected.mask.voxels)
    same_nodes(without_twins(host.tree(0)), expected.tree)


def test_channel_box_and_landmark(build: Build, server: Server, tmp_path: Path) -> None:
    noise = RNG.integers(0, 40, SHAPE).astype(np.uint8)
    path = stack_file(tmp_path, np.stack([noise, STACK, noise]))
    landmark = [c + 1 for c in SOMA]
    host = Host(
        build,
        tmp_path,
        [
            {"open": str(path), "landmarks": [landmark], "cut": [3, 60, 5, 55, 2, 28]},
            menu(server.zmq, fields={"channel": 2, "region": "box", "enhancer": "classical"}),
        ],
    )
    expected = asked(
        server, path, channel=2, roi=[3, 5, 2, 61, 56, 29], root=list(SOMA), enhancer="classical"
    )
    assert expected.report["root"] == "marker"
    assert np.array_equal(host.window(1).voxels, expected.mask.voxels)
    assert host.window(1).voxels.shape == (1, *SHAPE)
    same_nodes(without_twins(host.tree(0)), expected.tree)
    assert np.linalg.norm(host.tree(0).xyz[0] - SOMA) < 3
    assert host.step(1)["hash"] == host.step(0)["hash"]


def test_what_is_wished_is_done_and_no_more(build: Build, server: Server, tmp_path: Path) -> None:
    path = stack_file(tmp_path)
    off = {"mask": False, "overlay": False, "save": False, "enhancer": "classical"}
    host = Host(build, tmp_path, [{"open": str(path)}, menu(server.zmq, fields=off)])
    assert len(host.seen["windows"]) == 1
    assert host.seen["windows"][0]["tree"] == ""
    assert not list(tmp_path.glob("*.swc"))
    assert "nodes" in host.messages()


def test_what_was_chosen_is_remembered(build: Build, server: Server, tmp_path: Path) -> None:
    path = stack_file(tmp_path)
    steps = [
        menu(server.zmq, 2, test=True, fields={"minutes": 7.0}),
        {"open": str(path)},
        {"menu": MENU[0], "fields": {"enhancer": "classical", "mask": False}},
        {"menu": MENU[0], "fields": {"save": False}},
    ]
    host = Host(build, tmp_path, steps)
    assert "networks: dineuro-s1" in host.step(0)["answer"]
    assert "works on: auto" in host.step(0)["answer"]
    assert "waiting jobs: 0" in host.step(0)["answer"]
    assert "nodes" in host.messages(3)
    assert len(host.seen["windows"]) == 1
    remembered = "".join(p.read_text() for p in (tmp_path / "config").rglob("*.conf"))
    assert "minutes=7" in remembered
    assert "show_mask=false" in remembered


def test_leaving_the_dialog_changes_nothing(build: Build, server: Server, tmp_path: Path) -> None:
    path = stack_file(tmp_path)
    host = Host(build, tmp_path, [{"open": str(path)}, menu(server.zmq, press="cancel")])
    assert host.step(1)["messages"] == []
    assert len(host.seen["windows"]) == 1
    assert not (tmp_path / "config").exists()


def test_a_cancel_ends_the_job_at_once(build: Build, server: Server, tmp_path: Path) -> None:
    slow(tmp_path / "slow.v3dpbd")
    path = stack_file(tmp_path, read_volume(tmp_path / "slow.v3dpbd").voxels, "slow")
    fields = {"trees": "all"}
    host = Host(
        build, tmp_path, [{"open": str(path)}, menu(server.zmq, 1, fields=fields, cancel_after=1.5)]
    )
    assert host.step(1)["cancel_seconds"] < 2
    assert host.step(1)["messages"] == []
    assert len(host.seen["windows"]) == 1
    assert not list(tmp_path.glob("*.swc"))
    with server.client() as client:
        newest = client.get("/v1/jobs").json()["jobs"][0]
        assert newest["parameters"]["name"] == "slow.v3draw"
        assert job_after(client, f"/v1/jobs/{newest['id']}", 5)["state"] == "cancelled"


def test_no_image_and_a_landmark_outside(build: Build, server: Server, tmp_path: Path) -> None:
    path = stack_file(tmp_path)
    host = Host(
        build,
        tmp_path,
        [menu(server.zmq), {"open": str(path), "landmarks": [[500, 1, 1]]}, menu(server.zmq)],
    )
    assert host.messages(0) == "Open an image first."
    assert "landmark lies outside the image" in host.messages(2)
    assert not list(tmp_path.glob("*.swc"))


def test_a_folder_that_is_not_there_loses_no_result(
    build: Build, server: Server, tmp_path: Path
) -> None:
    path = stack_file(tmp_path)
    fields = {"swc": str(tmp_path / "nowhere" / "a.swc"), "enhancer": "classical"}
    host = Host(build, tmp_path, [{"open": str(path)}, menu(server.zmq, fields=fields)])
    assert "nowhere/a.swc: cannot be written" in host.messages()
    assert len(host.seen["windows"]) == 2
    assert len(host.tree(0)) > 20


@pytest.mark.slow
def test_a_server_that_is_away(build: Build, tmp_path: Path) -> None:
    path = stack_file(tmp_path)
    steps = [{"open": str(path)}, menu("127.0.0.1:9", test=True)]
    host = Host(build, tmp_path, steps)
    for said in (host.messages(), host.step(1)["answer"]):
        assert "tcp://127.0.0.1:9: does not answer" in said
        assert "dineuro serve" in said
    assert not list(tmp_path.glob("*.swc"))


@pytest.mark.slow
def test_a_server_that_dies_in_the_middle(build: Build, tmp_path: Path) -> None:
    server = Server(tmp_path / "state", zmq="tcp://127.0.0.1:0")
    slow(tmp_path / "slow.v3dpbd")
    path = stack_file(tmp_path, read_volume(tmp_path / "slow.v3dpbd").voxels, "slow")
    killer = threading.Timer(4, server.kill)
    killer.start()
    host = Host(
        build, tmp_path, [{"open": str(path)}, menu(server.zmq, 1, fields={"trees": "all"})]
    )
    killer.join()
    assert f"{server.zmq}: does not answer" in host.messages()
    assert host.step(1)["hash"] == host.step(0)["hash"]
    assert not list(tmp_path.glob("*.swc"))


@pytest.mark.slow
def test_keys(build: Build, tmp_path: Path) -> None:
    keys, others = tmp_path / "keys", tmp_path / "others"
    make_client_keys(keys, "anna")
    make_client_keys(others, "bob")
    server = Server(tmp_path / "state", zmq="tcp://127.0.0.1:0", keys=keys)
    path = stack_file(tmp_path)
    secret, public = str(keys / "anna.key_secret"), str(keys / "server.key")
    base = {"save": False, "enhancer": "classical"}
    steps = [{"open": str(path)}] + [
        menu(server.zmq, fields={**base, "key": key, "server_key": server_key})
        for key, server_key in [
            (secret, public),
            (str(others / "bob.key_secret"), public),
            ("", ""),
            (secret, ""),
            (str(path), public),
        ]
    ]
    host = Host(build, tmp_path, steps)
    server.close()
    assert "nodes" in host.messages(1)
    assert "does not answer, or does not know the key" in host.messages(2)
    assert "does not answer, or requires a key" in host.messages(3)
    assert "give both" in host.messages(4)
    assert "cell.v3draw: contains no public-key" in host.messages(5)


def test_a_server_of_another_version(build: Build, tmp_path: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    door = context.socket(zmq.ROUTER)
    port = door.bind_to_random_port("tcp://127.0.0.1")

    def play() -> None:
        identity, *frames = door.recv_multipart()
        assert decode(frames).header["client"].startswith("dineuro-vaa3d")
        said = {"code": "bad_request", "detail": "this server speaks DNP2, not 1"}
        door.send_multipart([identity, *encode(Message("ERROR", said))])

    player = threading.Thread(target=play)
    player.start()
    path = stack_file(tmp_path)
    host = Host(build, tmp_path, [{"open": str(path)}, menu(f"tcp://127.0.0.1:{port}")])
    player.join()
    door.close(0)
    context.term()
    assert f"tcp://127.0.0.1:{port}: this server speaks DNP2" in host.messages()
    assert "update the older one" in host.messages()


def test_a_volume_that_is_too_large(build: Build, tmp_path: Path) -> None:
    server = Server(tmp_path / "state", zmq="tcp://127.0.0.1:0", max_gib=1e-4)
    path = stack_file(tmp_path)
    host = Host(build, tmp_path, [{"open": str(path)}, menu(server.zmq)])
    server.close()
    assert f"{server.zmq}: the volume has {STACK.size} bytes" in host.messages()
    assert "--max-gib" in host.messages()


def words(server: Server, *more: str) -> list[str]:
    return [f"server={server.zmq}", "enhancer=classical", *more]


def test_the_command_line(build: Build, server: Server, tmp_path: Path) -> None:
    path = stack_file(tmp_path)
    out, mask = tmp_path / "out.swc", tmp_path / "mask.v3draw"
    root = ",".join(map(str, SOMA))
    step = {
        "func": "enhance_trace",
        "in": [str(path)],
        "out": [str(out), str(mask)],
        "p": words(server, f"root={root}", "roi=0,0,0,60,60,30", "min_length=5", "doubts=yes"),
    }
    host = Host(build, tmp_path, [step])
    assert host.step(0)["returned"], host.done.stderr
    expected = asked(
        server, path, enhancer="classical", root=list(SOMA), roi=[0, 0, 0, 60, 60, 30], min_length=5
    )
    assert out.read_text() == expected.swc
    assert np.array_equal(read_volume(mask).voxels, expected.mask.voxels)
    assert (tmp_path / "out_doubts.marker").read_text() == expected.doubts
    assert "nodes" in host.done.stderr


def test_a_marker_file_counts_from_1(build: Build, server: Server, tmp_path: Path) -> None:
    path = stack_file(tmp_path)
    place = tmp_path / "soma.marker"
    place.write_text("##x,y,z\n" + ", ".join(str(c + 1) for c in SOMA) + ",0,1,soma,,255,0,0\n")
    assert read_markers(place)[0].x == SOMA[0]
    step = {"func": "trace", "in": [str(path)], "p": [f"server={server.zmq}", f"marker={place}"]}
    host = Host(build, tmp_path, [step])
    assert host.step(0)["returned"], host.done.stderr
    expected = asked(server, path, enhancer="none", root=list(SOMA))
    assert (tmp_path / "cell_dineuro.swc").read_text() == expected.swc


def test_several_inputs_one_of_them_bad(build: Build, server: Server, tmp_path: Path) -> None:
    good, other = stack_file(tmp_path, name="a"), stack_file(tmp_path, STACK[:, ::-1], "b")
    bad = tmp_path / "bad.v3draw"
    bad.write_bytes(b"no image")
    inputs = [str(p) for p in (good, bad, tmp_path / "none.v3draw", other)]
    step = {"func": "enhance_trace", "in": inputs, "p": words(server, "mask=yes")}
    host = Host(build, tmp_path, [step])
    assert host.step(0)["returned"] is False
    assert "bad.v3draw: Vaa3D cannot read it" in host.done.stderr
    assert "none.v3draw: there is no such file" in host.done.stderr
    written = sorted(p.name for p in tmp_path.glob("*_*") if p.is_file())
    assert written == ["a_dineuro.swc", "a_mask.v3draw", "b_dineuro.swc", "b_mask.v3draw"]
    assert len(read_swc(tmp_path / "b_dineuro.swc")) > 20


def test_junk_is_refused_and_nothing_is_written(
    build: Build, server: Server, tmp_path: Path
) -> None:
    path = str(stack_file(tmp_path))
    good = words(server)
    calls: list[tuple[dict[str, Any], str]] = [
        ({"in": [path], "p": [*good, "[channel=1]"]}, "'[channel=1]': is not a parameter"),
        ({"in": [path], "p": [*good, "threshold=0"]}, "threshold"),
        ({"in": [path], "p": [*good, "channel=3"]}, "channel 3: the image has 1"),
        ({"in": [path], "p": [*good, "root=999,0,0"]}, "root"),
        ({"in": [], "p": good}, "give the image"),
        ({"in": [path, path], "p": good}, "two results have this name"),
        ({"in": [path], "out": ["a.swc", "b.swc"], "p": good}, "one .swc for each input"),
        ({"in": [path], "out": [str(tmp_path / "no" / "a.swc")], "p": good}, "cannot be written"),
        (
            {"in": [path], "out": [str(tmp_path / "a.swc"), str(tmp_path / "no" / "m.v3draw")],
             "p": good},
            "the folder does not exist",
        ),
        ({"in": [path], "p": [*good, "marker=/nowhere"]}, "/nowhere: contains no marker"),
    ]  # fmt: skip
    host = Host(build, tmp_path, [{"func": "enhance_trace", **call} for call, _ in calls])
    for number, (_, why) in enumerate(calls):
        assert host.step(number)["returned"] is False
        assert why in host.done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cell.v3draw", "host", "script.json"]


def test_what_cannot_be_written_whole_is_not_written(
    build: Build, server: Server, tmp_path: Path
) -> None:
    path = stack_file(tmp_path)
    (tmp_path / "a_doubts.marker").mkdir()
    step = {
        "func": "enhance_trace",
        "in": [str(path)],
        "out": [str(tmp_path / "a.swc"), str(tmp_path / "m.v3draw")],
        "p": words(server, "doubts=yes"),
    }
    host = Host(build, tmp_path, [step])
    assert host.step(0)["returned"] is False
    assert "a_doubts.marker: cannot be written" in host.done.stderr
    assert not (tmp_path / "a.swc").exists()
    assert not (tmp_path / "m.v3draw").exists()


def test_help(build: Build, tmp_path: Path) -> None:
    host = Host(build, tmp_path, [{"func": "help"}, {"func": "app2"}])
    assert host.step(0)["returned"] is True
    assert host.step(1)["returned"] is False
    assert "-f enhance_trace -i IMAGE" in host.done.stderr
    assert "server_key=" in host.done.stderr
