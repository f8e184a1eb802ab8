"""Why programs cost what they cost: for each pattern its prefilter and engine, and what would make it cheaper.

Both the command and the daemon's page `/profile` show what `reasons` returns; `explain` renders it for the command.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from nativemtail._core import Metric, Profile
from nativemtail.compiler import Program, disasm, fields, patterns, plan
from nativemtail.compiler.abi import PatternFlag
from nativemtail.compiler.divisible import Reason
from nativemtail.compiler.opcodes import LINE_MATCHES
from nativemtail.compiler.prefilter import guards
from nativemtail.compiler.records import GIVEN
from nativemtail.compiler.tables import PatternSpec, ProgramSpec, Tables
from nativemtail.gotext import duration
from nativemtail.telemetry.costs import PatternCost, ProgramCost

_NO_LITERAL = "no literal: tried on every line{where}"
_ADD_LITERAL = "put fixed text into it, or nest it in a block whose pattern has some"


def reasons(programs: Sequence[tuple[Program, Sequence[Metric]]]) -> list[ProgramCost]:
    """Why programs that run together cost what they cost, without figures; their metrics are irrelevant here."""
    return _reasons(programs, plan.build(programs))


def _reasons(programs: Sequence[tuple[Program, Sequence[Metric]]], tables: Tables) -> list[ProgramCost]:
    return [
        ProgramCost(
            name=program.name,
            why=_verdict(program, spec, tables)
            + (f"; its lines are those of `{program.record}'" * bool(program.record)),
            patterns=_findings(program, spec, tables),
        )
        for (program, _), spec in zip(programs, tables.programs, strict=True)
    ]


def _findings(program: Program, spec: ProgramSpec, tables: Tables) -> list[PatternCost]:
    where = " that the program runs on" if spec.triggers is not None else ""
    on_line = {instr.d for instr in program.code if instr.op in LINE_MATCHES}
    of_records = program.record is not None
    return [
        _finding(tables.patterns[number], at in on_line, number in (spec.triggers or ()), where, of_records)
        for at, number in enumerate(spec.patterns)
    ]


def _finding(pattern: PatternSpec, on_line: bool, opens: bool, where: str, of_records: bool) -> PatternCost:
    why, hint = _reason(pattern, on_line, opens, where, of_records)
    slow = _engine_hint(pattern.flags)
    return PatternCost(
        pattern=fields.shown(pattern.text).removeprefix("/").removesuffix("/"),
        is_regex=pattern.fields is None,
        prefilter=disasm.prefilter(pattern.text, of_records),
        engine=disasm.engine(pattern),
        captures=len(pattern.fields.paths) if pattern.fields else max(pattern.captures, 0),
        why=why,
        hint="; ".join(part for part in (hint, slow) if part),
    )


def with_figures(program: Program, why: ProgramCost, measured: Profile) -> ProgramCost:
    """The result of `reasons` for `program`, with measured figures; patterns without figures are left out."""
    cost = measured.programs[why.name]
    patterns = []
    for text, pattern in zip(program.patterns, why.patterns, strict=False):  # none if it could not be explained
        if found := measured.patterns.get(text):
            tried, matched, samples = found.runs, found.matches, found.samples
            patterns.append(replace(pattern, tried=tried, matched=matched, samples=samples, seconds=found.seconds))
    return replace(why, lines=cost.lines, runs=cost.runs, samples=cost.samples, seconds=cost.seconds, patterns=patterns)


def _reason(pattern: PatternSpec, on_line: bool, opens: bool, where: str, of_records: bool) -> tuple[str, str]:
    if not on_line:
        return "tried on a text of the program's own, not on lines", ""
    if pattern.text == GIVEN:
        return "$stream and $logtime: not tried at all", ""
    if pattern.flags & PatternFlag.ALWAYS and pattern.captures < 0:
        return "matches every line: not tried at all", ""
    if pattern.flags & PatternFlag.LITERAL and pattern.prefiltered and pattern.captures < 0:
        opening = ", and lets lines through to the program" if opens else ""
        return f"found by its prefilter{opening}: not tried by itself", ""
    if opens:
        return "its prefilter lets lines through to the program", ""
    if pattern.prefiltered:
        return "tried on lines that pass its prefilter", ""
    if patterns.facts(pattern.text, of_records=of_records).required is not None:
        return "not looked for: tried on the lines that its program runs on", ""
    return _NO_LITERAL.format(where=where), "" if where else _ADD_LITERAL


def _engine_hint(flags: int) -> str:
    if flags & (PatternFlag.ALWAYS | PatternFlag.FIELDS):
        return ""
    if not flags & PatternFlag.PCRE2:
        return "a repeated part can match nothing, which needs the slower RE2: let it match a character at least"
    if not flags & PatternFlag.LINEAR:
        return "repeats can share text, so that long lines need the slower RE2: say [^ ]* instead of .* before a space"
    return ""


def _verdict(program: Program, spec: ProgramSpec, tables: Tables) -> str:
    if spec.triggers is None:
        line = guards.first_unguarded(program, plan.costs(program))
        return f"runs on every line: line {line} changes a metric without a pattern that has a prefilter"
    if not spec.triggers:
        return "never runs: it can change nothing"
    number = tables.programs.index(spec)
    text = "runs on lines that pass one of its prefilters"
    slices = [each for each in tables.guard_slices if number in each.programs]
    if any(each.runs for each in slices):
        return f"{text}, or the time at the start of the line is wrong"
    return f"{text}, or code fails that is tried on every line" if slices else text


def division(reasons: Mapping[str, Sequence[Reason]]) -> str:
    """By program, why it cannot be divided in a history: a line for each reason, and one for each that can be."""
    lines = []
    for name, mine in reasons.items():
        lines += [str(reason) for reason in mine] or [f"{name} divisible"]
    return "".join(f"{line}\n" for line in lines)


def explain(programs: Sequence[tuple[Program, Sequence[Metric]]], profile: Profile | None = None) -> str:
    """The output of `nativemtail explain`."""
    lines: list[str] = []
    tables = plan.build(programs)
    for (program, _), why in zip(programs, _reasons(programs, tables), strict=True):
        cost = with_figures(program, why, profile) if profile else why
        lines.append(f"{cost.name}: {cost.why}")
        if profile:
            lines.append(f"  ran on {_of(cost.runs, cost.lines)} lines, {_time(cost, profile)}")
        for pattern in cost.patterns:
            lines += _paragraph(pattern, profile)
        lines.append("")
    lines.append(_prefilter(tables))
    if profile:
        prefilter_took, rest = _share(profile.prefilter_seconds, profile), _share(profile.rest_seconds, profile)
        lines.append(f"{profile.lines:,} lines in {duration(profile.seconds)} of CPU time, of which the prefilter took")
        lines.append(f"{prefilter_took} and choosing programs {rest}")
    return "\n".join(lines).rstrip("\n") + "\n"


def _prefilter(tables: Tables) -> str:
    """The number of required literals, and the matcher that searches for them."""
    if not tables.literals:
        return "no prefilter"
    regexes = sum(spec.literal is None for spec in tables.literals)
    count = f"{len(tables.literals) - regexes} literals" + (f" and {regexes} regular expressions" if regexes else "")
    matcher = "the multi-literal matcher (without AVX2, by Hyperscan)" if tables.teddy else "Hyperscan"
    return f"prefilter: {count}, found by {matcher}"


def _paragraph(cost: PatternCost, profile: Profile | None) -> Iterator[str]:
    yield f"  {cost.shown}"
    yield f"    prefilter {cost.prefilter}; engine {cost.engine}; captures {cost.captures}"
    yield f"    {cost.why}"
    if cost.hint:
        yield f"    hint: {cost.hint}"
    if profile and cost.tried:
        yield f"    matched {_of(cost.matched, cost.tried)} lines tried, {_time(cost, profile)}"


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}" + (f" ({100 * part / whole:.1f} %)" if whole else "")


def _time(cost: ProgramCost | PatternCost, measured: Profile) -> str:
    samples = f" from {cost.samples:,} sample{'s' * (cost.samples != 1)}"
    return _share(cost.seconds, measured) + samples if cost.samples else "too few for a sample"


def _share(seconds: float, measured: Profile) -> str:
    return duration(seconds) + (f" ({100 * seconds / measured.seconds:.0f} %)" if measured.seconds else "")
