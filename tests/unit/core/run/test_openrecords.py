"""Open records of several lines are kept over the end of a process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from engines import Machine

from nativemtail._core import Delta

SEEN = """
counter seen by all, stream, logtime
getfilename() =~ /^(?P<log>.*)$/ {
  /^(?P<all>(?s:.*))$/ {
    seen[$log + ": " + $all][STREAM][LOGTIME]++
  }
}
"""
LINES = b'#1\n"a\nb"\n\n#2,"x\xff"\nc\n#3\n'
CRI = b"""\
1 stdout F #1
2 stdout P a
3 stderr P #x
4 stdout F b
other
5 stderr F y
6 stdout P #2
7 stderr F z
"""
DOCKER = b"".join(
    json.dumps({"log": text.decode(), "stream": name, "time": str(at)}).encode() + b"\n"
    for at, (name, text) in enumerate([("stdout", b"#1\n"), ("stdout", b"a"), ("stderr", b"x"), ("stdout", b"b\r\n")])
)
DOCKER += b'{"log": "nothing else"}\n{"log": "here\\n"}\n'
CASES = [
    ("start /^#/", LINES),
    ("end /^#/", LINES),
    ("continue /^[^#]/", LINES),
    ("lines 3", LINES),
    ("csv", LINES),
    ("cri", CRI),
    ("cri start /^#/", CRI),
    ("docker", DOCKER),
    ("docker lines 2", DOCKER),
]


def program(statement: str, timeout: str = "1h") -> str:
    text = f"record {statement} timeout {timeout}\n{SEEN}"
    is_container = statement.startswith(("cri", "docker"))
    return text.replace("STREAM", "$stream" if is_container else '""').replace(
        "LOGTIME", "$logtime" if is_container else '""'
    )


def kept_of(machine: Machine) -> list[dict[str, Any]]:
    delta = Delta(machine.store)
    kept = machine.engine.fix(delta)
    assert kept is not None
    delta.release()
    return json.loads(json.dumps(kept))  # type: ignore[no-any-return]


def counted(*machines: Machine) -> Counter[Sequence[str]]:
    return sum((Counter(machine.values("seen")) for machine in machines), Counter())


def finished(statement: str, lines: bytes) -> Counter[Sequence[str]]:
    machine = Machine(program(statement))
    machine.feed(lines)
    machine.engine.finish_all()
    return counted(machine)


@pytest.mark.parametrize(("statement", "log"), CASES)
def test_every_record_is_seen_once_wherever_the_process_ends(statement: str, log: bytes) -> None:
    lines = log.splitlines(keepends=True)
    wanted = finished(statement, log)
    for at in range(len(lines) + 1):
        before, after = Machine(program(statement)), Machine(program(statement))
        before.feed(b"".join(lines[:at]))
        assert after.engine.restore_records(kept_of(before)) == 0
        assert kept_of(after) == kept_of(before)
        after.feed(b"".join(lines[at:]))
        after.engine.finish_all()
        assert counted(before, after) == wanted


def test_nothing_is_kept_between_records() -> None:
    machine = Machine(program("lines 2"))
    machine.feed(b"a\nb\n")
    assert kept_of(machine) == []


def test_a_kept_record_may_be_silent() -> None:
    before, after = Machine(program("start /^#/", "1ms")), Machine(program("start /^#/", "1ms"))
    before.feed(b"#1\n")
    after.engine.restore_records(kept_of(before))
    while after.engine.finish_silent() is not None:
        pass
    assert counted(after) == {("log: #1", "", ""): 1}


def test_records_of_logs_that_are_gone_are_complete() -> None:
    before, after = Machine(program("start /^#/")), Machine(program("start /^#/"))
    before.engine.scan(before.engine.open("gone\udcff"), b"#1\na\n")
    assert after.engine.restore_records(kept_of(before)) == 0
    assert counted(after) == {("gone\ufffd: #1\na", "", ""): 1}
    assert kept_of(after) == []


def test_records_of_connections_do_not_go_on() -> None:
    before, after = Machine(program("start /^#/")), Machine(program("start /^#/"))
    for connection in (1, 2):
        before.engine.scan(before.source, b"#%d\n" % connection, connection=connection)
    after.engine.restore_records(kept_of(before))
    after.engine.scan(after.source, b"a\n", connection=1)
    after.engine.finish_all()
    assert counted(after) == {("log: #1", "", ""): 1, ("log: #2", "", ""): 1, ("log: a", "", ""): 1}


def test_records_of_other_statements_are_dropped() -> None:
    before, after = Machine(program("start /^#/")), Machine(program("start /^%/"))
    before.feed(b"#1\n")
    assert after.engine.restore_records(kept_of(before)) == 1
    assert kept_of(after) == []


def test_no_instant_while_a_snapshot_is_copied() -> None:
    machine = Machine(program("start /^#/"))
    machine.feed(b"#1\n")
    first, second = Delta(machine.store), Delta(machine.store)
    assert first.fix()
    assert machine.engine.fix(second, wait=False) is None
    first.copy()
    assert machine.engine.fix(second, wait=False) is not None
    second.copy()
