"""All loaded programs → the tables that the engine runs: patterns shared over programs, gates, packed code.

Nothing here touches the runtime; `_core.Plan` takes `Tables` as it is.
"""

from __future__ import annotations

import re
import time
from array import array
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nativemtail.compiler import ast, budget, timelayout
from nativemtail.compiler.abi import INSTR, PatternFlag
from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.opcodes import CAPTURES, JUMPS, MATCHES, OPS
from nativemtail.compiler.prefilter import guards, literals, teddy
from nativemtail.compiler.program import Instr, Program
from nativemtail.compiler.regex import analysis, automaton, dialects, onepass, prefix, ucd
from nativemtail.compiler.regex.parser import parse
from nativemtail.compiler.tables import FactorSpec, PatternSpec, ProgramSpec, Residue, Tables

WORTHLESS = 0.5
"""A gate expected to let more than this fraction of lines through is none."""
FEW = 8
"""So many patterns of a program are rather tried on the few lines that it runs on than looked for in all of them."""


@dataclass(slots=True)
class Facts:
    """What is known of a pattern's text alone."""

    flags: int
    gate: frozenset[literals.Factor] | None
    seconds: float
    """Processor time that finding this out took."""


@lru_cache(maxsize=16384)
def facts(text: bytes) -> Facts:
    before = time.thread_time()
    node = parse(text)
    flags = 0
    if analysis.same_in_pcre2(node):
        flags |= PatternFlag.PCRE2
        if analysis.linear(node):
            flags |= PatternFlag.LINEAR
    if analysis.always_matches(node):
        flags |= PatternFlag.ALWAYS
    if not analysis.same_in_re2(node):
        flags |= PatternFlag.STEPPED
    literal = analysis.pure_literal(node)
    gate = literals.factors(node)
    if gate is not None and sum(_cost(factor) for factor in gate) > WORTHLESS:
        gate = None
    if literal and gate is not None and gate == {literals.Factor(literal)}:
        flags |= PatternFlag.LITERAL
    return Facts(int(flags), gate, time.thread_time() - before)


_NO_LETTERS = re.compile(rb"(?:\\x[0-9a-f]{2}|\[[^\]]*\]|[^A-Za-z\\])*")


def _cost(factor: literals.Factor) -> float:
    """The fraction of lines that a factor lets through: digits and punctuation alone are most often a time."""
    return max(factor.cost, 0.75) if factor.regex and _NO_LETTERS.fullmatch(factor.text) else factor.cost


def build(programs: Iterable[tuple[Program, Sequence[Any]]]) -> Tables:
    """Tables for programs, each with the metrics that its declarations stand for, in their order."""
    loaded = list(programs)
    tables = Tables()
    numbers = _share_patterns(tables, [program for program, _ in loaded])
    residues: dict[Hashable, Residue] = {}
    sought: set[int] = set()
    for at, (program, metrics) in enumerate(loaded):
        spec = _program(program, metrics, numbers, tables.patterns)
        tables.programs.append(spec)
        gate = guards.program_gate(program, costs(program))
        asked = {spec.patterns[instr.d] for instr in program.code if instr.op == "MATCH"}
        if gate is None:
            tables.always.append(at)
            sought |= asked
            continue
        spec.gate = frozenset(spec.patterns[number] for number in gate.patterns)
        sought |= asked if len(asked - spec.gate) > FEW else spec.gate
        if gate.residue:
            part = isolated(program, gate.residue)
            code = _program(part, [], numbers, tables.patterns)
            residues.setdefault(_identity(code), Residue(code, [], _leading_time(part))).programs.append(at)
    tables.residues = list(residues.values())
    _add_factors(tables, sought)
    return tables


def _identity(residue: ProgramSpec) -> Hashable:
    """Equal for residues that do the same."""
    pools = residue.ints, residue.floats, residue.strings, residue.layouts, residue.patterns
    return residue.code, repr(pools)


def _leading_time(residue: Program) -> list[tuple[int, int, int]] | None:
    """The runs of characters that make up the time, if all that the residue does is to parse the start of the line."""
    if [instr.op for instr in residue.code] != ["MATCH", "CAPSM", "STRPTIME", "END"]:
        return None
    match, capture, strptime, _end = residue.code
    if match.e != 3 or capture.b != match.a or strptime.a != capture.a:
        return None
    runs = prefix.leading_group(parse(residue.patterns[0]), capture.c)
    if runs is None:
        return None
    return [(ucd.ascii_bits(run.ranges), run.least, 0xFFFFFFFF if run.most is None else run.most) for run in runs]


# instruction → the field and the pool that it names; slots are numbered like a pool
_POOLS = {
    "LDI": ("d", "ints"), "LDF": ("d", "floats"), "LDS": ("d", "strings"), "FAIL": ("d", "strings"),
    "MATCH": ("d", "patterns"), "MATCHS": ("d", "patterns"), "SUBSTRE": ("d", "patterns"), "STRPTIME": ("d", "layouts"),
}  # fmt: skip
_SLOTS = {"MATCH": "a", "MATCHS": "a"} | dict.fromkeys(CAPTURES, "b")


def isolated(program: Program, code: list[Instr]) -> Program:
    """A part of a program on its own, without what the rest needs, the same for the same part of another program."""
    part = Program(program.name, registers=program.registers)
    slots: dict[int, int] = {}
    places: dict[tuple[str, int], int] = {}
    for instr in code:
        instr = instr.replace(line=0)
        part.code.append(instr)
        if instr.op in _SLOTS:
            slot = getattr(instr, _SLOTS[instr.op])
            setattr(instr, _SLOTS[instr.op], slots.setdefault(slot, len(slots)))
        if instr.op not in _POOLS:
            continue
        name, pool = _POOLS[instr.op]
        number: int = getattr(instr, name)
        mine = getattr(part, pool)
        if (pool, number) not in places:
            places[pool, number] = len(mine)
            mine.append(getattr(program, pool)[number])
            if pool == "patterns":
                part.captures.append(program.captures[number])
        setattr(instr, name, places[pool, number])
    part.slots = len(slots)
    return part


def _share_patterns(tables: Tables, programs: list[Program]) -> dict[bytes, int]:
    """Raises CompileError for a program whose patterns take too long."""
    captures: dict[bytes, int] = {}
    replaced: set[bytes] = set()
    users: dict[bytes, list[tuple[Program, budget.Spent]]] = {}
    for program in programs:
        spent = budget.Spent()
        replaced |= {program.patterns[i.d] for i in (*program.code, *program.begin) if i.op == "SUBSTRE"}
        for text, highest in zip(program.patterns, program.captures, strict=True):
            captures[text] = max(captures.get(text, -1), highest)
            users.setdefault(text, []).append((program, spent))
    for text, highest in captures.items():
        known = facts(text)
        before = time.thread_time()
        spec = _pattern(text, known.flags, highest, text in replaced)
        tables.patterns.append(spec)
        seconds = known.seconds + time.thread_time() - before
        size = len(spec.bytes_form) + len(spec.utf_form) + len(spec.re2_form)
        for program, spent in users[text]:
            if not spent.add(text, seconds, size):
                raise _too_expensive(program, spent)
    return {spec.text: at for at, spec in enumerate(tables.patterns)}


def _pattern(text: bytes, flags: int, highest: int, replaced: bool) -> PatternSpec:
    node = parse(text)
    keep = max(highest, 0)
    return PatternSpec(
        text,
        dialects.to_pcre2(node, utf=False, captures=keep),
        dialects.to_pcre2(node, utf=True, captures=keep),
        dialects.to_re2(node, captures=keep),
        flags,
        highest,
        False,
        automaton.automaton(node) if replaced else None,
        onepass.chain(node, highest),
    )


def _too_expensive(program: Program, spent: budget.Spent) -> CompileError:
    number = program.patterns.index(spent.worst)
    uses = (i.line for i in (*program.code, *program.begin) if i.op in _OF_PATTERNS and i.d == number)
    return CompileError(program.name, [(ast.Position(program.name, next(uses, 1), 1, 1), spent.error())])


def costs(program: Program) -> dict[int, float]:
    """For each pattern that can be gated, the fraction of lines that its gate is expected to let through."""
    found = {}
    for at, text in enumerate(program.patterns):
        gate = facts(text).gate
        if gate is not None:
            found[at] = sum(_cost(factor) for factor in gate)
    return found


def _lines(code: Sequence[Instr]) -> bytes:
    return array("i", [instr.line for instr in code]).tobytes()


def _program(
    program: Program, metrics: Sequence[Any], numbers: dict[bytes, int], shared: list[PatternSpec]
) -> ProgramSpec:
    patterns = [numbers[text] for text in program.patterns]
    return ProgramSpec(
        name=program.name,
        code=_pack(program.code, patterns),
        lines=_lines(program.code),
        begin=_pack(program.begin, patterns),
        begin_lines=_lines(program.begin),
        ints=program.ints,
        floats=program.floats,
        strings=program.strings,
        layouts=[(text, timelayout.compile_layout(text)) for text in program.layouts],
        metrics=list(metrics),
        patterns=patterns,
        slot_pairs=_slot_pairs(program, [shared[number].captures + 1 for number in patterns]),
        registers=program.registers,
        log_filter=program.log_filter,
        ahead=_ahead(program.code),
    )


def _ahead(code: list[Instr]) -> list[tuple[int, tuple[int, ...]]]:
    """Metrics that are asked for right behind the first pattern, with groups of it as label values."""
    first = code[0]
    if first.op != "MATCH" or first.d != 0:
        return []
    found = []
    groups: dict[int, int] = {}
    for instr in code[1:]:
        if instr.op in JUMPS or instr.op in MATCHES or instr.op == "END":
            break
        keys = [groups.get(register, -1) for register in range(instr.b, instr.b + instr.c)]
        if instr.op == "DATUM" and keys and min(keys) >= 0:
            found.append((instr.d, tuple(keys)))
        if OPS[instr.op].writes:
            groups.pop(instr.a, None)
        if instr.op in ("CAPSM", "CAPIS") and instr.b == first.a:
            groups[instr.a] = instr.c
    return found


_OF_PATTERNS = frozenset(op for op, (_, pool) in _POOLS.items() if pool == "patterns")


def _pack(code: list[Instr], patterns: list[int]) -> bytes:
    """`patterns`: the numbers that the program's patterns have among those of all programs."""
    return b"".join(
        INSTR.pack(OPS[i.op].number, i.a, i.b, i.c, patterns[i.d] if i.op in _OF_PATTERNS else i.d, i.e) for i in code
    )


def _slot_pairs(program: Program, given: list[int]) -> list[int]:
    """`given`: how many pairs a match of each pattern gives, whichever program wants them."""
    pairs = [0] * program.slots
    for instr in (*program.code, *program.begin):
        if instr.op == "MATCHS":
            pairs[instr.a] = max(given[instr.d], 1)
    return pairs


def _add_factors(tables: Tables, sought: Iterable[int]) -> None:
    """Gate each pattern whose factors are all looked for."""
    opened: dict[literals.Factor, list[int]] = {}
    looked_for = set().union(*(facts(tables.patterns[number].text).gate or () for number in sought))
    for number, spec in enumerate(tables.patterns):
        gate = facts(spec.text).gate
        if gate is None or not gate <= looked_for:
            continue
        spec.gated = True
        for factor in gate:
            opened.setdefault(factor, []).append(number)
    tables.factors = [_factor(factor, patterns) for factor, patterns in opened.items()]
    tables.seek = teddy.seek(tables.factors)


def _factor(factor: literals.Factor, patterns: list[int]) -> FactorSpec:
    if factor.regex:
        return FactorSpec(factor.text, factor.caseless, None, patterns)
    return FactorSpec(hyperscan_literal(factor.text), factor.caseless, factor.text, patterns)


_PLAIN = re.compile(rb"[A-Za-z0-9_ ]")


def hyperscan_literal(text: bytes) -> bytes:
    """An expression that matches `text` and nothing else."""
    return b"".join(text[at : at + 1] if _PLAIN.match(text, at) else b"\\x%02x" % byte for at, byte in enumerate(text))
