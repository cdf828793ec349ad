"""An upload from the socket to the spool: raw or a form, hashed as it comes, never all in memory.

Blocking work (disk and hash) is done by threads, half a megabyte at a time; meanwhile the event
loop serves others. Whoever sends nothing for `IDLE_S` is hung up on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from dineuro_bridge.errors import BadRequest, LimitExceeded, UnsupportedFormat
from dineuro_server.jobs.spool import Spool

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

#: Seconds without a byte after which an upload is given up.
IDLE_S = 30.0
#: Bytes that are gathered before they are written.
_PIECE = 2**19
#: Of one field of a form that is no file, and of all together.
_LONGEST_FIELD = 2**14
_FORM = "multipart/form-data"
#: What a volume may be called. curl's --data-binary says the last one unless it is told.
RAW_TYPES = (
    "application/octet-stream",
    "image/tiff",
    "image/tif",
    "application/x-v3draw",
    "application/x-v3dpbd",
    "application/x-www-form-urlencoded",
)


def check_content_type(request: Request) -> None:
    """Refuse what is called something else than a volume or a form, before it is sent.

    Raises:
        UnsupportedFormat: it is.
    """
    kind = _media_type(request)[0]
    if kind not in ("", _FORM, *RAW_TYPES):
        raise UnsupportedFormat(
            f"Content-Type {kind}: send a volume as application/octet-stream, or a form with file="
        )


def announced_bytes(request: Request, most: int) -> int:
    """The length that the request announces; 0 where it does not.

    Raises:
        LimitExceeded: more than a form around a volume of `most` bytes can be.
        BadRequest: it is no number.
    """
    text = request.headers.get("content-length", "0")
    if not text.isdecimal():
        raise BadRequest(f"Content-Length {text}: must be a number")
    if int(text) > most + 2**20:
        raise LimitExceeded(
            f"the upload of {text} bytes is larger than this server's limit, {most}"
        )
    return int(text)


async def receive(request: Request, spool: Spool) -> dict[str, str]:
    """Write the volume in a request's body to the spool.

    Returns:
        The other fields of a form, and the file's name as `name`; nothing for a raw body.

    Raises:
        BadRequest: a broken form, none or several files in it, or the client went silent or away.
        LimitExceeded, DiskFull: see `Spool.write`.
    """
    kind, options = _media_type(request)
    try:
        if kind == _FORM:
            boundary = options.get(b"boundary")
            if not boundary:
                raise BadRequest("the form has no boundary: let your HTTP library make it")
            return await _receive_form(request, spool, boundary)
        async for piece in _pieces(request):
            await run_in_threadpool(spool.write, piece)
    except TimeoutError as error:
        raise BadRequest(f"nothing came for {IDLE_S:g} s: the upload was given up") from error
    except ClientDisconnect as error:
        raise BadRequest("the client went away in the middle of the upload") from error
    return {}


async def _receive_form(request: Request, spool: Spool, boundary: bytes) -> dict[str, str]:
    form = _Form(spool)
    parser = MultipartParser(boundary, cast("MultipartCallbacks", form.callbacks()))
    try:
        async for piece in _pieces(request):
            await run_in_threadpool(parser.write, bytes(piece))
        await run_in_threadpool(parser.finalize)
    except MultipartParseError as error:
        raise BadRequest(f"the form is broken: {error}") from error
    return form.complete()


async def _pieces(request: Request) -> AsyncIterator[bytearray]:
    """The body in pieces of about half a megabyte."""
    gathered, stream = bytearray(), request.stream()
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), IDLE_S)
        except StopAsyncIteration:
            break
        gathered += chunk
        if len(gathered) >= _PIECE:
            yield gathered
            gathered = bytearray()
    if gathered:
        yield gathered


class _Form:
    """Takes a form apart: the file to the spool, the fields to a dictionary."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._header, self._value = bytearray(), bytearray()
        self._disposition: dict[bytes, bytes] = {}
        self._in_file = False
        self._files = self._size = 0
        self._field = bytearray()
        self._ended = False
        self.fields: dict[str, str] = {}

    def callbacks(self) -> dict[str, Any]:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_part_end": self._on_end,
            "on_end": self._on_form_end,
        }

    def complete(self) -> dict[str, str]:
        """The fields of a form that was complete and had one file.

        Raises:
            BadRequest: it was not, or had not.
        """
        if not self._ended:
            raise BadRequest("the form ends in the middle: was it sent whole?")
        if self._files != 1:
            raise BadRequest(f"the form has {self._files} files: send one as file=@volume.tif")
        return self.fields

    def _begin(self) -> None:
        self._disposition, self._in_file = {}, False
        self._field = bytearray()

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = parse_options_header(bytes(self._value))[1]
        self._header, self._value = bytearray(), bytearray()

    def _on_headers(self) -> None:
        if b"name" not in self._disposition:
            raise BadRequest("a part of the form has no name")
        self._in_file = b"filename" in self._disposition or self._name() == "file"
        if self._in_file:
            self._files += 1
            if self._files > 1:
                raise BadRequest("the form has several files: send one volume a request")
            name = self._disposition.get(b"filename", b"").decode(errors="replace")
            if name:
                self.fields.setdefault("name", name)

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._spool.write(memoryview(data)[start:end])
            return
        self._size += end - start
        if self._size > _LONGEST_FIELD:
            raise BadRequest(f"the form's fields are longer than {_LONGEST_FIELD} bytes")
        self._field += data[start:end]

    def _on_end(self) -> None:
        if self._in_file:
            return
        name = self._name()
        if name in self.fields and name != "name":
            raise BadRequest(f"the form has the field {name} twice")
        try:
            self.fields[name] = self._field.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"the form's field {name} is no UTF-8 text") from error

    def _on_form_end(self) -> None:
        self._ended = True

    def _name(self) -> str:
        return self._disposition[b"name"].decode(errors="replace")


def _media_type(request: Request) -> tuple[str, dict[bytes, bytes]]:
    """The Content-Type in lower case, and its options."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    return kind.decode(errors="replace").lower(), options
