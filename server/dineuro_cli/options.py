"""Options that several commands share, and what they have in common."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dineuro_bridge.errors import MissingDependency

EPILOG = (
    "Exit codes: 0 well; 1 some of several inputs failed; 2 wrong command line; 3 bad input; "
    "4 unsupported format; 5 too large; 6 path not readable or writable; 7 library missing; "
    "8 a server refused; 130 interrupted."
)
GIB = 2**30


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


def roi(text: str) -> Any:
    """A box in whole voxels."""
    values = _numbers(text, 6, "x0,y0,z0,x1,y1,z1")
    if any(v != int(v) for v in values):
        raise typer.BadParameter(f"{text!r}: must be whole voxels: x0,y0,z0,x1,y1,z1")
    return tuple(int(v) for v in values)


def root(text: str) -> Any:
    """A place in voxels."""
    return _numbers(text, 3, "x,y,z")


def spacing(text: str) -> Any:
    """Voxel sizes, x first."""
    values = _numbers(text, 3, "x,y,z in µm")
    if min(values) <= 0:
        raise typer.BadParameter(f"{text!r}: voxel sizes must be positive")
    return values


MaxGib = Annotated[
    float,
    typer.Option(
        "--max-gib",
        min=0,
        max=2**23,
        envvar="DINEURO_MAX_GIB",
        help="Refuse a larger volume (GiB).",
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


# What is traced, and how

Channel = Annotated[int | None, typer.Option(help="Channel, counted from 1.")]
Roi = Annotated[
    Any,
    typer.Option(
        parser=roi,
        metavar="x0,y0,z0,x1,y1,z1",
        help="Only this box of voxels, from 0, ends excluded; the tree keeps the full "
        "volume's coordinates.",
    ),
]
MarkerFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Vaa3D .marker file; the first marker is the root."),
]
Root = Annotated[
    Any, typer.Option(parser=root, metavar="x,y,z", help="The root, in voxels from 0.")
]
Spacing = Annotated[
    Any,
    typer.Option(parser=spacing, metavar="x,y,z", help="Voxel size in µm, if not in the file."),
]
EnhancerName = Annotated[
    Literal["auto", "dineuro", "classical", "none"],
    typer.Option(help="What tells neurites from background."),
]
Model = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="Name or path of a network; see dineuro models."),
]
Threshold = Annotated[
    int, typer.Option(min=1, max=255, help="Least probability (of 255) that is foreground.")
]
MinLength = Annotated[float, typer.Option(min=0, help="Shortest branch that is kept (voxels).")]
Gap = Annotated[
    float,
    typer.Option(
        min=0,
        help="Widest gap that is joined where that is likely (voxels; over 40 large parts alone).",
    ),
]
Trees = Annotated[
    Literal["one", "all"],
    typer.Option(help="The tree of the root alone, or every neuron and piece."),
]
MinConfidence = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Branches that are less likely right are taken off; 0 keeps all."
    ),
]
Passes = Annotated[
    int,
    typer.Option(
        min=1, max=2,
        help="With 2, what was traced with little certainty is judged again by what is certain, "
        "where that helps; 1 leaves it out.",
    ),
]  # fmt: skip

# Who does it

Server = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        envvar="DINEURO_SERVER",
        help="Let a server do it: tcp://HOST:PORT or http://HOST:PORT.",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="With the token for an HTTP server; or set DINEURO_TOKEN."),
]
Key = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="One's CURVE keys (NAME.key_secret), for tcp://."),
]
ServerKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The server's public CURVE key (server.key)."),
]


def check_model(model: str | None, enhancer: str) -> None:
    """Refuse a network for an enhancer that uses none."""
    if model is not None and enhancer not in ("auto", "dineuro"):
        raise typer.BadParameter(f"--model names a network, --enhancer {enhancer} uses none")


def needs_server(what: str, *, network: bool = False, service: bool = False) -> None:
    """Say so on the thin install, before any work."""
    names = ["cc3d", "edt", "numba", "PIL", "scipy", "skimage", "sklearn"]
    names += ["safetensors", "timm", "torch"] if network else []
    names += ["fastapi", "psutil", "pydantic_settings", "uvicorn"] if service else []
    missing = [name for name in names if not find_spec(name)]
    if missing:
        raise MissingDependency(
            f"{what} needs more than the thin install, which lacks {', '.join(missing)}: "
            "pip install 'dineuro[server]'"
        )
