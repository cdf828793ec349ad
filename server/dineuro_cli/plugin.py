"""`dineuro plugin build`: the plugin for one Vaa3D, from that Vaa3D's own headers."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from dineuro_bridge.errors import BadParameter, FileAccess, MissingDependency
from dineuro_cli.options import EPILOG

plugin_app = typer.Typer(help="Build the plugin for Vaa3D.", no_args_is_help=True)

_HEADER = "v3d_main/basic_c_fun/v3d_interface.h"
_PACKAGES = (
    "apt install cmake g++ pkg-config libzmq3-dev cppzmq-dev nlohmann-json3-dev "
    "qt6-base-dev (or qtbase5-dev)"
)
_PROGRAMS = ("Vaa3D-x", "vaa3d", "Vaa3D")


@plugin_app.callback()
def _group() -> None:
    """The plugin runs in Vaa3D, and sends images to a server."""


@plugin_app.command("build", epilog=EPILOG)
def build_command(
    vaa3d: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="The sources of this Vaa3D: the folder that holds v3d_main."
        ),
    ],
    program: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The program that is to load the plugin. [the one in FOLDER/bin, if any]",
        ),
    ] = None,
    qt: Annotated[
        int | None, typer.Option(min=5, max=6, help="Its Qt. [that of the program, else 6]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FOLDER",
            help="Where the library goes. [plugins/DINeuro beside the program]",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The plugin's sources. [those of this checkout]"),
    ] = None,
) -> None:  # fmt: skip
    """Build the plugin against a Vaa3D, try to load it, and copy it to that Vaa3D."""
    sources = _sources(source)
    if not (vaa3d / _HEADER).is_file():
        raise FileAccess(f"{vaa3d}: holds no {_HEADER}; name the folder of Vaa3D's sources")
    program = program or _program(vaa3d)
    qt = qt or (6 if program is None else _qt_of(program))
    if output is None and program is None:
        raise BadParameter(f"{vaa3d}: has no program in bin; give --program or --output")
    place = output or program.parent / "plugins" / "DINeuro"  # type: ignore[union-attr]
    with tempfile.TemporaryDirectory() as folder:
        library, loader = _built(sources, vaa3d.absolute(), qt, Path(folder))
        _try_loading(library, loader)
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy2(library, place)
    typer.echo(f"{place / library.name}: for Qt {qt}; it can be loaded")


def _sources(given: Path | None) -> Path:
    """The plugin's sources, which only a checkout has."""
    folder = given or Path(__file__).resolve().parents[2] / "vaa3d_bridge" / "plugin"
    if not (folder / "CMakeLists.txt").is_file():
        raise FileAccess(f"{folder}: holds no sources of the plugin; run this in a checkout")
    return folder


def _program(vaa3d: Path) -> Path | None:
    found = [vaa3d / "bin" / name for name in _PROGRAMS if (vaa3d / "bin" / name).is_file()]
    return found[0] if found else None


def _qt_of(program: Path) -> int:
    """The Qt that a program is linked to."""
    linked = re.search(r"libQt(\d)Core", _run("ldd", str(program)))
    if linked is None:
        raise BadParameter(f"{program}: is linked to no Qt that ldd finds; give --qt 5 or --qt 6")
    return int(linked[1])


def _built(sources: Path, vaa3d: Path, qt: int, folder: Path) -> tuple[Path, Path]:
    """The library, and a program that loads it."""
    _run(
        "cmake", "-S", str(sources), "-B", str(folder), f"-DDINEURO_QT={qt}",
        f"-DVAA3D_ROOT={vaa3d}", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_UNITY_BUILD=ON",
    )  # fmt: skip
    _run("cmake", "--build", str(folder), "--parallel", "2")
    (library,) = (folder / "vaa3d").glob("libdineuro_*")
    return library, folder / "vaa3d" / "load_plugin"


def _try_loading(library: Path, loader: Path) -> None:
    """Load the library as Vaa3D does.

    Raises:
        MissingDependency: a library that it needs is not found.
        BadParameter: Qt does not load it; with Qt's reason.
    """
    missing = [
        line.strip() for line in _run("ldd", str(library)).splitlines() if "not found" in line
    ]
    if missing:
        raise MissingDependency(f"{library.name}: {'; '.join(missing)}")
    _run(str(loader), str(library))


def _run(*words: str) -> str:
    """What a program prints.

    Raises:
        MissingDependency: it is not installed.
        BadParameter: it fails; with the errors that it printed.
    """
    try:
        # The words are names of programs of this module, and paths that the user gave.
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError as error:
        raise MissingDependency(f"{words[0]}: is not installed; {_PACKAGES}") from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()
        errors = [line for line in said if "error" in line.lower()] or said
        raise BadParameter(f"{words[0]} failed ({_PACKAGES}):\n" + "\n".join(errors[:12]))
    return done.stdout
