"""Graphite's lines, on the page and for a push."""

from __future__ import annotations

from typing import Any

from nativemtail.export import graphite

TIME = b" 1795295856\n"


def test_page(snapshot: Any) -> None:
    lines = [
        b"p.a.mtail.c.x.foo 1",
        b"p.a.mtail.c.x.bar 3",
        b"p.a.mtail.g-h 4",
        b"p.a.mtail.t b\xffd",
        b"p.a.mtail.h.x.foo.bin_1 0",
        b"p.a.mtail.h.x.foo.bin_2.5 1",
        b"p.a.mtail.h.x.foo.bin_1e+06 0",
        b"p.a.mtail.h.x.foo.bin_inf 0",
        b"p.a.mtail.h.x.foo.count 1",
        b"p.a.mtail.h.x.foo 2.25",
        b"p.a.mtail.h.x.bar.bin_1 0",
        b"p.a.mtail.h.x.bar.bin_2.5 0",
        b"p.a.mtail.h.x.bar.bin_1e+06 0",
        b"p.a.mtail.h.x.bar.bin_inf 1",
        b"p.a.mtail.h.x.bar.count 1",
        b"p.a.mtail.h.x.bar 1.234567895e+08",
        b"p.a.mtail.f.a.foo.z.2_25 2.25",
    ]
    assert b"".join(graphite.render(snapshot, prefix="p.")) == b"".join(line + TIME for line in lines)


def test_an_entry_is_one_label_set(snapshot: Any) -> None:
    histogram = snapshot.metrics()[3]
    first, second = graphite.entries(snapshot, histogram)
    assert first.count(b"\n") == second.count(b"\n") == 6
    assert first.endswith(b"a.mtail.h.x.foo 2.25" + TIME)
