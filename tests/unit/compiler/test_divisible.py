"""Which programs can be divided: one reason for each place where one cannot."""

import pytest

from nativemtail.compiler.divisible import How, compile_program, how_kept

TIME = '/^(?P<t>\\S+) (?P<k>\\w+) (?P<n>\\d+) (?P<f>\\d+\\.\\d+)/ {\n  strptime($t, "2006-01-02T15:04:05Z07:00")\n'


def reasons(declarations, actions):
    """Of a program whose actions are on its fourth line and after."""
    _, found = compile_program("p.mtail", f"{declarations}\n{TIME}  {actions}\n}}\n".encode())
    return [str(reason) for reason in found]


@pytest.mark.parametrize(
    ("declarations", "actions"),
    [
        ("counter c", "c++"),
        ("counter c by k", "c[$k]++"),
        ("counter c by k", "c[$k] += $n"),
        ("counter c by k", "c[$k] += $f"),
        ("gauge g", "g++\n  g -= $n"),
        ("gauge g by k", "g[$k] = $f"),
        ("timer g by k", "g[$k] = $f"),
        ("histogram h by k buckets 1, 2, 4", "h[$k] = $f"),
        ("counter c\ngauge g", 'c++\n  g = strtol("10", 10)'),
        ("hidden counter c", "c++"),
        ("counter c", '$k == "a" && $n > 3 { c++ }'),
        ("counter c by k", "c[getfilename()]++"),
    ],
)
def test_programs_that_only_add_or_assign_are_divisible(declarations, actions):
    assert reasons(declarations, actions) == []


@pytest.mark.parametrize(
    ("declarations", "actions", "expected"),
    [
        ("counter c\ncounter d", "c > 3 { d++ }\n  c++", ["p.mtail:5:3 the value of c is read"]),
        ("counter c\ngauge g", "g = c\n  c++", ["p.mtail:5:7 the value of c is read"]),
        ("hidden gauge x\ncounter c by k", "x = $n\n  c[x]++", ["p.mtail:6:5 the value of hidden x is read"]),
        ("hidden gauge x", "x = $n\n  settime(x)", ["p.mtail:5:11 the value of hidden x is read"]),
        ("counter c by k", "del c[$k]", ["p.mtail:4:3 del removes series of c"]),
        ("counter c by k", "del c[$k] after 1h", ["p.mtail:4:3 del removes series of c"]),
        ("counter c by k limit 10", "c[$k]++", ["p.mtail:1:9 limit removes series of c"]),
        ("text t", "t = $k", ["p.mtail:1:6 the text t is what was written last"]),
        ("counter c", "c = $n", ["p.mtail:4:3 the counter c is assigned"]),
        (
            "gauge g",
            "g = 5\n  g++\n  g -= 1",
            [
                "p.mtail:5:3 g is changed from its value, and is also assigned",
                "p.mtail:6:3 g is changed from its value, and is also assigned",
            ],
        ),
        ("counter c\ngauge g", "g = c++", ["p.mtail:5:7 the value of c++ is used"]),
        ("counter d", "d++\n  d += d", ["p.mtail:5:8 the value of d is read"]),
        ("counter c\nbegin { c++ }", "c++", ["p.mtail:2:9 begin changes c"]),
        (
            "counter c\ncounter d by k",
            "c > 3 { d[$k]++ }\n  del d[$k]",
            ["p.mtail:5:3 the value of c is read", "p.mtail:6:3 del removes series of d"],
        ),
    ],
)
def test_each_place_has_its_reason(declarations, actions, expected):
    found = reasons(declarations, actions)
    assert [reason.split("-")[0] for reason in found] == expected


def test_what_decorators_and_included_blocks_do_counts_too():
    source = b"gauge g\ncounter c\ndef d {\n  g > 1 {\n    next\n  }\n}\n@d {\n  c++\n}\n"
    _, found = compile_program("p.mtail", source)
    assert [str(reason) for reason in found] == ["p.mtail:4:3 the value of g is read"]


def test_how_writes_are_kept():
    declarations = "counter c\ncounter f\ngauge g\ngauge a\nhistogram h buckets 1, 2\nhidden counter x\n"
    actions = "c++\n  f += $f\n  g++\n  a = $n\n  h = $f\n  x++"
    program, _ = compile_program("p.mtail", f"{declarations}{TIME}  {actions}\n}}\n".encode())
    alone = [[at] for at in range(len(program.metrics))]
    hows, kept = how_kept(program, alone, in_order=False)
    assert hows == [How.SUM, How.EXACT, How.SUM, How.LATEST, How.OBSERVED, How.NOT]
    assert kept == {0, 1, 2, 3, 4}
    hows, kept = how_kept(program, alone, in_order=True)
    assert hows == [How.LATEST, How.LATEST, How.LATEST, How.LATEST, How.OBSERVED, How.NOT]
    assert kept == set(range(6))


def test_declarations_of_one_metric_are_kept_alike():
    program, _ = compile_program("p.mtail", b"gauge g\n/(\\d+)/ {\n  g = $1\n}\n")
    hows, _ = how_kept(program, [[0]], in_order=False)
    assert hows == [How.LATEST]
