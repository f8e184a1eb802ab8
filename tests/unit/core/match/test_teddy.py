"""The multi-literal matcher, compared with a search for each literal in turn."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nativemtail._core_testing import _test_teddy

from nativemtail.compiler.prefilter import teddy
from nativemtail.compiler.prefilter.select import hyperscan_literal
from nativemtail.compiler.tables import LiteralSpec

LETTERS = b"abAB: [x"


def spec(literal: bytes, caseless: bool = False) -> LiteralSpec:
    text = literal.lower() if caseless else literal
    return LiteralSpec(hyperscan_literal(text), caseless, text, [0])


def stands(factor: LiteralSpec, text: bytes, at: int) -> bool:
    assert factor.literal is not None
    here = text[at : at + len(factor.literal)]
    return (here.lower() if factor.caseless else here) == factor.literal


def line_of(text: bytes, at: int) -> int:
    return text.count(b"\n", 0, at)


def expected(factors: list[LiteralSpec], text: bytes) -> set[tuple[int, int]]:
    """Factor and line of each that stands somewhere."""
    places = range(len(text))
    return {(n, line_of(text, at)) for n, factor in enumerate(factors) for at in places if stands(factor, text, at)}


def check(factors: list[LiteralSpec], text: bytes, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many places were looked up."""
    for limit in ("MOST_LOOKUPS", "MOST_FOUND"):
        monkeypatch.setattr(teddy, limit, float("inf"))
    found = teddy.teddy(factors)
    assert found is not None
    for dense in (False, True):
        ends, ascii, events, looked_up = _test_teddy(found, factors, text, dense)
        assert ends == [at for at, byte in enumerate(text) if byte == 10]
        assert ascii == text.isascii()
        assert set(events) == expected(factors, text)
        assert [line for _, line in events] == sorted(line for _, line in events)
    return int(looked_up)


LITERALS = st.lists(
    st.tuples(
        st.one_of(
            st.text("abAB: [x", min_size=1, max_size=12).map(str.encode),
            st.binary(min_size=1, max_size=10).map(lambda text: text.replace(b"\n", b"~")),
        ),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
    unique_by=lambda pair: pair[0].lower(),
)
TEXTS = st.lists(
    st.one_of(st.text("abAB: [x\n", max_size=90).map(str.encode), st.binary(max_size=20), st.just(b"\n")), max_size=8
).map(b"".join)


@pytest.mark.slow
@settings(max_examples=400)
@given(LITERALS, TEXTS, st.data())
def test_what_is_found_is_there_and_all_that_is_there_is_found(
    literals: list[tuple[bytes, bool]], text: bytes, data: st.DataObject
) -> None:
    factors = [spec(literal, caseless) for literal, caseless in literals]
    some = data.draw(st.lists(st.sampled_from(literals), max_size=6))
    text += b"".join(literal + data.draw(st.sampled_from([b"", b"\n", b" ", b"aB"])) for literal, _ in some)
    with pytest.MonkeyPatch.context() as monkeypatch:
        check(factors, text, monkeypatch)


@pytest.mark.parametrize("pad", [0, 1, 2, 3, 5, 7, 8, 28, 29, 30, 31, 32, 33, 59, 60, 61, 62, 63, 64, 65, 127, 128])
def test_at_every_place_of_a_vector(pad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    factors = [spec(b"k"), spec(b": Fail"), spec(b"Accepted publickey for "), spec(b"error", caseless=True)]
    for literal in (b"k", b": Fail", b"Accepted publickey for ", b"eRRor"):
        check(factors, b"." * pad + literal, monkeypatch)
        check(factors, b"." * pad + literal + b"." * 70, monkeypatch)
        check(factors, b"." * pad + literal[:-1], monkeypatch)
        check(factors, b"\xc3" + b"." * pad + b"\xa9" + literal + b"\xc3." * 70, monkeypatch)


@pytest.mark.slow
def test_hundreds_of_literals(monkeypatch: pytest.MonkeyPatch) -> None:
    factors = [spec(b"service-%03d started" % number) for number in range(600)]
    text = b"\n".join(b"x service-%03d started" % number for number in range(0, 900, 100))
    check(factors, text, monkeypatch)
    found = teddy.teddy(factors)
    assert found is not None
    assert _test_teddy(found, factors, text, False)[2] == [(number, number // 100) for number in range(0, 600, 100)]


def test_literals_that_no_eight_bytes_tell_apart_are_left_to_hyperscan() -> None:
    """Each would be compared wherever one of them is, or nearly is."""
    many = [spec(b" Zygotic".join(b"%d" % (number >> bit & 1) for bit in range(8))) for number in range(256)]
    assert teddy.teddy(many[: teddy.MOST_SHARED]) is not None
    assert teddy.teddy(many) is None


@pytest.mark.slow
def test_too_many_literals_are_left_to_hyperscan() -> None:
    assert teddy.teddy([spec(b"Killed %05d" % number) for number in range(teddy.MOST_LITERALS + 1)]) is None


def test_rare_bytes_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """In lines that say nothing hardly a place is looked up."""
    factors = [spec(text) for text in (b"Failed password", b"segfault at", b"Out of memory", b"status=bounced")]
    lines = b"Mar  2 08:00:11 web1 systemd[1]: session-12.scope: Deactivated successfully, all is well here.\n" * 100
    assert check(factors, lines, monkeypatch) < 50


def test_not_for_regular_expressions_nor_for_what_is_everywhere() -> None:
    assert teddy.teddy([]) is None
    assert teddy.teddy([spec(b"abc"), LiteralSpec(b"[0-9]z", False, None, [0])]) is None
    assert teddy.teddy([spec(b" "), spec(b"e")]) is None
    assert teddy.teddy([spec(b"Killed process")]) is not None
