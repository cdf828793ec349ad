"""The command `dineuro` with all its subcommands."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from dineuro_cli.brain import brain_command
from dineuro_cli.files import (
    convert_command,
    info_command,
    measure_command,
    report_command,
    score_command,
)
from dineuro_cli.network import evaluate_command, models_command, train_command
from dineuro_cli.options import EPILOG
from dineuro_cli.plugin import plugin_app
from dineuro_cli.send import send_command
from dineuro_cli.serve import keys_app, serve_command
from dineuro_cli.trace import demo_command, trace_command

app = typer.Typer(
    help="Trace neurons: from a microscope stack to the neuron's tree (SWC).",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _main(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    if show_version:
        typer.echo(f"dineuro {version('dineuro')}")
        raise typer.Exit


for name, command in (
    ("trace", trace_command),
    ("brain", brain_command),
    ("send", send_command),
    ("score", score_command),
    ("measure", measure_command),
    ("report", report_command),
    ("info", info_command),
    ("convert", convert_command),
    ("evaluate", evaluate_command),
    ("models", models_command),
    ("train", train_command),
    ("demo", demo_command),
    ("serve", serve_command),
):
    app.command(name, epilog=EPILOG)(command)
app.add_typer(keys_app, name="keys")
app.add_typer(plugin_app, name="plugin")
