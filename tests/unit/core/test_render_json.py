"""A snapshot as JSON in mtail's layout (spec metrics-export.md §2), and as JSON metrics."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import one, stored

from nativemtail import _core_testing
from nativemtail._core import BUCKETS, COUNTER, FLOAT, GAUGE, HISTOGRAM, INT, STRING, TEXT, TIMER, Metric, Store
from nativemtail._render import Page

NAN, INF = float("nan"), float("inf")

JSON_ARRAY = """[
  {
    "Name": "b",
    "Program": "p.mtail",
    "Kind": 2,
    "Type": 0,
    "Keys": [
      "x",
      "y"
    ],
    "LabelValues": [
      {
        "Labels": [
          "1",
          "2"
        ],
        "Value": {
          "Value": 5,
          "Time": 17
        }
      },
      {
        "Labels": [
          "0",
          "2"
        ],
        "Value": {
          "Value": -5,
          "Time": 18
        },
        "Expiry": 3600
      }
    ],
    "Source": "p.mtail:1:7",
    "Limit": -3
  },
  {
    "Name": "b",
    "Program": "q",
    "Kind": 1,
    "Type": 1,
    "LabelValues": [
      {
        "Value": {
          "Value": 0,
          "Time": 0
        }
      }
    ]
  },
  {
    "Name": "a-h",
    "Program": "p.mtail",
    "Kind": 5,
    "Type": 3,
    "LabelValues": [
      {
        "Value": {
          "Buckets": {
            "+Inf": 0,
            "1": 0,
            "1e+06": 1
          },
          "Count": 1,
          "Sum": 3,
          "Time": 19
        }
      }
    ],
    "Source": "p.mtail:2:11",
    "Buckets": [
      {
        "Min": "0",
        "Max": "1"
      },
      {
        "Min": "1",
        "Max": "1e+06"
      },
      {
        "Min": "1e+06",
        "Max": "+Inf"
      }
    ]
  },
  {
    "Name": "t",
    "Program": "q",
    "Kind": 4,
    "Type": 2,
    "Keys": [
      "k"
    ]
  }
]"""


def test_json_layout() -> None:
    metrics = [
        Metric("b", "p.mtail", GAUGE, INT, ("x", "y"), "p.mtail:1:7", limit=-3),
        Metric("a-h", "p.mtail", HISTOGRAM, BUCKETS, (), "p.mtail:2:11", (0, 1, 1e6)),
        Metric("b", "q", COUNTER, FLOAT),
        Metric("t", "q", TEXT, STRING, ("k",)),
        Metric("hidden", "q", COUNTER, INT, hidden=True),
    ]
    _core_testing._store_add(metrics[0], ("1", "2"), 5, 17)
    _core_testing._store_add(metrics[0], ("0", "2"), -5, 18)
    _core_testing._store_expire(metrics[0], ("0", "2"), 3600)
    _core_testing._store_set(metrics[1], (), 3.0, 19)
    page = Page(stored(*metrics).snapshot())
    assert page.json(False).decode() == JSON_ARRAY
    grouped = json.loads(page.json(True))
    assert list(grouped) == ["a-h", "b", "t"]
    assert [metric for family in grouped.values() for metric in family] == sorted(
        json.loads(JSON_ARRAY), key=lambda metric: metric["Name"]
    )
    assert page.json(True).startswith(b'{\n  "a-h": [\n    {\n      "Name": "a-h",\n')
    assert page.json(True).endswith(b'        "k"\n      ]\n    }\n  ]\n}')


@pytest.mark.parametrize("hidden", [False, True])
def test_empty_json(hidden: bool) -> None:
    store = stored(Metric("m", "p", COUNTER, INT, hidden=True)) if hidden else Store()
    page = Page(store.snapshot())
    assert (page.json(False), page.json(True), page.metrics_json()) == (b"[]", b"{}", b"{}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b'<a href="x">&\\', r'"\u003ca href=\"x\"\u003e\u0026\\"'),
        (b"\n\r\t\x00\x1f\x7f", '"\\n\\r\\t\\u0000\\u001f\x7f"'),
        ("ä😀\u2027\u2028\u2029\u202a".encode(), '"ä😀\u2027\\u2028\\u2029\u202a"'),
        (b"a\xffb\xe2\x82", r'"a\ufffdb\ufffd\ufffd"'),
        ("�".encode(), '"�"'),
        (b"", '""'),
    ],
)
def test_json_strings(text: bytes, shown: str) -> None:
    document = Page(one(TEXT, STRING, text).snapshot()).json(False).decode()
    assert f'"Value": {shown},' in document
    json.loads(document)


@given(st.binary(max_size=60))
@settings(max_examples=100)
def test_json_strings_mean_what_they_say(text: bytes) -> None:
    [metric] = json.loads(Page(one(TEXT, STRING, text).snapshot()).json(False))
    meant = "".join("�" if "\udc80" <= c <= "\udcff" else c for c in text.decode("utf-8", "surrogateescape"))
    assert metric["LabelValues"][0]["Value"]["Value"] == meant


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (NAN, '"NaN"'),
        (INF, '"+Inf"'),
        (-INF, '"-Inf"'),
    ],
)
def test_json_numbers(value: float, text: str) -> None:
    assert f'"Value": {text},' in Page(one(GAUGE, FLOAT, value).snapshot()).json(False).decode()
    histogram = Page(one(HISTOGRAM, BUCKETS, value, buckets=(1, 2)).snapshot()).json(False).decode()
    assert f'"Sum": {text if text != "-0" else "0"},' in histogram


# --- JSON metrics -----------------------------------------------------------------------------------------------


def test_metrics_json() -> None:
    metrics = [
        Metric("scalar", "p", COUNTER, INT, source="s"),
        Metric("one-label", "p", GAUGE, FLOAT, ("k",)),
        Metric("two", "p", TIMER, INT, ("b", "a"), source="s"),
        Metric("empty", "p", GAUGE, INT, ("a",), source="s"),
        Metric("h", "p", HISTOGRAM, BUCKETS, buckets=(1, 2)),
        Metric("t", "p", TEXT, STRING),
    ]
    _core_testing._store_set(metrics[1], ('x"<',), NAN)
    _core_testing._store_set(metrics[1], ("y",), 0.5)
    _core_testing._store_set(metrics[2], ("1", "2"), 2**60)
    _core_testing._store_set(metrics[4], (), 1.5)
    _core_testing._store_set(metrics[4], (), 7.5)
    page = Page(stored(*metrics).snapshot())
    assert page.metrics_json(emit_prog_label=False).decode() == (
        '{"empty":{"help":"defined at s","type":"gauge","value":null},'
        '"h":{"type":"histogram","value":{"avg":4.5,"bucket":[[1,0],[2,1]],"count":2,"sum":9}},'
        '"one_label":{"type":"gauge","value":{"k":{"x\\"\\u003c":"NaN","y":0.5}}},'
        '"scalar":{"help":"defined at s","type":"counter","value":0},'
        f'"two":{{"help":"defined at s","type":"gauge","value":[{{"a":"2","b":"1","@":{2**60}}}]}}}}'
    )
    document = json.loads(page.metrics_json(prefix="x_"))
    assert document["x_scalar"]["value"] == {"prog": {"p": 0}}
    assert document["x_one_label"]["value"][1] == {"k": "y", "prog": "p", "@": 0.5}


def test_metrics_json_of_mixed_label_names() -> None:
    metrics = [Metric("m", "p", COUNTER, INT, keys) for keys in ((), ("a",), ("b",))]
    for metric in metrics[1:]:
        _core_testing._store_add(metric, ("v",))
    document = json.loads(Page(stored(*metrics).snapshot()).metrics_json(emit_prog_label=False))
    assert document["m"]["value"] == [{"@": 0}, {"a": "v", "@": 1}, {"b": "v", "@": 1}]


def test_metrics_json_of_an_empty_histogram() -> None:
    metric = Metric("h", "p", HISTOGRAM, BUCKETS, buckets=(1, 2))
    document = json.loads(Page(stored(metric).snapshot()).metrics_json(emit_prog_label=False))
    assert document["h"]["value"] == {"avg": 0, "bucket": [[1, 0], [2, 0]], "count": 0, "sum": 0}
