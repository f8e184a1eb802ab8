"""What earlier versions wrote is read: the databases are made without the package, so that they stay as they are."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import struct
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from kept import Run, opened, shown, store_of

from nativemtail._core import BUCKETS, COUNTER, FLOAT, GAUGE, HISTOGRAM, INT, STRING, TEXT
from nativemtail.io.position import Position
from nativemtail.io.saved import Saved
from nativemtail.state.database import VERSION

SCHEMA_1 = """
    PRAGMA application_id = 1852666977;
    PRAGMA user_version = 1;
    CREATE TABLE instant (id INTEGER PRIMARY KEY CHECK (id = 1), record TEXT NOT NULL, checksum INTEGER NOT NULL);
    CREATE TABLE metrics (number INTEGER PRIMARY KEY, record TEXT NOT NULL, checksum INTEGER NOT NULL);
    CREATE TABLE slabs (id INTEGER PRIMARY KEY, image BLOB NOT NULL, checksum INTEGER NOT NULL);
    CREATE TABLE logs (key TEXT PRIMARY KEY, record TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
"""


def checksum_1(table: str, key: int | str, content: bytes) -> int:
    return crc32(f"{table}\n{key}\n".encode() + content)


def metric_1(place: int, name: str, kind: int, type: int, keys: list[str], series: int, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "program": "p.mtail",
        "version": "0123",
        "kind": kind,
        "type": type,
        "keys": keys,
        "source": f"p.mtail:{place}:1-2",
        "buckets": [],
        "limit": 0,
        "hidden": False,
        "help": "",
        "unit": "",
        "labels": [["site", "x"]],
        "place": place,
        "head": 0,
        "count": series,
        **more,
    }


def varint(number: int) -> bytes:
    out = b""
    while number >= 128:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def series_1(following: int, labels: list[bytes], later: int, expiry: int, value: bytes) -> bytes:
    """`following` slots to the next series, 0 for none; `later` than the series before it."""
    key = b"".join(bytes([len(label)]) + label for label in labels)
    return varint(2 * following) + key + varint(2 * later) + varint(expiry) + value


def slab_1(used: int, *series: bytes) -> bytes:
    """A group has up to four, of 64 slots each; slabs are empty where others follow."""
    return struct.pack("<Q", used) + b"".join(series)


METRICS_1 = {
    1: metric_1(1, "lines", COUNTER, INT, [], 1),
    3: metric_1(0, "hosts", COUNTER, INT, ["host", "code"], 4),
    4: metric_1(2, "load", GAUGE, FLOAT, [], 1, hidden=True, limit=7),
    5: metric_1(3, "version", TEXT, STRING, [], 1),
    6: metric_1(4, "seconds", HISTOGRAM, BUCKETS, [], 1, buckets=[0.0, 0.5, 2.0]),
}
SLABS_1 = {
    (1, 0): slab_1(1, series_1(0, [], 10, 0, varint(2 * 1234))),
    # Slot 1 and the second slab are free; the last series but one is in the third slab, the last one in another group.
    (3, 0): slab_1(
        0b101,
        series_1(2, [b"a", b"200"], 20, 0, varint(2 * 5)),
        series_1(126, [b"\xc3\xa9", b""], 1, 3_600_000_000_000, varint(2 * 7 - 1)),
    )
    + slab_1(0)
    + slab_1(1, series_1(128, [b"b", b"500"], 1, 0, varint(2 * 2**62))),
    (3, 1): slab_1(1, series_1(0, [b"c", b"c"], 23, 0, varint(2))),
    (4, 0): slab_1(1, series_1(0, [], 30, 0, struct.pack("<d", -0.25))),
    (5, 0): slab_1(1, series_1(0, [], 40, 0, varint(3) + b"1.7")),
    (6, 0): slab_1(1, series_1(0, [], 50, 0, varint(300) + struct.pack("<d", 123.5) + b"\x01\xab\x02\x00")),
}
LOGS_1 = {
    "": {"kind": "tail", "started": 7, "patterns": ["/var/log/*"]},
    "/var/log/\\xff": {
        "kind": "log",
        "path": "/var/log/\udcff",
        "present": {
            "path": "/var/log/\udcff",
            "file": [1, 2, 3],
            "at": [2000, 1024, 11, 1024, 12],
            "seen": 2005,
            "in_cut_line": False,
            "is_done": False,
        },
        "rotated": [],
        "past": [[700, 700, 13, 700, 13]],
    },
}


def write_1(directory: Path) -> None:
    """A database as version 1 left it at its end."""
    rows: list[tuple[str, int | str, str | bytes]] = [
        *(("metrics", number, json.dumps(record)) for number, record in METRICS_1.items()),
        *(("slabs", metric << 26 | group, image) for (metric, group), image in SLABS_1.items()),
        *(("logs", key, json.dumps(record)) for key, record in LOGS_1.items()),
    ]
    sums = 0
    with contextlib.closing(sqlite3.connect(directory / "state.db", isolation_level=None)) as made:
        made.executescript(SCHEMA_1)
        for table, key, content in rows:
            check = checksum_1(table, key, content.encode() if isinstance(content, str) else content)
            made.execute(f"INSERT INTO {table} VALUES (?, ?, ?)", (key, content, check))
            sums += check
        instant = json.dumps({"time": 99, "nativemtail": "0.1.0", "rows": len(rows), "sum": sums & (1 << 63) - 1})
        made.execute("INSERT INTO instant VALUES (1, ?, ?)", (instant, checksum_1("instant", 1, instant.encode())))


@pytest.mark.parametrize("write", [write_1])
def test_every_version_is_read(write: Any, tmp_path: Path) -> None:
    write(tmp_path)
    state = opened(tmp_path)
    try:
        assert state.damaged == ""
        (log,) = Saved.of(state.kept.records).logs.values()
        assert log.present is not None
        assert log.present.position == Position(2000, 1024, 11, 1024, 12)
        assert log.past == (Position(700, 700, 13, 700, 13),)
        assert state.kept.logs == LOGS_1
        assert state.kept.time == 99
        found = shown(store_of(state.kept.metrics))
    finally:
        state.database.close()
        state.lock.close()

    def declared(name: str, kind: int, type: int, place: int, **more: Any) -> tuple[Any, ...]:
        keys = more.get("keys", ())
        rest = more.get("buckets", ()), more.get("limit", 0), more.get("hidden", False), "0123"
        added = "", "", (("site", "x"),)
        return name, "p.mtail", kind, type, keys, f"p.mtail:{place}:1-2", *rest, *added

    assert found == [
        (
            declared("hosts", COUNTER, INT, 0, keys=("host", "code")),
            [
                (("a", "200"), 5, 20, 0, 0, 0.0, ()),
                (("é", ""), -7, 21, 3_600_000_000_000, 0, 0.0, ()),
                (("b", "500"), 2**62, 22, 0, 0, 0.0, ()),
                (("c", "c"), 1, 23, 0, 0, 0.0, ()),
            ],
        ),
        (declared("lines", COUNTER, INT, 1), [((), 1234, 10, 0, 0, 0.0, ())]),
        (declared("load", GAUGE, FLOAT, 2, limit=7, hidden=True), [((), -0.25, 30, 0, 0, 0.0, ())]),
        (declared("version", TEXT, STRING, 3), [((), b"1.7", 40, 0, 0, 0.0, ())]),
        (
            declared("seconds", HISTOGRAM, BUCKETS, 4, buckets=(0.0, 0.5, 2.0)),
            [((), None, 50, 0, 300, 123.5, ((0.5, 1), (2.0, 299), (float("inf"), 0)))],
        ),
    ]


@pytest.mark.parametrize("write", [write_1])
def test_an_earlier_version_is_written_on_as_the_present_one(write: Any, tmp_path: Path) -> None:
    write(tmp_path)
    before = version_of(tmp_path)
    with Run(tmp_path) as run:
        wanted = shown(run.store)
        assert version_of(tmp_path) == before != VERSION  # reading changes nothing
        run.logs = {"/new": {"offset": 1}}
        assert run.saver.save()
    assert version_of(tmp_path) == VERSION
    with Run(tmp_path) as run:
        assert run.opened.damaged == ""
        assert shown(run.store) == wanted
        assert run.opened.kept.logs == {**LOGS_1, "/new": {"offset": 1}}


def version_of(directory: Path) -> int:
    with contextlib.closing(sqlite3.connect(directory / "state.db")) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        return int(version)
