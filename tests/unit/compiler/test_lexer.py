"""Tokens and their positions (spec language.md §2); what real mtail was seen to do stands in the tables."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativemtail.compiler.lexer import Lexer, Token, decode, parse_duration


def tokens(source: bytes) -> list[Token]:
    lexer = Lexer("p", source)
    found: list[Token] = []
    while not found or found[-1].kind != "$end":
        found.append(lexer.next())
    return found[:-1]


def kinds(source: bytes) -> list[str]:
    return [token.kind for token in tokens(source)]


def spans(source: bytes) -> list[str]:
    return [str(token.pos).removeprefix("p:") for token in tokens(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("counter c by x", "COUNTER ID BY ID"),
        ("Counter after1 defined", "ID ID ID"),
        ("defined($1) defined \t(", "BUILTIN LPAREN CAPREF RPAREN BUILTIN LPAREN"),
        ("begin log_filter", "ID ID"),
        ("é_1 a٣b", "ID ID"),
        ("@ @d $ $1 $x1 $1x", "DECO DECO CAPREF CAPREF CAPREF_NAMED CAPREF_NAMED"),
        ("+++ ++= *** &&& |||", "INC PLUS INC ASSIGN POW MUL AND BITAND OR BITOR"),
        ("<<= >>= <=> ===~ !~", "SHL ASSIGN SHR ASSIGN LE GT EQ MATCH NOT_MATCH"),
        ("x---5 x--5 - 5", "ID DEC INTLITERAL ID DEC INTLITERAL MINUS INTLITERAL"),
        ("0x10 5.5.5 1e5e5", "INTLITERAL ID FLOATLITERAL FLOATLITERAL FLOATLITERAL ID"),
        ("1.5.5m", "FLOATLITERAL DURATIONLITERAL"),
        ("5mx -5s", "DURATIONLITERAL ID DURATIONLITERAL"),
        ("\x85a\xa0b\u2028c \r\v\f", "ID ID ID"),
        ("a␤b", "ID"),
        ("a # ␤ b", "ID ID"),
        ("a # b\nc\nd", "ID ID NL ID"),
    ],
)  # fmt: skip
def test_kinds(source: str, expected: str) -> None:
    assert kinds(source.encode()) == expected.split()


@pytest.mark.parametrize(
    ("source", "kind", "value"),
    [
        (b'"a\\n\\\\\\/\\""', "STRING", b'a\\n\\\\\\/"'),
        (b'"\xff\xe2\x82"', "STRING", "\ufffd\ufffd\ufffd".encode()),
        (b"010", "INTLITERAL", 10),
        (b"-9223372036854775808", "INTLITERAL", -(1 << 63)),
        (b"1.", "FLOATLITERAL", 1.0),
        (b".5", "FLOATLITERAL", 0.5),
        (b"-2.5e-3", "FLOATLITERAL", -0.0025),
        (b"1.5h3ms", "DURATIONLITERAL", 5_400_003_000_000),
        (b"5.s", "DURATIONLITERAL", 5_000_000_000),
        (b"1d12h", "DURATIONLITERAL", 129_600_000_000_000),
        (b"0.5d", "DURATIONLITERAL", 43_200_000_000_000),
    ],
)
def test_values(source: bytes, kind: str, value: object) -> None:
    assert [token[:2] for token in tokens(source)] == [(kind, value)]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (b"?", "Unexpected input: '?'"),
        (b"'", "Unexpected input: '\\''"),
        (b";", "Unexpected input: ';'"),
        (b"\x00", "Unexpected input: '\\x00'"),
        ("\xad".encode(), "Unexpected input: '\\u00ad'"),
        (b"\xff", "Unexpected input: '\ufffd'"),
        (b'"abc', 'Unterminated quoted string: "\\"abc"'),
        (b'"a\\"bc\\', 'Unterminated quoted string: "\\"a"bc"'),
        (b".", "bad number '.': strconv.ParseFloat: parsing \".\": invalid syntax"),
        (b"1e", "bad number '1e': strconv.ParseFloat: parsing \"1e\": invalid syntax"),
        (b"1e999", "bad number '1e999': strconv.ParseFloat: parsing \"1e999\": value out of range"),
        ("-٣".encode(), "bad number '-٣': strconv.ParseInt: parsing \"-٣\": invalid syntax"),
        (
            b"9223372036854775808",
            "bad number '9223372036854775808': strconv.ParseInt: parsing \"9223372036854775808\": value out of range",
        ),
        (b"3dh", 'time: unknown unit "dh" in duration "3dh"'),
        (b"5m-3", 'time: unknown unit "m-" in duration "5m-3"'),
        (b"5hm", 'time: unknown unit "hm" in duration "5hm"'),
        (b"1e3s", 'time: unknown unit "e" in duration "1e3s"'),
        (b"5m3", 'time: missing unit in duration "5m3"'),
        (b".s", 'time: invalid duration ".s"'),
        (b"2562048h", 'time: invalid duration "2562048h"'),
        (b"99999999999999999999999s", 'time: invalid duration "99999999999999999999999s"'),
    ],
)
def test_errors(source: bytes, error: str) -> None:
    assert [token[:2] for token in tokens(source)] == [("INVALID", error)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"ab\ncd", "1:1-2 2:3 2:1-2"),
        (b"? # foo\n? ? # b\n # c\n? # d", "1:1 2:8 2:3 4:5"),
        (b"# longer\nabcdefghij", "2:9-10"),
        (b'"abc\n? ?\n?', "1:1-4 1:5 1:7 2:8 2:1"),
        (b'"abc\\\n?', "1:1-5 1:6"),
        ("é ?".encode(), "1:1-2 1:4"),
        ("€ 😀".encode(), "1:1-3 1:5-8"),
        (b"\xe0\xa0 ?", "1:1 1:2 1:4"),
        ('"a ␤ ?'.encode(), "1:1-3 1:5"),
        ("? # a ␤ \n?".encode(), "1:1 2:8 2:1"),
    ],
)
def test_positions(source: bytes, expected: str) -> None:
    assert spans(source) == expected.split()


@pytest.mark.parametrize(
    ("source", "kind", "value", "span"),
    [
        (b"/a\\/b#\\d/ x", "REGEX", b"a/b#\\d", "1:2-8"),
        (b"//", "REGEX", b"", "1:2-1"),
        (b"/abc[0-9]\n", "INVALID", 'Unterminated regular expression: "/abc[0-9]"', "1:2-9"),
        (b"/abc\\\n", "INVALID", 'Unterminated regular expression: "/abc"', "1:2-5"),
        (b"/", "INVALID", 'Unterminated regular expression: "/"', "1:2"),
    ],
)
def test_regex(source: bytes, kind: str, value: object, span: str) -> None:
    lexer = Lexer("p", source)
    assert lexer.next().kind == "DIV"
    token = lexer.regex()
    assert token[:2] == (kind, value)
    if span != "1:2-1":
        assert str(token.pos) == f"p:{span}"
        return
    assert lexer.next().kind == "DIV"


def test_decode_replaces_every_byte() -> None:
    assert decode(b"\xe0\xa0x\xff") == "\ufffd\ufffdx\ufffd"


@pytest.mark.parametrize("nanoseconds", [0, 1_000_000, 90 * 10**9, (1 << 63) - 1])
def test_durations(nanoseconds: int) -> None:
    seconds, rest = divmod(nanoseconds, 10**9)
    assert parse_duration(f"{seconds}s{rest}ns" if rest else f"{seconds}s") == nanoseconds
    assert parse_duration(f"-{seconds}s{rest}ns" if rest else f"-{seconds}s") == -nanoseconds


@given(st.binary())
def test_any_bytes_give_tokens_in_order(source: bytes) -> None:
    found = tokens(source)
    lines = [token.pos.line for token in found]
    assert lines == sorted(lines)
    assert all(token.pos.start >= 1 for token in found)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=0))
def test_floats_round_trip(value: float) -> None:
    text = repr(value)
    token = tokens(text.encode())[0]
    assert token.kind == "FLOATLITERAL"
    assert math.isclose(float(token.value), value, rel_tol=0, abs_tol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [b" " * 2_000_000, b"# x\n" * 200_000, b'"' + b"\xe2\\x" * 400_000, b"1s" * 300_000, "é".encode() * 300_000,
     b"1" * 2_000_000, b"defined " * 100_000],
    ids=["blanks", "comments", "string", "duration", "letters", "digits", "words"],
)  # fmt: skip
def test_time_is_linear(source: bytes) -> None:
    start = time.process_time()
    tokens(source)
    assert time.process_time() - start < 10
