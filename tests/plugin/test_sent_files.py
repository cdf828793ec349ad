"""TIFFs that Vaa3D misreads: the plugin sends the file, as `dineuro trace` takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from dineuro_bridge import read_swc
from dineuro_bridge.client import Client
from tests.support.host import (
    NEURON,
    RNG,
    SHAPE,
    SOMA,
    STACK,
    Build,
    Host,
    menu,
    same_nodes,
    stack_file,
    traced_here,
    without_twins,
)
from tests.support.server import Server

FAST = {"enhancer": "classical", "mask": True}
NOISE = RNG.integers(0, 40, SHAPE).astype(np.uint8)


def imagej(path: Path, voxels: np.ndarray[Any, Any], axes: str = "ZYX", **more: Any) -> Path:
    """A stack as Fiji writes it, with a voxel size."""
    tifffile.imwrite(
        path, voxels, imagej=True, resolution=(1 / 0.25, 1 / 0.25),
        metadata={"axes": axes, "spacing": 1.5, "unit": "um"}, **more,
    )  # fmt: skip
    return path


def traced(server: Server, path: Path, **params: Any) -> Any:
    """What `dineuro trace FILE --server` gives, for rows as Vaa3D has them."""
    with Client(server.zmq) as client:
        return client.trace(path, row_order="vaa3d", enhancer="classical", **params)


def run(build: Build, server: Server, folder: Path, path: Path, **fields: Any) -> Host:
    return Host(build, folder, [{"open": str(path)}, menu(server.zmq, fields={**FAST, **fields})])


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_deep_samples_survive(build: Build, server: Server, tmp_path: Path, dtype: str) -> None:
    voxels = STACK.astype(dtype) * (200 if dtype == "uint16" else np.float32(0.01))
    path = imagej(tmp_path / "cell.tif", voxels.astype(dtype))
    host = run(build, server, tmp_path, path)
    expected = traced(server, path)
    assert "spacing_um_xyz 0.25 0.25 1.5" in expected.swc
    assert (tmp_path / "cell_dineuro.swc").read_text() == expected.swc
    same_nodes(without_twins(host.tree(0)), expected.tree)
    same_nodes(expected.tree, read_swc(traced_here(path)))
    assert np.array_equal(host.window(1).voxels, expected.mask.voxels)
    assert host.seen["windows"][1]["spacing"] == [0.25, 0.25, 1.5]
    assert "The file was sent, not the image in the window. Vaa3D misreads" in host.messages()


def test_channels_survive(build: Build, server: Server, tmp_path: Path) -> None:
    voxels = np.stack([NOISE, STACK], axis=1)
    path = imagej(tmp_path / "cell.tif", voxels, "ZCYX")
    # In the window the slices of both channels alternate, and z counts twice.
    x, y, z = SOMA
    landmark = [x + 1, SHAPE[1] - y, 2 * z + 2]
    steps = [
        {"open": str(path), "landmarks": [landmark], "cut": [0, 79, 0, 59, 4, 55]},
        menu(server.zmq, fields={**FAST, "channel": 2, "region": "box"}),
    ]
    host = Host(build, tmp_path, steps)
    expected = traced(
        server, path, channel=2, root=[x, SHAPE[1] - 1 - y, z], roi=[0, 0, 2, 80, 60, 28]
    )
    assert (tmp_path / "cell_dineuro.swc").read_text() == expected.swc
    assert "spacing_um_xyz 0.25 0.25 1.5" in expected.swc
    drawn = without_twins(host.tree(0))
    assert drawn.xyz[:, 2] == pytest.approx(2 * expected.tree.xyz[:, 2] + 1, abs=1e-3)
    assert drawn.xyz[:, :2] == pytest.approx(expected.tree.xyz[:, :2], abs=1e-3)
    assert host.window(1).voxels.shape == (1, *SHAPE)
    assert "shows the 2 channels of the file as slices" in host.messages()
    root = f"{x},{SHAPE[1] - 1 - y},{z}"
    here = traced_here(path, "--channel", "2", "--root", root, "--roi", "0,0,2,80,60,28")
    same_nodes(expected.tree, read_swc(here))


def test_a_file_of_the_same_voxels_is_sent(build: Build, server: Server, tmp_path: Path) -> None:
    path = imagej(tmp_path / "cell.tif", STACK)
    host = run(build, server, tmp_path, path)
    expected = traced(server, path)
    assert "spacing_um_xyz 0.25 0.25 1.5" in expected.swc
    assert (tmp_path / "cell_dineuro.swc").read_text() == expected.swc
    assert "not the image in the window. The file has the same" in host.messages()


def test_an_image_that_was_changed_is_sent_itself(
    build: Build, server: Server, tmp_path: Path
) -> None:
    path = imagej(tmp_path / "cell.tif", STACK)
    other = imagej(tmp_path / "other.tif", np.maximum(NEURON, 5)[:, ::-1])
    step = {"open": str(other), "named": str(path)}
    host = Host(build, tmp_path, [step, menu(server.zmq, fields=FAST)])
    # What is in memory has no voxel size.
    plain = stack_file(tmp_path, np.maximum(NEURON, 5), "plain")
    same_nodes(without_twins(host.tree(0)), traced(server, plain).tree)
    assert "was sent, not its file. The image was changed" in host.messages()
    assert "spacing_um_xyz unknown" in (tmp_path / "cell_dineuro.swc").read_text()
    # A smaller image, as after a crop.
    smaller = imagej(tmp_path / "small.tif", STACK[:20])
    step = {"open": str(smaller), "named": str(path)}
    host = Host(build, tmp_path, [step, menu(server.zmq, fields=FAST)])
    assert "The image has another size than its file" in host.messages()
    # The user may choose the other one.
    host = Host(build, tmp_path, [step, menu(server.zmq, fields={**FAST, "send": "file"})])
    assert "The file was sent" in host.messages()
    same_nodes(without_twins(host.tree(0)), traced(server, path).tree)


def test_a_compressed_file_is_the_user_s_choice(
    build: Build, server: Server, tmp_path: Path
) -> None:
    path = imagej(tmp_path / "cell.tif", STACK, compression="zlib")
    host = run(build, server, tmp_path, path)
    assert "was sent, not its file. The file is compressed and was not compared" in host.messages()
    plain = stack_file(tmp_path, STACK[:, ::-1], "plain")
    same_nodes(without_twins(host.tree(0)), traced(server, plain).tree)
    host = run(build, server, tmp_path, path, send="file")
    assert (tmp_path / "cell_dineuro_2.swc").read_text() == traced(server, path).swc


def test_white_is_zero(build: Build, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "cell.tif"
    tifffile.imwrite(path, STACK, photometric="miniswhite", metadata=None)
    host = run(build, server, tmp_path, path)
    assert "Vaa3D shows it inverted" in host.messages()
    same_nodes(without_twins(host.tree(0)), traced(server, path).tree)


def test_a_truncated_file_is_named(build: Build, server: Server, tmp_path: Path) -> None:
    whole = tmp_path / "whole.tif"
    tifffile.imwrite(whole, STACK, photometric="minisblack", metadata=None)
    path = tmp_path / "cell.tif"
    path.write_bytes(whole.read_bytes()[: -STACK.nbytes // 2])
    host = run(build, server, tmp_path, path)
    if "error" not in host.step(0):
        assert "cell.tif: " in host.messages()
    assert not list(tmp_path.glob("*.swc"))


def test_the_command_line_sends_files(build: Build, server: Server, tmp_path: Path) -> None:
    deep = imagej(tmp_path / "deep.tif", STACK.astype(np.uint16) * 200)
    pair = imagej(tmp_path / "pair.tif", np.stack([NOISE, STACK], axis=1), "ZCYX")
    colour = tmp_path / "colour.tif"
    tifffile.imwrite(colour, np.zeros((4, 9, 9, 3), np.uint8), photometric="rgb")
    marker = tmp_path / "far.marker"
    marker.write_text("500,1,1\n")
    words = [f"server={server.zmq}", "enhancer=classical"]
    step = {"func": "enhance_trace", "p": words}
    steps = [
        {**step, "in": [str(deep), str(colour)]},
        {**step, "in": [str(pair)], "p": [*words, "channel=2", "mask=yes"]},
        {**step, "in": [str(deep)], "out": ["x.swc"], "p": [*words, f"marker={marker}"]},
    ]
    host = Host(build, tmp_path, steps)
    assert (tmp_path / "deep_dineuro.swc").read_text() == traced(server, deep).swc
    assert (tmp_path / "pair_dineuro.swc").read_text() == traced(server, pair, channel=2).swc
    assert (tmp_path / "pair_mask.v3draw").exists()
    assert "colour.tif: is a colour picture" in host.done.stderr
    assert "far.marker: its first marker lies outside the image" in host.done.stderr
    assert read_swc(tmp_path / "deep_dineuro.swc").xyz.shape[0] > 20
