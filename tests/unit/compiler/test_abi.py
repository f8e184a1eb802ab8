"""What the compiler and the native code share is written once: in compiler/abi.py and compiler/opcodes.py."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nativemtail import _core
from nativemtail.compiler import abi
from nativemtail.compiler.opcodes import FAULTS, OPS

ROOT = next(folder for folder in Path(__file__).parents if (folder / "setup.py").exists())
CORE = ROOT / "src/nativemtail/core"
GENERATED = ("abi.pxi", "abi.hpp")
NUMBERS = dict(re.findall(r"^    ([A-Z]\w+) = (\d+)$", abi.pxi(), re.MULTILINE))


@pytest.mark.parametrize(("name", "text"), [("abi.pxi", abi.pxi()), ("abi.hpp", abi.hpp())])
def test_the_build_has_written_it(name, text):
    assert (CORE / name).read_text() == text


def test_every_number_is_there():
    members = [("KIND", abi.MetricKind), ("TYPE", abi.ValueType), ("PATTERN", abi.PatternFlag), ("LAY", abi.LayoutOp),
               ("AUTOMATON", abi.Automaton), ("ASSERT", abi.Assertion), ("FIELDS", abi.FieldFormat),
               ("FIELD", abi.FieldType), ("CONTAINER", abi.Container), ("JOINED", abi.Joined)]  # fmt: skip
    expected = {f"{prefix}_{member.name}": int(member) for prefix, enum in members for member in enum}
    expected |= {f"LAY_{name}": number for name, number in abi.LAYOUT_FLAGS.items()}
    expected["PLACE_SHIFT"] = abi.PLACE_SHIFT
    expected |= {f"OP_{name}": op.number for name, op in OPS.items()}
    expected |= {f"FAULT_{name}": number for number, name in enumerate(FAULTS)}
    assert {name: int(number) for name, number in NUMBERS.items()} == expected


def test_no_other_part_defines_them():
    for path in CORE.rglob("*.[ph][xp][ip]"):
        if path.name not in GENERATED:
            defined = re.findall(r"^\s+([A-Z]\w+) = ", path.read_text(), re.MULTILINE)
            assert not set(defined) & set(NUMBERS), path
            structs = re.findall(r"\bstruct (\w+)(?:: | \{)", path.read_text())
            assert not set(structs) & {layout.name for layout in abi.STRUCTS}, path


def test_the_python_side_has_the_kinds_and_types():
    for member in (*abi.MetricKind, *abi.ValueType):
        assert getattr(_core, member.name) == member


def test_a_layout_that_the_compiler_sees_otherwise_does_not_compile(tmp_path):
    """What a struct of another size or order would be: C++ refuses the file."""
    compiler = shutil.which("g++")
    assert compiler is not None
    good = abi.hpp()
    for text, compiles in ((good, True), (good.replace("    uint16_t target;", "    uint32_t target;"), False)):
        (tmp_path / "abi.hpp").write_text(text)
        done = subprocess.run(
            [compiler, "-std=c++17", "-fsyntax-only", tmp_path / "abi.hpp"], capture_output=True, check=False
        )
        assert (done.returncode == 0) == compiles, done.stderr


def test_packing_follows_the_fields():
    assert abi.INSTR.size == 16
    assert abi.ONEPASS_OP.offsets()["literal"] == 12
    assert abi.LAYOUT_STEP.pack(1, 2, 0, 3, 4) == bytes([1, 2, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0])
