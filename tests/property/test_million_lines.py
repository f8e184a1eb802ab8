"""Prefilters change nothing on a million random lines, built out of what the programs' own patterns match.

Each set of programs, of the examples and random ones, meets its share of lines: matches of its patterns side by side,
near misses, Unicode, bytes that are not UTF-8, lines of the examples' logs.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from typing import Any

import pytest
from generate import Case, cases, rename
from hypothesis import strategies as st
from machines import Recorder, compiled, drawn, examples, joined
from paths import EXAMPLES
from regexes import REGEX

from nativemtail._core import Fault
from nativemtail._render import Page
from nativemtail.compiler.fields import is_fields
from nativemtail.compiler.program import Program
from nativemtail.compiler.regex import tree
from nativemtail.compiler.regex.parser import parse

pytestmark = pytest.mark.slow


SETS = 50
LINES = 20_000
"""Of a set."""
BLOCK = 255
"""Lines; after larger blocks that match too often the prefilter backs off (run/prefilter.pxi)."""

MATCHES = 40
"""Texts that are made for a pattern; every third is a near miss."""
NOISE = [
    *(b"", b"", b" ", b" ", b": ", b"\t", b"0", b"-", b"[", b"\x00", b"\r", b"a" * 300),
    *(b"\xff", b"\xc3", b"\xe6\x97", b"\xed\xa0\x80", b"\xef\xbf\xbd"),
    *(text.encode() for text in ("é", "日本 ", "\u212a\u017f", "\u2028")),
]
LETTERS = "a Z09_-.:[é日\x00\u212a\u017f\U0001f600"


class Pieces:
    """What lines are made of: texts for each pattern of each program, and whole lines."""

    def __init__(self, programs: dict[str, Program], lines: Sequence[bytes], number: int) -> None:
        self.random = random.Random(number)
        self.lines = list(lines)
        regexes = [[text for text in program.patterns if not is_fields(text)] for program in programs.values()]
        self.matches = [[self.texts(parse(text)) for text in texts] for texts in regexes if texts]

    def texts(self, node: tree.Node) -> list[bytes]:
        return [
            self.match(node, 0.15 if at % 3 == 0 else 0.0).encode("utf-8", "surrogatepass").replace(b"\n", b"")
            for at in range(MATCHES)
        ]

    def match(self, node: tree.Node, spoil: float) -> str:
        """A text that the pattern matches; with the probability `spoil` each of its parts may be wrong."""
        if isinstance(node, (tree.Concat, tree.Capture)):
            return "".join(self.match(sub, spoil) for sub in tree.children(node))
        if isinstance(node, tree.Alternate):
            return self.match(self.random.choice(node.subs), spoil)
        if isinstance(node, (tree.Star, tree.Plus, tree.Quest, tree.Repeat)):
            least = node.min if isinstance(node, tree.Repeat) else int(isinstance(node, tree.Plus))
            most = 1 if isinstance(node, tree.Quest) else least + 3
            if isinstance(node, tree.Repeat) and node.max is not None:
                most = node.max
            return "".join(self.match(node.sub, spoil) for _ in range(self.random.randint(least, min(most, least + 3))))
        text = self.characters(node)
        return self.spoiled(text) if spoil and self.random.random() < spoil else text

    def characters(self, node: tree.Node) -> str:
        if isinstance(node, tree.Literal):
            return "".join(map(self.case, node.runes)) if node.fold else node.runes
        if isinstance(node, tree.Class) and node.ranges:
            low, high = self.random.choice(node.ranges[: self.random.choice((2, len(node.ranges)))])
            return chr(self.random.randint(low, min(high, low + 30)))
        return self.random.choice(LETTERS) if isinstance(node, (tree.Any, tree.AnyNotNL)) else ""

    def case(self, rune: str) -> str:
        others = {"k": "\u212a", "s": "\u017f"}
        return self.random.choice([rune, rune.lower(), rune.upper()[:1], others.get(rune.lower(), rune)])

    def spoiled(self, text: str) -> str:
        at = self.random.randint(0, len(text))
        return self.random.choice(
            [text[:at], text[at:], text.swapcase(), text[:at] + self.random.choice(LETTERS) + text[at:]]
        )

    def line(self) -> bytes:
        chance = self.random.random()
        if self.lines and chance < 0.25:
            line = self.random.choice(self.lines)
        else:
            patterns = self.random.choice(self.matches)
            some = sorted(self.random.choices(range(len(patterns)), k=self.random.randint(1, 4)))
            parts = [self.random.choice(patterns[at]) for at in some]
            line = self.random.choice(NOISE).join(parts)
        if chance < 0.1 or chance > 0.9:
            at = self.random.randint(0, len(line))
            line = line[:at] + self.random.choice(NOISE) + line[at + self.random.randint(0, 2) :]
        return line


@cache
def all_examples() -> tuple[dict[str, Program], list[bytes]]:
    programs, bad = compiled({path.name: path.read_text() for path in sorted(EXAMPLES.glob("*.mtail"))})
    assert not bad
    lines = [line for path in sorted(EXAMPLES.glob("logs/*.log")) for line in path.read_bytes().split(b"\n")]
    return programs, lines


def counting(at: int, regexes: Sequence[str]) -> str:
    """A program that counts the matches of each regex by what its groups are."""
    declared, written = [], []
    for number, regex in enumerate(regexes):
        groups = regex.replace("(?", "").count("(") + 1
        declared.append(f"counter p{at:03}m{number} by {', '.join(f'k{group}' for group in range(groups))}\n")
        keys = "".join(f"[${group + 1}]" for group in range(groups))
        written.append(f"/({regex})/ {{\n  p{at:03}m{number}{keys}++\n}}\n")
    return "".join(declared + written)


def some_examples(number: int) -> tuple[dict[str, Program], list[bytes]]:
    programs, lines = all_examples()
    names = random.Random(number).sample(sorted(programs), 6)
    return {name: programs[name] for name in names}, lines


def random_programs(number: int) -> tuple[dict[str, Program], list[bytes]]:
    batch: list[Case] = drawn(cases(newest=True, hostile=True), 12, number)
    programs, _ = compiled({f"p{at:03}.mtail": rename(case.program, at) for at, case in enumerate(batch)})
    # Random programs may all have to run on every line; two examples never have to.
    examples, lines = some_examples(number)
    programs.update(list(examples.items())[:2])
    return programs, [line for case in batch for line in case.lines] + lines


def random_regexes(number: int) -> tuple[dict[str, Program], list[bytes]]:
    words = st.sampled_from(["alpha", "beta", "gam", "err: ", "日x", "(?i)skip", "k=", "[0-9]-", r"[x\x{fffd}]y"])
    pieces = st.tuples(words, REGEX, words).map("".join)
    either = st.lists(pieces, min_size=2, max_size=3).map("|".join).map("(?:{})".format)
    regexes = drawn(st.one_of(pieces, either), 24, number)
    programs, _ = compiled({f"p{at:03}.mtail": counting(at, regexes[at::8]) for at in range(8)})
    return programs, []


KINDS = [some_examples, random_programs, random_regexes, some_examples, random_programs]


def blocks(programs: dict[str, Program], lines: Sequence[bytes], number: int) -> Iterator[list[bytes]]:
    pieces = Pieces(programs, lines, number)
    for first in range(0, LINES, BLOCK):
        yield [pieces.line() for _ in range(min(BLOCK, LINES - first))]


def reported(machine: Recorder, hours: Collection[str]) -> dict[str, Any]:
    """All that engine and store say of what has happened, without times that begin like one of `hours`."""
    engine, shown = machine.engine, Page(machine.store.snapshot()).json(grouped=True).decode()
    return {
        "metrics": re.sub(rf'("Time": )(?:{"|".join(hours)})\d{{13}}\b', r"\1now", shown),
        "faults": engine.program_faults(),
        "last faults": {name: seen(fault) for name, fault in engine.last_faults().items()},
        "lines": (engine.lines_total(), engine.program_lines()),
    }


def seen(fault: Fault) -> tuple[str, str, int, str, bytes]:
    return fault.program, fault.message, fault.line, fault.source, fault.input


def hour() -> str:
    """How the nanoseconds of times within some hours begin."""
    return str(time.time_ns())[:-13]


def pair(programs: dict[str, Program], teddy: bool) -> tuple[Recorder, Recorder]:
    return Recorder(programs, teddy=teddy), Recorder(programs, prefiltered=False)


def first_difference(programs: dict[str, Program], teddy: bool, lines: Sequence[bytes], hours: Collection[str]) -> str:
    """The first of `lines` after which the prefilter has made a difference, and to what."""
    low, high = 0, len(lines)
    while True:
        at = (low + high + 1) // 2
        machines = pair(programs, teddy)
        for machine in machines:
            for first in range(0, at, BLOCK):
                machine.scan(joined(lines[first : min(first + BLOCK, at)]))
        found, expected = (reported(machine, hours) for machine in machines)
        if high - low <= 1:
            return f"{lines[at - 1]!r} changes {[what for what in found if found[what] != expected[what]]}"
        low, high = (at, high) if found == expected else (low, at)


@pytest.mark.parametrize("number", range(examples(SETS)))
def test_the_prefilter_changes_nothing_on_a_million_lines(number: int) -> None:
    programs, lines = KINDS[number % len(KINDS)](number)
    teddy = number % 4 != 0  # else the prefilter is Hyperscan's
    machines = prefiltered, unfiltered = pair(programs, teddy)
    assert prefiltered.plan.prefiltered
    hours, done = {hour()}, []
    same = True
    for block in blocks(programs, lines, number):
        done += block
        faults = []
        for machine in machines:
            machine.scan(joined(block))
            kept, more = machine.engine.faults()
            faults.append(([seen(fault) for fault in kept], more))
        same = same and faults[0] == faults[1]
    hours.add(hour())
    if not same or reported(prefiltered, hours) != reported(unfiltered, hours):
        pytest.fail(f"set {number} of {list(programs)}: {first_difference(programs, teddy, done, hours)}")
    runs, all_runs = (sum(cost.runs for cost in machine.engine.profile().programs.values()) for machine in machines)
    assert runs < 0.95 * all_runs, "a prefilter that keeps nothing away proves nothing"
