"""The rules of the house: linter, types, who may import whom, one list of Debian packages."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "nativemtail"


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([sys.executable, "-m", "ruff", "check", "--no-cache", "."], id="ruff"),
        pytest.param([sys.executable, "-m", "mypy"], id="mypy"),
        pytest.param([str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], id="import-linter"),
    ],
)
def test_checker_is_content(command: list[str]) -> None:
    answer = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def imports(path: Path) -> set[str]:
    """The absolute names that a module imports; import-linter cannot see an extension module."""
    names: set[str] = set()
    package = ["nativemtail", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


def test_imports_reads_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    module = tmp_path / "io" / "files.py"
    module.parent.mkdir()
    module.write_text("import a.b\nfrom c import d\nfrom . import e\nfrom ..f import g\n")
    assert imports(module) >= {"a.b", "c.d", "nativemtail.io.e", "nativemtail.f.g"}


@pytest.mark.parametrize("room", ["compiler", "io"])
def test_room_does_not_know_the_engine(room: str) -> None:
    modules = list((PACKAGE / room).rglob("*.py"))
    assert modules
    offenders = [str(m.relative_to(ROOT)) for m in modules if "nativemtail._core" in imports(m)]
    assert offenders == []


def test_native_code_is_declared_for_the_type_checker() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert (PACKAGE / "_core.pyi").exists()


def test_packages_that_setup_names_are_installed_by_make() -> None:
    named = set(re.findall(r'"(lib\S+-dev)"', (ROOT / "setup.py").read_text()))
    lines = [line.split() for line in (ROOT / "packages.txt").read_text().splitlines() if not line.startswith("#")]
    assert named
    assert named <= {package for group, package in lines if group == "build"}
