"""A readable dump of a program's action tables, for `--dump_bytecode` and `/progz`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nativemtail.compiler import fields, patterns, plan, timelayout
from nativemtail.compiler.abi import PatternFlag
from nativemtail.compiler.opcodes import OPS
from nativemtail.compiler.prefilter import guards
from nativemtail.compiler.program import Instr, Program
from nativemtail.compiler.tables import PatternSpec, ProgramSpec, Tables

_FIELD = re.compile(r"(?<![A-Za-z])(r?)([a-e])(?:\+(\d))?(?![A-Za-z])")


def dump(program: Program) -> str:
    """The program's metrics, patterns with required literals and engine, and code."""
    tables = plan.build([(program, [])])
    return "\n".join(_dump(program, tables)) + "\n"


def _dump(program: Program, tables: Tables) -> Iterator[str]:
    spec = tables.programs[0]
    yield f"Prog: {program.name}"
    yield f"Runs: {_runs(spec, tables)}"
    if program.record is not None:
        yield f"Line: {program.record}"
    if program.log_filter is not None:
        yield f"Sources: {program.log_filter}"
    yield "Metrics"
    for number, metric in enumerate(program.metrics):
        shape = f"kind={metric.kind} type={metric.type} keys={list(metric.keys)}"
        yield f" {number:8} {metric.name} {shape} {metric.source}"
    yield "Patterns"
    for number, text in enumerate(program.patterns):
        shared = tables.patterns[spec.patterns[number]]
        yield f" {number:8} {fields.shown(text)}"
        sought = prefilter(text, program.record is not None)
        yield f" {'':8}   engine {engine(shared)}, groups read {shared.captures + 1}, prefilter {sought}"
    for title, pool in (("Integers", program.ints), ("Floats", program.floats), ("Strings", program.strings)):
        if pool:
            yield title
            yield from (f" {number:8} {constant!r}" for number, constant in enumerate(pool))
    if program.layouts:
        yield "Layouts"
    for number, text in enumerate(program.layouts):
        steps = ", ".join(timelayout.describe(timelayout.compile_layout(text)))
        yield f" {number:8} {text!r}: {steps}"
    for title, code in (("Code", program.code), ("Begin", program.begin)):
        if len(code) > 1 or title == "Code":
            yield title
            yield from (listing(at, instr, program) for at, instr in enumerate(code))
    found = guards.program_guard(program, plan.costs(program))
    if found is not None and found.slice:
        yield "Guard slice"
        yield from (listing(at, instr, program) for at, instr in enumerate(found.slice))


def _runs(spec: ProgramSpec, tables: Tables) -> str:
    if spec.triggers is None:
        return "on every line"
    if not spec.triggers:
        return "never: it can change nothing"
    texts = sorted(fields.shown(tables.patterns[number].text) for number in spec.triggers)
    guard = ", or the guard slice fails" if tables.guard_slices else ""
    return "where one of these passes its prefilter: " + "  ".join(texts) + guard


def engine(pattern: PatternSpec) -> str:
    """The engine that finds captures, after the one-pass matcher (regex/onepass/) on ASCII text."""
    if pattern.flags & PatternFlag.FIELDS:
        return "reader of fields"
    if pattern.flags & PatternFlag.ALWAYS:
        return "none (matches every line)"
    library = "PCRE2" if pattern.flags & PatternFlag.LINEAR else "PCRE2, RE2 on long lines"
    if not pattern.flags & PatternFlag.PCRE2:
        library = "RE2"
    return f"scan, else {library}" if pattern.onepass else library


def prefilter(text: bytes, of_records: bool) -> str:
    found = patterns.facts(text, of_records=of_records).required
    if found is None:
        return "none"
    return " | ".join(sorted(("regex " if literal.regex else "") + repr(literal.text)[1:] for literal in found))


def listing(at: int, instr: Instr, program: Program) -> str:
    """One instruction: number, name, description with its operands filled in, source line."""
    values = {"a": instr.a, "b": instr.b, "c": instr.c, "d": instr.d, "e": instr.e}
    file, line = program.where(instr)
    where = line if file == program.name else f"{line} of {file}"
    operands = _FIELD.sub(lambda m: f"{m[1]}{values[m[2]] + int(m[3] or 0)}", OPS[instr.op].operands)
    return f" {at:8} {instr.op:8} {operands:48} line {where}"
