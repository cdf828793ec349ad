"""The errors that a user can meet, each with its exit code, its HTTP status and its code word.

    DineuroError                        1  500  internal
    ├── BadInput (ValueError)           3  422  bad_input           the input itself is wrong
    │   ├── BadFile                     3  422  bad_file            empty, truncated, contradictory
    │   ├── BadVolume                   3  422  bad_volume          2D, colour, NaN voxels
    │   ├── BadTree                     3  422  bad_tree            cycles, missing parents
    │   ├── BadParameter                3  422  bad_parameter       out of range, an unknown name
    │   └── BadEdit                     3  422  bad_edit            an edit that does not fit
    ├── UnsupportedFormat (ValueError)  4  415  unsupported_format  no reader, or no writer
    ├── LimitExceeded (ValueError)      5  413  too_large           larger than the limit
    │   ├── TimeLimit                   5  413  time_limit          a job took too long
    │   └── MemoryLimit                 5  413  memory_limit        a job took too much memory
    ├── FileAccess (OSError)            6  500  file_access         a path is not accessible
    ├── MissingDependency (ImportError) 7  500  missing_dependency  a library is missing
    ├── ServiceError                    8  500  service             the server failed
    │   ├── BadRequest                  8  400  bad_request         the request is malformed
    │   ├── Unauthorized                8  401  unauthorized        no token or key
    │   ├── Forbidden                   8  403  forbidden           the owner has no permission
    │   ├── NotFound                    8  404  not_found           no such job of this owner
    │   ├── NotAcceptable               8  406  not_acceptable      a format that is not offered
    │   ├── Conflict                    8  409  conflict            wrong state of the job
    │   ├── Outdated                    8  412  outdated            somebody else edited the tree
    │   ├── NoRevision                  8  428  no_revision         an edit without a revision
    │   ├── TryLater                    8  503  try_later           with a number of seconds
    │   │   ├── QueueFull               8  503  queue_full          too many jobs are waiting
    │   │   ├── QuotaExceeded           8  429  quota               the owner's quota is used up
    │   │   └── ServerStopping          8  503  stopping            the server is shutting down
    │   ├── ServerGone                  8  503  server_gone         no answer, or a lost connection
    │   ├── DiskFull                    8  507  disk_full           the server's disk is full
    │   └── WorkerLost                  8  500  worker_lost         the worker crashed twice
    └── Cancelled                       130  409  cancelled         the user stopped the work

The code words are sent over the wire, and a client restores the error with `error_for`. A message
names the file first, then the fault, then the remedy.
"""

from __future__ import annotations

from collections.abc import Iterator


class DineuroError(Exception):
    """The base of all errors that are reported as a message and not as a traceback.

    Attributes:
        exit_code: the exit code of the command line.
        status: the HTTP status.
        code: the code word in HTTP problems, on the wire and in a job's record.
    """

    exit_code = 1
    status = 500
    code = "internal"


class BadInput(DineuroError, ValueError):
    """The input itself is wrong, and a repetition cannot help."""

    exit_code = 3
    status = 422
    code = "bad_input"


class BadFile(BadInput):
    """The file is empty or truncated, or contradicts its header or its suffix."""

    code = "bad_file"


class BadVolume(BadInput):
    """The voxels cannot be traced: a 2D image, colour samples, NaN, a missing channel."""

    code = "bad_volume"


class BadTree(BadInput):
    """The tree has cycles, missing parents, duplicate ids, or words instead of numbers."""

    code = "bad_tree"


class BadParameter(BadInput):
    """A parameter is out of its range, or a region lies outside the volume."""

    code = "bad_parameter"


class BadEdit(BadInput):
    """An edit does not fit the tree: no such node, a loop, a place outside the volume."""

    code = "bad_edit"


class UnsupportedFormat(DineuroError, ValueError):
    """The suffix, compression or sample type has no reader, or no writer."""

    exit_code = 4
    status = 415
    code = "unsupported_format"


class LimitExceeded(DineuroError, ValueError):
    """The input is larger than the limit. The error comes before any allocation."""

    exit_code = 5
    status = 413
    code = "too_large"


class TimeLimit(LimitExceeded):
    """A job took longer than its limit."""

    code = "time_limit"


class MemoryLimit(LimitExceeded):
    """A job took more memory than its limit."""

    code = "memory_limit"


class FileAccess(DineuroError, OSError):
    """A path cannot be read or written."""

    exit_code = 6
    code = "file_access"


class MissingDependency(DineuroError, ImportError):
    """The operation needs an extra, because the plain install is a thin client."""

    exit_code = 7
    code = "missing_dependency"


class ServiceError(DineuroError):
    """A server did not perform a request."""

    exit_code = 8
    code = "service"


class BadRequest(ServiceError):
    """The request is malformed: a broken header, no body, words instead of numbers."""

    status = 400
    code = "bad_request"


class Unauthorized(ServiceError):
    """The request has no token or key, or an unknown one."""

    status = 401
    code = "unauthorized"


class Forbidden(ServiceError):
    """The owner of the token or key has no permission."""

    status = 403
    code = "forbidden"


class NotFound(ServiceError):
    """The object does not exist or has another owner. The message does not state which."""

    status = 404
    code = "not_found"


class NotAcceptable(ServiceError):
    """The result does not exist in any of the requested formats."""

    status = 406
    code = "not_acceptable"


class Conflict(ServiceError):
    """The state of the job forbids the request, or an earlier request contradicts it."""

    status = 409
    code = "conflict"


class Outdated(ServiceError):
    """An edit is based on a revision of the tree that another edit has replaced."""

    status = 412
    code = "outdated"


class NoRevision(ServiceError):
    """An edit does not say which revision of the tree it is based on."""

    status = 428
    code = "no_revision"


class TryLater(ServiceError):
    """The server has no room now, but may have room after `retry_after` seconds.

    Args:
        message: a sentence for a person.
        retry_after: whole seconds, at least 1.
    """

    status = 503
    code = "try_later"

    def __init__(self, message: str, retry_after: int = 10) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QueueFull(TryLater):
    """The queue has as many jobs as its limit allows."""

    code = "queue_full"


class QuotaExceeded(TryLater):
    """One owner's jobs or bytes have reached their limit."""

    status = 429
    code = "quota"


class ServerStopping(TryLater):
    """The server is shutting down. Queued jobs stay queued for its next start."""

    code = "stopping"


class ServerGone(ServiceError):
    """The server does not answer, or a lost connection was not restored in time."""

    status = 503
    code = "server_gone"


class DiskFull(ServiceError):
    """The server's disk has no room for the upload or the result."""

    status = 507
    code = "disk_full"


class WorkerLost(ServiceError):
    """The worker process of the job crashed, and crashed again at the second attempt."""

    code = "worker_lost"


class Cancelled(DineuroError):
    """The user stopped the work. No half-written file remains."""

    exit_code = 130
    status = 409
    code = "cancelled"


def error_for(code: str, message: str, retry_after: int | None = None) -> DineuroError:
    """Return the error of a code word. An unknown word gives a `ServiceError`.

    Control characters of the message become spaces: it comes from another machine, and a terminal
    would obey them.

    Args:
        code: a code word of the table above.
        message: a sentence for a person.
        retry_after: seconds; only errors of the kind `TryLater` use it.
    """
    kinds = {kind.code: kind for kind in _family(DineuroError)}
    kind = kinds.get(code, ServiceError)
    message = plain_text(message)
    if issubclass(kind, TryLater) and retry_after is not None:
        return kind(message, retry_after)
    return kind(message)


def plain_text(text: str) -> str:
    """Return a text with a space in place of each control character."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _family(kind: type[DineuroError]) -> Iterator[type[DineuroError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)
