"""Contextual words: new words that are ordinary names wherever mtail accepts them as such (beyond README §1).

Those that depend on whether a metric or constant of that name is visible are kept by the parser as bits.
"""

from __future__ import annotations

from nativemtail.compiler.builtins import FUNCTIONS

_WORDS = {word: 1 << at for at, word in enumerate(["begin", "log_filter", "every", *FUNCTIONS])}

STATEMENT_WORDS = {word: _WORDS[word] for word in ("begin", "log_filter")}
"""At the start of a statement, unless a metric or constant of that name is visible."""

FUNCTION_WORDS = {word: _WORDS[word] for word in FUNCTIONS}
"""Where an operand may stand and a parenthesis follows, unless such a name is visible."""

LINE_WORDS = frozenset(("include", "record"))
"""At the start of a statement, if a word or a string follows on the same line."""

VISIBLE = _WORDS
"""Word to its bit in the set of words that are visible as names."""
