"""`/varz`: one line per label set."""

from __future__ import annotations

from typing import Any

import pytest

from nativemtail.export import varz


def test_page(snapshot: Any) -> None:
    assert b"".join(varz.render(snapshot, instance="vm")) == (
        b"c{x=foo,prog=a.mtail,instance=vm} 1\n"
        b"c{x=bar,prog=a.mtail,instance=vm} 3\n"
        b"g-h{prog=a.mtail,instance=vm} 4\n"
        b"t{prog=a.mtail,instance=vm} b\xffd\n"
        b"h{x=foo,prog=a.mtail,instance=vm} 2.25\n"
        b"h{x=bar,prog=a.mtail,instance=vm} 1.234567895e+08\n"
        b"f{a=foo,z=2.25,prog=a.mtail,instance=vm} 2.25\n"
    )


@pytest.mark.parametrize("line", [b"c{x=foo,instance=vm} 1\n", b"g-h{instance=vm} 4\n"])
def test_without_program_label(snapshot: Any, line: bytes) -> None:
    assert line in b"".join(varz.render(snapshot, instance="vm", emit_prog_label=False))
