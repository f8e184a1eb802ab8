"""The functions that mtail does not have, run by the engine (docs/spec/beyond §8 to §10)."""

from __future__ import annotations

import math
from fractions import Fraction
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from engines import Machine
from hypothesis import given
from hypothesis import strategies as st

from nativemtail.compiler import CompileError, compile_program
from nativemtail.compiler.parser.bounds import exact, spaced

INTS = st.integers(-(2**63), 2**63 - 1)
FEW_BYTES = st.text("ab,é ", max_size=8)


def text_of(expression: str, line: str = "") -> str:
    """The value of a String, in which `$1` is the line."""
    machine = Machine(f"text t\n/^((?s:.*))$/ {{\n  t = {expression}\n}}\n")
    machine.feed(line.encode() + b"\n")
    assert machine.faults() == []
    value = machine.value("t")
    assert isinstance(value, bytes)
    return value.decode()


def number_of(expression: str) -> float:
    machine = Machine(f"gauge g\n/x/ {{\n  g = {expression}\n}}\n")
    machine.feed(b"x\n")
    assert machine.faults() == []
    return float(machine.value("g"))


def quoted(text: str) -> str:
    return f'"{text}"'


@pytest.mark.slow
@given(FEW_BYTES, INTS, INTS)
def test_substr(text: str, first: int, count: int) -> None:
    text = text.replace("é", "e")
    wanted = "".join(c for at, c in enumerate(text) if first <= at < first + count)
    assert text_of(f"substr($1, {first}, {count})", text) == wanted


@pytest.mark.slow
@given(FEW_BYTES, st.sampled_from(["", ",", "ab", " ", "é"]), st.integers(-5, 5) | INTS)
def test_split(text: str, separator: str, piece: int) -> None:
    pieces = text.split(separator) if separator else [text]
    at = piece - 1 if piece > 0 else len(pieces) + piece
    wanted = pieces[at] if piece and 0 <= at < len(pieces) else ""
    assert text_of(f"split($1, {quoted(separator)}, {piece})", text) == wanted


@pytest.mark.slow
@given(FEW_BYTES, FEW_BYTES)
def test_trimming(text: str, part: str) -> None:
    assert text_of("trim($1)", text) == text.strip()
    assert text_of(f"trimprefix($1, {quoted(part)})", text) == text.removeprefix(part)
    assert text_of(f"trimsuffix($1, {quoted(part)})", text) == text.removesuffix(part)


@pytest.mark.slow
@given(st.lists(INTS, min_size=2, max_size=4))
def test_min_max_abs(numbers: list[int]) -> None:
    machine = Machine(
        "gauge low\ngauge high\ngauge size\n/x/ {\n"
        f"  low = min({', '.join(map(str, numbers))})\n  high = max({', '.join(map(str, numbers))})\n"
        f"  size = abs({numbers[0]})\n}}\n"
    )
    machine.feed(b"x\n")
    assert (machine.value("low"), machine.value("high")) == (min(numbers), max(numbers))
    assert machine.value("size") == (abs(numbers[0]) + 2**63) % 2**64 - 2**63


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('float("nan")', math.nan),
        ('min(1.0, float("nan"))', math.nan),
        ('min(float("nan"), 1.0)', math.nan),
        ('max(1.0, float("nan"), 2.0)', math.nan),
        ("max(1, 2.5)", 2.5),
        ("ln(0)", -math.inf),
        ("sqrt(-1.0)", math.nan),
        ("exp(1000)", math.inf),
        ("round(2.5)", 3),
        ("round(-2.5)", -3),
        ('int(float("-1.9"))', -1),
    ],
)
def test_numbers(expression: str, value: float) -> None:
    found = number_of(expression)
    assert found == value or (math.isnan(found) and math.isnan(value))


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "9223372036854775808.0", "1e300"])
def test_a_float_that_is_no_int_is_an_error(text: str) -> None:
    machine = Machine(f'gauge g\n/x/ {{\n  g = int(float("{text}"))\n}}\n')
    machine.feed(b"x\n")
    assert len(machine.faults()) == 1


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_a_float_that_is_no_time_is_an_error(text: str) -> None:
    machine = Machine(f'gauge g\n/x/ {{\n  settime(float("{text}"))\n  g = 1\n}}\n')
    machine.feed(b"x\n")
    assert len(machine.faults()) == 1


@pytest.mark.slow
@given(st.floats(allow_nan=False, allow_infinity=False) | st.floats(-1e10, 1e10))
def test_a_time_comes_back(seconds: float) -> None:
    machine = Machine(f"gauge t\ngauge g\n/x/ {{\n  settime({seconds!r})\n  g = unixtime()\n  t = timestamp()\n}}\n")
    machine.feed(b"x\n")
    if abs(seconds) < 2**53:
        micros = math.floor(Fraction(seconds) * 10**6 + Fraction(1, 2))
        assert machine.value("g") == float(Fraction(micros, 10**6))
        assert machine.value("t") == micros // 10**6


ADDRESSES = st.ip_addresses().map(str) | st.sampled_from(["::ffff:10.0.0.1", "10.0.0.01", "x", "", "fe80::1%lo", "1%"])
Network = IPv4Network | IPv6Network
NETWORKS = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)), st.tuples(st.ip_addresses(v=6), st.integers(0, 128))
).map(lambda pair: ip_network(pair, strict=False))


def unmapped(network: Network) -> Network:
    """A prefix of addresses of IPv4 that is written as one of IPv6 (RFC 4291 §2.5.5.2)."""
    if network.version == 6 and network.subnet_of(ip_network("::ffff:0:0/96")):
        return ip_network((network.network_address.packed[12:], network.prefixlen - 96))
    return network


@pytest.mark.slow
@given(ADDRESSES, st.lists(NETWORKS, min_size=1, max_size=4), st.booleans())
def test_ip_in(text: str, networks: list[Network], near: bool) -> None:
    if near:
        text = str(networks[-1].network_address)
    machine = Machine(
        f"counter c\n/^(.*)$/ {{\n  ip_in($1, {', '.join(quoted(str(n)) for n in networks)}) {{\n    c++\n  }}\n}}\n"
    )
    machine.feed(text.encode() + b"\n")
    try:
        address = ip_address(text.partition("%")[0] if not text.endswith("%") else "")
    except ValueError:
        wanted = False
    else:
        mapped = getattr(address, "ipv4_mapped", None) or address
        wanted = any(mapped in unmapped(network) for network in networks)
    assert machine.value("c") == wanted


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("trim()", "trim() takes 1 argument, not 0.\n\tWrite trim(text)"),
        ("min(1)", "min() takes 2 arguments, not 1."),
        ("split($1, \",\", 1.5)", "Expecting an Int for argument 3 of split(), not Float."),
        ("floor(\"x\")", "Expecting a number for argument 1 of floor(), not String.\n\tTry int() or float()"),
        ("toupper(5)", "Expecting a String for argument 1 of toupper(), not Int.\n\tTry string()"),
    ],
)  # fmt: skip
def test_wrong_arguments(call: str, error: str) -> None:
    with pytest.raises(CompileError) as raised:
        compile_program("p", f"text t\n/(a)/ {{\n  t = {call}\n}}\n".encode())
    assert error in str(raised.value)


@pytest.mark.parametrize(
    ("prefix", "error"),
    [
        ("10.0.0.0/33", '"10.0.0.0/33" is no address and no prefix.'),
        ("10.0.0.0/08", "is no address and no prefix."),
        ("x", '"x" is no address and no prefix.'),
        ("fe80::1%eth0", "is no address and no prefix."),
        ("10.1.2.3/8", '"10.1.2.3/8" has bits behind its prefix.\n\tTry "10.0.0.0/8"'),
    ],
)
def test_wrong_prefixes(prefix: str, error: str) -> None:
    with pytest.raises(CompileError) as raised:
        compile_program("p", f'counter c\n/(a)/ {{\n  ip_in($1, "{prefix}") {{\n    c++\n  }}\n}}\n'.encode())
    assert error in str(raised.value)


def test_bounds_are_rounded_once() -> None:
    assert spaced("linear", exact("0.1"), exact("0.1"), exact("10")) == [at / 10 for at in range(1, 11)]
    assert spaced("exponential", exact("1e-3"), exact("10"), exact("4")) == [0.001, 0.01, 0.1, 1.0]


@pytest.mark.parametrize("text", ["1e-999999999", "1." + "0" * 100_000 + "1"])
def test_numbers_that_would_be_huge_fractions(text: str) -> None:
    assert exact(text) == Fraction(float(text))


@pytest.mark.parametrize("rule", ["linear(1, 0, 5)", "linear(1, 1, 1)", "exponential(1, 1, 5)", "exponential(0, 2, 5)"])
def test_wrong_bounds(rule: str) -> None:
    with pytest.raises(CompileError, match=r"takes a start.* and a count from 2 to 1000\."):
        compile_program("p", f"histogram h buckets {rule}\n/x/ {{\n  h = 1\n}}\n".encode())
