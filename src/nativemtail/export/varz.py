"""Borgmon's text form, `GET /varz` (spec metrics-export.md §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nativemtail.export.values import encode, exported, value_text

if TYPE_CHECKING:
    from nativemtail._core import Snapshot

CONTENT_TYPE = "text/plain"


def render(snapshot: Snapshot, *, instance: str, emit_prog_label: bool = True) -> bytes:
    """One line per label set, text metrics included; `instance` is the host's name."""
    lines = []
    for metric in exported(snapshot, text=True):
        fixed = [f"prog={metric.program}"] if emit_prog_label else []
        fixed.append(f"instance={instance}")
        for row in snapshot.rows(metric):
            own = sorted(f"{key}={value}" for key, value in zip(metric.keys, row.labels, strict=True))
            lines.append(f"{metric.name}{{{','.join(own + fixed)}}} {value_text(row)}\n")
    return encode("".join(lines))
