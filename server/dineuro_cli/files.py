"""`dineuro score`, `measure`, `report`, `info` and `convert`: work on files without tracing."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dineuro_bridge.errors import DineuroError
from dineuro_bridge.options import DEFAULTS
from dineuro_bridge.volumes.terms import RowOrder, ZAxis
from dineuro_cli.options import GIB, JsonFlag, MaxGib, needs_server
from dineuro_cli.terminal import complain, print_figures
from dineuro_cli.tracing_options import GoldSpacing, TreeSpacing, single_option

if TYPE_CHECKING:
    from dineuro_bridge.volumes.source import Source


def score_command(
    gold: Annotated[Path, typer.Argument(metavar="GOLD", help="The reference SWC.")],
    test: Annotated[Path, typer.Argument(metavar="TEST", help="The SWC to score.")],
    gold_spacing: GoldSpacing = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare two trees: BigNeuron's ESA, DSA and PDS, and F1 by length."""
    needs_server("scoring")
    from dataclasses import asdict

    from dineuro.scoring import scores_in_voxels

    scores, doubt = scores_in_voxels(gold, test, gold_spacing)
    if doubt is not None:
        complain(f"{gold}: warning: {doubt} Pass --gold-spacing x,y,z if the gold tree is in µm")
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


def report_command(
    folder: Annotated[Path, typer.Argument(help="A folder with X_report.json files and pictures.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="P.html", help="The page; by default FOLDER/report.html."
        ),
    ] = None,
) -> None:
    """Make an HTML page of a batch, and a CSV file beside it: the least certain stack first.

    The command `dineuro trace STACKS -o FOLDER --report FOLDER --preview FOLDER` fills the folder.
    """
    from dineuro.files.overview import write_overview

    page = folder / "report.html" if output is None else output
    count = write_overview(folder, page)
    complain(f"{page}: {count} stacks")


def measure_command(
    trees: Annotated[
        list[Path], typer.Argument(metavar="TREE...", help="The SWC files to measure.")
    ],
    spacing: TreeSpacing = None,
    step: Annotated[
        float, typer.Option(min=1e-3, help="Distance of Sholl's spheres, in the unit of the tree.")
    ] = 10.0,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one line per tree.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Measure trees: length, tips, forks, Strahler's order, tortuosity and Sholl's crossings.

    Lengths are in µm where the size of a voxel is known, from --spacing or the tree's comments.
    """
    from dineuro.measurements import as_row, measured_file

    rows, failed = list[dict[str, Any]](), None
    for tree in trees:
        try:
            record = measured_file(tree, spacing, step)
        except DineuroError as error:
            complain(str(error))
            failed = error
            continue
        if as_json:
            typer.echo(json.dumps({"tree": str(tree), **record}, allow_nan=False))
        elif as_csv:
            rows.append({"tree": str(tree), **as_row(record)})
        else:
            print_figures(str(tree), {name: str(v) for name, v in as_row(record).items()})
    if rows:
        names = list(dict.fromkeys(name for row in rows for name in row))
        table = csv.DictWriter(sys.stdout, names, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    if failed is not None:
        raise typer.Exit(failed.exit_code)


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def info_command(
    inputs: Annotated[list[Path], typer.Argument(metavar="IN...", help="Volumes.")],
    as_json: JsonFlag = False,
) -> None:
    """Print the header of a volume's file, without reading its voxels."""
    failed = 0
    for path in inputs:
        try:
            _print_info(path, as_json=as_json)
        except DineuroError as error:
            if len(inputs) == 1:
                raise
            failed += 1
            complain(f"error: {error}")
    if failed:
        raise typer.Exit(1)


def _print_info(path: Path, *, as_json: bool) -> None:
    from dineuro_bridge.volumes.formats import read_header
    from dineuro_bridge.volumes.source import NAMED_HERE

    header = read_header(path, NAMED_HERE)
    channels, depth, height, width = header.shape
    spacing = header.spacing[::-1] if header.spacing else None
    if as_json:
        record = {
            "input": str(path), "format": header.format, "channels": channels,
            "shape_zyx": [depth, height, width], "dtype": str(header.dtype),
            "bytes": header.nbytes, "spacing_um_xyz": spacing, **header.details,
            "warnings": header.warnings,
        }  # fmt: skip
        typer.echo(json.dumps(record))
        return
    figures = {
        "format": header.format,
        "size": f"{width} x {height} x {depth} (x, y, z)",
        "channels": str(channels),
        "samples": f"{header.dtype}, {header.nbytes / 2**20:.1f} MiB in all",
        "voxel size": " x ".join(f"{s:g}" for s in spacing) + " µm" if spacing else "unknown",
    }
    print_figures(str(path), figures | header.details)
    for warning in header.warnings:
        complain(f"{path}: warning: {warning}")


def convert_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A volume.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Its suffix names the format.")],
    channel: Annotated[
        int | None, single_option("channel", "Only this channel, counted from 1.")
    ] = None,
    roi: Annotated[Any, single_option("roi", "Only this box of voxels.")] = None,
    compress: Annotated[bool, typer.Option("--compress", help="Deflate a TIFF.")] = False,
    zarr: Annotated[
        Literal["0.4", "0.5"] | None, typer.Option(help="The version of OME-Zarr; 0.5 by default.")
    ] = None,
    levels: Annotated[
        Literal["maximum", "mean"] | None,
        typer.Option(
            help="What coarser levels of an OME-Zarr keep; maximum by default, for thin neurites."
        ),
    ] = None,
    row_order: Annotated[RowOrder, single_option("row_order")] = DEFAULTS.row_order,
    z_axis: Annotated[ZAxis, single_option("z_axis")] = DEFAULTS.z_axis,
    max_gib: MaxGib = 16.0,
) -> None:
    """Convert a volume or a folder of slices to the format of OUT's suffix; samples stay as is."""
    from dineuro_bridge.volumes.formats import format_of_name, write_source
    from dineuro_bridge.volumes.remote import address_of
    from dineuro_bridge.volumes.views import PartSource

    if address_of(target) is not None:
        raise typer.BadParameter(f"{target}: an address is only read: name a file or folder here")
    target_format = format_of_name(target)
    suffix = target.suffix.lower()
    if suffix not in target_format.written_suffixes:
        raise typer.BadParameter(f"{target}: {suffix} cannot be written: use .v3draw")
    if target.exists() and source.exists() and target.samefile(source):
        raise typer.BadParameter(f"{target}: is the input, which would be overwritten")
    asked = {"compress": compress or None, "zarr": zarr, "levels": levels}
    options = {name: value for name, value in asked.items() if value is not None}
    for name in options.keys() - target_format.options:
        works = ".tif" if name == "compress" else ".ome.zarr"
        raise typer.BadParameter(f"--{name} works with {works}, and not with {suffix}")
    max_bytes = int(max_gib * GIB)
    with _opened(source, z_axis, max_bytes) as opened:
        for warning in opened.header.warnings:
            complain(f"{source}: warning: {warning}")
        flipped = row_order == "vaa3d" and opened.rows_upside_down
        part = PartSource(opened, roi, channel, flipped=flipped)
        write_source(target, part, max_bytes=max_bytes, **options)
        spacing = part.spacing
    if spacing is not None and not target_format.holds_spacing:
        size = ",".join(f"{s:g}" for s in spacing[::-1])
        complain(f"{target}: warning: {suffix} stores no voxel size: use --spacing {size} later")


def _opened(path: Path, z_axis: ZAxis, max_bytes: int) -> Source:
    """The input of a conversion; channels become slices in memory alone."""
    from dineuro_bridge.volumes.formats import open_volume, read_volume
    from dineuro_bridge.volumes.source import NAMED_HERE
    from dineuro_bridge.volumes.views import VolumeSource

    how = replace(NAMED_HERE, z_axis=z_axis)
    if z_axis == "c":
        return VolumeSource(read_volume(path, max_bytes=max_bytes, how=how))
    return open_volume(path, how)
