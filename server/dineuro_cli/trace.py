"""`dineuro trace` and `dineuro demo`: from volumes to trees."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dineuro_bridge.errors import BadParameter, DineuroError, LimitExceeded
from dineuro_bridge.options import DEFAULTS, TraceOptions
from dineuro_cli.interrupts import interrupts
from dineuro_cli.options import (
    GIB,
    JsonFlag,
    Key,
    MaxGib,
    Server,
    ServerKey,
    TokenFile,
    needs_server,
)
from dineuro_cli.signatures import expanded, part_options
from dineuro_cli.terminal import ProgressBar, complain, print_figures
from dineuro_cli.tracing_options import with_trace_options

if TYPE_CHECKING:
    from dineuro.files.outputs import Done, Outputs
    from dineuro_bridge.progress import ProgressCallback
    from dineuro_cli.remote import Work


@expanded("places", part_options())
@with_trace_options()
def trace_command(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="IN...", help="Volumes, folders of volumes, or patterns."),
    ],
    *,
    options: TraceOptions = DEFAULTS,
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(help="The device of the network.", rich_help_panel="Network"),
    ] = "auto",
    stack_folder: Annotated[
        bool,
        typer.Option(
            "--stack-folder",
            help="A folder is one stack, with a file for each slice.",
            rich_help_panel="Input",
        ),
    ] = False,
    places: dict[str, Path | None],
    max_gib: MaxGib = 16.0,
    as_json: JsonFlag = False,
    server: Server = None,
    token_file: TokenFile = None,
    key: Key = None,
    server_key: ServerKey = None,
) -> None:
    """Trace neurons in .tif, .v3draw or .v3dpbd stacks, and write the trees as SWC."""
    from dineuro.files.outputs import find_inputs, plan_outputs

    if stack_folder and server is not None:
        raise typer.BadParameter("--stack-folder: `dineuro convert` makes one file for a server")
    paths = find_inputs(inputs, stack_folders=stack_folder)
    to_stdout = places["swc"] == Path("-")
    if to_stdout and (len(paths) > 1 or as_json):
        raise typer.BadParameter("-o - prints one tree: give one input, and omit --json")
    # The tree is always written. Without its option, its place is beside the image.
    written = {
        name: place
        for name, place in places.items()
        if (not to_stdout if name == "swc" else place is not None)
    }
    try:
        plans = plan_outputs(paths, written)
    except BadParameter as error:
        raise typer.BadParameter(str(error)) from error
    if server is None:
        needs_server("tracing", network=options.uses_network)
        work = _local_work(options, device, int(max_gib * GIB))
    else:
        from dineuro_cli.remote import check_outputs, remote_work

        check_outputs(plans)
        work = remote_work(server, options, token_file=token_file, key=key, server_key=server_key)
    trace_all(paths, plans, work, to_stdout=to_stdout, as_json=as_json)


def _local_work(options: TraceOptions, device: str, max_bytes: int) -> Work:
    """Return the function that traces one file on this machine."""

    def work(path: Path, outputs: Outputs, progress: ProgressCallback) -> Done:
        # This import takes seconds: here, the progress bar stands before it begins.
        from dineuro.files.write import run_one

        return run_one(path, outputs, options, progress, device=device, max_bytes=max_bytes)

    return work


def _traced(path: Path, outputs: Outputs, work: Work) -> Done:
    """Trace one volume, with a progress bar on a terminal."""
    with ProgressBar(path.name) as bar:
        try:
            return work(path, outputs, bar)
        except MemoryError as error:
            raise LimitExceeded(f"{path}: this machine has too little memory for it") from error


def trace_all(
    paths: list[Path],
    plans: list[Outputs],
    work: Work,
    *,
    to_stdout: bool = False,
    as_json: bool = False,
) -> None:
    """Trace all volumes in turn. A failure of one is reported at once and again at the end."""
    if len(paths) == 1:
        _tell(_traced(paths[0], plans[0], work), to_stdout=to_stdout, as_json=as_json)
        return
    failures: list[tuple[Path, str]] = []
    for path, outputs in zip(paths, plans, strict=True):
        try:
            _tell(_traced(path, outputs, work), to_stdout=False, as_json=as_json)
            _note_failure(outputs, None)
            continue
        except Exception as error:
            interrupts.raise_again()
            if isinstance(error, DineuroError):
                failures.append((path, str(error)))
            else:
                logging.exception("%s: an internal error of DINeuro", path)
                failures.append((path, f"{path}: {type(error).__name__}: {error}"))
        complain(f"error: {failures[-1][1]}")
        _note_failure(outputs, failures[-1][1])
        if as_json:
            typer.echo(json.dumps({"input": str(path), "error": failures[-1][1]}))
    if failures:
        complain(f"{len(failures)} of {len(paths)} inputs failed:")
        for _, message in failures:
            complain(f"  {message}")
        raise typer.Exit(1)


def _note_failure(outputs: Outputs, message: str | None) -> None:
    """Say beside the reports of a batch why a stack has none; an earlier note goes."""
    if "report" not in outputs:
        return
    from dineuro.files.overview import failure_beside
    from dineuro_bridge.files import write_record

    note = failure_beside(outputs["report"])
    try:
        if message is None:
            note.unlink(missing_ok=True)
        else:
            note.parent.mkdir(parents=True, exist_ok=True)
            write_record(note, {"error": message})
    except (OSError, DineuroError):
        complain(f"{note}: cannot be written")


def _tell(done: Done, *, to_stdout: bool, as_json: bool) -> None:
    """Print a result in the form for a pipe, a script or a person, and its warnings."""
    if to_stdout:
        from dineuro_bridge.trees.swc import swc_text

        sys.stdout.write(swc_text(done.tree))
    elif as_json:
        typer.echo(json.dumps(done.record))
    elif sys.stdout.isatty():
        print_report(done.record)
    if done.record["settings"]["spacing_um_xyz"] is None:
        complain(
            f"{done.record['input']}: voxel size unknown: voxels are taken as cubes "
            "(--spacing x,y,z)"
        )
    for warning in done.record["warnings"]:
        complain(f"{done.record['input']}: warning: {warning}")


def print_report(record: dict[str, Any]) -> None:
    """Print a report as a table for a person."""
    depth, height, width = record["shape_zyx"]
    soma = record["root"]
    if record["soma_radius"] is not None:
        soma += f", radius {record['soma_radius']:.1f}"
    print_figures(
        record["input"],
        {
            "volume": f"{width} x {height} x {depth}, {record['dtype']}",
            "voxel size": _voxel_size(record["settings"]["spacing_um_xyz"]),
            "nodes, trees": f"{record['nodes']}, {record['trees']} ({record['layout']})",
            "forks, tips": f"{record['forks']}, {record['tips']}",
            "length": f"{record['length']:.0f} voxels",
            "root": soma,
            "mask explained by the tree": f"{record['explained']:.1%}",
            "tree inside the mask": f"{record['supported']:.1%}",
            "certain part of the tree": f"{record['certain']:.1%} of its length; "
            f"{len(record['doubts'])} places to proofread",
            "pieces left out": f"{record['left_out']:.0f} voxels",
            "joined gaps": f"{record['joined_gaps']} ({record['joined_length']:.0f} voxels)",
            "seconds": ", ".join(f"{k} {v:.2f}" for k, v in record["seconds"].items()),
            **{f"{name} written to": place for name, place in record["outputs"].items()},
        },
    )


def _voxel_size(spacing_xyz: list[float] | None) -> str:
    if spacing_xyz is None:
        return "unknown, taken as cubes"
    return " x ".join(f"{step:g}" for step in spacing_xyz) + " µm"


def demo_command(
    folder: Annotated[
        Path, typer.Argument(help="The folder for stack, tree, mask and picture.")
    ] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="The seed of the neuron.")] = 1,
) -> None:
    """Grow a neuron, render it as a noisy stack, trace it, and compare both trees."""
    needs_server("tracing")
    from dineuro.demo import run_demo

    with ProgressBar("demo") as bar:
        record, figures = run_demo(folder, seed, bar)
    print_report(record)
    print_figures("against the tree that was rendered", figures)
