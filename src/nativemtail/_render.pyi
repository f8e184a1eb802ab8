"""Snapshots of the store as text: Prometheus, OpenMetrics, JSON.  No lock is held while text is written."""

from collections.abc import Iterable, Iterator
from typing import TypedDict, Unpack

from nativemtail._core import Metric, Row, Snapshot, Store

class JsonOptions(TypedDict, total=False):
    """What a page of metrics shows, and how."""

    emit_prog_label: bool
    prefix: str
    """Put before the name of each family."""
    names: frozenset[str] | None
    """The families to show, or names of their samples, without `prefix`; None shows all."""
    reserved: frozenset[str]
    """Sample names that metrics must not use, without `prefix`."""

class PrometheusOptions(JsonOptions, total=False):
    emit_timestamp: bool
    openmetrics: bool

class Page:
    """A snapshot, to be written out."""

    warnings: list[str]
    """What the last call of `prometheus` or `metrics_json` left out, and why, apart from what `left_out()` reports."""
    def __init__(self, snapshot: Snapshot) -> None: ...
    def json(self, grouped: bool) -> bytes:
        """Spec metrics-export.md §2; `grouped` is the one-shot form (an object by name), else an array."""
    def prometheus(self, *, strict: bool = ..., **options: Unpack[PrometheusOptions]) -> bytes:
        """Spec metrics-export.md §1, user metrics only; OpenMetrics without its last line, `# EOF`.

        Anything that would make the page invalid is left out.  `strict` (one-shot): raises ValueError for the errors of
        spec metrics-export.md §1.6, and for differing label names in one family.
        """
    def metrics_json(self, **options: Unpack[JsonOptions]) -> bytes:
        """JSON metrics: the content of the Prometheus page as one object by family, those without samples too."""

class View:
    """The store for one page of any size, in bounded memory.

    A small page shows one instant, as a `Snapshot` does, and is a single piece.  In a larger one, each piece shows its
    own instant, each series is consistent, and no memory is retained between pieces.  Together the pieces are what
    `Page` writes, but `json` and `rows` list series by slot, which is the order of creation until some are removed.
    """

    warnings: list[str]
    """What `prometheus` or `metrics_json` left out so far, as in `Page`."""
    def __init__(self, store: Store, *, whole: int = ..., piece: int = ...) -> None:
        """A page of up to `whole` bytes shows one instant; a larger one is made in pieces of about `piece` bytes."""
    def metrics(self) -> list[Metric]: ...
    def rows(self, metric: Metric) -> Iterator[Row]: ...
    def json(self) -> Iterator[bytes]: ...
    def prometheus(self, **options: Unpack[PrometheusOptions]) -> Iterator[bytes]: ...
    def metrics_json(self, *, more: bytes = ..., **options: Unpack[JsonOptions]) -> Iterator[bytes]:
        """`more`: members of the object to add at the end, as JSON."""

def left_out(
    metrics: Iterable[Metric], *, emit_prog_label: bool = ..., prefix: str = ..., reserved: frozenset[str] = ...
) -> dict[Metric, str]:
    """The metrics that a Prometheus page cannot contain, and why; `reserved` as for `Page.prometheus`."""

def number(value: float) -> str:
    """Go's shortest `%g`: scientific when the exponent is below -4 or above 5 (spec runtime.md §2.4)."""
