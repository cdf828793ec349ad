"""Bearer tokens in a file of hashes: who holds one, until when, and with which quota.

A line of the file is a token: its owner's name, the SHA-256 of the token, and further words. The
file does not hold the token itself. A token has 256 random bits, so that its plain hash does not
reveal it.

    # name sha256 [jobs=N] [gib=X] [label=TEXT] [created=DATE] [expires=DATE]
    anna 9f86d081884c7d65… jobs=20 label=laptop created=2026-05-04 expires=2027-05-04

The server notes the day of each token's last use in its state folder; see `uses`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from dineuro_bridge.errors import BadParameter, FileAccess, Unauthorized
from dineuro_bridge.files import atomic_output, reason
from dineuro_server.access.uses import LastUses
from dineuro_server.jobs.admission import Quota
from dineuro_server.settings import GIB, Settings

#: The owner of all jobs of a server that requires no token or key.
LOCAL = "local"
_PREFIX = "dineuro_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LINE = re.compile(r"(\S+) ([0-9a-f]{64})((?: [a-z]+=\S+)*)")
_WORDS = ("jobs", "gib", "label", "created", "expires")
_HEADER = "# name sha256 [jobs=N] [gib=X] [label=TEXT] [created=DATE] [expires=DATE]"


@dataclass(frozen=True, slots=True)
class Token:
    """One line of the file.

    Attributes:
        name: name of the owner; several tokens may have the same owner.
        sha256: SHA-256 of the token, in hexadecimal.
        jobs: limit of queued and running jobs; None is the server's limit.
        gib: limit of disk space; None is the server's limit.
        label: tells the tokens of one owner apart.
        created: day on which it was made (UTC).
        expires: last day on which it is valid (UTC); None is without end.
    """

    name: str
    sha256: str
    jobs: int | None = None
    gib: float | None = None
    label: str | None = None
    created: date | None = None
    expires: date | None = None

    def line(self) -> str:
        """The line of the file."""
        gib = None if self.gib is None else f"{self.gib:g}"
        values = (self.jobs, gib, self.label, self.created, self.expires)
        words = [f"{word}={v}" for word, v in zip(_WORDS, values, strict=True) if v is not None]
        return " ".join([self.name, self.sha256, *words])


class TokenFile:
    """The tokens of a file, for a server; a change of the file takes effect at once.

    Args:
        path: path of the file.
        settings: the server's limits, and its state folder, which keeps the last uses.

    Raises:
        FileAccess: the file cannot be read, or a line of it is no token.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path, self._settings = path, settings
        self._lock = threading.Lock()
        self._stamp = (0, 0)
        self._tokens: tuple[Token, ...] = ()
        self._uses = LastUses(settings.state)
        self._current()

    def owner(self, token: str) -> str:
        """The owner of a token.

        Every line is compared, so that the time of the comparison reveals nothing.

        Raises:
            Unauthorized: the token is not in the file, or has expired.
            FileAccess: the file cannot be read, or a line of it is no token.
        """
        digest = hashlib.sha256(token.encode()).hexdigest()
        match = None
        for line in self._current():
            if hmac.compare_digest(line.sha256, digest):
                match = line
        if match is None:
            raise Unauthorized("the token is not valid here: ask who runs the server for one")
        if match.expires is not None and _today() > match.expires:
            raise Unauthorized(
                f"the token expired on {match.expires}: ask who runs the server for a new one"
            )
        self._uses.note(match.sha256)
        return match.name

    def quota(self, owner: str) -> Quota:
        """The quota of an owner: the first of its lines with a limit, or the server's limit."""
        tokens = [token for token in self._current() if token.name == owner]
        jobs = [token.jobs for token in tokens if token.jobs is not None]
        gib = [token.gib for token in tokens if token.gib is not None]
        return Quota(
            jobs[0] if jobs else self._settings.owner_jobs,
            int(gib[0] * GIB) if gib else self._settings.owner_bytes,
        )

    def _current(self) -> tuple[Token, ...]:
        with self._lock:
            try:
                status = self._path.stat()
            except OSError as error:
                raise FileAccess(f"{self._path}: cannot be read: {reason(error)}") from error
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                try:
                    self._tokens, self._stamp = tuple(read_tokens(self._path)), stamp
                except BadParameter as error:  # the fault is the server's, not the client's
                    raise FileAccess(str(error)) from error
            return self._tokens


def read_tokens(path: Path) -> list[Token]:
    """The tokens of a file; an empty list if the file does not exist.

    Raises:
        FileAccess: the file cannot be read.
        BadParameter: a line of the file is no token.
    """
    lines = [line.strip() for line in _text(path).splitlines()]
    return [_token(path, n + 1, line) for n, line in enumerate(lines) if line and line[0] != "#"]


def add_token(
    path: Path,
    name: str,
    *,
    jobs: int | None = None,
    gib: float | None = None,
    label: str | None = None,
    expires: date | None = None,
) -> str:
    """Make a token and add its hash to the file, which only the file's owner may read.

    Args:
        path: path of the token file.
        name: name of the owner.
        jobs: limit of queued and running jobs; None is the server's limit.
        gib: limit of disk space; None is the server's limit.
        label: tells the tokens of one owner apart.
        expires: last day on which it is valid (UTC); None is without end.

    Returns:
        The token, which is not stored anywhere.

    Raises:
        BadParameter: name or label has characters other than letters, digits, dot, dash and
            underscore, or the token would already have expired.
        FileAccess: the file cannot be written.
    """
    for text in (name, *([] if label is None else [label])):
        if not _NAME.fullmatch(text):
            raise BadParameter(f"{text!r}: a name has at most 64 letters, digits, '.', '-' and '_'")
    if expires is not None and expires < _today():
        raise BadParameter(f"expires {expires}: lies in the past")
    secret = _PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    token = Token(name, digest, jobs, gib, label, _today(), expires)
    with _changing(path) as tokens:
        tokens.append(token)
    return secret


def revoke(path: Path, name: str, only: str | None = None) -> int:
    """Remove tokens of an owner from the file; returns their number.

    Args:
        path: path of the token file.
        name: name of the owner.
        only: label, or beginning of the hash, of the tokens to remove; None removes all.
    """
    with _changing(path) as tokens:
        before = len(tokens)
        tokens[:] = [token for token in tokens if not _is_meant(token, name, only)]
        return before - len(tokens)


def _is_meant(token: Token, name: str, only: str | None) -> bool:
    by_hash = only is not None and len(only) >= 6 and token.sha256.startswith(only)
    return token.name == name and (only in (None, token.label) or by_hash)


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[list[Token]]:
    """The tokens of a file, to be changed in the block; one program at a time changes them.

    Raises:
        FileAccess: the file cannot be written.
    """
    try:
        lock = path.with_name(path.name + ".lock").open("a")
    except OSError as error:
        raise FileAccess(f"{path}: cannot be written: {reason(error)}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tokens = read_tokens(path)
        before = list(tokens)
        yield tokens
        if tokens != before:
            lines = [_HEADER, *(token.line() for token in tokens)]
            _write_private(path, "\n".join(lines) + "\n")


def _token(path: Path, number: int, line: str) -> Token:
    """The token of a line."""
    match = _LINE.fullmatch(line)
    try:
        if match is None or not _NAME.fullmatch(match[1]):
            raise ValueError
        words = dict(word.split("=", 1) for word in match[3].split())
        if not words.keys() <= set(_WORDS):
            raise ValueError
        days = {
            name: date.fromisoformat(words[name])
            for name in ("created", "expires")
            if name in words
        }
        return Token(
            match[1],
            match[2],
            int(words["jobs"]) if "jobs" in words else None,
            float(words["gib"]) if "gib" in words else None,
            words.get("label"),
            **days,
        )
    except ValueError as error:
        raise BadParameter(
            f"{path}: line {number} is no token ({_HEADER[2:]}): make them with dineuro keys token"
        ) from error


def _text(path: Path) -> str:
    """The text of a file; empty if the file does not exist."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is no text"
        raise FileAccess(f"{path}: cannot be read: {why}") from error


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    with atomic_output(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(text, encoding="utf-8")


def _today() -> date:
    return datetime.now(UTC).date()
