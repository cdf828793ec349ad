"""The plugin in a host that stands in for Vaa3D, against the real server.

`make plugin` builds both; without them these tests are skipped. What comes back is compared with
what the Python client gets from the same server.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from dineuro_bridge import read_markers, read_swc, read_volume
from dineuro_bridge.protocol import Message, decode, encode
from dineuro_bridge.trees.swc import read_eswc
from dineuro_server.access.curve import make_client_keys
from tests.support.host import (
    BUILDS,
    MENU,
    RNG,
    SHAPE,
    SOMA,
    STACK,
    Build,
    Host,
    asked,
    build_of,
    menu,
    same_nodes,
    stack_file,
    traced_here,
    without_twins,
)
from tests.support.server import Server, job_after, slow


def test_what_vaa3d_is_told_of_the_plugin(build: Build, tmp_path: Path) -> None:
    host = Host(build, tmp_path, [{"menu": MENU[5]}])
    assert host.seen["menus"] == MENU
    assert host.seen["funcs"] == ["enhance_trace", "trace", "help"]
    assert host.seen["version"] == pytest.approx(0.1)
    assert "Vaa3D-x -x dineuro -f help" in host.messages(0)


def test_a_plugin_of_another_branch_of_vaa3d_is_refused(build: Build, tmp_path: Path) -> None:
    path = stack_file(tmp_path)
    steps: list[dict[str, Any]] = [
        {"open": str(path)},
        *({"menu": text} for text in MENU),
        {"func": "help"},
        {"func": "enhance_trace", "in": [str(path)]},
    ]
    for one in (build, build.other_table):
        host = Host(one, tmp_path, steps, plugin=one.other_table.plugin)
        assert host.done.returncode == 0, host.done.stderr
        for number in range(1, len(MENU) + 1):
            assert "was built for another branch of Vaa3D" in host.messages(number)
        assert host.done.stderr.count("was built for another branch of Vaa3D") == 2
        assert [step["returned"] for step in host.seen["steps"][-2:]] == [False, False]


def test_the_other_branch_of_vaa3d(build: Build, server: Server, tmp_path: Path) -> None:
    path = stack_file(tmp_path)
    host = Host(build.other_table, tmp_path, [{"open": str(path)}, menu(server.zmq)])
    expected = asked(server, path)
    assert np.array_equal(host.window(1).voxels, expected.mask.voxels)
    same_nodes(without_twins(host.tree(0)), expected.tree)


def test_a_plugin_of_another_qt_is_refused_with_a_reason(build: Build, tmp_path: Path) -> None:
    others = [one for one in map(build_of, BUILDS) if one.plugin.name != build.plugin.name]
    if not others or not others[0].plugin.exists():
        pytest.skip("only one Qt is built")
    other = others[0]
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
    assert image["colour"] == [0, 0, 0, 0], "Vaa3D would draw it in white, and not by type"
    assert image["file"] == "cell.v3draw_dineuro"
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
    assert "is the window cell.v3draw_mask" in said
    assert host.step(1)["front"] == "cell.v3draw_mask"
    assert "row_order vaa3d" in expected.swc
    assert stages[0] == "Connecting to the server..."
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
    off = {"mask": False, "overlay": "no", "save": False, "enhancer": "classical"}
    host = Host(build, tmp_path, [{"open": str(path)}, menu(server.zmq, fields=off)])
    assert len(host.seen["windows"]) == 1
    assert host.seen["windows"][0]["tree"] == ""
    assert not list(tmp_path.glob("*.swc"))
    assert "nodes" in host.messages()


def test_what_was_chosen_is_remembered(build: Build, server: Server, tmp_path: Path) -> None:
    path = stack_file(tmp_path)
    steps = [
        menu(server.zmq, 4, test=True, fields={"minutes": 7.0}),
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


def test_a_traced_neuron_is_never_replaced_unasked(
    build: Build, server: Server, tmp_path: Path
) -> None:
    path = stack_file(tmp_path)
    hand = [[1, 1, 1], [5, 2, 3], [9, 4, 4]]
    base = {"enhancer": "classical", "mask": False, "save": False}
    nodes = {}
    for chosen in ("add", "replace", "no"):
        fields = {**base, "overlay": chosen}
        steps: list[dict[str, Any]] = [{"open": str(path)}, {"trace": hand}]
        steps.append(menu(server.zmq, fields=fields))
        nodes[chosen] = Host(build, tmp_path, steps).tree(0)
    expected = asked(server, path, enhancer="classical").tree
    assert nodes["no"].xyz.tolist() == hand
    assert nodes["add"].xyz[:3].tolist() == hand
    same_nodes(without_twins(nodes["replace"]), expected)
    assert len(nodes["add"]) == len(nodes["replace"]) + 3
    # Without a choice the manual tracing stays.
    host = Host(
        build, tmp_path, [{"open": str(path)}, {"trace": hand}, menu(server.zmq, fields=base)]
    )
    assert host.tree(0).xyz[:3].tolist() == hand


def test_a_second_run_replaces_the_plugin_s_own_tree(
    build: Build, server: Server, tmp_path: Path
) -> None:
    path = stack_file(tmp_path)
    fields = {"enhancer": "classical", "mask": False, "save": False}
    steps = [{"open": str(path)}, *[menu(server.zmq, fields=fields)] * 2]
    host = Host(build, tmp_path, steps)
    same_nodes(without_twins(host.tree(0)), asked(server, path, enhancer="classical").tree)


def test_the_enhanced_volume_in_front_stands_for_its_image(
    build: Build, server: Server, tmp_path: Path
) -> None:
    path = stack_file(tmp_path)
    fields = {"enhancer": "classical", "mask": True}
    first: list[dict[str, Any]] = [{"open": str(path)}, menu(server.zmq, fields=fields)]
    again = menu(server.zmq, fields={**fields, "mask": False})
    host = Host(build, tmp_path, [*first, again])
    assert host.step(1)["front"] == "cell.v3draw_mask"
    expected = asked(server, path, enhancer="classical")
    assert (tmp_path / "cell_dineuro_2.swc").read_text() == expected.swc
    same_nodes(without_twins(host.tree(0)), expected.tree)
    doubts = tmp_path / "cell_dineuro_3_doubts.marker"
    host = Host(build, tmp_path, [*first, {"menu": MENU[2]}, {"proofread": True, "press": []}])
    assert len(host.step(3).get("places", [])) == len(read_markers(doubts))
    # Without enhancing, the enhanced volume itself is traced.
    bare = menu(server.zmq, 1, fields={"mask": False, "save": False})
    host = Host(build, tmp_path, [*first, bare])
    assert len(host.tree(1)) > 20


def test_the_tree_is_coloured_by_confidence_on_request(
    build: Build, server: Server, tmp_path: Path
) -> None:
    path = stack_file(tmp_path)
    fields = {"enhancer": "classical", "colour": "confidence"}
    host = Host(build, tmp_path, [{"open": str(path)}, menu(server.zmq, fields=fields)])
    answer = asked(server, path, enhancer="classical")
    tree = answer.tree
    grade = tree.types.copy()
    for segment in answer.report["segments"]:
        node = segment["end"] - 1
        while node != segment["start"] - 1:
            sure = segment["confidence"]
            grade[node] = 7 if sure >= 0.9 else 6 if sure >= 0.5 else 2
            node = tree.parents[node]
    drawn = host.tree(0)
    assert set(drawn.types) - {1} == set(grade) - {1}
    assert read_swc(tmp_path / "cell_dineuro.swc").types.tolist() == tree.types.tolist()


def test_grades_are_in_the_drawn_tree_and_in_eswc_files(
    build: Build, server: Server, tmp_path: Path
) -> None:
    path, eswc, other = stack_file(tmp_path), tmp_path / "cell.eswc", tmp_path / "other.eswc"
    fields = {"enhancer": "classical", "swc": str(eswc), "mask": False}
    steps = [
        {"open": str(path)},
        menu(server.zmq, fields=fields),
        {"func": "enhance_trace", "in": [str(path)], "out": [str(other)], "p": words(server)},
    ]
    host = Host(build, tmp_path, steps)
    want = read_eswc(traced_here(path, ending=".eswc"))
    for found in map(read_eswc, (eswc, other)):
        same_nodes(found.tree, want.tree)
        assert list(found.columns) == list(want.columns)
        for name, column in found.columns.items():
            assert column == pytest.approx(want.columns[name], abs=1e-3), name
    # As a reader of ESWC has them: the level, and the confidence as the first feature.
    graded = np.array(host.seen["windows"][0]["grades"])
    assert len(graded) == len(host.tree(0))
    pairs = {(level, round(sure, 3)) for level, sure in graded.tolist()}
    columns = want.columns["level"], want.columns["feature_1"]
    assert pairs == {(level, round(sure, 3)) for level, sure in zip(*columns, strict=True)}
    assert (tmp_path / "cell_doubts.marker").exists()


def test_doubts_that_came_back_as_landmarks_are_no_soma(
    build: Build, server: Server, tmp_path: Path
) -> None:
    path = stack_file(tmp_path)
    doubt, soma = [75, 31, 16, "1 segment"], [c + 1 for c in SOMA]
    fields = {"enhancer": "classical", "mask": False, "save": False}
    steps = [
        {"open": str(path), "landmarks": [doubt]},
        menu(server.zmq, fields={**fields, "root": "auto"}),
        {"open": str(path), "landmarks": [doubt, soma]},
        menu(server.zmq, fields=fields),
    ]
    host = Host(build, tmp_path, steps)
    same_nodes(without_twins(host.tree(0)), asked(server, path, enhancer="classical").tree)
    expected = asked(server, path, enhancer="classical", root=list(SOMA))
    assert np.linalg.norm(host.tree(1).xyz[0] - SOMA) < 3
    same_nodes(without_twins(host.tree(1)), expected.tree)


def test_an_existing_tree_is_replaced_only_after_a_question(
    build: Build, server: Server, tmp_path: Path
) -> None:
    path, swc = stack_file(tmp_path), tmp_path / "mine.swc"
    swc.write_text("mine")
    fields = {"enhancer": "classical", "mask": False, "overlay": "no", "swc": str(swc)}
    steps = [{"open": str(path)}, menu(server.zmq, fields=fields, no=True)]
    host = Host(build, tmp_path, steps)
    assert f"{swc}\n\nReplace it?" in host.messages()
    assert swc.read_text() == "mine"
    host = Host(build, tmp_path, [{"open": str(path)}, menu(server.zmq, fields=fields)])
    assert swc.read_text() == asked(server, path, enhancer="classical").swc
    # The suggested name is a new one.
    (tmp_path / "cell_dineuro.swc").write_text("mine")
    fields.pop("swc")
    host = Host(build, tmp_path, [{"open": str(path)}, menu(server.zmq, fields=fields)])
    assert "Replace" not in host.messages()
    assert (tmp_path / "cell_dineuro.swc").read_text() == "mine"
    assert len(read_swc(tmp_path / "cell_dineuro_2.swc")) > 20


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
    assert "the landmark (500, 1, 1) lies outside the image" in host.messages(2)
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
    assert "bad.v3draw: is no volume" in host.done.stderr
    assert "none.v3draw: there is no such file" in host.done.stderr
    written = sorted(p.name for p in tmp_path.glob("*_*") if p.is_file())
    assert written == ["a_dineuro.swc", "a_mask.v3draw", "b_dineuro.swc", "b_mask.v3draw"]
    assert len(read_swc(tmp_path / "b_dineuro.swc")) > 20


def test_many_files_on_one_command_line(build: Build, server: Server, tmp_path: Path) -> None:
    stack_file(tmp_path, STACK[10:20, 20:40], "original")
    names = [f"s{number:02d}" for number in range(100)]
    for name in names:
        os.link(tmp_path / "original.v3draw", tmp_path / f"{name}.v3draw")
    for missing in ("s03", "s50"):
        (tmp_path / f"{missing}.v3draw").unlink()
    (tmp_path / "s70.v3draw").unlink()
    (tmp_path / "s70.v3draw").write_bytes(b"no image")
    inputs = [str(tmp_path / f"{name}.v3draw") for name in names]
    host = Host(build, tmp_path, [{"func": "enhance_trace", "in": inputs, "p": words(server)}])
    assert host.step(0)["returned"] is False
    errors = [line for line in host.done.stderr.splitlines() if "error" in line]
    assert [(tmp_path / f"{name}.v3draw").name in line for name, line in
            zip(("s03", "s50", "s70"), errors, strict=True)] == [True] * 3  # fmt: skip
    trees = {f"{name}_dineuro.swc" for name in names} - {
        f"s{n}_dineuro.swc" for n in ("03", "50", "70")
    }
    assert len(trees) == 97
    stacks = {path.name for path in tmp_path.glob("*.v3draw")}
    written = {path.name for path in tmp_path.iterdir()} - stacks
    assert written == trees | {"host", "config", "script.json"}
    for error in errors:
        assert error.count(": ") >= 3, "a sentence with its file and its reason"


def test_junk_is_refused_and_nothing_is_written(
    build: Build, server: Server, tmp_path: Path
) -> None:
    path = str(stack_file(tmp_path))
    good = words(server)
    calls: list[tuple[dict[str, Any], str]] = [
        ({"in": [path], "p": [*good, "[channel=1]"]}, "'[channel=1]': is not a parameter"),
        ({"in": [path], "p": [*good, "threshold=0"]}, "threshold"),
        ({"in": [path], "p": [*good, "channel=3"]}, "channel 3"),
        ({"in": [path], "p": [*good, "root=999,0,0"]}, "root"),
        ({"in": [], "p": good}, "give the image"),
        ({"in": [path, path], "p": good}, "two results have this name"),
        ({"in": [path], "out": ["a.swc", "b.swc"], "p": good}, "one .swc or .eswc for each input"),
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
