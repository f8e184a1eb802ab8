"""What counts as a difference between nativemtail and Debian's mtail, and the known ones."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from machines import Outcome

RECENT = 86400 * 10**9


def excused_verdict(program: str, theirs: str) -> bool:
    """Whether mtail's errors are known to be for what newer ones accept (policy 1 of spec README.md)."""
    reports = [re.sub(r"^\S+: ", "", line) for line in theirs.splitlines() if not line.startswith("\t")]
    return bool(reports) and all(any(newer.search(report) for newer in NEWER) for report in reports)


NEWER = [
    # successor.md §2.5, and patterns of `subst`, which declare nothing any more ([HEAD≠rc50], language.md §4.3)
    re.compile(r"^Redeclaration of capture group"),
    # successor.md §2.8
    re.compile(r"^Can't interpret Bool as a boolean expression here"),
]


def difference(ours: Outcome, theirs: Outcome) -> str:
    """What differs between two outcomes of a program; empty if nothing does."""
    left, right = [marked(metric) for metric in ours.metrics], [marked(metric) for metric in theirs.metrics]
    excuse_lowest_edge(left, right)
    text = ""
    if left != right:
        names = sorted({metric["Name"] for metric in (*left, *right)})
        for name in names:
            a = [metric for metric in left if metric["Name"] == name]
            b = [metric for metric in right if metric["Name"] == name]
            if a != b:
                text += f"mtail:       {shown(b)}\nnativemtail: {shown(a)}\n"
    a, b = faults(ours), faults(theirs)
    if a != b:
        text += f"run-time errors of mtail:       {b}\nrun-time errors of nativemtail: {a}\n"
    return text


def faults(outcome: Outcome) -> list[str]:
    """As many, and as much of each, as nativemtail keeps; which letters are escaped depends on Unicode's version."""
    return [_ESCAPED.sub(lambda match: chr(int(match[1] or match[2], 16)), text)[:500] for text in outcome.faults[:100]]


_ESCAPED = re.compile(r"\\(?:u([0-9a-f]{4})|U00([0-9a-f]{6}))")


def shown(metrics: list[dict[str, Any]]) -> str:
    return json.dumps(metrics, ensure_ascii=False)


def marked(value: Any) -> Any:
    """JSON with "now" for recent times; numbers keep their types."""
    if isinstance(value, dict):
        return {key: now_or(item) if key == "Time" else marked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [marked(item) for item in value]
    return value


def now_or(stamp: int) -> int | str:
    return "now" if abs(stamp - time.time_ns()) < RECENT else stamp


def excuse_lowest_edge(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """runtime.md §5.1 [HEAD≠rc50]: values at or below the lowest edge go into the first range, before into none."""
    for metric in (*ours, *theirs):
        if metric["Kind"] != 5:
            continue
        first = metric["Buckets"][0]["Max"]
        for row in metric.get("LabelValues", []):
            value = row["Value"]
            value["Buckets"] = dict(value["Buckets"])
            value["Buckets"][first] += value["Count"] - sum(value["Buckets"].values())


def has_nonfinite(outcome: Outcome) -> bool:
    """Whether a number is none: mtail's JSON fails altogether then (json-nonfinite)."""
    return any(
        row["Value"].get(key) in ("NaN", "+Inf", "-Inf")
        for metric in outcome.metrics
        if metric["Type"] in (1, 3)
        for row in metric.get("LabelValues", [])
        for key in ("Value", "Sum")
    )


def samples_difference(ours: bytes, theirs: bytes) -> str:
    """The same of two texts in Prometheus form; ranges are compared by `difference`, where they can be."""
    left, right = (
        sorted(line for line in text.decode().splitlines() if not line.startswith("#") and "_bucket{" not in line)
        for text in (ours, theirs)
    )
    return "" if left == right else f"mtail:       {right}\nnativemtail: {left}\n"
