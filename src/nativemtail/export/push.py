"""The schedule of pushes (spec metrics-export.md §7.2; row `push-lock`).

Every target has its own thread, so that a peer that is down, slow or silent delays no other.  Nothing is queued: a peer
that missed a push gets the current values at the next one.
"""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nativemtail import __version__
from nativemtail.export.collectd import Collectd
from nativemtail.export.graphite import Graphite
from nativemtail.export.otlp import Otlp, SetUpError
from nativemtail.export.statsd import Statsd
from nativemtail.export.textformat import exported
from nativemtail.export.transport import Budget, NothingArrived, PushError, host_and_port
from nativemtail.telemetry.counters import ExportCounters

if TYPE_CHECKING:
    from nativemtail._render import View

__all__ = ["PushSettings", "Pusher", "SetUpError"]

log = logging.getLogger(__name__)

Count = Callable[[str, int], None]
"""Counts metrics (`total`) and label sets that were written (`success`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSettings:
    """How often to push, and where to; an empty address is no target.  Times in seconds."""

    interval: float = 60.0
    """0 or less: never."""
    write_deadline: float = 10.0
    collectd: str = ""
    """Path of the socket."""
    collectd_prefix: str = ""
    graphite: str = ""
    """`host:port`; likewise `statsd`."""
    graphite_prefix: str = ""
    statsd: str = ""
    statsd_prefix: str = ""
    otlp: bool = False
    otlp_endpoint: str = ""
    """Empty: the endpoint that the environment names."""


class Target(Protocol):
    """A peer and the format that it accepts."""

    name: str
    """Prefix of the counters `_export_total` and `_export_success`."""
    peer: str

    def push(self, view: View, budget: Budget, count: Count) -> None:
        """Send everything.  Raises PushError."""


def targets(settings: PushSettings, host_name: str) -> list[Target]:
    """A target for each address that was given.  Raises SetUpError."""
    found: list[Target] = []
    if settings.collectd:
        interval = settings.interval
        prefix = settings.collectd_prefix
        found.append(Collectd(settings.collectd, host_name=host_name, interval=interval, prefix=prefix))
    for flag, address in (
        ("graphite_host_port", settings.graphite),
        ("statsd_hostport", settings.statsd),
    ):
        try:
            if address:
                host_and_port(address)
        except ValueError as error:
            raise SetUpError(f"-{flag}: {error} (write HOST:PORT)") from None
    if settings.graphite:
        found.append(Graphite(settings.graphite, prefix=settings.graphite_prefix))
    if settings.statsd:
        found.append(Statsd(settings.statsd, prefix=settings.statsd_prefix))
    if settings.otlp:
        seconds = settings.write_deadline
        found.append(Otlp(settings.otlp_endpoint, host_name=host_name, version=__version__, seconds=seconds))
    return found


class Pusher:
    """Pushes the result of `view` to all targets in `settings`, from `start` to `stop`.  Raises SetUpError.

    Nothing is pushed as long as `is_held_back`.
    """

    def __init__(
        self,
        view: Callable[[], View],
        settings: PushSettings,
        exports: ExportCounters,
        host_name: str = "",
        is_held_back: Callable[[], object] = lambda: False,
    ) -> None:
        self._loops: list[_Loop] = []
        self._deadline = settings.write_deadline
        if settings.interval > 0:
            self._loops = [
                _Loop(target, view, settings.interval, self._deadline, exports, is_held_back)
                for target in targets(settings, host_name or socket.gethostname())
            ]

    def resume(self, started: int) -> None:
        """The metrics go on from an earlier process, and began at `started`, in nanoseconds since 1970."""
        for loop in self._loops:
            loop.resume(started)

    def start(self) -> None:
        """The first push is one interval from now."""
        for loop in self._loops:
            log.info("pushing metrics to %s at %s", loop.target.name, loop.target.peer)
            loop.thread.start()

    def stop(self, final: bool = True) -> bool:
        """End the threads, after one more push to each target if `final`.  Whether all have ended.

        Takes little longer than the write deadline, whatever the peers do.
        """
        end = time.monotonic() + max(self._deadline, 0)
        for loop in self._loops:
            loop.finish(end, final)
        ended = [loop.ended(end) for loop in self._loops]
        return all(ended)


_GRACE = 0.5


class _Loop:
    """One target's thread."""

    def __init__(
        self,
        target: Target,
        view: Callable[[], View],
        interval: float,
        deadline: float,
        exports: ExportCounters,
        is_held_back: Callable[[], object],
    ) -> None:
        self.target = target
        self._is_held_back = is_held_back
        self.thread = threading.Thread(target=self._run, name=f"push-{target.name}", daemon=True)
        self._view = view
        self._interval = interval
        self._budget = Budget(deadline, math.inf)
        self._exports = exports
        self._counts = exports.push_to(target.name)
        self._stopping = threading.Event()
        self._final = False
        self._failing = False

    def resume(self, started: int) -> None:
        if isinstance(self.target, Otlp):
            self.target.started = started
        elif isinstance(self.target, Statsd):
            self.target.resume(self._view())

    def finish(self, end: float, final: bool) -> None:
        """Tell the thread to end by `end`."""
        self._final = final
        self._budget.end = end
        self._stopping.set()

    def ended(self, end: float) -> bool:
        """Wait until `end`, plus a moment for an aborted push; whether the thread has ended or never began."""
        if self.thread.ident is None:
            return True
        self.thread.join(max(0.0, end - time.monotonic()) + _GRACE)
        if isinstance(self.target, Otlp):
            self.target.close()
        self.thread.join(_GRACE)
        return not self.thread.is_alive()

    def _run(self) -> None:
        due = time.monotonic() + self._interval
        while not self._stopping.wait(min(max(0.0, due - time.monotonic()), threading.TIMEOUT_MAX)):
            self._push()
            # After a push longer than the interval, skip the missed pushes.
            due = max(due + self._interval, time.monotonic())
        if self._final and time.monotonic() < self._budget.end:
            self._push()

    def _push(self) -> None:
        if self._is_held_back():
            return
        began = time.monotonic()
        rows = 0
        try:
            view = self._view()
            rows = sum(map(len, exported(view, text=False)))
            self._counts.backlog = rows
            self.target.push(view, self._budget, self._count)
            self._counts.backlog = 0
        except PushError as error:
            if isinstance(error, NothingArrived):
                self._counts.backlog = rows
            self._failed(str(error))
        except Exception as error:
            log.debug("pushing to %s failed", self.target.peer, exc_info=True)
            self._failed(f"pusher error: {type(error).__name__}: {error}")
        else:
            if self._failing:
                log.info("%s %s: pushes work again", self.target.name, self.target.peer)
            self._failing = False
        self._counts.latency.observe(time.monotonic() - began)

    def _failed(self, text: str) -> None:
        """Log a failure when it begins; while it lasts, only at debug level."""
        self._counts.failures += 1
        level = logging.DEBUG if self._failing else logging.WARNING
        remedy = "" if self._stopping.is_set() else f"; trying again every {self._interval:g}s"
        log.log(level, "%s %s: %s%s", self.target.name, self.target.peer, text, remedy)
        self._failing = True

    def _count(self, what: str, count: int) -> None:
        self._exports.add(f"{self.target.name}_export_{what}", count)
        if what != "total":
            self._counts.backlog = max(0, self._counts.backlog - count)
