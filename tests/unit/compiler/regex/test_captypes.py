"""Types of capture groups: the table of spec language.md §5.4, and what real mtail was seen to do beyond it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from nativemtail.compiler.regex.captypes import group_types
from nativemtail.compiler.regex.parser import parse

INT = r"""
\d+ \d* \d? [0-9]+ \d{3} \d{1,2} [[:digit:]]+
-?\d+ [-+]?\d+ -?[0-9] \+1 [-0-9]+
12 1 5{1} 200|404 1|22 0|[1-9]\d* -1|\d+
(\d+) (?:\d+)? (?:1|2)+ 200|201 (?i)12
""".split()

FLOAT = r"""
\d+\.\d+ \d+\.\d* \d+\. \.\d+ \d+(\.\d+)? [\d.]+ [0-9.]+ [.] \.+
[+-]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?
\d+|\d+\.\d+ [0-9]+\.[0-9]+|[0-9]+
e [eE]+ \d+e\d+ (?i)e\d [-.]\d
""".split()

STRING = r"""
\d [0-9] \d{1} 1|2 0|1|2 [0-4]|[5-9] [-0-9] 1|(?s:1)|23
10|1 2|20 \d|\d\d \d+| foo|1 \d+|-
\p{Nd}+ ^\d+ \d+$ \b\d+ \d+ms 0x\d+
\d+\.\d+\.\d+ \d{1,3}(?:\.\d{1,3}){3} \d\.\d|\d \d+\.\d+|\- NaN|\d+
. .* \S+ \w+ \d+,\d+ \+ - [+-]+ [^\x00-\x{10FFFF}] [*-9]+
""".split()


@pytest.mark.parametrize(
    ("contents", "expected"),
    [(c, "Int") for c in INT] + [(c, "Float") for c in FLOAT] + [(c, "String") for c in [*STRING, ""]],
)
def test_type_of_group(contents: str, expected: str) -> None:
    assert group_types(parse(f"x({contents})y".encode()))[0] == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (b"", []),
        (rb"(\d+) (\S+) (\d+\.\d+)", ["Int", "String", "Float"]),
        (rb"((\d+)|(x))(?P<f>\.\d+)?", ["String", "Int", "String", "Float"]),
        (rb"((?:1|22))", ["Int"]),
        (rb"((1|22))", ["Int", "Int"]),
        (rb"(\d+){0}", []),
        (rb"(\d+){0}(\d+)", ["None", "Int"]),
        (rb"(\d{2}){3}", ["Int"]),
        (rb"(\.){2}(\.{2})", ["Float", "String"]),
    ],
)
def test_types_of_groups(pattern: bytes, expected: list[str]) -> None:
    assert group_types(parse(pattern)) == expected


def test_hostile_nesting_is_quick() -> None:
    assert group_types(parse(b"(" * 490 + rb"\d{1000}" + b")" * 490)) == ["Int"] * 490


def test_types_are_those_of_mtail(tmp_path: Path) -> None:
    groups = [f"x({contents})y" for contents in INT + FLOAT + STRING]
    program = "gauge g by k\n" + "".join(f"/{group}/ {{\n  g[$1] = 1\n}}\n" for group in groups)
    (tmp_path / "p.mtail").write_text(program)
    run = subprocess.run(
        ["mtail", "-compile_only", "-dump_ast_types", "-logtostderr", "-progs", "p.mtail", "-unix_socket", "socket"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    dumped = re.findall(r"CaprefTerm <(\w+)>", run.stderr)[-len(groups) :]
    assert dumped == [group_types(parse(group.encode()))[0] for group in groups]
