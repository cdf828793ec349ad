"""`dineuro send`: for Vaa3D without the plugin, all results and one file to drag."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.parts import PARTS
from dineuro_cli import options
from dineuro_cli.options import JsonFlag, check_model
from dineuro_cli.trace import first_marker, trace_all


def send_command(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="IN...", help="Volumes, folders of volumes, or patterns."),
    ],
    server: options.Server = "tcp://127.0.0.1:5599",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FOLDER", help="Not beside each image, but here."),
    ] = None,
    channel: options.Channel = None,
    roi: options.Roi = None,
    marker: options.MarkerFile = None,
    root: options.Root = None,
    spacing: options.Spacing = None,
    enhancer: options.EnhancerName = "auto",
    model: options.Model = None,
    threshold: options.Threshold = 128,
    min_length: options.MinLength = 3.0,
    gap: options.Gap = 60.0,
    trees: options.Trees = "one",
    min_confidence: options.MinConfidence = 0.5,
    passes: options.Passes = 2,
    as_json: JsonFlag = False,
    token_file: options.TokenFile = None,
    key: options.Key = None,
    server_key: options.ServerKey = None,
) -> None:
    """Send stacks to a server; drag IMAGE_dineuro.ano into Vaa3D to see image, mask and tree."""
    if marker is not None and root is not None:
        raise typer.BadParameter("--marker and --root both name the root: give one")
    check_model(model, enhancer)
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
    params: dict[str, Any] = {
        "enhancer": enhancer, "model": model, "channel": channel, "roi": roi,
        "root": root if marker is None else first_marker(marker), "spacing": spacing,
        # What Vaa3D shows of a TIFF has its rows the other way round.
        "row_order": "vaa3d",
        "threshold": threshold, "min_length": min_length, "gap": gap, "trees": trees,
        "min_confidence": min_confidence, "passes": passes,
    }  # fmt: skip
    work = remote_work(server or "", params, token_file=token_file, key=key, server_key=server_key)
    trace_all(paths, plans, work, as_json=as_json)
