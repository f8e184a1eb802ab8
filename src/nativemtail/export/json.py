"""The pages `/json` (spec metrics-export.md §2) and `/metrics.json` (docs: JSON metrics)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nativemtail.export.prometheus import Page

if TYPE_CHECKING:
    from nativemtail._core import Snapshot

JSON_TYPE = "application/json"
METRICS_TYPE = "application/json; charset=utf-8"


def page(snapshot: Snapshot) -> Page:
    """All metrics but hidden ones, as an array."""
    return Page(snapshot.json(False), JSON_TYPE, ())


def metrics_page(
    snapshot: Snapshot, *, emit_prog_label: bool = True, prefix: str = "", names: frozenset[str] | None = None
) -> Page:
    """The metrics of the page `/metrics`, as one object by family.  Raises ValueError as that page does."""
    body = snapshot.metrics_json(emit_prog_label=emit_prog_label, prefix=prefix, names=names)
    return Page(body, METRICS_TYPE, tuple(snapshot.warnings))
