"""What made restarts lose, double or reorder lines, as `restarts.py` found it; and a few random words."""

from __future__ import annotations

import itertools
import random

import pytest
import restarts

FOUND = """
    wkcm wckm wckMw wcwkcmw wrskcwM wCmm wCwMw CCkwM kMdbwsMk wMzwkbk wckzbwk wkmzwbk wcM wcwMqc mzkCbrw cCkbzwmkCw
    wczwkmbCk wmkbwmzk mrzwrwcm wqbc wrqbrcr
"""
TRIED = 20


@pytest.mark.parametrize("pattern", restarts.PATTERNS)
@pytest.mark.parametrize("word", FOUND.split())
def test_found_by_the_search(word: str, pattern: str) -> None:
    assert not restarts.problem(word, pattern)


@pytest.mark.slow
@pytest.mark.parametrize("unseen", [0, restarts.UNSEEN])
def test_random_words(unseen: int) -> None:
    for word in itertools.islice(restarts.words(random.Random(), 16), TRIED):
        problem = restarts.problem(word, "app.log", unseen)
        assert not problem, f"{restarts.shortest(word, 'app.log', unseen)}: {problem}"
