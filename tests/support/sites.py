"""A site over a store that stands still, with programs and sources of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from nativemtail._core import Fault
from nativemtail.http.site import Site
from nativemtail.telemetry.costs import Costs, ProgramCost
from nativemtail.telemetry.model import ProgramState, SourceState
from nativemtail.telemetry.selfmetrics import SelfMetrics


class View:
    """One counter and one text metric; `broken` is why the pages of metrics fail."""

    def __init__(self, name: str = "hits", broken: str = "", warnings: Sequence[str] = ()) -> None:
        self.name = name
        self.broken = broken
        self.warnings = list(warnings)
        self.asked: dict[str, Any] = {}

    def metrics(self) -> list[SimpleNamespace]:
        common = {"program": "a.mtail", "keys": (), "labels": (), "hidden": False, "source": "a.mtail:1:9"}
        return [SimpleNamespace(name=self.name, kind=1, **common), SimpleNamespace(name="said", kind=4, **common)]

    def rows(self, metric: SimpleNamespace) -> list[SimpleNamespace]:
        return [SimpleNamespace(labels=(), time=0, value=3 if metric.kind == 1 else b"hello")]

    def prometheus(self, **options: Any) -> Iterator[bytes]:
        self.asked = options
        if self.broken:
            raise ValueError(self.broken)
        name = options["prefix"] + self.name
        kind = "unknown" if options["openmetrics"] else "counter"
        yield f"# HELP {name} defined at a.mtail:1:9\n# TYPE {name} {kind}\n{name} 3\n".encode()

    def metrics_json(self, **options: Any) -> Iterator[bytes]:
        self.asked = options
        user = b'"%s%s":{"type":"counter","value":3}' % (options["prefix"].encode(), self.name.encode())
        yield b"{%s}" % b",".join(filter(None, (user, options["more"])))

    def json(self) -> Iterator[bytes]:
        if self.broken:
            raise ValueError(self.broken)
        yield b"[]"


class Programs:
    fault = Fault("a.mtail", "oh <no>", 12, "/var/log/x", b"bad \x1b[31m \xff line")

    def states(self, *, faults: bool = False) -> Sequence[ProgramState]:
        fault = self.fault if faults else None
        return [
            ProgramState(name="a.mtail", running=True, loads=2, lines=1234567, runtime_errors=3, last_fault=fault),
            ProgramState(name='<b>"&.mtail', running=True, loads=1, load_errors=1, error="a.mtail:1:1: <oops>"),
            ProgramState(name="c.mtail", load_errors=2, error="bad"),
            ProgramState(name="d.mtail", loads=1, unloads=1),
            ProgramState(name="e\udcff.mtail", running=True),
        ]

    def costs(self) -> Costs:
        return Costs(
            lines=9,
            seconds=1.0,
            programs=[ProgramCost(name='<b>"&.mtail', why="w", lines=9, runs=4, samples=2, seconds=0.5, patterns=[])],
        )

    def dump(self, name: str) -> str | None:
        return f"plan of {name}" if name in ("a.mtail", '<b>"&.mtail', "e\udcff.mtail") else None


class Sources:
    def states(self) -> Sequence[SourceState]:
        return [
            SourceState(name="/var/log/x", lines=5, bytes=1_500_000, lag=2048, opens=1, errors=1),
            SourceState(name="/var/log/<i>\udcff", lag=0),
            SourceState(name="/var/log/gone", lines=7, active=False),
            SourceState(name="udp://:514", lag=None),
        ]

    def patterns(self) -> Sequence[str]:
        return ["/var/log/*&"]

    def problems(self) -> Mapping[str, str]:
        return {"/var/log/<u>": "only a directory matches"}

    def dropped(self) -> Mapping[str, int]:
        return {"kernel": 4, "none": 0}

    def limits(self) -> Mapping[str, int]:
        return {}

    def connections(self) -> Mapping[str, int]:
        return {}

    def accepted(self) -> Mapping[str, int]:
        return {}

    def denied(self) -> Mapping[str, int]:
        return {}


def make_site(view: View | None = None, **options: Any) -> Site:
    """The site; `options` take the place of its own, and `view` is what each page shows."""
    shown = view or View()
    return site_of(lambda: shown, **options)


def site_of(view: Callable[[], Any], **options: Any) -> Site:
    """A site that makes a view for each page."""
    own = SelfMetrics(programs=Programs(), sources=Sources())
    return Site(**{"view": view, "own": own, "host_name": "vm", "addresses": lambda: ["[::]:3903"], **options})
