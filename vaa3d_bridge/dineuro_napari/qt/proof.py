"""The panel of a result: its warnings, its doubts one after the other, and edits of its tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QLabel,
    QListWidget,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from dineuro_napari.editing import State, doubt_lines, nearest_node, node_words, summary
from dineuro_napari.runs import Outcome

#: Name, key on the tree's layer, and tool tip of each button.
_BUTTONS = {
    "next": ("Next", "n", "The next doubt."),
    "previous": ("Previous", "p", "The doubt before."),
    "accept": ("Right", "a", "The tree is right here."),
    "reject": ("Wrong", "r", "The tree is wrong here, and is changed."),
    "cut": ("Cut", "c", "What is below the node becomes a piece of its own."),
    "delete": ("Delete", "Delete", "The node and all below it go."),
    "undo": ("Undo", "Control-Z", "Take the last edit back."),
    "redo": ("Redo", "Control-Shift-Z", "Make it again."),
    "send": ("Use this layer's tree", "", "The tree of the chosen vectors layer replaces all."),
}


class ProofPanel(QWidget):
    """The doubts and the edits of one result; it knows no layers.

    Signals:
        place_chosen: z, y, x in voxels, to which the view goes.
        node_chosen: the id of the selected node, or None.
        edit_asked: an operation.
        send_asked: the tree of another layer shall take the place of this one.
    """

    place_chosen = Signal(object)
    node_chosen = Signal(object)
    edit_asked = Signal(object)
    send_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.summary, self.node_text = _text(), _text()
        self.doubts = QListWidget()
        self.doubts.setWordWrap(True)
        self.doubts.setMinimumHeight(160)
        self.doubts.currentRowChanged.connect(self._go)
        self.buttons = {name: _button(*words) for name, words in _BUTTONS.items()}
        actions: dict[str, Callable[[], None]] = {
            "next": lambda: self.step(1), "previous": lambda: self.step(-1),
            "accept": lambda: self.answer("accept"), "reject": lambda: self.answer("reject"),
            "cut": lambda: self.change("cut"), "delete": lambda: self.change("delete"),
            "undo": lambda: self.edit_asked.emit({"op": "undo"}),
            "redo": lambda: self.edit_asked.emit({"op": "redo"}),
            "send": self.send_asked.emit,
        }  # fmt: skip
        for name, action in actions.items():
            self.buttons[name].clicked.connect(lambda _=False, action=action: action())
        self.setLayout(self._arranged())
        self._records: list[Mapping[str, Any]] = []
        self._state: State | None = None
        self._node: int | None = None
        self._busy = False
        self.setVisible(False)

    def _arranged(self) -> QVBoxLayout:
        grid = QGridLayout()
        for at, name in enumerate(
            ("previous", "next", "accept", "reject", "cut", "delete", "undo", "redo")
        ):
            grid.addWidget(self.buttons[name], *divmod(at, 2))
        outer = QVBoxLayout()
        outer.setContentsMargins(0, 0, 0, 0)
        for widget in (self.summary, self.doubts):
            outer.addWidget(widget)
        outer.addLayout(grid)
        outer.addWidget(self.node_text)
        outer.addWidget(self.buttons["send"])
        return outer

    @property
    def keys(self) -> dict[str, Callable[[], None]]:
        """What the keys of the tree's layer do; a button that is off does nothing."""
        named = {_BUTTONS[name][1]: button for name, button in self.buttons.items()}
        return {key: button.click for key, button in named.items() if key}

    def show_outcome(self, outcome: Outcome) -> None:
        """Begin with a result; `show_state` follows."""
        self._records = list(outcome.report.get("doubts", ()))
        self._node = None
        self.summary.setText(summary(outcome.report, outcome.editing.kept))
        self.setVisible(True)

    def show_state(self, state: State) -> None:
        """Show the tree's present state. The chosen doubt and a node that still exists stay."""
        self._state = state
        row = self.doubts.currentRow()
        self.doubts.blockSignals(True)
        self.doubts.clear()
        self.doubts.addItems(doubt_lines(self._records, state.answers))
        self.doubts.setCurrentRow(row if 0 <= row < len(self._records) else -1)
        self.doubts.blockSignals(False)
        if self._node is not None and self._node not in state.ids:
            self._node = None
        self.select(self._node)

    def set_busy(self, busy: bool) -> None:
        """Refuse edits while one is made."""
        self._busy = busy
        self._refresh()

    def pick(self, begin: Any, end: Any, reach: float) -> None:
        """Select the node that a click meets; see `editing.nearest_node`."""
        if self._state is not None:
            self.select(nearest_node(self._state, begin, end, reach))

    def select(self, node: int | None) -> None:
        """Select a node by its id."""
        self._node = node
        hint = "Click on the tree to select a node; its layer must be the chosen one."
        known = self._state is not None and node is not None
        self.node_text.setText(node_words(self._state, node) if known else hint)  # type: ignore[arg-type]
        self.node_chosen.emit(node)
        self._refresh()

    def step(self, by: int) -> None:
        """Go to another doubt."""
        count = len(self._records)
        if count:
            row = self.doubts.currentRow()
            self.doubts.setCurrentRow(
                (row + by) % count if row >= 0 else (0 if by > 0 else -1) % count
            )

    def answer(self, answer: str) -> None:
        """Accept or reject the chosen doubt."""
        row = self.doubts.currentRow()
        if row >= 0 and not self._busy:
            self.edit_asked.emit({"op": answer, "doubt": row + 1})

    def change(self, operation: str) -> None:
        """Cut or delete at the selected node."""
        if self._node is not None and not self._busy:
            self.edit_asked.emit({"op": operation, "node": self._node})

    def next_open(self) -> None:
        """Go to the next doubt without an answer, if there is one."""
        answers = {} if self._state is None else self._state.answers
        row, count = self.doubts.currentRow(), len(self._records)
        for further in range(1, count):
            at = (row + further) % count
            if at + 1 not in answers:
                self.doubts.setCurrentRow(at)
                return

    def _go(self, row: int) -> None:
        if row >= 0:
            self.place_chosen.emit(np.array(self._records[row]["place"][::-1], dtype=np.float64))
        self._refresh()

    def _refresh(self) -> None:
        state, row = self._state, self.doubts.currentRow()
        ready = state is not None and not self._busy
        answer = None if state is None else state.answers.get(row + 1)
        on = {
            "next": bool(self._records), "previous": bool(self._records),
            "accept": ready and row >= 0 and answer is None,
            "reject": ready and row >= 0 and answer != "rejected",
            "cut": ready and self._node is not None, "delete": ready and self._node is not None,
            "undo": ready and bool(state and state.can_undo),
            "redo": ready and bool(state and state.can_redo), "send": ready,
        }  # fmt: skip
        for name, allowed in on.items():
            self.buttons[name].setEnabled(bool(allowed))


def _text() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label


def _button(name: str, key: str, tip: str) -> QPushButton:
    button = QPushButton(f"{name} ({key})" if len(key) == 1 else name)
    button.setToolTip(f"{tip} Key on the tree's layer: {key}" if key else tip)
    return button
