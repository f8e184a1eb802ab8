"""Look-ahead: the series that a program looks up if its first pattern matches.

The engine matches that pattern on a few candidate lines in advance, looks the series up by the texts of its groups, and
has their memory fetched into the cache before the program gets there.
"""

from __future__ import annotations

from collections.abc import Sequence

from nativemtail.compiler.opcodes import JUMPS, MATCHES, OPS
from nativemtail.compiler.program import Instr


def series(code: Sequence[Instr]) -> list[tuple[int, tuple[int, ...]]]:
    """Metrics that are looked up right after the first pattern, with the groups that give the label values."""
    first = code[0]
    if first.op != "MATCH" or first.d != 0:
        return []
    found = []
    groups: dict[int, int] = {}  # register → group whose text it has
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
