"""Remote writes to a receiver that takes, delays and refuses; protobuf's own library decodes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import pytest
from histories import Labels, Receiver, Reply, family, one_series, receiving

from nativemtail import __version__
from nativemtail.history import remotewrite
from nativemtail.history.remotewrite import Refusal, RemoteWrite, RemoteWriteError, Sent, target
from nativemtail.history.series import Family, Series


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(Receiver()) as receiver:
        yield receiver


@pytest.fixture
def clock() -> Clock:
    return Clock()


def writer(receiver: Receiver, clock: Clock, refusals: list[Refusal], **options: float) -> RemoteWrite:
    return RemoteWrite(target(receiver.url, {}), refusals.append, sleep=clock.sleep, clock=clock, **options)


def numbered(count: int, samples: int = 1) -> list[Series]:
    return [one_series("a", [(i, float(i)) for i in range(samples)], at=f"{n:04}") for n in range(count)]


def key(n: int) -> Labels:
    return (("__name__", "a"), ("at", f"{n:04}"))


def only(*reply: Reply) -> Iterator[Reply | None]:
    """These replies, then what takes everything."""
    yield from reply
    while True:
        yield None


def test_all_arrives_in_order_of_time(receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remotewrite, "SAMPLES", 10)
    sent = writer(receiver, clock, []).write([family("a", numbered(3, 25)), family("b", []), family("c", numbered(1))])
    expected = [(i, float(i)) for i in range(25)]
    assert [receiver.stored[key(n)] for n in range(3)] == [[*expected, (0, 0.0)], expected, expected]
    assert receiver.requests == [10] * 7 + [6]
    assert sent == Sent(samples=76)
    assert clock.slept == []


def test_long_labels_make_a_request_full(receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remotewrite, "LABEL_BYTES", 300)
    series = [one_series("a", [(0, 1.0)], at=f"{n}{'x' * 100}") for n in range(5)]
    writer(receiver, clock, []).write([family("a", [*series, one_series("a", [(0, 1.0)], at="y" * 1000)])])
    assert receiver.requests == [2, 2, 1, 1]


def test_headers(receiver: Receiver, clock: Clock) -> None:
    url = receiver.url.replace("://", "://me:p%40ss@")
    remote = target(url, {"X-Scope-OrgID": "logs", "Content-Type": "text/plain"})
    RemoteWrite(remote, print).write([family("a", numbered(1))])
    headers = receiver.headers[0]
    assert headers["Content-Encoding"] == "snappy"
    assert headers["Content-Type"] == "application/x-protobuf"
    assert headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
    assert headers["User-Agent"] == f"nativemtail/{__version__}"
    assert headers["Authorization"] == "Basic bWU6cEBzcw=="
    assert headers["X-Scope-OrgID"] == "logs"
    assert str(remote) == receiver.url


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 0])
def test_what_is_not_taken_now_is_sent_again(receiver: Receiver, clock: Clock, status: int) -> None:
    replies = only(*[(status, "not now", {})] * 3)
    receiver.judge = lambda series: next(replies)
    sent = writer(receiver, clock, []).write([family("a", numbered(2))])
    assert sent == Sent(samples=2)
    assert receiver.stored == {key(0): [(0, 0.0)], key(1): [(0, 0.0)]}
    assert clock.slept == [0.5, 1.0, 2.0]


def test_waits_have_an_upper_bound(receiver: Receiver, clock: Clock) -> None:
    replies = only(*[(503, "", {})] * 10)
    receiver.judge = lambda series: next(replies)
    writer(receiver, clock, []).write([family("a", numbered(1))])
    assert clock.slept == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(receiver: Receiver, clock: Clock, status: int) -> None:
    replies = only(*[(status, "", {"Retry-After": "17"})] * 2, (status, "", {}))
    receiver.judge = lambda series: next(replies)
    writer(receiver, clock, []).write([family("a", numbered(1))])
    assert clock.slept == [17.0, 17.0, 2.0]


def test_patience_ends(receiver: Receiver, clock: Clock) -> None:
    replies = iter([None, *[(503, "full", {})] * 99])
    receiver.judge = lambda series: next(replies)
    remote = writer(receiver, clock, [], patience=20.0)
    remote.write([family("a", numbered(1))])
    with pytest.raises(RemoteWriteError) as caught:
        remote.write([family("a", numbered(1))])
    assert str(caught.value) == (
        f"{receiver.url}: 503 full, for 20 s. 1 samples were written; the same can be written again without harm"
    )
    assert clock.slept == [0.5, 1, 2, 4, 8]


def test_a_wait_that_exceeds_the_patience_is_not_begun(receiver: Receiver, clock: Clock) -> None:
    receiver.judge = lambda series: (429, "slow down", {"Retry-After": "700"})
    with pytest.raises(RemoteWriteError, match="429 slow down"):
        writer(receiver, clock, []).write([family("a", numbered(1))])
    assert clock.slept == []


def test_nobody_listens(clock: Clock) -> None:
    remote = RemoteWrite(target("http://127.0.0.1:1/w", {}), print, patience=5.0, sleep=clock.sleep, clock=clock)
    with pytest.raises(RemoteWriteError, match=r"127\.0\.0\.1:1/w: .*Connection refused, for 5 s\. 0 samples"):
        remote.write([family("a", numbered(1))])
    assert clock.slept == [0.5, 1, 2]


@pytest.mark.parametrize("status", [400, 409, 422])
@pytest.mark.parametrize("bad", [{0}, {9}, {3, 4}, {0, 5, 9}])
def test_only_refused_series_are_missing(receiver: Receiver, clock: Clock, status: int, bad: set[int]) -> None:
    """The request that has one is refused as a whole, as Prometheus does."""
    refused = {key(n) for n in bad}
    receiver.judge = lambda series: (status, "out of bounds\nmore", {}) if refused & set(series) else None
    refusals: list[Refusal] = []
    sent = writer(receiver, clock, refusals).write([family("a", numbered(10, 3))])
    assert set(receiver.stored) == {key(n) for n in range(10)} - refused
    assert all(len(samples) == 3 for samples in receiver.stored.values())
    assert [str(refusal) for refusal in refusals] == [
        f'a{{at="{n:04}"}}: 3 samples refused: {status} out of bounds' for n in sorted(bad)
    ]
    assert sent == Sent(samples=3 * (10 - len(bad)), refused=3 * len(bad), refused_series=len(bad))


def test_a_series_is_named_once_however_many_requests_it_has(
    receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remotewrite, "SAMPLES", 10)
    receiver.judge = lambda series: (400, "no", {}) if key(1) in series else None
    refusals: list[Refusal] = []
    writer(receiver, clock, refusals).write([family("a", numbered(3, 25))])
    assert refusals == [Refusal("a", (("at", "0001"),), 25, "400 no")]


def test_a_request_that_is_too_large_is_halved(receiver: Receiver, clock: Clock) -> None:
    take = receiver.take
    receiver.take = lambda headers, body: (413, "", {}) if len(body) > 200 else take(headers, body)  # type: ignore[method-assign]
    refusals: list[Refusal] = []
    sent = writer(receiver, clock, refusals).write([family("a", numbered(2, 1000))])
    assert receiver.stored == {key(n): [(i, float(i)) for i in range(1000)] for n in range(2)}
    assert (sent, refusals) == (Sent(samples=2000), [])


def test_one_sample_that_is_too_large_is_refused(receiver: Receiver, clock: Clock) -> None:
    receiver.judge = lambda series: (413, "", {}) if key(0) in series else None
    refusals: list[Refusal] = []
    writer(receiver, clock, refusals).write([family("a", numbered(2, 2))])
    assert refusals == [Refusal("a", (("at", "0000"),), 2, "413 Request Entity Too Large")]
    assert set(receiver.stored) == {key(1)}


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 415])
def test_what_concerns_the_target_ends_the_run(receiver: Receiver, clock: Clock, status: int) -> None:
    receiver.judge = lambda series: (status, "go away", {})
    with pytest.raises(RemoteWriteError, match=f"{receiver.url}: {status} go away. 0 samples were written"):
        writer(receiver, clock, []).write([family("a", numbered(5))])
    assert len(receiver.requests) == 1


def test_a_target_that_refuses_everything_ends_the_run(
    receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remotewrite, "HOPELESS", 3)
    receiver.judge = lambda series: (400, "too old", {})
    refusals: list[Refusal] = []
    with pytest.raises(RemoteWriteError, match="the first 3 series were refused: 400 too old"):
        writer(receiver, clock, refusals).write([family("a", numbered(50))])
    assert [refusal.labels[0][1] for refusal in refusals] == ["0000", "0001", "0002"]


@pytest.mark.slow
def test_series_refused_after_others_were_taken_do_not(
    receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remotewrite, "HOPELESS", 3)
    receiver.judge = lambda series: None if series == [key(0)] else (400, "too old", {})
    assert writer(receiver, clock, []).write([family("a", numbered(50))]) == Sent(1, 49, 49)


def test_series_are_taken_one_after_another(receiver: Receiver, clock: Clock) -> None:
    """Memory does not grow with their number."""
    taken = 0

    def series() -> Iterator[Series]:
        nonlocal taken
        for one in numbered(50, 5000):
            taken += 1
            yield one

    seen: list[int] = []
    receiver.judge = lambda _: seen.append(taken)  # type: ignore[func-returns-value]
    many = family("a", [])
    writer(receiver, clock, []).write([Family(many.name, many.help, "", many.kind, True, series())])
    assert seen == list(range(2, 51, 2))


def test_special_values_arrive(receiver: Receiver, clock: Clock) -> None:
    writer(receiver, clock, []).write([family("a", [one_series("a", [(-5, math.inf), (0, -math.inf), (5, math.nan)])])])
    ((_, samples),) = receiver.stored.items()
    assert samples[:2] == [(-5, math.inf), (0, -math.inf)]
    assert math.isnan(samples[2][1])


def urls() -> Iterable[str]:
    return ["", "x", "ftp://a/", "http:///w", "http://a:x/", "http://a:99999/", "http://a/\n", "http://a/ b"]


@pytest.mark.parametrize("url", urls())
def test_bad_urls(url: str) -> None:
    with pytest.raises(ValueError, match=r"must be http|[Pp]ort"):
        target(url, {})
