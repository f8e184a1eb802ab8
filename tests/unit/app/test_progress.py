"""The progress line."""

from __future__ import annotations

import os

import pytest

from nativemtail.app.progress import CLEAR, Progress, clock, describe, short


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (7, "7"), (999, "999"), (999.9, "1k"), (1234, "1.23k"), (5.6e6, "5.6M"), (2e12, "2T")],
)
def test_short(number: float, text: str) -> None:
    assert short(number) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61, "1:01"), (3661, "1:01:01")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("done", "total", "seconds", "text"),
    [
        (500, 1000, 2.0, "[##########          ]  50%  500B of 1kB  50 lines/s  0:02 left"),
        (500, 1000, 0.5, "[##########          ]  50%  500B of 1kB  200 lines/s"),
        (2000, 1000, 2.0, "[####################] 100%  2kB of 1kB  50 lines/s  0:00 left"),
        (0, 1000, 2.0, "[                    ]   0%  0B of 1kB  50 lines/s"),
        (500, None, 2.0, "500B  50 lines/s"),
        (0, 0, 0.0, "0B  "),
    ],
)
def test_describe(done: int, total: int | None, seconds: float, text: str) -> None:
    assert describe(done, total, 100, seconds) == text


def test_clear_only_what_is_shown() -> None:
    read, write = os.pipe()
    try:
        progress = Progress(10, write)
        progress.clear()
        assert progress.due()
        progress.show(5, 1)
        assert not progress.due()
        progress.clear()
        progress.clear()
        text = os.read(read, 1000).decode()
    finally:
        os.close(read)
        os.close(write)
    assert text.startswith(CLEAR + "[")
    assert text.count(CLEAR) == 2
