"""Lines and programs made to be slow: what they cost grows in proportion to their size.

Sizes differ by a factor of sixteen, and a growth of 2.2 (lines) or 2.6 (programs) for each doubling is allowed; what
grows with the square of the size would show a factor of 256.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engines import Machine, compile_all, make_plan
from paths import ROOT

from nativemtail._render import Page
from nativemtail.compiler import CompileError, codegen, compile_program, symbols

pytestmark = pytest.mark.slow


ALLOWED = 2.2**4
ALLOWED_COMPILING = 2.6**4
"""Python's own memory management slows down a little."""
SHORT, LONG = 62_500, 1_000_000
UNMEASURABLE = 0.05
"""Seconds below which caches and interrupts count for more than the work."""
LINE_SECONDS = 2.0
"""Of a line of a megabyte."""


def cpu_seconds(work: Callable[[], object], times: int = 3) -> float:
    """The least of some runs; as with timeit without garbage collection, which goes over what other tests left, too."""
    best = 1e9
    gc.disable()
    try:
        for _ in range(times):
            start = time.thread_time()
            work()
            best = min(best, time.thread_time() - start)
    finally:
        gc.enable()
    return best


# --- lines ---------------------------------------------------------------------------------------------------

# pattern, what a hostile line repeats, and how it ends
PUMPED = [
    (r"(a+)+$", b"a", b"!"),
    (r"(a|a)*b", b"a", b""),
    (r"(a*)*b", b"a", b""),
    (r"(x+x+)+y", b"x", b""),
    (r"x*x*x*x*x*y", b"x", b""),
    (r"(a?){30}a{30}", b"a", b""),
    (r"^(\w+\s?)*$", b"word ", b"!"),
    (r"(.*)(.*)(.*)(.*)(.*)x$", b"a", b"b"),
    (r"(.*){1,30}[bc]", b"a", b""),
    (r".*.*=.*", b"x=", b""),
    (r"\s+$", b" ", b"x"),
    (r"^(.*?),(.*?),(.*?),(.*?),(.*?)P", b"1,2,3,", b"Q"),
    (r"a.*b.*c.*d.*e.*f", b"abcde", b""),
    (r"[^x]*y[^x]*z", b"y", b""),
    (r"(\d+\.)+\d+x", b"1.", b""),
    (r"\d+\.\d+\.\d+\.\d+", b"1.", b""),
    (r"\w+@\w+\.com", b"a", b""),
    (r"\w+@\w+\.com", b"a@", b""),
    (r"(a|b|ab)*c", b"ab", b""),
    (r"(ab|a)*?(b|c)+?d", b"ab", b""),
    (r"([a-z]+)*[0-9]", b"q", b""),
    (r"^(([a-z])+.)+[A-Z]([a-z])+$", b"a", b""),
    (r"(?i)(é|e)+x", "é".encode(), b""),
    (r"(\pL+\s)+\pN", "日本 ".encode(), b""),
    (r"(.+)+\d", b"\xff", b""),
    (r"(?s)(.)*x", b"\0", b""),
    (r"\b\w+\b.*\b\w+\b!", b"ab ", b""),
    (r"(?:(\d+)|(\w+))*\s*=\s*;", b"1a", b""),
    (r"(^|,)([^,]*)(,|$)x", b"a,", b""),
    (r'(\S+) (\S+) (\S+) \[(.*?)\] "(.*?)"', b"a b c [d] ", b""),
    (r"(a.*z|a)*Q", b"a", b""),
    (r"a.*z|a", b"a", b""),
    (r"(\w+ )*x|\w", b"ab", b""),
    (r"(?:[^z]*z)?\B", "aé".encode(), b"a"),
]


def pumped(pump: bytes, size: int, end: bytes) -> bytes:
    return pump * (size // len(pump)) + end + b"\n"


WAYS = {
    "match": "/{}/ {{\n  c++\n}}\n",
    "capture": "/({})/ {{\n  c += len($1)\n}}\n",
    "text": "/^((?s:.*))$/ {{\n  $1 =~ /{}/ {{\n    c++\n  }}\n}}\n",
    "subst": '/^((?s:.*))$/ {{\n  c += len(subst(/{}/, "-", $1))\n}}\n',
}


@pytest.mark.parametrize("jit", [True, False], ids=["jit", "re2"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("pattern", "pump", "end"), PUMPED)
def test_hostile_lines(pattern: str, pump: bytes, end: bytes, way: str, jit: bool) -> None:
    machine = Machine("counter c\n" + WAYS[way].format(pattern), prefiltered=False, jit=jit)
    for _ in range(8):
        machine.feed(pumped(pump, 500, end))
    short, long = (cpu_seconds(lambda n=n: machine.feed(pumped(pump, n, end)), 2) for n in (SHORT, LONG))
    assert long < max(ALLOWED * short, UNMEASURABLE)
    assert long < LINE_SECONDS
    assert machine.faults() == []


@pytest.mark.parametrize(("pattern", "pump", "end"), PUMPED)
def test_short_hostile_lines(pattern: str, pump: bytes, end: bytes) -> None:
    """Short enough for PCRE2, which may be slow a few times."""
    machine = Machine(f"counter c\n/({pattern})/ {{\n  c += len($1)\n}}\n", prefiltered=False)
    block = pumped(pump, 1000, end) * 500
    assert cpu_seconds(lambda: machine.feed(block), 1) < 1.5
    assert cpu_seconds(lambda: machine.feed(block)) < 0.25


PUMPS = [b"a", b"0", b" ", b"1.", b"a ", b":", b'"', b"[", b"=", b"/", b"\xff", b"Jan 1 00:00:00 "]


def programs() -> list[Path]:
    folders = ["examples", "perf/programs/*", "tests/conformance/cases/*"]
    return sorted(path for folder in folders for path in ROOT.glob(f"{folder}/*.mtail"))


def test_lines_hostile_to_all_programs_there_are() -> None:
    """Beginnings of lines of their logs, with something repeated behind."""
    assert [slow for path in programs() for slow in slow_lines(path)] == []


def slow_lines(path: Path) -> Iterator[tuple[Path, bytes, float, float]]:
    try:
        machine = Machine(path.read_bytes())
    except CompileError:
        return
    logs = [path.parent / "logs" / f"{path.stem}.log", path.parent / "input.log"]
    log = next((log.read_bytes() for log in logs if log.exists()), b"")
    heads = {line[: len(line) // 2] for line in log.split(b"\n")[:3]} | {b""}
    for start in (head + pump for head in heads for pump in PUMPS):
        lines = [start + pumped(start[-1:], size, b"!") for size in (10_000, 160_000)]
        for times in (1, 4):  # something may have come between
            short, long = (cpu_seconds(lambda line=line: machine.feed(line), times) for line in lines)
            if long <= max(ALLOWED * short, UNMEASURABLE):
                break
        else:
            yield path, start, short, long


@pytest.mark.parametrize(
    "expression",
    ["len(tolower($1))", 'len(subst("a", "bb", $1))', 'len(subst("", "-", $1))', "len($1 + $1 + $1)", "strtol($1, 36)"],
)
@pytest.mark.parametrize("pump", [b"a", b"A\xff", "É日".encode()])
def test_functions_of_long_texts(expression: str, pump: bytes) -> None:
    machine = Machine(f"gauge g\n/^((?s:.*))$/ {{\n  g = {expression}\n}}\n")
    short, long = (cpu_seconds(lambda n=n: machine.feed(pumped(pump, n, b""))) for n in (SHORT, LONG))
    assert long < max(ALLOWED * short, UNMEASURABLE)


def test_lines_that_match_what_many_patterns_share() -> None:
    """Each hit of a shared literal makes a line a candidate for a thousand patterns."""
    blocks = [f"/connection refused {number}x (\\d+)/ {{\n  c++\n}}\n" for number in range(1000)]
    machine = Machine("counter c\n" + "".join(blocks))
    line = b"connection refused " * 2000 + b"\n"
    assert cpu_seconds(lambda: machine.feed(line * 10)) < 1


# --- programs ------------------------------------------------------------------------------------------------


def blocks(count: int, statement: str = "c++", first: int = 0) -> str:
    return "".join(f"/pattern{n:05d} (\\d+)/ {{\n  {statement}\n}}\n" for n in range(first, first + count))


def load(*texts: str) -> None:
    make_plan(compile_all(texts))


def test_ten_thousand_patterns() -> None:
    assert cpu_seconds(lambda: load("counter c\n" + blocks(10_000)), 1) < 10


@pytest.mark.parametrize("pattern", [r"\pL{1,100} x", r"(?:\PL|\d){1,90} x", r"[^\p{Greek}]{0,99}?x"])
def test_large_classes_that_are_repeated(pattern: str) -> None:
    """No more than a few times what plain patterns take: 32 s once."""
    text = "counter c\n" + "".join(f"/{pattern}{n}/ {{\n  c++\n}}\n" for n in range(500))
    assert cpu_seconds(lambda: load(text), 1) < 5


def test_ten_thousand_patterns_in_a_hundred_programs() -> None:
    texts = ["counter c\n" + blocks(100, first=100 * number) for number in range(100)]
    assert cpu_seconds(lambda: load(*texts), 1) < 10


DATED = '/^(?P<date>\\w+\\s+\\d+\\s+\\d+:\\d+:\\d+)\\s+/ {\n  strptime($date, "Jan _2 15:04:05")\n'

GROWING: dict[str, Callable[[int], str]] = {
    "patterns": lambda n: "counter c\n" + blocks(n),
    "metrics": lambda n: "".join(f"counter c{i}\n/p{i} (\\d+)/ {{\n  c{i}++\n}}\n" for i in range(n)),
    "inside a date": lambda n: f"counter c\n{DATED}{blocks(n)}}}\n",
    "decorated": lambda n: f"counter c\ndef d {{\n{DATED}next\n}}\n}}\n" + f"@d {{\n{blocks(1)}}}\n" * n,
    "faulting": lambda n: "gauge g\n" + "".join(f"/p{i} (\\S+)/ {{\n  g = int($1)\n}}\n" for i in range(n)),
    "otherwise": lambda n: "counter c\n" + "/x/ {\n  c++\n}\notherwise {\n  c++\n}\n" * n,
    "subjects": lambda n: "counter c\n/(.*)/ {\n"
    + "".join(f"$1 =~ /p{i}(\\d)/ {{\n  c++\n}}\n" for i in range(n)) + "}\n",
    "statements": lambda n: "counter c by k\n/(.*)/ {\n" + "  c[$1]++\n" * n + "}\n",
    "keys": lambda n: f"counter c by {', '.join(f'k{i}' for i in range(n))}\n"
     f"/(.*)/ {{\n  c[{', '.join(['$1'] * n)}]++\n}}\n",
    "leftovers": lambda n: "counter c by k\n/(.*)/ {\n" + "  len($1)\n" * n + "  c[/x/]++\n}\n",
    "reads": lambda n: "".join(f"gauge g{i}\n" for i in range(n + 1)) + "/(\\d+)/ {\n  g0 = $1\n"
    + "".join(f"  g{i + 1} = g{i}\n" for i in range(n)) + "}\n",
    "reads backwards": lambda n: "".join(f"gauge g{i}\n" for i in range(n + 1)) + "/(\\d+)/ {\n"
    + "".join(f"  g{i + 1} = g{i}\n" for i in reversed(range(n))) + "  g0 = $1\n}\n",
    "conditions": lambda n: "counter c\n/(\\d+)/ {\n"
    + "".join(f"$1 > {i} && $1 < {i + 9} {{\n  c++\n}}\n" for i in range(n)) + "}\n",
    "stops": lambda n: "counter c\n" + "/x/ {\n  stop\n}\n" * n + "/y/ {\n  c++\n}\n",
    "parentheses": lambda n: f"gauge g\n/x/ {{\n  g = {'(' * n}1{')' * n}\n}}\n",
    "sums": lambda n: f"gauge g\n/x/ {{\n  g = 1{' + 1' * n}\n}}\n",
    "buckets": lambda n: f"histogram h buckets {', '.join(map(str, range(n)))}\n/(\\d+)/ {{\n  h = $1\n}}\n",
    "undeclared": lambda n: "".join(f"/x/ {{\n  c{i}++\n}}\n" for i in range(n)),
    "unused": lambda n: "".join(f"counter c{i}\n" for i in range(n)),
    "open blocks": lambda n: "/x/ {\n" * n,
    "newlines": lambda n: "\n" * (10 * n),
    "quotes": lambda n: '"\n' * n,
    "junk": lambda n: "\x01" * n,
}  # fmt: skip


@pytest.mark.parametrize("name", GROWING)
def test_programs_of_any_size(name: str) -> None:
    def compiling(size: int) -> Callable[[], None]:
        text = GROWING[name](size)

        def work() -> None:
            with contextlib.suppress(CompileError):
                load(text)

        return work

    small, large = cpu_seconds(compiling(200), 2), cpu_seconds(compiling(3200), 1)
    if large > max(ALLOWED_COMPILING * small, UNMEASURABLE):
        small, large = cpu_seconds(compiling(200), 5), cpu_seconds(compiling(3200), 3)
    assert large < max(ALLOWED_COMPILING * small, UNMEASURABLE)


def test_looking_names_up_is_bounded_for_each_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is for decorators of decorators, not for large programs."""
    monkeypatch.setattr(symbols, "MAX_STEPS", 1000)
    program = compile_program("p.mtail", f"counter c\n{blocks(2000)}".encode())
    assert len(program.patterns) == 2000


def test_decorators_that_multiply() -> None:
    doubling = "".join(
        f"def d{i} {{\n  @d{i - 1} {{\n    c++\n  }}\n  @d{i - 1} {{\n    c++\n  }}\n  /z/ {{\n    next\n  }}\n}}\n"
        for i in range(1, 30)
    )
    text = f"counter c\ndef d0 {{\n  /x/ {{\n    next\n  }}\n}}\n{doubling}@d29 {{\n  c++\n}}\n"
    start = time.thread_time()
    with pytest.raises(CompileError, match=r"^p\.mtail:\d+:\d+.*: more than 1000000 instructions$"):
        compile_program("p.mtail", text.encode())
    assert time.thread_time() - start < 30


def decorators_in_a_row(count: int) -> str:
    first = "def d0 {\n  /x/ {\n    next\n  }\n}\n"
    others = "".join(f"def d{i} {{\n  @d{i - 1} {{\n    next\n  }}\n}}\n" for i in range(1, count))
    return f"counter c\n{first}{others}@d{count - 1} {{\n  c++\n}}\n"


def test_decorators_within_each_other() -> None:
    machine = Machine(decorators_in_a_row(2_000))
    machine.feed(b"x\ny\nx\n")
    assert machine.value("c") == 2
    with pytest.raises(CompileError, match=r"^p\.mtail:\d+:\d+.*: too many decorators within each other$"):
        compile_program("p.mtail", decorators_in_a_row(20_000).encode())


def test_more_metrics_than_there_are_short_numbers() -> None:
    count = 66_000
    machine = Machine("".join(f"counter c{i}\n" for i in range(count)) + "".join(f"c{i}++\n" for i in range(count)))
    machine.feed(b"x\n")
    assert Page(machine.store.snapshot()).prometheus().count(b"} 1\n") == count


def test_patterns_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codegen, "MAX_OPERAND", 1000)
    compile_program("p.mtail", f"counter c\n{blocks(1000)}".encode())
    with pytest.raises(CompileError, match=r"^p\.mtail:\d+:\d+.*: more than 1000 patterns$"):
        compile_program("p.mtail", f"counter c\n{blocks(1001)}".encode())


def test_constants_that_multiply() -> None:
    doubling = "".join(f"const A{i} /y/ + A{i - 1} + A{i - 1}\n" for i in range(1, 60))
    with pytest.raises(CompileError, match="Exceeded maximum regular expression pattern length"):
        compile_program("p.mtail", f"counter c\nconst A0 /x/\n{doubling}A59 {{\n  c++\n}}\n".encode())


LARGE = [
    r"\pL{1000}",
    r"(\pL{30}){30}",
    "[" + r"\pL\pN\pS" * 100 + "]{100}",
    "(?i)" + "[^é]" * 200,
    "(a{0,1000})?",
    "(?:a{0,30}){0,30}",
    "|".join(f"w{i}" for i in range(200)),
    "((((a{10}){10}){5})?)*",
    "(?:" * 200 + "a" + ")*" * 200,
    "(" * 300 + "a" + ")*" * 300,
    "(?:x|" * 150 + "y" + ")" * 150,
    r"(?i:straße|ſ|K)+" * 40,
    "^" * 500 + "a",
    r"\b" * 500,
]


@pytest.mark.parametrize("pattern", LARGE)
def test_large_patterns(pattern: str) -> None:
    machine = None

    def run() -> None:
        nonlocal machine
        machine = Machine(f'text t\n/({pattern})/ {{\n  t = subst(/{pattern}/, "", $1)\n}}\n')
        for pump in (b"a", "é".encode(), b"\xff", b"w1"):
            machine.feed(pumped(pump, 20_000, b""))

    assert cpu_seconds(run, 1) < 10
