"""Opens the directory of the state, and reads what is kept there; what is damaged is moved aside."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

from nativemtail._core import Metric
from nativemtail.state import metrics
from nativemtail.state.database import Damaged, Database, Record, is_damage, move_aside, reason
from nativemtail.state.lock import Lock, StateError

log = logging.getLogger(__name__)

Logs = TypeVar("Logs")


class Kept(NamedTuple, Generic[Logs]):
    """What was kept of the last run."""

    metrics: list[Metric]
    logs: Logs
    """What the caller made of the logs' records, which are `records`."""
    records: dict[str, Record]
    unfinished: list[Record]
    """The records of several lines that were open (`_core.Engine.fix`)."""
    time: int
    """When it was saved, in nanoseconds since the epoch; 0: nothing was kept."""


_TEXT, _TEXT_OR_NONE = (str,), (str, type(None))
_FIELDS = {
    "log": _TEXT,
    "connection": (int,),
    "statement": _TEXT,
    "stream": _TEXT_OR_NONE,
    "message": _TEXT,
    "parts": (int,),
    "part_time": _TEXT_OR_NONE,
    "logtime": _TEXT_OR_NONE,
    "text": _TEXT,
    "lines": (int,),
    "quoted": (bool,),
    "read_at": (int,),
}


class Opened(NamedTuple, Generic[Logs]):
    """The directory, held and ready to be written to."""

    lock: Lock
    database: Database
    kept: Kept[Logs]
    damaged: str
    """Why what was there before could not be used; empty if it could, or if there was nothing."""


def open_state(directory: str, read_logs: Callable[[Mapping[str, Record]], Logs]) -> Opened[Logs]:
    """Hold the directory, and restore what is in it.

    `read_logs` takes the records of the logs, and raises ValueError if they are wrong.  Raises StateError.
    """
    lock = Lock(directory)
    try:
        try:
            return Opened(lock, *_read(directory, read_logs), "")
        except (Damaged, sqlite3.Error, ValueError, OverflowError) as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                raise StateError(f"{directory}: the state cannot be read: {reason(error)}") from None
            problem = reason(error)
        aside = move_aside(directory)
        log.error(
            "the state in %s is damaged: %s; it is now %s, and counting starts from zero", directory, problem, aside
        )
        try:
            return Opened(lock, *_read(directory, read_logs), problem)
        except (Damaged, sqlite3.Error) as error:
            raise StateError(f"{directory}: the state cannot be written: {reason(error)}") from None
    except BaseException:
        lock.close()
        raise


def _read(directory: str, read_logs: Callable[[Mapping[str, Record]], Logs]) -> tuple[Database, Kept[Logs]]:
    database = Database(directory)
    try:
        restored = metrics.restore(database)
        records = database.read_logs()
        database.verify()
        instant = database.read_instant() or {"time": 0}
        if not isinstance(saved := instant.get("time"), int):
            raise Damaged("the time of the instant is wrong")
        return database, Kept(restored, read_logs(records), records, unfinished_of(instant), saved)
    except BaseException:
        database.close()
        raise


def unfinished_of(instant: Record) -> list[Record]:
    """The records of several lines that are kept with an instant.  Raises Damaged."""
    found = instant.get("unfinished", [])
    if not isinstance(found, list) or not all(_is_unfinished(record) for record in found):
        raise Damaged("a record of several lines is wrong")
    return found


def _is_unfinished(record: object) -> bool:
    return (
        isinstance(record, dict)
        and record.keys() == _FIELDS.keys()
        and all(type(record[name]) in kinds for name, kinds in _FIELDS.items())
        and all(0 <= record[name] < 1 << 63 for name in ("connection", "parts", "lines"))
        and abs(record["read_at"]) < 1 << 63
        and all(
            max(record[name] or "", default="") <= "\xff"
            for name in ("stream", "message", "part_time", "logtime", "text")
        )
    )
