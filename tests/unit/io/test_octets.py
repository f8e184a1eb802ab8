"""Octet counting: frames in any pieces become lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativemtail._core import whole_frames
from nativemtail.io.octets import OctetFraming


@pytest.mark.parametrize(
    ("stream_bytes", "lines"),
    [
        (b"", b""),
        (b"12", b"12"),
        (b"plain\n12 <1>x\n", b"plain\n12 <1>x\n"),
        (b"12 monkeys\n", b"12 monkeys\n"),
        (b"0 <1>x", b"0 <1>x"),
        (b"012 <1>x", b"012 <1>x"),
        (b"<1>x\n", b"<1>x\n"),
        (b"5 <1>ab", b"<1>ab\n"),
        (b"9 <1>ab", b"<1>ab"),
        (b"5 <1>ab\n5 <1>cd\0", b"<1>ab\n<1>cd\n"),
        (b"5 <1>ab<1>cd\n", b"<1>ab\n<1>cd\n"),
        (b"5 <1>ab123456789 x\n", b"<1>ab\n123456789 x\n"),
        (b"5 <1>ab4x\n", b"<1>ab\n4x\n"),
        (b"123456789 <1>x\n", b"123456789 <1>x\n"),
    ],
)
def test_framing(stream_bytes: bytes, lines: bytes) -> None:
    for size in range(1, len(stream_bytes) + 2):
        framing = OctetFraming()
        out = b""
        for at in range(0, len(stream_bytes), size):
            piece = stream_bytes[at : at + size]
            got = framing.decode(piece)
            assert len(got) <= len(piece) + framing.HELD
            out += got
        assert out + framing.end() == lines


@given(st.lists(st.binary(min_size=1, max_size=20)), st.integers(1, 30))
def test_any_frames_in_any_pieces(messages: list[bytes], size: int) -> None:
    messages = [b"<1>", *messages]
    data = b"".join(b"%d %s" % (len(message), message) for message in messages)
    framing = OctetFraming()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    out = b"".join(map(framing.decode, pieces))
    assert out == b"".join(message if message.endswith(b"\n") else message + b"\n" for message in messages)


@pytest.mark.slow
@given(st.binary(max_size=40), st.integers(0, 41))
def test_only_whole_frames_are_complete(data: bytes, at: int) -> None:
    if at > len(data):
        with pytest.raises(ValueError, match="beyond"):
            whole_frames(data, at)
        return
    lines, end = whole_frames(data, at)
    assert at <= end <= len(data)
    assert len(lines) <= end - at
    assert bool(lines) == (end > at)


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_any_bytes_come_out_bounded(pieces: list[bytes]) -> None:
    framing = OctetFraming()
    for piece in pieces:
        assert len(framing.decode(piece)) <= len(piece) + framing.HELD
    framing.end()
