"""The soak of perf/daemon.py, made short: exact counts under rotation and reload, and memory that stays."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from daemons import COMMAND
from paths import ROOT

PERF = ROOT / "perf"


def test_soak(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    command = [sys.executable, str(PERF / "daemon.py"), "soak", "--subjects", "nativemtail", "--json", str(result)]
    command += ["--nativemtail", " ".join(COMMAND), "--directory", str(tmp_path)]
    command += ["--seconds", "8", "--rate", "20", "--rotate", "0.25", "--reload", "0.8"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads(result.read_text())
    assert found["exact"]
    assert found["rotations"] >= 20
    assert found["loads"] >= 4
    assert found["memory_MB_second_half"] < 1.2 * found["memory_MB_first_half"] + 5
