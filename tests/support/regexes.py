"""Random regexes of the dialect and subjects for them, over small alphabets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from hypothesis import strategies as st

LETTERS = "abAB01.-é日ſ"
"""ſ is a small s to whoever ignores case; subjects have some more."""
SUBJECT = st.text(st.sampled_from(LETTERS + "sSKk\u212a \t_"), max_size=12)

_LITERALS = st.sampled_from([*"abAB01é日", r"\.", "-", "s", "k", " ", "ab", "a0", "é日", r"\x61", r"\x{e9}", r"\Qa.\E"])
_CLASSES = st.sampled_from(
    ["[ab]", "[^a]", "[a-b0]", "[^ab01]", r"\d", r"\w", r"\s", r"\D", r"\W", ".", "[[:alpha:]]", "[[:^digit:]]", r"\pL",
     r"\PL", r"\p{Lu}", r"[\d.]", r"[^\w]", "[é-日]", "[-+]", "[0-9]", r"\S", "[^é]", r"\p{Greek}", "[a-]"]
)  # fmt: skip
_ASSERTIONS = st.sampled_from(["^", "$", r"\b", r"\B", r"\A", r"\z", "", "(?i)", "(?s)", "(?m)", "(?U)", "(?-i)"])
_QUANTIFIERS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{1}", "{2,}", "{0}"]


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    grouped = st.one_of(
        inner.map("({})".format),
        inner.map("({})".format),
        inner.map("(?:{})".format),
        inner.map("(?i:{})".format),
        inner.map("(?s-i:{})".format),
    )
    return st.one_of(
        grouped,
        st.lists(inner, min_size=2, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map("|".join).map("(?:{})".format),
        st.lists(inner, min_size=2, max_size=3).map("|".join).map("({})".format),
        st.tuples(
            st.one_of(grouped, _LITERALS.filter(lambda text: len(text) == 1), _CLASSES), st.sampled_from(_QUANTIFIERS)
        ).map("".join),
    )


REGEX = st.recursive(st.one_of(_LITERALS, _LITERALS, _CLASSES, _ASSERTIONS), _compound, max_leaves=10)
NUMERIC = st.recursive(
    st.sampled_from([r"\d", r"\d+", "[0-9]", "-", "[-+]", r"\.", ".", "1", "0", "e", "[eE]", "", r"\d*", "12"]),
    _compound,
    max_leaves=6,
)
"""Regexes whose groups often are numbers."""


ATOMS = [
    "a", "é", "日", r"\x{1F600}", r"\x{FFFD}", "(?i:k)", "(?i:ſ)", ".", "(?s:.)", r"\w", r"\W", r"\d", r"\D", r"\s",
    r"\S", r"\pL", r"\PL", r"\p{Greek}",
    "[[:alpha:]]", "[[:^alpha:]]", "[^a]", "[é-日]", "[^é-日]", r"[^\x00-\x{10FFFF}]",
    "[a\\W]", r"\Qé.\E", "a日", "é|a", "(?U:a*)",
]  # fmt: skip
ASSERTIONS = ["^", "$", r"\A", r"\z", "(?m:^)", "(?m:$)", r"\b", r"\B", ""]
QUANTIFIERS = [*_QUANTIFIERS, "{0,}", "{3,5}?", "{2}?"]
ODD_LINES = [
    b"", b"a", "é".encode(), "日本".encode(), "K\U0001f600b".encode(), "1€2".encode(), "aéa".encode(), "éaé".encode(),
    " é ".encode(), "ſKk\u212a".encode(), "日a日b日".encode(), "\U0001f600\U0001f600".encode(), "αβ a".encode(),
    "\ufffd".encode(), "aaa é.é. aaa".encode(), "é\r".encode(),
]  # fmt: skip
INVALID_LINES = [
    b"\xff", b"a\xffb", b"\xc3", b"a\xe6\x97", b"\xe6\x97a", b"\x80\x80",
    b"\xed\xa0\x80a", b"\xc3\xc3\xa9", b"\xf0\x9f\x98",
]  # fmt: skip


def every_operator() -> Iterator[str]:
    """Each operator of the dialect on its own, repeated in each way, beside each assertion and in alternatives."""
    operands = [*ATOMS, *ASSERTIONS]
    yield from operands
    for operand, quantifier in product(operands, QUANTIFIERS):  # a group that cannot match is none
        yield f"{'(?:' if quantifier == '{0}' else '('}{operand}){quantifier}"
    for assertion, operand in product(ASSERTIONS, operands):
        yield f"{assertion}(?:{operand})"
        yield f"(?:{operand}){assertion}"
        yield f"(?:{operand})*{assertion}"
        yield f"{assertion}(?:{operand})??"
        yield f"(?:{assertion}|{operand})(a?)"
    yield from (f"{a}{b}{c}" for a, b, c in product(ASSERTIONS, ASSERTIONS, ["", "$", r"\z"]))


def operator_program(regex: str, prefix: str) -> str:
    """Which lines match, what the match and its groups take, and where all matches of a line are."""
    groups = regex.replace("(?", "").count("(")
    keys = ", ".join(f"k{group}" for group in range(groups + 2))
    values = ", ".join(f"${group + 1}" for group in range(groups + 1))
    text = [f"counter {prefix}m by l", f"counter {prefix}c by {keys}", f"counter {prefix}s by l, s"]
    text += ["/(?P<l>(?s:.*))/ {", f"  /{regex}/ {{", f"    {prefix}m[$l]++", "  }"]
    text += [f"  /({regex})/ {{", f"    {prefix}c[$l, {values}]++", "  }", "  /^/ {"]
    text += [f'    {prefix}s[$l][subst(/{regex}/, "<>", $l)]++', "  }", "}"]
    return "\n".join(text) + "\n"
