"""The project's rules: linter, types, who may import whom, one list of Debian packages."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

PACKAGE = ROOT / "src" / "nativemtail"


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([sys.executable, "-m", "ruff", "check", "--no-cache", "."], id="ruff"),
        pytest.param([sys.executable, "-m", "ruff", "format", "--no-cache", "--check", "."], id="ruff-format"),
        pytest.param([str(Path(sys.executable).with_name("codespell"))], id="codespell"),
        pytest.param([sys.executable, "-m", "mypy"], id="mypy"),
        pytest.param([str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], id="import-linter"),
    ],
)
def test_checker_is_content(command: list[str]) -> None:
    answer = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


MAY_IMPORT: dict[str, set[str]] = {
    "compiler": {"gotext"},
    "export": {"_core", "_render"},
    "gotext": set(),
    "http": {"_core", "_render", "export", "gotext", "net", "plainfile", "telemetry"},
    "io": {"_core", "gotext", "net", "plainfile"},
    "net": set(),
    "options": set(),
    "plainfile": set(),
    "programs": {"_core", "_render", "compiler", "gotext", "io", "options", "plainfile", "telemetry"},
    "telemetry": {"_core", "compiler", "gotext"},
}
"""The table of docs/architecture.md; the command may import everything."""
COMMAND = {"__init__", "__main__", "app"}


def packages(source: bytes, package: list[str]) -> set[str]:
    """The packages that a module of `package` imports; import-linter does not see the extension."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == "nativemtail" and len(part) > 1 and not part[1].startswith("__")}


@pytest.mark.parametrize(
    ("source", "package", "expected"),
    [
        (b"import nativemtail.io.files, click", "nativemtail", {"io"}),
        (b"from nativemtail import plainfile, __version__", "nativemtail", {"plainfile"}),
        (b"def f():\n    from nativemtail._core import Store", "nativemtail.io", {"_core"}),
        (b"from . import files\nfrom ..text import quote", "nativemtail.io", {"io", "text"}),
        (b"import os\nfrom click import command", "nativemtail", set()),
    ],
)
def test_packages_finds_every_form_of_import(source: bytes, package: str, expected: set[str]) -> None:
    assert packages(source, package.split(".")) == expected


def test_who_may_import_whom() -> None:
    modules = {path: path.relative_to(PACKAGE).with_suffix("").parts for path in sorted(PACKAGE.rglob("*.py"))}
    assert modules
    for path, parts in modules.items():
        if parts[0] in COMMAND:
            continue
        assert parts[0] in MAY_IMPORT, f"{path}: give it a row in MAY_IMPORT and in docs/architecture.md"
        found = packages(path.read_bytes(), ["nativemtail", *parts[:-1]])
        assert found <= MAY_IMPORT[parts[0]] | {parts[0]}, path


def test_native_code_is_declared_for_the_type_checker() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert (PACKAGE / "_core.pyi").exists()
    assert (PACKAGE / "_render.pyi").exists()


def test_packages_that_ci_installs_are_in_the_list() -> None:
    named = re.findall(r"apt-get install(?: -\S+)* ([\w+ -]+)", (ROOT / ".ci/run").read_text())
    listed = {line.split()[1] for line in (ROOT / "packages.txt").read_text().splitlines() if line[:1] not in ("", "#")}
    assert named
    assert set(" ".join(named).split()) <= listed


def test_nothing_is_skipped_for_want_of_a_package() -> None:
    """What packages.txt names is installed; where it is not, tests fail."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        if path != Path(__file__):
            found = re.search(r"importorskip|skip.*(which\(|PEER|install)|which\(.*\n *pytest.skip", path.read_text())
            assert not found, f"{path}: {found[0]}"


def test_packages_that_setup_names_are_installed_by_make() -> None:
    named = set(re.findall(r'"(lib\S+-dev)"', (ROOT / "setup.py").read_text()))
    lines = [line.split()[:2] for line in (ROOT / "packages.txt").read_text().splitlines() if not line.startswith("#")]
    assert named
    assert named <= {package for group, package in lines if group == "build"}
