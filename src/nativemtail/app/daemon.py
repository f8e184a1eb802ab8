"""The daemon: follow the logs, run the programs, serve the metrics, until a signal ends it.

Four threads share the work.  The main thread waits for signals and timers; the tail thread reads and scans; one thread
reads, watches and compiles programs; the HTTP server has its own.  Start-up order and messages: spec cli-http.md §3,
signals: inputs.md §9.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import logging
import mmap
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import NoReturn

from nativemtail._render import View
from nativemtail.app import systemd
from nativemtail.app.collect import ProgramStates, SourceStates
from nativemtail.app.config import Config
from nativemtail.app.load import open_keeper_of, open_programs_of, open_tailer_of
from nativemtail.app.outbox import dropped, write_in_time
from nativemtail.export.push import Pusher, SetUpError
from nativemtail.http.listen import ListenError
from nativemtail.http.messages import Request, Response
from nativemtail.http.server import Server
from nativemtail.http.site import Site
from nativemtail.http.tls import TLSError
from nativemtail.io.loop import Loop
from nativemtail.io.sources import SourceError
from nativemtail.io.tailer import Tailer
from nativemtail.options import format_duration
from nativemtail.programs.loaded import LoadError
from nativemtail.programs.reload import ProgramWatch, Reloader
from nativemtail.state.lock import StateError
from nativemtail.telemetry.enginecounts import EngineCounts
from nativemtail.telemetry.machine import resident_memory
from nativemtail.telemetry.selfmetrics import SelfMetrics

log = logging.getLogger(__name__)

SUCCESS, FAILURE, QUIT = 0, 1, 2
SIGNAL_NAMES = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupt", signal.SIGHUP: "hangup"}
COLLECT_SECONDS = 1.0
"""How often run-time errors are fetched from the engine."""
LAST_BLOCK_SECONDS = 2.0
"""Longest time for the tail thread to finish its current block after the time for draining is over."""
SHOWN_LEFT = 10
"""At most this many logs that were not read to their end are named individually."""
SLOW_START_SECONDS = 10.0
"""A part of the start that takes longer than this is reported."""
SWITCH_SECONDS = 0.0005
"""Longest time that a compiling thread holds the GIL while the tail thread wants it."""


STARTING_TICK_SECONDS = 0.1
"""A signal that arrives just before a wait is noticed after this time."""
_TOO_FEW = "the limit of processes (ulimit -u, TasksMax=) or of memory is too low"


class NoThread(Exception):
    """The system does not allow the process enough threads."""


class _Stopped(BaseException):
    """A signal that arrived during the start-up."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = signal.Signals(number)
        self.while_loading = False


def _stop_starting(number: int, frame: object) -> NoReturn:
    raise _Stopped(number)


_BAD_START = (
    ListenError,
    LoadError,
    NoThread,
    SetUpError,
    SourceError,
    StateError,
    TLSError,
)


def run(config: Config) -> int:
    """Run until a signal, or the end of all sources; the exit status."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _stop_starting)
        daemon = Daemon(config)
        daemon.start()
    except _Stopped as stopped:
        log.info("Received %s, exiting...", SIGNAL_NAMES[stopped.number])
        if stopped.while_loading:  # the other thread may hang in a call, or be in native code
            logging.disable()
            logging.shutdown()
            os._exit(SUCCESS)
        return SUCCESS
    except _BAD_START as error:
        log.critical("%s", error)
        return FAILURE
    return daemon.serve()


class Daemon:
    """Connects all parts.  Call `start`, then `serve`."""

    def __init__(self, config: Config) -> None:
        assert config.service is not None
        self.config = config
        self.service = service = config.service
        with _slow("reading the state"):
            self.keeper = open_keeper_of(config)
        self.programs = open_programs_of(config)
        self.tailer = open_tailer_of(config, self.programs, self.keeper)
        self.program_states = ProgramStates(self.programs, log_faults=config.log_faults)
        self.own = SelfMetrics(
            programs=self.program_states,
            sources=SourceStates(self.tailer, config.specs, self.programs),
            lines=EngineCounts(self.programs.engine, self.programs.store),
            memory_limit=service.memory_limit or None,
            messages_dropped=dropped,
            state=partial(self.keeper.counts, self.tailer) if self.keeper is not None else None,
        )
        self.server = Server(self._answer, trusted=service.trusted, hosts=service.hosts, tls=service.tls)
        self.own.listener = self.server
        self.site = Site(
            view=partial(View, self.programs.store),
            own=self.own,
            host_name=socket.gethostname(),
            addresses=self.server.addresses,
            ready=lambda: self.not_ready,
            catching_up=self._catching_up,
            emit_prog_label=config.output.prog_label,
            emit_timestamp=config.output.timestamps,
            graphite_prefix=service.graphite_prefix,
            info_endpoint=service.info_endpoint,
            debugging_endpoint=service.debugging_endpoint,
        )
        self.pusher = Pusher(
            partial(View, self.programs.store), service.push, self.own.exports, is_held_back=self._catching_up
        )
        self.loop = Loop()
        self.reloader = Reloader(
            self.programs,
            self.own.prog_load_latency,
            loaded=self._reloaded,
        )
        self.watch: ProgramWatch | None = None
        if service.watch_programs:
            self.watch = ProgramWatch(
                self.reloader.loop, config.programs.paths, self._programs_changed, self.programs.included
            )
        self.tail = threading.Thread(target=self._tail, name="tail", daemon=True)
        self.not_ready = "starting"
        self.status = SUCCESS
        self._signals: list[int] = []
        self._ended = False
        self._interruptible = True

    # --- start -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen, load the programs, open the logs, serve.  Raises what `run` catches, and then leaves nothing open."""
        sys.setswitchinterval(SWITCH_SECONDS)
        self._take_signals()
        try:
            self._listen()
            with _slow(f"reading the programs of {', '.join(self.config.programs.paths)}"):
                self._read_programs()
            self._limit_memory()
            self._interruptible = False
            with _slow("opening the logs"):
                self.tailer.open()
            if self.keeper is not None:
                self.keeper.begin(self.programs, self.tailer)
                if self.keeper.saved.started:
                    self.pusher.resume(self.keeper.saved.started)
            self._set_timers()
            self._start_threads()
        except BaseException:
            self.server.stop()
            self.reloader.stop(0)
            raise
        self.not_ready = ""
        self._loaded()

    def _start_threads(self) -> None:
        """Start all threads now: later the system may refuse new ones."""
        try:
            self.tail.start()
            self.server.start()
            self.pusher.start()
        except RuntimeError as error:
            raise NoThread(f"{error}: {_TOO_FEW}") from None
        if not self.own.disk.start():
            log.warning("no thread can be started to look at file systems: the metrics disk_free_* are left out")

    def _listen(self) -> None:
        service = self.service
        if service.tcp:
            self.server.listen_tcp(*service.tcp)
            where = self.server.addresses()[-1]
            log.info("HTTP on %s, for %s only (--trusted_hosts allows others)", where, service.trusted)
        if service.unix:
            path, mode = service.unix
            self.server.listen_unix(path, mode)
            log.info("HTTP on %s, for users that its mode %04o admits", path, mode)

    def _read_programs(self) -> None:
        """In the reload thread: no signal ends a call to a file system that does not answer."""
        try:
            self.reloader.start(self._load)
        except RuntimeError as error:
            raise NoThread(f"{error}: {_TOO_FEW}") from None
        try:
            while not self.reloader.is_ready(STARTING_TICK_SECONDS):
                pass
        except _Stopped as stopped:
            stopped.while_loading = True
            raise

    def _load(self) -> None:
        if self.watch is not None:
            self.watch.start()
        if not _can_jit():
            log.warning(
                "the system allows no memory that is written and executed (systemd's MemoryDenyWriteExecute does so):"
                " RE2 makes all captures instead of PCRE2's JIT, which takes more time per matching line"
            )
        if self.keeper is not None:
            self.keeper.restore(self.programs)
        self.reloader.load()
        if self.watch is not None:
            self.watch.follow_included()

    def _limit_memory(self) -> None:
        """Limit the memory of series to what the process does not need for itself."""
        limit = self.service.memory_limit
        if not limit:
            return
        store = self.programs.store
        needed = max(0, resident_memory() - store.memory)
        if limit <= needed:
            log.warning(
                "--memory_limit=%d is less than the %d bytes that the process needs by itself: no label sets are made",
                limit,
                needed,
            )
        store.limit = max(1, limit - needed)

    def _set_timers(self) -> None:
        self._every(COLLECT_SECONDS, self.program_states.collect)
        if self.service.gc_interval:
            self._every(self.service.gc_interval, self._collect_garbage)
        watchdog = systemd.watchdog_seconds()
        if watchdog is not None:
            self._every(watchdog / 3, Heartbeat(self.tail, self.tailer, patience=watchdog / 2).check)

    def _every(self, seconds: float, work: Callable[[], None]) -> None:
        def tick() -> None:
            self.loop.after(seconds, tick)
            try:
                work()
            except Exception:
                log.exception("a periodic task failed")

        self.loop.after(seconds, tick)

    # --- run -------------------------------------------------------------------------------------------------

    def serve(self) -> int:
        """Until a signal or the end of all sources; the exit status."""
        _set_aside_garbage()
        while not self._ended:
            self.loop.run_once()
            while self._signals and not self._ended:
                self._on_signal(self._signals.pop(0))
        self._finish()
        return self.status

    def _answer(self, request: Request) -> Response:
        return self.site.answer(request)

    def _catching_up(self) -> str:
        """What is left to read until metrics are at least what was shown before the start; from any thread."""
        left = self.tailer.catching_up
        return f"catching up: {left} bytes left" if left else ""

    def _tail(self) -> None:
        """The tail thread."""
        try:
            self.tailer.run(self._last_line_read)
        except Exception:
            log.exception("reading the logs failed")
            self.status = FAILURE
        self._end()

    def _last_line_read(self) -> None:
        if self.keeper is not None:
            self.keeper.fix_last()

    def _reloaded(self) -> None:
        """In the reload thread."""
        if self.watch is not None:
            self.watch.follow_included()
        self._loaded()

    def _loaded(self) -> None:
        """Programs were loaded: in the reload thread, and once at the start."""
        self.programs.check_filters(self.tailer.names())
        systemd.ready()

    def _programs_changed(self) -> None:
        """In the reload thread."""
        if not self._ended:
            self.reloader.request()

    def _end(self) -> None:
        self._ended = True
        self.loop.wake()

    def _collect_garbage(self) -> None:
        gone = self.programs.store.gc(time.time_ns())
        log.debug("%d label sets expired", gone)

    # --- signals ---------------------------------------------------------------------------------------------

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note_signal)
        signal.signal(signal.SIGQUIT, _quit)
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)

    def _note_signal(self, number: int, frame: object) -> None:
        if self._interruptible and number != signal.SIGHUP:
            self._interruptible = False
            raise _Stopped(number)
        if self._ended and number != signal.SIGHUP:
            os._exit(FAILURE)  # a second signal exits at once
        self._signals.append(number)
        self.loop.wake()

    def _on_signal(self, number: int) -> None:
        if number != signal.SIGHUP:
            log.info("Received %s, exiting...", SIGNAL_NAMES[signal.Signals(number)])
            self._ended = True
            return
        log.info("Received hangup, reloading programs")
        systemd.reloading()
        try:
            self.server.reload_tls()
        except TLSError as error:
            log.error("%s; the certificate in use stays", error)
        self.reloader.request(asked=True)

    # --- finish ----------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Drain the logs, report, push a last time, close.  Does not return if a thread cannot be stopped."""
        systemd.stopping()
        self.not_ready = "shutting down"
        self.tailer.stop()
        self.tail.join(self.config.input.drain + LAST_BLOCK_SECONDS)
        if self.keeper is not None and not self.keeper.end():
            self.status = FAILURE
        self._report_unread()
        idle = self.reloader.stop()
        if idle and self.watch is not None:
            self.watch.close()
        idle = idle and not self.tail.is_alive()
        self.program_states.collect()
        self.program_states.summarise()
        idle = self.pusher.stop() and idle
        self.server.stop()
        if not idle:
            logging.shutdown()
            # A thread is in native code or holds a lock: an orderly exit would free what it uses.
            os._exit(self.status)

    def _report_unread(self) -> None:
        """Log how much of which logs was not read."""
        left = self.tailer.unread
        if self.tail.is_alive():
            log.error("the tail thread is still at its last block, or hangs in a read")
            self.status = FAILURE
            left = _with_timeout(self.tailer.behind, 1.0) or left
        if self.keeper is not None:
            left = self._without_kept(left)
        if not left:
            return
        self.status = FAILURE
        limit = format_duration(self.config.input.drain)
        most = left.most_common(SHOWN_LEFT)
        for name, count in most:
            log.error("%s: %d bytes were not read within -drain_timeout=%s", name, count, limit)
        if len(left) > len(most):
            rest = left.total() - sum(count for _, count in most)
            log.error(
                "%d more logs: %d bytes were not read within -drain_timeout=%s", len(left) - len(most), rest, limit
            )

    def _without_kept(self, left: Counter[str]) -> Counter[str]:
        """Leave out what the next start reads: files, whose positions are kept."""
        later = Counter({name: count for name, count in left.items() if os.path.isfile(name)})
        if later:
            log.info("%d bytes of %d logs are left for the next start", later.total(), len(later))
        return left - later


class Heartbeat:
    """Feeds systemd's watchdog as long as the tail thread makes progress."""

    def __init__(self, tail: threading.Thread, tailer: Tailer, *, patience: float) -> None:
        self._tail = tail
        self._tailer = tailer
        self._patience = patience
        self._beats = -1
        self._moved = 0.0

    def check(self) -> None:
        """Must be called several times within `patience` seconds."""
        now = time.monotonic()
        if self._tailer.beats != self._beats:
            self._beats = self._tailer.beats
            self._moved = now
        if self._tail.is_alive() and now - self._moved < self._patience:
            systemd.alive()
        self._tailer.nudge()


@contextlib.contextmanager
def _slow(what: str) -> Iterator[None]:
    """Log a warning if a part of the start takes long: a network mount may hang, and then no call returns."""
    text = "%s takes more than %g s: the file system does not answer, or there is very much to do"
    notice = threading.Timer(SLOW_START_SECONDS, log.warning, (text, what, SLOW_START_SECONDS))
    notice.daemon = True
    try:
        with contextlib.suppress(RuntimeError):  # no thread, no notice
            notice.start()
        yield
    finally:
        notice.cancel()


def _with_timeout(ask: Callable[[], Counter[str]], seconds: float) -> Counter[str] | None:
    """The result of `ask`; None if it takes longer than `seconds`, or if no thread can be started."""
    answers: list[Counter[str]] = []
    asking = threading.Thread(target=lambda: answers.append(ask()), name="left", daemon=True)
    try:
        asking.start()
    except RuntimeError:
        return None
    asking.join(seconds)
    return answers[0] if answers else None


def _set_aside_garbage() -> None:
    """Spare later garbage collections, which stop all threads, what lives as long as the process."""
    gc.collect()
    gc.freeze()


def _can_jit() -> bool:
    """Whether the system allows machine code made at run time."""
    try:
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError:
        return False
    return True


def _quit(number: int, frame: object) -> NoReturn:
    """SIGQUIT: show where every thread is, as Go programs do; without waiting for a reader."""
    with open(os.memfd_create("threads"), "r+b", buffering=0) as shown:
        faulthandler.dump_traceback(shown)
        shown.seek(0)
        write_in_time(2, shown.read())
    os._exit(QUIT)
