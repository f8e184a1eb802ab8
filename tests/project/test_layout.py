"""Where tests are, how long they are, and what CI runs: unit tests mirror the sources, no two files have one name."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

from paths import ROOT

TESTS = ROOT / "tests"
UNIT = TESTS / "unit"
PACKAGE = ROOT / "src" / "nativemtail"
LONGEST_FUNCTION = 60

OF_SEVERAL_MODULES = {
    "io/test_drain.py": "what a stop reads, with every kind of source",
    "io/test_fuse.py": "file systems that exchange open files; needs bindfs",
    "io/test_many_logs.py": "the cost of many logs that rotate at once",
    "io/test_suffixes.py": "logs that are named like rotated files of another log",
    "io/test_until_end.py": "one-shot: every reader until its end",
}
"""Unit tests without a module of their own, and why."""


def mirrored(test: Path) -> Path | None:
    """The module or package that `test_MODULE.py`, or `test_MODULE_ASPECT.py`, is about."""
    words = test.stem.removeprefix("test_").split("_")
    folder = PACKAGE / test.parent.relative_to(UNIT)
    for end in range(len(words), 0, -1):
        name = "_".join(words[:end])
        for path in (folder / name, *(folder / f"{name}{suffix}" for suffix in (".py", ".pyx", ".pxi", ".hpp"))):
            if path.exists():
                return path
    return None


def test_unit_tests_mirror_the_sources() -> None:
    lost = {str(test.relative_to(UNIT)) for test in UNIT.rglob("test_*.py") if mirrored(test) is None}
    assert lost - OF_SEVERAL_MODULES.keys() == set()
    assert all((UNIT / name).exists() for name in OF_SEVERAL_MODULES)


def test_no_two_files_of_tests_have_one_name() -> None:
    """But for those that mirror modules of one name in two packages."""
    places = defaultdict(list)
    for test in TESTS.rglob("test_*.py"):
        places[test.name].append(test)
    twice = {name: tests for name, tests in places.items() if len(tests) > 1}
    assert {name: tests for name, tests in twice.items() if not all(UNIT in test.parents for test in tests)} == {}


def test_functions_of_tests_are_short() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        if (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert long == []


def test_every_folder_of_tests_is_in_the_table() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = {path.name for path in TESTS.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {name for name in folders if f"`tests/{name}`" not in text} == set()


def test_workflows_run_targets_of_make() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    workflows = [path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml")]
    called = {name for text in workflows for name in re.findall(r"\bmake ([a-z]+)", text)}
    assert {"lint", "quick", "wheel"} <= called <= targets
    assert any(".ci/run" in text for text in workflows), "which runs `make test` on a bare Debian"
