"""Builds nativemtail._core: Cython over Hyperscan, PCRE2 and RE2, which pkg-config finds.

NATIVEMTAIL_SANITIZE=address,undefined builds it for debugging under these sanitizers, NATIVEMTAIL_DEBUG=1 with bounds
checks and symbols.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PACKAGE = Path("src/nativemtail")
GENERATED = [PACKAGE / "core/abi.pxi", PACKAGE / "core/abi.hpp"]

LIBRARIES = {  # pkg-config's name: Debian's package
    "libhs": "libhyperscan-dev",
    "libpcre2-8": "libpcre2-dev",
    "re2": "libre2-dev",
}

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
}


def pkg_config(option: str) -> list[str]:
    """The flags that the compiler or linker needs for all libraries; exits with one line if one is missing."""
    tool = os.environ.get("PKG_CONFIG", "pkg-config")
    if shutil.which(tool) is None:
        raise SystemExit(f"nativemtail: {tool} is missing: install the Debian package pkg-config")
    missing = [name for name in LIBRARIES if subprocess.run([tool, "--exists", name], check=False).returncode]
    if missing:
        packages = " ".join(LIBRARIES[name] for name in missing)
        noun = "package" if len(missing) == 1 else "packages"
        raise SystemExit(f"nativemtail: {', '.join(missing)} not found: install the Debian {noun} {packages}")
    return subprocess.run([tool, option, *LIBRARIES], check=True, capture_output=True, text=True).stdout.split()


def write_abi() -> None:
    """Write what compiler/abi.py has for the native code; an unchanged file keeps its time, so nothing is rebuilt."""
    for name, path in (("nativemtail", PACKAGE), ("nativemtail.compiler", PACKAGE / "compiler")):
        package = types.ModuleType(name)  # without what the package itself would import
        package.__path__ = [str(path)]
        sys.modules[name] = package
    abi = importlib.import_module("nativemtail.compiler.abi")
    for path, text in zip(GENERATED, (abi.pxi(), abi.hpp()), strict=True):
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


class BuildCore(build_ext):
    """Fills in what only a build needs to know, so that other commands work without the libraries."""

    def run(self) -> None:
        self.into_source = bool(self.inplace)  # setuptools clears `inplace` while it builds
        super().run()

    def build_extension(self, ext: Extension) -> None:
        write_abi()
        built = PACKAGE.parent / self.get_ext_filename(ext.name)
        if self.into_source and not self.force and is_current(built, ext):
            target = Path(self.get_ext_fullpath(ext.name))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(built, target)
            return
        compile_flags = ["-std=c++17", "-fwrapv", "-fvisibility=hidden", *pkg_config("--cflags")]
        link_flags = pkg_config("--libs")
        sanitizers = os.environ.get("NATIVEMTAIL_SANITIZE")
        directives = DIRECTIVES
        if os.environ.get("NATIVEMTAIL_DEBUG"):
            directives = DIRECTIVES | {"boundscheck": True, "initializedcheck": True}
            compile_flags += ["-O0", "-g", "-UNDEBUG", "-D_GLIBCXX_ASSERTIONS", "-U_FORTIFY_SOURCE"]
        elif sanitizers:
            compile_flags += [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
            compile_flags += ["-O1", "-g", "-U_FORTIFY_SOURCE"]
            if "fuzzer" in sanitizers:  # clang's; the library that is preloaded has all but these checks
                compile_flags += ["-fno-sanitize=vptr,function"]
            else:
                link_flags += [f"-fsanitize={sanitizers}"]
        else:
            compile_flags += ["-O3", "-g0", "-fno-plt"]
        [native] = cythonize([ext], compiler_directives=directives, force=self.force)
        ext.sources = native.sources
        ext.extra_compile_args = compile_flags
        ext.extra_link_args = link_flags
        super().build_extension(ext)


def is_current(built: Path, ext: Extension) -> bool:
    """Whether the module in the source tree is newer than all that it is made from."""
    inputs = map(Path, [*ext.sources, *ext.depends])
    return built.exists() and all(path.stat().st_mtime <= built.stat().st_mtime for path in inputs)


parts = {*(PACKAGE / "core").rglob("*.pxi"), *(PACKAGE / "core").rglob("*.hpp"), *GENERATED}
core = Extension(
    "nativemtail._core",
    sources=[str(PACKAGE / "_core.pyx")],
    depends=["setup.py", *sorted(map(str, parts))],
    language="c++",
)

setup(ext_modules=[core], cmdclass={"build_ext": BuildCore})
