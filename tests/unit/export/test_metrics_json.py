"""One page out of the user's metrics and our own, as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from families import RESERVED, own

from nativemtail import _core_testing
from nativemtail._core import GAUGE, INT, Metric, Store
from nativemtail._render import View
from nativemtail.export import metrics_json


def view(*values: int, whole: int = 1 << 20) -> View:
    """A store with a gauge of one value, or with nothing; `whole` 0 makes it a page of many pieces."""
    store = Store()
    for value in values:
        metric = Metric("g", "p.mtail", GAUGE, INT, source="p.mtail:1:7")
        store.add(metric)
        _core_testing._store_set(metric, [], value, 0)
    return View(store, whole=whole)


def page(user: View, families: list[Any], prefix: str = "") -> bytes:
    pieces = metrics_json.render(user, families, reserved=RESERVED, emit_prog_label=False, prefix=prefix)
    return b"".join(pieces)


@pytest.mark.parametrize("user", [view(), view(1), view(whole=0), view(1, whole=0)])
def test_json(user: View) -> None:
    found = json.loads(page(user, own(), "p_"))
    assert found.pop("p_g", {"value": 1})["value"] == 1
    assert found == {
        "p_mtail_lines_total": {"help": "lines", "type": "counter", "value": 7},
        "p_refused_total": {"help": "Refused.", "type": "counter", "value": 2},
        "p_room": {"help": "Room.", "type": "gauge", "value": {"name": {"/": 1.5, 'a"b': "+Inf"}}},
        "p_two": {"type": "gauge", "value": [{"a": "x", "b": "y", "@": 3}]},
        "p_latency": {
            "help": "Seconds.",
            "type": "histogram",
            "value": {"avg": 1.5, "bucket": [[0.5, 1], [1.0, 3]], "count": 4, "sum": 6},
        },
    }


@pytest.mark.parametrize("whole", [0, 1 << 20])
def test_json_of_the_users_alone(whole: int) -> None:
    assert page(view(1, whole=whole), []) == b'{"g":{"help":"defined at p.mtail:1:7","type":"gauge","value":1}}'
    assert page(view(whole=whole), []) == b"{}"
