"""A random log and program for histories, and what they must give, computed without the product.

The program is given as text and as a function, from a line to what it does; lines are made so that this is easy.
"""

from __future__ import annotations

import bz2
import gzip
import math
import os
import random
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import zstandard
from gridreference import SECOND, Add, Grid, Observe, Samples, Write, histograms, scalars

PROGRAM = r"""
counter lines_total
counter hits by host, status
counter bytes by host
counter took by host
gauge open by host
gauge load by host
gauge last by host
histogram seconds by host buckets 0, 0.1, 1, 10

def timed {
  /^(?:(?P<time>\S+ +\d+ \d+:\d+:\d+)|(?P<stamp>\d+-\d+-\d+T\d+:\d+:\d+\.\d+)) (?P<host>\S+) / {
    $stamp == "" {
      strptime($time, "Jan _2 15:04:05")
    } else {
      strptime($stamp, "2006-01-02T15:04:05.999999999")
    }
    next
  }
}

@timed {
  lines_total++
  / (?P<status>\d{3}) (?P<size>-?\d+) (?P<took>\S+)$/ {
    hits[$host][$status]++
    bytes[$host] += $size
    took[$host] += float($took)
    load[$host] = float($took)
    last[$host] = $size
    seconds[$host] = float($took)
    $size > 500 {
      open[$host]++
    }
    $size < 100 {
      open[$host]--
    }
  }
}
/^untimed / {
  lines_total++
}
"""


@dataclass
class Line:
    """A line: its instant in nanoseconds, None without one, and what it says."""

    time: int | None
    text: str
    host: str = ""
    status: int = 0
    size: int = 0
    took: float | None = None


@dataclass
class World:
    """Logs in order of family and generation, each with the time when it was changed last."""

    zone: str = "UTC"
    logs: list[tuple[str, int, list[Line]]] = field(default_factory=list)

    def write(self, folder: Path, suffixes: list[str], rng: random.Random) -> None:
        """Write the logs, each compressed by one of these."""
        for name, changed, lines in self.logs:
            text = "".join(f"{line.text}\n" for line in lines).encode()
            if rng.random() < 0.3:
                text = text.removesuffix(b"\n")
            suffix = rng.choice(suffixes)
            path = folder / (name + suffix)
            path.write_bytes(compressed(text, suffix, changed))
            os.utime(path, (changed, changed))

    def events(self) -> dict[str, list[Add | Write | Observe]]:
        """By metric; keys of series are label values."""
        found: dict[str, list[Add | Write | Observe]] = {}

        def note(metric: str, event: Add | Write | Observe) -> None:
            found.setdefault(metric, []).append(event)

        for generation, (_, _, lines) in enumerate(self.logs):
            for position, line in enumerate(lines):
                if line.time is None:
                    continue
                place = (generation, position)
                note("lines_total", Add(line.time, (), 1))
                if line.took is None:
                    continue
                key = (line.host,)
                note("hits", Add(line.time, (line.host, str(line.status)), 1))
                note("bytes", Add(line.time, key, line.size))
                note("took", Add(line.time, key, line.took))
                note("load", Write(line.time, key, line.took, place))
                note("last", Write(line.time, key, line.size, place))
                note("seconds", Observe(line.time, key, line.took, (0.1, 1.0, 10.0)))
                if line.size > 500:
                    note("open", Add(line.time, key, 1))
                if line.size < 100:
                    note("open", Add(line.time, key, -1))
        return found

    @property
    def untimed(self) -> int:
        return sum(line.time is None and line.text.startswith("untimed") for _, _, lines in self.logs for line in lines)


def compressed(text: bytes, suffix: str, changed: int) -> bytes:
    if suffix == ".gz":
        return gzip.compress(text, 1, mtime=changed)
    if suffix == ".zst":
        return zstandard.compress(text)
    return bz2.compress(text) if suffix == ".bz2" else text


def random_world(rng: random.Random, zone: str, begin: datetime, seconds: int, lines: int) -> World:
    """Lines from `begin` on, which is local; a few are out of order, some have no year, some no time."""
    world = World(zone)
    count = rng.randint(1, 4)
    start = begin.replace(tzinfo=ZoneInfo(zone)).timestamp()
    for generation in range(count):
        made = []
        first, last = (start + seconds * (generation + end) / count for end in (0, 1))
        for _ in range(rng.randint(0, 2 * lines // count)):
            instant = rng.uniform(first, last) if rng.random() < 0.2 else first + (last - first) * len(made) / lines
            made.append(_line(rng, instant, zone))
        name = "app.log" if generation == count - 1 else f"app.log.{count - 1 - generation}"
        world.logs.append((name, math.ceil(last), made))
    return world


def _line(rng: random.Random, instant: float, zone: str) -> Line:
    host = rng.choice(["a", "b", "host-ä", "long" * 20])
    kind = rng.random()
    if kind < 0.03:
        return Line(None, "untimed line")
    if kind < 0.06:
        return Line(None, "other text")
    if kind < 0.5:
        whole = math.floor(instant)
        local = datetime.fromtimestamp(whole, ZoneInfo(zone))
        text, time = f"{local:%b} {local.day:2d} {local:%H:%M:%S}", _resolved(local) * SECOND
    else:
        micros = math.floor(instant * 1e6)
        local = datetime.fromtimestamp(micros // 1_000_000, ZoneInfo(zone))
        text = f"{local:%Y-%m-%dT%H:%M:%S}.{micros % 1_000_000:06d}"
        time = _resolved(local) * SECOND + micros % 1_000_000 * 1000
    if rng.random() < 0.1:
        return Line(time, f"{text} {host} other", host)
    status, size = rng.choice([200, 404, 500]), rng.choice([rng.randint(-50, 2000), 7])
    took = rng.choice([rng.uniform(0, 20), 0.1, 1.0, rng.uniform(0, 1e-9), 1e17, 0.05])
    return Line(time, f"{text} {host} {status} {size} {took!r}", host, status, size, took)


def _resolved(local: datetime) -> int:
    """What a local time means that comes twice: as in Go the second one east of Greenwich, the first one west of it."""
    offset = local.utcoffset()
    assert offset is not None
    return int(local.replace(fold=offset.total_seconds() > 0).timestamp())


Name = tuple[str, tuple[tuple[str, str], ...]]
"""Of a series, with its labels."""


def expected(world: World, step: int, max_gap: int = 300 * SECOND) -> dict[Name, Samples]:
    """The samples by name and labels, `prog` left out."""
    events = world.events()
    every = [event for of_metric in events.values() for event in of_metric]
    if not every:
        return {}
    grid = Grid(step, max(event.time for event in every), max_gap)
    found = {}
    for metric, of_metric in events.items():
        names = {"lines_total": (), "hits": ("host", "status")}.get(metric, ("host",))
        if metric == "seconds":
            for (key, part), samples in histograms(of_metric, grid).items():  # type: ignore[arg-type]
                labels = tuple(zip(names, key, strict=True))
                if part in ("sum", "count"):
                    found[f"{metric}_{part}", labels] = samples
                else:
                    bound = "+Inf" if part == "inf" else f"{float(part):g}"
                    found[f"{metric}_bucket", (*labels, ("le", bound))] = samples
        else:
            for key, samples in scalars(of_metric, grid).items():  # type: ignore[arg-type]
                found[metric, tuple(zip(names, key, strict=True))] = samples
    return found


_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+) (?P<time>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def parsed(text: str) -> dict[Name, Samples]:
    """The samples of OpenMetrics text, `prog` left out."""
    assert text.endswith("# EOF\n")
    found: dict[Name, Samples] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = _SAMPLE.fullmatch(line)
        assert match, line
        labels = tuple(each for each in _LABEL.findall(match["labels"] or "") if each[0] != "prog")
        sample = round(float(match["time"]) * 1000), float(match["value"])
        found.setdefault((match["name"], labels), []).append(sample)
    return found
