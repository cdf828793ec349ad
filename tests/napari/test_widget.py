"""The widget before a viewer without a canvas: what it traces, shows, edits and says."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dineuro_bridge.errors import BadEdit, Cancelled, Outdated, ServerGone, Unauthorized
from dineuro_bridge.options import OPTIONS
from dineuro_bridge.progress import Progress
from dineuro_bridge.trees.operations import Doubt
from dineuro_bridge.volumes.volume import Volume
from dineuro_napari.editing import LocalEditing
from dineuro_napari.files import write_tree
from dineuro_napari.layers import tree_layer
from dineuro_napari.runs import Outcome, Server
from dineuro_server.access.tokens import add_token
from tests.napari.conftest import HAS_NAPARI, WITHOUT_NAPARI
from tests.napari.stacks import FORK, small_tree
from tests.support.server import Server as RealServer

if not os.environ.get("DISPLAY"):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
pytestmark = pytest.mark.skipif(not HAS_NAPARI, reason=WITHOUT_NAPARI)
PLACE = {"scale": (2.0, 0.5, 0.5), "translate": (10.0, 20.0, 30.0)}


def outcome(editing: Any = None, **report: Any) -> Outcome:
    """A result with two doubts, of which a rejection removes node 3 or node 4."""
    doubts = [
        {"kind": "segment", "place": [18.0, 20.0, 5.0], "says": "segment of 4 voxels; 40% sure"},
        {"kind": "join", "place": [14.0, 26.0, 6.0], "says": "joined over 6 voxels"},
    ]
    links = {1: Doubt("segment", (3, 2)), 2: Doubt("join", (4, 2))}
    figures = {
        "nodes": 4, "tips": 2, "length": 14.1, "certain": 0.5, "warnings": ["the volume is dim"],
        "doubts": doubts, "segments": [{"start": 2, "end": 3, "confidence": 0.4}], **report,
    }  # fmt: skip
    mask = Volume((FORK > 0).astype(np.uint8)[None] * 255)
    return Outcome(small_tree(), mask, figures, editing or LocalEditing(small_tree(), links))


@pytest.fixture
def widget(viewer: Any, qtbot: Any) -> Any:
    from dineuro_napari.qt.widget import DineuroWidget

    fresh = DineuroWidget(viewer)
    qtbot.addWidget(fresh)
    return fresh


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is traced: volume, options and server of each run, whose result is `outcome()`."""
    calls: list[Any] = []

    def here(volume: Volume, options: Any, progress: Callable[[Progress], None]) -> Outcome:
        calls.append(SimpleNamespace(volume=volume, options=options, server=None))
        progress(Progress("trace", 3, 4))
        return outcome()

    def there(server: Server, volume: Volume, options: Any, progress: Any) -> Outcome:
        calls.append(SimpleNamespace(volume=volume, options=options, server=server))
        return outcome()

    monkeypatch.setattr("dineuro_napari.qt.widget.trace_locally", here)
    monkeypatch.setattr("dineuro_napari.qt.widget.trace_on_server", there)
    return calls


@pytest.fixture
def traced(widget: Any, viewer: Any, runs: list[Any], qtbot: Any) -> Any:
    """A widget that has traced the layer "fork"."""
    viewer.add_image(FORK, name="fork", **PLACE)
    trace(widget, qtbot)
    return widget


def trace(widget: Any, qtbot: Any) -> None:
    widget.trace_button.click()
    qtbot.waitUntil(lambda: widget.trace_button.isEnabled(), timeout=60_000)


def edited(widget: Any, qtbot: Any, act: Callable[[], None]) -> None:
    act()
    qtbot.waitUntil(lambda: widget._edit is None, timeout=60_000)


def tree_of(viewer: Any) -> Any:
    return viewer.layers["fork tree"]


def on(widget: Any) -> set[str]:
    return {name for name, button in widget.proof.buttons.items() if button.isEnabled()}


# The trace


def test_every_option_has_a_field_or_comes_from_the_layer(widget: Any) -> None:
    from dineuro_napari.qt.form import LEFT_OUT, MAIN

    form = widget.form
    assert set(form.fields) | set(LEFT_OUT) == set(OPTIONS)
    assert set(MAIN) <= set(form.fields)
    assert form.options("cell").as_dict() == {
        **{name: option.default for name, option in OPTIONS.items()}, "name": "cell",
    }  # fmt: skip


def test_the_fields_become_options(widget: Any) -> None:
    fields = widget.form.fields
    fields["threshold"].setValue(99)
    fields["min_confidence"].setValue(0.25)
    fields["trees"].setCurrentText("all")
    fields["roi"].setText("0, 0,0,40,40,20")
    fields["spacing"].setText("0.5,0.5,2")
    options = widget.form.options("cell")
    assert (options.threshold, options.min_confidence, options.trees) == (99, 0.25, "all")
    assert (options.roi, options.spacing) == ((0, 0, 0, 40, 40, 20), (0.5, 0.5, 2.0))


def test_a_trace_shows_mask_tree_and_doubts_over_the_image(traced: Any, viewer: Any) -> None:
    names = [layer.name for layer in viewer.layers]
    assert names == ["fork", "fork mask", "fork doubts", "fork selection", "fork tree"]
    for name in names[1:]:
        layer = viewer.layers[name]
        assert layer.scale.tolist() == list(PLACE["scale"]), name
        assert layer.translate.tolist() == list(PLACE["translate"]), name
    assert np.array_equal(viewer.layers["fork mask"].data, FORK > 0)
    tree = tree_of(viewer)
    assert tree.data[2].tolist() == [[5, 20, 18], [0, 0, -4]]
    assert tree.features["confidence"].tolist() == [1, 1, 0.4, 1]
    assert np.array_equal(tree.edge_color[0], tree.edge_color[3])
    assert tree.edge_color[2, 0] > tree.edge_color[2, 1]  # unlikely: red
    assert tree.edge_color[0, 1] > tree.edge_color[0, 0]  # certain: green
    assert viewer.layers.selection.active is tree
    assert "• The volume is dim." in traced.proof.summary.text()
    assert traced.proof.doubts.count() == 2


def test_the_voxel_size_of_the_layer_is_used_and_shown(
    traced: Any, runs: list[Any], viewer: Any
) -> None:
    assert runs[0].volume.spacing == (2.0, 0.5, 0.5)
    assert "0.5,0.5,2" in traced.form.fields["spacing"].placeholderText()
    viewer.add_image(FORK, name="other")
    traced.form.layers.setCurrentText("other")
    assert "unknown" in traced.form.fields["spacing"].placeholderText()


def test_only_images_are_offered_and_the_chosen_one_stays(widget: Any, viewer: Any) -> None:
    viewer.add_image(FORK, name="one")
    viewer.add_labels(FORK.astype(int), name="labels")
    viewer.add_image(FORK, name="two")
    form = widget.form
    assert [form.layers.itemText(at) for at in range(form.layers.count())] == ["one", "two"]
    form.layers.setCurrentText("one")
    viewer.add_image(FORK, name="three")
    assert form.layers.currentText() == "one"
    viewer.layers.remove("one")
    assert form.layers.count() == 2


@pytest.mark.parametrize(
    ("data", "more", "says"),
    [
        (None, {}, "No image layer is chosen"),
        (np.zeros((8, 9)), {}, "is a 2D image (8 x 9)"),
        (np.zeros((8, 9, 3), np.uint8), {"rgb": True}, "Split RGB"),
        (np.zeros((5, 6, 8, 9)), {}, "a time series"),
    ],
)
def test_a_layer_that_cannot_be_traced_is_refused_at_once(
    widget: Any, viewer: Any, runs: list[Any], data: Any, more: Any, says: str
) -> None:
    if data is not None:
        viewer.add_image(data, name="stack", **more)
    widget.trace_button.click()
    assert says in widget.status.text()
    assert runs == []
    assert widget.trace_button.isEnabled()


def test_a_wrong_option_is_named(widget: Any, viewer: Any, runs: list[Any]) -> None:
    viewer.add_image(FORK, name="fork")
    widget.form.fields["roi"].setText("1,2,3")
    widget.trace_button.click()
    assert widget.status.text().startswith("Roi '1,2,3': must be 6 whole numbers")
    assert runs == []


def test_the_finest_level_and_only_the_region_are_read(
    widget: Any, viewer: Any, runs: list[Any], qtbot: Any
) -> None:
    dask = pytest.importorskip("dask.array")
    levels = [dask.from_array(FORK, chunks=8), dask.from_array(FORK[::2, ::2, ::2], chunks=8)]
    viewer.add_image(levels, name="levels", multiscale=True, contrast_limits=(0, 255))
    widget.form.fields["roi"].setText("10,5,2,40,25,12")
    trace(widget, qtbot)
    assert np.array_equal(runs[0].volume.voxels[0], FORK[2:12, 5:25, 10:40])
    assert runs[0].volume.whole == FORK.shape


def test_a_layer_larger_than_the_memory_is_refused_with_the_way_out(
    widget: Any, viewer: Any, runs: list[Any], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dineuro_napari.image.free_memory", lambda: 1000)
    viewer.add_image(FORK, name="fork")
    trace(widget, qtbot)
    assert "give a region" in widget.status.text()
    assert "dineuro brain" in widget.status.text()
    assert (runs, len(viewer.layers)) == ([], 1)


def test_a_server_gets_the_whole_stack_and_the_token(
    widget: Any, viewer: Any, runs: list[Any], qtbot: Any
) -> None:
    form = widget.form
    assert form.address.isVisibleTo(widget) is False
    form.where.setCurrentText("Server")
    assert form.token.isVisibleTo(widget) is True
    form.address.setText("http://lab:8000")
    form.token.setText("secret")
    form.fields["roi"].setText("10,5,2,40,25,12")
    viewer.add_image(FORK, name="fork")
    trace(widget, qtbot)
    assert runs[0].server == Server("http://lab:8000", "secret")
    assert runs[0].volume.shape == FORK.shape
    assert runs[0].options.roi == (10, 5, 2, 40, 25, 12)
    form.address.setText("lab:8000")
    widget.trace_button.click()
    assert widget.status.text().startswith("Lab:8000: must be http://HOST:PORT")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ServerGone("http://lab: does not answer"), "Http://lab: does not answer"),
        (Unauthorized("the token is unknown"), "The token is unknown"),
        (ValueError("of its own"), "ValueError: of its own"),
    ],
)
def test_what_went_wrong_is_said_and_nothing_is_added(
    widget: Any, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, error: Exception,
    says: str,
) -> None:  # fmt: skip
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("dineuro_napari.qt.widget.trace_locally", fail)
    viewer.add_image(FORK, name="fork")
    trace(widget, qtbot)
    assert widget.status.text() == says
    assert len(viewer.layers) == 1
    assert not widget.bar.isVisibleTo(widget)


class Slow:
    """A run that tells of its progress until it is cancelled."""

    def __init__(self) -> None:
        self.told, self.ended = threading.Event(), threading.Event()

    def __call__(self, volume: Any, options: Any, progress: Callable[[Progress], None]) -> None:
        try:
            while True:
                progress(Progress("trace", 1, 4))
                self.told.set()
                self.ended.wait(0.01)
        except Cancelled:
            self.ended.set()
            raise


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    run = Slow()
    monkeypatch.setattr("dineuro_napari.qt.widget.trace_locally", run)
    return run


def test_progress_is_shown_and_cancel_ends_the_run(
    widget: Any, viewer: Any, qtbot: Any, slow: Slow
) -> None:
    viewer.add_image(FORK, name="fork")
    widget.trace_button.click()
    qtbot.waitUntil(lambda: widget.bar.value() == 1)
    assert (widget.bar.maximum(), widget.bar.format()) == (4, "trace %p%")
    assert widget.cancel_button.isVisibleTo(widget)
    assert not widget.trace_button.isEnabled()
    widget.cancel_button.click()
    assert widget.status.text() == "Cancelled."
    assert widget.trace_button.isEnabled()
    assert slow.ended.wait(10)
    assert len(viewer.layers) == 1


def test_closing_napari_ends_the_run(viewer: Any, qtbot: Any, slow: Slow) -> None:
    from dineuro_napari.qt.widget import DineuroWidget

    widget = DineuroWidget(viewer)
    viewer.add_image(FORK, name="fork")
    widget.trace_button.click()
    assert slow.told.wait(10)
    widget.deleteLater()
    qtbot.waitUntil(slow.ended.is_set)
    viewer.add_image(FORK, name="later")  # the widget that is gone hears of nothing


# Proofreading


def test_the_doubts_are_visited_in_their_order(traced: Any, viewer: Any) -> None:
    from dineuro_napari.view import camera_of

    proof, camera = traced.proof, camera_of(viewer)
    proof.buttons["next"].click()
    assert proof.doubts.currentRow() == 0
    assert np.allclose(camera.center, (10 + 2 * 5, 20 + 0.5 * 20, 30 + 0.5 * 18))
    assert np.allclose(viewer.dims.point, (20, 30, 39))
    assert camera.zoom >= 6
    keys = tree_of(viewer).keymap
    next_key, previous = (
        next(act for key, act in keys.items() if str(key).upper() == name) for name in "NP"
    )
    next_key(tree_of(viewer))
    assert proof.doubts.currentRow() == 1
    assert np.allclose(camera.center, (10 + 2 * 6, 20 + 0.5 * 26, 30 + 0.5 * 14))
    next_key(tree_of(viewer))
    assert proof.doubts.currentRow() == 0
    previous(tree_of(viewer))
    assert proof.doubts.currentRow() == 1


def test_answers_change_the_tree_and_lead_to_the_next_doubt(
    traced: Any, viewer: Any, qtbot: Any
) -> None:
    proof = traced.proof
    assert on(traced) == {"next", "previous", "send"}
    proof.doubts.setCurrentRow(0)
    assert on(traced) == {"next", "previous", "send", "accept", "reject"}
    edited(traced, qtbot, proof.buttons["reject"].click)
    tree = tree_of(viewer)
    assert tree.features["node"].tolist() == [1, 2, 4]
    assert len(tree.data) == len(tree.edge_color) == 3
    assert proof.doubts.item(0).text().startswith("✗ 1. Segment at 18, 20, 5")
    assert proof.doubts.currentRow() == 1
    points = viewer.layers["fork doubts"]
    edited(traced, qtbot, proof.buttons["accept"].click)
    assert proof.doubts.item(1).text().startswith("✓ 2.")
    assert len({tuple(colour) for colour in points.border_color}) == 2
    proof.doubts.setCurrentRow(0)
    assert {"accept", "reject"} & on(traced) == set()
    for _ in range(2):
        edited(traced, qtbot, proof.buttons["undo"].click)
    assert tree.features["node"].tolist() == [1, 2, 3, 4]
    assert tree.features["confidence"].tolist() == [1, 1, 0.4, 1]
    assert "undo" not in on(traced)
    edited(traced, qtbot, proof.buttons["redo"].click)
    assert len(tree.data) == 3


def click(layer: Any, position: Any, direction: Any = None, moves: int = 0) -> None:
    """A click of napari on a layer, in 3D where it has a direction."""
    dims = [0, 1, 2] if direction is not None else [1, 2]
    event = SimpleNamespace(
        type="mouse_press", position=position, view_direction=direction, dims_displayed=dims
    )
    for callback in layer.mouse_drag_callbacks:
        steps = callback(layer, event)
        next(steps)
        for kind in ["mouse_move"] * moves + ["mouse_release"]:
            event.type = kind
            if next(steps, "ended") == "ended":
                break


def test_a_click_selects_a_node_that_can_be_deleted(traced: Any, viewer: Any, qtbot: Any) -> None:
    from dineuro_napari.view import camera_of

    camera_of(viewer).zoom = 20
    tree, chosen = tree_of(viewer), viewer.layers["fork selection"]
    at = tree.data_to_world([5, 20, 14])
    click(tree, at, moves=2)
    assert len(chosen.data) == 0  # a drag moves the camera
    click(tree, at)
    assert chosen.data.tolist() == [[5, 20, 14], [5, 20, 18], [6, 26, 14]]
    assert traced.proof.node_text.text().startswith("Node 2 (dendrite) at 14, 20, 5.")
    click(tree, np.add(at, [-40, 0, 0]), np.array([1.0, 0, 0]))
    assert len(chosen.data) == 3
    click(tree, tree.data_to_world([5, 20, 18]))
    assert {"cut", "delete"} <= on(traced)
    edited(traced, qtbot, traced.proof.buttons["delete"].click)
    assert tree.features["node"].tolist() == [1, 2, 4]
    assert len(chosen.data) == 0
    assert {"cut", "delete"} & on(traced) == set()
    click(tree, tree.data_to_world([5, 20, 14]))
    edited(traced, qtbot, traced.proof.buttons["cut"].click)
    assert tree.features["parent"].tolist() == [-1, -1, 2]
    click(tree, tree.data_to_world([19, 47, 71]))
    assert len(chosen.data) == 0


def test_the_edited_tree_is_saved_from_its_layer(
    traced: Any, viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    traced.proof.select(3)
    edited(traced, qtbot, traced.proof.buttons["delete"].click)
    data, arguments, _ = tree_of(viewer).as_layer_data_tuple()
    path = tmp_path / "edited.swc"
    write_tree(str(path), data, arguments)
    assert [line for line in path.read_text().splitlines() if line[0] != "#"] == [
        "1 1 10 20 5 3 -1", "2 3 14 20 5 1 1", "3 2 14 26 6 0.5 2",
    ]  # fmt: skip


def test_the_tree_of_another_layer_takes_the_place(traced: Any, viewer: Any, qtbot: Any) -> None:
    for own in ("fork", "fork tree"):
        traced.say("")
        viewer.layers.selection.active = viewer.layers[own]
        traced.proof.buttons["send"].click()
        assert traced.status.text().startswith("Choose the layer of the tree"), own
    other = small_tree().keep(np.array([True, True, False, False])).with_comments(
        ("coordinates x y z, um, 0-based",)
    )  # fmt: skip
    data, arguments, _ = tree_layer(other.scaled((0.5, 0.5, 2.0)), name="corrected")
    viewer.add_vectors(data, **arguments)
    edited(traced, qtbot, traced.proof.buttons["send"].click)
    assert tree_of(viewer).data[:, 0].tolist() == [[5, 20, 10], [5, 20, 14]]
    edited(traced, qtbot, traced.proof.buttons["undo"].click)
    assert len(tree_of(viewer).data) == 4


class Refusing(LocalEditing):
    """Edits that somebody else makes first."""

    error: Exception = Outdated("revision 2, and not 1")

    def edit(self, operation: Any) -> Any:
        if operation["op"] == "undo":
            return super().edit(operation)
        super().edit({"op": "delete", "node": 4})
        raise self.error


@pytest.mark.parametrize(
    ("error", "says", "nodes"),
    [
        (Outdated("revision 2"), "Somebody else has edited this tree", 3),
        (BadEdit("node 9: the tree has no such node"), "Node 9: the tree has no such node", 4),
        (ServerGone("http://lab: does not answer"), "Http://lab: does not answer", 4),
    ],
)
def test_an_edit_that_was_not_made_is_said(
    traced: Any, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, error: Exception,
    says: str, nodes: int,
) -> None:  # fmt: skip
    refusing = Refusing(small_tree(), {})
    refusing.error = error
    monkeypatch.setattr(
        "dineuro_napari.qt.widget.trace_locally", lambda *_: outcome(editing=refusing)
    )
    trace(traced, qtbot)
    traced.proof.select(2)
    edited(traced, qtbot, traced.proof.buttons["cut"].click)
    assert traced.status.text().startswith(says)
    assert len(viewer.layers[-1].data) == nodes
    assert "cut" in on(traced)


class Waiting(LocalEditing):
    """Edits whose server takes its time."""

    def __init__(self) -> None:
        super().__init__(small_tree(), {})
        self.edits, self.go = 0, threading.Event()

    def edit(self, operation: Any) -> Any:
        self.edits += 1
        assert self.go.wait(30)
        return super().edit(operation)


def test_one_edit_is_made_at_a_time_and_the_window_goes_on(
    traced: Any, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Waiting()
    monkeypatch.setattr(
        "dineuro_napari.qt.widget.trace_locally", lambda *_: outcome(editing=waiting)
    )
    trace(traced, qtbot)
    traced.proof.select(4)
    traced.proof.buttons["delete"].click()
    assert {"cut", "delete", "undo", "send"} & on(traced) == set()
    traced.proof.change("delete")
    traced.edit({"op": "delete", "node": 3})
    traced.proof.step(1)
    assert traced.proof.doubts.currentRow() == 0
    waiting.go.set()
    qtbot.waitUntil(lambda: traced._edit is None)
    assert waiting.edits == 1
    assert viewer.layers[-1].features["node"].tolist() == [1, 2, 3]
    assert "undo" in on(traced)


def test_a_second_trace_leaves_the_first_layers_and_leads_its_own(
    traced: Any, viewer: Any, qtbot: Any
) -> None:
    first = tree_of(viewer)
    trace(traced, qtbot)
    second = viewer.layers[-1]
    assert second is not first
    traced.proof.select(3)
    edited(traced, qtbot, traced.proof.buttons["delete"].click)
    assert (len(first.data), len(second.data)) == (4, 3)


def test_removing_the_tree_ends_its_proofreading(traced: Any, viewer: Any) -> None:
    viewer.layers.remove("fork doubts")
    traced.proof.step(1)
    viewer.layers.remove("fork tree")
    assert not traced.proof.isVisibleTo(traced)
    assert traced.status.text() == "The tree's layer was removed."
    traced.proof.step(1)


def test_an_empty_result_is_shown(
    widget: Any, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = small_tree().keep(np.zeros(4, bool))
    empty = Outcome(
        none, Volume(np.zeros((1, *FORK.shape), np.uint8)),
        {"nodes": 0, "warnings": [], "doubts": [], "segments": []}, LocalEditing(none, {}),
    )  # fmt: skip
    monkeypatch.setattr("dineuro_napari.qt.widget.trace_locally", lambda *_: empty)
    viewer.add_image(FORK, name="fork")
    trace(widget, qtbot)
    assert widget.proof.summary.text().startswith("No tree was found.")
    assert len(tree_of(viewer).data) == 0
    widget.proof.step(1)
    click(tree_of(viewer), (1, 1, 1))


# The whole way


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[RealServer, str]]:
    """A server, and a token for it."""
    token = add_token(tmp_path / "tokens", "anna")
    server = RealServer(tmp_path / "state", tokens=str(tmp_path / "tokens"))
    yield server, token
    server.close()


def test_a_real_server_traces_and_keeps_the_edits(
    widget: Any, viewer: Any, qtbot: Any, lab: tuple[RealServer, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (server, token), form = lab, widget.form
    form.where.setCurrentText("Server")
    form.address.setText(server.url)
    form.token.setText("wrong")
    form.fields["enhancer"].setCurrentText("none")
    viewer.add_image(FORK, name="fork")
    trace(widget, qtbot)
    assert "token" in widget.status.text().lower()
    form.token.setText(token)
    trace(widget, qtbot)
    assert widget.status.text() == "Done."
    before = len(tree_of(viewer).data)
    widget.proof.select(before)
    edited(widget, qtbot, widget.proof.buttons["delete"].click)
    assert len(tree_of(viewer).data) == before - 1
    assert widget.trace_button.text() == "Trace"
    with server.client(token) as client:
        job = client.get("/v1/jobs").json()["jobs"][0]["id"]
        (operation,) = client.get(f"/v1/jobs/{job}/edits").json()["operations"]
    assert (operation["op"], operation["node"], operation["author"]) == ("delete", before, "anna")
    form.job.setText(f"{server.url}/#/jobs/{job}?at=1,2,3")
    assert widget.trace_button.text() == "Open"
    viewer.layers.clear()
    viewer.add_image(FORK[1:], name="other")
    trace(widget, qtbot)
    assert "72 x 48 x 20 voxels, and the layer has 72 x 48 x 19" in widget.status.text()
    viewer.layers.clear()
    viewer.add_image(FORK, name="fork")
    trace(widget, qtbot)
    assert len(tree_of(viewer).data) == before - 1
    assert "undo" in on(widget)
    with server.client(token) as client:
        assert len(client.get("/v1/jobs").json()["jobs"]) == 1
    server.close()
    monkeypatch.setattr("dineuro_bridge.client.http._FIRST_PAUSE_S", 0.001)
    edited(widget, qtbot, widget.proof.buttons["undo"].click)
    assert "does not answer" in widget.status.text()
    assert len(tree_of(viewer).data) == before - 1


def test_this_computer_traces_in_a_process_of_its_own(widget: Any, viewer: Any, qtbot: Any) -> None:
    viewer.add_image(FORK, name="fork", scale=(2, 0.5, 0.5), units=("um",) * 3)
    widget.form.fields["enhancer"].setCurrentText("none")
    trace(widget, qtbot)
    assert widget.status.text() == "Done."
    assert abs(tree_of(viewer).data[:, 0, 2].max() - 62) < 3
