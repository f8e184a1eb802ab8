"""The patterns of all programs, deduplicated by text: facts about each, and its form for each engine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from nativemtail.compiler import ast, budget, fields, records
from nativemtail.compiler.abi import PatternFlag
from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.opcodes import LOOPS, PATTERN_OPS
from nativemtail.compiler.prefilter.literals import RequiredLiteral, required_literals
from nativemtail.compiler.prefilter.select import worthwhile
from nativemtail.compiler.program import Program
from nativemtail.compiler.regex import analysis, automaton, dialects, onepass
from nativemtail.compiler.regex.parser import parse
from nativemtail.compiler.tables import PatternSpec


@dataclass(frozen=True, slots=True)
class Facts:
    """What follows from a pattern's text alone."""

    flags: int
    required: frozenset[RequiredLiteral] | None
    """Required literals: each match contains one of them; None if none are worth searching for."""
    seconds: float
    """CPU time of the analysis."""


@lru_cache(maxsize=16384)
def facts(text: bytes, *, of_records: bool = False) -> Facts:
    """`of_records`: the pattern is tried on records, too, which may have newlines."""
    before = time.thread_time()
    if fields.is_fields(text):
        required = worthwhile(fields.required(text))
        return Facts(int(PatternFlag.FIELDS), required, time.thread_time() - before)
    node = parse(text)
    flags = 0
    if analysis.same_in_pcre2(node):
        flags |= PatternFlag.PCRE2
        if analysis.linear(node):
            flags |= PatternFlag.LINEAR
    if analysis.always_matches(node, of_records=of_records):
        flags |= PatternFlag.ALWAYS
    if not analysis.same_in_re2(node):
        flags |= PatternFlag.STEPPED
    literal = analysis.pure_literal(node)
    required = worthwhile(required_literals(node, of_records=of_records))
    if literal and required == frozenset([RequiredLiteral(literal)]):
        flags |= PatternFlag.LITERAL
    return Facts(int(flags), required, time.thread_time() - before)


def shared(programs: Sequence[Program]) -> list[PatternSpec]:
    """Collect the patterns of the programs, each once.

    Raises CompileError for a program whose patterns exceed the budget.
    """
    captures: dict[bytes, int] = {}
    repeated: set[bytes] = set()
    users: dict[bytes, list[tuple[Program, budget.Spent]]] = {}
    for program in programs:
        spent = budget.Spent()
        repeated |= {program.patterns[i.d] for i in (*program.code, *program.begin) if i.op in (*LOOPS, "SUBSTRE")}
        used = dict(zip(program.patterns, program.captures, strict=True))
        for text in () if program.record is None else records.tried(program.record):
            used.setdefault(text, -1)
        for text, highest in used.items():
            captures[text] = max(captures.get(text, -1), highest)
            users.setdefault(text, []).append((program, spent))
    in_records = of_records(programs)
    specs = []
    for text, highest in captures.items():
        known = facts(text, of_records=text in in_records)
        before = time.thread_time()
        spec = _spec(text, known.flags, highest, text in repeated)
        specs.append(spec)
        seconds = known.seconds + time.thread_time() - before
        size = len(spec.bytes_form) + len(spec.utf_form) + len(spec.re2_form)
        for program, spent in users[text]:
            if not spent.add(text, seconds, size):
                raise _too_expensive(program, spent)
    return specs


def of_records(programs: Sequence[Program]) -> frozenset[bytes]:
    """The patterns that are tried on records."""
    return frozenset(text for program in programs if program.record is not None for text in program.patterns)


def _spec(text: bytes, flags: int, highest: int, repeated: bool) -> PatternSpec:
    if fields.is_fields(text):
        found = fields.specs(text)
        count = len(found.paths)
        pairs = count + (count + 1) // 2 + 1  # offsets, numbers, what is wrong
        return PatternSpec(text, b"", b"", b"", flags, pairs - 1, False, None, None, found)
    node = parse(text)
    keep = max(highest, 0)
    return PatternSpec(
        text,
        dialects.to_pcre2(node, utf=False, captures=keep),
        dialects.to_pcre2(node, utf=True, captures=keep),
        dialects.to_re2(node, captures=keep),
        flags,
        highest,
        prefiltered=False,
        automaton=automaton.automaton(node) if repeated else None,
        onepass=onepass.onepass(node, highest),
    )


def _too_expensive(program: Program, spent: budget.Spent) -> CompileError:
    numbers = {at for at, text in enumerate(program.patterns) if text == spent.worst}  # none if only `record` has it
    uses = (program.where(i) for i in (*program.code, *program.begin) if i.op in PATTERN_OPS and i.d in numbers)
    return CompileError(program.name, [(ast.Position(*next(uses, (program.name, 1)), 1, 1), spent.error())])
