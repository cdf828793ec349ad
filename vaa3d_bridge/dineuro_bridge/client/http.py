"""The client of the HTTP door. It uses the standard library alone, to keep the install thin.

The client sends a job with an idempotency key and follows its events. After a lost connection it
repeats the request, and the server never starts a second job.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from dineuro_bridge.client.transport import Deadline, Job, TraceResult, result_of
from dineuro_bridge.errors import (
    BadParameter,
    DineuroError,
    ServerGone,
    ServiceError,
    TryLater,
    error_for,
)
from dineuro_bridge.parts import PARTS
from dineuro_bridge.progress import Progress, ProgressCallback

#: After this time without a byte a connection counts as lost (seconds). The server sends a sign of
#: life on a stream of events every 15 seconds.
_SILENT_S = 60.0
#: The attempts after a lost connection, and the first pause (seconds), which doubles each time.
_TRIES, _FIRST_PAUSE_S = 6, 0.25
#: The bytes of the longest line of an event.
_LONGEST_LINE = 2**20
#: Where a job's edits have their forms.
_EDITS = {"edits": "", "paths": "?paths=true", "tree": "/tree", "swc": "/tree.swc"}


class HttpTransport:
    """Jobs over HTTP.

    Args:
        url: http://HOST:PORT or https://HOST[:PORT], with a path if a proxy is before the server.
        token: the bearer token, for a server that requires one.
        patience_s: the time for which the client repeats a request to a full server.
    """

    def __init__(self, url: str, token: str | None, patience_s: float) -> None:
        parts = urlsplit(url)
        if not parts.hostname:
            raise BadParameter(f"{url}: must be http://HOST:PORT")
        self._url, self._token, self._patience_s = url.rstrip("/"), token, patience_s
        self._parts = parts

    def run(self, job: Job, progress: ProgressCallback, deadline: Deadline) -> TraceResult:
        """See `Transport`."""
        identity = self.submit(job, progress, deadline)
        try:
            return self.attach(identity, progress, deadline)
        except (DineuroError, Exception, KeyboardInterrupt) as error:
            if not isinstance(error, ServiceError):
                with contextlib.suppress(DineuroError):
                    self.cancel(identity)
            raise

    def attach(self, job: str, progress: ProgressCallback, deadline: Deadline) -> TraceResult:
        """Wait for a job, and return its result; an exception of `progress` leaves the job alone.

        Raises:
            DineuroError: the job failed, or this client has no such job.
        """
        self._follow(job, progress, deadline)
        record = self._json("GET", f"/v1/jobs/{quote(job, safe='')}", deadline)
        return result_of(
            job,
            record["links"],
            lambda name: self._part(job, name, deadline),
            {},
            record["reused"],
        )

    def fetch(self, path: str) -> bytes:
        """The body of an answer to a GET request."""
        return self._ask("GET", path, Deadline(_SILENT_S))[2]

    def rename(self, job: str, name: str) -> bytes:
        """Give an ended job another name, and return its JSON record."""
        headers, body = {"Content-Type": "application/json"}, json.dumps({"name": name}).encode()
        path = f"/v1/jobs/{quote(job, safe='')}"
        return self._ask("PATCH", path, Deadline(_SILENT_S), headers, body=body)[2]

    def edits(self, job: str, what: str) -> bytes:
        """See `Transport`."""
        return self.fetch(f"{_edits_of(job)}{_EDITS[what]}")

    def edit(self, job: str, operation: Mapping[str, Any], revision: int) -> bytes:
        """See `Transport`."""
        headers = {"Content-Type": "application/json", "If-Match": f'"{int(revision)}"'}
        body = json.dumps(dict(operation)).encode()
        return self._ask("POST", _edits_of(job), Deadline(_SILENT_S), headers, body=body)[2]

    def models(self) -> list[str]:
        """See `Transport`."""
        answer = self._json("GET", "/v1/models", Deadline(_SILENT_S))
        models = answer["models"] if isinstance(answer, dict) else answer
        return [model["name"] for model in models]

    def cancel(self, job: str) -> None:
        """See `Transport`."""
        record = self._json("GET", f"/v1/jobs/{job}", Deadline(_SILENT_S))
        if record["state"] in ("queued", "running"):
            self._ask("DELETE", f"/v1/jobs/{job}", Deadline(_SILENT_S))

    def close(self) -> None:
        """Do nothing: every request closes its own connection."""

    def submit(self, job: Job, progress: ProgressCallback, deadline: Deadline) -> str:
        """Send the job, and return its id on the server."""
        query = {
            name: _query_value(value) for name, value in job.params.items() if value is not None
        }
        query["reuse"] = _query_value(job.reuse)
        named = {"job": job.source, "path": job.path, "fingerprint": job.fingerprint}
        query |= {name: value for name, value in named.items() if value is not None}
        headers = {"Prefer": "respond-async", "Idempotency-Key": job.request}
        headers["Content-Type"] = "application/octet-stream"
        path = f"/v1/{job.kind}?{urlencode(query, quote_via=quote)}"
        until = time.monotonic() + self._patience_s
        while True:
            try:
                _, answered, _ = self._ask("POST", path, deadline, headers, job, progress)
                return answered["location"].rsplit("/", 1)[-1]
            except TryLater as error:
                if time.monotonic() + error.retry_after > until:
                    raise
                progress(Progress("wait", 0, 0))
                time.sleep(deadline.left(error.retry_after))

    def _follow(self, job: str, progress: ProgressCallback, deadline: Deadline) -> None:
        """Report the progress of a job until it is done.

        Raises:
            DineuroError: the job failed or was cancelled.
        """
        after, attempts = "0", _attempts()
        while True:
            attempt = next(attempts)
            try:
                with contextlib.closing(self._events(job, after, deadline)) as events:
                    for event, data, number in events:
                        # An event proves that the server is reachable: the attempts start again.
                        after, record, attempts = number, json.loads(data), _attempts()
                        if event == "progress":
                            progress(Progress(record["stage"], record["done"], record["total"]))
                        elif record.get("code") is not None:
                            raise error_for(record["code"], record.get("detail", ""))
                        elif record["state"] == "done":
                            return
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, DineuroError):
                    raise
                attempt(error, deadline, self._url)

    def _events(self, job: str, after: str, deadline: Deadline) -> Generator[tuple[str, str, str]]:
        """Yield the kind, data and number of each server-sent event after event `after`."""
        connection = self._connection(deadline)
        try:
            headers = self._headers({"Last-Event-ID": after})
            connection.request("GET", f"{self._parts.path}/v1/jobs/{job}/events", headers=headers)
            with contextlib.closing(connection.getresponse()) as answer:
                if answer.status != 200:
                    raise _problem(answer.status, answer.read())
                fields: dict[str, str] = {}
                while raw := answer.readline(_LONGEST_LINE):
                    deadline.left(1)
                    line = raw.decode().rstrip("\r\n")
                    if line:
                        name, _, value = line.partition(":")
                        fields[name] = value.removeprefix(" ")
                    elif "data" in fields:
                        yield fields.get("event", ""), fields["data"], fields.get("id", after)
                        fields = {}
            raise http.client.IncompleteRead(b"")
        finally:
            connection.close()

    def _part(self, job: str, name: str, deadline: Deadline) -> bytes:
        """Fetch a part of a result, as the server stores it."""
        return self._ask("GET", f"/v1/jobs/{job}/{PARTS[name].segment}", deadline)[2]

    def _json(self, method: str, path: str, deadline: Deadline) -> Any:
        return json.loads(self._ask(method, path, deadline)[2])

    def _ask(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        headers: dict[str, str] | None = None,
        job: Job | None = None,
        progress: ProgressCallback | None = None,
        body: bytes = b"",
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request and return the status, headers and body of the answer.

        A request is repeated after a lost connection, because every request of this class may be
        repeated.

        Raises:
            DineuroError: the error that the server reported.
            ServerGone: the server does not answer.
        """
        for attempt in _attempts():
            connection = self._connection(deadline)
            try:
                more = self._headers(headers or {})
                self._send(connection, method, path, more, job, progress, body)
                answer = connection.getresponse()
                content = answer.read()
                if answer.status >= 400:
                    raise _problem(answer.status, content)
                named = {name.lower(): value for name, value in answer.getheaders()}
                return answer.status, named, content
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, DineuroError):
                    raise
                attempt(error, deadline, self._url)
            finally:
                connection.close()
        raise ServerGone(f"{self._url}: does not answer")

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: dict[str, str],
        job: Job | None,
        progress: ProgressCallback | None,
        body: bytes,
    ) -> None:
        upload = None if job is None else job.upload
        connection.putrequest(method, self._parts.path + path)
        for name, value in headers.items():
            connection.putheader(name, value)
        if upload is None:
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            return
        start, sent = upload.v3draw_start(), 0
        connection.putheader("Content-Length", str(len(start) + upload.nbytes))
        connection.endheaders()
        # A server that refuses the upload answers early and may close the connection. The answer
        # is still read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(start)
            for piece in upload.pieces():
                connection.send(piece)
                sent += len(piece)
                if progress is not None:
                    progress(Progress("upload", sent, upload.nbytes))

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        own = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        return {**own, **more}

    def _connection(self, deadline: Deadline) -> http.client.HTTPConnection:
        secure = self._parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        timeout = deadline.left(_SILENT_S)
        return kind(self._parts.hostname or "", self._parts.port, timeout=timeout)


def _attempts() -> Iterator[Any]:
    """Yield one function per attempt; it waits for the next attempt, or raises after the last."""
    for number in range(_TRIES):

        def wait(error: Exception, deadline: Deadline, url: str, number: int = number) -> None:
            if number == _TRIES - 1:
                raise ServerGone(f"{url}: does not answer: {error}") from error
            time.sleep(deadline.left(_FIRST_PAUSE_S * 2**number))

        yield wait


def _problem(status: int, body: bytes) -> DineuroError:
    """Return the error of a problem+json document."""
    try:
        problem = json.loads(body)
        code, detail, identity = problem["code"], problem["detail"], problem.get("id")
    except (ValueError, KeyError, TypeError):
        return ServiceError(f"the server answered with status {status} and without a reason")
    own = status >= 500 and code in ("internal", "file_access")
    return error_for(code, f"{detail} [{identity}]" if own else detail, problem.get("retry_after"))


def _edits_of(job: str) -> str:
    return f"/v1/jobs/{quote(job, safe='')}/edits"


def _query_value(value: Any) -> str:
    """Return a parameter as a value of the query."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(f"{one:g}" if isinstance(one, float) else str(one) for one in value)
    return str(value)
