"""Number texts, UTF-8, quoting and replacing of the core: tables of what Go gives, and properties."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nativemtail import _core_testing

OK, SYNTAX, RANGE, BASE = range(4)

# value, %g, JSON, Prometheus
FLOATS = [
    (0.0, "0", "0", "0"),
    (-0.0, "-0", "-0", "0"),
    (1.0, "1", "1", "1"),
    (-1.5, "-1.5", "-1.5", "-1.5"),
    (0.1, "0.1", "0.1", "0.1"),
    (0.0001, "0.0001", "0.0001", "0.0001"),
    (0.00012345, "0.00012345", "0.00012345", "0.00012345"),
    (1e-5, "1e-05", "0.00001", "1e-05"),
    (1e-6, "1e-06", "0.000001", "1e-06"),
    (1e-7, "1e-07", "1e-7", "1e-07"),
    (123456.0, "123456", "123456", "123456"),
    (999999.5, "999999.5", "999999.5", "999999.5"),
    (1e6, "1e+06", "1000000", "1e+06"),
    (1234567.0, "1.234567e+06", "1234567", "1.234567e+06"),
    (123456789.0, "1.23456789e+08", "123456789", "1.23456789e+08"),
    (1e15, "1e+15", "1000000000000000", "1e+15"),
    (1e20, "1e+20", "100000000000000000000", "1e+20"),
    (1e21, "1e+21", "1e+21", "1e+21"),
    (5e-324, "5e-324", "5e-324", "5e-324"),
    (1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e+308", "1.7976931348623157e+308"),
    (math.inf, "+Inf", "+Inf", "+Inf"),
    (-math.inf, "-Inf", "-Inf", "-Inf"),
    (math.nan, "NaN", "NaN", "NaN"),
]


@pytest.mark.parametrize(("value", "g", "json", "prometheus"), FLOATS)
def test_float_text(value, g, json, prometheus):
    assert _core_testing._test_format("g", value) == g.encode()
    assert _core_testing._test_format("json", value) == json.encode()
    assert _core_testing._test_format("prometheus", value) == prometheus.encode()


@pytest.mark.parametrize(("value", "text"), [(1e21, b"1E+21"), (1e8, b"1E+08"), (1.5, b"1.5"), (1e-7, b"1E-07")])
def test_float_stored_into_text(value, text):
    assert _core_testing._test_format("G", value) == text


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["g", "G", "json", "prometheus"]))
def test_float_text_is_shortest_and_reads_back(value, style):
    text = _core_testing._test_format(style, value).decode()
    assert float(text) == value
    digits = re.sub(r"[eE].*|\D", "", text).strip("0")
    assert digits == re.sub(r"e.*|\D", "", repr(value)).strip("0")


@given(st.integers(-(2**63), 2**63 - 1))
def test_int_text(value):
    assert _core_testing._test_format("int", value) == b"%d" % value
    assert _core_testing._test_parse_int(b"%d" % value) == (OK, value)


INTS = [
    (b"", 10, SYNTAX, None),
    (b"+", 10, SYNTAX, None),
    (b"-", 99, SYNTAX, None),
    (b"007", 10, OK, 7),
    (b"+5", 10, OK, 5),
    (b"-0", 10, OK, 0),
    (b" 5", 10, SYNTAX, None),
    (b"5 ", 10, SYNTAX, None),
    (b"1_0", 10, SYNTAX, None),
    (b"1.0", 10, SYNTAX, None),
    (b"0x10", 16, SYNTAX, None),
    (b"fF", 16, OK, 255),
    (b"Zz", 36, OK, 1295),
    (b"12", 2, SYNTAX, None),
    (b"-101", 2, OK, -5),
    (b"5", 1, BASE, None),
    (b"5", 37, BASE, None),
    (b"999999999999999999", 10, OK, 999999999999999999),
    (b"9223372036854775807", 10, OK, 2**63 - 1),
    (b"9223372036854775808", 10, RANGE, 2**63 - 1),
    (b"-9223372036854775808", 10, OK, -(2**63)),
    (b"-9223372036854775809", 10, RANGE, -(2**63)),
    (b"0" * 60 + b"7", 10, OK, 7),
    (b"9999999999999999999x", 10, SYNTAX, None),
    (b"99999999999999999999x", 10, RANGE, 2**63 - 1),
]


@pytest.mark.parametrize(("text", "base", "result", "value"), INTS)
def test_parse_int(text, base, result, value):
    got, number = _core_testing._test_parse_int(text, base)
    assert got == result
    assert value is None or number == value


FLOAT_TEXTS = [
    (b"1.5", OK, 1.5),
    (b".5", OK, 0.5),
    (b"5.", OK, 5.0),
    (b"+1E5", OK, 1e5),
    (b"1e-400", OK, 0.0),
    (b"1e400", RANGE, math.inf),
    (b"-1e400", RANGE, -math.inf),
    (b"1e99999999999999999999", RANGE, math.inf),
    (b"0e99999999999999999999", OK, 0.0),
    (b"0." + b"0" * 400 + b"1e401", OK, 1.0),
    (b"1" + b"0" * 400 + b"e-400", OK, 1.0),
    (b"1.7976931348623159e308", RANGE, math.inf),
    (b"4.9e-324", OK, 5e-324),
    (b"0x1p-2", OK, 0.25),
    (b"0X.8P1", OK, 1.0),
    (b"-0x1.fffffffffffff8p0", OK, -2.0),
    (b"0x1p-2000", OK, 0.0),
    (b"0x1p2000", RANGE, math.inf),
    (b"inf", OK, math.inf),
    (b"+INF", OK, math.inf),
    (b"-Infinity", OK, -math.inf),
    (b"infinit", SYNTAX, None),
    (b"+nan", SYNTAX, None),
    (b"nan(1)", SYNTAX, None),
    (b"", SYNTAX, None),
    (b".", SYNTAX, None),
    (b"-", SYNTAX, None),
    (b"e5", SYNTAX, None),
    (b"1e", SYNTAX, None),
    (b"1e+", SYNTAX, None),
    (b"1.2.3", SYNTAX, None),
    (b"0x1.8", SYNTAX, None),
    (b"0xp1", SYNTAX, None),
    (b"1_000", OK, 1000.0),
    (b"+1_0.5", OK, 10.5),
    (b"-1_0", OK, -10.0),
    (b"0_1", OK, 1.0),
    (b".5_0", OK, 0.5),
    (b"1_000.0_1e-0_1", OK, 100.001),
    (b"1_0e3_00", OK, 1e301),
    (b"1_0e9_99", RANGE, math.inf),
    (b"0x_1p-2", OK, 0.25),
    (b"-0X_F_fP1", OK, -510.0),
    (b"_", SYNTAX, None),
    (b"_1", SYNTAX, None),
    (b"-_1", SYNTAX, None),
    (b"1_", SYNTAX, None),
    (b"1__0", SYNTAX, None),
    (b"1_.5", SYNTAX, None),
    (b"1._5", SYNTAX, None),
    (b"1_e5", SYNTAX, None),
    (b"1e_5", SYNTAX, None),
    (b"0x1p_2", SYNTAX, None),
    (b"0_x1p2", SYNTAX, None),
    (b"f_f", SYNTAX, None),
    (b"in_f", SYNTAX, None),
    (b"inf_", SYNTAX, None),
    (b" 1", SYNTAX, None),
    (b"1 ", SYNTAX, None),
    (b"1,5", SYNTAX, None),
    (b"--1", SYNTAX, None),
]


@pytest.mark.parametrize(("text", "result", "value"), FLOAT_TEXTS)
def test_parse_float(text, result, value):
    got, number = _core_testing._test_parse_float(text)
    assert got == result
    assert value is None or number == value


def test_parse_float_nan_in_any_case():
    result, value = _core_testing._test_parse_float(b"NaN")
    assert result == OK
    assert math.isnan(value)


PLAIN_NUMBERS = st.from_regex(r"[0-9]{0,17}\.?[0-9]{0,17}", fullmatch=True)
NUMBERS = st.from_regex(r"[-+]?[0-9]{0,30}\.?[0-9]{0,30}(e[-+]?[0-9]{1,3})?", fullmatch=True)


@pytest.mark.slow
@given(st.one_of(NUMBERS, PLAIN_NUMBERS))
@example("9007199254740993")
@example("9007199254740.993")
@example("0.0000000000000001")
def test_parse_float_as_python(text):
    result, value = _core_testing._test_parse_float(text.encode())
    try:
        expected = float(text)
    except ValueError:
        assert result == SYNTAX
        return
    assert value == expected
    assert result == (RANGE if math.isinf(expected) else OK)


@pytest.mark.parametrize(
    ("function", "result", "text", "base", "message"),
    [
        (b"ParseInt", SYNTAX, b'a"\n', 10, b'strconv.ParseInt: parsing "a\\"\\n": invalid syntax'),
        (b"ParseInt", BASE, b"5", 37, b'strconv.ParseInt: parsing "5": invalid base 37'),
        (b"ParseFloat", RANGE, b"1e400", 10, b'strconv.ParseFloat: parsing "1e400": value out of range'),
    ],
)
def test_number_error(function, result, text, base, message):
    assert _core_testing._test_number_error(function, result, text, base) == message


NOT_UTF8 = [b"\x80", b"\xc0\x80", b"\xc3", b"\xe2\x82", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf0\x9f\x98",
            b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xf5", b"\xff"]  # fmt: skip


@pytest.mark.parametrize("bad", NOT_UTF8)
@pytest.mark.parametrize("before", ["", "x" * 15, "x" * 80, "é"])
@pytest.mark.parametrize("after", ["", "a", "x" * 40, "€"])
def test_each_ill_formed_byte_is_replaced(bad, before, after):
    head, tail = before.encode(), after.encode()
    text, offsets = _core_testing._test_repair(head + bad + tail)
    assert text == head + "\ufffd".encode() * len(bad) + tail
    n = len(head)
    replaced = [n + i // 3 for i in range(3 * len(bad))]
    assert offsets == [*range(n), *replaced, *range(n + len(bad), n + len(bad) + len(tail) + 1)]


@pytest.mark.slow
@given(st.one_of(st.binary(max_size=200), st.text(max_size=80).map(str.encode)))
def test_utf8_as_python(text):
    assert _core_testing._test_ascii(text) == text.isascii()
    try:
        text.decode()
        valid = True
    except UnicodeDecodeError:
        valid = False
    assert _core_testing._test_utf8(text) == valid
    repaired, offsets = _core_testing._test_repair(text)
    assert (repaired == text) == valid
    repaired.decode()
    assert len(offsets) == len(repaired) + 1


@pytest.mark.parametrize(
    ("text", "lower"),
    [
        ("ABCxyz[@`{019", "abcxyz[@`{019"),
        ("İI", "ii"),
        ("ΑΣ ΣΑΣ", "ασ σασ"),
        ("K\u1e9e", "kß"),
        ("ÄÖÜẞ" + "A" * 100, "äöüß" + "a" * 100),
        ("Дĳ", "дĳ"),
    ],
)
def test_lower(text, lower):
    assert _core_testing._test_lower(text.encode()) == lower.encode()


def test_lower_replaces_ill_formed_bytes():
    assert _core_testing._test_lower(b"A\xff\xc3B") == "a\ufffd\ufffdb".encode()


def test_upper_replaces_ill_formed_bytes():
    assert _core_testing._test_upper(b"a\xff\xc3b") == "A\ufffd\ufffdB".encode()


@pytest.mark.slow
def test_upper_of_every_character():
    """The simple mapping: where Python's has several characters, it is the title case or nothing."""
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    upper = [next((one for one in (c.upper(), c.title()) if len(one) == 1), c) for c in characters]
    assert _core_testing._test_upper("".join(characters).encode()).decode() == "".join(upper)


@given(st.characters(exclude_categories=["Cs"], exclude_characters="\u0130"))
def test_lower_of_one_character_as_python(character):
    assert _core_testing._test_lower(character.encode()).decode() == character.lower()


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        (b'a"b\\c', rb'"a\"b\\c"'),
        (b"\a\b\f\n\r\t\v\0\x1b\x7f", rb'"\a\b\f\n\r\t\v\x00\x1b\x7f"'),
        ("é€😀\ufffd".encode(), '"é€😀\ufffd"'.encode()),
        (b"\xff\xc3", rb'"\xff\xc3"'),
        ("\u00a0\u200b\ue000\U000e0001".encode(), rb'"\u00a0\u200b\ue000\U000e0001"'),
        (b"", b'""'),
    ],
)
def test_quote(text, quoted):
    assert _core_testing._test_quote(text) == quoted


@given(st.binary(max_size=60), st.binary(min_size=1, max_size=3), st.binary(max_size=4))
def test_subst_as_python(text, old, new):
    assert _core_testing._test_subst(old, new, text) == text.replace(old, new)


@pytest.mark.parametrize(
    ("text", "result"),
    [(b"", b"-"), (b"ab", b"-a-b-"), ("é€".encode(), "-é-€-".encode()), (b"a\xe2\x82", b"-a-\xe2-\x82-")],
)
def test_subst_of_nothing_stands_between_characters(text, result):
    assert _core_testing._test_subst(b"", b"-", text) == result


def test_subst_stops_at_its_limit():
    assert _core_testing._test_subst(b"a", b"x" * 1000, b"a" * 100_000, 1 << 16) is None
    assert _core_testing._test_subst(b"", b"x" * 1000, b"a" * 100_000, 1 << 16) is None
    assert _core_testing._test_subst(b"a", b"xy", b"a" * 100, 200) == b"xy" * 100
