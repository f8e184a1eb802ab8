"""perf/bench.py measures, compares and writes its report; on a log so small that its figures mean nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

pytestmark = pytest.mark.slow

PERF = ROOT / "perf"

NATIVEMTAIL = f"""#!/bin/sh
PYTHONPATH={ROOT / "src"} exec {sys.executable} -m nativemtail "$@"
"""
LOGSWAN = """#!/bin/sh
echo "{\\"hits\\": {\\"total\\": $(($(wc -l < "$1") - $MISSING))}}"
"""


CACHED = f"""#!/bin/sh
[ "$1" = --help ] && exec echo --cache_dir >&2
for argument; do
  shift
  if [ "$last" = --cache_dir ]; then
    [ -e "$argument" ] && echo filled || echo empty
    mkdir -p "$argument"
  elif [ "$argument" != --cache_dir ]; then
    set -- "$@" "$argument"
  fi
  last=$argument
done >> "$0.log"
PYTHONPATH={ROOT / "src"} exec {sys.executable} -m nativemtail "$@"
"""
"""Takes the option, and notes what it finds there."""


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def bench(place: Path, *arguments: str, missing: int = 0) -> tuple[str, dict[str, Any], str]:
    """The report, its data, and what was said on stderr."""
    ours, logswan = script(place / "ours", NATIVEMTAIL), script(place / "swan", LOGSWAN)
    core = str(min(os.sched_getaffinity(0)))
    command = [sys.executable, str(PERF / "bench.py"), "--size", "1", "--runs", "1", "--no-inside", "--no-daemons"]
    command += ["--nativemtail", str(ours), "--results", str(place / "results"), "--machine", "test", "--cpu", core]
    command += ["--peer", f"logswan={logswan}", "--peer", "lnav=/nowhere/lnav", *arguments]
    environment = os.environ | {"MISSING": str(missing)}
    answer = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=300)
    assert answer.returncode == 0, answer.stderr
    [report] = (place / "results").glob("*-test.md")
    return report.read_text(), json.loads(report.with_suffix(".json").read_text()), answer.stderr


def cells(report: str, *begins: str) -> list[str]:
    """The only row that begins with these cells."""
    [row] = [line for line in report.splitlines() if line.startswith(f"| {' | '.join(begins)} |")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_mtail_gets_the_same_metrics_of_fields_by_other_programs(tmp_path: Path) -> None:
    names = ("wide", "nested", "nested_all", "logfmt", "records")
    report, *_ = bench(tmp_path, *(word for name in names for word in ("--only", name)))
    for name in names:
        assert cells(report, name, "1")[10] == "yes"


def test_a_report(tmp_path: Path) -> None:
    report, raw, said = bench(tmp_path, "--only", "apache", "--only", "startup")
    assert cells(report, "apache", "1")[10] == "yes"
    assert float(cells(report, "apache", "1")[2]) > 0
    assert cells(report, "apache", "≥ 22 × mtail")[3] in ("yes", "NO")
    assert cells(report, "json", "≥ 20 × mtail")[2] == "not measured"
    assert cells(report, "logswan", "apache")[9] == "yes"
    assert "lnav is not there" in said
    assert {"nativemtail", "mtail"} <= raw["results"]["apache"].keys()
    assert len(raw["results"]["apache"]["nativemtail"]["runs"]) == 1


def test_a_peer_that_loses_a_line(tmp_path: Path) -> None:
    report, raw, _ = bench(tmp_path, "--only", "apache", "--subjects", "nativemtail", missing=1)
    assert cells(report, "logswan", "apache")[9] == "NO"
    assert [peer["complete"] for peer in raw["peers"] if peer["peer"]["command"] == "logswan"] == [False]


def test_an_empty_and_a_filled_cache(tmp_path: Path) -> None:
    cached = script(tmp_path / "cached", CACHED)
    arguments = ["--only", "startup", "--subjects", "nativemtail", "--no-peers", "--nativemtail", str(cached)]
    report, raw, _ = bench(tmp_path, *arguments)
    assert (tmp_path / "cached.log").read_text().split() == ["empty", "empty", "filled", "empty"]
    assert raw["results"]["startup"].keys() == {"nativemtail", "cold"}
    assert raw["same_metrics"] == {"startup": True}
    assert float(cells(report, "startup", "0")[5]) > 0


def run(code: str) -> str:
    """Code that sees perf/'s modules, whose names tests/support has as well."""
    line = [sys.executable, "-c", code]
    return subprocess.run(line, check=True, capture_output=True, text=True, cwd=PERF).stdout


SCALED = """
from bench import Measured, Run
runs = [Run(wall, 0.0, 0) for wall in (9.0, 3.0, 4.0)]
print(Measured(100, runs).seconds(100), Measured(100, runs, [Run(1.0, 0.0, 0)]).seconds(500))
"""


def test_times_scale_without_start_up() -> None:
    assert run(SCALED).split() == ["4.0", "16.0"]


TARGETS = """
from bench import TARGETS, Found, figures, target_table
names = {target.figure for target in TARGETS}
assert names <= figures(Found({}, {})).keys(), names
for value in (None, 1e-9, 1e9):
    print([row.rpartition("|")[0].rpartition("|")[2].strip() for row in target_table(dict.fromkeys(names, value))][2:])
"""


def test_targets_are_reached_or_not() -> None:
    none, small, large = (json.loads(line.replace("'", '"')) for line in run(TARGETS).splitlines())
    assert set(none) == {""}
    assert {*zip(small, large, strict=True)} == {("yes", "NO"), ("NO", "yes")}


PREFIX = """
import pathlib, generate
generate.INPUTS = pathlib.Path("%s")
short = generate.generate("%s", 1).read_bytes()
generate.generate("%s", 1).unlink()
whole = generate.generate("%s", 2).read_bytes()
again = generate.generate("%s", 1).read_bytes()
print(short == again, whole.startswith(short), short.endswith(b"\\n"))
"""


@pytest.mark.parametrize("kind", ["apache", "syslog"])
def test_a_short_log_is_the_beginning_of_a_long_one(kind: str, tmp_path: Path) -> None:
    assert run(PREFIX % (tmp_path, kind, kind, kind, kind)).split() == ["True"] * 3
