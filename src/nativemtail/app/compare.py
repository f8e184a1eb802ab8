"""`nativemtail compare`: do a running mtail and a running nativemtail count the same?

Both pages are fetched while lines flow, so ours is fetched before and after mtail's: a value that only grows is equal
if mtail's lies between the two, and the comparison is repeated for values that changed meanwhile.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from nativemtail._core import COUNTER, HISTOGRAM
from nativemtail.compiler.abi import MetricKind, ValueType

TIMEOUT = 10.0
MAX_PAGE = 1 << 30
_HEALTHY = b"nativemtail "

_KINDS = {int(kind): kind.name.lower() for kind in MetricKind}
_TYPES = {int(type): type.name.title() for type in ValueType}
_SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)((?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?) ')
_COMMENT = re.compile(r"# (?:HELP|TYPE) (\S+) ")


class CompareError(Exception):
    """A page cannot be fetched; the text says which and why."""


class Identity(NamedTuple):
    """The declaration of a metric, without its values."""

    program: str
    name: str
    kind: int
    type: int
    keys: tuple[str, ...]

    def __str__(self) -> str:
        kind = _KINDS.get(self.kind, self.kind)
        value = _TYPES.get(self.type, self.type)
        by = f" by {', '.join(self.keys)}" if self.keys else ""
        return f"{self.program}: {kind} {self.name}{by} ({value})"


Labels = tuple[str, ...]
Values = dict[Labels, Any]


class Page(NamedTuple):
    """The metrics of one of the two, and their lines on `/metrics` without the values."""

    metrics: dict[Identity, Values]
    lines: frozenset[str]


class Report(NamedTuple):
    """Differences, one line each; intended ones, one line per metric; and how much was compared."""

    differences: list[str]
    known: list[str]
    metrics: int
    label_sets: int


class Difference(NamedTuple):
    """A difference and its metric; `known` says why it is intended, if it is."""

    text: str
    metric: str
    known: str = ""


_LOWEST = (
    "values at or below the lowest bound are in no range of mtail's (before google/mtail's HEAD), here in the first"
)
_NOT_UTF8 = "mtail leaves label values that are not UTF-8 out of /metrics, here their bytes are U+FFFD"
_LE = "Prometheus refuses mtail's /metrics for a histogram with a key le, here it is left out"


def compare(theirs: str, ours: str, patience: float = 0.0) -> Report:
    """Fetch both pages until they are equal, for at most `patience` seconds.  Raises CompareError.

    Both are URLs, or a host and a port; a page name at the end is ignored.
    """
    theirs, ours = _base(theirs), _base(ours)
    if not _get(ours, "/-/healthy").startswith(_HEALTHY):
        raise CompareError(f"{ours} is no nativemtail: give its URL after mtail's")
    end = time.monotonic() + patience
    while True:
        before = _page(ours)
        middle = _page(theirs)
        after = _page(ours)
        found = list(_differences(before, middle, after))
        differences = [difference.text for difference in found if not difference.known]
        if not differences or time.monotonic() >= end:
            known = dict.fromkeys(f"known: {each.metric}: {each.known}" for each in found if each.known)
            sets = sum(map(len, middle.metrics.values()))
            return Report(differences, list(known), len(middle.metrics), sets)
        time.sleep(min(1.0, max(0.0, end - time.monotonic())))


# --- fetching the pages --------------------------------------------------------------------------------------


def _base(url: str) -> str:
    url = url if "://" in url else f"http://{url}"
    return re.sub(r"(?<=[^/])(/metrics|/json|/)*$", "", url)


def _page(base: str) -> Page:
    metrics: dict[Identity, Values] = {}
    try:
        for entry in json.loads(_get(base, "/json")):
            identity = Identity(
                entry["Program"], entry["Name"], entry["Kind"], entry["Type"], tuple(entry.get("Keys") or ())
            )
            values = metrics.setdefault(identity, {})
            for label_set in entry.get("LabelValues") or ():
                values[tuple(label_set.get("Labels") or ())] = _value(label_set["Value"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CompareError(f"{base}/json is not mtail's JSON: {type(error).__name__}: {error}") from None
    names = {identity.name.replace("-", "_") for identity in metrics}
    text = _get(base, "/metrics").decode("utf-8", "replace")
    return Page(metrics, frozenset(_lines(text, names)))


def _get(base: str, path: str) -> bytes:
    url = base + path
    try:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("not an http or https URL")
        request = urllib.request.Request(url, headers={"Accept": "text/plain"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            body: bytes = answer.read(MAX_PAGE)
            return body
    except urllib.error.HTTPError as error:
        with error:
            detail = error.read(200).decode("utf-8", "replace").strip()
        raise CompareError(f"{url}: {error.code} {error.reason}: {detail}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise CompareError(f"{url}: {getattr(reason, 'strerror', None) or reason}") from None


def _value(value: dict[str, Any]) -> Any:
    """A number or text; for a histogram (count, sum, counts by upper bound)."""
    if "Buckets" in value:
        return value["Count"], value["Sum"], tuple(sorted(value["Buckets"].items()))
    return value["Value"]


def _lines(text: str, names: set[str]) -> Iterator[str]:
    """The lines of these families on the page: comments unchanged, samples without values."""
    for line in text.splitlines():
        comment = _COMMENT.match(line)
        sample = _SAMPLE.match(line)
        if comment and comment[1] in names:
            yield line
        elif sample and (sample[1] in names or re.sub("_(bucket|sum|count)$", "", sample[1]) in names):
            yield sample[1] + sample[2]


# --- the differences -----------------------------------------------------------------------------------------


def _differences(before: Page, theirs: Page, after: Page) -> Iterator[Difference]:
    for identity in sorted(theirs.metrics.keys() | after.metrics.keys()):
        name = f"{identity.program}: {identity.name}"
        if identity not in after.metrics:
            yield Difference(f"only in mtail: {identity}", name)
        elif identity not in theirs.metrics:
            yield Difference(f"only in nativemtail: {identity}", name)
        else:
            yield from _values_of(identity, *(page.metrics.get(identity, {}) for page in (before, theirs, after)))
    if before.metrics.keys() == theirs.metrics.keys() == after.metrics.keys():
        refused = {m.name.replace("-", "_") for m in theirs.metrics if m.kind == HISTOGRAM and "le" in m.keys}
        for line in sorted(theirs.lines - before.lines - after.lines):
            name = _family(line, refused)
            yield Difference(f"only on mtail's /metrics: {line}", name, _LE if name in refused else "")
        for line in sorted((before.lines & after.lines) - theirs.lines):
            known = _NOT_UTF8 if "\ufffd" in line and not line.startswith("#") else ""
            yield Difference(f"only on nativemtail's /metrics: {line}", _family(line, refused), known)


def _family(line: str, histograms: set[str]) -> str:
    """The family of a line of /metrics if it belongs to one of these histograms, else the sample's name."""
    comment = _COMMENT.match(line)
    name = comment[1] if comment else line.partition("{")[0]
    base = re.sub("_(bucket|sum|count)$", "", name)
    return base if base in histograms else name


def _values_of(identity: Identity, before: Values, theirs: Values, after: Values) -> Iterator[Difference]:
    for labels in sorted(before.keys() | theirs.keys() | after.keys()):
        name = identity.name + (
            "{" + ",".join(f"{key}={value!r}" for key, value in zip(identity.keys, labels, strict=False)) + "}"
            if labels
            else ""
        )
        where = f"{identity.program}: {name}"
        metric = f"{identity.program}: {identity.name}"
        if labels not in theirs:
            if labels in before and labels in after:
                yield Difference(f"only in nativemtail: {where} {_text(after[labels])}", metric)
        elif labels not in before and labels not in after:
            yield Difference(f"only in mtail: {where} {_text(theirs[labels])}", metric)
        elif not _fits(identity, before.get(labels), theirs[labels], after.get(labels)):
            ours = after.get(labels, before.get(labels))
            text = f"differs: {where} is {_text(theirs[labels])} in mtail, {_text(ours)} in nativemtail"
            low = _is_lowest(identity, before.get(labels), theirs[labels], after.get(labels))
            yield Difference(text, metric, _LOWEST if low else "")


def _is_lowest(identity: Identity, before: Any, theirs: Any, after: Any) -> bool:
    """Whether two histograms differ only by the values that mtail counts in no bucket."""
    if identity.kind != HISTOGRAM or before is None or after is None:
        return False
    count, _, ranges = theirs
    missing = count - sum(dict(ranges).values())
    return missing > 0 and _fits(identity, before, _with_lowest(theirs, missing), after)


def _with_lowest(value: Any, more: int) -> Any:
    """The histogram with `more` added to its first bucket."""
    count, total, ranges = value
    first = min((bound for bound, _ in ranges), key=float)
    return count, total, tuple((bound, n + more * (bound == first)) for bound, n in ranges)


def _fits(identity: Identity, before: Any, theirs: Any, after: Any) -> bool:
    """Whether our value may have been equal to mtail's at some moment between the two pages."""
    if theirs in (before, after):
        return True
    if before is None or after is None or before == after:
        return False
    grows: dict[int, Callable[[Any], Any]] = {
        COUNTER: lambda value: value,
        HISTOGRAM: lambda value: value[0],
    }
    if identity.kind not in grows:
        return True
    low, middle, high = map(grows[identity.kind], (before, theirs, after))
    return bool(low <= middle <= high or high < low)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        count, total, buckets = value
        return f"count {count}, sum {total}, {dict(buckets)}"
    return repr(value)
