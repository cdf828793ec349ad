"""`dineuro trace --server`: the same command, with the work on a server."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import typer

from dineuro.files.outputs import Done, Outputs, link_results, make_folders
from dineuro_bridge.client import Client, TraceResult
from dineuro_bridge.errors import DineuroError, FileAccess, NotFound
from dineuro_bridge.files import atomic_output, reason, write_record
from dineuro_bridge.options import TraceOptions
from dineuro_bridge.progress import ProgressCallback
from dineuro_bridge.volumes.formats import read_header, write_volume
from dineuro_bridge.volumes.source import Reading

Work = Callable[[Path, Outputs, ProgressCallback], Done]

#: The parts that name files of this machine, so the server's bytes cannot be used.
_LOCAL_PARTS = ("ano", "report")


def remote_work(
    server: str,
    options: TraceOptions,
    *,
    token_file: Path | None,
    key: Path | None,
    server_key: Path | None,
    by_path: bool = False,
) -> Work:
    """Return the function that traces one file on a server and writes the results.

    Args:
        server: tcp://HOST:PORT or http://HOST:PORT.
        options: the options of every trace.
        token_file: the file of the HTTP door's token; by default the variable DINEURO_TOKEN.
        key: the file of the user's keys for the ZeroMQ door.
        server_key: the file of the server's key for the ZeroMQ door.
        by_path: whether the server reads the files by their paths.

    Raises:
        FileAccess: a file of a token or key cannot be read.
        BadParameter: the address is malformed.
    """
    token = os.environ.get("DINEURO_TOKEN") if token_file is None else _token(token_file)

    # The name of each image is that of its file.
    params = {name: value for name, value in options.as_dict().items() if name != "name"}

    def work(path: Path, outputs: Outputs, progress: ProgressCallback) -> Done:
        # A file that is not a volume is refused before the upload.
        read_header(path, Reading(options.z_axis))
        with closing(Client(server, token=token, key=key, server_key=server_key)) as client:
            try:
                result = client.trace(path, progress=progress, by_path=by_path, **params)
            except DineuroError as error:
                if path.name not in str(error):
                    error.args = (f"{path}: {error}", *error.args[1:])
                raise
        return _written(path, result, outputs, server)

    return work


def check_outputs(plans: list[Outputs]) -> None:
    """Refuse the files that a server does not provide.

    Raises:
        BadParameter: the file of a tree has the suffix .eswc.
    """
    for plan in plans:
        tree = plan.get("swc")
        if tree is not None and tree.suffix.lower() == ".eswc":
            raise typer.BadParameter(
                f"{tree}: a server returns SWC; its report contains the grades (--report)"
            )


def _token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is not a text file"
        raise FileAccess(f"{path}: cannot be read: {why}") from error


def _written(path: Path, result: TraceResult, outputs: Outputs, server: str) -> Done:
    """Write the parts of a fetched result, each file whole or not at all.

    Args:
        path: the image.
        result: the server's result.
        outputs: the parts to write, and the path of each.
        server: its address; over HTTP the report names the job's page there.

    Raises:
        NotFound: the result lacks one of the parts.
        FileAccess: a path cannot be written.
    """
    for name in outputs:
        if name not in {*_LOCAL_PARTS, *result.volumes, *result.files}:
            raise NotFound(f"{path}: the server's result has no {name}")
    make_folders(outputs)
    named = {name: str(place) for name, place in outputs.items()}
    report = {**result.report, "input": str(path), "outputs": named}
    if server.startswith("http"):
        report["view"] = f"{server.rstrip('/')}/#/jobs/{result.job}"
    for name, place in outputs.items():
        if name in result.volumes:
            write_volume(place, result.volumes[name], compress=True)
        elif name not in _LOCAL_PARTS:
            with atomic_output(place) as temporary:
                temporary.write_bytes(result.files[name])
    if "ano" in outputs:
        link_results(outputs["ano"], path, outputs)
    if "report" in outputs:
        write_record(outputs["report"], report)
    report.pop("segments", None)
    return Done(result.tree, report)
