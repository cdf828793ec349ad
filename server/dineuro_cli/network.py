"""`dineuro models`, `evaluate` and `train`: networks, their scores and their training."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dineuro_bridge.errors import BadFile, BadParameter
from dineuro_bridge.options import DEFAULTS, Enhancer, Point
from dineuro_cli.options import JsonFlag, needs_server
from dineuro_cli.terminal import ProgressBar, complain, print_figures
from dineuro_cli.tracing_options import GoldSpacing, single_option, trace_options

if TYPE_CHECKING:
    from dineuro_model.training.recipe import Recipe


def models_command(
    name: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="One model, by name or path.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the files with the SHA-256 of the release.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the installed networks, the default first, or describe one file of weights.

    The entry `runtimes` names the installed libraries that evaluate a network, the best one first.
    """
    needs_server("the network", network=True)
    from dineuro_model.catalog import list_models
    from dineuro_model.inference.registry import runtimes_for
    from dineuro_model.network.stored import describe

    runtimes = ", ".join(entry.name for entry in runtimes_for())

    installed = {model.name: model for model in list_models()}
    names = [name] if name is not None else list(installed)
    damaged = []
    for each in names:
        figures = describe(installed[each].path if each in installed else each)
        figures["runtimes"] = runtimes
        if each in installed:
            figures = {"description": installed[each].description, **figures}
            if verify and figures["sha256"] != installed[each].sha256:
                damaged.append(each)
        if as_json:
            typer.echo(json.dumps({"name": each, **figures}))
        else:
            print_figures(each, figures)
    if damaged:
        raise BadFile(f"{', '.join(damaged)}: differs from the released file: reinstall DINeuro")
    if not names:
        complain("no network is installed")


def train_command(
    config: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CONFIG]", help="The recipe, a TOML file; not needed with --corrections."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="RUN",
            help="The folder of the run; by default CONFIG without its suffix.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the last checkpoint of the run.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="MODEL", help="Fine-tune this network, by name or path."),
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(
            metavar="STATE|FOLDER",
            help="Learn from corrected trees: the edited jobs in a server's state folder, or a "
            "folder with X.tif, X_traced.swc and the corrected X.swc. Every fourth stack judges "
            "whether the new network is better.",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="The total number of steps, instead of the recipe's.")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None,
        typer.Option(help="The device, instead of the recipe's."),
    ] = None,
    gold_spacing: GoldSpacing = None,
) -> None:
    """Train a network, or fine-tune one on your own stacks; see docs/training.md."""
    needs_server("training", network=corrections is not None, training=True)
    from dineuro_model.training.recipe import read_recipe
    from dineuro_model.training.train import train

    if config is not None:
        recipe = read_recipe(config)
    elif corrections is not None:
        from dineuro.corrections import DEFAULT_RECIPE

        recipe = DEFAULT_RECIPE
    else:
        raise BadParameter("train: name a recipe, or --corrections")
    run = output or (config.with_suffix("") if config is not None else None)
    if run is None:
        raise BadParameter("train: without a recipe, -o names the folder of the run")
    if gold_spacing is not None:
        recipe = recipe.with_tree_spacing(gold_spacing)
    if start is not None:
        recipe = replace(recipe, start=start, prior="")
    schedule = recipe.schedule
    schedule = replace(schedule, steps=steps or schedule.steps, device=device or schedule.device)
    recipe = replace(recipe, schedule=schedule)
    if corrections is not None:
        _learn(recipe, corrections, run, resume, gold_spacing)
        return
    with ProgressBar(run.name, remaining=True) as bar:
        weights = train(recipe, run, resume=resume, progress=bar)
    typer.echo(weights)


def _learn(
    recipe: Recipe, folder: Path, run: Path, resume: bool, gold_spacing: Point | None
) -> None:
    """Train with the corrections of a folder; print the new network's path if it is better."""
    from dineuro.corrections import find_corrections, learn, mean_f1
    from dineuro_server.jobs.corrected import is_state, write_corrected

    if is_state(folder):
        if gold_spacing is not None:
            raise BadParameter("train: --gold-spacing: a server's edited trees are in voxels")
        state, folder = folder, run / "corrected"
        for left_out in write_corrected(state, folder):
            complain(left_out)
    found = find_corrections(folder)
    with ProgressBar(run.name, remaining=True) as bar:
        lesson = learn(recipe, found, run, resume=resume, gold_spacing=gold_spacing, progress=bar)
    for before, after in zip(lesson.before, lesson.after, strict=True):
        complain(f"{before.name}: F1@2 {before.f1_2 or 0:.3f} before, {after.f1_2 or 0:.3f} after")
        for row in (before, after):
            if row.error:
                complain(f"error: {row.error}")
    figures = f"mean F1@2 {mean_f1(lesson.before):.3f} before, {mean_f1(lesson.after):.3f} after"
    if lesson.better:
        complain(f"the new network is better: {figures}")
        typer.echo(lesson.weights)
    else:
        complain(f"the new network is not better, so keep {recipe.start}: {figures}")


def evaluate_command(
    manifest: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST.csv", help="The cases: columns volume, mask, gold, group, …"
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="ROWS.csv", help="The scores of every case."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="PLOT.png", help="A plot with one dot per case (needs matplotlib)."),
    ] = None,
    enhancer: Annotated[Enhancer, single_option("enhancer")] = DEFAULTS.enhancer,
    model: Annotated[str | None, single_option("model")] = DEFAULTS.model,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="The device of the network.")
    ] = "auto",
    gold_spacing: GoldSpacing = None,
    as_json: JsonFlag = False,
) -> None:
    """Score masks (Dice, clDice, HD95) and trees (ESA, DSA, PDS, F1) over many cases.

    The command prints a table of the means by group. A case that fails counts as 0, and its error
    is printed.
    """
    options = trace_options(enhancer=enhancer, model=model)
    needs_server("evaluation", network=options.uses_network)
    from dineuro.evaluation import (
        as_table,
        evaluate,
        read_manifest,
        summary,
        write_plot,
        write_rows,
    )

    cases = read_manifest(manifest)
    with ProgressBar(manifest.name, remaining=True) as bar:
        rows = evaluate(cases, options, bar, device=device, gold_spacing=gold_spacing)
    if output is not None:
        write_rows(output, rows)
    if plot is not None:
        write_plot(plot, rows)
    if as_json:
        for row in rows:
            typer.echo(json.dumps(asdict(row)))
    else:
        typer.echo(as_table(summary(rows)))
    failed = [row for row in rows if row.error]
    for row in failed:
        complain(f"error: {row.error}")
    if failed:
        raise typer.Exit(1)
