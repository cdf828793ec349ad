"""The options of a trace on the command line, made from the table in `dineuro_bridge.options`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dineuro_bridge.errors import BadFile, BadParameter
from dineuro_bridge.option_table import LARGEST, Group, Option
from dineuro_bridge.options import OPTIONS, TraceOptions
from dineuro_cli.signatures import expanded

#: Titles of the panels that `--help` shows.
_PANELS: dict[Group, str] = {
    "input": "Input",
    "network": "Network",
    "tracing": "Tracing",
    "output": "Output",
}
_MARKER = "marker"

Command = Callable[..., None]


def option_type(option: Option) -> Any:
    """The annotation that makes typer parse an option, check it and describe it in `--help`."""
    kinds: dict[str, Any] = {"text": str, "integer": int, "number": float}
    kind = Literal[option.choices] if option.kind == "choice" else kinds[option.kind]
    if option.length:
        kind = Any
    elif option.optional:
        kind = kind | None
    return Annotated[kind, typer.Option(**_settings(option))]


def _settings(option: Option) -> dict[str, Any]:
    """The keyword arguments of `typer.Option`."""
    unit = f" Unit: {option.unit}." if option.unit else ""
    settings: dict[str, Any] = {
        "help": option.help + unit,
        "metavar": option.metavar or None,
        "rich_help_panel": _PANELS[option.group],
    }
    if option.length:
        settings["parser"] = _parser(option)
    elif option.kind in ("integer", "number"):
        settings["min"] = option.minimum if option.minimum > -LARGEST else None
        settings["max"] = option.maximum if option.maximum < LARGEST else None
    return settings


def _parser(option: Option) -> Callable[[str], Any]:
    """Convert the text of a tuple; typer reports an invalid text as a wrong command line."""

    def parse(text: str) -> Any:
        try:
            return option.parse(text)
        except BadParameter as error:
            raise typer.BadParameter(str(error)) from error

    return parse


def single_option(name: str, help_text: str | None = None) -> Any:
    """One option of the table, as the metadata of an annotation of a command's own parameter.

    Args:
        name: the name of the option.
        help_text: the help text instead of the table's; None keeps the table's.
    """
    settings = _settings(OPTIONS[name])
    del settings["rich_help_panel"]
    return typer.Option(**(settings | ({} if help_text is None else {"help": help_text})))


GoldSpacing = Annotated[
    Any,
    single_option(
        "spacing", "Size of a voxel, if the gold trees are in µm and not in voxels. Unit: µm."
    ),
]


TreeSpacing = Annotated[
    Any, single_option("spacing", "Size of a voxel, for trees in voxels. Unit: µm.")
]


def with_trace_options(*left_out: str) -> Callable[[Command], Command]:
    """Give a command one option per row of the table, and `--marker` with `--root`.

    The command receives their values together, as the keyword argument `options`.

    Args:
        left_out: names of the options that the command sets itself, or does not have.
    """
    parameters = list(_parameters(left_out))

    def decorate(command: Command) -> Command:
        @wraps(command)
        def call(*, options: dict[str, Any], **arguments: Any) -> None:
            command(options=_options(options), **arguments)

        return expanded("options", parameters)(call)

    return decorate


def _parameters(left_out: tuple[str, ...]) -> Iterator[inspect.Parameter]:
    """Yield the parameters of the options, in the order of the table."""
    for option in OPTIONS.values():
        if option.command_line and option.name not in left_out:
            yield _parameter(option.name, option.default, option_type(option))
        if option.name == "root" and option.name not in left_out:
            yield _parameter(_MARKER, None, _MARKER_TYPE)


def _parameter(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


_MARKER_TYPE = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Vaa3D .marker file; its first marker is the root.",
        rich_help_panel=_PANELS["input"],
    ),
]


def _options(values: dict[str, Any]) -> TraceOptions:
    """Return the options of the command line. A marker file sets the root.

    Raises:
        typer.BadParameter: two options contradict each other.
        BadFile: the marker file contains no marker.
    """
    marker: Path | None = values.pop(_MARKER, None)
    if marker is not None:
        if values["root"] is not None:
            raise typer.BadParameter("--marker and --root both name the root: give one")
        values["root"] = _first_marker(marker)
    return trace_options(**values)


def trace_options(**values: Any) -> TraceOptions:
    """Return the options of a trace. An invalid one is a wrong command line.

    Raises:
        typer.BadParameter: a value is not allowed, or two options contradict each other.
    """
    try:
        return TraceOptions(**values)
    except BadParameter as error:
        raise typer.BadParameter(str(error)) from error


def _first_marker(path: Path) -> tuple[float, float, float]:
    """Return the place of the first marker of a file.

    Raises:
        BadFile: the file contains no marker.
    """
    from dineuro_bridge.trees.marker import read_markers

    markers = read_markers(path)
    if not markers:
        raise BadFile(f"{path}: contains no marker")
    return markers[0].x, markers[0].y, markers[0].z
