"""Volumes at an address: http://, https://, s3:// and gs://, which tensorstore reads.

Only a command that a person typed opens an address; a server never does. An object that is not
there counts as a file that is not there, and there is no listing of folders.
"""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dineuro_bridge.errors import BadFile, FileAccess, MissingDependency

#: A path loses the second slash of an address.
_ADDRESS = re.compile(r"(https?|s3|gs):/{1,2}([^/].*)")
#: Time for an object of metadata, and for the voxels of a box (seconds).
_METADATA_S, _VOXELS_S = 30.0, 300.0
#: A request that fails is tried once more, after a pause.
_RETRIES = {"max_retries": 1, "initial_delay": "200ms", "max_delay": "500ms"}
#: What the library's messages mean, by words in them; the first that fits is told.
_MEANINGS = (
    ("PERMISSION_DENIED", "no permission: give this program's user the keys, or ask the owner"),
    ("UNAUTHENTICATED", "no permission: give this program's user the keys, or ask the owner"),
    ("Could not resolve", "there is no such host: check the address and the network"),
    ("Could not connect", "the host refuses the connection: check the address and the network"),
    ("NOT_FOUND", "there is no such bucket or object"),
    ("ABORTED", "the host failed, and again at a second try"),
    ("DEADLINE", "the host does not answer in time"),
)
#: The variables and files by which AWS's programs find keys.
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
         "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_SHARED_CREDENTIALS_FILE")  # fmt: skip
_KEY_FILES = ("~/.aws/credentials", "~/.aws/config")


def address_of(path: Path | str | RemotePlace) -> str | None:
    """The address that a path was meant as, without a slash at its end; None for a path."""
    found = _ADDRESS.fullmatch(str(path))
    return None if found is None else f"{found[1]}://{found[2].rstrip('/')}"


@dataclass(frozen=True, slots=True)
class RemotePlace:
    """A folder or an object at an address, with the methods of a path that readers use."""

    address: str

    def __str__(self) -> str:
        return self.address

    def __truediv__(self, name: str) -> RemotePlace:
        return RemotePlace(f"{self.address}/{name}")

    @property
    def name(self) -> str:
        """The last part."""
        return self.address.rsplit("/", 1)[1]

    @property
    def suffix(self) -> str:
        """The suffix of the last part."""
        return Path(self.name).suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """All parts."""
        return tuple(self.address.split("/"))

    def is_file(self) -> bool:
        """Whether there is such an object; it is fetched, and kept."""
        return _fetched(self.address) is not None

    def exists(self) -> bool:
        """See `is_file`."""
        return self.is_file()

    def is_dir(self) -> bool:
        """False: addresses have no folders of their own."""
        return False

    def read_bytes(self) -> bytes:
        """The object; empty where there is none."""
        return _fetched(self.address) or b""


#: What a reader of metadata takes.
Place = Path | RemotePlace


def content(place: Place, most: int) -> bytes | None:
    """The bytes of a small file or object; None where there is none.

    Raises:
        BadFile: it has more than `most` bytes.
        FileAccess: it cannot be read; the address does not answer, or refuses.
    """
    if not place.is_file():
        return None
    if isinstance(place, Path) and place.stat().st_size > most:
        raise BadFile(f"{place}: more than {most} bytes of metadata")
    found = place.read_bytes()
    if len(found) > most:
        raise BadFile(f"{place}: more than {most} bytes of metadata")
    return found


def kvstore(place: Place) -> dict[str, Any]:
    """The library's name for a folder on this machine or at an address."""
    if isinstance(place, Path):
        return {"driver": "file", "path": f"{place}/"}
    scheme, rest = place.address.split("://", 1)
    if scheme in ("http", "https"):
        return {"driver": "http", "base_url": f"{place.address}/"}
    bucket, _, path = rest.partition("/")
    spec: dict[str, Any] = {"driver": "gcs" if scheme == "gs" else scheme, "bucket": bucket,
                            "path": f"{path}/" if path else ""}  # fmt: skip
    return {**spec, **_aws()} if scheme == "s3" else spec


def _aws() -> dict[str, Any]:
    """AWS's variables that the library itself does not read; a public bucket needs no keys."""
    spec: dict[str, Any] = {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint:
        spec["endpoint"] = endpoint
        region = region or "us-east-1"
    if region:
        spec["aws_region"] = region
    has_keys = any(os.environ.get(name) for name in _KEYS)
    if not has_keys and not any(Path(name).expanduser().is_file() for name in _KEY_FILES):
        spec["aws_credentials"] = {"type": "anonymous"}
    return spec


@functools.cache
def context() -> Any:
    """The library's context, whose requests fail soon."""
    import tensorstore

    return tensorstore.Context(
        {f"{kind}_request_retries": _RETRIES for kind in ("http", "s3", "gcs")}
    )


def result(future: Any, place: object, *, voxels: bool = False) -> Any:
    """What a call of the library gives.

    Args:
        future: of the library.
        place: for messages.
        voxels: whether it reads voxels, which may take longer.

    Raises:
        FileAccess: the address does not answer, or refuses.
        ValueError, OSError: the library's, of a store that is damaged or on this machine.
    """
    if address_of(str(place)) is None:
        return future.result()
    try:
        return future.result(timeout=_VOXELS_S if voxels else _METADATA_S)
    except TimeoutError as error:
        raise FileAccess(f"{place}: the host does not answer in time: try again later") from error
    except (ValueError, OSError) as error:
        for words, meaning in _MEANINGS:
            if words in str(error):
                raise FileAccess(f"{place}: cannot be read: {meaning}") from error
        raise


@functools.lru_cache(maxsize=1024)
def _fetched(address: str) -> bytes | None:
    """The object at an address; None where there is none."""
    try:
        import tensorstore
    except ImportError as error:
        raise MissingDependency(
            f"{address}: addresses need tensorstore: pip install 'dineuro[stores]'"
        ) from error
    folder, _, name = address.rpartition("/")
    try:
        store = tensorstore.KvStore.open(kvstore(RemotePlace(folder)), context=context())
        read = result(result(store, address).read(name), address)
    except (ValueError, OSError) as error:
        if isinstance(error, FileAccess):
            raise
        raise FileAccess(f"{address}: cannot be read: {str(error).splitlines()[0]}") from error
    return bytes(read.value) if read.state == "value" else None
