"""The parser against Go's: printed forms, simplified forms and error texts were taken from Go 1.19's regexp/syntax."""

from __future__ import annotations

import inspect
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nativemtail.compiler.regex import ucd
from nativemtail.compiler.regex.error import RegexError
from nativemtail.compiler.regex.parser import parse
from nativemtail.compiler.regex.simplify import simplify
from nativemtail.compiler.regex.tree import group_names, postorder

PRINTED = [
    ("", "(?:)"),
    ("a", "a"),
    ("abc", "abc"),
    ("a|b", "[a-b]"),
    ("a|b|cd", "[a-b]|cd"),
    ("abc|abd", "ab[c-d]"),
    ("ABC|ABD|AEF|BCX|BCY", "A(?:B[C-D]|EF)|BC[X-Y]"),
    ("10|1", "1(?:0|(?:))"),
    ("200|201|404", "20[0-1]|404"),
    ("a||b", "a|(?:)|b"),
    ("a|(?:)|(?:)|bc", "a|(?:)|bc"),
    ("(?:ab)+c", "(?:ab)+c"),
    ("ab+c", "ab+c"),
    ("a(?:bc)d", "abcd"),
    ("a(?:b|c)d*", "a[b-c]d*"),
    ("x(?:|y)", "x(?:(?:)|y)"),
    (r"[^\n]", "(?-s:.)"),
    (r"[^\n]|ab", "(?-s:.)|ab"),
    (r"[\x00-\x{10FFFF}]", "(?s:.)"),
    (r"[^\x00-\x{10FFFF}]", r"[^\x00-\x{10FFFF}]"),
    (r".|\n", "(?s:.)"),
    ("(?s).|a", "(?s:.)"),
    ("[a]b", "ab"),
    ("[Aa]b", "(?i:A)b"),
    ("[kK]", "[Kk]"),
    ("(?i)k", "(?i:K)"),
    ("(?i)straße", "(?i:STRAßE)"),
    ("(?i)[a-c]", "[A-Ca-c]"),
    ("(?i)[^k]", "[^KkK]"),
    (r"(?i)\w", "[0-9A-Z_a-zſK]"),
    ("(?i:a)B(?-i)c", "(?i:A)Bc"),
    ("(?is)a.(?-s:.)^$", r"(?i:A)(?s:.)(?-s:.)\A(?-m:$)"),
    ("(?m)^a$", "(?m:^)a(?m:$)"),
    (r"^a$\b\B\A\z", r"\Aa(?-m:$)\b\B\A\z"),
    ("(?U)a*b+?c??", "a*?b+c?"),
    ("a*?b+?c??", "a*?b+?c??"),
    ("a{2}", "a{2}"),
    ("a{0}b", "a{0}b"),
    ("a{1}", "a{1}"),
    ("a{0,1}", "a{0,1}"),
    ("a{2,}", "a{2,}"),
    ("a{2,5}?", "a{2,5}?"),
    ("(a){2,3}", "(a){2,3}"),
    ("(?:a{2}){3}", "(?:a{2}){3}"),
    ("(a*)*", "(a*)*"),
    ("(?:a*)*", "(?:a*)*"),
    ("(?:a*)+", "(?:a*)+"),
    ("(?:a+)?", "(?:a+)?"),
    ("(?:)*", "(?:)*"),
    ("a{,2}", r"a\{,2\}"),
    ("a{", r"a\{"),
    ("{", r"\{"),
    ("}", r"\}"),
    ("]", r"\]"),
    ("(?P<n>a)(b)", "(?P<n>a)(b)"),
    (r"\Qa.b\E+", r"a\.b+"),
    (r"\Qa*", r"a\*"),
    (r"\d\s\w\D\S\W", r"[0-9][\t-\n\f-\r ][0-9A-Z_a-z][^0-9][^\t-\n\f-\r ][^0-9A-Z_a-z]"),
    (r"[\d\-.]", r"[\--\.0-9]"),
    ("[[:alpha:][:^digit:]]", "[^0-9]"),
    ("[[:word:]]", "[0-9A-Z_a-z]"),
    (r"\x41\x{263a}\101\0\a\f\n\r\t\v\_\-", r"A☺A\x00\a\f\n\r\t\v_-"),
    ("[a-]", r"[\-a]"),
    ("[]a]", r"[\]a]"),
    ("[^]a]", r"[^\]a]"),
    (r"[a\]]", r"[\]a]"),
    ("[--/]", r"[\--/]"),
    (r"\d{2}a|\d{2}b", "[0-9]{2}[a-b]"),
    ("[ab]x|[ab]y", "[a-b][x-y]"),
    ("a*x|a*y", "a*x|a*y"),
    ("ab|a(c|d)", "a(?:b|([c-d]))"),
    ("(?:a|ab|abc)d", "a(?:(?:)|b(?:(?:)|c))d"),
    ("()|a", "()|a"),
    ("(?i)ſ", "(?i:S)"),
    ("[[:a]", r"[:\[a]"),
    (r"\pZ", r"[ \xa0\x{1680}\x{2000}-\x{200a}\x{2028}-\x{2029}\x{202f}\x{205f}\x{3000}]"),
    (r"\x{10FFFF}", r"\x{10ffff}"),
    ("é+", "é+"),
    ("é[à-ü]", "é[à-ü]"),
    ("a(?i)*", "a*"),
    (r"a*\Q\E*", "(?:a*)*"),
]

SIMPLIFIED = [
    ("a{2}", "aa"),
    ("a{0}b", "(?:)b"),
    ("a{1}", "a"),
    ("a{0,1}", "a?"),
    ("a{2,}", "aa+"),
    ("a{2,5}?", "aa(?:a(?:aa??)??)??"),
    ("(a){2,3}", "(a)(a)(a)?"),
    ("(?:a{2}){3}", "aaaaaa"),
    ("(?:a*)*", "a*"),
    ("(?:)*", "(?:)"),
    (r"\d{2}a|\d{2}b", "[0-9][0-9][a-b]"),
    (r"a*\Q\E*", "a*"),
]

ERRORS = [
    (b"(", "missing closing ): `(`"),
    (b"a)", "unexpected ): `a)`"),
    (b")", "unexpected ): `)`"),
    (b"(a|b", "missing closing ): `(a|b`"),
    (b"[a", "missing closing ]: `[a`"),
    (b"[", "missing closing ]: `[`"),
    (b"[]", "missing closing ]: `[]`"),
    (b"[]a", "missing closing ]: `[]a`"),
    (b"[^", "missing closing ]: `[^`"),
    (b"*", "missing argument to repetition operator: `*`"),
    (b"+a", "missing argument to repetition operator: `+`"),
    (b"|*", "missing argument to repetition operator: `*`"),
    (b"(*)", "missing argument to repetition operator: `*`"),
    (b"a**", "invalid nested repetition operator: `**`"),
    (b"a*+", "invalid nested repetition operator: `*+`"),
    (b"a+*?", "invalid nested repetition operator: `+*?`"),
    (b"a??+", "invalid nested repetition operator: `??+`"),
    (b"x{1}{2}", "invalid nested repetition operator: `{1}{2}`"),
    (b"x{2}*?", "invalid nested repetition operator: `{2}*?`"),
    (b"a{1001}", "invalid repeat count: `{1001}`"),
    (b"a{2,1}", "invalid repeat count: `{2,1}`"),
    (b"a{99999999999}", "invalid repeat count: `{99999999999}`"),
    (b"a{1001}?b", "invalid repeat count: `{1001}`"),
    (b"(a{100}){11}", "invalid repeat count: `{11}`"),
    (b"((a{10}){10}){11}", "invalid repeat count: `{11}`"),
    (b"(?i", "invalid or unsupported Perl syntax: `(?i`"),
    (b"(?", "invalid or unsupported Perl syntax: `(?`"),
    (b"(?z)", "invalid or unsupported Perl syntax: `(?z`"),
    (b"(?i-z:a)", "invalid or unsupported Perl syntax: `(?i-z`"),
    (b"(?-)", "invalid or unsupported Perl syntax: `(?-)`"),
    (b"(?i-)", "invalid or unsupported Perl syntax: `(?i-)`"),
    (b"(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
    (b"(?P<n", "invalid named capture: `(?P<n`"),
    (b"(?P<", "invalid or unsupported Perl syntax: `(?P`"),
    (b"(?P<>a)", "invalid named capture: `(?P<>`"),
    (b"(?P<a-b>c)", "invalid named capture: `(?P<a-b>`"),
    (b"(?P>n)", "invalid or unsupported Perl syntax: `(?P`"),
    (b"(?#c)", "invalid or unsupported Perl syntax: `(?#`"),
    (b"(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
    (b"(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
    (b"(?>a)", "invalid or unsupported Perl syntax: `(?>`"),
    (b"\\", "trailing backslash at end of expression: ``"),
    (b"a\\", "trailing backslash at end of expression: ``"),
    (b"[\\", "trailing backslash at end of expression: ``"),
    (rb"\8", r"invalid escape sequence: `\8`"),
    (rb"\1", r"invalid escape sequence: `\1`"),
    (rb"\xg", r"invalid escape sequence: `\xg`"),
    (rb"\x4", r"invalid escape sequence: `\x4`"),
    (rb"\x{}", r"invalid escape sequence: `\x{}`"),
    (rb"\x{110000}", r"invalid escape sequence: `\x{110000`"),
    (rb"\x{4", r"invalid escape sequence: `\x{4`"),
    (rb"\C", r"invalid escape sequence: `\C`"),
    (rb"\Z", r"invalid escape sequence: `\Z`"),
    (rb"\G", r"invalid escape sequence: `\G`"),
    (rb"\h", r"invalid escape sequence: `\h`"),
    (rb"\E", r"invalid escape sequence: `\E`"),
    (rb"\p", r"invalid character class range: `\p`"),
    (rb"\pX", r"invalid character class range: `\pX`"),
    (rb"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
    (rb"\p{L", r"invalid character class range: `\p{L`"),
    (rb"[\P{Bar}]", r"invalid character class range: `\P{Bar}`"),
    (b"[[:foo:]]", "invalid character class range: `[:foo:]`"),
    (b"[z-a]", "invalid character class range: `z-a`"),
    (rb"[a-\d]", r"invalid escape sequence: `\d`"),
    (rb"[\d-\e]", r"invalid escape sequence: `\e`"),
    (b"\xff", "invalid UTF-8: `�`"),
    (b"ab\xffcd", "invalid UTF-8: `�cd`"),
    (b"[\xff]", "invalid UTF-8: `�]`"),
    (b"\\Qa\xffb\\Ec", "invalid UTF-8: `�b`"),
    (b"(?P<\xff>a)", "invalid UTF-8: `�`"),
    (b"\\\xff", "invalid UTF-8: `�`"),
    (b"a)\xff", "unexpected ): `a)�`"),
    (b"(\xe9", "invalid UTF-8: `�`"),
    (b"\\\xc3\xa9", r"invalid escape sequence: `\é`"),
]

NEWER_THAN_GO_1_19 = [
    ("(?<n>a)", "(?P<n>a)"),
    (r"\p{greek}", str(parse(rb"\p{Greek}"))),
    (r"\p{Uppercase_Letter}", str(parse(rb"\p{Lu}"))),
    (r"\p{ascii}", r"[\x00-\x7f]"),
    ("(?i:a)x|Ay", "(?i:A)x|Ay"),
]


@pytest.mark.parametrize(("pattern", "expected"), PRINTED)
def test_printed_form(pattern: str, expected: str) -> None:
    assert str(parse(pattern.encode())) == expected


@pytest.mark.parametrize(("pattern", "expected"), SIMPLIFIED)
def test_simplified_form(pattern: str, expected: str) -> None:
    assert str(simplify(parse(pattern.encode()))) == expected


@pytest.mark.parametrize(("pattern", "expected"), NEWER_THAN_GO_1_19)
def test_forms_of_newer_releases(pattern: str, expected: str) -> None:
    assert str(parse(pattern.encode())) == expected


@pytest.mark.parametrize(("pattern", "message"), ERRORS)
def test_error_text(pattern: bytes, message: str) -> None:
    with pytest.raises(RegexError) as caught:
        parse(pattern)
    assert str(caught.value) == f"error parsing regexp: {message}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (b"(" * 1000 + b"a" + b")" * 1000, "expression nests too deeply"),
        (b"a{1000}" * 4000, "expression too large"),
        (rb"[\pLa]" * 4000, "expression too large"),
    ],
)
def test_limits(pattern: bytes, message: str) -> None:
    with pytest.raises(RegexError) as caught:
        parse(pattern)
    assert str(caught.value) == f"error parsing regexp: {message}: `{pattern.decode()}`"


def test_lookbehind_is_taken_for_a_name() -> None:
    with pytest.raises(RegexError, match=r"invalid named capture: `\(\?<=a\)b`"):
        parse(b"(?<=a)b")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        (b"", []),
        (b"(a)(?P<x>b)(?:c)((?<y_1>d))", [None, "x", None, "y_1"]),
        (b"(?P<n>a)|(?P<n>b)", ["n", "n"]),
    ],
)
def test_group_names(pattern: bytes, names: list[str | None]) -> None:
    assert group_names(parse(pattern)) == names


@pytest.mark.slow
@pytest.mark.parametrize(
    "pattern",
    [
        b"(" * 499 + b"a" + b")" * 499,
        b"(?:a" * 140 + b")*" * 140,
        b"(|a" * 240 + b")" * 240,
        b"|".join(b"a" * i for i in range(1, 450)),
        b"a{0,1000}" * 110,
        b".*x" * 30_000,
    ],
)
def test_deep_and_long_patterns(pattern: bytes) -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 60)
    try:
        assert postorder(simplify(parse(pattern)))
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.slow
@given(st.binary(max_size=40) | st.text(alphabet="ab()[]{}|*+?\\^$.-:P<>QE,1i", max_size=40).map(str.encode))
def test_what_is_accepted_can_be_printed_and_parsed_again(pattern: bytes) -> None:
    try:
        tree = parse(pattern)
    except RegexError:
        assume(False)
    assert group_names(parse(str(tree).encode())) == group_names(tree)


Sets = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=5).map(
    lambda spans: ucd.union((low, low + length) for low, length in spans)
)


@pytest.mark.slow
@given(Sets, Sets)
def test_sets(a: ucd.Ranges, b: ucd.Ranges) -> None:
    def members(ranges: ucd.Ranges) -> set[int]:
        return {rune for low, high in ranges for rune in range(low, min(high, 100) + 1)}

    everything = set(range(101))
    assert members(ucd.intersection(a, b)) == members(a) & members(b)
    assert members(ucd.complement(a)) == everything - members(a)
    assert members(ucd.union(a + b)) == members(a) | members(b)
    assert {rune for rune in everything if ucd.contains(a, rune)} == members(a)


@pytest.mark.parametrize(
    ("rune", "equal"),
    [("a", "Aa"), ("K", "Kk\u212a"), ("\u017f", "Ss\u017f"), ("1", "1"), ("ß", "ß\u1e9e"), ("µ", "µΜμ"), ("İ", "İ")],
)
def test_orbit(rune: str, equal: str) -> None:
    assert "".join(map(chr, ucd.orbit(ord(rune)))) == equal
    assert ucd.fold([(ord(rune), ord(rune))]) == ucd.union((ord(other), ord(other)) for other in equal)


def test_fold_is_what_folding_each_character_gives() -> None:
    assert ucd.fold([(0x20, 0x250)]) == ucd.union((r, r) for low in range(0x20, 0x251) for r in ucd.orbit(low))
