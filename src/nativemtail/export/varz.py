"""Borgmon's text form, `GET /varz` (spec metrics-export.md §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nativemtail.export.textformat import encode, exported, joined, value_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nativemtail._render import View

CONTENT_TYPE = "text/plain"


def render(view: View, *, instance: str, emit_prog_label: bool = True) -> Iterator[bytes]:
    """One line per series, text metrics included, in pieces; `instance` is the host's name."""
    return joined(_lines(view, instance, emit_prog_label))


def _lines(view: View, instance: str, emit_prog_label: bool) -> Iterator[bytes]:
    for metric in exported(view, text=True):
        fixed = [f"prog={metric.program}"] if emit_prog_label else []
        fixed += [f"{name}={value}" for name, value in metric.labels]
        fixed.append(f"instance={instance}")
        for row in view.rows(metric):
            own = sorted(f"{key}={value}" for key, value in zip(metric.keys, row.labels, strict=True))
            yield encode(f"{metric.name}{{{','.join(own + fixed)}}} {value_text(row)}\n")
