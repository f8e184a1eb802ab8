"""Packs programs for the engine: binary instructions, with patterns numbered across all programs."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from nativemtail.compiler import lookahead, timelayout
from nativemtail.compiler.abi import INSTR
from nativemtail.compiler.opcodes import KEPT, LOOPS, OPS, PATTERN_OPS, TEXT_MATCHES
from nativemtail.compiler.program import Instr, Program
from nativemtail.compiler.tables import PatternSpec, ProgramSpec


class Packer:
    """Packs programs for a plan in which `shared` are the patterns of all of them."""

    def __init__(self, shared: Sequence[PatternSpec]) -> None:
        self._shared = shared
        self._numbers: Mapping[bytes, int] = {spec.text: number for number, spec in enumerate(shared)}

    def patterns(self, program: Program) -> list[int]:
        """The program's patterns as numbers among those of all programs."""
        return [self._numbers[text] for text in program.patterns]

    def pack(
        self,
        program: Program,
        metrics: Sequence[object],
        triggers: frozenset[int] | None,
        kept: Collection[int] = (),
        *,
        gathers: bool = False,
    ) -> ProgramSpec:
        """`metrics`: the metrics of its declarations, in their order; `triggers`: numbers among all patterns.

        `kept`: numbers of the declarations whose writes are kept by their time, in a history; `gathers`: the lines that
        the program runs on are gathered with their times.
        """
        patterns = self.patterns(program)
        return ProgramSpec(
            name=program.name,
            code=_pack(_of_history(program, kept, gathers=gathers), patterns),
            lines=_lines(program.code),
            begin=_pack(program.begin, patterns),
            begin_lines=_lines(program.begin),
            ints=program.ints,
            floats=program.floats,
            strings=program.strings,
            layouts=[(text, timelayout.compile_layout(text)) for text in program.layouts],
            metrics=list(metrics),
            patterns=patterns,
            slot_pairs=_slot_pairs(program, [self._shared[number].captures + 1 for number in patterns]),
            registers=program.registers,
            places=program.places,
            log_filter=program.log_filter,
            triggers=triggers,
            lookahead=lookahead.series(program.code) if program.record is None else [],
        )


def _of_history(program: Program, kept: Collection[int], *, gathers: bool) -> Sequence[Instr]:
    """The code with instructions that keep the writes to these metrics by their time."""
    if not kept and not gathers:
        return program.code
    ops = set(KEPT)
    if not gathers:
        ops.discard("END")
    if not any(decl.limit > 0 for decl in program.metrics):
        ops.discard("DATUM")
    return [replace(i, op=KEPT[i.op]) if i.op in ops and (i.op == "END" or i.d in kept) else i for i in program.code]


def _lines(code: Sequence[Instr]) -> bytes:
    return array("i", [instr.line for instr in code]).tobytes()


def _pack(code: Sequence[Instr], patterns: Sequence[int]) -> bytes:
    """`patterns`: the program's patterns as numbers among those of all programs."""
    return b"".join(
        INSTR.pack(OPS[i.op].number, i.a, i.b, i.c, patterns[i.d] if i.op in PATTERN_OPS else i.d, i.e) for i in code
    )


def _slot_pairs(program: Program, given: Sequence[int]) -> list[int]:
    """`given`: pairs of offsets that a match of each pattern yields, the most that any program reads."""
    pairs = [0] * program.slots
    for instr in (*program.code, *program.begin):
        if instr.op in TEXT_MATCHES or instr.op in LOOPS:
            pairs[instr.a] = max(given[instr.d], 1)
    return pairs
