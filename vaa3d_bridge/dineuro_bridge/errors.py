"""Every error that a user can meet, each with its exit code, its HTTP status and its word.

    DineuroError                        1  500  internal
    ├── BadInput (ValueError)           3  422  bad_input           the input itself is wrong
    │   ├── BadFile                     3  422  bad_file            empty, truncated, lying
    │   ├── BadVolume                   3  422  bad_volume          2D, colour, NaN voxels
    │   ├── BadTree                     3  422  bad_tree            cycles, lost parents
    │   └── BadParameter                3  422  bad_parameter       out of range, an unknown name
    ├── UnsupportedFormat (ValueError)  4  415  unsupported_format  not read, or not written
    ├── LimitExceeded (ValueError)      5  413  too_large           larger than what was allowed
    │   ├── TimeLimit                   5  413  time_limit          a job took too long
    │   └── MemoryLimit                 5  413  memory_limit        a job took too much
    ├── FileAccess (OSError)            6  500  file_access         a path's trouble
    ├── MissingDependency (ImportError) 7  500  missing_dependency  a library is missing
    ├── ServiceError                    8  500  service             the server did not do it
    │   ├── BadRequest                  8  400  bad_request         not to be understood
    │   ├── Unauthorized                8  401  unauthorized        no token or key
    │   ├── Forbidden                   8  403  forbidden           known, but not allowed to
    │   ├── NotFound                    8  404  not_found           no such job, or another's
    │   ├── NotAcceptable               8  406  not_acceptable      a format that is not offered
    │   ├── Conflict                    8  409  conflict            not in the job's present state
    │   ├── TryLater                    8  503  try_later           says after how many seconds
    │   │   ├── QueueFull               8  503  queue_full          too many jobs of all wait
    │   │   ├── QuotaExceeded           8  429  quota               too much of one owner's
    │   │   └── ServerStopping          8  503  stopping            it is shutting down
    │   ├── ServerGone              8  503  server_gone         no answer, or a lost connection
    │   ├── DiskFull                    8  507  disk_full           no room left
    │   └── WorkerLost                  8  500  worker_lost         the process died, twice
    └── Cancelled                       130  409  cancelled           the user stopped it

The words go over the wire; a client makes the error of it again with `error_for`. A message names
the file first, then what is wrong, then what to do.
"""

from __future__ import annotations

from collections.abc import Iterator


class DineuroError(Exception):
    """Base of all errors that are reported as a message and not as a traceback.

    Attributes:
        exit_code: of the command line.
        status: of HTTP.
        code: the word for it in problems, on the wire and in a job's record.
    """

    exit_code = 1
    status = 500
    code = "internal"


class BadInput(DineuroError, ValueError):
    """The input itself is wrong: doing the same again cannot help."""

    exit_code = 3
    status = 422
    code = "bad_input"


class BadFile(BadInput):
    """A file that is empty, truncated, contradicts its header, or is not what its suffix says."""

    code = "bad_file"


class BadVolume(BadInput):
    """Voxels that cannot be traced: a 2D image, colour samples, NaN, a missing channel."""

    code = "bad_volume"


class BadTree(BadInput):
    """A tree that is none: cycles, missing parents, duplicate ids, words for numbers."""

    code = "bad_tree"


class BadParameter(BadInput):
    """A parameter out of its range, or a region outside the volume."""

    code = "bad_parameter"


class UnsupportedFormat(DineuroError, ValueError):
    """A suffix, a code or a sample type that is not read, or not written."""

    exit_code = 4
    status = 415
    code = "unsupported_format"


class LimitExceeded(DineuroError, ValueError):
    """Larger than what was allowed; said before anything is allocated."""

    exit_code = 5
    status = 413
    code = "too_large"


class TimeLimit(LimitExceeded):
    """A job that took longer than it was allowed to."""

    code = "time_limit"


class MemoryLimit(LimitExceeded):
    """A job that took more memory than it was allowed to."""

    code = "memory_limit"


class FileAccess(DineuroError, OSError):
    """A path that cannot be read or written."""

    exit_code = 6
    code = "file_access"


class MissingDependency(DineuroError, ImportError):
    """The plain install is a thin client; what was asked for needs an extra."""

    exit_code = 7
    code = "missing_dependency"


class ServiceError(DineuroError):
    """A server did not do what it was asked to."""

    exit_code = 8
    code = "service"


class BadRequest(ServiceError):
    """A request that cannot be understood: a broken header, no body, words for numbers."""

    status = 400
    code = "bad_request"


class Unauthorized(ServiceError):
    """No token or key, or one that is not known."""

    status = 401
    code = "unauthorized"


class Forbidden(ServiceError):
    """Who asks is known, and not allowed to."""

    status = 403
    code = "forbidden"


class NotFound(ServiceError):
    """There is no such thing, or it is another's: nobody learns which."""

    status = 404
    code = "not_found"


class NotAcceptable(ServiceError):
    """The answer does not exist in any of the formats that were asked for."""

    status = 406
    code = "not_acceptable"


class Conflict(ServiceError):
    """It cannot be done in the state the job is in, or contradicts an earlier request."""

    status = 409
    code = "conflict"


class TryLater(ServiceError):
    """Not now: after `retry_after` seconds there may be room.

    Args:
        message: for a person.
        retry_after: whole seconds, at least 1.
    """

    status = 503
    code = "try_later"

    def __init__(self, message: str, retry_after: int = 10) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QueueFull(TryLater):
    """As many jobs as are allowed to wait are waiting."""

    code = "queue_full"


class QuotaExceeded(TryLater):
    """One owner's jobs or bytes are as many as are allowed."""

    status = 429
    code = "quota"


class ServerStopping(TryLater):
    """The server is shutting down; what is queued stays queued for its next start."""

    code = "stopping"


class ServerGone(ServiceError):
    """The server does not answer, or the connection was lost and did not come back in time."""

    status = 503
    code = "server_gone"


class DiskFull(ServiceError):
    """The server's disk has no room for the upload or the result."""

    status = 507
    code = "disk_full"


class WorkerLost(ServiceError):
    """The process that worked on the job died, and again when the job was tried once more."""

    code = "worker_lost"


class Cancelled(DineuroError):
    """The user stopped the work; nothing half-written stays."""

    exit_code = 130
    status = 409
    code = "cancelled"


def error_for(code: str, message: str, retry_after: int | None = None) -> DineuroError:
    """The error that a server's word stands for; an unknown word makes a `ServiceError`.

    Args:
        code: see the table at the top.
        message: for a person.
        retry_after: seconds, of those errors that say it.
    """
    kinds = {kind.code: kind for kind in _family(DineuroError)}
    kind = kinds.get(code, ServiceError)
    if issubclass(kind, TryLater) and retry_after is not None:
        return kind(message, retry_after)
    return kind(message)


def _family(kind: type[DineuroError]) -> Iterator[type[DineuroError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)
