"""One test for each conformance case; README.md here says how they are run and compared.

NATIVEMTAIL_IN_PROCESS=1 runs them all in the process of the tests: hundreds of starts take minutes under sanitizers.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple, NoReturn

import pytest
from paths import BEYOND, CASES


def manifest(folder: Path) -> list[dict[str, Any]]:
    """The cases of a folder, each with its own folder as `path`."""
    cases: list[dict[str, Any]] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return [case | {"path": folder / case["name"]} for case in cases]


MANIFEST = manifest(CASES)
NEW = manifest(BEYOND)
SUBJECTS = frozenset("declarations every fields functions include log-filter record statements time".split())
"""Deviations of the new cases: subjects of docs/spec/beyond."""

IN_PROCESS = os.environ.get("NATIVEMTAIL_IN_PROCESS") == "1"
CLOCK_SLACK = 2.0
TIMEOUT = 300


class Run(NamedTuple):
    """What a run gave; the texts say <CASEDIR> for the folder."""

    status: int
    output: str
    messages: str
    start: float
    end: float

    def is_now(self, seconds: float) -> bool:
        return self.start - CLOCK_SLACK <= seconds <= self.end + CLOCK_SLACK


@pytest.mark.parametrize("case", [*MANIFEST, *NEW], ids=lambda case: str(case["name"]))
def test_case(case: dict[str, Any], tmp_path: Path) -> None:
    run = run_case(case, tmp_path)
    assert run.status == case["exit_code"], run.messages
    if case["expected"]:
        expected = read(case, case["expected"])
        if case["format"] == "json":
            wanted = json.loads(expected)
            assert json_marked(json.loads(run.output, parse_constant=refuse), wanted, run) == wanted
        else:
            assert prometheus_marked(run) == expected
    if case["messages"]:
        assert missing(read(case, case["messages"]), run.messages) == [], run.messages


@pytest.mark.parametrize(("cases", "folder"), [(MANIFEST, CASES), (NEW, BEYOND)], ids=["cases", "beyond"])
def test_the_manifest_is_complete(cases: list[dict[str, Any]], folder: Path) -> None:
    assert {case["name"] for case in cases} == {path.name for path in folder.iterdir() if path.is_dir()}


def test_each_deviation_is_a_row_of_the_table() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", CASES.with_name("deviations.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert {case["deviation"] for case in MANIFEST if "deviation" in case} <= set(rows)
    assert {case["deviation"] for case in NEW if "deviation" in case} <= SUBJECTS


def run_case(case: dict[str, Any], tmp_path: Path) -> Run:
    folder = place(case["path"], tmp_path.resolve() / "case")
    stdin = case.get("stdin")
    arguments = ["-one_shot", f"-one_shot_format={case['format']}", "-progs", case["programs"]]
    arguments += ["-logs", "-" if stdin else "input.log", "-logtostderr", "-unix_socket", str(tmp_path / "http")]
    arguments += [flag.replace("<CASEDIR>", str(folder)) for flag in case["flags"]]
    with open(folder / stdin if stdin else os.devnull, "rb") as source:
        start = time.time()
        status, *texts = (call if IN_PROCESS else start_process)(arguments, folder, source)
        end = time.time()
    output, messages = (data.decode("utf-8", "replace").replace(str(folder), "<CASEDIR>") for data in texts)
    return Run(status, output, messages, start, end)


def start_process(arguments: list[str], folder: Path, stdin: IO[bytes]) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "nativemtail", *arguments],
        cwd=folder,
        stdin=stdin,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    return done.returncode, done.stdout, done.stderr


def call(arguments: list[str], folder: Path, stdin: IO[bytes]) -> tuple[int, bytes, bytes]:
    """As `start_process`, without a process."""
    from nativemtail.app.cli import main

    with TemporaryFile() as output, TemporaryFile() as messages, contextlib.chdir(folder):
        files = (stdin, output, messages)
        saved = [os.dup(fd) for fd in range(3)]
        handlers = logging.getLogger().handlers[:]
        try:
            for fd, file in enumerate(files):
                os.dup2(file.fileno(), fd)
            status = main(arguments)
        finally:
            logging.getLogger().handlers[:] = handlers
            for fd, old in enumerate(saved):
                os.dup2(old, fd)
                os.close(old)
        output.seek(0)
        messages.seek(0)
        return status, output.read(), messages.read()


def place(case: Path, folder: Path) -> Path:
    """A copy of the case whose programs know where they are."""
    shutil.copytree(case, folder)
    for program in folder.rglob("*.mtail"):
        program.write_bytes(program.read_bytes().replace(b"<CASEDIR>", os.fsencode(folder)))
    return folder


def read(case: dict[str, Any], name: str) -> str:
    path: Path = case["path"] / name
    return path.read_bytes().decode("utf-8")


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def json_marked(got: Any, expected: Any, run: Run) -> Any:
    """`got` with <NOW> for a time of the run wherever `expected` has that."""
    if expected == "<NOW>":
        return "<NOW>" if type(got) is int and run.is_now(got / 1e9) else got
    if isinstance(got, dict) and isinstance(expected, dict):
        return {key: json_marked(value, expected.get(key), run) for key, value in got.items()}
    if isinstance(got, list) and isinstance(expected, list) and len(got) == len(expected):
        return [json_marked(*pair, run) for pair in zip(got, expected, strict=True)]
    # Python takes True for 1; JSON does not.
    return got if isinstance(got, bool) == isinstance(expected, bool) else repr(got)


def prometheus_marked(run: Run) -> str:
    def mark(stamp: re.Match[str]) -> str:
        return " <NOW>" if run.is_now(int(stamp[1]) / 1000) else stamp[0]

    return re.sub(r" (\d{13})$", mark, run.output, flags=re.M)


def missing(wanted: str, messages: str) -> list[str]:
    lines = messages.split("\n")
    return [
        want.strip() for want in wanted.split("\n") if want.strip() and not any(want.rstrip() in line for line in lines)
    ]
