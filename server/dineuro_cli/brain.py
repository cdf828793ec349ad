"""`dineuro brain`: volumes larger than the memory, block by block."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from dineuro_bridge.options import DEFAULTS, TraceOptions
from dineuro_cli.options import JsonFlag, needs_server
from dineuro_cli.terminal import ProgressBar, complain, print_figures
from dineuro_cli.tracing_options import with_trace_options

#: Options of a trace that a run of blocks does not have.
_LEFT_OUT = ("roi", "root", "row_order", "z_axis", "contrast", "trees", "passes")  # fmt: skip
_PANEL = "Workers"


@with_trace_options(*_LEFT_OUT)
def brain_command(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A volume, best an OME-Zarr with levels.")
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder of the run; the same command goes on.")
    ],
    *,
    options: TraceOptions = DEFAULTS,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=4096,
            rich_help_panel=_PANEL,
            help="Number of processes on this machine; as many as processors if left out, and 0 "
            "works without Dask.",
        ),
    ] = None,
    memory: Annotated[
        str, typer.Option(metavar="SIZE", rich_help_panel=_PANEL, help="Memory of a worker.")
    ] = "4GiB",
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            rich_help_panel=_PANEL,
            help="Dask scheduler of a cluster, tcp://HOST:PORT; its workers see IN and OUT.",
        ),
    ] = None,
    block: Annotated[
        int,
        typer.Option(
            min=32, max=2048, rich_help_panel=_PANEL, help="Edge of a block. Unit: voxel."
        ),
    ] = 256,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the run would cost, and do nothing.")
    ] = False,
    price: Annotated[float, typer.Option(min=0, help="Price of a core-hour, for --dry-run.")] = 0.0,
    as_json: JsonFlag = False,
) -> None:
    """Enhance and trace a volume that is larger than the memory, on one machine or a cluster."""
    needs_server("tracing")
    from dineuro.brain.run import prepare_job

    job = prepare_job(source, folder, options, block)
    if dry_run:
        from dineuro.brain.plan import estimate

        with ProgressBar(source.name, remaining=True) as bar:
            _tell(str(source), estimate(job, price, bar).figures(), as_json=as_json)
        return
    record = _run(job, workers, memory, scheduler, source)
    for warning in record["warnings"]:
        complain(f"{source}: warning: {warning}")
    for hole in record["holes"]:
        box = "some trees" if hole["box_xyz"] is None else f"the box {hole['box_xyz']}"
        complain(f"{source}: {box} is a hole ({hole['stage']}): {hole['says']}")
    _tell(str(source), {name: record[name] for name in _SHOWN if name in record}, as_json=as_json)
    if record["holes"]:
        complain(f"{len(record['holes'])} blocks failed: the same command tries them again")
        raise typer.Exit(1)


#: Entries of the report that a person sees.
_SHOWN = ("shape_zyx", "blocks", "blocks_done", "blocks_dark", "neurons", "somata", "trees",
          "length", "likely")  # fmt: skip


def _run(
    job: Any, workers: int | None, memory: str, scheduler: str | None, source: Path
) -> dict[str, Any]:
    """Do the run; an interrupt tells how to go on."""
    import os

    from dineuro.brain.run import run_brain
    from dineuro.brain.workers import start_workers

    count = os.cpu_count() or 1 if workers is None else workers
    crew = start_workers(count, memory, scheduler)
    try:
        with ProgressBar(source.name, remaining=True) as bar:
            return run_brain(job, crew, bar)
    except KeyboardInterrupt:
        complain(f"{job.folder}: what was done is kept: the same command goes on")
        raise
    finally:
        crew.close()


def _tell(title: str, figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        print_figures(title, {name.replace("_", " "): str(v) for name, v in figures.items()})
