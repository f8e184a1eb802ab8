"""Metrics about the process itself."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from waiting import PATIENCE

from nativemtail.telemetry import expvar, machine
from nativemtail.telemetry.build import Build
from nativemtail.telemetry.costs import MetricSize
from nativemtail.telemetry.counters import EXPORT_COUNTERS, Latency
from nativemtail.telemetry.machine import CpuUsage, DiskSpace
from nativemtail.telemetry.model import Pool, ProgramState, SourceState, StateCounts
from nativemtail.telemetry.selfmetrics import SelfMetrics


class Lines:
    def lines_total(self) -> int:
        return 5

    def program_times(self) -> dict[str, tuple[list[int], float]]:
        return {"a.mtail": ([1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1], 0.25)}

    def series_refused(self) -> int:
        return 3

    def over_limit(self) -> int:
        return 2

    def sizes(self) -> Sequence[MetricSize]:
        return [MetricSize("a.mtail", "x", 2, 300), MetricSize("a.mtail", "x", 1, 100), MetricSize("\udcff", "y", 0, 0)]


class Sources:
    def states(self) -> Sequence[SourceState]:
        return [
            SourceState(name="/etc/hostname", lines=4, bytes=90, lag=0, opens=2, closes=1, truncations=1, cut=1),
            SourceState(name="/var/\udcff", lines=1, lag=8, errors=1),
            SourceState(name="/var/\udcfe", lines=2, lag=None, active=False),
            SourceState(name="udp://:1", lag=None),
        ]

    def patterns(self) -> Sequence[str]:
        return []

    def problems(self) -> Mapping[str, str]:
        return {}

    def dropped(self) -> Mapping[str, int]:
        return {"kernel": 0}

    def limits(self) -> Mapping[str, int]:
        return {"watches": 2}

    def connections(self) -> Mapping[str, int]:
        return {"tcp": 1}

    def accepted(self) -> Mapping[str, int]:
        return {"tcp": 7}

    def denied(self) -> Mapping[str, int]:
        return {"tcp": 4}


class Programs:
    def states(self, *, faults: bool = False) -> Sequence[ProgramState]:
        assert not faults
        return [
            ProgramState(name="a.mtail", running=True, loads=2, lines=5, runtime_errors=1),
            ProgramState(name="b.mtail", load_errors=1, unloads=1),
            ProgramState(name="c.mtail", error="bad", load_errors=1),
            ProgramState(name="d.mtail", running=True, error="bad", load_errors=1),
        ]

    def dump(self, name: str) -> str | None:
        return None


class Listener:
    def connections(self) -> Mapping[str, int]:
        return {"http": 2}

    def accepted(self) -> Mapping[str, int]:
        return {"http": 5}

    def denied(self) -> Mapping[str, int]:
        return {"http": 0}

    def limits_hit(self) -> Mapping[str, int]:
        return {"http_header": 3}

    def pools(self) -> Mapping[str, Pool]:
        return {"http": Pool(2, 1)}


def state(age: float | None = 1.5) -> StateCounts:
    took = Latency()
    took.observe(0.02)
    return StateCounts(7, took, 8000, 2, age, 100, 1, 300, 4)


@pytest.fixture
def own() -> SelfMetrics:
    own = SelfMetrics(
        lines=Lines(),
        sources=Sources(),
        programs=Programs(),
        listener=Listener(),
        state=state,
        memory_limit=1 << 30,
    )
    own.prog_load_latency.observe(0.003)
    return own


def samples(own: SelfMetrics) -> dict[tuple[str, tuple[str, ...]], float]:
    return {(s.name, tuple(s.labels.values())): s.value for family in own.families() for s in family.samples}


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("mtail_lines_total", [], 5),
        ("mtail_log_lines_total", ["/etc/hostname"], 4),
        ("mtail_log_lines_total", ["/var/\ufffd"], 3),
        ("mtail_log_errors_total", ["/var/\ufffd"], 1),
        ("mtail_log_bytes_total", ["/etc/hostname"], 90),
        ("mtail_log_lines_cut_total", ["/etc/hostname"], 1),
        ("mtail_log_lag_bytes", ["/etc/hostname"], 0),
        ("mtail_log_lag_bytes", ["/var/\ufffd"], 8),
        ("mtail_lines_dropped_total", ["kernel"], 0),
        ("mtail_limits_hit_total", ["watches"], 2),
        ("mtail_limits_hit_total", ["http_header"], 3),
        ("mtail_log_errors_total", ["/etc/hostname"], 0),
        ("mtail_log_lines_cut_total", ["/var/\ufffd"], 0),
        ("mtail_prog_loads_total", ["b.mtail"], 0),
        ("mtail_prog_load_errors_total", ["a.mtail"], 0),
        ("mtail_prog_runtime_errors_total", ["b.mtail"], 0),
        ("mtail_prog_lines_total", ["b.mtail"], 0),
        ("nativemtail_program_state", ["a.mtail", "running"], 1),
        ("nativemtail_program_state", ["a.mtail", "failed"], 0),
        ("nativemtail_program_state", ["b.mtail", "unloaded"], 1),
        ("nativemtail_program_state", ["c.mtail", "failed"], 1),
        ("nativemtail_program_state", ["d.mtail", "outdated"], 1),
        ("nativemtail_program_state", ["d.mtail", "running"], 0),
        ("mtail_prog_loads_total", ["a.mtail"], 2),
        ("mtail_prog_load_errors_total", ["b.mtail"], 1),
        ("mtail_prog_runtime_errors_total", ["a.mtail"], 1),
        ("mtail_prog_lines_total", ["a.mtail"], 5),
        ("mtail_series_refused_total", [], 3),
        ("memory_over_limit_count", [], 2),
        ("mtail_series", ["a.mtail", "x"], 3),
        ("mtail_series_bytes", ["a.mtail", "x"], 400),
        ("mtail_series", ["\ufffd", "y"], 0),
        ("total_connection_count", ["http"], 5),
        ("total_connection_count", ["tcp"], 7),
        ("mtail_vm_line_processing_duration_seconds_bucket", ["a.mtail", "2e-05"], 1),
        ("mtail_vm_line_processing_duration_seconds_bucket", ["a.mtail", "0.01024"], 3),
        ("mtail_vm_line_processing_duration_seconds_bucket", ["a.mtail", "+Inf"], 4),
        ("mtail_vm_line_processing_duration_seconds_count", ["a.mtail"], 4),
        ("mtail_vm_line_processing_duration_seconds_sum", ["a.mtail"], 0.25),
        ("connection_count", ["http"], 2),
        ("connection_count", ["tcp"], 1),
        ("total_connections_denied", ["tcp"], 4),
        ("memory_limit", [], 1 << 30),
        ("thread_pool_size", ["http"], 2),
        ("thread_pool_parked", ["http"], 1),
        ("prog_load_latency_bucket", ["0.0025"], 0),
        ("prog_load_latency_bucket", ["0.005"], 1),
        ("prog_load_latency_count", [], 1),
        ("scrape_latency_count", [], 0),
        ("state_saves_total", [], 7),
        ("state_save_seconds_bucket", ["0.01"], 0),
        ("state_save_seconds_bucket", ["0.025"], 1),
        ("state_save_bytes_total", [], 8000),
        ("state_save_failures_total", [], 2),
        ("state_age_seconds", [], 1.5),
        ("state_restored_series", [], 100),
        ("state_damaged_total", [], 1),
        ("state_catch_up_bytes", [], 300),
        ("state_lost_logs_total", [], 4),
    ],
)
def test_sample(own: SelfMetrics, name: str, labels: list[str], value: float) -> None:
    assert samples(own)[name, tuple(labels)] == value


def test_nothing_is_said_of_a_state_that_is_not_kept(own: SelfMetrics) -> None:
    own.state = lambda: state(age=None)
    assert ("state_age_seconds", ()) not in samples(own)
    assert "state_age_seconds" not in expvar.variables(own)
    own.state = None
    assert not [name for name, _ in samples(own) if name.startswith("state_")]
    assert not [name for name in expvar.variables(own) if name.startswith("state_")]


@pytest.mark.parametrize(
    "name",
    [
        *("process_start_time_seconds", "process_open_fds", "process_cpu_seconds_total", "memory_usage"),
        "process_virtual_memory_max_bytes",
    ],
)
def test_measured(own: SelfMetrics, name: str) -> None:
    assert samples(own)[name, ()] > 0


def test_types_and_texts(own: SelfMetrics) -> None:
    families = {family.name: family for family in own.families()}
    untyped = {name for name, family in families.items() if family.type == "unknown"}
    assert untyped == {
        "connection_count",
        "memory_over_limit_count",
        "mtail_lines_total",
        "mtail_log_errors_total",
        "mtail_log_lines_total",
        "mtail_prog_lines_total",
        "mtail_prog_load_errors_total",
        "mtail_prog_loads_total",
        "mtail_prog_runtime_errors_total",
        "process_cpu_usage_sum",
        "total_connection_count",
        "total_connections_denied",
    }
    assert families["mtail_vm_line_processing_duration_seconds"].type == "histogram"
    assert families["mtail_build_info"].type == "gauge"
    assert families["mtail_log_lines_total"].documentation == "number of lines read per log file"
    assert all(family.documentation for family in families.values())
    assert list(families) == sorted(families)
    assert "python_info" in families


def test_nothing_without_parts() -> None:
    names = {family.name for family in SelfMetrics().families()}
    assert not {name for name in names if name.startswith("mtail_")} - {"mtail_build_info"}
    assert "memory_limit" not in names
    assert "connection_count" not in names


def test_build_labels(own: SelfMetrics) -> None:
    labels = Build(version="1", revision="r", branch="b").labels()
    assert sorted(labels) == ["branch", "goarch", "goos", "goversion", "revision", "version"]
    assert "nativemtail version 1 git revision r " in str(Build(version="1", revision="r"))


def test_variables(own: SelfMetrics) -> None:
    own.exports.add("graphite_export_total", 4)
    page = expvar.page(own)
    variables = json.loads(page)
    assert list(variables) == sorted(variables)
    assert page.count(b"\n") == len(variables) + 2
    expected: dict[str, Any] = {
        "lines_total": 5,
        "log_lines_total": {"/etc/hostname": 4, "/var/\ufffd": 3},
        "log_errors_total": {"/var/\ufffd": 1},
        "log_opens_total": {"/etc/hostname": 2},
        "log_closes_total": {"/etc/hostname": 1},
        "file_truncates_total": {"/etc/hostname": 1},
        "state_saves_total": 7,
        "state_age_seconds": 1.5,
        "log_count": 3,
        "prog_loads_total": {"a.mtail": 2},
        "prog_load_errors_total": {"b.mtail": 1, "c.mtail": 1, "d.mtail": 1},
        "prog_unloads_total": {"b.mtail": 1},
        "prog_runtime_errors_total": {"a.mtail": 1},
        "prog_lines_total": {"a.mtail": 5},
        "graphite_export_total": 4,
        "exporter_json_errors": 0,
    }
    assert {name: variables[name] for name in expected} == expected
    assert set(EXPORT_COUNTERS) | {"cmdline", "memstats"} <= set(variables)


def test_pushes(own: SelfMetrics) -> None:
    """Of targets that there are, from the beginning."""
    families = {family.name: family for family in own.families()}
    assert "push_backlog" not in families
    counts = own.exports.push_to("statsd")
    own.exports.push_to("graphite")
    counts.latency.observe(0.3)
    counts.failures += 1
    counts.backlog = 7
    own.exports.add("statsd_export_dropped", 2)
    samples = {
        (sample.name, sample.labels["target"], sample.labels.get("le")): sample.value
        for family in own.families()
        if "push" in family.name
        for sample in family.samples
    }
    expected = {
        "push_backlog": (7, 0),
        "push_latency_count": (1, 0),
        "mtail_push_failures_total": (1, 0),
        "mtail_push_dropped_total": (2, 0),
    }
    for name, values in expected.items():
        assert (samples[name, "statsd", None], samples[name, "graphite", None]) == values
    assert samples["push_latency_bucket", "statsd", "0.5"] == 1
    assert samples["push_latency_bucket", "statsd", "0.25"] == 0


def test_pushes_to_a_target_that_is_new(own: SelfMetrics) -> None:
    """One that mtail does not have needs no entry in a table of names."""
    own.exports.push_to("new")
    (dropped,) = (family for family in own.families() if family.name == "mtail_push_dropped")
    assert [(sample.labels, sample.value) for sample in dropped.samples] == [({"target": "new"}, 0)]
    assert {f"new_export_{what}": 0 for what in ("total", "success", "dropped")}.items() <= own.exports.counts().items()


def test_a_new_export_counter_is_shown_from_its_first_count(own: SelfMetrics) -> None:
    assert "influx_export_total" not in own.exports.counts()
    own.exports.add("influx_export_total", 2)
    assert own.exports.counts()["influx_export_total"] == 2
    assert own.exports.counts()["graphite_export_total"] == 0


def test_latency_edges() -> None:
    latency = Latency()
    for seconds in (0.001, 0.0010001, 10.0, 11.0):
        latency.observe(seconds)
    counts, total = latency.ranges()
    assert (counts[0], counts[1], counts[-2], counts[-1]) == (1, 1, 1, 1)
    assert total == pytest.approx(21.0020001)


def test_disk_space(tmp_path: Path) -> None:
    space = DiskSpace(patience=PATIENCE).free([str(tmp_path / "log"), "/nonexistent/log"])
    ((mount, room),) = space.items()
    assert str(tmp_path).startswith(mount)
    assert os.path.ismount(mount)
    assert 0 < room.bytes_free <= room.bytes


def test_a_hanging_file_system_does_not_hold_a_scrape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    real = os.statvfs

    def hang(path: str) -> os.statvfs_result:
        release.wait(PATIENCE)
        return real(path)

    def threads() -> int:
        return sum(thread.name == "disk-space" for thread in threading.enumerate())

    before = threads()
    monkeypatch.setattr(os, "statvfs", hang)
    disk = DiskSpace(period=0, patience=0.05)
    begin = time.monotonic()
    assert [disk.free([str(tmp_path / "log")]) for _ in range(3)] == [{}, {}, {}]
    assert time.monotonic() - begin < PATIENCE
    assert threads() == before + 1
    release.set()
    disk._patience = PATIENCE
    assert disk.free([str(tmp_path / "log")])


class NoThread(threading.Thread):
    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def test_no_thread_no_disk_space_but_all_else(own: SelfMetrics, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {family.name for family in own.families()}
    own.disk = DiskSpace()
    monkeypatch.setattr(threading, "Thread", NoThread)
    assert not own.disk.start()
    found = {family.name for family in own.families()}
    assert {name for name in expected - found if not name.startswith("disk_free_")} == set()
    assert "mtail_lines_total" in found
    monkeypatch.undo()
    assert own.disk.start()
    own.disk._patience = PATIENCE
    assert {family.name for family in own.families()} == expected


def test_a_thread_that_is_there_asks_when_no_other_can_be_had(
    own: SelfMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.disk = DiskSpace(patience=PATIENCE)
    assert own.disk.start()
    monkeypatch.setattr(threading, "Thread", NoThread)
    assert "disk_free_bytes" in {family.name for family in own.families()}


def refusing(path: str, *rest: Any, real: Any = open, **more: Any) -> Any:
    if str(path).startswith("/proc"):
        raise FileNotFoundError(2, "No such file or directory", path)
    return real(path, *rest, **more)


def test_without_proc(own: SelfMetrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.open", refusing)
    found = {family.name for family in own.families()}
    assert "memory_usage" in found
    assert "process_resident_memory_bytes" not in found
    assert 1 << 20 < machine.resident_memory() < 1 << 40
    assert json.loads(expvar.page(own))["memstats"]["Alloc"] > 1 << 20


@pytest.mark.parametrize("text", [b"", b"x y z"])
def test_with_an_odd_proc(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.open", lambda *_: io.BytesIO(text))
    assert 1 << 20 < machine.resident_memory() < 1 << 40


@pytest.mark.parametrize("part", ["_process", "_programs", "_engine", "_logs", "_build"])
def test_a_part_that_fails_is_left_out_and_said_once(
    part: str, own: SelfMetrics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own.disk = DiskSpace(patience=PATIENCE)
    real = getattr(SelfMetrics, part)
    expected = {family.name for family in own.families()}

    def failing(self: SelfMetrics, *parts: Any) -> Iterator[Any]:
        yield next(real(self, *parts))
        raise OSError("gone")

    monkeypatch.setattr(SelfMetrics, part, failing)
    for _ in range(2):
        found = {family.name for family in own.families()}
        assert found < expected if part != "_build" else found == expected
    assert len([record for record in caplog.records if "are left out" in record.message]) == 1


def test_cpu_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: now, process_time=lambda: used)
    monkeypatch.setattr(machine, "time", clock)
    now, used = 100.0, 7.0
    usage = CpuUsage(period=0.5)
    usage.percent()
    now, used = 102.0, 8.0
    assert usage.percent() == 50
    now, used = 102.4, 8.4
    assert usage.percent() == 50, "too soon to ask again"
    now = 103.0
    assert usage.percent() == pytest.approx(40)


def test_cpu_usage_of_the_machine(own: SelfMetrics) -> None:
    found = samples(own)
    whole = found["process_cpu_usage_sum", ()]
    assert found["process_cpu_usage_normalized", ()] == pytest.approx(whole / (os.cpu_count() or 1), rel=0.01)
    assert whole >= 0


def test_arguments_that_are_not_utf8(own: SelfMetrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["nativemtail", "--progs", "/a\udcff"])
    assert json.loads(expvar.page(own))["cmdline"] == ["nativemtail", "--progs", "/a\ufffd"]
