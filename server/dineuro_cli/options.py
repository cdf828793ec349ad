"""Options that several commands share, and the check of what is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from dineuro_bridge.errors import MissingDependency

EPILOG = (
    "Exit codes: 0 success; 1 some of several inputs failed; 2 wrong command line; 3 bad input; "
    "4 unsupported format; 5 too large; 6 path not readable or writable; 7 library missing; "
    "8 a server refused; 130 interrupted."
)
GIB = 2**30
_SERVER_PANEL = "Server"

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
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]


SERVER = typer.Option(
    metavar="ADDRESS",
    envvar="DINEURO_SERVER",
    help="Server that does the work: tcp://HOST:PORT or http://HOST:PORT.",
    rich_help_panel=_SERVER_PANEL,
)
Server = Annotated[str | None, SERVER]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File with the token for an HTTP server; or set DINEURO_TOKEN.",
        rich_help_panel=_SERVER_PANEL,
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Your CURVE keys (NAME.key_secret), for tcp://.",
        rich_help_panel=_SERVER_PANEL,
    ),
]
ServerKey = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The server's public CURVE key (server.key).",
        rich_help_panel=_SERVER_PANEL,
    ),
]


def needs_server(
    what: str, *, network: bool = False, service: bool = False, training: bool = False
) -> None:
    """Refuse work that the install cannot do, before it begins.

    Args:
        what: the work, for the message.
        network: whether a network is evaluated, in any runtime.
        service: whether a server runs.
        training: whether a network is trained, which needs torch.

    Raises:
        MissingDependency: a library is missing; the message names it.
    """
    names = ["cc3d", "edt", "numba", "PIL", "scipy", "skimage", "sklearn"]
    names += ["safetensors"] if network or training else []
    names += ["timm", "torch"] if training else []
    names += ["fastapi", "psutil", "pydantic_settings", "uvicorn"] if service else []
    missing = [name for name in names if not find_spec(name)]
    if network and not missing:
        from dineuro_model.inference.registry import runtimes_for

        runtimes_for()
    if missing:
        raise MissingDependency(
            f"{what} needs more than this install, which lacks {', '.join(missing)}: "
            f"pip install 'dineuro[{'train' if training else 'cpu'}]'"
        )
