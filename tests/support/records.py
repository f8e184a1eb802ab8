"""`record` statements in Python: which records lines make up, without regard to speed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import NamedTuple

CRI = re.compile(r"(?P<time>[^ ]+) (?P<stream>stdout|stderr) (?P<tag>[PF])(?::[^ ]*)?(?: (?P<text>.*))?", re.DOTALL)


class Statement(NamedTuple):
    """`longest` is --max_line_length."""

    joined: str = ""
    container: str = ""
    pattern: str = ""
    size: int = 0
    separator: str = ","
    most: int = 1000
    longest: int = 1024 * 1024

    def __str__(self) -> str:
        words = ["record", self.container, self.joined]
        if self.joined == "lines":
            words.append(str(self.size))
        elif self.joined == "csv":
            words.append(f'separator "{self.separator}"')
        elif self.joined:
            words.append(f"/{self.pattern}/")
        return " ".join([*filter(None, words), f"max {self.most} lines"])


class Record(NamedTuple):
    text: str
    stream: str | None = None
    logtime: str | None = None


@dataclass
class _Stream:
    stream: str | None = None
    parts: list[str] = field(default_factory=list)
    part_time: str | None = None
    lines: list[str] = field(default_factory=list)
    logtime: str | None = None
    begun: int = 0


class Assembler:
    """Collects `records`; `cuts` counts those that reached a limit."""

    def __init__(self, statement: Statement) -> None:
        self.statement = statement
        self.streams: dict[str | None, _Stream] = {}
        self.records: list[Record] = []
        self.cuts = 0
        self._begun = 0

    def line(self, line: str) -> None:
        if not self.statement.container:
            self._join(self.streams.setdefault(None, _Stream()), line)
            return
        part = _cri(line) if self.statement.container == "cri" else _docker(line)
        if part is None:
            self.records.append(Record(line))
        else:
            self._part(*part)

    def end(self) -> None:
        for stream in sorted(self.streams.values(), key=lambda stream: stream.begun):
            if stream.parts:
                self._message(stream)
            if stream.lines:
                self._record(stream)

    def _part(self, name: str | None, time: str | None, text: str, is_last: bool) -> None:
        stream = self.streams.setdefault(name, _Stream(name))
        length = _size("".join([*stream.parts, text]))
        if stream.parts and (len(stream.parts) == self.statement.most or length > self.statement.longest):
            self.cuts += 1
            self._message(stream)
        if not stream.parts and not stream.lines:
            self._begun += 1
            stream.begun = self._begun
        stream.parts.append(text)
        stream.part_time = time
        if is_last:
            self._message(stream)

    def _message(self, stream: _Stream) -> None:
        text = "".join(stream.parts)
        if self.statement.container == "docker" and text.endswith("\n"):
            text = text[:-1].removesuffix("\r")
        stream.parts.clear()
        if self.statement.joined:
            self._join(stream, text)
        else:
            self.records.append(Record(text, stream.stream, stream.part_time))

    def _join(self, stream: _Stream, line: str) -> None:
        statement = self.statement
        fits = bool(statement.pattern) and is_found(statement.pattern, line)
        if stream.lines:
            begins = (statement.joined == "start" and fits) or (statement.joined == "continue" and not fits)
            length = _size("\n".join([*stream.lines, line]))
            if not begins and (len(stream.lines) == statement.most or length > statement.longest):
                self.cuts += 1
                begins = True
            if begins:
                self._record(stream)
        stream.lines.append(line)
        stream.logtime = stream.part_time
        if (
            (statement.joined == "end" and fits)
            or (statement.joined == "lines" and len(stream.lines) == statement.size)
            or (statement.joined == "csv" and not _is_open("\n".join(stream.lines), statement.separator))
        ):
            self._record(stream)

    def _record(self, stream: _Stream) -> None:
        self.records.append(Record("\n".join(stream.lines).removesuffix("\n"), stream.stream, stream.logtime))
        stream.lines.clear()


def _size(text: str) -> int:
    return len(text.encode())


def is_found(pattern: str, text: str) -> bool:
    """Whether a pattern of Go's, written so that Python reads it alike but for its ends, matches."""
    return re.search(re.sub(r"\$$|\\z$", r"\\Z", pattern), text) is not None


def _cri(line: str) -> tuple[str, str, str, bool] | None:
    found = CRI.fullmatch(line)
    return None if found is None else (found["stream"], found["time"], found["text"] or "", found["tag"] == "F")


def _docker(line: str) -> tuple[str | None, str | None, str, bool] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("log"), str):
        return None
    stream, time = (value if isinstance(value := entry.get(name), str) else None for name in ("stream", "time"))
    return stream, time, entry["log"], entry["log"].endswith("\n")


def _is_open(text: str, separator: str) -> bool:
    """Whether a quote of CSV is open at the end."""
    at = 0
    while True:
        if text.startswith('"', at):
            closing = re.compile(r'(?:[^"]|"")*"(?!")').match(text, at + 1)
            if closing is None:
                return True
            at = closing.end()
        # Another field, or what follows a quote, ends at a separator, or at the end of a line outside of quotes.
        ends = [end for end in (text.find(separator, at), text.find("\n", at)) if end >= 0]
        if not ends:
            return False
        at = min(ends) + 1
