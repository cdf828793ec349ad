"""`dineuro send`: results for Vaa3D without the plugin, with one linker file to drag."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.options import DEFAULTS, TraceOptions
from dineuro_bridge.parts import PARTS
from dineuro_cli.options import SERVER, JsonFlag, Key, ServerKey, TokenFile
from dineuro_cli.trace import trace_all
from dineuro_cli.tracing_options import with_trace_options


@with_trace_options("row_order", "units")
def send_command(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="IN...", help="Volumes, folders of volumes, or patterns."),
    ],
    server: Annotated[str, SERVER] = "tcp://127.0.0.1:5599",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="The folder of the results; by default beside each image.",
        ),
    ] = None,
    by_path: Annotated[
        bool,
        typer.Option(
            "--by-path",
            help="The server reads the files where they are: same paths, no upload. It must serve "
            "their folder (dineuro serve --root).",
        ),
    ] = False,
    options: TraceOptions = DEFAULTS,
    as_json: JsonFlag = False,
    token_file: TokenFile = None,
    key: Key = None,
    server_key: ServerKey = None,
) -> None:
    """Send stacks to a server, and write IMAGE_dineuro.ano to open all results in Vaa3D."""
    from dineuro.files.outputs import find_inputs, make_folder, plan_outputs
    from dineuro_cli.remote import remote_work

    linked = [part.name for part in PARTS.values() if part.linker_key is not None]
    linked.append("ano")
    paths = find_inputs(inputs)
    if output is not None:
        make_folder(output)
    try:
        plans = plan_outputs(paths, dict.fromkeys(linked, output))
    except BadParameter as error:
        raise typer.BadParameter(str(error)) from error
    # Vaa3D shows the rows of a TIFF in reverse order.
    options = replace(options, row_order="vaa3d")
    work = remote_work(
        server, options, token_file=token_file, key=key, server_key=server_key, by_path=by_path
    )
    trace_all(paths, plans, work, as_json=as_json)
