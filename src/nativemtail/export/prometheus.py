"""The page `/metrics`: Prometheus text 0.0.4, or OpenMetrics 1.0 (spec metrics-export.md §1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nativemtail._core import Snapshot

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Page(NamedTuple):
    """What a reader gets; `warnings` tells what was left out and why."""

    body: bytes
    content_type: str
    warnings: tuple[str, ...]


def page(
    snapshot: Snapshot,
    *,
    own: bytes = b"",
    emit_prog_label: bool = True,
    emit_timestamp: bool = False,
    prefix: str = "",
    names: frozenset[str] | None = None,
    openmetrics: bool = False,
) -> Page:
    """The user's metrics, then `own` in the same format (without `# EOF`).

    Raises ValueError with the reason where §1.6 fails the page.
    """
    body = snapshot.prometheus(
        emit_prog_label=emit_prog_label,
        emit_timestamp=emit_timestamp,
        prefix=prefix,
        names=names,
        openmetrics=openmetrics,
    )
    end = b"# EOF\n" if openmetrics else b""
    return Page(body + own + end, OPENMETRICS_TYPE if openmetrics else TEXT_TYPE, tuple(snapshot.warnings))
