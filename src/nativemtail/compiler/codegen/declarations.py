"""Declarations of metrics: creates the program's metrics, each once."""

from __future__ import annotations

from itertools import pairwise

from nativemtail.compiler import ast
from nativemtail.compiler.abi import MetricKind, ValueType
from nativemtail.compiler.codegen.emit import Emitter, type_name
from nativemtail.compiler.program import MetricDecl


class Declarations:
    def __init__(self, out: Emitter) -> None:
        self._out = out
        self._numbers: dict[int, int | None] = {}  # id of a declaration → metric; None: it had an error
        self._same: dict[tuple[object, ...], int] = {}

    def declare(self, decl: ast.VarDecl) -> None:
        text = type_name(decl.type)
        value_type = {"Float": ValueType.FLOAT, "String": ValueType.STRING}.get(text, ValueType.INT)
        if decl.kind == "histogram":
            value_type = ValueType.BUCKETS
        elif decl.kind == "text":
            value_type = ValueType.STRING
        self._numbers[id(decl)] = None
        if decl.kind == "counter" and not decl.keys and value_type == ValueType.STRING:
            self._out.ice(decl, f"Can't initialize to zero a counter of type {text}")
            return
        if decl.kind == "histogram" and not self._check_buckets(decl):
            return
        name = decl.exported or decl.name
        metric = MetricDecl(name, int(MetricKind[decl.kind.upper()]), int(value_type), tuple(decl.keys), str(decl.pos),
                            tuple(decl.buckets or ()), decl.limit, decl.hidden, decl.help,
                            decl.unit.value.decode() if decl.unit else "")  # fmt: skip
        self._numbers[id(decl)] = self._number(metric)

    def metric(self, target: ast.Index) -> int | None:
        """The number of the indexed metric; None, with an error reported, if it is not a metric."""
        base = target.base
        if not isinstance(base, ast.Id) or not isinstance(base.symbol, ast.VarDecl):
            return None
        number = self._numbers.get(id(base.symbol))
        if number is None:
            self._out.ice(base, f'No metric bound to identifier "{base.name}"')
        return number

    def is_histogram(self, target: ast.Index) -> bool:
        number = self.metric(target)
        return number is not None and self._out.program.metrics[number].type == ValueType.BUCKETS

    def _check_buckets(self, decl: ast.VarDecl) -> bool:
        bounds = decl.buckets or []
        if len(bounds) < 2:
            self._out.ice(decl, "a histogram need at least two boundaries")
            return False
        if any(hi <= lo for lo, hi in pairwise(bounds)):
            self._out.ice(decl, "buckets boundaries must be sorted")
            return False
        return True

    def _number(self, metric: MetricDecl) -> int:
        """Equal declarations make one metric, with the position and limit of the later one (successor.md §3.3).

        Hidden ones are not merged: they are not exported, and each is a separate variable, also per use of a decorator.
        """
        metrics = self._out.program.metrics
        number = fresh = len(metrics)
        if not metric.hidden:
            key = (metric.name, metric.kind, metric.type, metric.keys)
            number = self._same.setdefault(key, fresh)
        if number == fresh:
            metrics.append(metric)
        else:
            metrics[number] = metric
        return number
