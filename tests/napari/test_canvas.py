"""The plugin in napari's own window: what it draws, and how it ends. It needs a display."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dineuro_bridge.trees.swc import write_swc
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from tests.napari.conftest import HAS_NAPARI, WITHOUT_NAPARI
from tests.napari.stacks import FORK
from tests.support.shapes import chain, line

pytestmark = [
    pytest.mark.skipif(not HAS_NAPARI, reason=WITHOUT_NAPARI),
    pytest.mark.skipif(
        not os.environ.get("DISPLAY") or os.environ.get("QT_QPA_PLATFORM") == "offscreen",
        reason="no display; `make test-napari` has one",
    ),
    # Libraries of napari warn of each other.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture
def window(qtbot: Any) -> Iterator[Any]:
    import napari

    viewer = napari.Viewer(show=True)  # a hidden canvas is black
    yield viewer
    viewer.close()


def red_and_green(viewer: Any) -> tuple[int, int]:
    """The number of red and of green pixels of the canvas."""
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    red, green = picture[..., 0], picture[..., 1]
    return int((red > green + 60).sum()), int((green > red + 60).sum())


def test_files_are_opened_and_the_tree_is_drawn_where_it_is(window: Any, tmp_path: Path) -> None:
    tree, stack = tmp_path / "cell.swc", tmp_path / "cell.v3draw"
    write_swc(tree, chain(line((8, 12, 10), (62, 12, 10))))
    write_volume(stack, Volume(FORK[None]))
    window.open(str(stack), plugin="dineuro")
    window.open(str(tree), plugin="dineuro")
    image, vectors = window.layers
    assert np.array_equal(image.data, FORK)
    assert len(vectors.data) == 110
    image.visible = False
    window.dims.ndisplay = 3
    red, green = red_and_green(window)
    assert red == 0
    assert green > 200
    vectors.visible = False
    assert red_and_green(window) == (0, 0)


def test_the_widget_traces_draws_the_confidence_and_ends_with_the_window(
    window: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.napari.test_widget import Slow, outcome, trace

    _, widget = window.window.add_plugin_dock_widget("dineuro", "Trace and proofread")
    monkeypatch.setattr("dineuro_napari.qt.widget.trace_locally", lambda *_: outcome())
    window.add_image(FORK, name="fork", visible=False)
    trace(widget, qtbot)
    for name in ("fork mask", "fork doubts"):
        window.layers[name].visible = False
    window.dims.ndisplay = 3
    widget.proof.step(1)
    red, green = red_and_green(window)
    assert red > 20
    assert green > 20
    widget.proof.select(3)
    widget.proof.buttons["delete"].click()
    qtbot.waitUntil(lambda: widget._edit is None)
    assert red_and_green(window)[0] == 0
    slow = Slow()
    monkeypatch.setattr("dineuro_napari.qt.widget.trace_locally", slow)
    widget.trace_button.click()
    assert slow.told.wait(10)
    window.close()
    qtbot.waitUntil(slow.ended.is_set)
