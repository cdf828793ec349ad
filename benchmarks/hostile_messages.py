"""Malformed requests of HTTP and messages of DNP1, from a seed."""

from __future__ import annotations

import json
import random
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.hostile_files import NUMBERS, WORDS, damaged, flip_bits, well_formed
from dineuro_bridge.protocol import MAGIC, TYPES


@dataclass(slots=True)
class Known:
    """What a client has learned, for use in later inputs.

    Attributes:
        jobs: ids of jobs.
        transfers: names of uploads over ZeroMQ.
        files: well-formed files, to be damaged.
        tokens: values of the header Authorization.
    """

    jobs: list[str] = field(default_factory=lambda: ["0" * 32])
    transfers: list[str] = field(default_factory=lambda: ["t"])
    files: list[bytes] = field(default_factory=lambda: list(well_formed()))
    tokens: Sequence[str] = ("",)


# HTTP

_METHODS = ("GET", "GET", "GET", "HEAD", "POST", "POST", "DELETE", "PUT", "PATCH", "OPTIONS",
            "TRACE", "CONNECT", "get", "G E T", "", "\0", "A" * 300)  # fmt: skip
_PATHS = (
    "/", "/livez", "/readyz", "/metrics", "/docs", "/openapi.json", "/v1/models", "/v1/jobs",
    "/v1/jobs/{job}", "/v1/jobs/{job}/swc", "/v1/jobs/{job}/mask", "/v1/jobs/{job}/mask.tif",
    "/v1/jobs/{job}/mask.v3dpbd", "/v1/jobs/{job}/report", "/v1/jobs/{job}/view",
    "/v1/jobs/{job}/results.zip", "/v1/jobs/{job}/preview.png", "/v1/jobs/{job}/doubts",
    "/v1/trace", "/v1/enhance", "/v1/retrace", "/v1/jobs/{job}/../../{job}", "/v1/jobs/%2e%2e",
    "/v1/jobs/..%2f..%2fjobs.sqlite", "/v1/jobs/{job}/mask.%74if", "/static/../../etc/passwd",
    "/assets/%2e%2e/%2e%2e/etc/passwd", "//v1/jobs", "/v1//jobs", "/v1/jobs/", "/v1/jobs/%00",
    "/v1/jobs/%ff%fe", "/v1/jobs/ü", "*", "http://other.host/v1/jobs", "/v1/jobs/" + "a" * 3000,
    "/v1/jobs/{job}/events", "/v1/jobs/{job}%0d%0aX:y", "?", "/v1/jobs#x", "/\0", "",
)  # fmt: skip
_PARAMETERS = (
    "name", "channel", "roi", "root", "spacing", "row_order", "z_axis", "enhancer", "model",
    "threshold", "min_length", "gap", "trees", "spines", "min_confidence", "passes", "units",
    "priority", "time_limit", "deadline", "reuse", "job", "limit", "before", "state", "kind",
    "bogus", "", "file", "name[]", "__class__",
)  # fmt: skip
_HEADERS = (
    ("Range", ("bytes=0-0", "bytes=5-1", "bytes=-0", "bytes=99999999999999999999-", "bytes=a-b",
               "bytes=" + "0-1," * 500 + "0-1", "lines=1-2", "bytes=0-1,2-3", "bytes=-5")),
    ("Accept", ("*/*;q=2", "image/tiff;q=x", "text/plain;q=0", ",,,", "a" * 2000, "application/zip",
                "*/" * 300, "image/tiff", "\xff")),
    ("Content-Length", ("-1", "1e3", "99999999999999999999", "0", "٣", "5, 5", "abc", "+5")),
    ("Transfer-Encoding", ("chunked", "gzip, chunked", "identity", "chunked, chunked", "x")),
    ("Content-Encoding", ("gzip", "br", "x")),
    ("Host", ("evil.example", "[::1", "localhost:99999999", "", "a" * 500, "127.0.0.1@evil")),
    ("Origin", ("http://evil.example", "null", "http://[", "file://")),
    ("Prefer", ("wait=-1", "wait=nan", "wait=1e99", "respond-async, wait=x", "wait=0")),
    ("Idempotency-Key", ("", "a" * 201, "\xff", "k", "k", "k")),
    ("Last-Event-ID", ("-1", "9" * 30, "x", "٣", "1")),
    ("If-Range", ("x",)), ("If-None-Match", ("*", '"x"')),
    ("Expect", ("100-continue", "x")), ("Upgrade", ("websocket", "h2c")),
    ("Authorization", ("Basic YTpi", "Bearer ", "Bearer a b", "Bearer " + "x" * 5000, "Bearer \xff",
                       "x")),
    ("Connection", ("close", "keep-alive", "upgrade", "x" * 200)),
    ("Cookie", ("a=" + "b" * 4000,)), ("X-Forwarded-For", ("1.2.3.4",)),
    ("bad header", ("x",)), ("X\0Y", ("z",)), ("", ("",)), ("Content-Type", ("",)),
)  # fmt: skip
_TYPES = (
    "application/octet-stream", "image/tiff", "multipart/form-data", "application/json",
    "text/html", "multipart/form-data; boundary=", 'multipart/form-data; boundary="', "a" * 500,
    "multipart/mixed", "multipart/form-data; boundary=" + "b" * 80, "image/tiff; charset=\xff",
    ";;;",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HttpInput:
    """A request; one that announces more than it sends has no answer to wait for."""

    data: bytes
    has_answer: bool


def http_request(rng: random.Random, known: Known) -> HttpInput:
    """A request that is wrong in one or several places."""
    if rng.random() < 0.4:
        return _nearly_right(rng, known)
    if rng.random() < 0.03:
        return HttpInput(rng.randbytes(rng.choice((1, 40, 3000))), has_answer=False)
    method, path = rng.choice(_METHODS), rng.choice(_PATHS).replace("{job}", rng.choice(known.jobs))
    body, kind = b"", ""
    if method == "POST" or rng.random() < 0.1:
        path = rng.choice(("/v1/trace", "/v1/enhance", "/v1/retrace", path))
        body, kind = _body(rng, known)
    if rng.random() < 0.6:
        path += "?" + "&".join(_pair(rng, known) for _ in range(rng.choice((1, 1, 2, 5, 60))))
    headers = {"Host": "localhost", "Prefer": "respond-async", "Content-Type": kind}
    headers["Authorization"] = rng.choice(known.tokens)
    has_answer, framing = True, rng.random()
    if framing < 0.1:
        headers["Transfer-Encoding"] = "chunked"
        body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:50], body[50:]) if p)
        body += rng.choice(
            (b"0\r\n\r\n", b"0\r\n\r\n", b"-1\r\n", b"zz\r\n", b"fffffffffffffff\r\n")
        )
        has_answer = body.endswith(b"0\r\n\r\n")
    elif framing < 0.2:
        headers["Content-Length"] = str(len(body) + rng.choice((1, 1000, 10**7)))
        has_answer = False
    else:
        headers["Content-Length"] = str(len(body))
    for _ in range(rng.choice((0, 1, 1, 2))):
        name, values = rng.choice(_HEADERS)
        headers[name] = rng.choice(values)
        has_answer = has_answer and name not in ("Content-Length", "Transfer-Encoding", "Expect")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value or not name)
    version = rng.choice(("HTTP/1.1",) * 12 + ("HTTP/1.0", "HTTP/2.0", "HTTP/9", "x", ""))
    head = f"{method} {path} {version}\r\n{lines}\r\n".encode("utf-8", "surrogatepass")
    if "events" in path:
        has_answer = False
    return HttpInput(head + body, has_answer)


def _nearly_right(rng: random.Random, known: Known) -> HttpInput:
    """A request that finds its route, with an odd value or an odd header at most."""
    path = rng.choice(_PATHS[:18]).replace("{job}", rng.choice(known.jobs[-8:]))
    if path == "/v1/jobs" and rng.random() < 0.7:
        word = rng.choice([*map(str, NUMBERS), *WORDS, "done", "trace", "5"])
        name = rng.choice(("limit", "before", "state", "kind"))
        path += "?" + urllib.parse.urlencode({name: word}, errors="surrogatepass")
    method = rng.choice(("GET",) * 8 + ("HEAD", "DELETE"))
    lines = ["Host: localhost", f"Authorization: {known.tokens[0]}"[: 999 * bool(known.tokens[0])]]
    if rng.random() < 0.6:
        name, values = rng.choice(_HEADERS[:2] + _HEADERS[9:13])
        lines.append(f"{name}: {rng.choice(values)}")
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *filter(None, lines), "", ""])
    return HttpInput(head.encode("utf-8", "surrogatepass"), has_answer=True)


def http_upload(rng: random.Random, known: Known, data: bytes) -> HttpInput:
    """A well-formed request with a file."""
    kind = rng.choice(("trace", "trace", "enhance", "retrace"))
    name = rng.choice(("a.tif", "a.ome.tif", "a.lsm", "a.v3draw", "..%2fa.tif", "%00", "a%0ab.tif"))
    query = f"enhancer=none&name={name}&z_axis={rng.choice('zzztc')}"
    if rng.random() < 0.3:
        query += f"&{_pair(rng, known)}"
    token = known.tokens[0]
    lines = f"Host: localhost\r\nPrefer: respond-async\r\nContent-Length: {len(data)}\r\n"
    lines += f"Authorization: {token}\r\n" if token else ""
    head = f"POST /v1/{kind}?{query} HTTP/1.1\r\n{lines}\r\n"
    return HttpInput(head.encode("utf-8", "surrogatepass") + data, has_answer=True)


def _pair(rng: random.Random, known: Known) -> str:
    values = [*map(str, NUMBERS), *WORDS, *known.jobs[-3:], "classical", "none", "all", "done"]
    value = rng.choice(values)
    if rng.random() < 0.8:
        value = "".join(f"%{byte:02x}" for byte in value.encode("utf-8", "surrogatepass"))
    return rng.choice(_PARAMETERS) + rng.choice(("=", "=", "=", "", "==")) + value


def _body(rng: random.Random, known: Known) -> tuple[bytes, str]:
    """A body and its Content-Type, which need not agree."""
    kind = rng.choice(_TYPES)
    choice = rng.random()
    if choice < 0.2:
        return json.dumps(_value(rng)).encode(), kind
    if choice < 0.3:
        return rng.randbytes(rng.choice((0, 1, 500))), kind
    if choice < 0.5:
        return damaged(rng, known.files), kind
    boundary = rng.choice(("x", "x", "x", "--", "a b", "'()+_,-./:=?"))
    parts = b""
    for _ in range(rng.choice((0, 1, 2, 3, 150))):
        name = rng.choice(("file", *_PARAMETERS[:12], "\0", "\xff", 'a"b', "a" * 3000))
        file = rng.choice(
            ("", "", '; filename="a.tif"', '; filename="../../x"', "; filename*=x''y")
        )
        word = rng.choice([*map(str, NUMBERS), *WORDS]).encode("utf-8", "surrogatepass")
        value = damaged(rng, known.files) if "filename" in file else word
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        parts += head.encode() + value + b"\r\n"
    parts += rng.choice((f"--{boundary}--\r\n".encode(), b"", b"--", b"--x--"))
    if rng.random() < 0.2:
        parts = bytes(flip_bits(rng, bytearray(parts), ()))
    return parts, f"multipart/form-data; boundary={boundary}"


def _value(rng: random.Random, depth: int = 0) -> Any:
    """A JSON value of any type."""
    if depth < 3 and rng.random() < 0.25:
        if rng.random() < 0.5:
            return [_value(rng, depth + 1) for _ in range(rng.randrange(4))]
        keys = ("format", "shape", "dtype", *_PARAMETERS, "a" * 300)
        return {rng.choice(keys): _value(rng, depth + 1) for _ in range(rng.randrange(4))}
    return rng.choice((*NUMBERS, *WORDS, None, True, False, 0.5, -0.0, 1e300))


# ZeroMQ

_FIELDS = (
    "protocol", "client", "request", "kind", "nbytes", "volume", "sha256", "source", "params",
    "priority", "time_limit_s", "reuse", "transfer", "seq", "job", "part", "offset", "n",
)  # fmt: skip
#: Types of a client's messages; some more often than others.
_ASKED = ("HELLO", "PING", "SUBMIT", "SUBMIT", "CHUNK", "CHUNK", "FETCH", "FETCH", "FETCH",
          "ATTACH", "CANCEL")  # fmt: skip
_RAW_HEADERS = (
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"{}" * 40_000, b"[" * 30_000,
    b'{"a":' * 9000, b'{"job":"\\ud800"}', b'{"protocol":NaN}', b'{"protocol":1e999}',
    b'{"protocol":1,"protocol":"x"}', b'{"protocol":' + b"9" * 5000 + b"}", b'{"job":"\\u0000"}',
    b'{"protocol":1.0}', b'{"protocol":true}', b'{"transfer":"t","job":"j"}',
)  # fmt: skip


def frames(rng: random.Random, known: Known) -> list[bytes]:
    """A message of DNP1 that is wrong in one or several places, or in the wrong order."""
    choice = rng.random()
    if choice < 0.08:
        return [rng.randbytes(rng.choice((0, 1, 4, 300))) for _ in range(rng.randint(1, 6))]
    kind = rng.choice(_ASKED if rng.random() < 0.8 else TYPES).encode()
    header: bytes = json.dumps(_header(rng, known)).encode()
    if choice < 0.2:
        header = rng.choice(_RAW_HEADERS)
    parts = [MAGIC, kind, header]
    if kind == b"CHUNK" or rng.random() < 0.05:
        parts.append(rng.randbytes(rng.choice((0, 1, 1000, 10_000))))
    if rng.random() < 0.08:
        at = rng.randrange(len(parts))
        parts[at : at + 1] = rng.choice(([], [parts[at]] * 2, [b""], [parts[at] * 3], [b"DNP2"]))
    return parts or [b""]


def _header(rng: random.Random, known: Known) -> dict[str, Any]:
    """The fields of all types, right ones first, some of them replaced or left out."""
    header: dict[str, Any] = {
        "protocol": 1, "client": "x", "request": f"r{rng.randrange(10**6)}",
        "kind": rng.choice(("trace", "enhance", "retrace")), "nbytes": 1000,
        "volume": rng.choice((
            {"format": "file"}, {"format": "raw", "shape": [1, 10, 10, 10], "dtype": "uint8"},
            {"format": "raw", "shape": _value(rng), "dtype": _value(rng)}, _value(rng),
        )),
        "params": {"enhancer": "none", rng.choice(_PARAMETERS): _value(rng)},
        "seq": rng.choice((0, 1)), "offset": rng.choice((0, 0, 2**61)), "n": 1, "priority": 0,
        "part": rng.choice(("swc", "mask", "report", "probability", "../x", "")),
    }  # fmt: skip
    reference = rng.choice(("job", "transfer", "source", "both"))
    if reference in ("job", "both"):
        header["job"] = rng.choice(known.jobs)
    if reference in ("transfer", "both"):
        header["transfer"] = rng.choice(known.transfers)
    if reference == "source":
        header["source"] = rng.choice(known.jobs)
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        header[rng.choice(_FIELDS)] = _value(rng)
    if rng.random() < 0.2:
        header.pop(rng.choice(list(header)))
    return header
