"""`record` (beyond §2, §5, §13): grammar, errors, what is compiled."""

from __future__ import annotations

import pytest

from nativemtail.compiler import CompileError, compile_program, disasm, dump, parser, plan, serialize
from nativemtail.compiler.framing import Framing
from nativemtail.compiler.regex import firstbyte
from nativemtail.compiler.regex.parser import parse

BELOW = "\ncounter n\n/a/ {\n  n++\n}\n"


def framing(statement: str, below: str = BELOW) -> Framing | None:
    return compile_program("p", (statement + below).encode()).record


def errors(source: str) -> str:
    with pytest.raises(CompileError) as caught:
        compile_program("p", source.encode())
    return str(caught.value)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("record start /^a/", Framing("", "start", b"^a", 0, 0, 1000, 10**9)),
        ("record end /a$/ timeout 1d max 2 lines", Framing("", "end", b"a$", 0, 0, 2, 86400 * 10**9)),
        ("const A /a/\nrecord continue A + /b/ +\n A max 5 lines", Framing("", "continue", b"aba", 0, 0, 5, 10**9)),
        ("record lines 3", Framing("", "lines", None, 3, 0, 1000, 10**9)),
        ("record lines 3000 timeout 0.5s", Framing("", "lines", None, 3000, 0, 3000, 5 * 10**8)),
        ("record lines 5 max 5 lines", Framing("", "lines", None, 5, 0, 5, 10**9)),
        ("record csv", Framing("", "csv", None, 0, 44, 1000, 10**9)),
        ('record csv separator "\\t" max 9 lines', Framing("", "csv", None, 0, 9, 9, 10**9)),
        ("record cri", Framing("cri", "", None, 0, 0, 1000, 10**9)),
        ("record docker max 4 lines", Framing("docker", "", None, 0, 0, 4, 10**9)),
        ("record cri start /^a/ max 4 lines", Framing("cri", "start", b"^a", 0, 0, 4, 10**9)),
        ("record docker lines 2", Framing("docker", "lines", None, 2, 0, 1000, 10**9)),
        ("record lines 2 # two", Framing("", "lines", None, 2, 0, 1000, 10**9)),
    ],
)
def test_statements(statement: str, expected: Framing) -> None:
    assert framing(statement) == expected


def test_declarations_may_stand_above() -> None:
    above = 'log_filter "a"\nhidden gauge g\nbegin {\n  g = 1\n}\ndef d {\n  /x/ {\n    next\n  }\n}\n'
    assert framing(f"{above}record lines 2", BELOW + "@d {\n  n++\n}\n") is not None


@pytest.mark.parametrize(
    "source",
    [
        "gauge record\nrecord = 1\n",
        "counter record\nrecord++\n",
        'counter record by a\n/a/ {\n  record["x"]++\n}\n',
        "gauge record\nrecord > 1 {\n  record = 0\n}\n",
        "gauge record\n1 < record {\n  record = 0\n}\n",
        "const record /a/\ncounter n\nrecord {\n  n++\n}\n",
        "const record /a/\ncounter n\nrecord + /b/ {\n  n++\n}\n",
        "gauge record\ngauge start\nstart = 1\nrecord = start + 1\n",
    ],
)
def test_elsewhere_record_is_a_name(source: str) -> None:
    assert compile_program("p", source.encode()).record is None


HINT = "\n\tUse start, end, continue, lines, csv, cri or docker"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("record foo\n", f"p:1:8-10: Unknown kind of record `foo'.{HINT}"),
        ("record stop\n", f"p:1:8-11: Unknown kind of record `stop'.{HINT}"),
        ("record max 3 lines\n", f"p:1:8-10: Unknown kind of record `max'.{HINT}"),
        ('record "x"\n', "p:1:8-10: syntax error: unexpected STRING"),
        ("record lines\n", "syntax error: unexpected NL, expecting INTLITERAL"),
        ("record start\n", "syntax error: unexpected NL, expecting DIV"),
        ("record lines 2 max 3\n", "syntax error: unexpected NL"),
        ("record lines 2 timeout 3\n", "p:1:24: syntax error: unexpected INTLITERAL, expecting DURATIONLITERAL"),
        ("record cri\nrecord cri\n", "p:2:1-6: A program has one record statement.\n\tThe first is at p:1:1-6"),
        ("counter n\nn++\nrecord cri\n", "p:3:1-6: record must stand above the first condition."),
        ("counter n by a\ndel n\nrecord cri\n", "p:3:1-6: record must stand above the first condition."),
        ("stop\nrecord cri\n", "p:2:1-6: record must stand above the first condition."),
        ("counter n\nevery /a/ {\n  n++\n}\nrecord cri\n", "p:5:1-6: record must stand above the first condition."),
        ("begin {\n  record cri\n}\n", "p:2:3-8: record can't stand in a block."),
        ("record cri timeout 1s timeout 2s\n", "p:1:23-29: timeout is given twice."),
        ("record lines 0\n", "p:1:14: A record has at least 1 line."),
        ("record cri max 0 lines\n", "p:1:16: A record has at least 1 line."),
        ("record lines 9 max 5 lines\n", "p:1:20: A record of 9 lines can't have max 5 lines."),
        ("record cri timeout 0s\n", "p:1:20-21: The timeout of a record must be more than 0s."),
        ('record csv separator "::"\n', 'p:1:22-25: Invalid separator "::".\n\tUse one ASCII character'),
        ("record start /(/\n", "p:1:14-16: error parsing regexp: missing closing ): `(`"),
        ("counter a\nrecord start a\na++\n", "p:2:14: Can't append variable `a' to this pattern."),
    ],
)  # fmt: skip
def test_errors(source: str, expected: str) -> None:
    assert expected in errors(source)


def test_groups_of_the_pattern_are_not_visible() -> None:
    source = "record start /(?P<x>a)/\ncounter n by x\n/b/ {\n  n[$x]++\n}\n"
    assert "Capture group `$x' was not defined" in errors(source)


@pytest.mark.parametrize("statement", ["record lines 2", "record csv"])
def test_only_containers_give_captures(statement: str) -> None:
    assert "$stream" in errors(f"{statement}\ncounter n by s\n/a/ {{\n  n[$stream]++\n}}\n")


def test_captures_are_visible_below_the_statement_only() -> None:
    text = "def d {\n  /a/ {\n    n[$stream]++\n    next\n  }\n}\n"
    program = 'counter n by s\n{}record cri\n{}@d {{\n  n[""]++\n}}\n'
    assert "Capture group `$stream' was not defined" in errors(program.format(text, ""))
    assert compile_program("p", program.format("", text).encode()).record is not None


def test_captures_are_errors_in_begin() -> None:
    source = "record cri\ncounter n by s\nbegin {\n  n[$stream]++\n}\n"
    assert "Can't use capture group references inside a BEGIN block" in errors(source)


def test_unread_captures_cost_nothing() -> None:
    program = compile_program("p", b"record cri\ncounter n\n/a/ {\n  n++\n}\n")
    assert [instr.op for instr in program.code].count("MATCH") == 1


def test_equal_statements_share_records() -> None:
    texts = ["record lines 2", "record lines 2 timeout 1s max 1000 lines", "record lines 3", ""]
    programs = [compile_program(f"p{at}", (text + BELOW).encode()) for at, text in enumerate(texts)]
    tables = plan.build([(program, []) for program in programs])
    assert [spec.programs for spec in tables.framings] == [[0, 1], [2]]


def test_compiled_programs_are_kept_whole() -> None:
    program = compile_program("p", f"record docker start /^a/{BELOW}".encode())
    tables = plan.build([(program, [])])
    stored = serialize.load(serialize.dump([program], tables, b""))
    key = serialize.key_of(program)
    assert stored.program(key) == program
    assert stored.plan([key], [[]]) == tables


def test_dumps_show_the_statement() -> None:
    source = b"record cri start /^a/ timeout 1500ms\ncounter n by s\n/b/ {\n  n[$stream]++\n}\n"
    assert "Record @ p:1:1-6 cri start max 1000 lines timeout 1.5s" in dump.dump(parser.parse("p", source))
    text = disasm.dump(compile_program("p", source))
    assert "Line: record cri start /^a/ max 1000 lines timeout 1.5s" in text
    assert " record\n" in text


@pytest.mark.parametrize(
    ("pattern", "yes", "perhaps"),
    [
        (r"^\s", "\t\n\f\r ", ""),
        (r"^[ \t]+", "\t ", ""),
        (r"^(a|bc)", "", "ab"),
        (r"^(a|b)", "ab", ""),
        (r"^\d{4}-", "", "0123456789"),
        (r"^(?i)k", "", "Kk\u0080"),
        (r"^a?b", "", "ab"),
        (r"^(?:a*|b)c", None, None),
        ("^é", "", "\u0080"),
        ("^a|b", None, None),
        ("a", None, None),
        ("^", None, None),
        ("^a*", None, None),
        ("(?m)^a", None, None),
        (r"^\ba", None, None),
    ],
)
def test_first_bytes(pattern: str, yes: str | None, perhaps: str | None) -> None:
    """U+0080 stands for all bytes that are not ASCII."""
    found = firstbyte.verdicts(parse(pattern.encode()))
    if yes is None or perhaps is None:
        assert found is None
        return
    assert found is not None
    for verdict, bytes_ in ((2, yes), (1, perhaps)):
        wanted = {ord(char) for char in bytes_ if char < "\x80"}
        wanted |= set(range(128, 256)) if "\u0080" in bytes_ else set()
        assert {byte for byte in range(256) if found[byte] == verdict} == wanted
