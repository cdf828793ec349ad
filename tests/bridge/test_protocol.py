"""DNP1 as bytes: the golden messages, and what is no message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dineuro_bridge.errors import BadRequest
from dineuro_bridge.parts import PARTS
from dineuro_bridge.protocol import TYPES, Message, RawVolume, decode, encode, raw_volume
from tests.support.golden.dnp1 import BAD, EDITS, GOOD, PLACE, document


def test_the_golden_file_is_what_the_protocol_makes() -> None:
    assert json.loads(PLACE.read_text(encoding="utf-8")) == document()


def test_every_type_has_a_golden_message() -> None:
    assert {message.type for message in (GOOD | EDITS).values()} == set(TYPES)


_READ = json.loads(PLACE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("entry", _READ["good"] + _READ["edits"], ids=lambda e: e["name"])
def test_golden_messages_are_written_and_read_byte_by_byte(entry: dict[str, Any]) -> None:
    message = Message(entry["type"], entry["header"], bytes.fromhex(entry["payload"]))
    frames = [bytes.fromhex(frame) for frame in entry["frames"]]
    assert encode(message) == frames
    read = decode(frames)
    assert (read.type, read.header, bytes(read.payload)) == (
        message.type,
        message.header,
        message.payload,
    )


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_message_is_refused_with_a_reason(name: str) -> None:
    frames, says = BAD[name]
    with pytest.raises(BadRequest, match=says):
        decode(frames)


def test_a_header_that_its_type_does_not_allow_is_not_written() -> None:
    with pytest.raises(BadRequest, match="lacks 'job'"):
        encode(Message("QUEUED", {"request": "a", "reused": False}))


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_noise_is_no_message_and_no_crash(frames: list[bytes]) -> None:
    with pytest.raises(BadRequest):
        decode(frames)


_values: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just({})
)


@given(
    st.sampled_from(TYPES),
    st.dictionaries(st.sampled_from(["request", "job", "transfer", "seq", "params"]), _values),
    st.booleans(),
)
def test_any_header_is_read_or_refused(kind: str, header: dict[str, Any], payload: bool) -> None:
    frames = [b"DNP1", kind.encode(), json.dumps(header).encode()] + [b"x"] * payload
    try:
        message = decode(frames)
    except BadRequest:
        return
    assert message.type == kind
    assert encode(Message(kind, message.header, message.payload))[1] == kind.encode()


def test_a_volume_s_size_follows_from_what_is_said_of_it() -> None:
    said = RawVolume((2, 3, 4, 5), "uint16")
    assert said.nbytes == 240
    assert raw_volume(said.as_dict()) == said
    assert raw_volume({"format": "file"}) is None


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"format": "picture"},
        {"format": "raw", "shape": [1, 1, 1, 1], "dtype": "uint32"},
        {"format": "raw", "shape": [1, 1, 1], "dtype": "uint8"},
        {"format": "raw", "shape": [1, 1, 1, 0], "dtype": "uint8"},
        {"format": "raw", "shape": [1, 1, 1, True], "dtype": "uint8"},
        {"format": "raw", "shape": "1,1,1,1", "dtype": "uint8"},
    ],
)
def test_volumes_that_cannot_be(said: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="SUBMIT: the volume's"):
        raw_volume(said)


def test_a_result_has_the_parts_that_the_protocol_names() -> None:
    delivered = {part.name for part in PARTS.values() if part.is_delivered}
    assert delivered == {"swc", "mask", "report", "doubts", "preview", "neurons", "table"}
