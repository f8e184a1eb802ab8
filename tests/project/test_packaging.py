"""The wheel stands on its own: installed into an empty environment it runs with the libraries that it carries."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from paths import ROOT

import nativemtail
from nativemtail import _core, _render

EXAMPLES = ROOT / "examples"
GRAFTED = ("libhs", "libpcre2-8", "libre2")
OF_THE_SYSTEM = re.compile(r"(linux-vdso|ld-linux|libc|libm|libgcc_s|libstdc\+\+|libpthread|libdl|librt)[-.]")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Without what the running tests and `make` put into the environment."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MAKE", "MFLAGS", "VIRTUAL_ENV"))}
    line = [str(part) for part in command]
    return subprocess.run(line, check=False, cwd=ROOT, env=inherited | environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel() -> Path:
    built = run("make", "wheel")
    assert built.returncode == 0, built.stdout + built.stderr
    [path] = (ROOT / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of an environment that holds the wheel and what it depends on."""
    home = tmp_path_factory.mktemp("empty")
    venv.create(home, with_pip=True)
    installed = run(home / "bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", wheel)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return home / "bin"


def test_wheel_has_a_platform_that_others_have(wheel: Path) -> None:
    assert re.search(r"-manylinux_2_\d+_\w+\.whl$", wheel.name)
    shown = run(sys.executable, "-m", "auditwheel", "show", wheel)
    assert re.search(r'platform tag:\s+"manylinux_2_\d+', shown.stdout), shown.stdout + shown.stderr


def test_wheel_holds_no_sources_of_the_core(wheel: Path) -> None:
    names = run(sys.executable, "-m", "zipfile", "--list", wheel).stdout
    assert "nativemtail/_core.pyi" in names
    assert "nativemtail/_render.pyi" in names
    assert "nativemtail/py.typed" in names
    assert not re.search(r"\.(pyx|pxd|pxi|hpp|cpp)\b", names)


def test_wheel_holds_no_hooks_for_tests(wheel: Path) -> None:
    """They are in an extension of their own, and none is a function of the others."""
    names = run(sys.executable, "-m", "zipfile", "--list", wheel).stdout
    assert sorted(re.findall(r"nativemtail/(\w+)\.cpython", names)) == ["_core", "_render"]
    for module in (_core, _render):
        assert not re.findall(r"\b_(?:test|store)_\w+|_estimate\b", " ".join(dir(module)))


def test_version(empty: Path) -> None:
    answer = run(empty / "nativemtail", "--version")
    assert answer.returncode == 0
    assert nativemtail.__version__ in answer.stdout


def test_one_shot(empty: Path) -> None:
    answer = run(
        empty / "nativemtail", "--one_shot", "--one_shot_format=prometheus",
        "--progs", EXAMPLES / "sshd.mtail", "--logs", EXAMPLES / "logs/sshd.log",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == (EXAMPLES / "expected/sshd.prom").read_text()


def test_only_libc_comes_from_the_system(empty: Path) -> None:
    [core] = empty.parent.glob("lib/python*/site-packages/nativemtail/_core.*.so")
    needed = run("ldd", core).stdout
    for library in GRAFTED:
        assert re.search(rf"{library}-\w+\.so\S* => {re.escape(str(empty.parent))}/", needed), needed
    others = [line.strip() for line in needed.splitlines() if str(empty.parent) not in line]
    assert [line for line in others if not OF_THE_SYSTEM.match(Path(line.split()[0]).name)] == []


def test_no_library_of_the_system_is_mapped(empty: Path) -> None:
    script = "import nativemtail._core, nativemtail._render; print(open('/proc/self/maps').read())"
    maps = run(empty / "python", "-c", script).stdout
    paths = {line.split()[-1] for line in maps.splitlines() if re.search(r"/lib(hs|pcre2|re2)[-.]", line)}
    assert len(paths) == len(GRAFTED)
    assert all(path.startswith(str(empty.parent)) for path in paths), paths


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"PKG_CONFIG_LIBDIR": "/nonexistent"}, "install the Debian packages libhyperscan-dev libpcre2-dev libre2-dev"),
        ({"PKG_CONFIG": "/nonexistent/pkg-config"}, "install the Debian package pkg-config"),
    ],
)
def test_missing_libraries_are_one_line(settings: dict[str, str], message: str, tmp_path: Path) -> None:
    build = ("build_ext", "--force", f"--build-lib={tmp_path}", f"--build-temp={tmp_path}")
    answer = run(sys.executable, "setup.py", "--quiet", *build, **settings)
    assert answer.returncode == 1
    [line] = answer.stderr.splitlines()
    assert line.endswith(message)
