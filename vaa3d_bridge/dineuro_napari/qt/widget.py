"""The dock widget: it traces the chosen layer, shows the result as layers, and leads its edits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton, QScrollArea, QVBoxLayout, QWidget

from dineuro_bridge.errors import BadTree, DineuroError
from dineuro_bridge.progress import Progress, ProgressCallback
from dineuro_bridge.trees.units import in_voxels, is_in_micrometres
from dineuro_napari.editing import State, is_outdated, replacement
from dineuro_napari.image import picture_of, volume_of
from dineuro_napari.layers import tree_of
from dineuro_napari.local import trace_locally
from dineuro_napari.qt.form import SERVER, TraceForm
from dineuro_napari.qt.proof import ProofPanel
from dineuro_napari.qt.task import Task, end_all
from dineuro_napari.runs import Outcome, open_job, trace_on_server
from dineuro_napari.view import ResultLayers, line_of_sight, reach_of


class DineuroWidget(QWidget):
    """The widget of a viewer.

    Args:
        napari_viewer: napari's viewer, or its model.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.form, self.proof = TraceForm(), ProofPanel()
        self.trace_button, self.cancel_button = QPushButton("Trace"), QPushButton("Cancel")
        self.bar, self.status = QProgressBar(), QLabel()
        self.status.setWordWrap(True)
        inner, outer = QVBoxLayout(), QVBoxLayout()
        for widget in (
            self.form, self.trace_button, self.bar, self.cancel_button, self.status, self.proof,
        ):  # fmt: skip
            inner.addWidget(widget)
        inner.addStretch()
        content, area = QWidget(), QScrollArea()
        content.setLayout(inner)
        area.setWidget(content)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setMinimumWidth(content.minimumSizeHint().width() + area.verticalScrollBar().width())
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self.setLayout(outer)
        self._tasks: list[Task] = []
        # A method of this widget could not be called any more.
        self.destroyed.connect(partial(end_all, self._tasks))
        self._run: Task | None = None
        self._edit: Task | None = None
        self._result: ResultLayers | None = None
        self.trace_button.clicked.connect(self.trace)
        self.cancel_button.clicked.connect(self.cancel)
        self.form.job.textChanged.connect(self._name_button)
        self.form.where.currentTextChanged.connect(self._name_button)
        self.form.layer_changed.connect(self._show_spacing)
        self.proof.place_chosen.connect(self._go_to)
        self.proof.node_chosen.connect(self._mark_node)
        self.proof.edit_asked.connect(self.edit)
        self.proof.send_asked.connect(self.send_tree)
        layers = self.viewer.layers.events
        for event in (layers.inserted, layers.removed, layers.reordered):
            event.connect(self._layers_changed)
        self._layers_changed()
        self._show_running(False)

    # The trace

    def trace(self) -> None:
        """Trace the chosen layer, or open the job that is written in the form."""
        try:
            picture = picture_of(self._chosen_layer())
            options, server = self.form.options(picture.name), self.form.server()
            job = self.form.chosen_job()
        except DineuroError as error:
            self.say(str(error))
            return

        def work(progress: ProgressCallback) -> tuple[Outcome, State]:
            if server is not None and job is not None:
                outcome = open_job(server, job, picture.shape, progress)
                return outcome, outcome.editing.load()
            # A server needs the whole volume, because places are those of the whole.
            volume = volume_of(picture, None if server else options.roi, progress=progress)
            if server is None:
                outcome = trace_locally(volume, options, progress)
            else:
                outcome = trace_on_server(server, volume, options, progress)
            return outcome, outcome.editing.load()

        self._run = Task(work, picture)
        self._run.progressed.connect(self._show_progress)
        self._run.ended.connect(self._traced)
        self._show_running(True)
        self.say("")
        self._begin(self._run)

    def cancel(self) -> None:
        """Cancel the trace; the layers stay as they are."""
        if self._run is not None:
            self._run.cancel()
            self._run = None
            self._show_running(False)
            self.say("Cancelled.")

    def say(self, text: str) -> None:
        """Show a sentence below the button."""
        self.status.setText(text[:1].upper() + text[1:])

    def _begin(self, task: Task) -> None:
        """Start a task, and keep each one until its thread has ended, as Qt needs it."""
        self._tasks[:] = [each for each in self._tasks if each.runs] + [task]
        task.start()

    def _traced(self, task: Task, done: Any, error: BaseException | None) -> None:
        if task is not self._run:
            return  # it was cancelled while this signal was on its way
        picture, self._run = task.about, None
        self._show_running(False)
        if error is not None:
            self.say(words_of(error))
            return
        if self._result is not None:
            self._result.outcome.editing.close()
        self._result, (outcome, state) = None, done
        result = ResultLayers(self.viewer, picture, outcome)
        self.proof.show_outcome(outcome)
        result.show(state, self.proof.keys, self._click)
        self._result = result
        self.proof.show_state(state)
        self.say("Done.")

    def _show_progress(self, step: Progress) -> None:
        self.bar.setRange(0, step.total)
        self.bar.setValue(step.done)
        self.bar.setFormat(f"{step.stage} %p%")
        if not step.total:
            self.say(f"{step.stage} …")

    def _show_running(self, running: bool) -> None:
        self.trace_button.setEnabled(not running)
        self.cancel_button.setVisible(running)
        self.bar.setVisible(running)
        self.bar.setRange(0, 0)

    def _name_button(self) -> None:
        opens = bool(self.form.job.text().strip()) and self.form.where.currentText() == SERVER
        self.trace_button.setText("Open" if opens else "Trace")

    # The layers

    def _chosen_layer(self) -> Any:
        name = self.form.layers.currentText()
        return next((layer for layer in self.viewer.layers if layer.name == name), None)

    def _layers_changed(self, _: object = None) -> None:
        images = [each for each in self.viewer.layers if type(each).__name__ == "Image"]
        self.form.show_layers([str(layer.name) for layer in images])
        if self._result is not None and self._result.tree not in self.viewer.layers:
            self._result.outcome.editing.close()
            self._result = None
            self.proof.setVisible(False)
            self.say("The tree's layer was removed.")

    def _show_spacing(self) -> None:
        try:
            self.form.show_spacing(picture_of(self._chosen_layer()).spacing)
        except DineuroError:
            self.form.show_spacing(None)

    # Proofreading

    def edit(self, operation: Mapping[str, Any]) -> None:
        """Edit the tree of the result."""
        if self._result is None or self._edit is not None:
            return
        editing = self._result.outcome.editing

        def work(_: ProgressCallback) -> tuple[State, str]:
            try:
                return editing.edit(operation), ""
            except DineuroError as error:
                if not is_outdated(error):
                    raise
                return editing.load(), (
                    "Somebody else has edited this tree; it was loaded again, and your edit was "
                    "not made. Look at it, and make it once more if it still fits."
                )

        self._edit = Task(work, (self._result, operation))
        self._edit.ended.connect(self._edited)
        self.proof.set_busy(True)
        self._begin(self._edit)

    def _edited(self, task: Task, done: Any, error: BaseException | None) -> None:
        (result, operation), self._edit = task.about, None
        self.proof.set_busy(False)
        if error is not None:
            self.say(words_of(error))
            return
        if self._result is not result:
            return  # another result is shown by now
        state, remark = done
        self._result.update(state)
        self.proof.show_state(state)
        self.say(remark)
        if not remark and operation["op"] in ("accept", "reject"):
            self.proof.next_open()

    def send_tree(self) -> None:
        """Put the tree of the chosen vectors layer in the place of the edited one."""
        layer = self.viewer.layers.selection.active
        try:
            own = None if self._result is None else self._result.tree
            if layer is own or type(layer).__name__ != "Vectors":
                raise BadTree("choose the layer of the tree that shall take the place of this one")
            tree = tree_of(*layer.as_layer_data_tuple()[:2]).tree
            if is_in_micrometres(tree):
                spacing = None if self._result is None else self._result.picture.spacing
                if spacing is None:
                    raise BadTree(f"{layer.name}: is in µm, and no voxel size is known")
                tree = in_voxels(tree, spacing[::-1])
        except DineuroError as error:
            self.say(str(error))
            return
        self.edit(replacement(tree))

    def _go_to(self, place: Any) -> None:
        if self._result is not None:
            self._result.look_at(place)

    def _mark_node(self, node: int | None) -> None:
        if self._result is not None:
            self._result.mark(node)

    def _click(self, layer: Any, event: Any) -> Iterator[None]:
        """napari's: a click on the tree's layer, and not a drag, selects a node."""
        yield
        if event.type == "mouse_move":
            return
        self.proof.pick(*line_of_sight(layer, event), reach_of(self.viewer, layer))


def words_of(error: BaseException) -> str:
    """An error for a person."""
    if isinstance(error, DineuroError):
        return str(error)
    return f"{type(error).__name__}: {error}"
