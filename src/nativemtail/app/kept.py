"""`nativemtail state`: what is kept in a directory of `--state_dir`, as text, and which parts are to be forgotten."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from nativemtail.gotext import go_quote
from nativemtail.io.saved import Saved, SavedLog, SavedSegment, key_of
from nativemtail.state.contents import Contents, look
from nativemtail.state.contents import forget as forget_in
from nativemtail.state.database import Record
from nativemtail.state.lock import StateError

_SCHEME = "zstd://"


def show(directory: str) -> str:
    """A text.  Raises StateError."""
    contents = look(directory)
    saved = _logs_of(directory, contents)
    return "".join(f"{line}\n" for line in _lines(contents, saved))


def forget(directory: str, logs: Sequence[str], programs: Sequence[str]) -> str:
    """Forget the positions of these logs, and all metrics of these programs; what was done.  Raises StateError."""
    paths = [log if log.startswith(_SCHEME) else os.path.abspath(log) for log in logs]
    before: list[Contents] = []

    def choose(contents: Contents) -> Contents:
        before.append(contents)
        keys = _keys(directory, contents, paths)
        for name in programs:
            if not any(record["program"] == name for record in contents.metrics.values()):
                raise StateError(f"there is nothing of a program {go_quote(name)} in {directory}")
        return contents._replace(
            metrics={n: record for n, record in contents.metrics.items() if record["program"] not in programs},
            logs={key: record for key, record in contents.logs.items() if key not in keys},
            about=_without(contents.about, paths),
        )

    after = forget_in(directory, choose)
    return f"forgot {_difference(before[0], after)}\n"


def _without(about: Record, logs: Collection[str]) -> Record:
    """What is kept with an instant, without the unfinished records of these logs."""
    left = [record for record in about.get("unfinished", []) if record["log"] not in logs]
    return {**about, "unfinished": left}


def _difference(before: Contents, after: Contents) -> str:
    metrics = len(before.metrics) - len(after.metrics)
    series = _series(before) - _series(after)
    return f"{metrics} metrics with {series} label sets, and {len(before.logs) - len(after.logs)} positions"


def _series(contents: Contents) -> int:
    return sum(record["count"] for record in contents.metrics.values())


def _keys(directory: str, contents: Contents, paths: Collection[str]) -> set[str]:
    """The keys of the records of these logs.  Raises StateError for a path without one."""
    saved = _logs_of(directory, contents)
    keys: set[str] = set()
    for path in paths:
        found: list[SavedLog | SavedSegment] = [*saved.segments.get(path, {}).values()]
        if path in saved.logs:
            found.append(saved.logs[path])
        if not found:
            raise StateError(f"there is nothing of a log {go_quote(path)} in {directory}")
        keys.update(map(key_of, found))
    return keys


def _logs_of(directory: str, contents: Contents) -> Saved:
    try:
        return Saved.of(contents.logs)
    except ValueError as error:
        raise StateError(f"the state in {directory} cannot be read: {error}") from None


def _lines(contents: Contents, saved: Saved) -> Iterator[str]:
    yield _when(contents)
    yield ""
    yield from _table(("offset", "file", "log"), _positions(saved))
    yield ""
    series: Counter[tuple[str, str, str]] = Counter()
    for record in contents.metrics.values():
        series[record["program"], record["name"], "hidden" if record["hidden"] else ""] += record["count"]
    rows = [(str(n), _shown(program), f"{_shown(name)} {hidden}") for (program, name, hidden), n in series.items()]
    yield from _table(("series", "program", "metric"), rows)


def _when(contents: Contents) -> str:
    if not contents.about:
        return "nothing is saved yet"
    seconds = contents.about["time"] / 1e9
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
    by = contents.about.get("nativemtail", "unknown")
    return f"saved {moment} UTC, {max(0, round(time.time() - seconds))} s ago, by nativemtail {by}"


def _positions(saved: Saved) -> Iterator[tuple[str, str, str]]:
    """Offset, file and log of all that is not counted to its end, and of what logs have now."""
    for name, log in sorted(saved.logs.items()):
        for place in log.places:
            yield str(place.position.offset), _shown(place.path), _shown(name) if name != place.path else ""
        if not log.places:
            yield "-", "-", _shown(name)
    for source, segments in sorted(saved.segments.items()):
        for segment in sorted(segments.values(), key=lambda segment: segment.name):
            if not segment.is_done:
                yield str(segment.offset), _shown(segment.name), _shown(source)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """The first column is of numbers."""
    table = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for number, *texts in table:
        yield "  ".join([number.rjust(widths[0]), *map(str.ljust, texts, widths[1:])]).rstrip()


def _shown(text: str) -> str:
    """A name on the terminal: as it is, if it can be printed."""
    return text if text.isprintable() else go_quote(text)
