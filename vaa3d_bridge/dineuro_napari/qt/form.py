"""The form of a trace: the layer, where it is traced, and the options of the table."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLineEdit,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.option_table import Option
from dineuro_bridge.options import OPTIONS, TraceOptions
from dineuro_napari.runs import Server, job_in

#: Options that most people need; the others are under "More options".
MAIN = ("threshold", "min_length", "gap", "trees", "enhancer")
#: Options that a layer answers: its name, its channel, its rows and slices; a tree is in voxels.
LEFT_OUT = ("name", "channel", "row_order", "z_axis", "units")
HERE, SERVER = "This computer", "Server"


class TraceForm(QWidget):
    """What a person chooses for a trace.

    Signals:
        layer_changed: another layer was chosen.
    """

    layer_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.layers = QComboBox()
        self.layers.setToolTip("The image layer to trace.")
        self.layers.currentIndexChanged.connect(lambda _: self.layer_changed.emit())
        self.where = QComboBox()
        self.where.addItems([HERE, SERVER])
        self.address = QLineEdit()
        self.address.setPlaceholderText("http://127.0.0.1:8000")
        self.address.setToolTip("http://HOST:PORT or tcp://HOST:PORT of a DINeuro server.")
        self.token = QLineEdit()
        self.token.setPlaceholderText("if the server asks for one")
        self.token.setEchoMode(QLineEdit.EchoMode.Password)
        self.job = QLineEdit()
        self.job.setPlaceholderText("a new trace")
        self.job.setToolTip(
            "The number of a job that is done, or its page's address, to go on with its tree."
        )
        self.fields = {
            name: field_of(option) for name, option in OPTIONS.items() if name not in LEFT_OUT
        }
        self._rows = QFormLayout()
        self._rows.addRow("Image", self.layers)
        self._rows.addRow("Where", self.where)
        self._rows.addRow("Address", self.address)
        self._rows.addRow("Token", self.token)
        self._rows.addRow("Job", self.job)
        for name in MAIN:
            self._rows.addRow(_label(name), self.fields[name])
        self.more = QToolButton()
        self.more.setText("More options")
        self.more.setCheckable(True)
        rest = self._rest()
        self.more.toggled.connect(rest.setVisible)
        outer = QVBoxLayout()
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addLayout(self._rows)
        outer.addWidget(self.more)
        outer.addWidget(rest)
        self.setLayout(outer)
        self.where.currentTextChanged.connect(self._show_server)
        self._show_server(HERE)

    def _rest(self) -> QWidget:
        """The fields that are shown on request."""
        rest, rows = QWidget(), QFormLayout()
        for name, field in self.fields.items():
            if name not in MAIN:
                rows.addRow(_label(name), field)
        rows.setContentsMargins(0, 0, 0, 0)
        rest.setLayout(rows)
        rest.setVisible(False)
        return rest

    def show_layers(self, names: list[str]) -> None:
        """Offer layers by their names; the chosen one stays if it is still there."""
        chosen = self.layers.currentText()
        self.layers.blockSignals(True)
        self.layers.clear()
        self.layers.addItems(names)
        self.layers.setCurrentIndex(names.index(chosen) if chosen in names else len(names) - 1)
        self.layers.blockSignals(False)
        if self.layers.currentText() != chosen:
            self.layer_changed.emit()

    def show_spacing(self, spacing: tuple[float, float, float] | None) -> None:
        """Show the voxel size (z, y, x) in µm of the layer where none is written."""
        field = self.fields["spacing"]
        known = "unknown" if spacing is None else ",".join(f"{step:g}" for step in spacing[::-1])
        field.setPlaceholderText(f"x,y,z: {known}")

    def server(self) -> Server | None:
        """The chosen server; None to trace here.

        Raises:
            BadParameter: no address is given.
        """
        if self.where.currentText() == HERE:
            return None
        address = self.address.text().strip() or self.address.placeholderText()
        if not address.startswith(("http://", "https://", "tcp://")):
            raise BadParameter(f"{address}: must be http://HOST:PORT or tcp://HOST:PORT")
        return Server(address, self.token.text().strip())

    def chosen_job(self) -> str | None:
        """The id of a job on the server, whose tree is opened; None for a new trace.

        Raises:
            BadParameter: what is written is no job.
        """
        text = self.job.text().strip()
        return job_in(text) if text and self.where.currentText() == SERVER else None

    def options(self, name: str) -> TraceOptions:
        """The options for a layer of a name.

        Raises:
            BadParameter: a value is not allowed; the message names the option.
        """
        return TraceOptions.from_dict({"name": name, **self.values()})

    def values(self) -> dict[str, Any]:
        """The value of each field that is not empty."""
        values = {name: value_of(field) for name, field in self.fields.items()}
        return {name: value for name, value in values.items() if value not in ("", None)}

    def _show_server(self, where: str) -> None:
        for field in (self.address, self.token, self.job):
            field.setVisible(where == SERVER)
            self._rows.labelForField(field).setVisible(where == SERVER)


def field_of(option: Option) -> Any:
    """The field of an option, at its default."""
    field: Any
    if option.kind == "choice":
        field = QComboBox()
        field.addItems(list(option.choices))
        field.setCurrentText(str(option.default))
    elif option.length or option.kind == "text" or option.default is None:
        field = QLineEdit()
        field.setPlaceholderText(option.metavar)
    elif option.kind == "integer":
        field = QSpinBox()
        field.setRange(int(option.minimum), int(min(option.maximum, 10**6)))
        field.setValue(option.default)
    else:
        field = QDoubleSpinBox()
        field.setRange(option.minimum, min(option.maximum, 10**6))
        field.setSingleStep(0.05 if option.maximum <= 1 else 1.0)
        field.setValue(option.default)
    field.setToolTip(f"{option.help} ({option.unit})" if option.unit else option.help)
    field.setAccessibleName(_label(option.name))
    return field


def value_of(field: Any) -> Any:
    """The value of a field, as `Option.parse` takes it."""
    if isinstance(field, QComboBox):
        return field.currentText()
    if isinstance(field, QLineEdit):
        return field.text().strip()
    return field.value()


def _label(name: str) -> str:
    words = {"spacing": "voxel size (µm)", "roi": "region", "min_length": "shortest branch"}
    text = words.get(name, name.replace("_", " "))
    return text[0].upper() + text[1:]
