"""Prometheus remote write 1.0: the series as requests to Prometheus, VictoriaMetrics, Mimir and others.

Each series is sent in order of time.  What a target does not take now (429, 5xx, no answer) is repeated until it does.
A request that it refuses is halved until the series that it refuses are alone; these are reported, the rest goes on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cramjam

from nativemtail import __version__
from nativemtail.history import writerequest
from nativemtail.history.httptarget import HttpTarget, Unreachable, Untrusted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nativemtail.history.httptarget import Answer
    from nativemtail.history.series import Family, Series

SAMPLES = 10_000
"""Of one request, at most."""
LABEL_BYTES = 1 << 20
"""Of one request, at most, unless one series has more."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds between two attempts: twice as long each time."""
HOPELESS = 100
"""So many series refused, and none taken: the run ends."""

_REFUSED = (400, 409, 413, 422)
"""Statuses that concern what was sent; others of 4xx concern the target or the access to it."""
_LATER = (408, 425, 429)


HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "User-Agent": f"nativemtail/{__version__}",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


class RemoteWriteError(Exception):
    """The target takes nothing more; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Samples of one series that the target refused, and its reason for the first of them."""

    name: str
    labels: tuple[tuple[str, str], ...]
    samples: int
    reason: str

    def __str__(self) -> str:
        labels = ",".join(f'{key}="{value}"' for key, value in self.labels)
        return f"{self.name}{{{labels}}}: {self.samples} samples refused: {self.reason}"


@dataclass(slots=True)
class Sent:
    """What became of the samples so far."""

    samples: int = 0
    refused: int = 0
    refused_series: int = 0


@dataclass(frozen=True, slots=True)
class _Part:
    """Some samples of one series."""

    series: Series
    labels: bytes
    times: NDArray[np.int64]
    values: NDArray[np.float64]


def target(url: str, headers: Mapping[str, str]) -> HttpTarget:
    """A target that gets `headers` besides those of the protocol.  Raises ValueError for a bad URL."""
    return HttpTarget(url, {**headers, **HEADERS})


class RemoteWrite:
    """Writes families to a target.  `patience` is for how many seconds one request is repeated.

    `refused` is called once for each series of which something was refused.
    """

    def __init__(
        self,
        target: HttpTarget,
        refused: Callable[[Refusal], None],
        *,
        patience: float = 600.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sent = Sent()
        self._target = target
        self._refused = refused
        self._patience = patience
        self._sleep = sleep
        self._clock = clock
        self._batch: list[_Part] = []
        self._room = SAMPLES
        self._label_room = LABEL_BYTES
        self._refusal: Refusal | None = None

    def write(self, families: Iterable[Family]) -> Sent:
        """Raises RemoteWriteError, after which all may be written again: what is there already does no harm."""
        try:
            for family in families:
                for series in family.series:
                    self._add(series)
            self._flush()
        finally:
            self._report()
            self._target.close()
        return self.sent

    def _add(self, series: Series) -> None:
        labels = writerequest.labels(series)
        if len(labels) > self._label_room:
            self._flush()
        self._label_room -= len(labels)
        at = 0
        while at < len(series.times):
            end = at + self._room
            part = _Part(series, labels, series.times[at:end], series.values[at:end])
            self._batch.append(part)
            self._room -= len(part.times)
            at += len(part.times)
            if not self._room:
                self._flush()

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        self._room, self._label_room = SAMPLES, LABEL_BYTES
        if batch:
            self._send(batch)

    def _send(self, batch: Sequence[_Part]) -> None:
        answer = self._deliver(batch)
        if 200 <= answer.status < 300:
            self.sent.samples += _count(batch)
        elif answer.status not in _REFUSED:
            raise RemoteWriteError(f"{self._target}: {answer}. {self._progress()}")
        elif len(batch) > 1:
            self._send(batch[: len(batch) // 2])
            self._send(batch[len(batch) // 2 :])
        elif answer.status == 413 and len(batch[0].times) > 1:
            self._send([_cut(batch[0], slice(None, len(batch[0].times) // 2))])
            self._send([_cut(batch[0], slice(len(batch[0].times) // 2, None))])
        else:
            self._note(batch[0], str(answer))

    def _deliver(self, batch: Sequence[_Part]) -> Answer:
        """The target's answer, if it is final."""
        parts = ((part.labels, writerequest.samples(part.times, part.values)) for part in batch)
        body = bytes(cramjam.snappy.compress_raw(writerequest.request(parts)))
        end = self._clock() + self._patience
        wait = FIRST_WAIT
        while True:
            asked = 0.0
            try:
                answer = self._target.post(body)
            except Untrusted as error:
                raise RemoteWriteError(f"{self._target}: certificate: {error}; SSL_CERT_FILE names others") from None
            except Unreachable as error:
                why = str(error)
            else:
                if answer.status < 500 and answer.status not in _LATER:
                    return answer
                why, asked = str(answer), answer.retry_after
            pause = max(wait, asked)
            if self._clock() + pause > end:
                raise RemoteWriteError(f"{self._target}: {why}, for {self._patience:g} s. {self._progress()}")
            self._sleep(pause)
            wait = min(2 * wait, LONGEST_WAIT)

    def _note(self, part: _Part, reason: str) -> None:
        """Parts of one series follow one another, so only one refusal is ever open."""
        count = len(part.times)
        last = self._refusal
        self.sent.refused += count
        if last is not None and (last.name, last.labels) == (part.series.name, part.series.labels):
            self._refusal = Refusal(last.name, last.labels, last.samples + count, last.reason)
            return
        self._report()
        self._refusal = Refusal(part.series.name, part.series.labels, count, reason)
        self.sent.refused_series += 1
        if self.sent.refused_series >= HOPELESS and not self.sent.samples:
            raise RemoteWriteError(f"{self._target}: the first {HOPELESS} series were refused: {reason}")

    def _report(self) -> None:
        if self._refusal is not None:
            self._refused(self._refusal)
            self._refusal = None

    def _progress(self) -> str:
        return f"{self.sent.samples} samples were written; the same can be written again without harm"


def _count(batch: Sequence[_Part]) -> int:
    return sum(len(part.times) for part in batch)


def _cut(part: _Part, which: slice) -> _Part:
    return _Part(part.series, part.labels, part.times[which], part.values[which])
