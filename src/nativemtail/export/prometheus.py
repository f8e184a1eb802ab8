"""The page `/metrics`: the user's metrics and the process's own, as Prometheus text or OpenMetrics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prometheus_client.exposition import generate_latest as text_page
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_page

from nativemtail.export import own

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client.core import Metric as Family

    from nativemtail._render import View

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def is_prefix(text: str) -> bool:
    """Whether `text` is a legal prefix of a metric name."""
    return not text or _NAME.fullmatch(text) is not None


def render(
    view: View,
    families: Iterable[Family],
    *,
    reserved: frozenset[str],
    emit_prog_label: bool = True,
    emit_timestamp: bool = False,
    prefix: str = "",
    names: frozenset[str] | None = None,
    openmetrics: bool = False,
) -> Iterator[bytes]:
    """The page in pieces; `families` are the process's own, the other parameters as for `own.shown`."""
    shown = own.shown(families, view, reserved=reserved, prefix=prefix, names=names, openmetrics=openmetrics)
    yield from view.prometheus(
        emit_prog_label=emit_prog_label,
        emit_timestamp=emit_timestamp,
        prefix=prefix,
        names=own.bare(names, prefix),
        reserved=reserved,
        openmetrics=openmetrics,
    )
    # In OpenMetrics these end with the last line of the page.
    if openmetrics:
        yield openmetrics_page(_Collected(shown))  # type: ignore[no-untyped-call]
    else:
        yield text_page(_Collected(shown))


class _Collected:
    """Wraps families as prometheus-client's renderers expect them."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Sequence[Family]:
        return self._families
