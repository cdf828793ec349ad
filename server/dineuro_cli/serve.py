"""`dineuro serve` and `dineuro keys`: the lab's server, and who may use it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dineuro_bridge.errors import BadParameter
from dineuro_cli.options import EPILOG, needs_server
from dineuro_cli.terminal import complain

_DEFAULT_FILE = "tokens"


def serve_command(
    http: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where to listen. [127.0.0.1:8000]"),
    ] = None,
    zmq: Annotated[
        str | None,
        typer.Option(
            metavar="tcp://HOST:PORT", help="Where Vaa3D finds it; 'off'. [tcp://127.0.0.1:5599]"
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Jobs, inputs and results; one server a folder. [~/.local/share/dineuro]",
        ),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Bearer tokens, made by dineuro keys token. [none]"),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="CURVE keys, made by dineuro keys curve. [none]"),
    ] = None,
    insecure: Annotated[
        bool | None,
        typer.Option("--insecure", help="Let anyone in, also from elsewhere: no tokens, no keys."),
    ] = None,
    local: Annotated[
        bool | None,
        typer.Option(
            "--local/--not-local",
            help="Only this machine reaches what is listened at, as in a container whose ports are "
            "published at loopback: no tokens, no keys. [--not-local]",
        ),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="'auto' is one worker, on a GPU where there is one; or one worker for each of "
            "cpu, cuda:0, cuda:1 … with commas. [auto]",
        ),
    ] = None,
    warm: Annotated[
        bool | None,
        typer.Option("--warm/--cold", help="Load the network before the first job. [--warm]"),
    ] = None,
    max_gib: Annotated[
        float | None, typer.Option(help="Of one volume, and of one upload (GiB). [16]")
    ] = None,
    max_queue: Annotated[int | None, typer.Option(help="Jobs that may wait. [200]")] = None,
    owner_jobs: Annotated[
        int | None, typer.Option(help="Jobs of one owner that may wait or run. [50]")
    ] = None,
    owner_gib: Annotated[
        float | None, typer.Option(help="Disk of one owner's inputs and results (GiB). [100]")
    ] = None,
    min_free_gib: Annotated[
        float | None, typer.Option(help="Of the disk that must stay free (GiB). [2]")
    ] = None,
    keep_hours: Annotated[
        float | None, typer.Option(help="How long results are kept. [168]")
    ] = None,
    time_limit_s: Annotated[float | None, typer.Option(help="Of one job (s). [3600]")] = None,
    memory_gib: Annotated[
        float | None,
        typer.Option(help="Of one worker (GiB). [nine tenths of the machine's, shared out]"),
    ] = None,
    wait_s: Annotated[
        float | None,
        typer.Option(help="How long a request waits for its result at most (s). [60]"),
    ] = None,
    drain_s: Annotated[
        float | None,
        typer.Option(help="How long running jobs may go on at shutdown (s). [30]"),
    ] = None,
    cancel_s: Annotated[
        float | None,
        typer.Option(help="After this a worker that does not heed a cancel is killed (s). [1]"),
    ] = None,
    log: Annotated[
        Literal["text", "json"] | None, typer.Option(help="For people or for machines. [text]")
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="What is worth a line. [info]"),
    ] = None,
) -> None:
    """Serve the lab: volumes in over HTTP and ZeroMQ, trees, masks and reports out.

    Every option can be set by a variable too: --max-queue by DINEURO_MAX_QUEUE, and so on; an
    option goes before it. Defaults stand in brackets. See docs/operating.md.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    needs_server("the server", network=True, service=True)
    from dineuro_server.ops.logs import configure
    from dineuro_server.serve import serve

    settings = _settings(given)
    configure(settings.log, settings.log_level)
    serve(settings)


def _settings(given: dict[str, Any]) -> Any:
    """The settings of options and variables; what is wrong is said by its name."""
    from pydantic import ValidationError

    from dineuro_server.settings import Settings

    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise BadParameter(
            f"--{name.replace('_', '-')} (DINEURO_{name.upper()}): {first['msg']}"
        ) from error


keys_app = typer.Typer(help="Make the keys that clients need.", no_args_is_help=True)

TokensFile = Annotated[
    Path | None,
    typer.Option(
        "--tokens",
        metavar="FILE",
        envvar="DINEURO_TOKENS",
        help="The file that the server is given. [tokens in the state folder's default place]",
    ),
]


@keys_app.command("token", epilog=EPILOG)
def token_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is: the jobs' owner.")],
    tokens: TokensFile = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="That may wait or run, if not the server's bound.")
    ] = None,
    gib: Annotated[
        float | None, typer.Option(min=0.001, help="Of the disk, if not the server's bound.")
    ] = None,
) -> None:
    """Make a bearer token for the HTTP door and print it: it cannot be looked up again."""
    needs_server("tokens", service=True)
    from dineuro_server.access.tokens import add_token

    path = _tokens_file(tokens)
    typer.echo(add_token(path, name, jobs=jobs, gib=gib))
    complain(f"{path}: holds its hash; start the server with --tokens {path}")


@keys_app.command("list", epilog=EPILOG)
def list_command(tokens: TokensFile = None) -> None:
    """List the owners who have tokens, with their quotas."""
    needs_server("tokens", service=True)
    from dineuro_server.access.tokens import read_tokens

    for token in read_tokens(_tokens_file(tokens)):
        quotas = [f"jobs={token.jobs}"] if token.jobs is not None else []
        quotas += [f"gib={token.gib:g}"] if token.gib is not None else []
        typer.echo(" ".join([token.name, f"{token.sha256[:12]}…", *quotas]))


@keys_app.command("revoke", epilog=EPILOG)
def revoke_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose tokens.")],
    tokens: TokensFile = None,
) -> None:
    """Take all tokens of a name out of the file; a running server heeds it at once."""
    needs_server("tokens", service=True)
    from dineuro_server.access.tokens import revoke

    path = _tokens_file(tokens)
    count = revoke(path, name)
    if not count:
        raise BadParameter(f"{path}: has no token of {name}")
    complain(f"{path}: {count} of {name} taken out")


KeysFolder = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="FOLDER",
        envvar="DINEURO_KEYS",
        help="The folder that the server is given. [keys in the state folder's default place]",
    ),
]


@keys_app.command("curve", epilog=EPILOG)
def curve_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is: the jobs' owner.")],
    keys: KeysFolder = None,
) -> None:
    """Make a CURVE key for the ZeroMQ door, and the server's own if it is missing."""
    from dineuro_server.access.curve import make_client_keys

    folder = _keys_folder(keys)
    secret, server = make_client_keys(folder, name)
    typer.echo(f"{secret}\n{server}")
    complain(f"hand both files to {name}; start the server with --keys {folder}")


@keys_app.command("revoke-curve", epilog=EPILOG)
def revoke_curve_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key.")],
    keys: KeysFolder = None,
) -> None:
    """Let a client's CURVE key in no more; a running server heeds it at the next HELLO."""
    from dineuro_server.access.curve import revoke_client

    folder = _keys_folder(keys)
    revoke_client(folder, name)
    complain(f"{folder}: {name} taken out")


def _keys_folder(given: Path | None) -> Path:
    from dineuro_server.settings import default_state

    return given or default_state() / "keys"


def _tokens_file(given: Path | None) -> Path:
    from dineuro.files.outputs import make_folder
    from dineuro_server.settings import default_state

    path = given or default_state() / _DEFAULT_FILE
    make_folder(path.parent)
    return path
