"""Why programs cost what they cost: for each pattern its gate and engine, and what would make it cheaper.

`explain` is the command's page, `profile` the one of the running daemon; both are plain text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from nativemtail._core import Cost, Engine, Metric, Profile
from nativemtail.compiler import Program, disasm, gates, plan
from nativemtail.compiler.tables import PatternSpec, ProgramSpec, Tables

_NO_LITERAL = "no literal: tried on every line{where}"
_ADD_LITERAL = "put fixed text into it, or nest it in a block whose pattern has some"


class Finding(NamedTuple):
    """What is to be known of one pattern in one program."""

    pattern: bytes
    gate: str
    engine: str
    captures: int
    """Groups that are filled."""
    why: str
    hint: str
    """Empty where nothing is to be had."""


def findings(program: Program, spec: ProgramSpec, tables: Tables) -> list[Finding]:
    """One for each pattern of `program`, whose tables are `spec`."""
    where = " that the program runs on" if spec.gate is not None else ""
    on_line = {instr.d for instr in program.code if instr.op == "MATCH"}
    return [
        _finding(tables.patterns[number], at in on_line, number in (spec.gate or ()), where)
        for at, number in enumerate(spec.patterns)
    ]


def _finding(pattern: PatternSpec, on_line: bool, opens: bool, where: str) -> Finding:
    why, hint = _reason(pattern, on_line, opens, where)
    slow = _engine_hint(pattern.flags)
    return Finding(
        pattern.text,
        disasm.gate(pattern.text),
        disasm.engine(pattern.flags),
        max(pattern.captures, 0),
        why,
        "; ".join(part for part in (hint, slow) if part),
    )


def _reason(pattern: PatternSpec, on_line: bool, opens: bool, where: str) -> tuple[str, str]:
    if not on_line:
        return "tried on a text of the program's own, not on lines", ""
    if pattern.flags & plan.ALWAYS and pattern.captures < 0:
        return "matches every line: not tried at all", ""
    if opens:
        return "its gate lets lines through to the program", ""
    if pattern.gate >= 0:
        return "tried where its gate opens", ""
    if plan.facts(pattern.text).gate is not None:
        return "not looked for: tried on the lines that its program runs on", ""
    return _NO_LITERAL.format(where=where), "" if where else _ADD_LITERAL


def _engine_hint(flags: int) -> str:
    if flags & plan.ALWAYS:
        return ""
    if not flags & plan.PCRE2:
        return "a repeated part can match nothing, which needs the slower RE2: let it match a character at least"
    if not flags & plan.LINEAR:
        return "repeats can share text, so that long lines need the slower RE2: say [^ ]* instead of .* before a space"
    return ""


def verdict(program: Program, spec: ProgramSpec, tables: Tables) -> str:
    """On which lines a program runs, and why."""
    if spec.gate is None:
        line = gates.first_unguarded(program, plan.costs(program))
        return f"runs on every line: line {line} changes a metric without a pattern that has a gate"
    if not spec.gate:
        return "never runs: it can change nothing"
    number = tables.programs.index(spec)
    text = "runs where one of its gates opens"
    residues = [residue for residue in tables.residues if number in residue.programs]
    if any(residue.runs for residue in residues):
        return f"{text}, or the time at the start of the line is wrong"
    return f"{text}, or code fails that is tried on every line" if residues else text


def explain(programs: Sequence[tuple[Program, Sequence[Metric]]], profile: Profile | None = None) -> str:
    """The command's page."""
    tables = plan.build(programs)
    lines: list[str] = []
    for (program, _), spec in zip(programs, tables.programs, strict=True):
        lines.append(f"{program.name}: {verdict(program, spec, tables)}")
        if profile:
            cost = profile.programs[program.name]
            lines.append(f"  ran on {_of(cost.runs, cost.lines)} lines, {_share(cost.seconds, profile)}")
        for finding in findings(program, spec, tables):
            lines += _paragraph(finding, profile)
        lines.append("")
    if profile:
        lines += _summary(profile)
    return "\n".join(lines).rstrip("\n") + "\n"


def _paragraph(finding: Finding, profile: Profile | None) -> Iterator[str]:
    yield f"  /{finding.pattern.decode('utf-8', 'replace')}/"
    yield f"    gate {finding.gate}; engine {finding.engine}; captures {finding.captures}"
    yield f"    {finding.why}"
    if finding.hint:
        yield f"    hint: {finding.hint}"
    cost = profile.patterns[finding.pattern] if profile else None
    if cost and profile and cost.runs:
        yield f"    matched {_of(cost.matches, cost.runs)} lines tried, {_share(cost.seconds, profile)}"


def profile(engine: Engine) -> str:
    """What the running programs have cost since they were loaded, the dearest first."""
    measured = engine.profile()
    lines = [*_summary(measured), ""]
    lines += _table("program", ((name, cost) for name, cost in measured.programs.items()), measured)
    lines.append("")
    texts = ((f"/{text.decode('utf-8', 'replace')}/", cost) for text, cost in measured.patterns.items())
    lines += _table("pattern (its time is part of the programs')", texts, measured)
    return "\n".join(lines) + "\n"


def _table(title: str, rows: Iterable[tuple[str, Cost]], measured: Profile) -> Iterator[str]:
    yield f"{'lines run on':>14} {'matched':>14} {'seconds':>9} {'share':>6}  {title}"
    for name, cost in sorted(rows, key=lambda row: -row[1].seconds):
        matched = "" if cost.matches < 0 else f"{cost.matches:,}"
        share = f"{100 * cost.seconds / measured.seconds:.1f} %" if measured.seconds else ""
        yield f"{cost.runs:14,} {matched:>14} {cost.seconds:9.3f} {share:>6}  {name}"


def _summary(measured: Profile) -> Iterator[str]:
    gates_took = _share(measured.gate_seconds, measured)
    yield f"{measured.lines:,} lines in {measured.seconds:.3f} s, of which the gates took {gates_took}"


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}" + (f" ({100 * part / whole:.1f} %)" if whole else "")


def _share(seconds: float, measured: Profile) -> str:
    return f"{seconds:.3f} s" + (f" ({100 * seconds / measured.seconds:.0f} %)" if measured.seconds else "")
