"""Neurons as Neuroglancer's skeletons, read back by the format's description alone."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from dineuro.brain.store.skeletons import write_skeletons
from dineuro_bridge.options import DEFAULTS
from dineuro_bridge.scale import VoxelScale
from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.trees.tree import Tree
from tests.brain.conftest import run


def read_skeleton(layer: Path, number: int) -> tuple[Any, Any, Any]:
    """Vertices (N, 3) in nm, edges (M, 2) and radii (N,) of a segment."""
    info = json.loads((layer / "info").read_bytes())
    assert info["@type"] == "neuroglancer_skeletons"
    assert info["transform"] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
    assert info["vertex_attributes"] == [
        {"id": "radius", "data_type": "float32", "num_components": 1}
    ]
    content = (layer / str(number)).read_bytes()
    vertices, edges = struct.unpack_from("<II", content)
    assert len(content) == 8 + 12 * vertices + 8 * edges + 4 * vertices
    places = np.frombuffer(content, "<f4", 3 * vertices, 8).reshape(-1, 3)
    pairs = np.frombuffer(content, "<u4", 2 * edges, 8 + 12 * vertices).reshape(-1, 2)
    radii = np.frombuffer(content, "<f4", vertices, 8 + 12 * vertices + 8 * edges)
    return places, pairs, radii


def test_a_tree_keeps_its_places_its_edges_and_its_radii(tmp_path: Path) -> None:
    xyz = np.array([[0.0, 0, 0], [10, 20, 30], [11, 20, 30], [10, 25, 31]])
    tree = Tree(xyz, np.array([4.0, 1, 1, 2]), np.array([-1, 0, 1, 1]), np.array([1, 3, 3, 3]))
    write_skeletons(tmp_path, [tree], ["a"], VoxelScale((2.0, 0.5, 0.25)))
    places, edges, radii = read_skeleton(tmp_path / "neuroglancer", 1)
    assert np.allclose(places, xyz * [250, 500, 2000])
    assert edges.tolist() == [[1, 0], [2, 1], [3, 1]]
    assert np.allclose(radii, [1000, 250, 250, 500])


def test_the_neurons_of_a_run_have_the_numbers_of_their_files(stored: Path, tmp_path: Path) -> None:
    report = run(stored, tmp_path / "run", DEFAULTS)
    layer = tmp_path / "run" / "neuroglancer"
    assert report["neurons"] >= 1
    names = json.loads((layer / "properties" / "info").read_bytes())["inline"]
    for number in range(1, report["neurons"] + 1):
        tree = read_swc(tmp_path / "run" / "neurons" / f"{number:05d}.swc")
        places, edges, _ = read_skeleton(layer, number)
        assert np.allclose(places, tree.xyz * 500, atol=1)
        assert len(edges) == (tree.parents >= 0).sum()
        assert names["ids"][number - 1] == str(number)
        assert names["properties"][0]["values"][number - 1] == f"neurons/{number:05d}.swc"
    state = json.loads(unquote(report["neuroglancer"].split("#!")[1]))
    assert state == json.loads((layer / "state.json").read_bytes())
    assert state["dimensions"]["x"] == [pytest.approx(5e-7), "m"]
    image, skeletons = state["layers"]
    assert (tmp_path / "run" / image["source"].split("9000/")[1].split("/")[0]).is_dir()
    assert skeletons["segments"] == names["ids"]


def test_fewer_neurons_leave_no_older_ones(tmp_path: Path) -> None:
    tree = Tree(np.zeros((1, 3)), np.ones(1), np.array([-1]), np.array([1]))
    write_skeletons(tmp_path, [tree] * 12, ["a"] * 12, VoxelScale())
    write_skeletons(tmp_path, [tree], ["a"], VoxelScale())
    numbers = [each.name for each in (tmp_path / "neuroglancer").iterdir() if each.name.isdigit()]
    assert numbers == ["1"]
