"""The project's rules: linter, types, who may import whom, one list of Debian packages."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from paths import ROOT

PACKAGE = ROOT / "src" / "nativemtail"
CLANG_FORMAT = [str(Path(sys.executable).with_name("clang-format")), "--dry-run", "--Werror"]
CPP = [str(p) for p in (*PACKAGE.rglob("*.hpp"), *ROOT.glob("perf/*.cc")) if p.name != "abi.hpp"]  # which is generated


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([sys.executable, "-m", "ruff", "check", "--no-cache", "."], id="ruff"),
        pytest.param([sys.executable, "-m", "ruff", "format", "--no-cache", "--check", "."], id="ruff-format"),
        pytest.param([str(Path(sys.executable).with_name("codespell"))], id="codespell"),
        pytest.param([*CLANG_FORMAT, *CPP], id="clang-format"),
        pytest.param([sys.executable, "-m", "mypy"], id="mypy"),
        pytest.param([str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], id="import-linter"),
    ],
)
def test_checker_is_content(command: list[str]) -> None:
    answer = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def layers() -> dict[str, int]:
    """Each package and its layer, from the contracts that import-linter checks."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    whole = next(contract for contract in contracts if contract.get("containers") == ["nativemtail"])
    return {name.strip(): at for at, layer in enumerate(whole["layers"], 1) for name in layer.split("|")}


def test_the_architecture_page_shows_the_layers() -> None:
    section = (ROOT / "docs/architecture.md").read_text().partition("## Packages and")[2].partition("###")[0]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", section, re.M)
    assert {name: int(layer) for layer, name in rows} == layers()


@pytest.mark.parametrize("package", ["compiler", "options", "net", "globs", "gotext", "plainfile"])
def test_what_needs_no_engine_does_not_know_it(package: str) -> None:
    """import-linter does not see the extensions."""
    path = PACKAGE / package
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
        assert not re.search(r"^ *(from|import) nativemtail.*\b_(core|render)\b", file.read_text(), re.M), file


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
