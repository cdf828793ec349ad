"""`dineuro trace --server`: the same command with the work done elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from dineuro.files.outputs import Done, Outputs, link_results, make_folder
from dineuro_bridge.client import Client, TraceResult
from dineuro_bridge.errors import DineuroError, FileAccess
from dineuro_bridge.files import atomic_output, reason, write_record
from dineuro_bridge.progress import ProgressCallback
from dineuro_bridge.volumes.formats import read_header, write_volume

Work = Callable[[Path, Outputs, ProgressCallback], Done]


def remote_work(
    server: str,
    params: dict[str, Any],
    *,
    token_file: Path | None,
    key: Path | None,
    server_key: Path | None,
) -> Work:
    """What traces one file on a server, and writes what was asked for.

    Args:
        server: tcp://HOST:PORT or http://HOST:PORT.
        params: the server's.
        token_file: of the HTTP door's token; without it the variable DINEURO_TOKEN.
        key: of the ZeroMQ door, one's own.
        server_key: of the ZeroMQ door, the server's.

    Raises:
        FileAccess: a file of a token or key cannot be read.
        BadParameter: an address that is none.
    """
    token = os.environ.get("DINEURO_TOKEN") if token_file is None else _token(token_file)

    def work(path: Path, outputs: Outputs, progress: ProgressCallback) -> Done:
        read_header(path)  # what is no volume is not sent
        with closing(Client(server, token=token, key=key, server_key=server_key)) as client:
            try:
                result = client.trace(path, progress=progress, **params)
            except DineuroError as error:
                if path.name not in str(error):
                    error.args = (f"{path}: {error}", *error.args[1:])
                raise
        return _written(path, result, outputs)

    return work


def check_outputs(plans: list[Outputs]) -> None:
    """Refuse what only this machine could make."""
    for plan in plans:
        if plan.swc is not None and plan.swc.suffix.lower() == ".eswc":
            raise typer.BadParameter(
                f"{plan.swc}: a server gives SWC; the grades stand in its report (--report)"
            )


def _token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is no text"
        raise FileAccess(f"{path}: cannot be read: {why}") from error


def _written(path: Path, result: TraceResult, outputs: Outputs) -> Done:
    """Each file whole or not at all, all of them once everything has come."""
    for place in asdict(outputs).values():
        if place is not None:
            make_folder(place.parent)
    texts = {outputs.swc: result.swc.encode(), outputs.doubts: result.doubts.encode(),
             outputs.preview: result.preview}  # fmt: skip
    for place, content in texts.items():
        if place is not None:
            with atomic_output(place) as temporary:
                temporary.write_bytes(content)
    if outputs.mask is not None:
        write_volume(outputs.mask, result.mask, compress=True)
    link_results(path, outputs)
    named = {k: str(v) for k, v in asdict(outputs).items() if v is not None}
    report = {**result.report, "input": str(path), "outputs": named}
    if outputs.report is not None:
        write_record(outputs.report, report)
    report.pop("segments", None)
    return Done(result.tree, report)
