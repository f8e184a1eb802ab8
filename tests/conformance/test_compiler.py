"""The conformance cases as far as the front end decides them: who is accepted, and the messages of the others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from paths import CASES

from nativemtail.compiler import Options, checker, fold, parser
from nativemtail.compiler.errors import CompileError

AREAS = frozenset(("errors-check", "errors-syntax", "grammar", "lexical", "types", "inference"))
MANIFEST: list[dict[str, Any]] = json.loads((CASES / "manifest.json").read_text(encoding="utf-8"))
GOOD = [case for case in MANIFEST if case["exit_code"] == 0]
BAD = [case for case in MANIFEST if case["exit_code"] != 0 and case["area"] in AREAS]


def programs(case: dict[str, Any]) -> list[Path]:
    path = CASES / case["name"] / case["programs"]
    return [path] if path.is_file() else sorted(path.glob("[!.]*.mtail"))


def options(case: dict[str, Any]) -> Options:
    limits = {"max_regexp_length": 0, "max_recursion_depth": 0}
    for flag in case["flags"]:
        match = re.fullmatch(r"--?(max_\w+)=(\d+)", flag)
        if match and match[1] in limits:
            limits[match[1]] = int(match[2])
    return Options(**limits)


def compile_errors(path: Path, limits: Options) -> str:
    try:
        root = fold.fold(path.name, parser.parse(path.name, path.read_bytes()))
        checker.check(path.name, root, limits)
        fold.fold(path.name, root)
    except CompileError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("case", GOOD, ids=lambda case: str(case["name"]))
def test_accepted(case: dict[str, Any]) -> None:
    paths = programs(case)
    assert paths
    assert [compile_errors(path, options(case)) for path in paths] == [""] * len(paths)


@pytest.mark.parametrize("case", BAD, ids=lambda case: str(case["name"]))
def test_rejected(case: dict[str, Any]) -> None:
    wanted = (CASES / case["name"] / case["messages"]).read_text(encoding="utf-8").splitlines()
    found = compile_errors(programs(case)[0], options(case)).splitlines()
    if any("Internal compiler error" in line for line in wanted):
        assert found == [], "code generation reports these"
        return
    missing = [line for line in wanted[1:] if not any(line in other for other in found)]
    assert missing == [], found
