"""An upload from the socket to the spool, as a raw body or a form, in pieces of half a megabyte.

Threads write and hash the pieces, so that the event loop serves other requests meanwhile. An upload
ends with an error if nothing arrives for `IDLE_S`, or if its client is slower than the slowest
network: an upload of a byte now and then would hold one of the places for uploads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from dineuro_bridge.errors import BadRequest, LimitExceeded, UnsupportedFormat
from dineuro_server.jobs.spool import SLOWEST_BYTES_S, Spool

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

#: Time without a byte after which an upload is abandoned (seconds).
IDLE_S = 30.0
#: Time for the client beyond that of `SLOWEST_BYTES_S` (seconds).
GRACE_S = 60.0
#: Bytes that are collected before they are written.
_PIECE = 2**19
#: Bytes of all fields of a form that are no file.
_FIELD_BYTES = 2**14
_FORM = "multipart/form-data"
#: Parts of a form.
_MAX_PARTS = 100
#: Accepted media types of a volume; the last one is the default of curl's --data-binary.
RAW_TYPES = (
    "application/octet-stream",
    "image/tiff",
    "image/tif",
    "application/x-v3draw",
    "application/x-v3dpbd",
    "application/x-www-form-urlencoded",
)


def check_content_type(request: Request) -> None:
    """Check the Content-Type of a request before its body is read.

    Raises:
        UnsupportedFormat: it is neither that of a volume nor that of a form.
    """
    kind = _media_type(request)[0]
    if kind not in ("", _FORM, *RAW_TYPES):
        raise UnsupportedFormat(
            f"Content-Type {kind}: send a volume as application/octet-stream, or a form with file="
        )


def announced_bytes(request: Request, limit: int) -> int:
    """The announced length of a request's body in bytes; 0 if there is none.

    Args:
        request: the request.
        limit: limit of a volume in bytes.

    Raises:
        LimitExceeded: the length exceeds that of a form with a volume of `limit` bytes.
        BadRequest: the length is no number.
    """
    text = request.headers.get("content-length", "0")
    if not text.isdecimal():
        raise BadRequest(f"Content-Length {text}: must be a number")
    if int(text) > limit + 2**20:
        raise LimitExceeded(
            f"the upload of {text} bytes is larger than this server's limit, {limit}"
        )
    return int(text)


async def receive(request: Request, spool: Spool) -> dict[str, str]:
    """Write the volume in a request's body to the spool.

    Returns:
        The other fields of a form, with the file's name as `name`; empty for a raw body.

    Raises:
        BadRequest: the form is broken or does not have exactly one file, or the client stopped
            sending, or sends too slowly.
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
    except ClientDisconnect as error:
        raise BadRequest("the client disconnected during the upload") from error
    return {}


async def _receive_form(request: Request, spool: Spool, boundary: bytes) -> dict[str, str]:
    form = _Form(spool)
    try:
        parser = MultipartParser(boundary, cast("MultipartCallbacks", form.callbacks()))
        async for piece in _pieces(request):
            await run_in_threadpool(parser.write, bytes(piece))
        await run_in_threadpool(parser.finalize)
    except FormParserError as error:
        raise BadRequest(f"the form is broken: {error}") from error
    return form.complete()


async def _pieces(request: Request) -> AsyncIterator[bytearray]:
    """The body in pieces of about half a megabyte."""
    pending, stream = bytearray(), request.stream()
    patience = GRACE_S
    while True:
        asked = time.monotonic()
        try:
            chunk = await asyncio.wait_for(anext(stream), min(IDLE_S, patience))
        except StopAsyncIteration:
            break
        except TimeoutError as error:
            raise BadRequest(
                f"nothing arrived for {IDLE_S:g} s, or less than {SLOWEST_BYTES_S // 2**10} KiB/s: "
                "the upload was abandoned"
            ) from error
        # Only the time of the client counts, not that of this server's disk.
        patience += len(chunk) / SLOWEST_BYTES_S - (time.monotonic() - asked)
        pending += chunk
        if len(pending) >= _PIECE:
            yield pending
            pending = bytearray()
    if pending:
        yield pending


class _Form:
    """Splits a form: its file goes to the spool, its fields to a dictionary."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._header, self._value = bytearray(), bytearray()
        self._disposition: dict[bytes, bytes] = {}
        self._in_file = False
        self._files = self._size = self._parts = 0
        self._field = bytearray()
        self._ended = False
        self.fields: dict[str, str] = {}

    def callbacks(self) -> dict[str, Any]:
        """The callbacks of the parser."""
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
        """The fields of the form.

        Raises:
            BadRequest: the form is incomplete, or does not have exactly one file.
        """
        if not self._ended:
            raise BadRequest("the form is incomplete: send it again")
        if self._files != 1:
            raise BadRequest(f"the form has {self._files} files: send one as file=@volume.tif")
        return self.fields

    def _begin(self) -> None:
        self._disposition, self._in_file = {}, False
        self._field = bytearray()
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise BadRequest(f"the form has more than {_MAX_PARTS} parts")

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
        if self._size > _FIELD_BYTES:
            raise BadRequest(f"the form's fields are longer than {_FIELD_BYTES} bytes")
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
    """The media type of the Content-Type in lower case, and its options."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    return kind.decode(errors="replace").lower(), options
