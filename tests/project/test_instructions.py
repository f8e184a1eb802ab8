"""No stage of the core needs more instructions than it did; perf/instructions.py counts and compares."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from paths import ROOT

pytestmark = pytest.mark.slow

PERF = ROOT / "perf"


@pytest.fixture(scope="module")
def instructions() -> ModuleType:
    for name in ("generate", "instructions"):
        spec = importlib.util.spec_from_file_location(name, PERF / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def test_no_stage_grew(instructions: ModuleType) -> None:
    assert shutil.which("valgrind"), "the package valgrind is not installed (packages.txt)"
    now = instructions.measure()
    assert set(now) == set(instructions.WORKLOADS)
    key = instructions.key()
    before = instructions.load(instructions.BASELINE).get(key)
    if before is None:
        path = ROOT / "build" / "instructions.json"
        instructions.record(path, now)
        pytest.skip(f"no baseline for {key}: what was measured is in {path}")
    assert not list(instructions.grown(now, before))


def test_a_stage_that_grew_is_named(instructions: ModuleType) -> None:
    before = {"syslog": {"prefilter": 1000, "act": 500, "store": 10}, "json": {"act": 100}}
    now = {"syslog": {"prefilter": 1000, "act": 560, "store": 20}, "json": {"act": 102}}
    assert list(instructions.grown(now, before)) == [
        "syslog: 1,580 instructions, were 1,510 (+4.6 %)",
        "syslog, act: 560 instructions, were 500 (+12.0 %)",
    ]


def test_calls_count_for_the_callee_alone(instructions: ModuleType, tmp_path: Path) -> None:
    part = tmp_path / "out"
    part.write_text(
        "events: Ir\n\nob=(1) /x/_core.cpython-311-x86_64-linux-gnu.so\nfn=(1) __pyx_f_11nativemtail_5_core_run_code\n"
        "0 40\ncob=(2) /usr/lib/libpcre2-8.so.0\ncfn=(2) pcre2_jit_match_8\ncalls=3 0\n0 900\n+1 2\n\n"
        "ob=(2)\nfn=(2)\n0 300\nob=(3) ???\nfn=(3) 0x0000\n* 600\n"
    )
    assert instructions.count(part, instructions.stages()) == {"run": 42, "match": 900}
