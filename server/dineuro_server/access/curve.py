"""CURVE keys: which clients the ZeroMQ door admits, and the owner's name of each.

    KEYS/server.key_secret     the server's secret key, which only its owner may read
    KEYS/server.key            the server's public key, which every client needs
    KEYS/clients/NAME.key      the public key of an admitted client; NAME owns its jobs
    KEYS/NAME.key_secret       a client's own pair, to be handed to the client and deleted here

The files have the format of pyzmq (`zmq.auth`). A change of `clients/` takes effect at once, also
for open connections.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import zmq.auth

from dineuro_bridge.errors import BadParameter, FileAccess
from dineuro_bridge.files import reason

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SERVER = "server"
Stamp = tuple[tuple[str, int, int], ...]

log = logging.getLogger(__name__)


def make_server_keys(folder: Path) -> Path:
    """Make the server's pair if it is missing.

    Returns:
        The path of the server's public key.

    Raises:
        FileAccess: the folder cannot be written.
    """
    public = folder / f"{_SERVER}.key"
    if not (folder / f"{_SERVER}.key_secret").exists():
        _make(folder, _SERVER)
    return public


def make_client_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a client's pair and admit its public key.

    Returns:
        The paths of the client's secret key and of the server's public key, which the client needs.

    Raises:
        BadParameter: the name has characters other than letters, digits, dot, dash and underscore,
            or has a key already.
        FileAccess: the folder cannot be written.
    """
    if not _NAME.fullmatch(name) or name == _SERVER:
        raise BadParameter(f"{name!r}: a name has at most 64 letters, digits, '.', '-' and '_'")
    allowed = folder / "clients" / f"{name}.key"
    if allowed.exists():
        raise BadParameter(f"{allowed}: {name} has a key already: revoke it first")
    server = make_server_keys(folder)
    public, secret = _make(folder, name)
    try:
        allowed.parent.mkdir(mode=0o700, exist_ok=True)
        public.replace(allowed)
    except OSError as error:
        raise FileAccess(f"{allowed}: cannot be written: {reason(error)}") from error
    return secret, server


def revoke_client(folder: Path, name: str) -> None:
    """Remove the key of a client.

    Raises:
        BadParameter: the client has no key.
    """
    allowed = folder / "clients" / f"{name}.key"
    if not _NAME.fullmatch(name) or not allowed.exists():
        raise BadParameter(f"{folder}: has no key of {name}")
    allowed.unlink()


def server_keys(folder: Path) -> tuple[bytes, bytes]:
    """The server's public and secret key.

    Raises:
        FileAccess: the keys are missing or cannot be read.
    """
    public, secret = _load(folder / f"{_SERVER}.key_secret")
    if secret is None:
        raise FileAccess(f"{folder}: server.key_secret contains no secret key: dineuro keys curve")
    return public, secret


def exposures(folder: Path) -> Iterator[str]:
    """A sentence for each file or folder of the keys that others may read or write, but should not.

    Other users who write in the folder admit themselves; those who read the secret key can pretend
    to be the server.
    """
    secret = folder / f"{_SERVER}.key_secret"
    for path, bits, verb, right in (
        (folder, 0o022, "write in", "700"),
        (folder / "clients", 0o022, "write in", "700"),
        (secret, 0o077, "read or write", "600"),
    ):
        with contextlib.suppress(OSError):
            if path.stat().st_mode & bits:
                yield f"{path}: other users can {verb} it: chmod {right}"


class AllowedKeys:
    """The admitted public keys; a change of the folder takes effect at once.

    The authenticator calls `callback` from its own thread.

    Args:
        folder: folder of the keys.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "clients"
        self._lock = threading.Lock()
        self._stamp: Stamp = ()
        self._names: dict[bytes, str] = {}

    def callback(self, _domain: str, key: bytes) -> bool:
        """Whether a key is admitted."""
        return self.name(key) is not None

    def name(self, key: bytes) -> str | None:
        """The owner of a key; None if the key is not admitted."""
        with self._lock:
            stamp = _stamp(self._folder)
            if stamp != self._stamp:
                self._names = dict(client_keys(self._folder.parent))
                self._stamp = stamp
            return self._names.get(key)


def client_keys(folder: Path) -> Iterator[tuple[bytes, str]]:
    """The admitted public keys of a folder, with the name of each owner, sorted by name.

    A file that holds no key admits nobody: it may be half-copied, or gone again.
    """
    for name, _, _ in _stamp(folder / "clients"):
        try:
            public, _secret = _load(folder / "clients" / name)
        except FileAccess as error:
            log.warning("no key: %s", error)
            continue
        yield public, name.removesuffix(".key")


def _stamp(folder: Path) -> Stamp:
    """Name, time and size of each key file, by which a change of the folder shows."""
    files = []
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".key"):
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat()
                    files.append((entry.name, status.st_mtime_ns, status.st_size))
    return tuple(sorted(files))


def _make(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a pair; the folder, which may be there already, never shows others the secret key."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder) as private:
            made = [Path(path) for path in zmq.auth.create_certificates(private, name)]
            made[1].chmod(0o600)
            public, secret = (path.replace(folder / path.name) for path in made)
    except OSError as error:
        raise FileAccess(f"{folder}: keys cannot be written: {reason(error)}") from error
    return public, secret


def _load(path: Path) -> tuple[bytes, bytes | None]:
    try:
        return zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        # pyzmq has an error without a number for a file that is missing.
        why = "it is missing, or holds no key"
        if isinstance(error, OSError) and error.errno is not None:
            why = reason(error)
        raise FileAccess(f"{path}: cannot be read: {why}") from error
