"""napari finds the plugin in what is installed, and gets from it what it names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from release.dependencies import closure, is_forbidden, licence

from dineuro_napari.layers import tree_layer
from tests.napari.conftest import HAS_NAPARI, WITHOUT_NAPARI
from tests.napari.stacks import small_tree
from tests.napari.test_files import MANIFEST

pytestmark = pytest.mark.skipif(not HAS_NAPARI, reason=WITHOUT_NAPARI)


def test_the_manifest_is_valid_and_installed() -> None:
    from npe2 import PluginManager, PluginManifest

    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    manager = PluginManager()
    manager.discover()
    installed = manager.get_manifest("dineuro")
    assert installed.contributions.widgets == manifest.contributions.widgets
    assert {widget.display_name for widget in manifest.contributions.widgets or ()} == {
        "Trace and proofread"
    }


def test_napari_reads_and_writes_a_tree_through_the_plugin(tmp_path: Path) -> None:
    from npe2 import PluginManager, read, write

    PluginManager.instance().discover()
    path = str(tmp_path / "cell.eswc")
    layer = tree_layer(small_tree(), confidence={2: 0.5})
    assert write(path, [layer], plugin_name="dineuro") == [path]
    ((data, arguments, kind),) = read([path], stack=False, plugin_name="dineuro")
    assert kind == "vectors"
    assert np.array_equal(data, layer[0])
    assert arguments["features"]["confidence"].tolist() == [1, 0.5, 1, 1]


def test_nothing_that_napari_needs_is_under_the_gpl() -> None:
    packages = closure("napari", frozenset())
    named = {package.metadata["Name"]: licence(package) for package in packages}
    assert {"npe2", "vispy", "superqt"} <= named.keys()
    assert not {name: text for name, text in named.items() if is_forbidden(text)}
    assert not [name for name in named if name.lower().startswith(("pyqt", "pyside"))]
