"""Records in the engine (beyond §5): when they end, what they share, what limits them, which time they have."""

from __future__ import annotations

import time

import pytest
from engines import Machine, compile_all, make_plan, metrics_of

from nativemtail._core import Engine, Store

SHOW = """
counter seen by all
/^(?P<all>(?s:.*))$/ {
  seen[$all]++
}
"""
START = "record start /^#/ timeout 1h" + SHOW


def seen(machine: Machine, name: str = "seen") -> dict[str, int]:
    return {labels[0]: count for labels, count in machine.values(name).items()}


def test_a_record_is_open_until_the_next_begins() -> None:
    machine = Machine(START)
    machine.feed(b"#1\na\n")
    assert seen(machine) == {}
    machine.feed(b"b\n#2\n")
    assert seen(machine) == {"#1\na\nb": 1}


def test_sources_and_connections_have_records_of_their_own() -> None:
    machine = Machine(START)
    engine = machine.engine
    other = engine.open("other")
    engine.scan(machine.source, b"#1\n", connection=1)
    engine.scan(machine.source, b"#2\n", connection=2)
    engine.scan(other, b"#3\n")
    engine.scan(machine.source, b"one\n", connection=1)
    engine.scan(other, b"three\n")
    engine.finish(machine.source, 1)
    assert seen(machine) == {"#1\none": 1}
    engine.finish(machine.source, 1)
    engine.finish(machine.source, 7)
    engine.close(machine.source)
    assert seen(machine) == {"#1\none": 1, "#2": 1}
    engine.finish_all()
    assert seen(machine) == {"#1\none": 1, "#2": 1, "#3\nthree": 1}


def test_a_number_that_is_used_again_begins_anew() -> None:
    machine = Machine(START)
    machine.feed(b"#1\n")
    machine.engine.close(machine.source)
    machine.source = machine.engine.open("again")
    machine.feed(b"a\n#2\n")
    assert seen(machine) == {"#1": 1, "a": 1}


def test_programs_with_equal_statements_share_records_and_filters_hold() -> None:
    filtered = 'log_filter "elsewhere"\n' + START.replace("seen", "filtered")
    machine = Machine(START, START.replace("seen", "same"), filtered, SHOW.replace("seen", "lines"))
    machine.feed(b"#1\na\n#2\n")
    assert seen(machine) == seen(machine, "same") == {"#1\na": 1}
    assert seen(machine, "filtered") == {}
    assert seen(machine, "lines") == {"#1": 1, "a": 1, "#2": 1}
    assert machine.engine.program_lines() == {"p0.mtail": 1, "p1.mtail": 1, "p2.mtail": 0, "p3.mtail": 3}
    assert machine.engine.lines_total() == 3


def test_silence_completes_records() -> None:
    machine = Machine(START, START.replace("1h", "0.000001s").replace("seen", "quick"))
    engine = machine.engine
    assert engine.finish_silent() is None
    machine.feed(b"#1\na\n")
    left = engine.finish_silent()
    assert left is not None
    assert 3000 < left <= 3600
    assert seen(machine) == {}
    assert seen(machine, "quick") == {"#1\na": 1}
    machine.feed(b"b\n#2\n")
    engine.finish_silent()
    assert seen(machine) == {"#1\na\nb": 1}
    assert seen(machine, "quick") == {"#1\na": 1, "b": 1, "#2": 1}
    engine.close(machine.source)
    assert engine.finish_silent() is None


def test_streams_are_silent_by_themselves() -> None:
    machine = Machine("record cri timeout 1h" + SHOW)
    machine.feed(b"1 stdout P a\n2 stderr P x\n3 stdout F b\n")
    assert seen(machine) == {"ab": 1}
    machine.engine.finish_silent()
    machine.feed(b"3 stderr F y\n")
    assert seen(machine) == {"ab": 1, "xy": 1}
    assert machine.engine.finish_silent() is None


def test_a_record_counts_when_its_last_line_was_read() -> None:
    machine = Machine("record start /^#/ timeout 1h\ngauge at\ncounter n\nat = timestamp()\nn++\n")
    machine.feed(b"#1\na\n")
    read = time.time_ns()
    while time.time_ns() // 10**9 == read // 10**9:
        pass
    machine.feed(b"#2\n")
    [n] = [metric for metric in machine.json() if metric["Name"] == "n"]
    assert n["LabelValues"][0]["Value"]["Time"] <= read
    assert machine.value("at") == read // 10**9
    machine.engine.close(machine.source)
    assert machine.value("at") > read // 10**9


def test_unchanged_statements_keep_their_records_over_a_reload() -> None:
    machine = Machine(START)
    machine.feed(b"#1\na\n")
    machine.renew()
    machine.feed(b"b\n#2\n")
    assert seen(machine) == {"#1\na\nb": 1}


def test_changed_statements_complete_records_for_the_old_program() -> None:
    machine = Machine(START, START.replace("seen", "kept"))
    machine.feed(b"#1\na\n")
    old = machine.loaded
    loaded = compile_all([START.replace("1h", "2h"), START.replace("seen", "kept")])
    plan = make_plan(loaded)
    inherit = [(new, before) for new, before in zip(metrics_of(loaded), metrics_of(old), strict=True)]
    machine.engine.exchange(plan, metrics_of(old), metrics_of(loaded), inherit)
    assert seen(machine) == {"#1\na": 1}
    assert seen(machine, "kept") == {}
    machine.feed(b"b\n#2\n")
    assert seen(machine) == {"#1\na": 1, "b": 1}
    assert seen(machine, "kept") == {"#1\na\nb": 1}


def test_a_program_that_goes_has_its_record_completed() -> None:
    machine = Machine(START.replace("counter", "counter", 1))
    machine.feed(b"#1\n")
    machine.engine.exchange(make_plan([]), [], [])
    assert seen(machine) == {"#1": 1}
    assert machine.engine.finish_silent() is None
    assert not machine.engine.has_records


def test_limits_cut_records_and_are_counted() -> None:
    machine = Machine(START, START.replace("1h", "1h max 2 lines").replace("seen", "short"))
    machine.engine.max_record = 1024
    assert machine.engine.records_cut() == 0
    machine.feed(b"#1\n" + b"a" * 1021 + b"\n" + b"\n" + b"c\n#2\n")
    assert seen(machine) == {"#1\n" + "a" * 1021: 1, "c": 1} or seen(machine) == {"#1\n" + "a" * 1021: 1, "\nc": 1}
    assert seen(machine, "short") == {"#1\n" + "a" * 1021: 1, "\nc": 1}
    assert machine.engine.records_cut() == 2


def test_memory_of_open_records_is_bounded() -> None:
    machine = Machine(START)
    line = b"a" * (1024 * 1024) + b"\n"
    for connection in range(80):
        machine.engine.scan(machine.source, line, connection=connection)
    assert 0 < machine.engine.records_cut() < 80
    machine.engine.close(machine.source)
    assert seen(machine) == {line[:-1].decode(): 80}


def test_streams_of_docker_are_bounded() -> None:
    machine = Machine("record docker" + SHOW)
    machine.feed(b"".join(b'{"log":"x%d ","stream":"s%d"}\n' % (n, n) for n in range(100)))
    assert machine.engine.records_cut() == 84
    machine.engine.close(machine.source)
    assert seen(machine) == {f"x{n} ": 1 for n in range(100)}


@pytest.mark.parametrize("lines", [1, 20_000])
def test_records_of_many_blocks(lines: int) -> None:
    machine = Machine(
        "record start /^#/ max 1000000 lines timeout 1h\n"
        "counter n\ncounter size\n/(?P<all>(?s:.*))/ {\n  n++\n  size += len($all)\n}\n"
    )
    block = b"more than one piece " * 4 + b"\n"
    for _ in range(3):
        machine.feed(b"#\n" + block * lines)
    machine.engine.close(machine.source)
    assert machine.value("n") == (3 if lines == 1 else machine.value("n"))
    assert machine.value("size") + machine.value("n") == 3 * (2 + len(block) * lines)


def test_an_engine_without_a_plan() -> None:
    engine = Engine(Store())
    assert not engine.has_records
    assert engine.finish_silent() is None
    engine.finish_all()
    engine.close(engine.open("a"))


def test_errors_of_completed_records_are_kept() -> None:
    machine = Machine("record start /^#/ timeout 1h\ncounter n\n/(?P<x>\\w+)$/ {\n  n += int($x)\n}\n")
    machine.feed(b"#1\nabc\n")
    machine.engine.close(machine.source)
    [fault] = machine.engine.faults()[0]
    assert (fault.input, fault.source) == (b"#1\nabc", "log")
