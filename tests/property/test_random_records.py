"""Records are those of a short reference, wherever blocks are cut, and prefilters change nothing about them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from engines import Machine, with_metrics
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from machines import examples
from records import Assembler, Record, Statement, is_found

from nativemtail._render import Page
from nativemtail.compiler import Program, compile_program

pytestmark = pytest.mark.slow

ALL = """
hidden gauge n
counter seen by n, all, stream, logtime
n++
/^(?P<all>(?s:.*))$/ {
  seen[string(n)][$all][STREAM][LOGTIME]++
}
"""
NEEDLES = ["needle", "a\\nb", "a\\s+needle", "[^x]needle", "^a.*needle$", "(?s)a.*b", "needle\\z", "stdout", "2026"]
"""Patterns whose prefilters have to work across the ends of lines."""

PATTERNS = ["^[0-9]", "a", "^ ", "x$", "^$", "[^ -~]", "\\S", "needle"]
WORDS = ["", "a", "b", "x", " ", "\r", "needle", "1", '"', ",", ";", "é", "stdout", "2026", " a needle", "\t"]

texts = st.lists(st.sampled_from(WORDS), max_size=5).map("".join)
joined = st.one_of(
    st.tuples(st.sampled_from(["start", "end", "continue"]), st.sampled_from(PATTERNS)).map(
        lambda given: Statement(given[0], pattern=given[1])
    ),
    st.integers(1, 4).map(lambda size: Statement("lines", size=size)),
)
csv = st.sampled_from([",", ";"]).map(lambda separator: Statement("csv", separator=separator))
bounds = st.sampled_from([2, 3, 1000]), st.sampled_from([12, 40, 1024])


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    container = draw(st.sampled_from(["", "", "cri", "docker"]))
    statement = draw(st.one_of(joined, st.just(Statement()) if container else csv))
    most, longest = map(draw, bounds)
    return statement._replace(container=container, most=max(most, statement.size), longest=longest)


@st.composite
def logs(draw: st.DrawFn, container: str) -> list[str]:
    lines = draw(st.lists(texts, max_size=30))
    return [_wrapped(draw, container, line) for line in lines]


def _wrapped(draw: st.DrawFn, container: str, text: str) -> str:
    if not container or draw(st.integers(0, 9)) == 0:
        return text
    stream = draw(st.sampled_from(["stdout", "stderr"]))
    time = draw(st.sampled_from(["2026-03-02T08:00:11Z", "1", "x"]))
    if container == "cri":
        return f"{time} {stream} {draw(st.sampled_from(['F', 'P', 'P', 'F:x', 'X']))} {text}"
    end = draw(st.sampled_from(["\n", "", "\r\n", "\na"]))
    entry: dict[str, Any] = {"log": text + end, "stream": stream, "time": time, "attrs": {"a": [1]}}
    for name in draw(st.sets(st.sampled_from(["stream", "time"]))):
        del entry[name]
    return json.dumps(entry, ensure_ascii=draw(st.booleans()))


def programs(statement: Statement) -> dict[str, str]:
    given = ("$stream", "$logtime") if statement.container else ('""', '""')
    found = {"all": f"{statement}\n{ALL.replace('STREAM', given[0]).replace('LOGTIME', given[1])}"}
    for needle in NEEDLES:
        found[needle] = f"{statement}\ncounter hits\n/{needle}/ {{\n  hits++\n}}\n"
    found["lines"] = "counter hits\n/needle/ {\n  hits++\n}\n"
    return found


def run(
    compiled: Sequence[Program], longest: int, blocks: Sequence[bytes], **options: bool
) -> tuple[list[Record], dict[str, int], int]:
    machine = Machine(compiled=with_metrics(compiled), **options)
    machine.begin()
    engine = machine.engine
    engine.max_record = longest
    source = engine.open("log")
    for block in blocks:
        engine.scan(source, block)
    engine.close(source)
    assert engine.faults()[0] == []
    seen: dict[int, Record] = {}
    hits: Counter[str] = Counter()
    for metrics in json.loads(Page(machine.store.snapshot()).json(grouped=True)).values():
        for metric in metrics:
            for series in metric.get("LabelValues", ()):
                if metric["Name"] == "hits":
                    hits[metric["Program"]] = series["Value"]["Value"]
                elif metric["Name"] == "seen":
                    n, text, stream, logtime = series["Labels"]
                    seen[int(n)] = Record(text, stream, logtime)
    assert engine.program_lines()["all"] == len(seen)
    return [seen[n] for n in sorted(seen)], dict(+hits), engine.records_cut()


def wanted(statement: Statement, lines: Sequence[str]) -> tuple[list[Record], dict[str, int], int]:
    assembler = Assembler(statement)
    for line in lines:
        assembler.line(line)
    assembler.end()
    found = [Record(record.text, record.stream or "", record.logtime or "") for record in assembler.records]
    hits = Counter({needle: sum(is_found(needle, record.text) for record in found) for needle in NEEDLES})
    hits["lines"] = sum("needle" in line for line in lines)
    return found, dict(+hits), assembler.cuts


@settings(
    max_examples=examples(150),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes minutes
    suppress_health_check=list(HealthCheck),
    deadline=None,
)
@given(st.data())
def test_records_are_those_of_the_reference(data: st.DataObject) -> None:
    statement = data.draw(statements())
    lines = data.draw(logs(statement.container))
    ends = [data.draw(st.sampled_from(["\n", "\n", "\r\n"])) for _ in lines]
    encoded = [(line + end).encode() for line, end in zip(lines, ends, strict=True)]
    if encoded and data.draw(st.booleans()) and lines[-1]:
        encoded[-1] = lines[-1].encode()
    read = [as_read(line) for line in encoded]
    expected = wanted(statement, read)
    compiled = [compile_program(name, text.encode()) for name, text in programs(statement).items()]
    cut = data.draw(st.integers(0, len(encoded)))
    for blocks in ([b"".join(encoded)], encoded, [b"".join(encoded[:cut]), b"".join(encoded[cut:])]):
        for prefiltered in (True, False):
            records, hits, cuts = run(compiled, statement.longest, blocks, prefiltered=prefiltered)
            assert records == expected[0]
            assert hits == expected[1]
            assert cuts == expected[2]


def as_read(line: bytes) -> str:
    text = line.decode()
    return text[:-1].removesuffix("\r") if text.endswith("\n") else text
