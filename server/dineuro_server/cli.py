"""The command line. Commands import what they need when they run, so that help is at once there.

The exit codes stand in `dineuro_bridge.errors`, and every command's help tells them; besides those,
1 says that some of several inputs failed and 2 that the command line itself was wrong.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dineuro_bridge.errors import BadFile, Cancelled, DineuroError, LimitExceeded, MissingDependency
from dineuro_bridge.volume import RowOrder
from dineuro_server.terminal import ProgressBar, complain, print_figures

if TYPE_CHECKING:
    from dineuro_server.batch import Done, Outputs, Reading
    from dineuro_server.pipeline import Request

_EPILOG = (
    "Exit codes: 0 well; 1 some of several inputs failed; 2 wrong command line; 3 bad input; "
    "4 unsupported format; 5 too large; 6 path not readable or writable; 7 library missing; "
    "130 interrupted."
)
_GIB = 2**30

app = typer.Typer(
    help="Trace neurons: a microscope stack in, the neuron's tree (SWC) out.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _numbers(text: str, count: int, what: str) -> tuple[float, ...]:
    """Comma-separated finite numbers of an option."""
    words = text.split(",")
    try:
        values = tuple(float(word) for word in words)
    except ValueError:
        values = ()
    if len(values) != count or not all(abs(v) < 2**53 for v in values):
        raise typer.BadParameter(f"{text!r}: must be {count} numbers: {what}")
    return values


def _roi(text: str) -> Any:
    values = _numbers(text, 6, "x0,y0,z0,x1,y1,z1")
    if any(v != int(v) for v in values):
        raise typer.BadParameter(f"{text!r}: must be whole voxels: x0,y0,z0,x1,y1,z1")
    return tuple(int(v) for v in values)


def _root(text: str) -> Any:
    return _numbers(text, 3, "x,y,z")


def _spacing(text: str) -> Any:
    values = _numbers(text, 3, "x,y,z in µm")
    if min(values) <= 0:
        raise typer.BadParameter(f"{text!r}: voxel sizes must be positive")
    return values


MaxGib = Annotated[
    float,
    typer.Option(
        "--max-gib", min=0, envvar="DINEURO_MAX_GIB", help="Refuse a larger volume (GiB)."
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


@app.callback(invoke_without_command=True)
def _main(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.")
    ] = False,
) -> None:
    if show_version:
        typer.echo(f"dineuro {version('dineuro')}")
        raise typer.Exit


@app.command("trace", epilog=_EPILOG)
def trace_command(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="IN...", help="Volumes, folders of volumes, or patterns."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT.swc",
            help="The tree; '-' is standard output; a folder for several inputs. Without it, "
            "IMAGE_dineuro.swc beside each image.",
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="MASK", help="The mask, .v3draw .v3dpbd or .tif; or a folder."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="R.json", help="The report; or a folder.")
    ] = None,
    preview: Annotated[
        Path | None, typer.Option(metavar="P.png", help="Projections with the tree; or a folder.")
    ] = None,
    channel: Annotated[int | None, typer.Option(help="Channel, counted from 1.")] = None,
    roi: Annotated[
        Any,
        typer.Option(
            parser=_roi,
            metavar="x0,y0,z0,x1,y1,z1",
            help="Only this box of voxels, from 0, ends excluded; the tree keeps the full "
            "volume's coordinates.",
        ),
    ] = None,
    marker: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Vaa3D .marker file; the first marker is the root."),
    ] = None,
    root: Annotated[
        Any, typer.Option(parser=_root, metavar="x,y,z", help="The root, in voxels from 0.")
    ] = None,
    spacing: Annotated[
        Any,
        typer.Option(
            parser=_spacing, metavar="x,y,z", help="Voxel size in µm, if not in the file."
        ),
    ] = None,
    enhancer: Annotated[
        Literal["dineuro", "classical", "none"],
        typer.Option(help="What tells neurites from background."),
    ] = "classical",
    threshold: Annotated[
        int, typer.Option(min=1, max=255, help="Least probability (of 255) that is foreground.")
    ] = 128,
    min_length: Annotated[
        float, typer.Option(min=0, help="Shortest branch that is kept (voxels).")
    ] = 5.0,
    gap: Annotated[float, typer.Option(min=0, help="Widest gap that is joined (voxels).")] = 15.0,
    trees: Annotated[
        Literal["one", "all"], typer.Option(help="The tree of the root alone, or every piece.")
    ] = "one",
    units: Annotated[Literal["voxel", "um"], typer.Option(help="Units of the SWC.")] = "voxel",
    row_order: Annotated[
        RowOrder,
        typer.Option(help="TIFF rows as the file has them, or as Vaa3D shows them."),
    ] = "file",
    max_gib: MaxGib = 16.0,
    as_json: JsonFlag = False,
) -> None:
    """Trace neurons: IN is a .tif, .v3draw or .v3dpbd stack; the tree is written as SWC."""
    if marker is not None and root is not None:
        raise typer.BadParameter("--marker and --root both name the root: give one")
    _needs_server("tracing")
    from dineuro_server.batch import Reading, find_inputs, plan_outputs
    from dineuro_server.pipeline import Request
    from dineuro_tracing.trace import TraceParameters

    paths = find_inputs(inputs)
    to_stdout = output == Path("-")
    if to_stdout and (len(paths) > 1 or as_json):
        raise typer.BadParameter("-o - prints one tree: one input, and no --json")
    asked = {"mask": mask, "report": report, "preview": preview}
    wanted = {kind: place for kind, place in asked.items() if place is not None}
    plans = plan_outputs(paths, wanted if to_stdout else {"swc": output, **wanted})
    request = Request(
        enhancer=enhancer,
        parameters=TraceParameters(threshold, min_length, gap, trees),
        channel=channel,
        roi=roi,
        root=_first_marker(marker) if marker is not None else root,
        spacing=spacing[::-1] if spacing else None,
        units=units,
    )
    reading = Reading(row_order, int(max_gib * _GIB))
    if len(paths) == 1:
        done = _traced(paths[0], plans[0], request, reading)
        _tell(done, to_stdout=to_stdout, as_json=as_json)
    else:
        _trace_many(paths, plans, request, reading, as_json=as_json)


def _first_marker(path: Path) -> tuple[float, float, float]:
    """Where the first marker of a file is, as the root."""
    from dineuro_bridge.marker import read_markers

    markers = read_markers(path)
    if not markers:
        raise BadFile(f"{path}: holds no marker")
    return markers[0].x, markers[0].y, markers[0].z


def _traced(path: Path, outputs: Outputs, request: Request, reading: Reading) -> Done:
    """One volume traced, with a bar where somebody is looking."""
    from dineuro_server.batch import run_one

    with ProgressBar(path.name) as bar:
        try:
            return run_one(path, outputs, request, reading, bar)
        except MemoryError as error:
            raise LimitExceeded(f"{path}: this machine's memory does not hold it") from error


def _trace_many(
    paths: list[Path], plans: list[Outputs], request: Request, reading: Reading, *, as_json: bool
) -> None:
    """All volumes one after the other; a bad one is reported, and again at the end."""
    failures: list[tuple[Path, str]] = []
    for path, outputs in zip(paths, plans, strict=True):
        try:
            _tell(_traced(path, outputs, request, reading), to_stdout=False, as_json=as_json)
            continue
        except DineuroError as error:
            failures.append((path, str(error)))
        except Exception as error:
            logging.exception("%s: an error of DINeuro's own", path)
            failures.append((path, f"{path}: {type(error).__name__}: {error}"))
        complain(f"error: {failures[-1][1]}")
        if as_json:
            typer.echo(json.dumps({"input": str(path), "error": failures[-1][1]}))
    if failures:
        complain(f"{len(failures)} of {len(paths)} inputs failed:")
        for _, message in failures:
            complain(f"  {message}")
        raise typer.Exit(1)


def _tell(done: Done, *, to_stdout: bool, as_json: bool) -> None:
    """The result for whoever listens: a script, a pipe, or a person."""
    if to_stdout:
        from dineuro_bridge.swc import swc_text

        sys.stdout.write(swc_text(done.tree))
    elif as_json:
        typer.echo(json.dumps(done.record))
    elif sys.stdout.isatty():
        print_report(done.record)
    for warning in done.record["warnings"]:
        complain(f"{done.record['input']}: warning: {warning}")


def print_report(record: dict[str, Any]) -> None:
    """A report as a table for a person."""
    depth, height, width = record["shape_zyx"]
    soma = record["root"]
    if record["soma_radius"] is not None:
        soma += f", radius {record['soma_radius']:.1f}"
    print_figures(
        record["input"],
        {
            "volume": f"{width} x {height} x {depth}, {record['dtype']}",
            "nodes, trees": f"{record['nodes']}, {record['trees']}",
            "forks, tips": f"{record['forks']}, {record['tips']}",
            "length": f"{record['length']:.0f} voxels",
            "root": soma,
            "mask explained by the tree": f"{record['explained']:.1%}",
            "tree that runs through the mask": f"{record['supported']:.1%}",
            "pieces left out": f"{record['left_out']:.0f} voxels",
            "joined gaps": f"{record['joined_gaps']} ({record['joined_length']:.0f} voxels)",
            "seconds": ", ".join(f"{k} {v:.2f}" for k, v in record["seconds"].items()),
            **{f"{kind} written to": place for kind, place in record["outputs"].items()},
        },
    )


@app.command("score", epilog=_EPILOG)
def score_command(
    gold: Annotated[Path, typer.Argument(metavar="GOLD", help="The reference SWC.")],
    test: Annotated[Path, typer.Argument(metavar="TEST", help="The SWC to judge.")],
    as_json: JsonFlag = False,
) -> None:
    """Compare two trees: ESA, DSA and PDS as BigNeuron has them, and F1 by length."""
    _needs_server("scoring")
    from dataclasses import asdict

    from dineuro_bridge.swc import read_swc
    from dineuro_tracing.scores import score_trees

    scores = score_trees(read_swc(gold), read_swc(test))
    if as_json:
        record = {"gold": str(gold), "test": str(test), **asdict(scores)}
        typer.echo(json.dumps(record, allow_nan=False))
        return
    figures: dict[str, str] = {
        "ESA": _or_dash(scores.esa),
        "ESA gold to test (misses)": _or_dash(scores.esa12),
        "ESA test to gold (extras)": _or_dash(scores.esa21),
        "DSA": _or_dash(scores.dsa),
        "PDS": _or_dash(scores.pds),
    }
    for match in (scores.at2, scores.at4):
        figures[f"F1@{match.radius:g}"] = (
            f"{match.f1:.3f} (precision {match.precision:.3f}, recall {match.recall:.3f})"
        )
    figures["length gold, test"] = f"{scores.gold_length:.1f}, {scores.test_length:.1f}"
    figures["nodes gold, test"] = f"{scores.gold_nodes}, {scores.test_nodes}"
    print_figures(f"{test} against {gold}", figures)


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


@app.command("info", epilog=_EPILOG)
def info_command(
    inputs: Annotated[list[Path], typer.Argument(metavar="IN...", help="Volumes.")],
    as_json: JsonFlag = False,
) -> None:
    """Tell what a volume's file says of itself, without reading its voxels."""
    from dineuro_bridge.formats import read_header

    for path in inputs:
        header = read_header(path)
        channels, depth, height, width = header.shape
        spacing = header.spacing[::-1] if header.spacing else None
        if as_json:
            record = {
                "input": str(path), "format": header.format, "channels": channels,
                "shape_zyx": [depth, height, width], "dtype": str(header.dtype),
                "bytes": header.nbytes, "spacing_um_xyz": spacing, **header.details,
            }  # fmt: skip
            typer.echo(json.dumps(record))
            continue
        figures = {
            "format": header.format,
            "size": f"{width} x {height} x {depth} (x, y, z)",
            "channels": str(channels),
            "samples": f"{header.dtype}, {header.nbytes / 2**20:.1f} MiB in all",
            "voxel size": " x ".join(f"{s:g}" for s in spacing) + " µm" if spacing else "unknown",
        }
        print_figures(str(path), figures | header.details)


@app.command("convert", epilog=_EPILOG)
def convert_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A volume.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Its suffix names the format.")],
    channel: Annotated[int | None, typer.Option(help="Only this channel, counted from 1.")] = None,
    roi: Annotated[
        Any, typer.Option(parser=_roi, metavar="x0,y0,z0,x1,y1,z1", help="Only this box.")
    ] = None,
    compress: Annotated[bool, typer.Option("--compress", help="Deflate a TIFF.")] = False,
    row_order: Annotated[
        RowOrder, typer.Option(help="TIFF rows as the file has them, or as Vaa3D shows them.")
    ] = "file",
    max_gib: MaxGib = 16.0,
) -> None:
    """Convert a volume between .tif, .v3draw and .v3dpbd; samples are never changed."""
    from dataclasses import replace

    from dineuro_bridge.formats import read_volume, volume_suffix, write_volume

    volume_suffix(target)
    volume = read_volume(source, row_order=row_order, max_bytes=int(max_gib * _GIB))
    if roi is not None:
        volume = volume.cropped(roi)
    if channel is not None:
        volume = replace(volume, voxels=volume.channel(channel)[None])
    write_volume(target, volume, compress=compress)


@app.command("demo", epilog=_EPILOG)
def demo_command(
    folder: Annotated[
        Path, typer.Argument(help="Where stack, tree, mask and picture are written.")
    ] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another seed grows another neuron.")] = 1,
) -> None:
    """Grow a neuron, render it as a noisy stack, trace it, and compare with what was grown."""
    _needs_server("tracing")
    from dineuro_server.demo import run_demo

    with ProgressBar("demo") as bar:
        record, figures = run_demo(folder, seed, bar)
    print_report(record)
    print_figures("against the tree that was rendered", figures)


def _needs_server(what: str) -> None:
    """Say so on the thin install, before any work."""
    missing = [
        name for name in ("cc3d", "edt", "numba", "PIL", "scipy", "skimage") if not find_spec(name)
    ]
    if missing:
        raise MissingDependency(
            f"{what} needs more than the thin install, which lacks {', '.join(missing)}: "
            "pip install 'dineuro[server]'"
        )


def main() -> None:
    """Run the command line; every known error is one sentence and an exit code."""
    try:
        app()
    except DineuroError as error:
        complain(f"error: {error}")
        raise SystemExit(error.exit_code) from None
    except SystemExit as left:
        if left.code == Cancelled.exit_code:  # typer turns Ctrl-C into this
            complain("stopped")
        raise
    except BrokenPipeError:
        # Whoever read our output has left; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
