"""The instruction set, defined once for the code generator, the dump and the native interpreter.

An instruction is {op, a, b, c: u16; d, e: i32}.  `a` is mostly the destination register; registers are untagged
64-bit integers, doubles, byte strings or data, and the code generator knows which.  The native code gets the numbers
through abi.py.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Effect(IntEnum):
    """The lasting effect of an instruction: what it can change beyond the current line."""

    NONE = 0
    FAULT = 1
    """It may fail, which counts a run-time error."""
    STORE = 2
    """It changes metrics."""


class Op(NamedTuple):
    number: int
    name: str
    operands: str
    """The description in dumps, with a, b, c, d, e for the operands; a letter that is missing is unused."""
    effect: Effect

    @property
    def writes(self) -> bool:
        """Whether register a is the destination."""
        return self.operands.startswith("ra = ")


# A name with one ! may fail, one with two changes metrics.
_TABLE = """
# control
END
JMP      ->d
JF       if not ra ->d
JT       if ra ->d
JMATCHED if matched ->d
SETM     matched = #a
FAIL!    fault d
# patterns on the line: slot a, pattern d; on a string: slot a, register b, pattern d; no match goes to e
MATCH    slot a = line ~ pattern d else ->e
MATCHS   slot a = rb ~ pattern d else ->e
# the same for fields, which may have a wrong type
FIELDS!  slot a = line ~ pattern d else ->e
FIELDSS! slot a = rb ~ pattern d else ->e
# every: the first match of pattern d, then the next one, each of which runs the code from ->d on again
EVERY!   slot a = first in line ~ pattern d else ->e
EVERYS!  slot a = first in rb ~ pattern d else ->e
AGAIN!   slot a = next ->d
DEFINED  ra = slot b group c took part
# captures: slot b, group c
CAPS!    ra = slot b group c
CAPI!    ra = int(slot b group c)
CAPF!    ra = float(slot b group c)
CAPIS!   ra = text(int(slot b group c))
# the same where codegen proved that the slot has matched
CAPSM    ra = slot b group c, matched
CAPIM!   ra = int(slot b group c), matched
CAPFM!   ra = float(slot b group c), matched
# fields that are numbers: field c of d
FLDI!    ra = int(slot b field c), d
FLDF!    ra = float(slot b field c), d
# constants
LDI      ra = int d
LDF      ra = float d
LDS      ra = string d
MOV      ra = rb
# conversions
I2F      ra = float(rb)
I2S      ra = text(rb)
F2S      ra = %g(rb)
F2SG     ra = %G(rb)
F2I!     ra = int(rb)
S2I!     ra = int(rb), c: wrapped message
S2F!     ra = float(rb), c: wrapped message
STRTOL!  ra = int(rb, base rc)
# integers
ADDI     ra = rb + rc
SUBI     ra = rb - rc
MULI     ra = rb * rc
DIVI!    ra = rb / rc
MODI!    ra = rb % rc
POWI     ra = rb ** rc
SHLI!    ra = rb << rc
SHRI!    ra = rb >> rc
ANDI     ra = rb & rc
ORI      ra = rb | rc
XORI     ra = rb ^ rc
NOTI     ra = ~rb
NEGI     ra = -rb
ABSI     ra = abs(rb)
MINI     ra = min(rb, rc)
MAXI     ra = max(rb, rc)
NOTB     ra = not rb
# floats
ADDF     ra = rb + rc
SUBF     ra = rb - rc
MULF     ra = rb * rc
DIVF     ra = rb / rc
MODF     ra = rb % rc
POWF     ra = rb ** rc
NEGF     ra = -rb
MINF     ra = min(rb, rc)
MAXF     ra = max(rb, rc)
# the interpreter takes these as a range
ABSF     ra = abs(rb)
FLOOR    ra = floor(rb)
CEIL     ra = ceil(rb)
ROUND    ra = round(rb)
LN       ra = ln(rb)
LOG10    ra = log10(rb)
EXP      ra = exp(rb)
SQRT     ra = sqrt(rb)
# strings
CAT      ra = rb . rc
LEN      ra = len(rb)
LOWER    ra = tolower(rb)
UPPER    ra = toupper(rb)
SUBST    ra = subst(rb, rb+1, rb+2)
SUBSTRE  ra = subst(pattern d, rb, rb+1)
FNAME    ra = getfilename()
IPIN     ra = rb is in a prefix of string d
# parts of strings, a range for the interpreter
TRIM     ra = trim(rb)
TRIMPRE  ra = trimprefix(rb, rc)
TRIMSUF  ra = trimsuffix(rb, rc)
SUBSTR   ra = substr(rb, rb+1, rb+2)
SPLIT    ra = split(rb, rb+1, rb+2)
# comparisons
LTI      ra = rb < rc
GTI      ra = rb > rc
EQI      ra = rb == rc
LTF      ra = rb < rc
GTF      ra = rb > rc
EQF      ra = rb == rc
LTS      ra = rb < rc
GTS      ra = rb > rc
EQS      ra = rb == rc
# texts as numbers where the left one is a number
LTN!     ra = rb < rc
GTN!     ra = rb > rc
EQN!     ra = rb == rc
# metrics: d the metric, keys in registers b .. b+c-1, e: those of the DATUM before, or none;
# writes name the metric of their datum too
DATUM!!  ra = metric d [rb x c], hashed e
GETI     ra = value of rb
GETF     ra = value of rb
GETS     ra = value of rb
INC!!     ra = ++(datum rb) (metric d)
DEC!!     ra = --(datum rb) (metric d)
INCBY!!   datum ra += rb (metric d)
INCBYF!!  datum ra += rb (metric d)
SETI!!    datum ra = rb (metric d)
SETF!!    datum ra = rb (metric d)
SETS!!    datum ra = rb (metric d)
OBSERVE!! datum ra observes rb (metric d)
DEL!!     del metric d [rb x c]
DELALL!!  del metric d
EXPIRE!!  del metric d [rb x c] after int e
# the same in a history, where writes are kept by their time (packing.py); the interpreter takes these as a range
HINC!!    ra = ++(datum rb) (metric d), kept
HDEC!!    ra = --(datum rb) (metric d), kept
HINCBY!!  datum ra += rb (metric d), kept
HINCBYF!! datum ra += rb (metric d), kept
HSETI!!   datum ra = rb (metric d), kept
HSETF!!   datum ra = rb (metric d), kept
HSETS!!   datum ra = rb (metric d), if the line has a time
HOBSERVE!! datum ra observes rb (metric d), kept
HDATUM!!  ra = metric d [rb x c], hashed e, what it evicts ends
HDEL!!    del metric d [rb x c], which ends
HDELALL!! del metric d, which ends
# in place of END, where the lines of an in-order program are gathered with their times
HEND
# time
SETTIME  time = ra
SETTIMEF! time = ra
STRPTIME! time = strptime(ra, layout d)
TSTAMP   ra = timestamp()
UTIME    ra = unixtime()
"""


def _parse(table: str) -> dict[str, Op]:
    ops: dict[str, Op] = {}
    for text in table.strip().splitlines():
        if text.startswith("#"):
            continue
        name, _, operands = text.partition(" ")
        plain = name.rstrip("!")
        ops[plain] = Op(len(ops), plain, operands.strip(), Effect(len(name) - len(plain)))
    return ops


OPS = _parse(_TABLE)
NAMES = list(OPS)

BACK = "AGAIN"
"""The only jump that goes back."""
JUMPS = frozenset(["JMP", "JF", "JT", "JMATCHED", BACK])
"""Jumps to d."""
LINE_MATCHES = frozenset(["MATCH", "FIELDS", "EVERY"])
"""Matches of the line."""
TEXT_MATCHES = frozenset(["MATCHS", "FIELDSS", "EVERYS"])
"""Matches of another text."""
MATCHES = LINE_MATCHES | TEXT_MATCHES
"""Jumps to e if there is no match."""
LOOPS = frozenset(["EVERY", "EVERYS"])
"""Matches that have offsets of their own, even of the line."""
CAPTURES = frozenset(["CAPS", "CAPI", "CAPF", "CAPIS", "CAPSM", "CAPIM", "CAPFM", "FLDI", "FLDF", "DEFINED"])
"""Reads of slot b."""

POOLS = {
    "LDI": ("d", "ints"), "LDF": ("d", "floats"), "LDS": ("d", "strings"), "FAIL": ("d", "strings"),
    "IPIN": ("d", "strings"),
    **dict.fromkeys(sorted(MATCHES), ("d", "patterns")), "SUBSTRE": ("d", "patterns"), "STRPTIME": ("d", "layouts"),
}  # fmt: skip
"""Instructions with a number of the program's constants: the operand, and what it counts."""
PATTERN_OPS = frozenset(op for op, (_, pool) in POOLS.items() if pool == "patterns")
SLOTS = dict.fromkeys(MATCHES, "a") | {BACK: "a"} | dict.fromkeys(CAPTURES, "b")
"""Instructions with a slot: the operand."""

KEPT = {op.removeprefix("H"): op for op in OPS if op.startswith("H")}
"""Instructions of histories, by what they replace."""

FAULTS = [
    "OK",
    "STATIC",  # a text of the program's own
    "NO_MATCH",  # capture of a pattern that did not match on this line
    "INT_SYNTAX",
    "INT_RANGE",
    "INT_BASE",
    "FLOAT_SYNTAX",
    "FLOAT_RANGE",
    "BASE_RANGE",
    "DIVIDE",
    "SHIFT",
    "TIME",
    "NO_TIME",  # settime of a Float that is no time
    "NO_INT",  # int of a Float that is none
    "NO_DATUM",
    "COMPARE",
    "MEMORY",
    "FIELD",  # a field that is not of its type
    "ROUNDS",  # too many rounds of `every`
    "TEXTS",  # too much text in its rounds
]
