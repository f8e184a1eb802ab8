"""Every example program yields what its expected metrics say, alone and with all others loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from paths import EXAMPLES

LOGS = EXAMPLES / "logs"
PROGRAMS = sorted(EXAMPLES.glob("*.mtail"))
OF_MTAIL = Path(__file__).with_name("examples_of_mtail")
"""Examples without what mtail's language lacks."""
WITH_JSON = sorted((EXAMPLES / "expected").glob("*.json"))


def one_shot(form: str, programs: Path, logs: str) -> str:
    command = [sys.executable, "-m", "nativemtail", "--one_shot"]
    command += [f"--one_shot_format={form}", "--progs", str(programs), "--logs", logs]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_prometheus(program: Path) -> None:
    expected = (EXAMPLES / "expected" / f"{program.stem}.prom").read_text().replace("<LOGS>", str(LOGS))
    assert one_shot("prometheus", program, str(LOGS / f"{program.stem}.log")) == expected


@pytest.mark.parametrize("expected", WITH_JSON, ids=lambda path: path.stem)
def test_json(expected: Path) -> None:
    found = one_shot("json", EXAMPLES / f"{expected.stem}.mtail", str(LOGS / f"{expected.stem}.log"))
    assert json.loads(found) == json.loads(expected.read_text())


@pytest.mark.parametrize("program", sorted(OF_MTAIL.glob("*.mtail")), ids=lambda path: path.stem)
def test_the_form_that_mtail_reads_counts_the_same(program: Path) -> None:
    found = one_shot("prometheus", program, str(LOGS / f"{program.stem}.log"))
    expected = (EXAMPLES / "expected" / f"{program.stem}.prom").read_text()
    assert without_help(found) == without_help(expected)


def without_help(page: str) -> list[str]:
    return [line for line in page.splitlines() if not line.startswith("# HELP ")]


def test_all_together() -> None:
    """As `make run` does: all programs see all logs, and no name is taken twice."""
    output = one_shot("prometheus", EXAMPLES, f"{LOGS}/*.log")
    for program in PROGRAMS:
        assert f'prog="{program.name}"' in output


def test_every_example_is_complete() -> None:
    names = {path.stem for path in PROGRAMS}
    assert names == {path.stem for path in LOGS.glob("*.log")}
    assert names == {path.stem for path in (EXAMPLES / "expected").glob("*.prom")}
    readme = (EXAMPLES / "README.md").read_text()
    assert [name for name in sorted(names) if f"`{name}`" not in readme] == []
