"""Saving a store as deltas, and restoring it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nativemtail import _core_testing as ops
from nativemtail._core import (
    BUCKETS,
    COUNTER,
    FLOAT,
    HISTOGRAM,
    INT,
    STRING,
    TEXT,
    Delta,
    Metric,
    Store,
    restore_series,
)

BOUNDS = (0.0, 1.0, 2.5, 10.0)
SLAB = 64
GROUP = 4 * SLAB
"""Series of a group."""


def metric(type_: int = INT, keys: str = "ab", **options: Any) -> Metric:
    kind = {STRING: TEXT, BUCKETS: HISTOGRAM}.get(type_, COUNTER)
    options.setdefault("buckets", BOUNDS if type_ == BUCKETS else ())
    return Metric(options.pop("name", "m"), options.pop("program", "p.mtail"), kind, type_, tuple(keys), **options)


def like(other: Metric) -> Metric:
    return Metric(
        other.name, other.program, other.kind, other.type, other.keys, other.source, other.buckets, other.limit
    )


def stored(*metrics: Metric) -> Store:
    store = Store()
    for each in metrics:
        store.add(each)
    return store


def rows(store: Store, of: Metric) -> list[tuple[tuple[str, ...], Any, int, int]]:
    """In order of creation: labels, value, time, expiry."""
    return [
        (row.labels, (row.count, row.sum, row.buckets) if row.value is None else row.value, row.time, row.expiry)
        for row in store.snapshot().rows(of)
    ]


class Saved:
    """What a file would have: the metrics of the last save, and the images of all their slabs by number."""

    def __init__(self) -> None:
        self.metrics: list[tuple[int, Metric, int, int]] = []
        self.slabs: dict[tuple[int, int], bytes] = {}
        self.written: set[tuple[int, int]] = set()

    def save(self, store: Store, *, meanwhile: Callable[[], None] = lambda: None, whole: bool = False) -> None:
        delta = Delta(store, whole=whole)
        assert delta.fix()
        meanwhile()
        delta.copy()
        meanwhile()
        self.take(delta)

    def take(self, delta: Delta) -> None:
        self.metrics = delta.metrics()
        self.written = set()
        for place, (number, *_) in enumerate(self.metrics):
            for slab, image in delta.slabs(place):
                self.written.add((number, slab))
                if image is None:
                    self.slabs.pop((number, slab), None)
                else:
                    self.slabs[number, slab] = image
        numbers = {number for number, *_ in self.metrics}
        self.slabs = {key: image for key, image in self.slabs.items() if key[0] in numbers}

    def of(self, number: int) -> list[tuple[int, bytes]]:
        return [(slab, image) for (owner, slab), image in self.slabs.items() if owner == number]

    def restored(self) -> tuple[Store, list[Metric]]:
        made = []
        for number, old, head, count in self.metrics:
            made.append(like(old))
            restore_series(made[-1], number, head, count, self.of(number))
        return stored(*made), made


def resumed(store: Store) -> tuple[Store, list[Metric]]:
    saved = Saved()
    saved.save(store)
    return saved.restored()


def same(store: Store, other: Store) -> None:
    for one, two in zip(store.metrics(), other.metrics(), strict=True):
        assert rows(store, one) == rows(other, two)
        assert len(one) == len(two)


# --- every type ------------------------------------------------------------------------------------------------------

INTS = [0, 1, -1, 127, 128, -(2**63), 2**63 - 1]
FLOATS = [0.0, -0.0, 1.5, float("inf"), float("-inf"), 5e-324]
TEXTS = [b"", b"a", b"\x00\xff\n", b"x" * 70_000]
LABELS = ["", "a", "é€😀", "x" * 254, "x" * 255, "x" * 70_000]


@pytest.mark.parametrize(
    ("type_", "values"), [(INT, INTS), (FLOAT, FLOATS), (STRING, TEXTS), (BUCKETS, [-1.0, 0.5, 2.5, 1e9])]
)
def test_values_of_every_type_come_back(type_: int, values: list[Any]) -> None:
    m = metric(type_)
    store = stored(m)
    for at, value in enumerate(values):
        ops._store_set(m, ("k", str(at)), value, time=at * 10**18 - 5 * 10**18)
        ops._store_set(m, ("all", "one"), value, time=-at)
    same(store, resumed(store)[0])


@pytest.mark.parametrize("type_", [INT, FLOAT, STRING, BUCKETS])
def test_a_metric_without_keys(type_: int) -> None:
    m, untouched = metric(type_, ""), metric(type_, "", name="untouched")
    store = stored(m, untouched)
    ops._store_set(m, (), {INT: 7, FLOAT: 0.5, STRING: b"text", BUCKETS: 3.0}[type_], time=12)
    same(store, resumed(store)[0])


def test_a_scalar_that_was_deleted_stays_deleted() -> None:
    m = metric(INT, "")
    store = stored(m)
    saved = Saved()
    saved.save(store)
    assert ops._store_del(m)
    saved.save(store)
    restored, (again,) = saved.restored()
    assert rows(restored, again) == []
    assert ops._store_add(again, (), 2)
    assert [value for _, value, _, _ in rows(restored, again)] == [2]


def test_labels_of_all_lengths() -> None:
    m = metric(INT, "a")
    store = stored(m)
    for label in LABELS:
        ops._store_add(m, (label,))
    same(store, resumed(store)[0])


def test_not_a_number_comes_back() -> None:
    m = metric(FLOAT)
    store = stored(m)
    ops._store_set(m, ("a", "b"), float("nan"))
    restored, (again,) = resumed(store)
    assert str(rows(restored, again)[0][1]) == "nan"


def test_expiry_and_the_collection_that_follows() -> None:
    m = metric(INT, "a")
    store = stored(m)
    for label in "xyz":
        ops._store_add(m, (label,), time=100)
    ops._store_expire(m, ("y",), 50)
    restored, (again,) = resumed(store)
    same(store, restored)
    assert restored.gc(149) == 0
    assert restored.gc(151) == 1
    assert [labels for labels, *_ in rows(restored, again)] == [("x",), ("z",)]


def test_a_limit_evicts_in_the_same_order() -> None:
    m = metric(INT, "a", limit=100)
    store = stored(m)
    for i in range(150):
        ops._store_add(m, (str(i),), time=1000 - i % 7)
    restored, (again,) = resumed(store)
    for i in range(150, 250):
        ops._store_add(m, (str(i),), time=2000)
        ops._store_add(again, (str(i),), time=2000)
        assert rows(store, m) == rows(restored, again)


# --- what is written -------------------------------------------------------------------------------------------------


def filled(count: int, **options: Any) -> tuple[Store, Metric]:
    m = metric(INT, "a", **options)
    store = stored(m)
    ops._store_fill([m], count, count)
    return store, m


def labels_of(i: int) -> tuple[str]:
    return (f"a{i:09d}",)


def test_only_groups_with_changed_slabs_are_written() -> None:
    store, m = filled(4000)
    saved = Saved()
    saved.save(store)
    assert len(saved.written) == 16
    saved.save(store)
    assert saved.written == set()
    ops._store_add(m, labels_of(5))
    ops._store_add(m, labels_of(2800))
    saved.save(store)
    assert {slab for _, slab in saved.written} == {0, 2800 // GROUP}
    same(store, saved.restored()[0])


def test_all_of_it_is_written_if_asked() -> None:
    store, _ = filled(4000)
    saved = Saved()
    saved.save(store)
    saved.save(store, whole=True)
    assert len(saved.written) == 16


def test_reading_changes_nothing() -> None:
    store, m = filled(4000)
    saved = Saved()
    saved.save(store)
    assert ops._store_find(m, labels_of(5))
    assert ops._store_get(m, labels_of(6))
    rows(store, m)
    store.gc(1)
    saved.save(store)
    assert saved.written == set()


def test_freed_groups_are_removed_and_used_again() -> None:
    store, m = filled(4000)
    saved = Saved()
    saved.save(store)
    for i in range(GROUP, 3 * GROUP):
        ops._store_del(m, labels_of(i))
    saved.save(store)
    assert len(saved.slabs) == 14
    restored, (again,) = saved.restored()
    same(store, restored)
    for i in range(5000, 5300):
        ops._store_add(m, labels_of(i))
        ops._store_add(again, labels_of(i))
    assert rows(store, m) == rows(restored, again)
    saved.save(store)
    same(store, saved.restored()[0])


@pytest.mark.parametrize("freed", [(0,), (1, 2), (3,), (0, 1, 2), (1, 2, 3), (0, 3)])
def test_slabs_that_are_freed_within_a_group(freed: tuple[int, ...]) -> None:
    """They are gone from its image, and are used again after a restart as without one."""
    store, m = filled(2 * GROUP)
    saved = Saved()
    saved.save(store)
    for slab in freed:
        for i in range(SLAB * slab, SLAB * (slab + 1)):
            ops._store_del(m, labels_of(i))
    saved.save(store)
    assert (saved.metrics[0][0], 0) in saved.written
    restored, (again,) = saved.restored()
    same(store, restored)
    for i in range(5000, 5000 + GROUP):
        ops._store_add(m, labels_of(i))
        ops._store_add(again, labels_of(i))
    assert rows(store, m) == rows(restored, again)
    same(restored, resumed(restored)[0])


def test_a_restored_store_has_nothing_to_write() -> None:
    store, _ = filled(4000)
    saved = Saved()
    saved.save(store)
    restored, (again,) = saved.restored()
    saved.save(restored)
    assert saved.written == set()
    ops._store_add(again, labels_of(3999))
    saved.save(restored)
    assert {slab for _, slab in saved.written} == {15}
    same(restored, saved.restored()[0])


def test_a_failed_save_is_made_up_for() -> None:
    store, m = filled(4000)
    saved = Saved()
    saved.save(store)
    ops._store_add(m, labels_of(5))
    failed = Delta(store)
    failed.fix()
    ops._store_add(m, labels_of(800))
    failed.copy()
    list(failed.slabs(0))
    failed.release()
    failed.revert()
    saved.save(store)
    assert {slab for _, slab in saved.written} == {0, 800 // GROUP}
    same(store, saved.restored()[0])


def test_a_failed_save_is_made_up_for_by_the_metric_that_inherited() -> None:
    store, m = filled(4000)
    saved = Saved()
    saved.save(store)
    ops._store_add(m, labels_of(5))
    failed = Delta(store)
    failed.fix()
    failed.copy()
    successor = metric(INT, "a")
    store.replace([m], [successor], [(successor, m)])
    failed.revert()
    saved.save(store)
    assert {slab for _, slab in saved.written} == {0}
    same(store, saved.restored()[0])


def test_a_reload_between_two_saves_writes_nothing_anew() -> None:
    store, m = filled(4000)
    saved = Saved()
    saved.save(store)
    (number, *_) = saved.metrics[0]
    successor = metric(INT, "a")
    ops._store_add(successor, ("begin",))
    store.replace([m], [successor], [(successor, m)])
    saved.save(store)
    assert saved.metrics[0][0] == number
    assert {slab for _, slab in saved.written} == {15}
    same(store, saved.restored()[0])


def test_a_metric_that_was_dropped_takes_its_rows_along() -> None:
    store, m = filled(100)
    saved = Saved()
    saved.save(store)
    successor = metric(INT, "a", name="n")
    store.replace([m], [successor])
    ops._store_add(successor, ("x",))
    saved.save(store)
    assert len(saved.slabs) == 1
    same(store, saved.restored()[0])
    store.replace([successor], [m])
    saved.save(store)
    same(store, saved.restored()[0])


def test_numbers_of_restored_metrics_are_not_given_again() -> None:
    store = stored(*(metric(INT, "a", name=name) for name in "abc"))
    saved = Saved()
    saved.save(store)
    del saved.metrics[0]
    restored, _ = saved.restored()
    restored.add(metric(INT, "a", name="new"))
    saved.save(restored)
    assert sorted(number for number, *_ in saved.metrics) == [2, 3, 4]


# --- one instant -----------------------------------------------------------------------------------------------------


def test_writes_after_the_instant_are_not_in_it() -> None:
    store, m = filled(4000)
    text = metric(STRING, "a", name="t")
    hist = metric(BUCKETS, "a", name="h")
    store.add(text)
    store.add(hist)
    ops._store_set(text, ("x",), b"before")
    ops._store_set(hist, ("x",), 1.0)
    before = [rows(store, each) for each in (m, text, hist)]

    def write() -> None:
        ops._store_fill([m], 1000, 1000)
        ops._store_del(m, labels_of(10))
        ops._store_add(m, ("new",))
        ops._store_set(text, ("x",), b"after!")
        ops._store_set(hist, ("x",), 2.0)

    saved = Saved()
    saved.save(store, meanwhile=write)
    restored, made = saved.restored()
    assert [rows(restored, each) for each in made] == before
    saved.save(store)
    same(store, saved.restored()[0])


def test_no_snapshot_is_waited_for_if_not_wanted() -> None:
    store, _ = filled(10)
    first, second = Delta(store), Delta(store)
    assert first.fix(wait=False)
    assert not second.fix(wait=False)
    first.copy()
    assert second.fix(wait=False)


def test_an_abandoned_delta_lets_others_in() -> None:
    store, m = filled(10)
    delta = Delta(store)
    delta.fix()
    del delta
    assert Delta(store).fix(wait=False)
    assert len(rows(store, m)) == 10


def test_the_order_of_calls_is_checked() -> None:
    store, _ = filled(10)
    delta = Delta(store)
    with pytest.raises(ValueError, match="not fixed"):
        delta.copy()
    delta.fix()
    with pytest.raises(ValueError, match="fixed already"):
        delta.fix()
    with pytest.raises(ValueError, match="not copied"):
        list(delta.slabs(0))
    delta.copy()
    with pytest.raises(ValueError, match="copied already"):
        delta.copy()
    with pytest.raises(ValueError, match="no such metric"):
        list(delta.slabs(1))
    delta.release()
    with pytest.raises(ValueError, match="released"):
        list(delta.slabs(0))


@pytest.mark.slow
def test_memory_is_accounted_for() -> None:
    store, m = filled(5000, limit=10_000)
    text, hist = metric(STRING, "a", name="t"), metric(BUCKETS, "a", name="h")
    for each, value in ((text, b"some text"), (hist, 1.0)):
        store.add(each)
        ops._store_set(each, ("x",), value)
    saved = Saved()
    saved.save(store)
    gc.collect()
    restored, made = saved.restored()
    held = [each.memory for each in (m, text, hist)]
    assert all(abs(one.memory - before) <= before // 2 for one, before in zip(made, held, strict=True))
    assert restored.memory == sum(each.memory for each in made)
    for each in made:
        for labels, *_ in rows(restored, each):
            ops._store_del(each, labels)
    gc.collect()
    assert [each.memory < 20_000 for each in made] == [True] * 3
    for each in made:
        restored.remove(each)
    assert restored.memory == 0


def test_a_metric_in_a_store_is_not_restored() -> None:
    _store, m = filled(10)
    with pytest.raises(ValueError, match="is in a store"):
        restore_series(m, 1, 0, 0, [])
    with pytest.raises(ValueError, match="no number"):
        restore_series(metric(), 0, 0, 0, [])


# --- at any time -----------------------------------------------------------------------------------------------------

label = st.sampled_from("abcdefgh")


class Saving(RuleBasedStateMachine):
    """Random operations on a store that is saved now and then, and on the one restored from the last save."""

    @initialize(type_=st.sampled_from([INT, FLOAT, STRING, BUCKETS]), limit=st.sampled_from([0, 0, 5, 200]))
    def start(self, type_: int, limit: int) -> None:
        self.type, self.limit = type_, limit
        self.store = stored(self.make())
        self.saved = Saved()
        self.saved.save(self.store)
        self.images = dict(self.saved.slabs)

    def make(self) -> Metric:
        return metric(self.type, "ab", limit=self.limit)

    @property
    def metric(self) -> Metric:
        return self.store.metrics()[0]

    @rule(a=label, b=label, number=st.integers(-100, 100), time=st.integers(0, 50))
    def write(self, a: str, b: str, number: int, time: int) -> None:
        value: Any = b"t" * (number % 50) if self.type == STRING else number
        ops._store_set(self.metric, (a, b), value, time)

    @rule(first=st.integers(0, 400), count=st.integers(0, 200))
    def fill(self, first: int, count: int) -> None:
        for i in range(first, first + count):
            ops._store_set(self.metric, (str(i), "x"), b"" if self.type == STRING else 1, i % 13)

    @rule(a=label, b=label)
    def remove(self, a: str, b: str) -> None:
        ops._store_del(self.metric, (a, b))

    @rule(first=st.integers(0, 400), count=st.integers(0, 300))
    def clear(self, first: int, count: int) -> None:
        for i in range(first, first + count):
            ops._store_del(self.metric, (str(i), "x"))

    @rule(a=label, b=label, after=st.integers(1, 30))
    def expire(self, a: str, b: str, after: int) -> None:
        ops._store_expire(self.metric, (a, b), after)

    @rule(now=st.integers(0, 100))
    def collect(self, now: int) -> None:
        self.store.gc(now)

    @rule()
    def reload(self) -> None:
        old, new = self.metric, self.make()
        self.store.replace([old], [new], [(new, old)])

    @rule()
    def fail(self) -> None:
        delta = Delta(self.store)
        delta.fix()
        delta.copy()
        delta.revert()

    @rule()
    def save(self) -> None:
        self.saved.save(self.store)
        for key in self.saved.slabs.keys() - self.saved.written:
            assert self.saved.slabs[key] == self.images[key]
        self.images = dict(self.saved.slabs)
        same(self.store, self.saved.restored()[0])

    @rule()
    def restart(self) -> None:
        """Go on with what was saved, whatever happened since."""
        self.store, _ = self.saved.restored()

    @invariant()
    def whole(self) -> None:
        if hasattr(self, "store"):
            kept = rows(self.store, self.metric)
            assert len({labels for labels, *_ in kept}) == len(kept)
            assert all(ops._store_find(self.metric, labels) for labels, *_ in kept)


Saving.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSaving = Saving.TestCase
TestSaving.pytestmark = [pytest.mark.slow]  # type: ignore[attr-defined]


# --- hostile images --------------------------------------------------------------------------------------------------


def damaged(m: Metric, head: int, count: int, slabs: Iterable[tuple[int, bytes]]) -> None:
    """Restoring either fails, and leaves nothing, or gives a store that works."""
    copy = like(m)
    try:
        restore_series(copy, 1, head, count, slabs)
    except ValueError:
        assert len(copy) == 0
        assert copy.memory == 0
        return
    store = stored(copy)
    kept = rows(store, copy)
    assert len(kept) == count
    for labels, *_ in kept:
        assert ops._store_del(copy, labels)
    resumed(store)


@pytest.mark.slow
@pytest.mark.parametrize("type_", [INT, FLOAT, STRING, BUCKETS])
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_flipped_bits_and_cut_images_do_no_harm(type_: int, data: st.DataObject) -> None:
    m = metric(type_, "a")
    store = stored(m)
    for i in range(70):
        ops._store_set(m, (str(i),), b"text" if type_ == STRING else i, i)
    saved = Saved()
    saved.save(store)
    (number, _, head, count) = saved.metrics[0]
    slabs = saved.of(number)
    at = data.draw(st.integers(0, len(slabs) - 1))
    slab, image = slabs[at]
    changed = bytearray(image)
    for _ in range(data.draw(st.integers(0, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    if data.draw(st.booleans()):
        del changed[data.draw(st.integers(0, len(changed))) :]
    slabs[at] = data.draw(st.sampled_from([slab, slab, slab, 1 - slab, 7])), bytes(changed)
    damaged(m, data.draw(st.sampled_from([head, head, 1, 63, 64, 70, 2**32 - 1])), count, slabs)


@pytest.mark.slow
@given(
    image=st.binary(max_size=200), type_=st.sampled_from([INT, FLOAT, STRING, BUCKETS]), keys=st.sampled_from(["", "a"])
)
@settings(max_examples=500, deadline=None)
def test_random_images_do_no_harm(image: bytes, type_: int, keys: str) -> None:
    damaged(metric(type_, keys), 0, 1, [(0, image)])
    damaged(metric(type_, keys), 0, 1, [(0, b"\x01\0\0\0\0\0\0\0" + image)])


ONE = b"\x01\0\0\0\0\0\0\0"
SERIES = b"\x01x\0\0"
"""Key x, time 0, no expiry; the link comes before it, the value after it."""


@pytest.mark.parametrize(
    ("what", "slabs", "head", "count"),
    [
        ("no image", [(0, b"")], 0, 1),
        ("an empty slab", [(0, b"\0" * 8)], 0, 0),
        ("an empty slab at the end", [(0, ONE + b"\0" + SERIES + b"\0" + b"\0" * 8)], 0, 1),
        ("a fifth slab", [(0, b"\0" * 32 + ONE + b"\0" + SERIES + b"\0")], 256, 1),
        ("a slab twice", [(0, ONE + b"\0" + SERIES + b"\0")] * 2, 0, 1),
        ("a slab too far", [(2**25, ONE + b"\0" + SERIES + b"\0")], 0, 1),
        ("bytes after it", [(0, ONE + b"\0" + SERIES + b"\0x")], 0, 1),
        ("a link to itself", [(0, ONE + b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01" + SERIES + b"\0")], 0, 1),
        ("a link out of it", [(0, ONE + b"\x02" + SERIES + b"\0")], 0, 1),
        ("a link before it", [(0, ONE + b"\x01" + SERIES + b"\0")], 0, 1),
        ("a number that does not end", [(0, ONE + b"\0" + SERIES + b"\xff" * 20)], 0, 1),
        ("a key that is not UTF-8", [(0, ONE + b"\0\x01\xff" + b"\0" * 3)], 0, 1),
        ("a key that is cut", [(0, ONE + b"\0\xff\xff\xff\xff\xff")], 0, 1),
        ("too many series", [(0, ONE + b"\0" + SERIES + b"\0")], 0, 2),
        ("too few series", [(0, ONE + b"\0" + SERIES + b"\0")], 2**32 - 1, 0),
        ("a head elsewhere", [(0, ONE + b"\0" + SERIES + b"\0")], 5, 1),
        ("the same labels twice", [(0, b"\x03" + ONE[1:] + b"\x02" + SERIES + b"\0\0" + SERIES + b"\0")], 0, 2),
        ("a circle", [(0, b"\x03" + ONE[1:] + b"\x02" + SERIES + b"\0\x01\x01y" + SERIES[2:] + b"\0")], 0, 2),
        ("a negative expiry", [(0, ONE + b"\0" + SERIES[:-1] + b"\xff" * 9 + b"\x01\0")], 0, 1),
    ],
)
def test_what_is_wrong_with_an_image(what: str, slabs: list[tuple[int, bytes]], head: int, count: int) -> None:
    m = metric(INT, "a")
    with pytest.raises(ValueError, match=r"damaged|do not fit"):
        restore_series(m, 1, head, count, slabs)
    assert len(m) == 0


def test_the_image_that_these_are_made_from_is_good() -> None:
    m = metric(INT, "a")
    restore_series(m, 1, 0, 1, [(0, ONE + b"\0" + SERIES + b"\x0e")])
    store = stored(m)
    assert rows(store, m) == [(("x",), 7, 0, 0)]
    last = metric(INT, "a")
    restore_series(last, 1, 192, 1, [(0, b"\0" * 24 + ONE + b"\0" + SERIES + b"\x0e")])
    store = stored(last)
    assert rows(store, last) == [(("x",), 7, 0, 0)]


def test_slabs_that_fail_to_come_leave_nothing() -> None:
    def come() -> Iterable[tuple[int, bytes]]:
        yield 0, ONE + b"\0" + SERIES + b"\x0e"
        raise OSError("gone")

    m = metric(INT, "a")
    with pytest.raises(OSError, match="gone"):
        restore_series(m, 1, 0, 1, come())
    assert (len(m), m.memory) == (0, 0)


# --- beside an engine ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_each_save_is_one_instant_while_lines_are_counted() -> None:
    """Two metrics are counted up together: they are equal in every save, and never go back."""
    one, two = metric(INT, "a", name="one"), metric(INT, "a", name="two")
    store = stored(one, two)
    ops._store_fill([one, two], 2000, 2000)
    saved = Saved()
    last = 0
    writer = threading.Thread(target=ops._store_fill, args=([one, two], 2000, 300_000, 7))
    writer.start()
    while writer.is_alive():
        saved.save(store)
        restored, made = saved.restored()
        totals = [sum(value for _, value, _, _ in rows(restored, each)) for each in made]
        assert totals[0] == totals[1] >= last
        last = totals[0]
    writer.join()
    saved.save(store)
    same(store, saved.restored()[0])
