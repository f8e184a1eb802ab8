"""Every builtin and operator with every kind of operand in every position: as Debian's mtail, and never a crash.

`operands.txt` has what mtail made of each.  After a change of operands.py: `python tests/differential/operands.py`.
"""

from __future__ import annotations

import operands
import pytest

BATCH = 250
STATEMENTS = operands.statements()
BATCHES = [STATEMENTS[at : at + BATCH] for at in range(0, len(STATEMENTS), BATCH)]
STORED = operands.load()


@pytest.mark.parametrize("batch", BATCHES, ids=range(len(BATCHES)))
def test_as_mtail(batch: list[str]) -> None:
    assert operands.differences(operands.ours(batch), STORED) == {}


@pytest.mark.parametrize("batch", BATCHES, ids=range(len(BATCHES)))
def test_what_is_stored_is_what_mtail_makes_of_it(batch: list[str]) -> None:
    theirs = operands.theirs(batch)
    assert {statement: text for statement, text in theirs.items() if text != STORED[statement]} == {}


def test_all_statements_are_stored() -> None:
    assert STORED.keys() == set(STATEMENTS)
