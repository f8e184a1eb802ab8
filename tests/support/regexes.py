"""Random regexes of the dialect and subjects for them, over small alphabets."""

from __future__ import annotations

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
