"""inotify's queue, for tests that overflow it."""

from __future__ import annotations

import pytest

from nativemtail.io import watch


def lose_events(monkeypatch: pytest.MonkeyPatch, lost: list[bool]) -> None:
    """inotify's queue overflows as long as `lost` has something in it."""
    real = watch.Watcher.read

    def read(self: watch.Watcher) -> list[watch.Event]:
        events = real(self)
        if lost and events:
            while real(self):
                pass
            return [watch.Event(-1, watch.OVERFLOW, 0, "")]
        return events

    monkeypatch.setattr(watch.Watcher, "read", read)
