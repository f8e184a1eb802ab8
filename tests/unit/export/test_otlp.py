"""OTLP over gRPC and HTTP: what a collector gets, and collectors that fail."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from collectors import Grpc, Http, Receiver
from waiting import PATIENCE, assert_prompt

from nativemtail._render import View
from nativemtail.export.otlp import BATCH, Otlp
from nativemtail.export.push import Pusher, PushSettings
from nativemtail.export.transport import Budget, PushError

PROGRAM = """
counter hits by who
counter part
gauge level
gauge temperature
timer took
timer took_exactly
text said
gauge word
histogram h by who buckets 1, 2, 4
hidden counter secret
/^hit (?P<w>\\S+)/ {
  hits[$w]++
  secret++
}
/^numbers/ {
  part = 0.5
  level = -3
  temperature = 2.5
  took = 7
  took_exactly = 7.5
  said = "x"
  word = "y"
}
/^seen (?P<w>\\S+) (?P<f>\\d+\\.\\d+)/ {
  h[$w] = $f
}
"""


@pytest.fixture(params=[Grpc, Http], ids=["grpc", "http"])
def receiver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    for name in ("ENDPOINT", "METRICS_ENDPOINT", "METRICS_PROTOCOL", "HEADERS", "COMPRESSION"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", request.param.protocol)
    receiver = request.param()
    yield receiver
    receiver.close()


def collector(endpoint: str, seconds: float = PATIENCE) -> Otlp:
    return Otlp(endpoint, host_name="box", version="1.2", seconds=seconds)


def push(target: Otlp, store: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    target.push(View(store), Budget(PATIENCE), lambda what, n: counts.update({what: n}))
    return counts


@pytest.mark.slow
def test_every_type(live: Callable[[str], Any], receiver: Any) -> None:
    before = time.time_ns()
    run = live(PROGRAM)
    target = collector(receiver.endpoint)
    run.feed("hit a", "hit a", "hit b", "numbers", "seen a 1.5", "seen a 9.0")
    assert push(target, run.store) == {"total": 7, "success": 8}
    target.close()
    found = receiver.metrics()
    assert sorted(found) == [
        f"p.mtail {name}" for name in ("h", "hits", "level", "part", "temperature", "took", "took_exactly")
    ]
    [request] = receiver.requests
    attributes = {a.key: a.value.string_value for a in request.resource_metrics[0].resource.attributes}
    assert attributes["service.name"] == "mtail"
    assert attributes["service.version"] == "1.2"
    assert attributes["host.name"] == "box"
    hits = found["p.mtail hits"]
    assert hits.description == "hits defined at p.mtail:2:9-12"
    assert hits.sum.is_monotonic
    assert hits.sum.aggregation_temporality == 2
    values = {tuple((a.key, a.value.string_value) for a in p.attributes): p.as_int for p in hits.sum.data_points}
    assert values == {(("who", "a"),): 2, (("who", "b"),): 1}
    for point in hits.sum.data_points:
        assert before <= point.start_time_unix_nano <= time.time_ns()
        assert before <= point.time_unix_nano <= time.time_ns()
    assert found["p.mtail part"].sum.data_points[0].as_double == 0.5
    assert found["p.mtail level"].gauge.data_points[0].as_int == -3
    assert found["p.mtail temperature"].gauge.data_points[0].as_double == 2.5
    assert found["p.mtail took"].gauge.data_points[0].as_int == 7
    assert found["p.mtail took_exactly"].gauge.data_points[0].as_double == 7.5
    histogram = found["p.mtail h"].histogram
    [point] = histogram.data_points
    assert histogram.aggregation_temporality == 2
    assert (point.count, point.sum) == (2, 10.5)
    assert (list(point.bucket_counts), list(point.explicit_bounds)) == ([0, 1, 0, 1], [1, 2, 4])
    assert not point.HasField("min")
    assert not point.HasField("max")


@pytest.mark.slow
def test_environment(live: Callable[[str], Any], receiver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where to, with which headers, compressed, and as whom."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{receiver.endpoint}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=seven")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "logs")
    run = live(PROGRAM)
    run.feed("hit a")
    assert push(collector(""), run.store)["success"] == 2
    assert receiver.headers["x-tenant"] == "seven"
    attributes = {a.key: a.value.string_value for a in receiver.requests[0].resource_metrics[0].resource.attributes}
    assert attributes["service.name"] == "logs"


@pytest.mark.slow
@pytest.mark.parametrize("habit", ["slow", "stuck"])
def test_one_deadline_for_all_batches(live: Callable[[str], Any], receiver: Any, habit: str) -> None:
    """A collector that takes its time for each batch, and one that takes two and no more."""
    run = live(PROGRAM)
    run.feed(*(f"hit {number}" for number in range(10 * BATCH)))
    taken = threading.Event()

    def wait(requests: int) -> None:
        if habit == "slow":
            time.sleep(1)
        elif requests == 2:
            taken.wait(PATIENCE)

    receiver.wait = wait
    target = collector(receiver.endpoint, seconds=3)
    counts: Counter[str] = Counter()
    began = time.monotonic()
    with pytest.raises(PushError, match="pusher write error"):
        target.push(View(run.store), Budget(3), lambda what, n: counts.update({what: n}))
    took = time.monotonic() - began
    taken.set()
    assert took > 2.5
    assert counts["success"] % BATCH == 0
    assert BATCH <= counts["success"] < 10 * BATCH
    receiver.wait = lambda requests: None
    assert push(target, run.store)["total"] > 0, "the next push has all its time"
    target.close()


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_collector_that_is_down_is_asked_once(
    live: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """Not once for each batch."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    run = live(PROGRAM)
    run.feed(*(f"hit {number}" for number in range(10 * BATCH)))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        target = collector(f"127.0.0.1:{nobody.getsockname()[1]}", seconds=0.5)
        asked: list[float] = []
        until = target._exporter_until
        monkeypatch.setattr(target, "_exporter_until", lambda deadline: asked.append(deadline) or until(deadline))
        with pytest.raises(PushError, match="pusher write error"):
            push(target, run.store)
        assert len(asked) == 1


@pytest.mark.slow
def test_many_label_sets_come_in_batches(live: Callable[[str], Any], receiver: Any) -> None:
    run = live(PROGRAM)
    run.feed(*(f"hit {number}" for number in range(BATCH + 5)))
    assert push(collector(receiver.endpoint), run.store)["success"] == BATCH + 6
    assert len(receiver.requests) == 2
    points = [
        point
        for request in receiver.requests
        for metric in request.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == "hits"
        for point in metric.sum.data_points
    ]
    assert len({point.attributes[0].value.string_value for point in points}) == BATCH + 5


@pytest.mark.slow
def test_counters_that_go_on_keep_their_start(live: Callable[[str], Any], receiver: Any) -> None:
    run = live(PROGRAM)
    settings = PushSettings(otlp=True, otlp_endpoint=receiver.endpoint)
    pusher = Pusher(partial(View, run.store), settings, SimpleNamespace(push_to=lambda name: None))  # type: ignore[arg-type]
    pusher.resume(12345)
    run.feed("hit a", "seen a 1.5")
    [loop] = pusher._loops
    assert isinstance(loop.target, Otlp)
    push(loop.target, run.store)
    loop.target.close()
    found = receiver.metrics()
    assert [point.start_time_unix_nano for point in found["p.mtail hits"].sum.data_points] == [12345]
    assert [point.start_time_unix_nano for point in found["p.mtail h"].histogram.data_points] == [12345]


@pytest.mark.slow
def test_a_collector_that_refuses(live: Callable[[str], Any], receiver: Any) -> None:
    """The reason is in the error, and the library's own messages are not in the log."""
    run = live(PROGRAM)
    said: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = said.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    target = collector(receiver.endpoint)
    receiver.refuse = True
    with pytest.raises(PushError, match=r"pusher write error: .*(not today|INVALID_ARGUMENT)"):
        push(target, run.store)
    receiver.refuse = False
    assert push(target, run.store)["success"] == 1
    logging.getLogger().removeHandler(handler)
    assert not said


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_collector_that_is_down_or_silent(
    live: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    run = live(PROGRAM)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"

        def fail() -> None:
            with pytest.raises(PushError, match="pusher write error"):
                push(collector(endpoint, seconds=0.5), run.store)

        assert_prompt(fail, 3)
    with pytest.raises(PushError, match="pusher write error"):
        push(collector(endpoint, seconds=0.5), run.store)
