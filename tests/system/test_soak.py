"""Memory stays where it is however long the process runs: label sets that come and go, reloads, floods of errors."""

from __future__ import annotations

import ctypes
import gc
import os
import random
from pathlib import Path

import pytest
from engines import Machine

from nativemtail._render import Page

MEGABYTE = 1024 * 1024
LINES = int(os.environ.get("NATIVEMTAIL_SOAK_LINES", "2000000"))
BLOCK = 20_000

pytestmark = pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers keep freed memory")


def resident() -> int:
    """Bytes of memory that the process holds, without what malloc could give back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


PROGRAM = """\
counter limited by k, l limit 1000
counter deleted by k
counter expired by k
text texts by k limit 500
histogram sizes by k buckets 1, 10, 100 limit 500
gauge steady by k
/^(?P<k>\\S+) (?P<l>\\S+) (?P<n>\\d+)$/ {
  limited[$k][$l]++
  deleted[$k]++
  expired[$l] += $n
  del expired[$l] after 1s
  texts[$k] = $l + $k
  sizes[$l] = $n
  steady[$n]++
}
/^(?P<k>\\S+) \\S+ \\d+$/ {
  del deleted[$k]
}
"""


def test_label_sets_that_come_and_go() -> None:
    machine = Machine(PROGRAM)
    draw = random.Random(1)

    def block() -> bytes:
        labels = draw.randbytes(BLOCK * 12).hex()
        return b"".join(
            f"{labels[at : at + draw.randint(1, 24)]} {labels[at + 12 : at + 24]} {at % 99}\n".encode()
            for at in range(0, BLOCK * 24, 24)
        )

    def run(lines: int) -> None:
        for _ in range(lines // BLOCK):
            machine.feed(block())
            Page(machine.store.snapshot()).prometheus()
            machine.store.gc(2**62)

    run(LINES // 5)
    before, held = resident(), machine.store.memory
    run(LINES - LINES // 5)
    assert machine.faults() == []
    assert len(machine.metric("deleted")) == len(machine.metric("expired")) == 0
    assert len(machine.metric("limited")) == 1000
    assert machine.store.memory <= held * 1.1
    assert resident() < before + 8 * MEGABYTE


def test_reloads() -> None:
    """Plans, with what PCRE2, RE2 and Hyperscan made for them, go with the programs."""
    machine = Machine("counter c by k\n/()x/ {\n  c[$1]++\n}\n")

    def reload(number: int) -> None:
        unproven = f"/(a|b{number})*c(\\d+)/ {{\n  c[$2]++\n}}\n"
        dated = f'/^(?P<t>\\w+ \\d+) x{number}(é+)/ {{\n  strptime($t, "Jan 2")\n  c[$2]++\n}}\n'
        replacing = f'/v{number} (.*)/ {{\n  c[subst(/a.*z|a/, "", $1)]++\n}}\n'
        machine.swap(f"counter c by k limit 10\n{unproven}{dated}{replacing}")
        lines = [f"aab{number}c12", "a" * 2000 + "c1", f"Jan 3 x{number}é", f"Foo 3 x{number}é", f"v{number} aaz"]
        machine.feed("\n".join(lines).encode())
        machine.faults()

    for number in range(100):
        reload(number)
    before = resident()
    for number in range(100, 600):
        reload(number)
    assert resident() < before + 4 * MEGABYTE


def test_floods_of_faults() -> None:
    machine = Machine(
        "counter c\n/(.*)/ {\n  c += strtol($1, 10)\n}\n", 'counter d\n/(.*)/ {\n  strptime($1, "2006")\n  d++\n}\n'
    )
    block = b"".join(b"%d %s\n" % (number, b"x" * (number % 3000)) for number in range(3000))
    for _ in range(10):
        machine.feed(block)
        machine.faults()
    before = resident()
    for number in range(200):
        machine.feed(block)
        if number % 50 == 0:
            machine.faults()
            machine.engine.last_faults()
    assert machine.engine.program_faults() == {"p0.mtail": 630_000, "p1.mtail": 630_000}
    assert resident() < before + 4 * MEGABYTE


def test_sources_that_come_and_go() -> None:
    machine = Machine("counter c\n/x/ {\n  c++\n}\n")

    def turnover(count: int) -> None:
        for number in range(count):
            source = machine.engine.open(f"/var/log/containers/{number}.log")
            machine.engine.scan(source, b"x\n")
            machine.engine.close(source)

    turnover(10_000)
    before = resident()
    turnover(100_000)
    assert resident() < before + 2 * MEGABYTE
