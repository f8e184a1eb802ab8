"""How source files are written: sizes of files and functions, the order of the core's parts, declarations, casts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from paths import ROOT

PACKAGE = ROOT / "src" / "nativemtail"
CORE = PACKAGE / "core"
EXTENSIONS = ("_core", "_render", "_core_testing")
GENERATED = {CORE / "abi.pxi", CORE / "abi.hpp"}

FILE_LINES = 800
FUNCTION_LINES = 60
LONG_FILES: set[str] = set()
"""Files that are still too long; to become empty."""
LONG_FUNCTIONS: set[str] = set()
"""Functions that are still too long; to become empty."""
DISPATCH = {"src/nativemtail/core/run/interp.pxi:run_code", "src/nativemtail/core/onepass.hpp:onepass_from"}
"""The dispatch of an interpreter is one function: a case for each instruction, or operation of the one-pass matcher."""
SPACED_CASTS: set[str] = set()
"""Parts that still write `<T> x`; to become empty."""


def sources(*suffixes: str) -> list[Path]:
    return sorted(p for p in (ROOT / "src").rglob("*") if p.suffix in suffixes and p not in GENERATED)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code(text: str) -> str:
    """Cython without docstrings, strings and comments, each line in its place."""
    blank = re.compile(r'"""(?:.|\n)*?"""|(?:\b[bcf]+)?"(?:\\.|[^"\\\n])*"|(?:\b[bcf]+)?\'(?:\\.|[^\'\\\n])*\'|#[^\n]*')
    plain = blank.sub(lambda found: "\n" * found[0].count("\n"), text)
    return re.sub(r" +$", "", plain, flags=re.MULTILINE)


# --- sizes ---------------------------------------------------------------------------------------------------------


def python_functions(text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or 0) - node.lineno + 1


def cython_functions(text: str) -> Iterator[tuple[str, int]]:
    lines = code(text).split("\n")
    for number, line in enumerate(lines):
        begin = re.match(r"( *)(?:cdef|def|cpdef) [^=]*?(\w+)\(", line)
        if begin and not line.lstrip().startswith("cdef extern"):
            end = next(
                i for i in range(number, len(lines)) if lines[i].rstrip().endswith((":", ")")) or i + 1 == len(lines)
            )
            last = end
            for i in range(end + 1, len(lines)):
                if lines[i].strip():
                    if len(lines[i]) - len(lines[i].lstrip()) <= len(begin[1]):
                        break
                    last = i
            yield begin[2], last - number + 1


def cpp_functions(text: str) -> Iterator[tuple[str, int]]:
    """Functions whose closing brace stands under their first character."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        begin = re.match(r"( *)(?!struct|class|namespace|enum|return|else)(?:[\w:<>,*&]+ )+[*&]*(\w+)\(", line)
        if begin and "{" in "".join(lines[number : number + 3]).partition(";")[0]:
            end = next((i for i in range(number, len(lines)) if lines[i] == begin[1] + "}"), number)
            yield begin[2], end - number + 1


def functions(path: Path) -> Iterable[tuple[str, int]]:
    text = path.read_text()
    if path.suffix == ".py":
        return python_functions(text)
    return cpp_functions(text) if path.suffix == ".hpp" else cython_functions(text)


ALL = (".py", ".pyi", ".pyx", ".pxd", ".pxi", ".hpp")


def test_files_are_short() -> None:
    """Also that no entry of the list is stale."""
    assert {name(path) for path in sources(*ALL) if len(path.read_text().splitlines()) > FILE_LINES} == LONG_FILES


def test_functions_are_short() -> None:
    long = {
        f"{name(path)}:{function}"
        for path in sources(".py", ".pyx", ".pxd", ".pxi", ".hpp")
        for function, lines in functions(path)
        if lines > FUNCTION_LINES
    }
    assert long - DISPATCH == LONG_FUNCTIONS


LONG_BODY = "\n".join(["    x = 1"] * 60)


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (python_functions, f"def f():\n{LONG_BODY}\n\ndef g():\n    pass\n"),
        (
            cython_functions,
            f"cdef int f(int a,\n           int b) noexcept nogil:\n{LONG_BODY}\n\n\ndef g():\n    pass\n",
        ),
        (
            cython_functions,
            "cdef class C:\n    cdef int f(self):\n"
            + LONG_BODY.replace("    ", "        ")
            + "\n\n    def g(self):\n        pass\n",
        ),
        (cpp_functions, "inline int f(int a) {\n" + LONG_BODY + "\n}\n\nint g() { return 1; }\n"),
    ],
)
def test_long_functions_are_found(function: object, found: str) -> None:
    assert callable(function)
    assert [each for each, lines in function(found) if lines > FUNCTION_LINES] == ["f"]


def test_dispatch_is_one_switch() -> None:
    """Cython makes a `switch` of branches that all compare for equality; with one other, every line costs much more."""
    text = code((CORE / "run/interp.pxi").read_text())
    branches = re.findall(
        r"^        (?:el)?if (.*?):\n", text[text.index("bint run_code(") :], re.MULTILINE | re.DOTALL
    )
    assert len(branches) > 50
    equal = re.compile(r"\(?(?:op == OP_\w+(?:\s+or )?)+\)?")
    assert [branch for branch in branches if not equal.fullmatch(branch)] == []


# --- declarations, casts -------------------------------------------------------------------------------------------


def test_declarations_are_in_one_place() -> None:
    for path in sources(".pyx", ".pxd", ".pxi"):
        if path.parent != CORE / "externs":
            found = re.findall(
                r"^cdef extern from.*|^(?:from .* )?cimport (?!cython$|\*$).*", path.read_text(), re.MULTILINE
            )
            assert not found, path


def test_casts_have_one_style() -> None:
    """`<T>x`, not `<T> x`."""
    spaced = {
        name(path)
        for path in sources(".pyx", ".pxd", ".pxi")
        if re.search(r"<(?! )[\w\[\] ]+\**> [\w&*(]", code(path.read_text()))
    }
    assert spaced == SPACED_CASTS


# --- the order of parts --------------------------------------------------------------------------------------------


def parts(extension: str) -> dict[str, str]:
    """The extension's parts with their code, in order; first those of `_core.pxd`."""
    texts = [(PACKAGE / "_core.pxd").read_text(), (PACKAGE / f"{extension}.pyx").read_text()]
    names = [found for text in texts for found in re.findall(r'^include "core/(.+)"$', text, re.MULTILINE)]
    return {each: code((CORE / each).read_text()) for each in names}


def declared() -> set[str]:
    """Classes that `_core.pxd` declares, above all parts."""
    return set(re.findall(r"^cdef class (\w+)", (PACKAGE / "_core.pxd").read_text(), re.MULTILINE))


def definitions(text: str) -> set[str]:
    """Functions, classes, structs, constants and variables of a module."""
    found = set(re.findall(r"^(?:cdef |def |cpdef )[^\n(=]*?\b(\w+)\(", text, re.MULTILINE))
    found |= set(re.findall(r"^(?:cdef |ctypedef )(?:class|struct|union|enum) (\w+)", text, re.MULTILINE))
    found |= set(re.findall(r"^(?:cdef [\w *]+ )?([A-Z_]\w+)(?:\[.*\])?(?: = .*)?$", text, re.MULTILINE))
    for body in re.findall(r"^cdef enum[^\n]*:[^\n]*\n((?:    .*\n|\n)+)", text, re.MULTILINE):
        found |= set(re.findall(r"^    (\w+)", body, re.MULTILINE))
    return found


def variables(text: str) -> set[str]:
    """Names that a part declares as variables, parameters or fields; they may be those of later functions."""
    found = set(re.findall(r"^ +cdef [^\n(]*?(\w+)(?:\[.*\])?(?: = .*)?$", text, re.MULTILINE))
    found |= set(re.findall(r"[(,] *(?:const )?[\w\[\]]+(?:\* ?\**| )(\w+)(?==|,|\)| not None)", text))
    found |= set(re.findall(r"^ +(?:[\w*]+ )+\**(\w+)(?:\[.*\])?$", text, re.MULTILINE))
    found |= set(re.findall(r"(?:^ +|, |for )(\w+)(?=,[^\n]* = | = | in )", text, re.MULTILINE))
    return found | set(re.findall(r"\b(\w+)=", text))


def backward(parts: Mapping[str, str], above: set[str]) -> list[tuple[str, str, str]]:
    """(part, name, part below that defines it) for each name that is used above its definition."""
    defined = {part: definitions(text) for part, text in parts.items()}
    found = []
    seen = set(above)
    for number, (part, text) in enumerate(parts.items()):
        seen |= defined[part]
        if part.startswith("externs/"):
            continue  # names of libraries
        used = set(re.findall(r"(?<![\w.])([A-Za-z_]\w*)", text)) - variables(text) - seen
        for below in list(parts)[number + 1 :]:
            found += [(part, each, below) for each in sorted(used & defined[below])]
            used -= defined[below]
    return found


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_part_uses_only_those_above(extension: str) -> None:
    assert backward(parts(extension), declared()) == []


def test_every_part_is_used() -> None:
    used = {each for extension in EXTENSIONS for each in parts(extension)}
    assert {str(path.relative_to(CORE)) for path in CORE.rglob("*.pxi")} == used


def test_a_use_below_is_found() -> None:
    above = "cdef int f() noexcept nogil:\n    cdef Later* later\n    return g(LIMIT, other.h, i)\n"
    below = "cdef enum:\n    LIMIT = 3\n\ncdef struct Later:\n    int i\n\ncdef int g(int a):\n    return f()\n\n"
    below += "def h():\n    pass\n"
    given = {"above": above, "below": below}
    assert backward(given, set()) == [("above", each, "below") for each in ("LIMIT", "Later", "g")]
    assert backward(given, {"LIMIT", "Later", "g"}) == []
    assert backward({"below": below, "above": above}, set()) == [("below", "f", "above")]
