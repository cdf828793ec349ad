"""What napari opens and saves through the plugin, and what its manifest names."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dineuro_bridge.errors import BadTree, BadVolume, UnsupportedFormat
from dineuro_bridge.trees.swc import read_swc, write_swc
from dineuro_bridge.volumes.formats import read_volume, write_volume
from dineuro_bridge.volumes.volume import Volume
from dineuro_napari import files
from dineuro_napari.layers import tree_layer
from tests.napari.stacks import FORK, small_tree
from tests.support.server import ROOT

MANIFEST = ROOT / "vaa3d_bridge/dineuro_napari/napari.yaml"


def read(path: Path, of: Any) -> Any:
    reader = of(str(path))
    assert reader is not None
    return reader(str(path))


@pytest.mark.parametrize("suffix", [".swc", ".eswc"])
def test_a_tree_is_saved_and_read_again(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cell{suffix}"
    data, arguments, _ = tree_layer(small_tree(), confidence={2: 0.25, 3: 0.5})
    assert files.write_tree(str(path), data, arguments) == [str(path)]
    ((back, of_file, kind),) = read(path, files.tree_reader)
    assert (kind, of_file["name"]) == ("vectors", "cell")
    assert np.array_equal(back, data)
    graded = [1.0, 0.25, 0.5, 1.0] if suffix == ".eswc" else [1.0] * 4
    assert of_file["features"]["confidence"].tolist() == graded
    assert read_swc(path).comments == small_tree().comments


def test_the_columns_of_another_program_are_no_confidence(tmp_path: Path) -> None:
    path = tmp_path / "other.eswc"
    path.write_text(
        "# n type x y z radius parent seg level mode time tera\n1 1 1 2 3 1 -1 0 0 0 0 0 0.2\n"
    )
    ((_, arguments, _),) = read(path, files.tree_reader)
    assert arguments["features"]["confidence"].tolist() == [1.0]


def test_several_trees_are_several_layers_and_a_broken_one_is_named(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a.swc", "b.swc")]
    for path in paths:
        write_swc(path, small_tree())
    assert [layer[1]["name"] for layer in files.read_trees(paths)] == ["a", "b"]
    Path(paths[1]).write_text("1 1 0 0 0\n")
    with pytest.raises(BadTree, match=r"b\.swc: line 1"):
        files.read_trees(paths)


@pytest.mark.parametrize("suffix", [".v3draw", ".v3dpbd"])
def test_a_stack_is_saved_and_read_again(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"fork{suffix}"
    assert files.write_stack(str(path), FORK, {"name": "fork"}) == [str(path)]
    ((back, arguments, kind),) = read(path, files.volume_reader)
    assert (kind, arguments["name"]) == ("image", "fork")
    assert np.array_equal(back, FORK)


def test_channels_of_a_file_are_layers(tmp_path: Path) -> None:
    path = tmp_path / "two.v3draw"
    write_volume(path, Volume(np.stack([FORK, FORK // 2])))
    assert [layer[0].max() for layer in read(path, files.volume_reader)] == [255, 127]


@pytest.mark.parametrize(
    ("data", "dtype"), [(FORK > 0, np.uint8), (FORK.astype(np.int64) * 2, np.uint16)]
)
def test_labels_are_saved_with_the_samples_that_hold_them(
    tmp_path: Path, data: Any, dtype: Any
) -> None:
    path = str(tmp_path / "labels.v3draw")
    files.write_stack(path, data, {"name": "labels"})
    volume = read_volume(path)
    assert volume.voxels.dtype == dtype
    assert np.array_equal(volume.voxels[0], data)


def test_what_the_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no.v3draw"
    for wrong, kind, arguments in (
        (FORK[0], BadVolume, {}),
        (np.zeros((9, 9, 3), np.uint8), BadVolume, {"rgb": True}),
        (FORK.astype(np.float64), UnsupportedFormat, {}),
        (FORK.astype(np.int64) * 10**6, UnsupportedFormat, {}),
    ):
        with pytest.raises(kind):
            files.write_stack(str(path), wrong, arguments)
    assert not path.exists()


def test_other_files_are_left_to_other_readers() -> None:
    assert files.tree_reader("a.tif") is None
    assert files.volume_reader(["a.v3draw", "a.tif"]) is None
    assert files.volume_reader("A.V3DPBD") is not None


def test_the_manifest_names_what_exists_and_the_distribution_has_it() -> None:
    manifest = yaml.safe_load(MANIFEST.read_text())
    names = [command["python_name"] for command in manifest["contributions"]["commands"]]
    for name in names:
        module, attribute = name.split(":")
        if ".qt." not in module:
            assert callable(getattr(importlib.import_module(module), attribute))
    ids = {command["id"] for command in manifest["contributions"]["commands"]}
    used = [
        each["command"]
        for part in ("readers", "writers", "widgets")
        for each in manifest["contributions"][part]
    ]
    assert set(used) == ids
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    point = project["project"]["entry-points"]["napari.manifest"]
    assert point == {manifest["name"]: "dineuro_napari:napari.yaml"}
    data = project["tool"]["setuptools"]["package-data"]
    assert data["dineuro_napari"] == [MANIFEST.name]
