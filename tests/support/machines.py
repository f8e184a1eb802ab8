"""Runs programs over lines with nativemtail, in this process, and with Debian's mtail; results in one form."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from engines import Machine, with_metrics
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from nativemtail._core import TimeZone
from nativemtail._render import Page
from nativemtail.compiler import CompileError, Program, compile_program
from nativemtail.gotext import go_quote
from nativemtail.programs import zones

Programs = Mapping[str, str]
"""Texts by name."""

T = TypeVar("T")

TIMEOUT = 600
LOG = "/var/log/test.log"


@dataclass
class Outcome:
    """What came of one program."""

    metrics: list[dict[str, Any]] = field(default_factory=list)
    """Metric objects as in JSON, sorted by name."""
    faults: list[str] = field(default_factory=list)
    """Quoted input lines of run-time errors."""


# --- nativemtail -------------------------------------------------------------------------------------------------


def compiled(programs: Programs) -> tuple[dict[str, Program], dict[str, str]]:
    """What compiles, and the errors of what does not."""
    good, bad = {}, {}
    for name, text in programs.items():
        try:
            good[name] = compile_program(name, text.encode())
        except CompileError as error:
            bad[name] = str(error)
    return good, bad


class Recorder(Machine):
    """A machine of named programs that have begun, and what has come of them; `options` are those of Plan."""

    def __init__(self, programs: Mapping[str, Program], *, zone: str = "", **options: bool) -> None:
        super().__init__(compiled=with_metrics(programs.values()), zone=TimeZone(zones.load(zone)), **options)
        self.programs = dict(programs)
        self.failed_lines: dict[str, list[str]] = defaultdict(list)
        """Quoted lines of run-time errors, by program."""
        self.begin()

    def scan(self, block: bytes, source: str = LOG) -> None:
        self.engine.scan(self.engine.open(source), block)

    def collect(self) -> None:
        for fault in self.engine.faults()[0]:
            self.failed_lines[fault.program].append(go_quote(fault.input))

    def outcomes(self) -> dict[str, Outcome]:
        self.collect()
        outcomes = by_program(self.programs, json.loads(Page(self.store.snapshot()).json(grouped=True)))
        for name, inputs in self.failed_lines.items():
            outcomes[name].faults = inputs
        return outcomes


def by_program(programs: Iterable[str], exported: dict[str, list[dict[str, Any]]]) -> dict[str, Outcome]:
    outcomes = {name: Outcome() for name in programs}
    for name in sorted(exported):
        for metric in exported[name]:
            outcomes[metric["Program"]].metrics.append(metric)
    return outcomes


# --- mtail -------------------------------------------------------------------------------------------------------


class MtailFailed(Exception):
    """Debian's mtail did not end as it should; the text is what it said."""


class Mtail:
    """Debian's mtail over a folder; `log` is the path that lines come from."""

    def __init__(self, folder: Path, programs: Programs) -> None:
        self.programs = programs
        self.log = folder / "log"
        self._folder = folder
        for name, text in programs.items():
            (folder / name).write_bytes(text.encode())

    def _command(self) -> list[str]:
        return ["mtail", "-progs", str(self._folder), "-logs", str(self.log), "-logtostderr",
                "-unix_socket", tempfile.mktemp(dir=self._folder)]  # fmt: skip

    def verdicts(self) -> dict[str, str]:
        """The compile errors of each program, empty for those that load.

        A daemon is started, since it goes on after a bad program, and ended when it has loaded everything.
        """
        with subprocess.Popen(self._command(), stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            alarm = threading.Timer(TIMEOUT, process.kill)
            alarm.daemon = True
            alarm.start()
            text = b""
            while b"] Listening on" not in text:
                line = process.stderr.readline()
                if not line:
                    raise MtailFailed(text.decode("utf-8", "replace"))
                text += line
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
            alarm.cancel()
        said = text.decode("utf-8", "replace")
        errors: dict[str, str] = {match[1]: match[2] for match in _COMPILE.finditer(said)}
        unknown = self.programs.keys() - errors.keys() - set(_LOADED.findall(said))
        if unknown:
            raise MtailFailed(f"nothing was said of {sorted(unknown)}:\n{said}")
        return {name: errors.get(name, "") for name in self.programs}

    def outcomes(self, lines: bytes, names: Collection[str], *, zone: str) -> dict[str, Outcome]:
        """What the programs of `names` make of `lines`."""
        done = self._once(lines, names, zone, "json")
        exported = json.loads(done.stdout) if done.stdout.strip() else {}
        outcomes = by_program(names, exported)
        for match in _FAULT.finditer(done.stderr.decode("utf-8", "replace")):
            outcomes[match[1]].faults.append(match[2])
        return outcomes

    def samples(self, lines: bytes, name: str, *, zone: str) -> bytes:
        """The same of one program in Prometheus form, for values that JSON cannot have."""
        return self._once(lines, [name], zone, "prometheus").stdout

    def _once(self, lines: bytes, names: Collection[str], zone: str, form: str) -> subprocess.CompletedProcess[bytes]:
        self.log.write_bytes(lines)
        for name in self.programs.keys() - names:
            (self._folder / name).unlink(missing_ok=True)
        for name in names:
            (self._folder / name).write_bytes(self.programs[name].encode())
        options = ["-one_shot", f"-one_shot_format={form}", *([f"-override_timezone={zone}"] if zone else [])]
        done = subprocess.run([*self._command(), *options], capture_output=True, check=False, timeout=TIMEOUT)
        if done.returncode != 0:
            raise MtailFailed(done.stderr.decode("utf-8", "replace"))
        return done


_COMPILE = re.compile(r"^compile failed for (.*):\n((?:(?![IEW]\d{4} ).*\n)*)", re.M)
_LOADED = re.compile(r"^I.*\] Loaded program (.*)$", re.M)
_FAULT = re.compile(r'\] (\S+): Runtime error: (?:.*\n)*?Full input text from "[^"]*" was (".*")$', re.M)


def examples(few: int) -> int:
    """How many examples to try: `few`, times NATIVEMTAIL_EXAMPLES for a long run."""
    return few * int(os.environ.get("NATIVEMTAIL_EXAMPLES", "1"))


def drawn(strategy: st.SearchStrategy[T], count: int, number: int) -> list[T]:
    """`count` examples, other ones for another `number`; more than one hypothesis example can hold."""
    found: list[T] = []

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: T) -> None:
        found.append(example)

    collect()
    return found


def joined(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)
