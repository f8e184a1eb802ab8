"""A tailer in a thread over a recording sink, and what the tests of the sources do with it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from waiting import PATIENCE

from nativemtail.io.patterns import parse_logs
from nativemtail.io.sources import Settings
from nativemtail.io.tailer import Tailer

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02, linger=0.4, flush=0.2)
POLLING = replace(QUICK, inotify=False)


class Recorder:
    """A sink that keeps every line, by source name and in order."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.opened: set[int] = set()
        self.lines: dict[str, list[bytes]] = defaultdict(list)
        self.order: list[bytes] = []
        self.delay = 0.0
        self.entered = 0
        """How many times `scan` was called."""
        self.may_scan = threading.Event()
        self.may_scan.set()

    def open(self, name: str) -> int:
        self.names.append(name)
        self.opened.add(len(self.names) - 1)
        return len(self.names) - 1

    def scan(self, source: int, block: bytearray, start: int, end: int, connection: int = 0) -> int:
        assert source in self.opened
        assert 0 <= start < end <= len(block)
        self.entered += 1
        self.may_scan.wait(PATIENCE)
        if self.delay:
            time.sleep(self.delay)
        lines = bytes(block[start:end]).split(b"\n")
        if not lines[-1]:
            lines.pop()
        self.lines[self.names[source]] += lines
        self.order += lines
        return len(lines)

    has_records = False

    def finish(self, source: int, connection: int = 0) -> None:
        assert source in self.opened

    def finish_all(self) -> None:
        pass

    def finish_silent(self) -> float | None:
        return None

    def close(self, source: int) -> None:
        self.opened.remove(source)


class Rig:
    """`with Rig("/dir/*.log") as rig:` follows; leaving stops, joins and checks that every source was closed."""

    def __init__(self, *logs: str | Path, settings: Settings | None = None, until_end: bool = False) -> None:
        self.sink = Recorder()
        self.tailer = Tailer(parse_logs(map(str, logs)), self.sink, settings, until_end=until_end)
        self.problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Rig:
        self.tailer.open()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tailer.stop()
        self._thread.join(PATIENCE)
        if kind is None:
            assert not self._thread.is_alive()
            assert self.problem is None, self.problem
            assert not self.sink.opened

    def _run(self) -> None:
        try:
            self.tailer.run()
        except BaseException as problem:
            self.problem = problem
            raise

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    @property
    def lines(self) -> list[bytes]:
        """All lines of all sources as they came."""
        return self.sink.order

    def of(self, path: str | Path) -> list[bytes]:
        return self.sink.lines[str(path)]

    def wait_for_offset(self, path: str | Path, offset: int) -> None:
        """Wait until the file is followed from there, be it that it was read or that it was recognised."""
        self.wait(lambda: (str(path), offset) in [(status.name, status.offset) for status in self.tailer.status()])

    def wait_settled(self) -> None:
        """Wait until no file can be a copy in the making any more: what is appended from then on is new."""
        self.wait(lambda: self.tailer._discovery is not None and not self.tailer._discovery._copies._settling)

    def wait(self, condition: Callable[[], object], patience: float = PATIENCE) -> None:
        end = time.monotonic() + patience
        while not condition():
            assert self.problem is None, self.problem
            assert time.monotonic() < end, f"not in time; lines so far: {self.lines[-20:]}"
            time.sleep(0.002)

    def expect(self, lines: Iterable[bytes], patience: float = PATIENCE) -> None:
        """Wait until exactly these lines have come."""
        wanted = list(lines)
        end = time.monotonic() + patience
        while len(self.lines) < len(wanted) and time.monotonic() < end:
            assert self.problem is None, self.problem
            time.sleep(0.002)
        assert self.lines == wanted

    def stays(self, lines: Iterable[bytes], seconds: float = 0.2) -> None:
        wanted = list(lines)
        time.sleep(seconds)
        assert self.lines == wanted


def append(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)


@contextlib.contextmanager
def busy(rig: Rig, log: Path) -> Iterator[None]:
    """The sink does not come back from its first block as long as this lasts."""
    before = list(rig.lines)
    append(log, b"first\n")
    rig.expect([*before, b"first"])
    rig.sink.may_scan.clear()
    entered = rig.sink.entered
    append(log, b"busy\n")
    rig.wait(lambda: rig.sink.entered > entered)
    yield
    time.sleep(0.05)
    rig.sink.may_scan.set()


def is_held(path: Path) -> bool:
    """Whether this process has the file open: the watcher has seen it, however late."""
    wanted = os.stat(path)
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(int(fd)), wanted):
                return True
    return False
