"""All loaded programs → the tables that the engine runs: patterns shared by all programs, prefilter, packed code.

Nothing here touches the runtime; `_core.Plan` takes `Tables` as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence

from nativemtail.compiler import patterns, records
from nativemtail.compiler.abi import Container, Joined
from nativemtail.compiler.framing import Framing
from nativemtail.compiler.opcodes import LINE_MATCHES
from nativemtail.compiler.packing import Packer
from nativemtail.compiler.prefilter import guards, select, teddy
from nativemtail.compiler.program import Program
from nativemtail.compiler.regex import firstbyte
from nativemtail.compiler.regex.parser import parse
from nativemtail.compiler.tables import FramingSpec, GuardSlice, PatternSpec, ProgramSpec, Tables

FEW = 8
"""If a program has at most this many patterns besides its triggers, only the triggers are prefiltered: trying the
others on the few candidate lines costs less."""


def build(
    programs: Iterable[tuple[Program, Sequence[object]]],
    kept: Sequence[Collection[int]] | None = None,
    *,
    gathers: bool = False,
) -> Tables:
    """Build the tables for programs, each given with the metrics of its declarations, in their order.

    `kept`, for a history: for each program the numbers of the declarations whose writes are kept by their time;
    `gathers`: the lines that a program runs on are gathered with their times.

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
        of_history = kept[at] if kept is not None else ()
        matched = {numbers[instr.d] for instr in program.code if instr.op in LINE_MATCHES}
        guard = guards.program_guard(program, costs(program))
        if guard is None:
            packed.append(packer.pack(program, metrics, None, of_history, gathers=gathers))
            sought |= matched
            continue
        triggers = frozenset(numbers[number] for number in guard.patterns)
        packed.append(packer.pack(program, metrics, triggers, of_history, gathers=gathers))
        sought |= matched if len(matched - triggers) > FEW else triggers
        if guard.slice:
            part = guards.isolated(program, guard.slice)
            code = packer.pack(part, [], None)
            known = slices.setdefault(_identity(code), GuardSlice(code, [], guards.leading_time(part)))
            known.programs.append(at)
    in_records = patterns.of_records([program for program, _ in loaded])
    required = [patterns.facts(spec.text, of_records=spec.text in in_records).required for spec in specs]
    selection = select.select(required, sought)
    return Tables(
        patterns=[spec._replace(prefiltered=at in selection.prefiltered) for at, spec in enumerate(specs)],
        programs=packed,
        literals=selection.literals,
        always=[at for at, spec in enumerate(packed) if spec.triggers is None],
        guard_slices=list(slices.values()),
        teddy=teddy.teddy(selection.literals),
        framings=_framings([program.record for program, _ in loaded], specs),
    )


def _framings(statements: Sequence[Framing | None], specs: Sequence[PatternSpec]) -> list[FramingSpec]:
    """The record statements of the programs, equal ones once."""
    users: dict[Framing, list[int]] = {}
    for at, framing in enumerate(statements):
        if framing is not None:
            users.setdefault(framing, []).append(at)
    numbers: dict[bytes | None, int] = {spec.text: number for number, spec in enumerate(specs)}
    return [
        FramingSpec(
            repr(tuple(framing)),
            int(Container[framing.container.upper() or "NONE"]),
            int(Joined[framing.joined.upper() or "NONE"]),
            numbers.get(framing.pattern, -1),
            numbers[records.DOCKER] if framing.container == "docker" else -1,
            b"" if framing.pattern is None else firstbyte.verdicts(parse(framing.pattern)) or b"",
            framing.size,
            framing.separator,
            framing.most,
            framing.timeout,
            programs,
        )
        for framing, programs in users.items()
    ]


def costs(program: Program) -> dict[int, float]:
    """For each of the program's patterns that has a prefilter, the fraction of lines that is expected to pass it."""
    of_records = program.record is not None
    required = enumerate(patterns.facts(text, of_records=of_records).required for text in program.patterns)
    return {at: select.cost(literals) for at, literals in required if literals is not None}


def _identity(part: ProgramSpec) -> Hashable:
    """A key that is equal for guard slices that do the same."""
    pools = part.ints, part.floats, part.strings, part.layouts, part.patterns
    return part.code, repr(pools)
