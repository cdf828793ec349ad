"""Bearer tokens in a file of hashes, and the rules for doors that others can reach.

A line of the file is a token: its owner's name, the SHA-256 of the token, and the owner's quotas if
they differ from the server's. The file does not hold the token itself. A token has 256 random
bits, so that its plain hash does not reveal it.

    # name sha256 [jobs=N] [gib=X]
    anna 9f86d081884c7d65… jobs=20 gib=50
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

from dineuro_bridge.errors import BadParameter, FileAccess, Unauthorized
from dineuro_bridge.files import atomic_output, reason
from dineuro_server.jobs.admission import Quota
from dineuro_server.settings import GIB, Settings

#: The owner of all jobs of a server that requires no token or key.
LOCAL = "local"
_PREFIX = "dineuro_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LINE = re.compile(r"(\S+) ([0-9a-f]{64})((?: (?:jobs|gib)=[0-9.]+)*)")


@dataclass(frozen=True, slots=True)
class Token:
    """One line of the file.

    Attributes:
        name: name of the owner; several tokens may have the same owner.
        sha256: SHA-256 of the token, in hexadecimal.
        jobs: limit of queued and running jobs; None is the server's limit.
        gib: limit of disk space; None is the server's limit.
    """

    name: str
    sha256: str
    jobs: int | None = None
    gib: float | None = None

    def line(self) -> str:
        """The line of the file."""
        words = [self.name, self.sha256]
        words += [] if self.jobs is None else [f"jobs={self.jobs}"]
        words += [] if self.gib is None else [f"gib={self.gib:g}"]
        return " ".join(words)


class TokenFile:
    """The tokens of a file; a change of the file takes effect at once.

    Args:
        path: path of the file.
        settings: the server's limits.

    Raises:
        FileAccess: the file cannot be read, or a line of it is no token.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path, self._settings = path, settings
        self._lock = threading.Lock()
        self._stamp = (0, 0)
        self._tokens: tuple[Token, ...] = ()
        self._current()

    def owner(self, token: str) -> str:
        """The owner of a token.

        Every line is compared, so that the time of the comparison reveals nothing.

        Raises:
            Unauthorized: the token is not in the file.
        """
        digest = hashlib.sha256(token.encode()).hexdigest()
        owner = None
        for line in self._current():
            if hmac.compare_digest(line.sha256, digest):
                owner = line.name
        if owner is None:
            raise Unauthorized("the token is not valid here: ask who runs the server for one")
        return owner

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
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is no text"
        raise FileAccess(f"{path}: cannot be read: {why}") from error
    lines = [line.strip() for line in text.splitlines()]
    return [_token(path, n + 1, line) for n, line in enumerate(lines) if line and line[0] != "#"]


def _token(path: Path, number: int, line: str) -> Token:
    match = _LINE.fullmatch(line)
    try:
        if match is None or not _NAME.fullmatch(match[1]):
            raise ValueError
        quotas = dict(word.split("=") for word in match[3].split())
        jobs, gib = quotas.get("jobs"), quotas.get("gib")
        return Token(
            match[1], match[2], None if jobs is None else int(jobs), (gib and float(gib)) or None
        )
    except ValueError as error:
        raise BadParameter(
            f"{path}: line {number} is no token (NAME SHA256 [jobs=N] [gib=X]): make them with "
            "dineuro keys token"
        ) from error


def add_token(path: Path, name: str, *, jobs: int | None = None, gib: float | None = None) -> str:
    """Make a token and add its hash to the file, which only the file's owner may read.

    Returns:
        The token, which is not stored anywhere.

    Raises:
        BadParameter: the name has characters other than letters, digits, dot, dash and underscore.
        FileAccess: the file cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise BadParameter(f"{name!r}: a name has at most 64 letters, digits, '.', '-' and '_'")
    secret = _PREFIX + secrets.token_urlsafe(32)
    token = Token(name, hashlib.sha256(secret.encode()).hexdigest(), jobs, gib)
    _write(path, [*read_tokens(path), token])
    return secret


def revoke(path: Path, name: str) -> int:
    """Remove all tokens of an owner from the file; returns their number."""
    tokens = read_tokens(path)
    kept = [token for token in tokens if token.name != name]
    if len(kept) < len(tokens):
        _write(path, kept)
    return len(tokens) - len(kept)


def _write(path: Path, tokens: list[Token]) -> None:
    lines = ["# name sha256 [jobs=N] [gib=X]", *(token.line() for token in tokens)]
    with atomic_output(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_and_port(address: str) -> tuple[str, int]:
    """The host and the port of HOST:PORT or tcp://HOST:PORT.

    Raises:
        BadParameter: the address has another form.
    """
    host, colon, port = address.removeprefix("tcp://").rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise BadParameter(f"{address}: must be HOST:PORT, such as 127.0.0.1:8000")
    return host.strip("[]"), int(port)


def check_doors(settings: Settings) -> None:
    """Refuse to open a door that others can reach without tokens or keys.

    Raises:
        BadParameter: tokens or keys are missing and neither `insecure` nor `local` is set, or an
            address is wrong.
    """
    open_to_all = settings.insecure or settings.local
    if settings.zmq != "off":
        if not settings.zmq.startswith("tcp://"):
            raise BadParameter(f"{settings.zmq}: must be tcp://HOST:PORT, or off")
        host, _ = host_and_port(settings.zmq)
        if settings.keys is None and not open_to_all and not is_loopback(host):
            raise BadParameter(
                f"{settings.zmq}: can be reached from other machines and needs CURVE keys (dineuro "
                "keys curve; --keys FOLDER); --insecure admits everyone"
            )
    host, _ = host_and_port(settings.http)
    if settings.tokens is None and not open_to_all and not is_loopback(host):
        raise BadParameter(
            f"{settings.http}: can be reached from other machines and needs bearer tokens "
            "(dineuro keys token; --tokens FILE); --insecure admits everyone"
        )
