"""The output of the code generator: instructions, labels, registers, constants, and errors.

mtail's machine has a stack of tagged values.  Here the `Kind` of every value is known at compile time, so
registers carry no tags, and errors that mtail detects at run time, such as storing a Float into an Int, become a FAIL.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from nativemtail.compiler import ast, types
from nativemtail.compiler.abi import PLACE_SHIFT
from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.opcodes import JUMPS, MATCHES
from nativemtail.compiler.program import MAX_PLACES, Instr, Program

MAX_CODE = 1_000_000
"""Limit for a program's instructions, because nested decorators can multiply them."""

ICE = "Internal compiler error, aborting compilation: "
UNDERFLOW = "panic in thread at instr: index out of range [-1]"
"""mtail's run-time error if it needs a value and its stack is empty."""

SUFFIX = {"Int": "I", "Float": "F", "String": "S"}
"""The suffix of instructions on values of a type."""

_Constant = TypeVar("_Constant", int, float, bytes, str)


class Kind(Enum):
    """The kind of value in a register.  LEN is the result of `len()`: an integer, but neither true nor false (§2.2)."""

    INT = "int64"
    LEN = "int"
    FLOAT = "float64"
    STRING = "string"
    BOOL = "bool"
    NOTHING = "nothing"


Value = tuple[int, Kind]
"""A register and what it holds."""


def type_name(type_: types.Type | None) -> str:
    return str(types.resolve(type_)) if type_ is not None else "None"


class Emitter:
    """Emits the code of one program.  Each value gets a new register; `optimize` allocates them afterwards."""

    def __init__(self, name: str) -> None:
        self.program = Program(name)
        self.errors: list[tuple[ast.Position | None, str]] = []
        self.failures: list[tuple[ast.Position, str]] = []
        """Statements that always fail when they run, with their run-time errors."""
        self.code: list[Instr] = self.program.code
        self.labels: list[int] = []
        """By label: the number of the instruction that follows it."""
        self.pos = ast.NOWHERE
        """Of the current statement."""
        self._next_register = 0
        self._constants: dict[tuple[int, str], int] = {}

    # --- instructions ------------------------------------------------------------------------------------

    def emit(self, op: str, a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0) -> None:
        """Raises CompileError if the program becomes too large."""
        if len(self.code) >= MAX_CODE:
            raise CompileError(self.program.name, [(self.pos, ICE + f"more than {MAX_CODE} instructions")])
        self.code.append(Instr(op, a, b, c, d, e, self._line()))

    def _line(self) -> int:
        """The line of the current statement, as instructions have it."""
        file, line = self.pos.file, self.pos.line
        if file in (self.program.name, ""):
            return line
        place = self.constant(self.program.places, file) + 1
        return place << PLACE_SHIFT | line if place <= MAX_PLACES else line

    def label(self) -> int:
        """A new label; jumps may refer to it before it is placed."""
        self.labels.append(-1)
        return len(self.labels) - 1

    def place(self, label: int) -> None:
        """Place the label before the next instruction."""
        self.labels[label] = len(self.code)

    def resolve(self, offset: int = 0) -> None:
        """Replace labels by instruction numbers plus `offset`."""
        for instr in self.code:
            if instr.op in JUMPS:
                instr.d = self.labels[instr.d] + offset
            elif instr.op in MATCHES:
                instr.e = self.labels[instr.e] + offset

    # --- registers and constants -------------------------------------------------------------------------

    def registers(self, count: int = 1) -> int:
        """Allocate `count` consecutive registers; returns the first."""
        first = self._next_register
        self._next_register += count
        return first

    def constant(self, pool: list[_Constant], value: _Constant) -> int:
        """The number of `value` in a constant pool of the program; adds it if missing."""
        key = (id(pool), repr(value))
        if key not in self._constants:
            self._constants[key] = len(pool)
            pool.append(value)
        return self._constants[key]

    def integer(self, value: int) -> int:
        return self.constant(self.program.ints, value)

    def string(self, text: bytes) -> int:
        return self.constant(self.program.strings, text)

    # --- errors ------------------------------------------------------------------------------------------

    def ice(self, node: ast.Node, text: str) -> None:
        """Report an error of mtail's code generator (spec language.md §9.4)."""
        self.errors.append((node.pos, ICE + text))

    def fail(self, message: str) -> None:
        """Emit a FAIL: it ends the line with a run-time error."""
        self.failures.append((self.pos, message))
        self.emit("FAIL", d=self.string(message.encode()))

    # --- what mtail converts when it pops a value (runtime.md §2.4) ----------------------------------------

    def convert(self, op: str, register: int, c: int = 0) -> int:
        result = self.registers()
        self.emit(op, result, register, c)
        return result

    def as_int(self, register: int, kind: Kind) -> int:
        if kind in (Kind.INT, Kind.LEN):
            return register
        if kind is Kind.STRING:
            return self.convert("S2I", register, c=1)
        self.fail(f"unexpected int type {kind.value}")
        return register

    def as_float(self, register: int, kind: Kind) -> int:
        if kind is Kind.FLOAT:
            return register
        if kind is Kind.LEN:
            return self.convert("I2F", register)
        if kind is Kind.STRING:
            return self.convert("S2F", register, c=1)
        self.fail(f"unexpected float type {kind.value}")
        return register

    def as_string(self, register: int, kind: Kind) -> int:
        if kind is Kind.STRING:
            return register
        if kind in (Kind.INT, Kind.LEN):
            return self.convert("I2S", register)
        if kind is Kind.FLOAT:
            return self.convert("F2SG", register)
        self.fail(f"unexpected type for string {kind.value}")
        return register
