"""Which series a program wants if its first pattern matches."""

from __future__ import annotations

import pytest

from nativemtail.compiler import compile_program
from nativemtail.compiler.lookahead import series


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("counter c by a\n/(\\w+)/ {\n  c[$1]++\n}\n", [(0, (1,))], id="one key"),
        pytest.param("counter c by a, b\n/(\\w) (\\w+)/ {\n  c[$2, $1]++\n}\n", [(0, (2, 1))], id="two keys"),
        pytest.param("counter c by a\ncounter d by a\n/(\\w+)/ {\n  c[$1]++\n  d[$1]++\n}\n",
                     [(0, (1,)), (1, (1,))], id="two metrics"),
        pytest.param("counter c\n/(\\w+)/ {\n  c++\n}\n", [], id="no keys"),
        pytest.param("counter c by a\n/(\\w+)/ {\n  c[tolower($1)]++\n}\n", [], id="computed key"),
        pytest.param("counter c by a\n/(\\w+)/ {\n  /x(\\d+)/ {\n    c[$1]++\n  }\n}\n", [], id="after another"),
        pytest.param("counter c by a\ngauge g\ng = 1\n/(\\w+)/ {\n  c[$1]++\n}\n", [], id="something before"),
        pytest.param("counter c by a\nc[\"x\"]++\n", [], id="no pattern"),
    ],
)  # fmt: skip
def test_series(text: str, found: list[tuple[int, tuple[int, ...]]]) -> None:
    assert series(compile_program("p", text.encode()).code) == found
