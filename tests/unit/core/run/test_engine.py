"""The engine as its callers see it: counts over swaps of plans, several threads, bounds of what it holds."""

from __future__ import annotations

import contextlib
import gc
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from engines import Machine, compile_all, make_plan, metrics_of
from waiting import PATIENCE

from nativemtail._core import Engine, Metric, Store
from nativemtail.programs.metrics import make_metrics

OUT_OF_MEMORY = "out of memory: a limit on texts, series or the whole process is reached"


def test_a_pattern_that_two_programs_share_gives_both_their_captures() -> None:
    """The one that matches another text wants fewer groups than the other."""
    machine = Machine(
        "counter a\n/x(.*)/ {\n  $1 =~ /(a)(b)(c)(d)/ {\n    a++\n  }\n}\n",
        "counter b by k\n/(a)(b)(c)(d)/ {\n  b[$4]++\n}\n",
    )
    machine.feed(b"xabcd\nabcd\n")
    assert machine.value("a") == 1
    assert machine.values("b") == {("d",): 2}


@pytest.mark.parametrize("call", ["subst(/a/, $1, $1)", 'subst("a", $1, $1)'])
def test_substitution_is_bounded(call: str) -> None:
    machine = Machine(f"gauge size\n/^(.*)$/ {{\n  size = len({call})\n}}\n")
    machine.feed(b"a" * 3000 + b"\n")
    assert machine.value("size") == 9_000_000
    machine.feed(b"a" * 300_000 + b"\n")
    assert machine.value("size") == 9_000_000
    assert machine.faults() == [OUT_OF_MEMORY]


def test_concatenation_is_bounded() -> None:
    machine = Machine("text t\ngauge size\n/^(.*)$/ {\n  t = t + t + $1\n  size = len(t)\n}\n")
    for _ in range(40):
        machine.feed(b"x\n")
    assert 4 * 1024 * 1024 < machine.value("size") <= 16 * 1024 * 1024
    assert set(machine.faults()) == {OUT_OF_MEMORY}


def test_label_values_are_bounded() -> None:
    keys = ", ".join(f"k{number}" for number in range(20))
    machine = Machine(f"counter c by {keys}\n/^(.*)$/ {{\n  c{'[$1]' * 20}++\n}}\n")
    machine.feed(b"x" * 1000_000 + b"\n" + b"y" * 1000 + b"\n")
    assert len(machine.metric("c")) == 1
    assert machine.faults() == [OUT_OF_MEMORY]


def test_texts_of_faults_are_bounded() -> None:
    machine = Machine(
        "counter c by k, l\n/^(\\d.*)/ {\n  del c[$1][$1] after 1h\n}\n",
        'counter d\n/^(.*)/ {\n  strptime($1, "2006-01-02")\n  d++\n}\n',
        "counter e\n/^(.*)$/ {\n  e += int($1)\n}\n",
    )
    machine.feed(b"1" + b"\x01" * 1_000_000 + b"\n")
    faults, _ = machine.engine.faults()
    assert len(faults) == 3
    assert all(len(fault.message) < 30_000 and len(fault.input) == 4096 for fault in faults)


@pytest.mark.parametrize(
    ("line", "number", "text"),
    [("1.5 abc", "1.5", '"abc"'), ('2 "\\t"', "2", r'"\"\\t\""'), ("1e30 \xe9", "1e+30", '"\xe9"')],
)
def test_the_text_that_is_no_number_is_named(line: str, number: str, text: str) -> None:
    machine = Machine("gauge g\n/^(\\S+) (\\S+)$/ {\n  tolower($1) < $2 {\n    g = 1\n  }\n}\n")
    machine.feed(line.encode() + b"\n")
    assert machine.faults() == [f"cannot compare float64 %!q(float64={number}) with string {text}"]


# --- plans ---------------------------------------------------------------------------------------------------


def test_counts_survive_swaps_of_plans() -> None:
    machine = Machine("counter a\n/(\\w+)/ {\n  a += int($1)\n}\n")
    machine.feed(b"x\n1\n")
    other = make_plan(machine.loaded)
    for plan in (machine.plan, other, machine.plan):
        machine.engine.swap(plan)
        assert machine.engine.program_faults() == {"p0.mtail": 1}
        assert machine.engine.program_lines() == {"p0.mtail": 2}
    machine.feed(b"y\n")
    assert machine.engine.program_faults() == {"p0.mtail": 2}
    assert machine.engine.program_lines() == {"p0.mtail": 3}


def test_faults_that_nobody_fetched_survive_a_swap() -> None:
    machine = Machine("counter a\n/(\\w+)/ {\n  a += int($1)\n}\n")
    machine.feed(b"x\n" * 70)
    for _ in range(3):
        machine.engine.swap(make_plan(machine.loaded))
        machine.feed(b"y\n" * 70)
    kept, more = machine.engine.faults()
    assert [fault.input for fault in kept] == [b"x"] * 70 + [b"y"] * 30
    assert more == {"p0.mtail": 180}
    assert machine.engine.faults() == ([], {})


def test_the_last_error_of_a_program_survives_a_swap() -> None:
    machine = Machine("counter a\n/(\\w+)/ {\n  a += int($1)\n}\n")
    machine.feed(b"x\n")
    machine.engine.swap(make_plan(machine.loaded))
    assert [(name, fault.input) for name, fault in machine.engine.last_faults().items()] == [("p0.mtail", b"x")]
    machine.feed(b"y\n")
    assert machine.engine.last_faults()["p0.mtail"].input == b"y"
    machine.engine.swap(make_plan([]))
    assert machine.engine.last_faults()["p0.mtail"].input == b"y"
    machine.engine.forget_programs(["p0.mtail"])
    assert machine.engine.last_faults() == {}


def exchange(machine: Machine) -> list[Metric]:
    """Begin anew with the same programs; their metrics so far."""
    old = machine.loaded
    machine.loaded = [(program, make_metrics(program.name, program.metrics)) for program, _ in old]
    machine.engine.exchange(make_plan(machine.loaded), metrics_of(old), metrics_of(machine.loaded))
    return metrics_of(old)


def test_an_exchange_is_made_at_once_when_nothing_flows() -> None:
    machine = Machine("counter a by k\n/x/ {\n  a[$0]++\n}\n")
    machine.feed(b"x\n")
    [old] = exchange(machine)
    assert len(old) == 1
    assert machine.values("a") == {}
    machine.feed(b"x\n")
    assert machine.values("a") == {("x",): 1}


def test_exchanges_under_load() -> None:
    """A thread that never pauses keeps no exchange waiting, and none is made in the middle of a block."""
    machine = Machine("counter a by k\n/^(\\d+)$/ {\n  a[$1]++\n}\n")
    block = b"".join(b"%d\n" % number for number in range(1000))
    stopping = threading.Event()
    blocks = 0

    def tail() -> None:
        nonlocal blocks
        while not stopping.is_set():
            machine.feed(block)
            blocks += 1

    thread = threading.Thread(target=tail)
    thread.start()
    met: list[int] = []
    took: list[float] = []
    for _ in range(50):
        begin = time.monotonic()
        [old] = exchange(machine)
        took.append(time.monotonic() - begin)
        met.append(len(old) % 1000)
    stopping.set()
    thread.join()
    assert met == [0] * 50
    assert blocks > 0
    assert machine.engine.lines_total() == 1000 * blocks
    assert sorted(took)[25] < 1, "a busy machine delays some"


def test_errors_of_an_exchange_reach_its_caller() -> None:
    machine = Machine("counter a by k\n/x/ {\n  a[$0]++\n}\n")
    stranger = Metric("m", "q.mtail", 1, 0, ("k",))
    with pytest.raises(ValueError, match="is not in the store"):
        machine.engine.exchange(make_plan([]), [stranger], [])
    assert machine.feed(b"x\n") == 1
    assert machine.values("a") == {("x",): 1}


# --- threads -------------------------------------------------------------------------------------------------


def test_sources_come_and_go_while_a_block_runs() -> None:
    """What a block needs of its source stays until it is through."""
    machine = Machine("counter a\n/x/ {\n  a++\n}\n", "counter b\n/(\\w+ )+$/ {\n  b++\n}\n")
    engine = machine.engine
    done = threading.Event()

    def turnover() -> None:
        while not done.is_set():
            numbers = [engine.open(f"source {n}") for n in range(50)]
            for number in numbers:
                engine.close(number)

    def forget_mine() -> None:
        while not done.is_set():
            engine.program_lines()
            with contextlib.suppress(ValueError):  # the other thread was quicker
                engine.close(engine.open("mine"))

    threads = [threading.Thread(target=turnover), threading.Thread(target=forget_mine)]
    for thread in threads:
        thread.start()
    lines = scans = 0
    end = time.monotonic() + PATIENCE
    while scans < 200 or (not lines and time.monotonic() < end):
        scans += 1
        with contextlib.suppress(ValueError):  # the other thread was quicker, on a busy machine often
            lines += engine.scan(engine.open("mine"), b"xyz word word\n" * 500)
    done.set()
    for thread in threads:
        thread.join()
    assert lines
    assert engine.lines_total() == lines == machine.value("a")


def test_numbers_of_sources_are_used_again() -> None:
    engine = Engine(Store())
    numbers = [engine.open(name) for name in "abc"]
    assert [engine.open(name) for name in "abc"] == numbers
    engine.close(numbers[1])
    with pytest.raises(ValueError, match="no source has the number 1"):
        engine.close(numbers[1])
    assert engine.open("d") == numbers[1]
    assert engine.open("b") == 3
    for number in (-1, 4, 2**31 - 1):
        with pytest.raises(ValueError, match="no source has the number"):
            engine.scan(number, b"x\n")


def test_begin_runs_beside_a_scan() -> None:
    machine = Machine("counter a\nbegin {\n  a += 1 / a\n}\n/(x)/ {\n  a += 1 % a\n}\n")
    done = threading.Event()

    def begin() -> None:
        while not done.is_set():
            machine.engine.begin(machine.plan, 0)

    thread = threading.Thread(target=begin)
    thread.start()
    for _ in range(300):
        machine.feed(b"x\n" * 20)
        machine.engine.faults()
        machine.engine.last_faults()
    done.set()
    thread.join()
    assert machine.engine.program_faults()["p0.mtail"] >= 6000


TIME = r"(?P<t>\w+\s+\d+\s+\d+:\d+:\d+)"
LINE = b"Feb  2 03:04:05 x\n"


@pytest.mark.parametrize(
    ("time_of_day", "layout", "good", "bad"),
    [
        (r"\S+", "15:04:05", "08:00:05 x", "08:00:60 x"),
        (r"\S+", "15:04:05", "08:00:05.1 x", "08:00:0512 x"),
        (r"\d+:\d+:\d[0-5]*", "15:04:05", "08:00:05 x", "08:00:09 x"),
        (r"[^ ]+", "15:04:05\r", "08:00:05\r x", "08:00:05\r"),
    ],
)
def test_no_failing_time_is_taken_for_a_good_one_that_came_before(
    time_of_day: str, layout: str, good: str, bad: str
) -> None:
    program = (
        f'counter c\n/^(?P<t>\\S+ {time_of_day})/ {{\n  strptime($t, "2006-01-02 {layout}")\n'
        "  /never/ {\n    c++\n  }\n}\n"
    )
    for prefiltered in (True, False):
        machine = Machine(program, prefiltered=prefiltered)
        machine.feed("".join(f"2026-03-02 {line}\n" for line in (good, good, bad, good)).encode())
        assert len(machine.faults()) == 1, prefiltered


@pytest.mark.parametrize(
    ("pattern", "layout", "time"),
    [
        (r"\w+\s+\d+\s+\S+", "Jan _2 15:04:05", "Feb  2 03:04:05"),
        (r"\S+", "15:04:05", "03:04:05"),
        (r"\S+ \S+", "2006-01-02 15:04:05", "2026-03-02 03:04:05"),
        (r"\S+ \S+ \S+ \S+ \S+ \S+", "Monday, 2 January 2006 MST 15:04:05", "Monday, 2 March 2026 UTC 03:04:05"),
    ],
)
def test_times_that_are_nearly_the_last_one_are_told_apart(pattern: str, layout: str, time: str) -> None:
    """Near the end of a block and far from it, and with another byte at each place."""
    program = f'counter c\n/^(?P<t>{pattern}) / {{\n  strptime($t, "{layout}")\n  /never/ {{\n    c++\n  }}\n}}\n'
    places = range(len(time) + 1)
    changed = [f"{time} "[:at] + new + f"{time} "[at + 1 :] for at in places for new in "0159:6 x"]
    seconds = [f"{time[:-2]}{second:02} " for second in range(0, 64, 7)]
    machines = [Machine(program, prefiltered=prefiltered) for prefiltered in (True, False)]
    for line in [*changed, *seconds]:
        for rest in ("x", "x" * 60):
            for machine in machines:
                machine.feed(f"{time} x\n{line}{rest}\n".encode())
    block = "".join(f"{time} x\n{line}\r\n" for line in [*changed, *seconds]).encode()
    for machine in machines:
        machine.feed(block)
    prefiltered, plain = (machine.faults() for machine in machines)
    assert len(plain) > 50
    assert prefiltered == plain


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "line"),
    [
        ("counter c\n/never/ {\n  c++\n}\n", b"quiet\n"),
        (f'counter c\n/^{TIME} / {{\n  strptime($t, "Jan _2 15:04:05")\n  /never/ {{\n    c++\n  }}\n}}\n', LINE),
        ("counter c\n/$/ {\n  c++\n}\n", b"x\n"),
    ],
    ids=["no candidates", "guard slices", "each line runs"],
)
def test_readers_do_not_wait_for_the_end_of_a_block(program: str, line: bytes) -> None:
    machine = Machine(program)
    block = line * (100_000_000 // len(line))
    longest = 0.0
    snapshots = 0
    begin = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        scan = pool.submit(machine.feed, block)
        while not scan.done():
            before = time.monotonic()
            machine.store.snapshot()
            snapshots += 1
            longest = max(longest, time.monotonic() - before)
    assert longest < (time.monotonic() - begin) / 2
    assert snapshots < 100_000_000 // len(line) / 50  # nor does the engine wait for them after each line


def test_garbage_that_holds_metrics_may_be_collected_while_the_store_is_locked() -> None:
    """In one thread: freeing a metric takes the lock that the thread itself would hold."""
    store = Store()

    def drop_in_a_cycle() -> None:
        metric = Metric("gone", "p", 1, 0, ("k",))
        store.add(metric)
        store.remove(metric)
        snapshot = store.snapshot()
        cycle: list[object] = [metric, snapshot]
        cycle.append(cycle)

    def work() -> None:
        metrics = [Metric(f"m{n}", "p", 1, 0, ("k",)) for n in range(50)]
        for threshold in range(1, 100):
            gc.set_threshold(0)
            drop_in_a_cycle()
            gc.set_threshold(gc.get_count()[0] + threshold)
            store.replace((), metrics)
            store.snapshot()
            store.replace(metrics, ())

    thresholds = gc.get_threshold()
    try:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert gc.isenabled()
    finally:
        gc.set_threshold(*thresholds)


def test_plans_of_dropped_engines_free_their_metrics() -> None:
    for _ in range(20):
        loaded = compile_all(["counter a by k\n/(\\w+)/ {\n  a[$1]++\n}\n"])
        store = Store()
        store.replace((), metrics_of(loaded))
        engine = Engine(store)
        engine.swap(make_plan(loaded))
        engine.scan(engine.open("x"), b"a b\nc\n")
        snapshot = store.snapshot()
        del store, engine
        [metric] = snapshot.metrics()
        assert [row.labels for row in snapshot.rows(metric)] == [("a",), ("c",)]


def test_a_fault_after_a_text_that_is_gone() -> None:
    """The fault has no operand; what an instruction before it read was replaced meanwhile."""
    machine = Machine("text t\ngauge g\n/(.*)/ {\n  g = len(t)\n  t = $1 + $1\n  g = 1 / (g - g)\n}\n")
    machine.feed(b"x" * 10 + b"\n" + b"x" * 1000 + b"\n")
    assert machine.faults() == ["Divide by zero 1 % 0"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["", "limit 5000", "limit 300"])
def test_many_label_sets_are_the_same_matched_ahead_or_not(limit: str) -> None:
    """Above some thousand label sets lines are matched ahead of their turn."""
    text = (
        f"counter seen by a, b {limit}\ncounter all\n"
        r"/^(?P<a>\w+) (?P<b>\d+)(?: (?P<verb>\w+))?$/ {"
        '\n  seen[$a][$b]++\n  $verb == "del" {\n    del seen[$a][$b]\n  }\n'
        '  $verb == "expire" {\n    del seen[$a][$b] after 1h\n  }\n}\n/$/ {\n  all++\n}\n'
    )
    number = random.Random(5)
    kinds = ["", "", "", " del", " expire", " other ", "\r", " no match", " \xe9"]
    lines = [f"k{number.randrange(70)} {number.randrange(100):03}{number.choice(kinds)}\n" for _ in range(60_000)]
    blocks = ["".join(lines[at : at + 7_000]).encode() for at in range(0, len(lines), 7_000)]
    ahead, plain = Machine(text), Machine(text, jit=False)
    for block in blocks:
        ascii_only = b"\n".join(line for line in block.split(b"\n") if line.isascii()) + b"\n"
        for machine in (ahead, plain):
            machine.feed(block)
            machine.feed(ascii_only)
    assert ahead.values("seen") == plain.values("seen")
    assert ahead.value("all") == plain.value("all")
    if not limit:
        assert len(ahead.metric("seen")) > 4096
