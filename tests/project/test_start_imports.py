"""What a start imports is pinned: start-up time is part of what a one-shot run takes.

`start_imports.txt` lists for each mode the top-level modules that it loads beyond those of a bare interpreter, and the
packages and modules of nativemtail itself.  If a new one is worth its time (`python -X importtime -m nativemtail …`
shows it), write the file anew with `.venv/bin/python tests/project/test_start_imports.py`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PINNED = Path(__file__).with_name("start_imports.txt")
PROGRAM = "counter lines\n/$/ {\n  lines++\n}\n"
MODES = {"one-shot": ("-one_shot",), "daemon": ("-address", "127.0.0.1", "-port", "0")}

MAIN = r"""
import sys
before = set(sys.modules)
from nativemtail.app.cli import main
status = main(sys.argv[1:])
parts = [name.split(".") for name in set(sys.modules) - before]
found = {".".join(part[:2]) if part[0] == "nativemtail" else part[0] for part in parts}
print("\nmodules:", *sorted(name for name in found if not name.startswith("_")))
sys.exit(status)
"""


def imports(mode: str, directory: Path) -> set[str]:
    """The modules of a start with what was compiled in the cache; a daemon ends with its only log, standard input."""
    (directory / "p.mtail").write_text(PROGRAM)
    flags = ["-progs", str(directory), "-logs", "-", "-cache_dir", str(directory / "cache"), *MODES[mode]]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *flags],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert "modules:" in done.stdout, done.stderr
    return set(done.stdout.rpartition("modules:")[2].split())


@pytest.mark.parametrize("mode", MODES)
def test_a_start_imports_what_it_did(mode: str, tmp_path: Path) -> None:
    found = imports(mode, tmp_path)
    expected = {line.split()[1] for line in PINNED.read_text().splitlines() if line.split()[0] == mode}
    assert found - expected == set(), "imported now"
    # What the standard library needs for itself differs between versions of Python.
    gone = {name for name in expected - found if name.startswith("nativemtail") or sys.version_info[:2] == (3, 11)}
    assert gone == set(), "no longer imported"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        lines = (f"{mode} {name}\n" for mode in MODES for name in sorted(imports(mode, Path(place))))
        PINNED.write_text("".join(lines))
