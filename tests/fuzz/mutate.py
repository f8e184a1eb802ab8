"""Random programs and lines: those of the conformance cases and examples, cut up, recombined and spoilt.

Everything comes from one `random.Random`, so that a seed gives the same again.
"""

from __future__ import annotations

import re
from functools import cache
from random import Random

from paths import ROOT

from nativemtail.compiler import CompileError, compile_program

PIECES = [
    "a", "b", "ab", "x", "0", "\\d", "\\d+", "\\w+", "\\s", "\\S*", ".", ".*", ".*?", "[a-c]", "[^a]",
    "[[:alpha:]]", "\\pL", "é", "日", "\\x{FFFD}", "\\x00", "^", "$", "\\b", "\\B", "\\A", "\\z", "(?i)K",
    "(?i:ſ)", "(?s:.)", "(?m:^)", "(?U)a+", "(", ")", "(?:", "(?P<n>", "|", "*", "+", "?", "{2}", "{0,3}",
    "{1,}", "\\/", "\\Qa.b\\E", "\\.", ":", " ", "-", "\\pN+",
]  # fmt: skip
NUMBERS = [
    "0", "1", "-1", "2", "63", "64", "65", "255", "1000000", "9223372036854775807", "-9223372036854775808",
    "0.5", "1e308", "-0.0", "1e-320",
]  # fmt: skip
OPERATORS = [
    "+", "-", "*", "/", "%", "**", "<<", ">>", "&", "|", "^", "&&", "||", "<", ">", "<=", ">=", "==", "!=",
    "=~", "!~", "=", "+=",
]  # fmt: skip
STATEMENTS = [
    "stop", "settime(1)", 'strptime($1, "2006-01-02T15:04:05Z07:00")', 'strptime($1, "Jan _2 15:04:05 MST")',
    "fuzzed_c[$1]++", "fuzzed_c[$1]--", "fuzzed_c[$2] += $1", "fuzzed_l[$1][$2]++",
    "fuzzed_l[$1][$1] = len($2)", "del fuzzed_c[$1]", "del fuzzed_l[$1][$2]", "del fuzzed_c[$1] after 1s",
    "del fuzzed_l[$2][$1] after 1ms", "fuzzed_h[$2] = $1", "fuzzed_h[$1] = 0.5", "fuzzed_t[$1] = $2",
    "fuzzed_t[$2] = fuzzed_t[$1] + fuzzed_t[$2] + $1", "fuzzed_t[$1] = subst(/a.*z|b*|\\W/, $2, $1)",
    'fuzzed_t[$1] = subst("", "x", $2)', "fuzzed_t[$1] = tolower($2)", "fuzzed_f[$1] = fuzzed_f[$2] / 3",
    "fuzzed_f[$1] = float($1) ** 2.5", "fuzzed_g = strtol($1, 36)", "fuzzed_g = timestamp()",
    "fuzzed_t[getfilename()] = string(fuzzed_f[$1])", "fuzzed_g = $1 << fuzzed_g",
    "fuzzed_g = fuzzed_c[$1] % fuzzed_g", "$1 =~ /(\\d)(\\d)?/ {\n  fuzzed_g += $1\n}",
    "$2 !~ /^(.)(.)/ {\n  fuzzed_g++\n} else {\n  fuzzed_t[$2] = $1\n}",
    "/(.)(.)(.)/ {\n  fuzzed_l[$3][$2]++\n}", "otherwise {\n  fuzzed_g++\n}",
    "defined($2) {\n  fuzzed_c[$2]++\n}",
]  # fmt: skip
DECLARATIONS = {
    "fuzzed_c": "counter fuzzed_c by k",
    "fuzzed_l": "counter fuzzed_l by k, l limit 3",
    "fuzzed_g": "gauge fuzzed_g",
    "fuzzed_f": "gauge fuzzed_f by k limit 2",
    "fuzzed_t": "text fuzzed_t by k limit 5",
    "fuzzed_h": "histogram fuzzed_h by k buckets 0, 1, 10, 1000 limit 4",
    "@fuzzed_d": "def fuzzed_d {\n/(\\S+) (\\S+)/ {\nnext\n}\n}",
    "@fuzzed_e": "def fuzzed_e {\n@fuzzed_d {\n$1 =~ /(.)(.)?/ {\nnext\n}\n}\n}",
}

_REGEX = re.compile(r"(?<![\w\]) ] )/(?:[^/\\\n]|\\.)+/")
_NUMBER = re.compile(r"(?<![\w$.])\d+(?:\.\d+)?")
_OPERATOR = re.compile(r"(?<= )(?:[-+*/%&|^<>]|\*\*|<<|>>|&&|\|\||[<>=!]=|[=!]~|\+?=)(?= )")
_NAME = re.compile(r"\b[a-z_]\w*\b")


@cache
def corpus() -> list[str]:
    """Texts of programs that compile, in a fixed order."""
    folders = ["tests/conformance/cases/**", "examples", "perf/**"]
    files = [path for folder in folders for path in ROOT.glob(f"{folder}/*.mtail")]
    texts = {path.read_bytes() for path in files if path.stat().st_size < 20_000}
    return [text.decode("utf-8", "replace") for text in sorted(texts) if compiles(text)]


def compiles(text: bytes) -> bool:
    try:
        compile_program("p.mtail", text)
    except CompileError:
        return False
    return True


@cache
def lines() -> list[bytes]:
    """Lines of the logs that belong to them."""
    files = [*ROOT.glob("tests/conformance/cases/*/input.log"), *ROOT.glob("examples/logs/*.log")]
    return sorted({line for path in sorted(files) for line in path.read_bytes().split(b"\n")[:50] if len(line) < 5000})


def regex(random: Random) -> str:
    pieces = [random.choice(PIECES) for _ in range(random.randint(1, 9))]
    return "".join(pieces) + ")" * max(0, sum(p.startswith("(") for p in pieces) - pieces.count(")"))


def _replaced(text: str, pattern: re.Pattern[str], new: str, random: Random) -> str:
    """One place of `pattern` in `text`, replaced."""
    places = list(pattern.finditer(text))
    if not places:
        return text
    place = random.choice(places)
    return text[: place.start()] + new + text[place.end() :]


def program(random: Random) -> str:
    """A program that compiles more often than not."""
    text = random.choice(corpus())
    if random.random() < 0.6:
        text = _with_statements(text, random)
    for _ in range(random.choice((0, 0, 1, 1, 2, 5))):
        text = _mutated(text, random)
    return text


def _with_statements(text: str, random: Random) -> str:
    """Blocks of statements that change metrics, most of them where two groups can be read."""
    blocks = []
    for _ in range(random.randint(1, 4)):
        odd = regex(random)
        condition = random.choice(
            ["/(\\S*) (.*)/", "/(.)(.?)/", f"/()(){odd}/", f"/({odd})(\\w*)/", "@fuzzed_d", "@fuzzed_e"]
        )
        body = "\n".join(random.choice(STATEMENTS) for _ in range(random.randint(1, 8)))
        blocks.append(f"{condition} {{\n{body}\n}}\n")
    added = "".join(blocks)
    used = added + ("@fuzzed_d" if "@fuzzed_e" in added else "")
    declared = [declaration for name, declaration in DECLARATIONS.items() if name in used]
    return "\n".join([*declared, text, added])


def _mutated(text: str, random: Random) -> str:
    choice = random.choice((0, 0, 0, 0, 2, 2, 2, 3, 3, 3, 4, 5, 6, 7))
    if choice == 0:
        return _replaced(text, _REGEX, f"/{regex(random)}/", random)
    if choice == 2:
        return _replaced(text, _NUMBER, random.choice(NUMBERS), random)
    if choice == 3:
        return _replaced(text, _OPERATOR, random.choice(OPERATORS), random)
    if choice == 4:
        return _replaced(text, _NAME, random.choice(_NAME.findall(text) or ["x"]), random)
    rows = text.split("\n")
    at = random.randrange(len(rows))
    if choice == 5:
        del rows[at]
    elif choice == 6:
        rows.insert(at, random.choice(rows))
    else:
        rows.insert(at, random.choice(random.choice(corpus()).split("\n")))
    return "\n".join(rows)


def line(random: Random) -> bytes:
    """A line without its newline."""
    choice = random.randrange(10)
    if choice < 5:
        text = random.choice(lines())
    elif choice == 5:
        text = random.randbytes(random.randint(0, 60))
    elif choice == 6:
        text = b"".join(random.choice(_MORSELS) for _ in range(random.randint(0, 30)))
    elif choice == 7:
        text = random.choice(_MORSELS) * random.choice((1, 31, 32, 33, 300, 1100, 5000)) + random.choice(_MORSELS)
    else:
        text = _spoilt(random.choice(lines()), random)
    return text.replace(b"\n", b" ")


_MORSELS = [
    b"a", b"b", b" ", b"0", b"12", b"999999999999999999999", b"-1.5e300", b"x ", b"\0", b"\r", b"\xff",
    b"\xc3", b"\xe6\x97", "é".encode(), "日本".encode(), "\U0001f600".encode(), "ſK".encode(), b"\xed\xa0\x80",
    b"az", b"aaaaaaaaz", b"\t", b"/", b"2024-02-30T25:61:61Z", b"Feb 29 12:00:00 UTC", b"GET /",
]  # fmt: skip


def _spoilt(text: bytes, random: Random) -> bytes:
    spoilt = bytearray(text or b"x")
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(spoilt))
        spoilt[at : at + random.randint(0, 3)] = random.choice(_MORSELS)
        spoilt = spoilt or bytearray(b"x")
    return bytes(spoilt)
