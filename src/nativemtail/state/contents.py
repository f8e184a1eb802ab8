"""Looks at a state without a run, and takes parts out of it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from nativemtail.state.database import NAME, Changes, Damaged, Database, Record, reason
from nativemtail.state.lock import Lock, StateError


class Contents(NamedTuple):
    """What was kept of an instant."""

    metrics: dict[int, Record]
    """By number, in the order of the programs."""
    logs: dict[str, Record]
    about: Record
    """Empty before the first save."""


def look(directory: str) -> Contents:
    """All of it, verified; also while a process holds the directory.  Raises StateError."""
    _check_is_there(directory)
    with _opened(directory) as database, database.at_once():
        return _read(database)


def forget(directory: str, choose: Callable[[Contents], Contents]) -> Contents:
    """Leave only what `choose` returns of the contents, and return it.  Raises StateError.

    Nothing is written if `choose` raises something.
    """
    _check_is_there(directory)  # the lock would make it
    with Lock(directory), _opened(directory) as database:
        before = _read(database)
        after = choose(before)
        logs: Mapping[str, Record | None] = dict.fromkeys(before.logs.keys() - after.logs.keys())
        about = {name: value for name, value in after.about.items() if name not in ("rows", "sum")}
        database.write(Changes(after.metrics, (), logs, about))
        return after


def _check_is_there(directory: str) -> None:
    if not os.path.lexists(os.path.join(directory, NAME)):
        raise StateError(f"there is no {NAME} in {directory}")


@contextlib.contextmanager
def _opened(directory: str) -> Iterator[Database]:
    try:
        with contextlib.closing(Database(directory, create=False)) as database:
            yield database
    except (Damaged, sqlite3.Error) as error:
        raise StateError(f"the state in {directory} cannot be read: {reason(error)}") from None


def _read(database: Database) -> Contents:
    metrics = database.read_metrics()
    for number in metrics:
        deque(database.read_slabs(number), 0)
    logs = database.read_logs()
    database.verify()
    ordered = dict(sorted(metrics.items(), key=lambda item: item[1]["place"]))
    return Contents(ordered, logs, database.read_instant() or {})
