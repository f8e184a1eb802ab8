"""The body of a remote write is what protobuf's own library reads."""

from __future__ import annotations

import numpy as np
from histories import decoded, series_of
from hypothesis import given
from hypothesis import strategies as st

from nativemtail.compiler.abi import MetricKind
from nativemtail.history import writerequest
from nativemtail.history.series import Series

EDGES = [0, 127, 128, 2**14, 2**42 - 1, 2**42, 1_700_000_000_000, -1, -(2**63), 2**63 - 1]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def request(*series: Series) -> bytes:
    return writerequest.request(
        (writerequest.labels(one), writerequest.samples(one.times, one.values)) for one in series
    )


@given(
    st.lists(
        st.tuples(
            TEXTS.filter(bool),
            st.dictionaries(TEXTS.filter(bool).filter(lambda name: name != "__name__"), TEXTS, max_size=4),
            st.lists(
                st.tuples(st.sampled_from(EDGES) | st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)),
                max_size=30,
            ),
        ),
        max_size=4,
    )
)
def test_protobuf_reads_what_was_written(made: list[tuple[str, dict[str, str], list[tuple[int, float]]]]) -> None:
    series = [series_of(name, tuple(labels.items()), MetricKind.GAUGE, samples) for name, labels, samples in made]
    expected = []
    for name, labels, samples in made:
        pairs = [("__name__", name), *((key, value) for key, value in labels.items() if value)]
        expected.append((tuple(sorted(pairs, key=lambda pair: pair[0].encode())), samples))
    assert decoded(request(*series)) == expected


def test_labels_are_sorted_with_the_name_among_them() -> None:
    series = series_of("n", (("Z", "1"), ("a", "2"), ("le", "3"), ("empty", "")), MetricKind.GAUGE, [(0, 0.0)])
    assert decoded(request(series))[0][0] == (("Z", "1"), ("__name__", "n"), ("a", "2"), ("le", "3"))


def test_a_slice_of_the_samples() -> None:
    times = np.arange(100, dtype=np.int64) * 7
    series = Series("n", (), MetricKind.GAUGE, times[10:20], (times * 0.5)[10:20])
    assert decoded(request(series))[0][1] == [(7 * i, 3.5 * i) for i in range(10, 20)]
