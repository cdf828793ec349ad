"""`dineuro serve` and `dineuro keys`: the lab's server, and the keys of its users."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dineuro_bridge.errors import BadParameter, FileAccess
from dineuro_cli.options import EPILOG, needs_server
from dineuro_cli.terminal import complain

_DEFAULT_FILE = "tokens"
_BLOCKS = "Volumes larger than the memory"


def serve_command(
    http: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="The address of the HTTP door. [127.0.0.1:8000]"),
    ] = None,
    zmq: Annotated[
        str | None,
        typer.Option(
            metavar="tcp://HOST:PORT",
            help="The address of the ZeroMQ door, for Vaa3D; or 'off'. [tcp://127.0.0.1:5599]",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder of jobs, inputs and results, for one server. [~/.local/share/dineuro]",
        ),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Bearer tokens, from dineuro keys token. [none]"),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="CURVE keys, from dineuro keys curve. [none]"),
    ] = None,
    watcher: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The owner who sees the figures of all owners. [prometheus]"
        ),
    ] = None,
    insecure: Annotated[
        bool | None,
        typer.Option(
            "--insecure", help="Accept everybody from any address, without tokens and keys."
        ),
    ] = None,
    local: Annotated[
        bool | None,
        typer.Option(
            "--local/--not-local",
            help="Only this machine can reach the ports, as in a container that publishes them at "
            "loopback; then no tokens and keys are required. [--not-local]",
        ),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="'auto' is one worker, on a GPU if there is one. A list such as cuda:0,cuda:1 or "
            "cpu is one worker per device. [auto]",
        ),
    ] = None,
    warm: Annotated[
        bool | None,
        typer.Option("--warm/--cold", help="Load the network before the first job. [--warm]"),
    ] = None,
    max_gib: Annotated[
        float | None, typer.Option(help="The largest volume or upload (GiB). [16]")
    ] = None,
    max_queue: Annotated[int | None, typer.Option(help="The most waiting jobs. [200]")] = None,
    owner_jobs: Annotated[
        int | None, typer.Option(help="The most waiting and running jobs of one owner. [50]")
    ] = None,
    owner_gib: Annotated[
        float | None, typer.Option(help="The disk for one owner's inputs and results (GiB). [100]")
    ] = None,
    min_free_gib: Annotated[
        float | None, typer.Option(help="The disk that must stay free (GiB). [2]")
    ] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="A folder whose files jobs may name by their path, without an upload. Repeat it "
            "for several. DINEURO_ROOTS separates them by ':'. [none]",
        ),
    ] = None,
    large_voxels: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="A volume that a path names runs in blocks if a channel has more voxels. [what a "
            "worker's memory holds, 2147483648 at most]",
            rich_help_panel=_BLOCKS,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="tcp://HOST:PORT",
            help="The Dask cluster for blocks. Its workers see the roots and --runs under the same "
            "paths. [processes of this machine]",
            rich_help_panel=_BLOCKS,
        ),
    ] = None,
    large_workers: Annotated[
        int | None,
        typer.Option(
            help="The processes for blocks on this machine; 0 works without Dask. [one a "
            "processor, with 3 GiB each]",
            rich_help_panel=_BLOCKS,
        ),
    ] = None,
    large_block: Annotated[
        int | None,
        typer.Option(help="The edge of a block (voxels). [256]", rich_help_panel=_BLOCKS),
    ] = None,
    large_hours: Annotated[
        float | None,
        typer.Option(help="The time limit of a job in blocks (h). [168]", rich_help_panel=_BLOCKS),
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder of the runs in blocks, with their masks as OME-Zarr. [in the state "
            "folder]",
            rich_help_panel=_BLOCKS,
        ),
    ] = None,
    keep_hours: Annotated[
        float | None, typer.Option(help="The time for which results are kept (h). [168]")
    ] = None,
    time_limit_s: Annotated[
        float | None, typer.Option(help="The time limit of one job (s). [3600]")
    ] = None,
    memory_gib: Annotated[
        float | None,
        typer.Option(
            help="The memory of one worker (GiB). [its share of nine tenths of the machine's]"
        ),
    ] = None,
    wait_s: Annotated[
        float | None,
        typer.Option(help="The longest wait of a request for its result (s). [60]"),
    ] = None,
    drain_s: Annotated[
        float | None,
        typer.Option(help="The time for running jobs to end at shutdown (s). [30]"),
    ] = None,
    cancel_s: Annotated[
        float | None,
        typer.Option(help="The time after which a worker that ignores a cancel is killed (s). [1]"),
    ] = None,
    log: Annotated[
        Literal["text", "json"] | None,
        typer.Option(help="The form of the log: text for people, json for programs. [text]"),
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="The least level of the log. [info]"),
    ] = None,
) -> None:
    """Run a server that receives volumes over HTTP and ZeroMQ, and returns trees and masks.

    Every option has a variable, for example DINEURO_MAX_QUEUE for --max-queue. The option has
    priority. Defaults are in brackets. See docs/operating.md.
    """
    options = {name: value for name, value in locals().items() if value is not None}
    roots = [str(folder.absolute()) for folder in options.pop("root", ())]
    if roots:
        options["roots"] = os.pathsep.join(roots)
    if runs is not None:
        options["runs"] = runs.absolute()
    needs_server("the server", network=True, service=True)
    from dineuro_server.ops.logs import configure
    from dineuro_server.serve import serve

    settings = _settings(options)
    configure(settings.log, settings.log_level)
    serve(settings)


def _settings(options: dict[str, Any]) -> Any:
    """Return the settings of options and variables. An error names the option."""
    from pydantic import ValidationError

    from dineuro_server.settings import Settings

    try:
        return Settings(**options)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise BadParameter(
            f"--{name.replace('_', '-')} (DINEURO_{name.upper()}): {first['msg']}"
        ) from error


keys_app = typer.Typer(
    help="Make, list and revoke the tokens and keys of clients.", no_args_is_help=True
)

TokensFile = Annotated[
    Path | None,
    typer.Option(
        "--tokens",
        metavar="FILE",
        envvar="DINEURO_TOKENS",
        help="The token file of the server. [tokens in the default state folder]",
    ),
]


KeysFolder = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="FOLDER",
        envvar="DINEURO_KEYS",
        help="The key folder of the server. [keys in the default state folder]",
    ),
]


StateFolder = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        envvar="DINEURO_STATE",
        help="The state folder of the server, which notes the last uses. [the default one]",
    ),
]


@keys_app.command("token", epilog=EPILOG)
def token_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The owner of the jobs.")],
    tokens: TokensFile = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="The owner's most waiting and running jobs. [the server's limit]"),
    ] = None,
    gib: Annotated[
        float | None, typer.Option(min=0.001, help="The owner's disk (GiB). [the server's limit]")
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Tells the owner's tokens apart.")
    ] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(metavar="YYYY-MM-DD", formats=["%Y-%m-%d"], help="The last day. [no end]"),
    ] = None,
) -> None:
    """Make a bearer token for the HTTP door and print it. It cannot be displayed again."""
    needs_server("tokens", service=True)
    from dineuro_server.access.tokens import add_token

    path = _tokens_file(tokens)
    last_day = None if expires is None else expires.date()
    typer.echo(add_token(path, name, jobs=jobs, gib=gib, label=label, expires=last_day))
    complain(f"{path}: contains its hash; start the server with --tokens {path}")


@keys_app.command("list", epilog=EPILOG)
def list_command(
    tokens: TokensFile = None, keys: KeysFolder = None, state: StateFolder = None
) -> None:
    """List the tokens with their quotas and last use, and the CURVE keys."""
    needs_server("tokens", service=True)
    from dineuro_server.access.curve import client_keys
    from dineuro_server.access.tokens import read_tokens

    path, folder = _tokens_file(tokens), _keys_folder(keys)
    known = read_tokens(path)
    uses = _last_uses(state) if known else {}
    unused = "unknown" if uses is None else "never"
    lines = [
        token.line().replace(token.sha256, f"{token.sha256[:12]}…")
        + f" last_use={(uses or {}).get(token.sha256, unused)}"
        for token in known
    ]
    _echo_list(f"tokens in {path}:", lines)
    _echo_list(
        f"CURVE keys in {folder}:", [f"{name} {key.decode()}" for key, name in client_keys(folder)]
    )


def _last_uses(state: Path | None) -> Mapping[str, date] | None:
    """The last uses in the server's state folder; None, and a sentence, if it has none."""
    from dineuro_server.access.uses import last_uses
    from dineuro_server.settings import default_state

    folder = state or default_state()
    try:
        uses = last_uses(folder)
    except FileAccess as error:
        complain(f"{error}: last uses are unknown")
        return None
    if uses is None:
        complain(f"{folder}: no server used it, last uses are unknown: give the server's --state")
    return uses


def _echo_list(title: str, lines: list[str]) -> None:
    typer.echo("\n  ".join([title, *(lines or ["none"])]))


@keys_app.command("revoke", epilog=EPILOG)
def revoke_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The owner of the tokens.")],
    tokens: TokensFile = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL|HASH", help="One token: its label, or the hash of dineuro keys list."
        ),
    ] = None,
) -> None:
    """Revoke the tokens of a name. A running server applies this at once."""
    needs_server("tokens", service=True)
    from dineuro_server.access.tokens import revoke

    path = _tokens_file(tokens)
    count = revoke(path, name, None if only is None else only.rstrip("…"))
    if not count:
        of = name if only is None else f"{name} with the label or hash {only}"
        raise BadParameter(f"{path}: has no token of {of}")
    complain(f"{path}: {count} of {name} revoked")


@keys_app.command("curve", epilog=EPILOG)
def curve_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The owner of the jobs.")],
    keys: KeysFolder = None,
) -> None:
    """Make a CURVE key for the ZeroMQ door, and the server's own key if it is missing."""
    from dineuro_server.access.curve import exposures, make_client_keys

    folder = _keys_folder(keys)
    secret, server = make_client_keys(folder, name)
    typer.echo(f"{secret}\n{server}")
    for sentence in exposures(folder):
        complain(sentence)
    complain(f"give both files to {name}; start the server with --keys {folder}")


@keys_app.command("revoke-curve", epilog=EPILOG)
def revoke_curve_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The owner of the key.")],
    keys: KeysFolder = None,
) -> None:
    """Revoke a client's CURVE key. A running server applies this at once."""
    from dineuro_server.access.curve import revoke_client

    folder = _keys_folder(keys)
    revoke_client(folder, name)
    complain(f"{folder}: {name} revoked")


def _keys_folder(folder: Path | None) -> Path:
    from dineuro_server.settings import default_state

    return folder or default_state() / "keys"


def _tokens_file(file: Path | None) -> Path:
    from dineuro.files.outputs import make_folder
    from dineuro_server.settings import default_state

    path = file or default_state() / _DEFAULT_FILE
    make_folder(path.parent)
    return path
