"""Commands whose options come from a table: one parameter represents several options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from dineuro_bridge.parts import PARTS, Part

Command = TypeVar("Command", bound=Callable[..., None])


def expanded(
    name: str, parameters: Iterable[inspect.Parameter]
) -> Callable[[Command], Callable[..., None]]:
    """Replace a parameter of a command by several command line options.

    Args:
        name: the parameter of the function; it gets a dictionary of the options' values by name.
        parameters: the options, with annotations and defaults as typer reads them.
    """
    options = list(parameters)

    def decorate(command: Command) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)

        @functools.wraps(command)
        def call(**values: Any) -> None:
            chosen = {option.name: values.pop(option.name) for option in options}
            command(**values, **{name: chosen})

        shown = list(signature.parameters.values())
        place = next(at for at, one in enumerate(shown) if one.name == name)
        shown[place : place + 1] = options
        by_name = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in shown]
        call.__signature__ = signature.replace(parameters=by_name)  # type: ignore[attr-defined]
        call.__annotations__ = {one.name: one.annotation for one in by_name}
        return call

    return decorate


def part_options() -> list[inspect.Parameter]:
    """Return the options for the files of a result's parts, in the order of the table."""
    return [_part_option(part) for part in PARTS.values() if part.option is not None]


def _part_option(part: Part) -> inspect.Parameter:
    option = part.option
    assert option is not None  # noqa: S101 - the caller chooses parts with an option
    info = typer.Option(
        *(option.flags or (f"--{part.name}",)),
        metavar=option.metavar,
        help=option.help,
        rich_help_panel="Output",
    )
    return inspect.Parameter(
        part.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[Path | None, info],
    )
