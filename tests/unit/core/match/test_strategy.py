"""What explain says of a pattern's engine is what the matcher does."""

from __future__ import annotations

import itertools

import pytest
from nativemtail._core_testing import _match_engine as match_engine

from nativemtail.compiler import disasm
from nativemtail.compiler.abi import PatternFlag
from nativemtail.compiler.tables import OnePass, PatternSpec

ONE_PASS = OnePass(ops=b"", pool=b"", prefix_length=0, known=0, sure=0, optional=False)
ENGINES = [flag for flag in PatternFlag if flag is not PatternFlag.FIELDS]  # which no engine matches
FLAGS = [sum(flags) for n in range(4) for flags in itertools.combinations(ENGINES, n)]


def spec(flags: int, onepass: bool) -> PatternSpec:
    return PatternSpec(
        b"x", b"x", b"x", b"x", flags, 0, prefiltered=False, automaton=None, onepass=ONE_PASS if onepass else None
    )


def described(flags: int, onepass: bool) -> str:
    first, short = match_engine(flags, 0, False, onepass, 1)
    _, long = match_engine(flags, 0, False, onepass, 1_000_000)
    library = short if short == long else f"{short}, {long} on long lines"
    return f"scan, else {library}" if first == "one-pass" else library


@pytest.mark.parametrize("flags", [flags for flags in FLAGS if not flags & PatternFlag.ALWAYS])
@pytest.mark.parametrize("onepass", [False, True])
def test_the_engine_that_explain_names_is_used(flags: int, onepass: bool) -> None:
    assert disasm.engine(spec(flags, onepass)) == described(flags, onepass)


def test_no_match_is_needed_where_the_prefilter_tells() -> None:
    literal, always = PatternFlag.PCRE2 | PatternFlag.LITERAL, PatternFlag.PCRE2 | PatternFlag.ALWAYS
    assert match_engine(always, -1, False, True, 5) == ("none", "none")
    assert match_engine(always, 0, False, True, 5) == ("one-pass", "PCRE2")
    assert match_engine(literal, -1, True, True, 5) == ("none", "none")
    assert match_engine(literal, -1, False, True, 5) == ("one-pass", "PCRE2")
