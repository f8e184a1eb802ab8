"""The endpoints: from a path to an answer (spec cli-http.md §4; tests/conformance/deviations.md).

All methods get the same answer; the server omits the body for HEAD.  A path with doubled slashes or dots is redirected
to its clean form; unknown paths are 404.
"""

from __future__ import annotations

import json
import logging
import posixpath
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from nativemtail.export import graphite, metrics_json, prometheus, textformat, varz
from nativemtail.gotext import utf8
from nativemtail.http import pages
from nativemtail.http.limits import Limits
from nativemtail.http.messages import HTML, Request, Response, plain, quality
from nativemtail.telemetry import expvar
from nativemtail.telemetry.costs import Costs
from nativemtail.telemetry.model import RESERVED
from nativemtail.telemetry.selfmetrics import SelfMetrics

if TYPE_CHECKING:
    from nativemtail._render import View

log = logging.getLogger(__name__)

_FAILED = "An error has occurred while serving metrics:\n\n{}\n"
_WARNINGS_KEPT = 1000
_HTML_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
)
_HELD_BACK = frozenset({"/metrics", "/metrics.json", "/json", "/varz", "/graphite", "/-/ready"})
"""The pages that answer 503 while logs are caught up with."""
_AT_ONCE = 1024 * 1024
"""Pages up to this many bytes are sent in one piece, with their length."""


@dataclass(slots=True, kw_only=True)
class Site:
    """All endpoints.  `answer` may be called by several threads at once."""

    view: Callable[[], View]
    """Makes a view of the store for one page."""
    own: SelfMetrics
    host_name: str
    addresses: Callable[[], list[str]]
    """Where the server listens, for the heading of the status page."""
    ready: Callable[[], str] = lambda: ""
    """Why the daemon is not ready yet; empty when it is."""
    catching_up: Callable[[], str] = lambda: ""
    """What is left to read until metrics are at least what was shown before the start; empty when they are."""
    emit_prog_label: bool = True
    emit_timestamp: bool = False
    graphite_prefix: str = ""
    info_endpoint: bool = True
    """Whether to serve `/varz`, `/progz`, `/profile`, `/favicon.ico` and the tables of `/`."""
    debugging_endpoint: bool = True
    """`/debug/*`."""
    limits: Limits = field(default_factory=Limits)
    _routes: Mapping[str, Callable[[Request], Response]] = field(init=False)
    _warned: set[str] = field(init=False, default_factory=set)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        info = {
            "/varz": self._varz,
            "/progz": self._progz,
            "/profile": self._profile,
            "/favicon.ico": self._favicon,
        }
        self._routes = {
            "/": self._status,
            "/metrics": self._metrics,
            "/metrics.json": self._metrics_json,
            "/json": self._json,
            "/graphite": self._graphite,
            "/-/healthy": self._healthy,
            "/-/ready": self._ready,
            **(info if self.info_endpoint else {}),
            **({"/debug/vars": self._variables} if self.debugging_endpoint else {}),
        }

    def answer(self, request: Request) -> Response:
        """Never raises: errors are logged and answered with 500."""
        clean = _clean(request.path)
        if clean != request.path:
            query = "?" + request.query_string if request.query_string else ""
            return Response(301, b"", headers=(("Location", quote(clean) + query),))
        route = self._routes.get(request.path)
        if route is None:
            return plain(404, f"There is no page {request.path[:200]} here; / lists what there is.\n")
        try:
            if request.path in _HELD_BACK and (left := self.catching_up()):
                return plain(503, f"{left}\n")
            return route(request)
        except Exception:
            log.exception("the page %s failed", request.path)
            return plain(500, "This page failed; the log says why.\n")

    # --- metrics ---------------------------------------------------------------------------------------------

    def _metrics(self, request: Request) -> Response:
        openmetrics = wants_openmetrics(request.accept)
        content_type = prometheus.OPENMETRICS_TYPE if openmetrics else prometheus.TEXT_TYPE

        def page(view: View, prefix: str, names: frozenset[str] | None) -> Iterator[bytes]:
            return prometheus.render(
                view,
                self.own.families(),
                reserved=RESERVED,
                emit_prog_label=self.emit_prog_label,
                emit_timestamp=self.emit_timestamp,
                prefix=prefix,
                names=names,
                openmetrics=openmetrics,
            )

        response = self._scrape(request, content_type, page)
        return replace(response, headers=(*response.headers, ("Vary", "Accept")))

    def _metrics_json(self, request: Request) -> Response:
        def page(view: View, prefix: str, names: frozenset[str] | None) -> Iterator[bytes]:
            families = self.own.families()
            label = self.emit_prog_label
            return metrics_json.render(
                view, families, reserved=RESERVED, emit_prog_label=label, prefix=prefix, names=names
            )

        return self._scrape(request, metrics_json.CONTENT_TYPE, page)

    def _scrape(
        self,
        request: Request,
        content_type: str,
        page: Callable[[View, str, frozenset[str] | None], Iterator[bytes]],
    ) -> Response:
        """The common part of both pages of metrics: parameters, latency, errors, warnings."""
        prefix = request.query.get("prefix", [""])[-1]
        if len(prefix) > self.limits.prefix_chars:
            return plain(400, f"The prefix is longer than {self.limits.prefix_chars} characters.\n")
        if not prometheus.is_prefix(prefix):
            return plain(
                400, f"{prefix!r} cannot begin a metric name: letters, digits, _ and : can, but no digit first.\n"
            )
        names = frozenset(request.query["name[]"]) if "name[]" in request.query else None
        begin = time.perf_counter()
        view = self.view()

        def done() -> None:
            self._warn(view)
            self.own.scrape_latency.observe(time.perf_counter() - begin)
            self.own.exports.add("metric_export_total", sum(1 for _ in textformat.exported(view, text=False)))

        try:
            return self._paged(content_type, page(view, prefix, names), done)
        except ValueError as error:
            return plain(500, _FAILED.format(error))

    def _paged(self, content_type: str, pieces: Iterator[bytes], done: Callable[[], None]) -> Response:
        """An answer from the pieces of a page; raises what rendering the first piece raises."""
        body = next(pieces, b"")
        for piece in pieces:
            body += piece
            if len(body) >= _AT_ONCE:
                return Response(200, body, content_type, more=_rest(pieces, done))
        done()
        return Response(200, body, content_type)

    def _warn(self, view: View) -> None:
        """Log what the store left out of the page, each text once."""
        with self._lock:
            room = _WARNINGS_KEPT - len(self._warned)
            new = [text for text in view.warnings if text not in self._warned] if room else []
            fresh = new[:room]
            self._warned.update(fresh)
        for text in fresh:
            log.warning("left out of the metrics: %s", text)
        if len(fresh) == room and new:
            log.warning("%d texts like this were logged; further ones are not", _WARNINGS_KEPT)

    def _json(self, request: Request) -> Response:
        try:
            return self._paged("application/json", self.view().json(), _nothing)
        except ValueError as error:
            self.own.exports.add("exporter_json_errors")
            return plain(500, f"{error}\n")

    def _varz(self, request: Request) -> Response:
        view = self.view()
        pieces = varz.render(view, instance=self.host_name, emit_prog_label=self.emit_prog_label)
        return self._paged(varz.CONTENT_TYPE, pieces, lambda: self._count_shown("exporter_varz_total", view))

    def _graphite(self, request: Request) -> Response:
        view = self.view()
        pieces = graphite.render(view, prefix=self.graphite_prefix)
        return self._paged(graphite.CONTENT_TYPE, pieces, lambda: self._count_shown("graphite_export_total", view))

    def _count_shown(self, name: str, view: View) -> None:
        self.own.exports.add(name, sum(1 for _ in textformat.exported(view, text=True)))

    # --- the daemon ------------------------------------------------------------------------------------------

    def _status(self, request: Request) -> Response:
        return Response(200, pages.status(self._state()), HTML, _HTML_HEADERS)

    def _state(self) -> pages.Status:
        own = self.own
        return pages.Status(
            addresses=self.addresses(),
            build=str(own.build),
            uptime=time.time() - own.started,
            not_ready=self.ready() or self.catching_up(),
            lines=own.lines.lines_total() if own.lines is not None else 0,
            programs=own.programs.states(faults=self.info_endpoint) if own.programs is not None else (),
            sources=own.sources.states() if own.sources is not None else (),
            patterns=own.sources.patterns() if own.sources is not None else (),
            problems=own.sources.problems() if own.sources is not None else {},
            dropped=own.sources.dropped() if own.sources is not None else {},
            info=self.info_endpoint,
            debugging=self.debugging_endpoint,
        )

    def _progz(self, request: Request) -> Response:
        own = self.own.programs
        states = {state.name: state for state in own.states(faults="prog" in request.query)} if own is not None else {}
        if "prog" not in request.query:
            running = sorted(name for name, state in states.items() if state.running)
            return Response(200, pages.program_list(running), HTML, _HTML_HEADERS)
        name = request.query["prog"][-1]
        name = name if name in states else utf8(name)
        dump = own.dump(name) if own is not None else None
        if dump is None:
            return plain(404, "No program found\n")
        fault = states[name].last_fault if name in states else None
        return plain(200, f"{dump}\nLast runtime error:\n{pages.fault_text(fault) if fault else ''}")

    def _profile(self, request: Request) -> Response:
        costs = self.own.programs.costs() if self.own.programs is not None else Costs()
        vary = ("Vary", "Accept")
        if wants_json(request.accept):
            return Response(200, json.dumps(asdict(costs)).encode(), metrics_json.CONTENT_TYPE, (vary,))
        return Response(200, pages.profile(costs, self.catching_up()), HTML, (*_HTML_HEADERS, vary))

    def _variables(self, request: Request) -> Response:
        return Response(200, expvar.page(self.own), metrics_json.CONTENT_TYPE)

    def _favicon(self, request: Request) -> Response:
        return Response(200, pages.FAVICON, "image/x-icon", (("Cache-Control", "public, max-age=7776000"),))

    def _healthy(self, request: Request) -> Response:
        left = self.catching_up()
        return plain(200, f"nativemtail is healthy.\n{left}\n" if left else "nativemtail is healthy.\n")

    def _ready(self, request: Request) -> Response:
        reason = self.ready()
        return plain(503, f"nativemtail is not ready: {reason}\n") if reason else plain(200, "nativemtail is ready.\n")


def _rest(pieces: Iterator[bytes], done: Callable[[], None]) -> Iterator[bytes]:
    yield from pieces
    done()


def _nothing() -> None:
    pass


def wants_openmetrics(accept: str) -> bool:
    """Whether a client prefers OpenMetrics: it must name it, and not rank the text format above it."""
    weight = quality(accept, "application/openmetrics-text") or 0.0
    return weight > 0 and weight >= (quality(accept, "text/plain", "text/*") or 0.0)


def wants_json(accept: str) -> bool:
    """Whether a client prefers JSON to a page for people."""
    weight = quality(accept, "application/json") or 0.0
    return weight > 0 and weight >= (quality(accept, "text/html", "text/*") or 0.0)


def _clean(path: str) -> str:
    clean = posixpath.normpath("/" + path.lstrip("/"))
    return clean + "/" if path.endswith("/") and clean != "/" else clean
