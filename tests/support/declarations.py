"""Stores as programs can fill them, with the worst names, keys and labels that there are; as hypothesis strategies."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import strategies as st

from nativemtail import _core_testing
from nativemtail._core import FLOAT, INT, STRING, Metric, Store
from nativemtail._render import View
from nativemtail.compiler import compile_program
from nativemtail.http.messages import Request
from nativemtail.http.site import Site
from nativemtail.programs.loaded import Loaded, LoadError
from nativemtail.programs.metrics import check_kinds, make_metrics
from nativemtail.telemetry.model import RESERVED
from nativemtail.telemetry.selfmetrics import SelfMetrics

OWN = sorted({*RESERVED, "memory_usage", "scrape_latency", "scrape_latency_sum", "python_info", "connection_count"})
STEMS = ["x", "x-y", "x_y", "x_total", "x_created", "process_cpu_seconds", "mtail_lines", "connection", "a:b", "__x"]
SUFFIXES = ["", "", "", "_bucket", "_sum", "_count", "_total", "_created", "_info", "-sum", "_gsum"]
KEYS = ["a", "b", "le", "quantile", "prog", "instance", "job", "__name__", "__x", "x-y", "a b", "", "é", "1", "A", "_"]
LABELS = [
    b"",
    b"a",
    b'"',
    b"\\",
    b"\n",
    b"\\n",
    b"a\x00b",
    b"\xff",
    b"\xed\xa0\x80",
    b"+Inf",
    b"1",
    b"}",
    b"#",
    b"\r",
    "é".encode(),
]
NUMBERS = [0.0, -0.0, 1.0, -1.0, 0.1, 1e300, float("inf"), float("-inf"), float("nan")]

good = st.builds("".join, st.tuples(st.sampled_from(STEMS), st.sampled_from(SUFFIXES)))
bad = st.text(st.characters(codec="utf-8", exclude_characters='"\\\n'), min_size=1, max_size=5)
names = st.one_of(good, good, good, st.sampled_from(OWN), bad)
keys = st.one_of(
    st.lists(st.sampled_from(["a", "b", "le", "instance"]), max_size=3),
    st.lists(st.sampled_from(["a", "quantile", "le"]), max_size=2),
    st.lists(st.one_of(st.sampled_from(KEYS), names), max_size=3),
)
bounds = st.lists(
    st.one_of(st.integers(0, 20), st.sampled_from([0.5, 1e-9, 1e20, 0.1])), min_size=2, max_size=4, unique_by=float
)
labels = st.one_of(st.sampled_from(LABELS), st.binary(max_size=10))


@st.composite
def texts(draw: Callable[[st.SearchStrategy[Any]], Any]) -> bytes:
    """Declarations, and a use of each."""
    lines = []
    uses = []
    stem = draw(st.sampled_from(STEMS))
    for number in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["counter", "gauge", "timer", "histogram", "histogram", "text"]))
        name = stem + draw(st.sampled_from(SUFFIXES)) if draw(st.booleans()) else draw(names)
        parts = [kind, f'm{number} as "{name}"']
        by = draw(keys)
        if by:
            parts.append("by " + ", ".join(f'"{key}"' for key in by))
        if kind == "histogram":
            parts.append("buckets " + ", ".join(map(repr, sorted(draw(bounds)))))
        lines.append(" ".join(parts))
        use = {"counter": "++", "text": ' = "t"'}.get(kind, " = 1")
        uses.append(f"  m{number}{'[1]' * len(by)}{use}")
    return "\n".join([*lines, "/$/ {", *uses, "}", ""]).encode()


@st.composite
def stores(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Store:
    """Up to three programs that run together, and what they have counted."""
    running: list[Loaded] = []
    for name in draw(
        st.lists(st.sampled_from(["p", 'q"\\', "r\n", "s\ufffd", "é"]), min_size=1, max_size=3, unique=True)
    ):
        text = draw(texts())
        program = compile_program(f"{name}.mtail", text)
        loaded = Loaded(text, program, make_metrics(program.name, program.metrics))
        with contextlib.suppress(LoadError):  # one name of two kinds
            check_kinds(loaded, running)
            running.append(loaded)
    store = Store()
    for metric in (metric for loaded in running for metric in loaded.distinct):
        # The type that a metric has by its use, which the declarations alone do not tell.
        type = draw(st.sampled_from([INT, FLOAT])) if metric.type in (INT, FLOAT) else metric.type
        made = Metric(
            metric.name, metric.program, metric.kind, type, metric.keys, metric.source, metric.buckets, metric.limit
        )
        for _ in range(draw(st.integers(0, 3))):
            value = draw(st.integers(-5, 2**40)) if type == INT else draw(st.sampled_from(NUMBERS))
            time = draw(st.sampled_from([0, 1_780_000_000_000_000_000, -1, 2**63 - 1, -(2**63)]))
            _core_testing._store_set(made, [draw(labels) for _ in metric.keys], b"t" if type == STRING else value, time)
        store.add(made)
    return store


def site(store: Store, **options: Any) -> Site:
    return Site(view=partial(View, store), own=SelfMetrics(), host_name="vm", addresses=list, **options)


def page(store: Store, *, openmetrics: bool, **options: Any) -> bytes:
    """What `/metrics` answers."""
    accept = "application/openmetrics-text" if openmetrics else ""
    response = site(store, **options).answer(Request.parse("/metrics", accept, 10))
    assert response.status == 200, response.body
    return bytes(response.body)
