"""All loaded programs → the tables that the engine runs: patterns shared by all programs, prefilter, packed code.

Nothing here touches the runtime; `_core.Plan` takes `Tables` as it is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from nativemtail.compiler import patterns
from nativemtail.compiler.opcodes import LINE_MATCHES
from nativemtail.compiler.packing import Packer
from nativemtail.compiler.prefilter import guards, select, teddy
from nativemtail.compiler.prefilter.literals import RequiredLiteral
from nativemtail.compiler.program import Program
from nativemtail.compiler.tables import GuardSlice, ProgramSpec, Tables

FEW = 8
"""If a program has at most this many patterns besides its triggers, only the triggers are prefiltered: trying the
others on the few candidate lines costs less."""


def build(programs: Iterable[tuple[Program, Sequence[object]]]) -> Tables:
    """Build the tables for programs, each given with the metrics of its declarations, in their order.

    Raises CompileError for a program whose patterns exceed the budget.
    """
    loaded = list(programs)
    specs = patterns.shared([program for program, _ in loaded])
    packer = Packer(specs)
    packed: list[ProgramSpec] = []
    slices: dict[Hashable, GuardSlice] = {}
    sought: set[int] = set()  # patterns whose required literals are searched for
    for at, (program, metrics) in enumerate(loaded):
        numbers = packer.patterns(program)
        matched = {numbers[instr.d] for instr in program.code if instr.op in LINE_MATCHES}
        guard = guards.program_guard(program, costs(program))
        if guard is None:
            packed.append(packer.pack(program, metrics, None))
            sought |= matched
            continue
        triggers = frozenset(numbers[number] for number in guard.patterns)
        packed.append(packer.pack(program, metrics, triggers))
        sought |= matched if len(matched - triggers) > FEW else triggers
        if guard.slice:
            part = guards.isolated(program, guard.slice)
            code = packer.pack(part, [], None)
            known = slices.setdefault(_identity(code), GuardSlice(code, [], guards.leading_time(part)))
            known.programs.append(at)
    selection = select.select([_required(spec.text) for spec in specs], sought)
    return Tables(
        patterns=[spec._replace(prefiltered=at in selection.prefiltered) for at, spec in enumerate(specs)],
        programs=packed,
        literals=selection.literals,
        always=[at for at, spec in enumerate(packed) if spec.triggers is None],
        guard_slices=list(slices.values()),
        teddy=teddy.teddy(selection.literals),
    )


def costs(program: Program) -> dict[int, float]:
    """For each of the program's patterns that has a prefilter, the fraction of lines that is expected to pass it."""
    required = enumerate(map(_required, program.patterns))
    return {at: select.cost(literals) for at, literals in required if literals is not None}


def _required(text: bytes) -> frozenset[RequiredLiteral] | None:
    return patterns.facts(text).required


def _identity(part: ProgramSpec) -> Hashable:
    """A key that is equal for guard slices that do the same."""
    pools = part.ints, part.floats, part.strings, part.layouts, part.patterns
    return part.code, repr(pools)
