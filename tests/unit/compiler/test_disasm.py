"""The readable dump: prefilters, engines and code."""

from __future__ import annotations

import pytest

from nativemtail.compiler import compile_program
from nativemtail.compiler.disasm import dump


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("counter c\nc++\n", ["Prog: p.mtail", "Runs: on every line", " c kind=1 type=0 keys=[] p.mtail:1:9"]),
        ("counter c\n/error/ {\n  c++\n}\n",
         ["where one of these passes its prefilter: /error/", "slot 0 = line ~ pattern 0"]),
        ("/error/ {\n}\n", ["never: it can change nothing"]),
        ("counter c\nint(\"x\")\n/error/ {\n  c++\n}\n", ["or the guard slice fails", "Guard slice"]),
        ("log_filter \"/a\", \"/b\"\n", ["Sources: /a, /b"]),
        ("gauge g\nbegin {\n  g = 7\n}\n", ["Begin", "datum "]),
        ("gauge g\ngauge h\ng = 7\nh = 2.5\n", ["Integers\n        0 7\nFloats\n        0 2.5\nCode"]),
        ("text t\nstrptime(\"2026 \", \"2006 \")\nt = \"x\"\n",
         ["Strings\n        0 b'2026 '\n", "Layouts\n        0 b'2006 ': year4 \"2006\", literal \" \"\nCode"]),
    ],
)  # fmt: skip
def test_dump(text: str, says: list[str]) -> None:
    dumped = dump(compile_program("p.mtail", text.encode()))
    assert [piece for piece in says if piece not in dumped] == [], dumped
