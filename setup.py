"""Builds nativemtail._core and _render: Cython over Hyperscan, PCRE2 and RE2, which pkg-config finds.

NATIVEMTAIL_SANITIZE=address,undefined builds them for debugging under these sanitizers, NATIVEMTAIL_DEBUG=1 with bounds
checks and symbols, NATIVEMTAIL_COVERAGE=1 with gcov's counts of Cython lines.  NATIVEMTAIL_TESTING=1 also builds
_core_testing, which only tests need.
"""

from __future__ import annotations

import importlib
import os
import re
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
    "emit_code_comments": False,
}
READABLE = {"emit_code_comments": True}  # for debuggers and gcov


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


def parts_of(path: Path) -> set[Path]:
    """The file, and all that it includes, cimports or takes headers from."""
    found = {path}
    text = path.read_text() if path.exists() else ""
    names = [PACKAGE / name for name in re.findall(r'^(?:include|cdef extern from) "(core/[^"]+)"', text, re.MULTILINE)]
    names += [path.parent / name for name in re.findall(r'^#include "([^"]+)"', text, re.MULTILINE)]
    if path.suffix == ".pyx":
        names += [name for name in (path.with_suffix(".pxd"), PACKAGE / "_core.pxd") if name.exists()]
    for name in names:
        found |= parts_of(name)
    return found


def extension(name: str) -> Extension:
    source = PACKAGE / f"{name}.pyx"
    parts = parts_of(source) - {source} | set(GENERATED)
    depends = ["setup.py", *sorted(map(str, parts))]
    return Extension(f"nativemtail.{name}", sources=[str(source)], depends=depends, language="c++")


class BuildCore(build_ext):
    """Fills in what only a build needs to know, so that other commands work without the libraries."""

    def run(self) -> None:
        self.into_source = bool(self.inplace)  # setuptools clears `inplace` while it builds
        super().run()

    def build_extensions(self) -> None:
        write_abi()
        stale = [ext for ext in self.extensions if not self._is_current(ext)]
        compile_flags = [
            "-std=c++17",
            "-fwrapv",
            "-fvisibility=hidden",
            "-Wno-unused-function",
            *pkg_config("--cflags"),
        ]
        link_flags = ["-Wl,--as-needed", *pkg_config("--libs")]
        sanitizers = os.environ.get("NATIVEMTAIL_SANITIZE")
        counted = bool(os.environ.get("NATIVEMTAIL_COVERAGE"))
        directives = DIRECTIVES
        if os.environ.get("NATIVEMTAIL_DEBUG"):
            directives = DIRECTIVES | READABLE | {"boundscheck": True, "initializedcheck": True}
            compile_flags += ["-O0", "-g", "-UNDEBUG", "-D_GLIBCXX_ASSERTIONS", "-U_FORTIFY_SOURCE"]
        elif counted:
            directives = DIRECTIVES | READABLE
            compile_flags += ["-O0", "--coverage", "-fprofile-update=atomic"]
            link_flags += ["--coverage"]
        elif sanitizers:
            compile_flags += [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
            compile_flags += ["-O1", "-g", "-U_FORTIFY_SOURCE"]
            if "fuzzer" in sanitizers:  # clang's; the library that is preloaded has all but these checks
                compile_flags += ["-fno-sanitize=vptr,function"]
            else:
                link_flags += [f"-fsanitize={sanitizers}"]
        else:
            # The interpreter's dispatch is one large function; what it calls is to be inlined there none the less.
            compile_flags += ["-O3", "-g0", "-fno-plt", "--param=large-function-growth=1000"]
        native = cythonize(
            stale,
            compiler_directives=directives,
            include_path=["src"],
            force=self.force or self._has_new_options(),
            emit_linenums=counted,
        )
        for ext, made in zip(stale, native, strict=True):
            ext.sources = made.sources
            ext.extra_compile_args = compile_flags
            ext.extra_link_args = link_flags
        self.parallel: int | None = len(os.sched_getaffinity(0))
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        if not self._is_current(ext):
            super().build_extension(ext)
            return
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(self._built(ext), target)

    def _has_new_options(self) -> bool:
        """Whether this file, which has Cython's options, changed since the last translation: Cython does not notice."""
        translated = [
            path for ext in self.extensions for path in (Path(ext.sources[0]).with_suffix(".cpp"),) if path.exists()
        ]
        return any(path.stat().st_mtime < Path("setup.py").stat().st_mtime for path in translated)

    def _built(self, ext: Extension) -> Path:
        return PACKAGE.parent / str(self.get_ext_filename(ext.name))

    def _is_current(self, ext: Extension) -> bool:
        """Whether the module in the source tree is newer than all that it is made from."""
        built = self._built(ext)
        if not self.into_source or self.force or not built.exists():
            return False
        inputs = map(Path, [*ext.sources, *ext.depends])
        return all(path.stat().st_mtime <= built.stat().st_mtime for path in inputs)


extensions = [extension("_core"), extension("_render")]
if os.environ.get("NATIVEMTAIL_TESTING"):
    extensions.append(extension("_core_testing"))

setup(ext_modules=extensions, cmdclass={"build_ext": BuildCore})
