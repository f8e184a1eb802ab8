"""The lines of Loki's protobuf form: what Google's library writes arrives, what is damaged or hostile is refused."""

from __future__ import annotations

import random

import cramjam
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from lokimessages import PushRequest, push_request

from nativemtail.io.bodies import BadBody, loki_message_lines, unsnap
from nativemtail.io.protobuf import BadMessage, texts

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(TEXT, st.lists(TEXT)), max_size=4))
def test_what_googles_library_writes_arrives(streams: list[tuple[str, list[str]]]) -> None:
    lines = [line.removesuffix("\n") for _, lines in streams for line in lines]
    assert loki_message_lines(push_request(*streams)) == "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        (b"", b""),
        (b"\x0a\x00", b""),  # a stream without entries
        (b"\x0a\x02\x12\x00", b""),  # an entry without a line
        (b"\x0a\x06\x12\x04\x12\x02a\n", b"a"),
        (b"\x0a\x07\x12\x05\x12\x03a\nb", b"a\nb"),
        (b"\x0a\x05\x12\x03\x12\x01\xff", b"\xff"),
        (b"\x0a\x08\x12\x06\x12\x01a\x12\x01b", b"b"),  # of a field that is there twice the last one counts
        (b"\x0a\x0a\x12\x03\x12\x01a\x12\x03\x12\x01b\x0a\x05\x12\x03\x12\x01c", b"a\nb\nc"),
        # fields of other versions: a number, 8 bytes, 4 bytes, a text
        (b"\x78\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x79........\x7d....\x7a\x01x\x0a\x05\x12\x03\x12\x01a", b"a"),
    ],
)
def test_messages(message: bytes, lines: bytes) -> None:
    assert loki_message_lines(message) == lines


def one_field(message: bytes, wanted: int = 1) -> list[bytes]:
    return [message[begin:end] for begin, end in texts(message, 0, len(message), wanted)]


def test_numbers_may_be_longer_than_needed() -> None:
    assert one_field(b"\x8a\x80\x00\x83\x80\x00abc") == [b"abc"]
    assert one_field(b"\xfa\xff\xff\xff\x0f\x01x", 2**29 - 1) == [b"x"]


DAMAGED = [
    (b"\x12", "a number that is cut"),
    (b"\x92", "a number that is cut"),
    (b"\x12\x80", "a number that is cut"),
    (b"\x12\x02a", "longer than its message"),
    (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "longer than its message"),
    (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "beyond 64 bits"),
    (b"\x12" + b"\x80" * 10 + b"\x01", "beyond 64 bits"),
    (b"\x78" + b"\xff" * 100, "beyond 64 bits"),
    (b"\x79.......", "longer than its message"),
    (b"\x7d...", "longer than its message"),
    (b"\x02\x00", "field number 0"),
    (b"\x82\x80\x80\x80\x10\x00", "field number 536870912"),
    (b"\x0b\x0c", "wire type 3"),
    (b"\x7e", "wire type 6"),
    (b"\x10\x01", "field 2 of wire type 0"),
    (b"\x15....", "field 2 of wire type 5"),
]


@pytest.mark.parametrize(("message", "text"), DAMAGED)
def test_what_is_no_message_is_refused(message: bytes, text: str) -> None:
    with pytest.raises(BadMessage, match=text):
        one_field(message, 2)


def inside(field: bytes, message: bytes) -> bytes:
    assert len(message) < 0x80
    return field + bytes([len(message)]) + message


@pytest.mark.parametrize("message", [message for message, _ in DAMAGED])
def test_damage_is_found_in_streams_and_entries(message: bytes) -> None:
    """Also where the bytes that lack follow outside of the stream or entry."""
    for body in inside(b"\x0a", message), inside(b"\x0a", inside(b"\x12", message)):
        with pytest.raises(BadBody, match="not what Loki takes, a protobuf PushRequest") as caught:
            loki_message_lines(body + b"\x7a\x0c" + bytes(12))
        assert caught.value.status == 400


@given(st.lists(st.tuples(TEXT, st.lists(TEXT, max_size=3)), max_size=3), st.randoms(use_true_random=False))
def test_damaged_messages_are_read_as_googles_library_reads_them_or_refused(
    streams: list[tuple[str, list[str]]], source: random.Random
) -> None:
    message = bytearray(push_request(*streams) or b"\x0a\x00")
    for _ in range(source.randint(1, 3)):
        at = source.randrange(len(message))
        source.choice([lambda at: message.insert(at, source.randrange(256)), message.pop][: 1 + (len(message) > 1)])(at)
        message[source.randrange(len(message))] = source.choice([0, 1, 2, 10, 18, 127, 128, 255])
    try:
        found = loki_message_lines(bytes(message))
    except BadBody:
        return
    try:
        request = PushRequest.FromString(bytes(message))
    except DecodeError:
        return  # of a field that is passed over here, such as a text that is not UTF-8
    lines = [entry.line.removesuffix("\n") for stream in request.streams for entry in stream.entries]
    assert found == "\n".join(lines).encode()


# --- Snappy --------------------------------------------------------------------------------------------------------


def literal(text: bytes) -> bytes:
    """A block of Snappy, written by hand: a length, then one literal of up to 60 bytes."""
    assert 0 < len(text) <= 60
    return bytes([len(text), (len(text) - 1) << 2]) + text


def test_snappy() -> None:
    assert unsnap(literal(b"one line"), 8) == b"one line"
    assert unsnap(b"\x00", 0) == b""
    assert unsnap(b"\x08" + b"\x04ab" + b"\x16\x02\x00", 8) == b"abababab"  # two bytes, then six from two back
    data = bytes(1000) + b"line" * 1000
    assert unsnap(bytes(cramjam.snappy.compress_raw(data)), len(data)) == data


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 400, "not compressed with Snappy"),
        (b"plain text", 400, "not compressed with Snappy"),
        (literal(b"one line")[:-1], 400, "not compressed with Snappy"),
        (literal(b"one line") + b"x", 400, "not compressed with Snappy"),
        (b"\xff" * 20, 400, "not compressed with Snappy"),
        (b"\x08" + b"\x04ab" + b"\x16\x03\x00", 400, "not compressed with Snappy"),  # a copy from before the beginning
        (bytes(cramjam.snappy.compress(b"one line")), 400, "not compressed with Snappy"),  # the other format, framed
        (b"\x89\x08" + bytes(1033), 413, "more than 1000 bytes"),
        (b"\xff\xff\xff\xff\x0f", 413, "more than 1000 bytes"),  # nothing of these 4 GiB is allocated
        (bytes(cramjam.snappy.compress_raw(bytes(1001))), 413, "more than 1000 bytes"),
    ],
)
def test_what_cannot_be_decompressed_is_refused(body: bytes, status: int, text: str) -> None:
    with pytest.raises(BadBody, match=text) as caught:
        unsnap(body, 1000)
    assert caught.value.status == status
