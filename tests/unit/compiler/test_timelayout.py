"""How layouts are cut into elements, and which ones are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativemtail.compiler import abi, timelayout

CHUNKS = [
    ("Jan _2 15:04:05", ["month_short", " ", "day", " ", "hour24", ":", "minute", ":", "second"]),
    ("2006-01-02T15:04:05Z07:00",
     ["year4", "-", "month", "-", "day", "T", "hour24", ":", "minute", ":", "second", "offset"]),
    ("January Janx JAN", ["month_long", " Janx JAN"]),
    ("Mon Monday Mondays Monx", ["weekday_short", " ", "weekday_long", " ", "weekday_long", "s Monx"]),
    ("_2006", ["_", "year4"]),
    ("__2 002 _2", ["year_day", " ", "year_day", " ", "day"]),
    ("06 03PM 3pm", ["year2", " ", "hour12", "half_day", " ", "hour12", "half_day"]),
    ("05.000", ["second", "fraction"]),
    ("05,999", ["second", "optional_fraction"]),
    (".0001", [".00", "month"]),
    (".0007 .09 .", [".0007 .09 ."]),
    ("-07 -0700 -07:00 -070000 -07:00:00 -7", ["offset", " "] * 4 + ["offset", " -7"]),
    ("Z07 Z0700 Z07:00 Z070000 Z07:00:00 Z", ["offset", " "] * 4 + ["offset", " Z"]),
    ("%Y é", ["%Y é"]),
    ("", []),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "chunks"), CHUNKS)
def test_chunks(layout, chunks):
    lines = timelayout.describe(timelayout.compile_layout(layout))
    kinds = [line.split(" ", 1) for line in lines]
    assert [text[1:-1] if kind == "literal" else kind for kind, text in kinds] == chunks


VALID = ["", "%Y", "foo", "Jan _2 15:04:05", "2006-01-02T15:04:05Z07:00", "02/Jan/2006:15:04:05 -0700", "002 2006",
         "Jan 2 002", "2006-01-02 15:04:05.999999 MST", "03:04PM", "15 PM", "215", ".9999999992", "05,000", "GMT",
         "2006-01-02 15:04:05 -0700 MST", "Monday January 2", "_2 Jan", "__2", "1 002 2",
         "01 __2"]  # fmt: skip
INVALID = ["2006_01_02", "2006-01-02T15:04:05Z", "2019-12-31", "22", "25", "29", "05.5", "_", "Z", "231",
           "__215", ".9999999999"]  # fmt: skip


@pytest.mark.parametrize("layout", VALID)
def test_valid(layout):
    assert timelayout.is_valid(layout)


@pytest.mark.parametrize("layout", INVALID)
def test_invalid(layout):
    assert not timelayout.is_valid(layout)


def test_bytes_and_text_are_one():
    assert timelayout.compile_layout(b"Jan \xff") == timelayout.compile_layout("Jan \udcff")


@given(st.text(alphabet="0123456_Z-.,: JanMonPMST7é", max_size=40))
def test_the_steps_cover_the_layout(layout):
    compiled = timelayout.compile_layout(layout)
    count, length = abi.LAYOUT_HEADER.struct.unpack_from(compiled)
    at = abi.LAYOUT_HEADER.size + count * abi.LAYOUT_STEP.size
    steps = list(abi.LAYOUT_STEP.struct.iter_unpack(compiled[abi.LAYOUT_HEADER.size : at]))
    assert compiled[at:] == layout.encode()
    assert sum(literal + element for _, _, _, literal, element in steps) == length
    assert [step[0] == timelayout.Op.END for step in steps] == [False] * (count - 1) + [True]
    timelayout.is_valid(layout)


@pytest.mark.slow
def test_long_layouts_take_linear_time():
    for layout in (".0" * 50_000, "." + "0" * 100_000 + "1", "__" * 50_000, " " * 100_000, "Jan" * 30_000):
        timelayout.compile_layout(layout)
