"""The file `state.db`: the rows of one instant in SQLite.

SQLite writes an instant completely or not at all, but its pages have no checksums: a flipped bit would be a wrong
counter, or a row that is gone.  So each row has a checksum of its content and key, and the row of the instant the
number of rows and the sum of their checksums.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from zlib import crc32

from nativemtail.gotext import explain
from nativemtail.state.lock import StateError

NAME = "state.db"
GROUP_BITS = 26
"""The lower bits of the id of a group of slabs are its number, the others that of its metric."""
LAST_METRIC = 1 << (62 - GROUP_BITS)
VERSION = 2
"""1: no `beginnings` in the positions of logs.  A database of an earlier version gets this one when it is written."""
APPLICATION = 0x6E6D7461
"""Marks the file as ours: "nmta"."""
_PAGE = 16_384
"""Bytes.  Large pages take less time where all groups of slabs change, small ones where little does."""
_WAL_BYTES = 8 << 20
_BUSY_SECONDS = 5.0
_MAGIC = b"SQLite format 3\0"
_SUM = (1 << 63) - 1

_SCHEMA = f"""
    PRAGMA application_id = {APPLICATION};
    PRAGMA user_version = {VERSION};
    CREATE TABLE instant (id INTEGER PRIMARY KEY CHECK (id = 1), record TEXT NOT NULL, checksum INTEGER NOT NULL);
    CREATE TABLE metrics (number INTEGER PRIMARY KEY, record TEXT NOT NULL, checksum INTEGER NOT NULL);
    CREATE TABLE slabs (id INTEGER PRIMARY KEY, image BLOB NOT NULL, checksum INTEGER NOT NULL);
    CREATE TABLE logs (key TEXT PRIMARY KEY, record TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
"""

Record = dict[str, Any]
"""A dictionary of JSON's types."""

Slabs = tuple[int, int, bytes | None]
"""Number of the metric, number of a group of its slabs, and the image of the group; None removes it."""


class Damaged(Exception):
    """The file cannot be used; the text says why."""


class Changes(NamedTuple):
    """An instant: all metrics by number, what changed of their slabs and of the logs (None: it is gone)."""

    metrics: Mapping[int, Record]
    slabs: Iterable[Slabs]
    logs: Mapping[str, Record | None]
    about: Record
    """What else is kept of the instant."""


class Written(NamedTuple):
    """The size of a save."""

    rows: int
    bytes: int


class _Sums:
    """The checksums of all rows, as far as they have been read or written."""

    def __init__(self) -> None:
        self.metrics: dict[int, int] = {}
        self.slabs: dict[int, dict[int, int]] = {}
        self.logs: dict[str, int] = {}
        self.total = 0

    def count(self) -> int:
        return len(self.metrics) + sum(map(len, self.slabs.values())) + len(self.logs)


def checksum(table: str, key: int | str, content: bytes) -> int:
    """Of a row: it tells every damage of up to 32 neighbouring bits, and others but for one in four billions."""
    return crc32(content, crc32(f"{table}\n{key}\n".encode()))


class Database:
    """The open file.  `read…` everything once, then `verify`; `write` afterwards.  One thread at a time.

    What is read may raise Damaged or sqlite3.Error; see `reason` for the latter.
    """

    def __init__(self, directory: str, *, create: bool = True) -> None:
        """Opens the file, or makes it (if `create`).  Raises Damaged, StateError and sqlite3.Error."""
        self.directory = directory
        self.path = os.path.join(directory, NAME)
        self._sums = _Sums()
        if create and not os.path.lexists(self.path):
            self._create()
        self._check_header()
        self._connection = _connect(self.path)
        try:
            self._prepare()
            self._file = os.stat(self.path).st_ino
        except BaseException:
            self._connection.close()
            raise

    # --- opening -----------------------------------------------------------------------------------------------------

    def _create(self) -> None:
        """Make an empty database under another name first, so that a crash leaves either none or a good one."""
        fresh = f"{self.path}.new"
        try:
            for path in (fresh, f"{fresh}-journal", f"{self.path}-wal", f"{self.path}-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as made:
                made.execute(f"PRAGMA page_size = {_PAGE}")
                made.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            os.rename(fresh, self.path)
            _sync(self.directory)
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"{self.path} cannot be made: {reason(error)}") from None

    def _check_header(self) -> None:
        try:
            with open(self.path, "rb") as file:
                header = file.read(100)
        except OSError as error:
            raise StateError(explain(error, "open", self.path)) from None
        if not header:
            raise Damaged("it is empty")
        if len(header) < 100 or not header.startswith(_MAGIC):
            raise Damaged("it is not an SQLite database")
        if header[18] not in (1, 2) or header[19] not in (1, 2):
            raise Damaged("its header is damaged")

    def _prepare(self) -> None:
        one = self._one
        if one("PRAGMA application_id") != APPLICATION:
            raise Damaged("it is a database of something else")
        self._version = version = one("PRAGMA user_version")
        if not 0 < version <= VERSION:
            raise Damaged(f"it has version {version}, and this nativemtail reads those up to {VERSION}")
        if (found := one("PRAGMA quick_check(1)")) != "ok":
            raise Damaged(str(found).replace("\n", " "))
        self._connection.executescript(
            f"""
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = FULL;
            PRAGMA wal_autocheckpoint = {_WAL_BYTES // _PAGE};
            PRAGMA journal_size_limit = {_WAL_BYTES};
            PRAGMA secure_delete = OFF;
            PRAGMA cell_size_check = ON;
            """
        )

    def _one(self, query: str) -> Any:
        row = self._connection.execute(query).fetchone()
        if row is None:
            raise Damaged("a row is missing")
        return row[0]

    # --- reading -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """What is read inside is of one instant, although another process saves meanwhile."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def read_metrics(self) -> dict[int, Record]:
        found = {}
        for number, text, check in self._connection.execute("SELECT number, record, checksum FROM metrics"):
            found[number] = _parsed("metrics", number, text, check)
            self._sums.metrics[number] = check
            self._sums.total += check
        return found

    def read_slabs(self, metric: int) -> Iterator[tuple[int, bytes]]:
        """The groups of slabs of a metric: number and image."""
        first = metric << GROUP_BITS
        rows = self._connection.execute(
            "SELECT id, image, checksum FROM slabs WHERE id >= ? AND id < ?", (first, first + (1 << GROUP_BITS))
        )
        sums = self._sums.slabs.setdefault(metric, {})
        for number, image, check in rows:
            if not isinstance(image, bytes) or check != checksum("slabs", number, image):
                raise Damaged(f"the checksum of row {number} of slabs is wrong")
            sums[number - first] = check
            self._sums.total += check
            yield number - first, image

    def read_logs(self) -> dict[str, Record]:
        found = {}
        for key, text, check in self._connection.execute("SELECT key, record, checksum FROM logs"):
            found[key] = _parsed("logs", key, text, check)
            self._sums.logs[key] = check
            self._sums.total += check
        return found

    def read_instant(self) -> Record | None:
        """What is kept of the instant besides the rows; None before the first save."""
        row = self._connection.execute("SELECT record, checksum FROM instant WHERE id = 1").fetchone()
        return None if row is None else _parsed("instant", 1, *row)

    def verify(self) -> None:
        """Raises Damaged unless exactly the rows of the instant have been read."""
        instant = self.read_instant()
        expected = (0, 0) if instant is None else (instant.get("rows"), instant.get("sum"))
        if (self._sums.count(), self._sums.total & _SUM) != expected:
            raise Damaged("rows are missing, or are not those of one instant")
        if self._one("SELECT (SELECT count(*) FROM slabs) + (SELECT count(*) FROM metrics)") != (
            self._sums.count() - len(self._sums.logs)
        ):
            raise Damaged("there are rows of no metric")

    # --- writing -----------------------------------------------------------------------------------------------------

    def is_there(self) -> bool:
        """Whether the path still leads to the open file."""
        try:
            return os.stat(self.path).st_ino == self._file
        except FileNotFoundError:
            return False

    def write(self, changes: Changes) -> Written:
        """Write an instant, completely or not at all.  Raises sqlite3.Error, and what the iterables raise."""
        writing = _Writing(self._connection, self._sums)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            if self._version != VERSION:
                self._connection.execute(f"PRAGMA user_version = {VERSION}")
            writing.write(changes)
            self._commit(writing)
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            raise
        self._version = VERSION
        self._sums = writing.sums_after()
        return Written(writing.rows, writing.bytes)

    def _commit(self, writing: _Writing) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction or self.read_instant() != writing.instant:
                raise

    def close(self) -> None:
        self._connection.close()


class _Writing:
    """One transaction: what it wrote, and the checksums that hold once it is committed."""

    def __init__(self, connection: sqlite3.Connection, before: _Sums) -> None:
        self._connection = connection
        self._before = before
        self._metrics: dict[int, int] = {}
        self._gone: set[int] = set()
        self._slabs: dict[int, dict[int, int | None]] = {}
        self._logs: dict[str, int | None] = {}
        self._total = before.total
        self._count = before.count()
        self.instant: Record = {}
        self.rows = 0
        self.bytes = 0

    def write(self, changes: Changes) -> None:
        self._write_metrics(changes.metrics)
        self._write_slabs(changes.slabs)
        self._write_logs(changes.logs)
        self.instant = {**changes.about, "rows": self._count, "sum": self._total & _SUM}
        text = _text(self.instant)
        row = (1, text, checksum("instant", 1, text.encode()))
        self._connection.execute("INSERT OR REPLACE INTO instant VALUES (?, ?, ?)", row)
        self._wrote(text)

    def _wrote(self, content: str | bytes) -> None:
        self.rows += 1
        self.bytes += len(content)

    def _exchange(self, old: int | None, new: int | None) -> None:
        """Keep the number and the sum of checksums."""
        self._total += (new or 0) - (old or 0)
        self._count += (new is not None) - (old is not None)

    def _write_metrics(self, metrics: Mapping[int, Record]) -> None:
        before = self._before
        for number, record in metrics.items():
            text = _text(record)
            check = checksum("metrics", number, text.encode())
            if before.metrics.get(number) == check:
                continue
            self._connection.execute("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?)", (number, text, check))
            self._exchange(before.metrics.get(number), check)
            self._metrics[number] = check
            self._wrote(text)
        for number in before.metrics.keys() - metrics.keys():
            first = number << GROUP_BITS
            self._connection.execute("DELETE FROM metrics WHERE number = ?", (number,))
            self._connection.execute("DELETE FROM slabs WHERE id >= ? AND id < ?", (first, first + (1 << GROUP_BITS)))
            self._gone.add(number)
            for old in (before.metrics[number], *before.slabs.get(number, {}).values()):
                self._exchange(old, None)

    def _write_slabs(self, slabs: Iterable[Slabs]) -> None:
        emptied = []

        def rows() -> Iterator[tuple[int, bytes, int]]:
            for metric, group, image in slabs:
                key = metric << GROUP_BITS | group
                check = None if image is None else checksum("slabs", key, image)
                self._exchange(self._before.slabs.get(metric, {}).get(group), check)
                self._slabs.setdefault(metric, {})[group] = check
                if image is None or check is None:
                    emptied.append((key,))
                else:
                    self._wrote(image)
                    yield key, image, check

        self._connection.executemany("INSERT OR REPLACE INTO slabs VALUES (?, ?, ?)", rows())
        self._connection.executemany("DELETE FROM slabs WHERE id = ?", emptied)

    def _write_logs(self, logs: Mapping[str, Record | None]) -> None:
        for key, record in logs.items():
            if record is None:
                check = None
                self._connection.execute("DELETE FROM logs WHERE key = ?", (key,))
            else:
                text = _text(record)
                check = checksum("logs", key, text.encode())
                self._connection.execute("INSERT OR REPLACE INTO logs VALUES (?, ?, ?)", (key, text, check))
                self._wrote(text)
            self._exchange(self._before.logs.get(key), check)
            self._logs[key] = check

    def sums_after(self) -> _Sums:
        """Changes the sums that it was given."""
        sums = self._before
        sums.metrics.update(self._metrics)
        for number in self._gone:
            del sums.metrics[number]
            sums.slabs.pop(number, None)
        for metric, slabs in self._slabs.items():
            _update(sums.slabs.setdefault(metric, {}), slabs)
        _update(sums.logs, self._logs)
        sums.total = self._total
        return sums


def _update(sums: dict[Any, int], changes: Mapping[Any, int | None]) -> None:
    for key, check in changes.items():
        if check is None:
            sums.pop(key, None)
        else:
            sums[key] = check


def reason(error: Exception) -> str:
    """What is wrong, for messages."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)


def is_damage(error: Exception) -> bool:
    """Whether the error means that the file is damaged, and not that the disk is full or the like."""
    if isinstance(error, Damaged):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    kinds = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR)
    if code is None:  # not of SQLite itself: a text that is not UTF-8
        return isinstance(error, sqlite3.Error)
    return code & 0xFF in (*kinds, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_SCHEMA)


def move_aside(directory: str) -> str:
    """Rename what is at the path, so that a new one can be made; the new name.  Raises StateError."""
    path = os.path.join(directory, NAME)
    stem = f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    aside, more = stem, 1
    while os.path.lexists(aside):
        more += 1
        aside = f"{stem}-{more}"
    try:
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(path + suffix, aside + suffix)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}-shm")
        _sync(directory)
    except OSError as error:
        raise StateError(f"{path} is damaged and cannot be moved aside: {reason(error)}") from None
    return aside


def _connect(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _sync(directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _text(record: Record) -> str:
    return json.dumps(record, sort_keys=True, separators=(",", ":"))


def _parsed(table: str, key: int | str, text: object, check: object) -> Record:
    if not isinstance(text, str) or check != checksum(table, key, text.encode("utf-8", "surrogatepass")):
        raise Damaged(f"the checksum of row {key} of {table} is wrong")
    record = json.loads(text)
    if not isinstance(record, dict):
        raise Damaged(f"row {key} of {table} is no record")
    return record
