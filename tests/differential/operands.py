"""Every builtin and operator of the language with every kind of operand in every position, and what comes of each.

The same programs run in nativemtail and in Debian's mtail.  `load` and `save` keep mtail's outcomes in a file, so that
tests compare with them where no mtail is installed.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1] / "support"))

from differences import excuse_lowest_edge, excused_verdict, has_nonfinite, marked
from machines import Mtail, MtailFailed, Outcome, Recorder, compiled

STORED = Path(__file__).with_name("operands.txt")

LINE = b"ab 12 2.5\n"
HEAD = """counter n
counter ck by k
gauge gi
gauge gf
text tx
histogram hi buckets 1, 2
const P /a/
/^(?P<s>\\S+) (?P<i>\\d+) (?P<f>\\d+\\.\\d+)$/ {
  gi = $i
  gf = $f
  tx = $s
  ck["k"] = $i
  hi = $f
  $s =~ P {
  }
"""
TAIL = "  n++\n}\n"

OPERANDS = [
    "3", "2.5", '"ab"', '"12"', "/a/", "P", "$i", "$f", "$s", "gi", "gf", "tx", 'ck["k"]', "ck", "hi", "(1 < 2)",
    "($s =~ /b/)", "len($s)", "string(gf)",
]  # fmt: skip
FEW = ["0", "3", "2.5", '"ab"', "/a/", "P", "$i", "$f", "$s", "gf", "tx", "hi", "(1 < 2)", "len($s)"]
CONTEXTS = ["{}", "og = {}", "og += {}", "ot = {}", "out[{}]++", "{} {{\n    n += 10\n  }}"]
ARITHMETIC = ["+", "-", "*", "/", "%", "**", "&", "|", "^", "<<", ">>"]
TRUTH = ["<", ">", "<=", ">=", "==", "!=", "&&", "||", "=~", "!~"]
CALLS = [
    "bool({})", "defined({})", "float({})", "int({})", "len({})", "settime({})", "string({})", "tolower({})",
    "strtol({}, 10)", 'strtol("12", {})', 'strptime({}, "2006")', 'strptime("2006", {})', 'subst({}, "x", $s)',
    'subst("a", {}, $s)', 'subst("a", "x", {})', 'subst(/a/, {}, $s)', 'subst(/a/, "x", {})', "timestamp({})",
    "getfilename({})", "~{}", "{}++", "{}--",
]  # fmt: skip
NO_VALUES = ["timestamp() > 0", "getfilename()", "len()", "subst()", "strtol($s)", 'strptime("2006")']
STATEMENTS = ["del {}", "del {} after 1s", "del ck[{}]", "gi = {}", "gf += {}", "hi = {}", 'ck["k"] += {}', "{} = 1"]

NUMBERS = [
    "1_000", "0x10", "0b1", "0o7", "010", "1e3", "1_0e1", "1e1_0", "1.5_0", ".5", "5.", "1.e3", "0x1p4", "0x_1p4", "00",
    "-1", "+1", "1_", "_1", "1__0", "1e+3", "1e-3", "9223372036854775807", "9223372036854775808", "1e400", "1e-400",
    "1E3", "1..2", "inf", "nan", "1h", "1_0h", "08", "1e", ".e5", "5._5",
]  # fmt: skip
READ = [
    "og = {}", 'og = int("{}")', 'og = float("{}")', 'gf = "{}"', 'og = strtol("{}", 10)', 'og = strtol("{}", 16)',
    'og = strtol("{}", 0)', 'ck["k"] += "{}"', "del ck[tx] after {}",
]  # fmt: skip
POWERS = [
    "101 ** 9",
    "13 ** 17",
    "9 ** 17",
    "99 ** 9",
    "0.3 ** 3.0",
    "1.1 ** 50.0",
    "2.0 ** 0.5",
    "0 ** 0",
    "3 ** 40",
    "7 ** -1",
]

DECLARED = {"og": "gauge og", "ot": "text ot", "out": "gauge out by k"}


def statements() -> list[str]:
    """The statements that are tried, each once."""
    return list(dict.fromkeys(_statements()))


def _statements() -> Iterator[str]:
    for call, operand, context in product(CALLS, OPERANDS, CONTEXTS):
        yield context.format(call.format(operand))
    for call, context in product((*NO_VALUES, *OPERANDS), CONTEXTS):
        yield context.format(call)
    for statement, operand in product(STATEMENTS, OPERANDS):
        yield statement.format(operand)
    for way, number in product(READ, NUMBERS):
        yield way.format(number)
    for power in POWERS:
        yield f"og = {power}"
        left, _, right = power.partition(" ** ")
        yield f'og = {"float" if "." in left else "int"}("{left}") ** {right}'
    for left, operator, right in product(FEW, ARITHMETIC, FEW):
        yield f"og = {left} {operator} {right}"
    for left, operator, right in product(FEW, TRUTH, FEW):
        yield f"{left} {operator} {right} {{\n    n += 10\n  }}"


def program(statement: str) -> str:
    declared = [text for name, text in DECLARED.items() if re.search(rf"\b{name}\b", statement)]
    return "".join(f"{text}\n" for text in declared) + HEAD + f"  {statement}\n" + TAIL


DEVIATIONS = [
    re.compile(r"^~\(.*\{"),  # not-bool
    re.compile(r"^og = \d % 2\.5$"),  # fold-mod
    re.compile(r"\bdefined\("),  # newer ones have it
    re.compile(r"^settime\((2\.5|\$f|gf)\)$"),  # keeps the fraction (docs/spec/beyond)
]
"""Statements that rc50 takes otherwise than it should, by the rows of deviations.md."""

EXTENSIONS = [
    re.compile(r" (&&|\|\|) /a/ \{"),  # pattern literals on the right
    re.compile(r" \+?= /a/$"),  # and wherever else a constant of the same pattern may stand
    re.compile(r"^del ck$"),  # all label sets
    re.compile(r"\bint\((2\.5|\$f|gf|hi)\)"),  # cut towards zero
]
"""Statements that mtail refuses and the language allows (docs/spec/beyond)."""


def outcome(refused: str, ran: Outcome | None) -> str:
    """What came of a program, on one line; of errors only that there are some: texts differ between versions."""
    if refused:
        return "excused" if excused_verdict("", refused) else "refused"
    if ran is None or has_nonfinite(ran):
        return "not finite"
    values = [f"{metric['Name']}: {_values(metric)}" for metric in marked(ran.metrics)]
    return "; ".join([*values, f"{len(ran.faults)} errors"])


def _values(metric: dict[str, object]) -> str:
    rows = metric.get("LabelValues") or []
    assert isinstance(rows, list)
    return " ".join(f"{row.get('Labels', [])} {_rounded(row['Value'])}" for row in rows).replace("\n", "\\n")


def _rounded(value: object) -> object:
    """Powers with a fraction differ in the last digit: the logarithm is the C library's."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return f"{value:.14g}" if isinstance(value, float) else value


def ours(statements: list[str]) -> dict[str, str]:
    """Outcomes of nativemtail; whatever a compiler raises but CompileError comes through."""
    names = _named(statements)
    good, bad = compiled({name: program(statement) for name, statement in names.items()})
    machine = Recorder(good)
    machine.scan(LINE, "LOG")
    return _outcomes(names, bad, machine.outcomes())


def theirs(statements: list[str]) -> dict[str, str]:
    """Outcomes of Debian's mtail."""
    names = _named(statements)
    with tempfile.TemporaryDirectory() as folder:
        mtail = Mtail(Path(folder), {name: program(statement) for name, statement in names.items()})
        verdicts = mtail.verdicts()
        ran = _ran(mtail, [name for name, refused in verdicts.items() if not refused])
        found = _outcomes(names, verdicts, ran)
        return {statement: text.replace(str(mtail.log), "LOG") for statement, text in found.items()}


def _ran(mtail: Mtail, names: list[str]) -> dict[str, Outcome]:
    """Outcomes of programs that compile, without those with a number that JSON cannot have."""
    try:
        return mtail.outcomes(LINE, names, zone="")
    except MtailFailed:
        half = len(names) // 2
        return _ran(mtail, names[:half]) | _ran(mtail, names[half:]) if half else {}


def _named(statements: list[str]) -> dict[str, str]:
    return {f"p{at:04}.mtail": statement for at, statement in enumerate(statements)}


def _outcomes(names: dict[str, str], refused: dict[str, str], ran: dict[str, Outcome]) -> dict[str, str]:
    for one in ran.values():
        excuse_lowest_edge(one.metrics, [])
    return {text: outcome(refused.get(name, ""), ran.get(name)) for name, text in names.items()}


def save(outcomes: dict[str, str]) -> None:
    """Statements below their outcome."""
    groups: dict[str, list[str]] = defaultdict(list)
    for statement, text in outcomes.items():
        groups[text].append(statement.replace("\n", "\\n"))
    lines = [line for text, group in groups.items() for line in (f"= {text}", *(f"  {each}" for each in group))]
    STORED.write_text("\n".join(lines) + "\n", encoding="utf-8")


def differences(ours: dict[str, str], theirs: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Statements with what nativemtail and mtail make of them, where that differs and no deviation says why."""
    return {
        statement: (text, theirs[statement])
        for statement, text in ours.items()
        if text != theirs[statement]
        and theirs[statement] != "excused"
        and not any(known.search(statement) for known in DEVIATIONS)
        and not (theirs[statement] == "refused" and any(known.search(statement) for known in EXTENSIONS))
    }


def load() -> dict[str, str]:
    found, text = {}, ""
    for line in STORED.read_text(encoding="utf-8").splitlines():
        if line.startswith("= "):
            text = line[2:]
        else:
            found[line[2:].replace("\\n", "\n")] = text
    return found


if __name__ == "__main__":
    tried = statements()
    save({each: text for at in range(0, len(tried), 250) for each, text in theirs(tried[at : at + 250]).items()})
