"""Sorting the lines of an in-order program by their times."""

from __future__ import annotations

import random
import struct

import pytest

from nativemtail.history.ordered import Sorter, indexed

FRAME = struct.Struct("=qIIII")
NOT_GIVEN = 0xFFFFFFFF


def frame(time: int, text: bytes, stream: bytes | None = None) -> bytes:
    length = NOT_GIVEN if stream is None else len(stream)
    return FRAME.pack(time, 0, len(text), length, NOT_GIVEN) + text + (stream or b"")


def texts(data: bytes) -> list[bytes]:
    frames, rest = indexed(data)
    assert rest == 0
    return [
        data[int(start) + FRAME.size : int(end)] for start, end in zip(frames.starts, frames.starts[1:], strict=False)
    ]


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_lines_are_sorted_by_time_and_keep_their_order_otherwise(memory, monkeypatch):
    monkeypatch.setattr("nativemtail.history.ordered._LEAST_RUN", 2000)
    monkeypatch.setattr("nativemtail.history.ordered._READ", 800)
    rng = random.Random(5)
    made = [b"%d" % at + b"x" * rng.choice([0, 3, 400]) for at in range(2000)]
    lines = [(rng.choice([rng.randint(-50, 50), 7]), text, rng.choice([None, b"", b"s"])) for text in made]
    sorter = Sorter(memory)
    at = 0
    while at < len(lines):
        count = rng.randint(0, 30)
        sorter.add(b"".join(frame(*line) for line in lines[at : at + count]))
        at += count
    found = [text for piece in sorter.sorted() for text in texts(piece)]
    assert found == [text + (stream or b"") for _, text, stream in sorted(lines, key=lambda line: line[0])]


def test_the_rest_of_an_incomplete_frame_is_left():
    whole = frame(5, b"abc", b"out")
    frames, rest = indexed(whole + frame(6, b"defg")[:-1])
    assert frames.times.tolist() == [5]
    assert rest == FRAME.size + 3
