"""The store against a model in Python, and what the model cannot say: memory, snapshots under a writer, reloads."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from waiting import wait_until

from nativemtail import _core_testing
from nativemtail._core import BUCKETS, COUNTER, FLOAT, GAUGE, HISTOGRAM, INT, STRING, TEXT, Metric, Store
from nativemtail._render import Page

INF = float("inf")
BOUNDS = (0.0, 1.0, 2.5, 10.0)


def metric(type_: int = INT, keys: str = "ab", **options: Any) -> Metric:
    kind = {STRING: TEXT, BUCKETS: HISTOGRAM}.get(type_, COUNTER)
    options.setdefault("buckets", BOUNDS if type_ == BUCKETS else ())
    return Metric(options.pop("name", "m"), options.pop("program", "p.mtail"), kind, type_, tuple(keys), **options)


def stored(*metrics: Metric) -> Store:
    store = Store()
    for each in metrics:
        store.add(each)
    return store


def repaired(label: bytes) -> str:
    """Each byte that is no UTF-8 is U+FFFD (deviation label-utf8)."""
    return "".join("�" if "\udc80" <= c <= "\udcff" else c for c in label.decode("utf-8", "surrogateescape"))


def wrapped(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def shown(store: Store, of: Metric) -> list[tuple[tuple[str, ...], Any, int, int]]:
    """Label sets in order of creation: labels, value, time, expiry."""
    return [
        (row.labels, (row.count, row.sum, row.buckets) if row.value is None else row.value, row.time, row.expiry)
        for row in store.snapshot().rows(of)
    ]


# --- the model --------------------------------------------------------------------------------------------------


@dataclass
class Entry:
    value: Any
    time: int
    expiry: int = 0


@dataclass
class Model:
    """What a metric does, in as few words as possible (spec runtime.md §5, successor.md §3.1)."""

    type: int
    limit: int
    data: dict[tuple[str, ...], Entry] = field(default_factory=dict)

    def get(self, labels: tuple[str, ...], now: int) -> Entry:
        if labels not in self.data:
            while 0 < self.limit <= len(self.data):
                self.evict()
            empty = {INT: 0, FLOAT: 0.0, STRING: b"", BUCKETS: (0, 0.0, tuple((b, 0) for b in (*BOUNDS[1:], INF)))}
            self.data[labels] = Entry(empty[self.type], 0 if self.type == BUCKETS else now)
        return self.data[labels]

    def evict(self) -> None:
        del self.data[min(self.data, key=lambda labels: self.data[labels].time)]

    def write(self, labels: tuple[str, ...], value: Any, time: int, now: int) -> None:
        entry = self.get(labels, now)
        entry.time = time
        if self.type != BUCKETS:
            entry.value = value
            return
        count, total, ranges = entry.value
        place = next((i for i, (bound, _) in enumerate(ranges) if value <= bound), -1)
        counts = tuple((bound, n + (i == place)) for i, (bound, n) in enumerate(ranges))
        entry.value = (count + 1, total + value, counts)

    def gc(self, now: int) -> int:
        before = len(self.data)
        while 0 < self.limit < len(self.data):
            self.evict()
        for labels in [k for k, e in self.data.items() if e.expiry > 0 and now - e.time > e.expiry]:
            del self.data[labels]
        return before - len(self.data)

    def shown(self) -> list[tuple[tuple[str, ...], Any, int, int]]:
        return [(labels, e.value, e.time, e.expiry) for labels, e in self.data.items()]


# Few labels, so that they meet; some differ in bytes that are not UTF-8 only, or in where one ends.
LABELS = st.tuples(
    *[
        st.one_of(
            st.sampled_from([b"", b"-", b"a", b"a-", b"12345678", b"x" * 300]),
            st.sampled_from([b"\xff", b"\xfe", "�".encode(), b"\xe2\x82"]),
            st.binary(max_size=20),
        )
    ]
    * 2
)
TIMES = st.one_of(st.integers(0, 30), st.integers(-(2**63), 2**63 - 1))
VALUES = {
    INT: st.integers(-(2**63), 2**63 - 1),
    FLOAT: st.floats(allow_nan=False),
    STRING: st.binary(max_size=200),
    BUCKETS: st.integers(-3, 20).map(float),
}


class StoreMachine(RuleBasedStateMachine):
    """Any sequence of what programs, the collector and reloads do ends as in the model."""

    @initialize(type_=st.sampled_from([INT, FLOAT, STRING, BUCKETS]), limit=st.sampled_from([0, 0, -1, 1, 3, 7]))
    def begin(self, type_: int, limit: int) -> None:
        self.metric = metric(type_, limit=limit)
        self.store = stored(self.metric)
        self.base = self.store.memory
        self.model = Model(type_, limit)
        self.kept: list[tuple[Any, Metric, Any]] = []

    def labels(self, raw: tuple[bytes, ...]) -> tuple[str, ...]:
        return tuple(repaired(label) for label in raw)

    @rule(raw=LABELS, now=TIMES)
    def read(self, raw: tuple[bytes, ...], now: int) -> None:
        assert _core_testing._store_get(self.metric, raw, now)
        self.model.get(self.labels(raw), now)

    @rule(raw=LABELS, data=st.data(), time=TIMES, now=TIMES)
    def write(self, raw: tuple[bytes, ...], data: st.DataObject, time: int, now: int) -> None:
        value = data.draw(VALUES[self.model.type])
        assert _core_testing._store_set(self.metric, raw, value, time, now)
        self.model.write(self.labels(raw), value, time, now)

    @precondition(lambda self: self.model.type == INT)
    @rule(raw=LABELS, delta=VALUES[INT], time=TIMES)
    def add(self, raw: tuple[bytes, ...], delta: int, time: int) -> None:
        assert _core_testing._store_add(self.metric, raw, delta, time)
        self.model.write(self.labels(raw), wrapped(self.model.get(self.labels(raw), time).value + delta), time, time)

    @precondition(lambda self: self.model.type == STRING)
    @rule(raw=LABELS, text=VALUES[STRING], time=TIMES)
    def append(self, raw: tuple[bytes, ...], text: bytes, time: int) -> None:
        assert _core_testing._store_append(self.metric, raw, text, time)
        self.model.write(self.labels(raw), self.model.get(self.labels(raw), time).value + text, time, time)

    @precondition(lambda self: self.model.type == STRING)
    @rule(raw=LABELS)
    def double(self, raw: tuple[bytes, ...]) -> None:
        if len(self.model.get(self.labels(raw), 0).value) < 10_000:
            assert _core_testing._store_double(self.metric, raw)
            self.model.write(self.labels(raw), self.model.get(self.labels(raw), 0).value * 2, 0, 0)
        else:
            _core_testing._store_get(self.metric, raw, 0)

    @rule(raw=LABELS)
    def delete(self, raw: tuple[bytes, ...]) -> None:
        assert _core_testing._store_del(self.metric, raw) == (self.model.data.pop(self.labels(raw), None) is not None)

    @rule(raw=LABELS, expiry=st.one_of(st.integers(1, 40), st.just(2**63 - 1)))
    def expire(self, raw: tuple[bytes, ...], expiry: int) -> None:
        entry = self.model.data.get(self.labels(raw))
        assert _core_testing._store_expire(self.metric, raw, expiry) == (entry is not None)
        if entry is not None:
            entry.expiry = expiry

    @rule(now=TIMES)
    def collect(self, now: int) -> None:
        assert self.store.gc(now) == self.model.gc(now)

    @rule(raw=LABELS)
    def find(self, raw: tuple[bytes, ...]) -> None:
        assert _core_testing._store_find(self.metric, raw) == (self.labels(raw) in self.model.data)

    @rule(extra=st.lists(st.tuples(LABELS, TIMES), max_size=4), limit=st.sampled_from([0, 2, 5]))
    def reload(self, extra: list[tuple[tuple[bytes, ...], int]], limit: int) -> None:
        new = metric(self.model.type, limit=limit)
        begun = Model(self.model.type, limit)
        for raw, now in extra:
            _core_testing._store_get(new, raw, now)
            begun.get(self.labels(raw), now)
        self.store.replace([self.metric], [new], [(new, self.metric)])
        self.metric, self.model = new, Model(self.model.type, limit, {**begun.data, **self.model.data})
        # Old label sets come first, in order; those of the new program alone after them.
        old = [labels for labels in self.model.data if labels not in begun.data]
        order = [row[0] for row in shown(self.store, new)]
        assert set(order) == set(self.model.data)
        assert [labels for labels in order if labels in old] == old
        self.model.data = {labels: self.model.data[labels] for labels in order}

    @rule()
    def keep(self) -> None:
        """Hold a snapshot; whatever happens later, it shows what was."""
        self.kept.append((self.store.snapshot(), self.metric, self.model.shown().__repr__()))

    @rule(i=st.integers(0, 3))
    def drop(self, i: int) -> None:
        if i < len(self.kept):
            snapshot, of, was = self.kept.pop(i)
            assert (
                repr(
                    [
                        (r.labels, (r.count, r.sum, r.buckets) if r.value is None else r.value, r.time, r.expiry)
                        for r in snapshot.rows(of)
                    ]
                )
                == was
            )

    @invariant()
    def agrees(self) -> None:
        assert repr(shown(self.store, self.metric)) == repr(self.model.shown())
        assert len(self.metric) == len(self.model.data)
        assert self.store.memory >= self.metric.memory

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        while self.kept:
            self.drop(0)
        for labels in self.model.data:
            assert _core_testing._store_del(self.metric, labels)
        del self.kept[:]
        assert self.store.memory == self.metric.memory
        # An index, slab and heap of the smallest sizes may stay; keys and values may not.
        assert self.metric.memory <= self.base + 4096


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=60, stateful_step_count=40)
TestStore.pytestmark = [pytest.mark.slow]  # type: ignore[attr-defined]


# --- label sets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((b"a-", b"b"), (b"a", b"-b")),
        ((b"a", b""), (b"", b"a")),
        ((b"a\\-", b"b"), (b"a", b"-b")),
        ((b"x" * 254, b""), (b"x" * 255, b"")),
        ((b"x" * 255, b"y"), (b"x" * 256, b"y")),
        ((b"\x00", b""), (b"", b"\x00")),
        ((b"\x00", b""), (b"", b"")),
    ],
)
def test_tuples_are_compared_value_by_value(left: tuple[bytes, ...], right: tuple[bytes, ...]) -> None:
    m = metric()
    store = stored(m)
    _core_testing._store_add(m, left, 1)
    _core_testing._store_add(m, right, 2)
    assert [(row[0], row[1]) for row in shown(store, m)] == [
        (tuple(b.decode() for b in left), 1),
        (tuple(b.decode() for b in right), 2),
    ]


def test_repaired_labels_are_one_label_set() -> None:
    m = metric(keys="a")
    store = stored(m)
    for raw in (b"\xff", b"\x80", b"\xef\xbf\xbd"):
        _core_testing._store_add(m, (raw,))
    assert shown(store, m) == [(("�",), 3, 0, 0)]


def test_eviction_with_repaired_labels() -> None:
    m = metric(limit=2)
    store = stored(m)
    for i, raw in enumerate([b"\xffa", b"\xffb", b"\xffc", b"\xffd"]):
        _core_testing._store_add(m, (raw, b"\xfe"), i, i)
    assert [row[0] for row in shown(store, m)] == [("�c", "�"), ("�d", "�")]


@given(st.lists(st.binary(max_size=40), unique=True, max_size=300))
@settings(max_examples=30)
def test_many_label_sets_come_and_go(raws: list[bytes]) -> None:
    m = metric(keys="a")
    store = stored(m)
    for raw in raws:
        _core_testing._store_add(m, (raw,))
    labels = list(dict.fromkeys(repaired(raw) for raw in raws))
    for label in labels[::2]:
        assert _core_testing._store_del(m, (label,))
    assert [row[0][0] for row in shown(store, m)] == labels[1::2]
    assert all(_core_testing._store_find(m, (label,)) for label in labels[1::2])
    assert not any(_core_testing._store_find(m, (label,)) for label in labels[::2])


def test_what_exists_at_load() -> None:
    """Spec runtime.md §5: scalar counters and histograms, at time 0."""
    found = {}
    for kind, type_ in [(COUNTER, INT), (COUNTER, FLOAT), (GAUGE, INT), (TEXT, STRING), (HISTOGRAM, BUCKETS)]:
        for keys in ((), ("a",)):
            m = Metric("m", "p", kind, type_, keys, buckets=(1, 2) if type_ == BUCKETS else ())
            found[kind, type_, bool(keys)] = [(row[1], row[2]) for row in shown(stored(m), m)]
    empty = {key: [] for key in found}
    empty[COUNTER, INT, False] = [(0, 0)]
    empty[COUNTER, FLOAT, False] = [(0.0, 0)]
    empty[HISTOGRAM, BUCKETS, False] = [((0, 0.0, ((1.0, 0), (2.0, 0), (INF, 0))), 0)]
    assert found == empty


@pytest.mark.parametrize(
    ("bounds", "values", "ranges"),
    [
        ((1, 2), [0, -5, 1, 1.5, 2, 2.1], ((1.0, 3), (2.0, 2), (INF, 1))),
        ((0, 1), [0, -5, 1, 1.5], ((1.0, 3), (INF, 1))),
        ((-2, -1, 3), [-2, -3, -1, 0, 3, INF, -INF], ((-1.0, 4), (3.0, 2), (INF, 1))),
        (tuple(range(1, 40)), [20, 20.5, 39, 40, 1, 0], None),
    ],
)
def test_ranges(bounds: tuple[float, ...], values: list[float], ranges: Any) -> None:
    """Spec runtime.md §5.1, HEAD."""
    m = metric(BUCKETS, keys="", buckets=bounds)
    store = stored(m)
    for value in values:
        assert _core_testing._store_set(m, (), value)
    [row] = store.snapshot().rows(m)
    if ranges is None:
        tops = (*map(float, bounds), INF)
        ranges = tuple((t, sum(next(x for x in tops if v <= x) == t for v in values)) for t in tops)
    assert (row.count, row.buckets) == (len(values), ranges)


def test_nan_is_in_no_range() -> None:
    m = metric(BUCKETS, keys="")
    store = stored(m)
    _core_testing._store_set(m, (), 1.0)
    _core_testing._store_set(m, (), float("nan"))
    [row] = store.snapshot().rows(m)
    assert row.count == 2
    assert row.sum != row.sum
    assert sum(count for _, count in row.buckets) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": 0, "type": INT},
        {"kind": 6, "type": INT},
        {"kind": COUNTER, "type": 4},
        {"kind": COUNTER, "type": BUCKETS, "buckets": (1, 2)},
        {"kind": HISTOGRAM, "type": INT},
        {"kind": HISTOGRAM, "type": BUCKETS},
        {"kind": HISTOGRAM, "type": BUCKETS, "buckets": (1,)},
        {"kind": HISTOGRAM, "type": BUCKETS, "buckets": (1, 1)},
        {"kind": HISTOGRAM, "type": BUCKETS, "buckets": (1, float("nan"))},
    ],
)
def test_impossible_metrics(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"metric|histogram|bounds"):
        Metric("m", "p", **wrong)


# --- limit and memory -------------------------------------------------------------------------------------------


def test_eviction_after_every_time_changed() -> None:
    """Entries of the heap are old lower bounds when all data were written since."""
    m = metric(keys="a", limit=100)
    store = stored(m)
    for i in range(100):
        _core_testing._store_add(m, (b"%d" % i,), 1, i)
    for i in range(100):
        _core_testing._store_add(m, (b"%d" % i,), 1, 1000 - i)
    for i in range(50):
        _core_testing._store_add(m, (b"new%d" % i,), 1, 5000)
    assert [row[0][0] for row in shown(store, m)] == [str(i) for i in range(50)] + [f"new{i}" for i in range(50)]


def test_memory_limit_refuses_new_label_sets_only() -> None:
    m, limited = metric(keys="a"), metric(keys="a", name="limited", limit=3)
    store = stored(m, limited)
    for i in range(3):
        assert _core_testing._store_add(m, (b"%d" % i,))
        assert _core_testing._store_add(limited, (b"%d" % i,))
    store.limit = 1
    assert not _core_testing._store_add(m, (b"new",))
    assert _core_testing._store_add(m, (b"0",), 5)
    assert _core_testing._store_add(limited, (b"new",)), "one goes, one comes"
    assert store.refused == 1
    assert len(m) == len(limited) == 3
    store.limit = 0
    assert _core_testing._store_add(m, (b"new",))
    assert store.refused == 1
    assert store.over_limit == 1
    store.limit = 1
    for _ in range(3):
        assert not _core_testing._store_add(m, (b"newer",))
    assert (store.refused, store.over_limit) == (4, 2)


def test_memory_limit_stops_texts_from_growing() -> None:
    m = metric(STRING, keys="")
    store = stored(m)
    _core_testing._store_set(m, (), b"x" * 100)
    store.limit = 1 << 20
    grown = 0
    while _core_testing._store_double(m):
        grown += 1
    assert grown < 20
    assert store.memory < 4 << 20
    assert store.refused == 1
    assert _core_testing._store_set(m, (), b"short")
    assert store.memory < 1 << 12


def test_memory_comes_back() -> None:
    m = metric(STRING, keys="abc", limit=0)
    store = stored(m)
    before = m.memory
    for i in range(5000):
        _core_testing._store_set(m, (b"%d" % i, b"x" * 50, b"y"), b"z" * 500)
        _core_testing._store_expire(m, (b"%d" % i, b"x" * 50, b"y"), 5)
    assert m.memory > 5000 * 600
    assert store.gc(10) == 5000
    assert m.memory - before < 8192
    assert store.memory == m.memory
    store.remove(m)
    assert store.memory == 0


def test_expiry_counts_from_the_time_of_the_datum() -> None:
    m = metric(keys="a")
    store = stored(m)
    _core_testing._store_add(m, ("past",), 1, -(2**63))
    _core_testing._store_add(m, ("future",), 1, 2**63 - 1)
    _core_testing._store_add(m, ("exact",), 1, 90)
    for label in ("past", "future", "exact"):
        _core_testing._store_expire(m, (label,), 10)
    assert store.gc(100) == 1, "age must exceed the expiry"
    assert [row[0][0] for row in shown(store, m)] == ["future", "exact"]
    assert store.gc(101) == 1


# --- reload -----------------------------------------------------------------------------------------------------


def test_replace_keeps_places() -> None:
    a, b, c = (metric(name="x", program=p) for p in ("a", "b", "c"))
    y = metric(name="y", program="b")
    store = stored(a, b, c, y)
    fresh, other = metric(name="x", program="b"), metric(name="z", program="b")
    store.replace([b, y], [fresh, other])
    assert [m is n for m, n in zip(store.metrics(), [a, fresh, c, other], strict=True)] == [True] * 4


@pytest.mark.parametrize(
    "other",
    [
        metric(FLOAT),
        metric(keys="ba"),
        metric(keys="a"),
        metric(BUCKETS),
    ],
)
def test_inherit_refuses_other_shapes(other: Metric) -> None:
    with pytest.raises(ValueError, match="differ in type, keys or buckets"):
        metric().inherit(other)


def test_inherit_refuses_other_bounds() -> None:
    with pytest.raises(ValueError, match="differ"):
        metric(BUCKETS, buckets=(1, 2)).inherit(metric(BUCKETS, buckets=(1, 3)))


def test_replace_checks_before_it_changes() -> None:
    a, b = metric(name="a"), metric(name="b")
    store = stored(a)
    other = stored(b)
    for old, new in [([b], []), ([], [b]), ([a], [metric(), b]), ([], [a]), ([a, a], [])]:
        with pytest.raises(ValueError, match=r"store|twice"):
            store.replace(old, new)
    with pytest.raises(ValueError, match="differ"):
        store.replace([a], [], [(metric(FLOAT), a)])
    assert store.metrics() == [a]
    assert other.metrics() == [b]


def test_inherit_a_scalar() -> None:
    old, new = metric(keys=""), metric(keys="")
    store = stored(old)
    _core_testing._store_add(old, (), 5, 7)
    store.replace([old], [new], [(new, old)])
    assert shown(store, new) == [((), 5, 7, 0)]


@pytest.mark.slow
def test_snapshots_outlive_what_they_show() -> None:
    """Texts, histograms and keys that go while a snapshot shows them; through reloads and the end of the metric."""
    texts, hists = metric(STRING, keys="a", name="t"), metric(BUCKETS, keys="a", name="h")
    store = stored(texts, hists)
    for i in range(200):
        _core_testing._store_set(texts, (b"%d" % i,), b"first %d" % i)
        _core_testing._store_set(hists, (b"%d" % i,), 1.0)
    snapshot = store.snapshot()
    [t, h] = snapshot.metrics()
    for i in range(200):
        _core_testing._store_set(texts, (b"%d" % i,), b"second")
        _core_testing._store_set(hists, (b"%d" % i,), 1.0)
    between = store.snapshot()
    for old in (texts, hists):
        new = metric(old.type, keys="a", name=old.name)
        store.replace([old], [new], [(new, old)])
        for i in range(0, 200, 2):
            _core_testing._store_del(new, (b"%d" % i,))
        store.remove(new)
    del texts, hists, old, new
    gc.collect()
    assert [row.value for row in snapshot.rows(t)] == [b"first %d" % i for i in range(200)]
    assert {row.count for row in snapshot.rows(h)} == {1}
    assert {row.value for row in between.rows(t)} == {b"second"}
    assert {row.count for row in between.rows(h)} == {2}
    assert store.memory > 200 * 2 * 32
    del snapshot, t, h
    assert {row.count for row in between.rows(between.metrics()[1])} == {2}
    del between
    gc.collect()
    assert store.memory == 0


# --- readers and a writer ---------------------------------------------------------------------------------------


class Writer(threading.Thread):
    """Rounds of lines, each with a write to every metric, until told to stop; what each round returned."""

    def __init__(self, members: list[Metric], series: int, lines: int) -> None:
        super().__init__()
        self.arguments = (members, series, lines, 7919)
        self.rounds: list[tuple[int, float]] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            self.rounds.append(_core_testing._store_fill(*self.arguments))

    def __enter__(self) -> Writer:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopped.set()
        self.join()


@pytest.mark.slow
def test_snapshots_see_whole_lines() -> None:
    """A line writes to a counter, a gauge and a histogram of the same label set; they must never differ."""
    members = [
        metric(INT, keys="a", name="i"),
        metric(FLOAT, keys="ab", name="f"),
        metric(BUCKETS, keys="a", name="h"),
        metric(INT, keys="", name="scalar"),
    ]
    store = stored(*members)
    seen = []
    with Writer(members, 20_000, 10_000) as writer:
        while len(seen) < 12 or len(writer.rounds) < 4:
            snapshot = store.snapshot()
            ints, floats, hists = ({r.labels[0]: r for r in snapshot.rows(m)} for m in members[:3])
            assert ints.keys() == floats.keys() == hists.keys()
            assert all(row.value == floats[key].value == hists[key].count for key, row in ints.items())
            assert all(sum(n for _, n in row.buckets) == row.count for row in hists.values())
            [total] = snapshot.rows(members[3])
            assert total.value == sum(row.value for row in ints.values())
            seen.append(total.value)
    assert seen == sorted(seen)
    assert seen[0] < seen[-1]


def test_a_collector_and_readers_beside_a_writer() -> None:
    members = [metric(STRING, keys="a", name="t"), metric(INT, keys="a", name="i", limit=500)]
    store = stored(*members)
    stop = threading.Event()

    def collect() -> None:
        while not stop.is_set():
            store.gc(0)
            Page(store.snapshot()).json(False)

    helper = threading.Thread(target=collect)
    helper.start()
    for i in range(3000):
        label = (b"%d" % (i % 700),)
        _core_testing._store_set(members[0], label, b"text %d" % i)
        _core_testing._store_add(members[1], label, 1, i)
        if i % 3 == 0:
            _core_testing._store_del(members[0], (b"%d" % (i % 350),))
    stop.set()
    helper.join()
    assert len(members[1]) == 500


@pytest.mark.slow
def test_a_million_series() -> None:
    """At most 130 bytes a series with three labels of ten bytes, and no reader stops the engine for 10 ms."""
    m = metric(INT, keys="abc")
    store = stored(m)
    assert _core_testing._store_fill([m], 1_000_000, 1_000_000)[0] == 1_000_000
    assert len(m) == 1_000_000
    assert m.memory < 130e6
    with Writer([m], 1_000_000, 150_000) as writer:

        def is_quick() -> bool:
            """Every round saw snapshots; a busy machine adds waits of its own to some of them."""
            store.snapshot()
            return len(writer.rounds) >= 5 and min(longest for _, longest in writer.rounds) < 0.01

        wait_until(is_quick, lambda: writer.rounds)
    assert Page(store.snapshot()).prometheus().count(b"\n") == 1_000_002
