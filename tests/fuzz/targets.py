"""What is fuzzed: each target takes bytes, and raises where something that must hold does not.

`run.py` feeds them under atheris, which looks for inputs that reach new code; `test_targets.py` runs the seeds through
them.  An input means the same in every process, so that one that was found can be run again.
"""

from __future__ import annotations

import atexit
import functools
import json
import logging
import re
import shutil
import socket
import tempfile
from collections.abc import Callable
from typing import Any

import mutate
import sites
from engines import Machine, with_metrics

from nativemtail._render import Page, View
from nativemtail.compiler import CompileError, Program, compile_program, disasm
from nativemtail.compiler.regex.error import RegexError
from nativemtail.compiler.regex.parser import parse
from nativemtail.compiler.regex.tree import to_string
from nativemtail.http.limits import Limits
from nativemtail.http.server import Server
from nativemtail.io.octets import OctetFraming

STATUSES = {100, 200, 301, 400, 404, 405, 408, 413, 421, 431, 501, 505}
"""Those that a peer may get: nothing that it sends makes a page fail."""
LONGEST = 4096
"""Bytes of an input; what is longer is cut."""


# --- the compiler ---------------------------------------------------------------------------------------------


def program(data: bytes) -> None:
    """A program compiles, always to the same, or has errors in words."""
    try:
        first = compile_program("p.mtail", data)
    except CompileError as error:
        str(error).encode()
        return
    again = compile_program("p.mtail", data)
    assert disasm.dump(first) == disasm.dump(again)
    assert (first.warnings, first.notes) == (again.warnings, again.notes)


def regex(data: bytes) -> None:
    """A pattern (the first line) parses or has an error in words; what is printed of it is that pattern.

    On the other lines all engines make the same captures of it.
    """
    text, _, lines = data.partition(b"\n")
    try:
        tree = parse(text)
    except RegexError as error:
        str(error).encode()
        return
    printed = to_string(tree).encode("utf-8", "surrogateescape")
    assert to_string(parse(printed)) == to_string(tree)
    source = b"counter c by n\n/(%s)/ {\n  c[$1]++\n}\n" % re.sub(rb"(?s)\\.|/", _slash_escaped, text)
    try:
        _compiled(source)
    except CompileError:  # a pattern that is too long, say
        return
    same_results(source, lines)


def _slash_escaped(match: re.Match[bytes]) -> bytes:
    return rb"\/" if match[0] == b"/" else match[0]


# --- the engine -----------------------------------------------------------------------------------------------


def engine(data: bytes) -> None:
    """The first byte chooses a program, the rest is a block of lines: every way of running it gives the same."""
    texts = _texts()
    same_results(texts[data[0] % len(texts)] if data else texts[0], data[1:])


@functools.cache
def _texts() -> list[bytes]:
    """Programs whose results depend on nothing but the lines."""
    return [text.encode() for text in mutate.corpus() if not re.search(r"\btimestamp\(|\bafter\b", text)][:256]


def same_results(source: bytes, block: bytes) -> None:
    """One block, and the same lines in two, with other engines."""
    cut = block.find(b"\n", len(block) // 2) + 1
    expected = _outcome(_machine(source, prefiltered=False, jit=False), block)
    assert _outcome(_machine(source), block) == expected
    assert _outcome(_machine(source, prefiltered=False), block[:cut], block[cut:]) == expected


def _machine(source: bytes, **options: bool) -> Machine:
    return Machine(compiled=with_metrics([_compiled(source)]), **options)


@functools.lru_cache(maxsize=300)
def _compiled(source: bytes) -> Program:
    return compile_program("p.mtail", source)


def _outcome(machine: Machine, *blocks: bytes) -> Any:
    for block in blocks:
        if block:
            machine.engine.scan(machine.source, bytearray(block))  # a copy: a sanitizer notices reads past its end
    faults, dropped = machine.engine.faults()
    metrics = json.loads(Page(machine.store.snapshot()).json(False))
    return _without_times(metrics), [(fault.line, fault.input, fault.message) for fault in faults], dropped


def _without_times(metrics: Any) -> Any:
    """The clock's times of two runs differ; those that a program sets are in years when nobody fuzzed."""
    if isinstance(metrics, dict):
        return {key: _without_times(value) for key, value in metrics.items() if key != "Time"}
    return [_without_times(value) for value in metrics] if isinstance(metrics, list) else metrics


# --- fields ------------------------------------------------------------------------------------------------------


_METRICS = {"c": "counter c by k\n", "d": "counter d by k, l\n", "g": "gauge g by k\n"}
FIELD_PROGRAMS = tuple(
    ("".join(line for name, line in _METRICS.items() if f"{name}[" in text) + text).encode()
    for text in (
        'json "a" as x optional {\n  c["object"]++\n}\njson a {\n  c["a"]++\n}\n',
        'json a, b.c as x optional, b[1] as y optional, "/b/0" as z optional {\n  d[$a][$z]++\n  d[$x][$y]++\n}\n',
        "json a int, b float optional {\n  g[$a] = $a\n  g[$b] = $b\n}\n",
        "every json a[].b, a[].c int optional, d optional {\n  d[$b][$d]++\n  c[$b] += $c\n} else {\n  c[$d]++\n}\n",
        "every json a[] as e, a[1] as x optional {\n  c[$x]++\n  every $e =~ json b[] as f {\n    c[$f]++\n  }\n}\n",
        'logfmt a, b.c int optional, "d-e" as x optional {\n  d[$a][$x]++\n  g[$a] = $c\n}\n',
        "csv 1 as a, 3 int as b optional {\n  d[$a][$b]++\n  g[$a] = $b\n}\n",
        'csv separator ";" 2 as a {\n  $a =~ json b, e[0] as x {\n    d[$b][$x]++\n  }\n}\n',
        'csv separator ";" 2 as a {\n  $a =~ logfmt b {\n    c[$b]++\n  }\n}\n',
        "every /a.*?z|\\w*|;\\b/ {\n  c[$0]++\n  every $0 =~ /./ {\n    d[$0][$0]++\n  }\n}\n",
        'every /"(\\w*)"/ {\n  (subst("a", "{\\"b\\":", $1) + "}") =~ json b {\n    c[$b]++\n  }\n}\n',
    )
)


def fields(data: bytes) -> None:
    """The first byte chooses a program with fields or `every`, the rest is a block of lines, which are read alike.

    Which of them are JSON is what Python says, unless they are nested deeper than Python reads.
    """
    number, block = data[0] if data else 0, data[1:]
    same_results(FIELD_PROGRAMS[number % len(FIELD_PROGRAMS)], block)
    lines = [line for line in block.split(b"\n")[:-1] if line.count(b"[") + line.count(b"{") < 500]
    objects = [found for line in lines if (found := _object(line.removesuffix(b"\r"))) is not None]
    machine = _machine(FIELD_PROGRAMS[0])
    if lines:
        machine.engine.scan(machine.source, bytearray(b"\n".join(lines) + b"\n"))
    expected = {("object",): len(objects), ("a",): sum(found.get("a") is not None for found in objects)}
    assert machine.values("c") == {key: count for key, count in expected.items() if count}


def _object(line: bytes) -> dict[str, Any] | None:
    """The object that a line is, without the constants that only Python knows."""
    try:
        value = json.loads(
            line.decode("utf-8", "surrogateescape"), parse_int=str, parse_float=str, parse_constant=_no_constant
        )
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _no_constant(name: str) -> None:
    raise ValueError(name)


# --- what comes from the network ------------------------------------------------------------------------------


def octets(data: bytes) -> None:
    """Octet counting gives the same lines however the bytes are cut, and never much more than went in."""
    size = data[0] % 32 + 1 if data else 1
    stream = data[1:]
    whole, cut = OctetFraming(), OctetFraming()
    expected = whole.decode(stream) + whole.end()
    out = b""
    for at in range(0, len(stream), size):
        piece = stream[at : at + size]
        got = cut.decode(piece)
        assert len(got) <= len(piece) + cut.HELD
        out += got
    assert out + cut.end() == expected


def http(data: bytes) -> None:
    """Whatever a peer sends, each answer is one of those that the server gives, and nothing fails inside."""
    service = _service()
    size = data[0] * 8 or LONGEST if data else 1
    answers = service.ask([data[at : at + size] for at in range(1, len(data), size)])
    for status in re.findall(rb"^HTTP/1\.1 (\d+) ", answers):
        assert int(status) in STATUSES
    assert service.errors == []


class Service(logging.Handler):
    """A server on a Unix socket with all pages of a site, and the errors that are logged meanwhile."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []
        machine = Machine("counter c by k\n/(\\S+)/ {\n  c[$1]++\n}\n")
        machine.feed(b"a\nb\n\xff\n")
        site = sites.site_of(functools.partial(View, machine.store))
        directory = tempfile.mkdtemp(prefix="nativemtail-fuzz-")
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        self.path = f"{directory}/socket"
        self.server = Server(site.answer, limits=Limits(linger_seconds=0.1))
        self.server.listen_unix(self.path)
        self.server.start()
        atexit.register(self.server.stop, 0)
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.errors.append(record.getMessage())

    def ask(self, pieces: list[bytes]) -> bytes:
        """What the server sends until it closes."""
        answers = []
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(120)
            peer.connect(self.path)
            try:
                for piece in pieces:
                    peer.sendall(piece)
                peer.shutdown(socket.SHUT_WR)
                while data := peer.recv(65536):
                    answers.append(data)
            except (BrokenPipeError, ConnectionResetError):  # it has answered, and read no further
                pass
        return b"".join(answers)


_service = functools.cache(Service)

TARGETS: dict[str, Callable[[bytes], None]] = {
    "program": program,
    "regex": regex,
    "engine": engine,
    "fields": fields,
    "octets": octets,
    "http": http,
}
