"""Snapshots of the store as text: Prometheus, OpenMetrics, JSON.  No lock is held while it is made."""

from collections.abc import Iterable, Iterator

from nativemtail._core import Metric, Row, Snapshot, Store

class Page:
    """A snapshot, to be written out."""

    warnings: list[str]
    """What the last call of `prometheus` or `metrics_json` left out beside what `left_out` says, and why."""
    def __init__(self, snapshot: Snapshot) -> None: ...
    def json(self, grouped: bool) -> bytes:
        """Spec metrics-export.md §2; `grouped` is the one-shot form (an object by name), else an array."""
    def prometheus(
        self,
        *,
        emit_prog_label: bool = ...,
        emit_timestamp: bool = ...,
        prefix: str = ...,
        openmetrics: bool = ...,
        names: frozenset[str] | None = ...,
        reserved: frozenset[str] = ...,
        strict: bool = ...,
    ) -> bytes:
        """Spec metrics-export.md §1, user metrics only; the OpenMetrics form comes without its last line, `# EOF`.

        `names`: the families to show, or names of their samples, without `prefix`.
        `reserved`: names of samples that metrics cannot have, without `prefix`.
        What would make the page invalid is left out.  `strict`: where spec metrics-export.md §1.6 fails the page,
        and for differing label names in one family, raises ValueError (one-shot).
        """
    def metrics_json(
        self,
        *,
        emit_prog_label: bool = ...,
        prefix: str = ...,
        names: frozenset[str] | None = ...,
        reserved: frozenset[str] = ...,
    ) -> bytes:
        """JSON metrics: the content of the Prometheus page as one object by family, those without samples too."""

class View:
    """The store for one page of any size, in bounded memory.

    A small page shows one instant, as a `Snapshot` does, and comes in one piece.  Of a larger one each piece shows one
    instant, and each label set is whole; nothing is held between two pieces.  The pieces together are what `Page`
    writes, but for `json` and `rows` in order of the places of the label sets, which is that of creation until some go.
    """

    warnings: list[str]
    """What `prometheus` or `metrics_json` left out so far, as in `Page`."""
    def __init__(self, store: Store, *, whole: int = ..., piece: int = ...) -> None:
        """Up to `whole` bytes of a page show one instant, else it comes in pieces of about `piece` bytes."""
    def metrics(self) -> list[Metric]: ...
    def rows(self, metric: Metric) -> Iterator[Row]: ...
    def json(self) -> Iterator[bytes]: ...
    def prometheus(
        self,
        *,
        emit_prog_label: bool = ...,
        emit_timestamp: bool = ...,
        prefix: str = ...,
        openmetrics: bool = ...,
        names: frozenset[str] | None = ...,
        reserved: frozenset[str] = ...,
    ) -> Iterator[bytes]: ...
    def metrics_json(
        self,
        *,
        emit_prog_label: bool = ...,
        prefix: str = ...,
        names: frozenset[str] | None = ...,
        reserved: frozenset[str] = ...,
    ) -> Iterator[bytes]: ...

def left_out(
    metrics: Iterable[Metric], *, emit_prog_label: bool = ..., prefix: str = ..., reserved: frozenset[str] = ...
) -> dict[Metric, str]:
    """Those that Prometheus' page cannot have, and why; `reserved` as for `Page.prometheus`."""

def number(value: float) -> str:
    """Go's shortest `%g`: scientific when the exponent is below -4 or above 5 (spec runtime.md §2.4)."""
