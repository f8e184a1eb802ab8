"""Metrics as records: what identifies them, and how their series are kept."""

from __future__ import annotations

from hashlib import blake2b

from nativemtail._core import Delta, Metric, restore_series
from nativemtail.state.database import LAST_METRIC, Damaged, Database, Record, Slabs

_FIELDS = {
    "name": str,
    "program": str,
    "version": str,
    "kind": int,
    "type": int,
    "keys": list,
    "source": str,
    "buckets": list,
    "limit": int,
    "hidden": bool,
    "help": str,
    "unit": str,
    "labels": list,
    "place": int,
    "head": int,
    "count": int,
}
"""The fields of a metric's record, and their types; for `head` and `count` see `_core.Delta`."""


def version_of(text: bytes) -> str:
    """What stands for the text of a program in `Metric.version`."""
    return blake2b(text, digest_size=16).hexdigest()


def records(delta: Delta) -> dict[int, Record]:
    """All metrics of the instant, by number."""
    return {
        number: {
            "name": metric.name,
            "program": metric.program,
            "version": metric.version,
            "kind": metric.kind,
            "type": metric.type,
            "keys": list(metric.keys),
            "source": metric.source,
            "buckets": list(metric.buckets),
            "limit": metric.limit,
            "hidden": metric.hidden,
            "help": metric.help,
            "unit": metric.unit,
            "labels": [list(label) for label in metric.labels],
            "place": place,
            "head": head,
            "count": count,
        }
        for place, (number, metric, head, count) in enumerate(delta.metrics())
    }


def slabs(delta: Delta) -> list[Slabs]:
    """What changed, all of it encoded: the copies in the delta can be released then."""
    return [
        (number, group, image)
        for place, (number, *_) in enumerate(delta.metrics())
        for group, image in delta.slabs(place)
    ]


def restore(database: Database) -> list[Metric]:
    """All metrics with their series, in order.  Raises Damaged, and what the database raises."""
    found = database.read_metrics()
    for number, record in found.items():
        _check(number, record)
    ordered = sorted(found.items(), key=lambda item: item[1]["place"])
    return [_restored(database, number, record) for number, record in ordered]


def _check(number: int, record: Record) -> None:
    if not 0 < number < LAST_METRIC or record.keys() != _FIELDS.keys():
        raise Damaged(f"metric {number} has other fields")
    for name, kind in _FIELDS.items():
        if type(record[name]) is not kind:
            raise Damaged(f"{name} of metric {number} is wrong")
    if not (0 <= record["head"] < 1 << 32 and 0 <= record["count"] < 1 << 31 and abs(record["limit"]) < 1 << 63):
        raise Damaged(f"a number of metric {number} is wrong")


def _restored(database: Database, number: int, record: Record) -> Metric:
    try:
        metric = Metric(
            record["name"],
            record["program"],
            record["kind"],
            record["type"],
            record["keys"],
            record["source"],
            record["buckets"],
            record["limit"],
            record["hidden"],
            record["version"],
            record["help"],
            record["unit"],
            [(name, value) for name, value in record["labels"]],
        )
        restore_series(metric, number, record["head"], record["count"], database.read_slabs(number))
    except (TypeError, ValueError, OverflowError) as error:
        raise Damaged(str(error)) from None
    return metric
