"""A run that dies anywhere in a save leaves the state of before or after it: the next counts what is missing."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from daemons import COMMAND, Place, append
from paths import ROOT
from waiting import PATIENCE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("crash") / "crash_point.so"
    source = ROOT / "tests" / "support" / "crash_point.cc"
    subprocess.run(
        ["g++", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True
    )
    return library


def count(place: Place, environment: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    """A one-shot run with a state."""
    flags = ["-one_shot", "-one_shot_format", "prometheus", "-progs", str(place.progs), "-logs", place.glob]
    command = [*COMMAND, *flags, "-state_dir", str(place.root / "state")]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, timeout=PATIENCE, check=False
    )


@pytest.mark.parametrize("is_torn", [False, True], ids=["whole", "torn"])
def test_every_crash_point(is_torn: bool, tmp_path: Path, preloaded: Path) -> None:
    place = Place(tmp_path.resolve())
    log = place.logs / "a.log"
    (place.root / "state").mkdir(mode=0o700)
    crash = {"LD_PRELOAD": str(preloaded), "CRASH_DIRECTORY": str(place.root / "state")}
    if is_torn:
        crash["CRASH_TORN"] = "1"
    lines = 0
    for point in itertools.count(1):
        for _ in range(20):
            lines += 1
            append(log, b"word%d 1\n" % lines)
        if point % 3 == 0:
            log.rename(place.logs / f"a.log-{20260000 + point}")
        died = count(place, {**crash, "CRASH_AT": str(point)})
        lines += 1
        append(log, b"late%d 1\n" % lines)
        after = count(place, {})
        assert after.returncode == 0, after.stderr
        assert b"damaged" not in after.stderr
        total = re.search(rb"^lines_total\S* (\d+)", after.stdout, re.M)
        assert total is not None, after.stdout
        assert int(total[1]) == lines, f"after a crash at call {point}: {after.stderr.decode()}"
        assert after.stdout.count(b"words_total{") == lines
        if died.returncode != -signal.SIGKILL:
            assert died.returncode == 0, died.stderr
            break
    assert point > 10
