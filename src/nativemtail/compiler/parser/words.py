"""Contextual words: new words that are ordinary names wherever mtail accepts them as such (beyond README §1).

Those that depend on whether a metric or constant of that name is visible are kept by the parser as bits.
"""

from __future__ import annotations

STATEMENT_WORDS = {"begin": 1, "log_filter": 2}
"""At the start of a statement, unless a metric or constant of that name is visible."""

VISIBLE = STATEMENT_WORDS
"""Word to its bit in the set of words that are visible as names."""
