"""Semantic errors and what the checker leaves in the tree (spec language.md §4–§6, §9; successor.md §2).

The texts and positions were seen with real mtail where it agrees with the target.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from nativemtail.compiler import Options, ast, checker, fold, parser
from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.types import BOOL, FLOAT, INT, STRING, Variable, resolve


def check(source: str, options: Options | None = None) -> tuple[ast.Block, list[str]]:
    root = fold.fold("p", parser.parse("p", source.encode()))
    notes = checker.check("p", root, options or Options())
    return root, [text for _, text in notes]


def errors(source: str, options: Options | None = None) -> list[str]:
    with pytest.raises(CompileError) as caught:
        check(source, options)
    return str(caught.value).splitlines()


def nodes(root: ast.Block) -> Iterator[ast.Node]:
    stack: list[object] = [root]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(reversed(item))
        elif isinstance(item, ast.Node):
            yield item
            fields = [getattr(item, name) for cls in type(item).__mro__ for name in getattr(cls, "__slots__", ())]
            skip: tuple[type, ...] = (ast.Pattern,) if isinstance(item, ast.Capref) else ()
            if isinstance(item, (ast.Id, ast.DecoUse)):
                skip = (ast.VarDecl, ast.ConstDecl, ast.DecoDecl)
            stack.extend(value for value in reversed(fields) if not isinstance(value, skip or (str,)))


def only(root: ast.Block, kind: type[ast.Node]) -> list[ast.Node]:
    return [node for node in nodes(root) if type(node) is kind]


BOOLEAN = "\tTry using comparison operators to make the condition explicit."
DELETE_THIS = "\tTry deleting from a dimensioned metric with this as an index."
DELETE_INDEX = "\tTry deleting an index from this dimensioned metric."
NEXT = "\tTry adding a `next' statement inside the `{}' block."
LAYOUT = "\tRefer to the documentation at https://golang.org/pkg/time/#pkg-constants for advice."
UNDERSCORE = '\n\tNo `_\' can be read: capture date and time each, and write strptime($date + " " + $time, …).'


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("FOO++\nfoo++\nF_1++\né++\n", [
            "p:1:1-3: Identifier `FOO' not declared.", "\tTry adding `const FOO /.../' earlier in the program.",
            "p:2:1-3: Identifier `foo' not declared.", "\tTry adding `counter foo' to the top of the program.",
            "p:3:1-3: Identifier `F_1' not declared.", "\tTry adding `const F_1 /.../' earlier in the program.",
            "p:4:1-2: Identifier `é' not declared.", "\tTry adding `counter é' to the top of the program."]),
        ("len($) == 1 {}", [
            "p:1:5: Capture group `$' was not defined by a regular expression visible to this scope.",
            "\tCheck that there are at least  pairs of parentheses."]),
        ("/(a)/ {\n /b/ { $1 == $n {} }\n}\n$1 == 1 {}", [
            "p:2:14-15: Capture group `$n' was not defined by a regular expression visible to this scope.",
            "\tTry using `(?P<n>...)' to name the capture group.",
            "p:4:1-2: Capture group `$1' was not defined by a regular expression visible to this scope.",
            "\tCheck that there are at least 1 pairs of parentheses."]),
        ("def d { /(x)(?P<y>y)/ { next } }\ntext t\n@d { t = $2\n}", [
            "p:3:10-11: Capture group `$2' was not defined by a regular expression visible to this scope.",
            "\tCheck that there are at least 2 pairs of parentheses."]),
        ("@d { x++\n }", ["p:1:1-8: Decorator `@d' is not defined.",
                           "\tTry adding a definition `def d {}' earlier in the program."]),
        ("def d { @d { next } }", [
            "p:1:9-17: Decorator `@d' is not completely defined yet.", "\tTry removing @d from here.",
            "p:1:9-17: No symbols found in decorator `@d'.", NEXT]),
        ("def d { }", ["p:1:1-3: No symbols found in decorator `@d'.", NEXT,
                         "p:1:1-3: Declaration of decorator `d' here is never used."]),
        ("def d { /x/ { next } next }\n@d { }", ["p:1:22-25: Can't use `next' statement twice in a decorator."]),
        ("next", ["p:1:1-4: Can't use `next' outside of a decorator."]),
        ("counter d\ndef d { next }\nd++\n@d { }", [
            "p:2:1-12: Redeclaration of decorator `@d' previously declared at p:1:9",
            "p:4:1-2: Decorator `@d' is not defined.", "\tTry adding a definition `def d {}' earlier in the program."]),
        ("gauge a\ngauge a", ["p:2:7: Redeclaration of variable `a' previously declared at p:1:7",
                               "p:1:7: Declaration of variable `a' here is never used."]),
        ("const A /x/\nconst A /y/\nA {}", [
            "p:2:7: Redefinition of pattern constant `A' previously defined at p:1:7"]),
        ("counter c\n/x/ {\n counter d\n}", ["p:3:10: Declaration of variable `d' here is never used.",
                                                 "p:1:9: Declaration of variable `c' here is never used."]),
        ("const A /a/ + B\nconst B /b/\nB {}", [
            "p:1:15: Identifier `B' not declared.", "\tTry adding `const B /.../' earlier in the program.",
            "p:1:7: Declaration of named pattern constant `A' here is never used."]),
        ("const A /a/ + A\nA {}", ["p:1:15: Can't evaluate pattern fragment `A' here.",
                                    "\tTry defining it earlier in the program."]),
        ("const A //\nA {}\n/b/ + A {}", ["p:2:1: Can't evaluate pattern fragment `A' here.",
                                         "\tTry a pattern that is not empty.",
                                         "p:3:7: Can't evaluate pattern fragment `A' here.",
                                         "\tTry a pattern that is not empty."]),
        ("const A // + //\n\"x\" =~ A {}", ["p:2:8: Can't evaluate pattern fragment `A' here.",
                                             "\tTry a pattern that is not empty."]),
        ("const A //\nconst B /b/ + A\nB {}", ["p:2:15: Can't evaluate pattern fragment `A' here.",
                                              "\tTry a pattern that is not empty."]),
        ("counter c\nc + /a/ {}", ["p:2:1: Can't append variable `c' to this pattern.",
                                     "\tTry using a `const'-defined pattern fragment."]),
        ("const A /a/\ncounter c\nA + c {}", ["p:3:5: Can't append variable `c' to this pattern.",
                                                "\tTry using a `const'-defined pattern fragment."]),
        ("const A /a(/\nA {}\n/b/ + A {}", ["p:2:1: error parsing regexp: missing closing ): `a(`",
                                             "p:3:1-7: error parsing regexp: missing closing ): `ba(`"]),
        ("\"x\" =~ \"a(\" {}\n\"x\" !~ (\"a\" + 1 * len(\"b\")) {}", [
            "p:1:8-11: error parsing regexp: missing closing ): `a(`",
            "p:2:15-26: internal error: Invalid operator in concatenation: *"]),
        (f"\"x\" =~ \"{'y' * 1025}\" {{}}", [
            "p:1:8-1034: Exceeded maximum regular expression pattern length of 1024 bytes with 1025.",
            "\tExcessively long patterns are likely to cause compilation and runtime performance problems."]),
        ("counter c buckets 1, 2\nc++\n", ["p:1:9: Can't specify buckets for non-histogram metric `c'."]),
        ("/(?P<x>a)/ && P {}", ["p:1:15: Identifier `P' not declared.",
                                 "\tTry adding `const P /.../' earlier in the program."]),
        ("const P /(?P<y>b)/\n/(?P<x>a)/ && P {}", [
            "p:2:15: Redeclaration of capture group `1' previously declared at p:2:1-10"]),
        ("const P /(a)(?P<x>b)/\n/(?P<x>a)/ && P {}", [
            "p:2:15: Redeclaration of capture group `x' previously declared at p:2:1-10"]),
    ],
)  # fmt: skip
def test_names(source: str, expected: list[str]) -> None:
    assert errors(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("gauge g\ng[1] = 1\n", ["p:2:1-3: Index taken on unindexable expression"]),
        ("gauge g by a, b\ng\ng[1] = 1\ng[1, 2][3] = 1\n", [
            "p:2:1: Not enough keys for indexed expression: expecting 2, received 0",
            "p:3:1-3: Not enough keys for indexed expression: expecting 2, received 1",
            "p:4:1-9: Too many keys for indexed expression: expecting 2, received 3."]),
        ('gauge g by x\ng["a"] = 1\ng[settime(1)] = 1\n', ["p:3:1-12: type mismatch; expected String received None"]),
        ("42 {}", ["p:1:1-2: Can't interpret Int as a boolean expression here.", BOOLEAN]),
        ('len("a") {}', ["p:1:1-8: Can't interpret Int as a boolean expression here.", BOOLEAN]),
        ("/(a)/ { $1 {} }", ["p:1:9-10: Can't interpret String as a boolean expression here.", BOOLEAN]),
        ("1 + 1 {}", ["p:1:1-5: Can't interpret Int as a boolean expression here.", BOOLEAN]),
        ("settime(1) + 1 > 2 {}", [
            'p:1:1-14: type mismatch: can\'t apply PLUS to LHS of type "None" with RHS of type "Int".']),
        ("settime(1) == 1 {}", [
            'p:1:1-15: type mismatch: can\'t apply EQ to LHS of type "None" with RHS of type "Int".']),
        ('settime(1) << "a" {}', ["p:1:1-17: Integer types expected for bitwise SHL, got None and String"]),
        ("1 && settime(1) {}", ["p:1:1-15: Boolean types expected for logical AND, got Int and None"]),
        ('"a" !~ settime(1) {}', [
            "p:1:1-17: Parameter to NOT_MATCH has a type mismatch; expected Pattern received None."]),
        ("~settime(1) {}", ["p:1:2-11: type mismatch; expected Int received None for `~' operator."]),
        ("text t\nt++\n", ["p:2:1: type mismatch: expecting an Int for INC, not String."]),
        ("gauge g\ng = 1.5\ng--\n", ["p:3:1: type mismatch: expecting an Int for DEC, not Float."]),
        ("gauge g\n/a/ { g = $0\ng++\n}", ["p:3:1-3: type mismatch; expected Int received None"]),
        ("gauge g\n1++\ng++++\n(g + 1)++\n", [
            "p:2:1: Can't assign to expression; expecting a variable here.",
            "p:3:1-3: Can't assign to expression; expecting a variable here.",
            "p:4:2-6: Can't assign to expression; expecting a variable here."]),
        ('gauge g\n1 = 2\nlen("a") = 2\ng++ = 1\n', [
            "p:2:1: Can't assign to expression on left; expecting a variable here.",
            "p:3:1-8: Can't assign to expression on left; expecting a variable here.",
            "p:4:1-3: Can't assign to expression on left; expecting a variable here."]),
        ('const A /a/\nA["b"] = 1\n', ["p:2:1: Can't assign to expression on left; expecting a variable here."]),
        ("text t\n/a/ { t = $0\n}", ["p:2:7-12: internal error; expected String received incomplete type"]),
        ("gauge g\ng = g / 0\n", ["p:2:5-9: Can't divide by zero."]),
        ("counter c\ndel c", ["p:2:5: Cannot delete this.", DELETE_INDEX]),
        ('counter c by x\ndel c["a"]++\ndel 1', [
            "p:2:5-12: Cannot delete this.", DELETE_THIS, "p:3:5: Cannot delete this.", DELETE_THIS]),
    ],
)  # fmt: skip
def test_types(source: str, expected: list[str]) -> None:
    assert errors(source) == expected


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("int()", "1:1-5: call to `int': type mismatch; expected incomplete type received incomplete type"),
        ("float(1, 2)", "1:1-11: call to `float': type mismatch; expected incomplete type received incomplete type"),
        ("len()", "1:1-5: call to `len': type mismatch; expected String→Int received incomplete type"),
        ('subst("a")', (
            "1:1-10: call to `subst': type mismatch; expected Pattern→String→String→String received incomplete type"
        )),
        ("timestamp(1)", "1:1-12: call to `timestamp': type mismatch; expected → Int received incomplete type"),
        ("len(settime(1))", "1:5-15: call to `len': type mismatch; expected String received None"),
        ("tolower(1)", "1:9: Expecting a String for argument 1 of tolower(), not Int."),
        ('strptime("a", 2006)', "1:15-18: Expecting a format string for argument 2 of strptime(), not Int."),
        ('strptime("a", "2" + "0")', "1:1-24: Internal error: exprlist child is not string literal."),
        (
            'strptime("x", "2019-12-31")',
            f'1:15-26: invalid time format string "2019-12-31"\n{LAYOUT}\n\tWrite "2006-01-02".',
        ),
        ('strptime("x", "2019_12_31")', '1:15-26: invalid time format string "2019_12_31"\n' + LAYOUT + UNDERSCORE),
        ("defined()", "1:1-9: call to `defined': type mismatch; expected incomplete type received incomplete type"),
        ("defined(1)", "1:9: defined() expects a capture group reference as its argument"),
    ],
)  # fmt: skip
def test_calls(call: str, expected: str) -> None:
    assert errors(f"{call}\n") == f"p:{expected}".splitlines()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("begin { /x/ {\n} }", "1:9-13"),
        ("const A /x/ begin { A {\n} }", "1:21"),
        ("const A /x/ begin { A + /b/ {\n} }", "1:21-29"),
    ],
)
def test_begin_refuses_patterns(source: str, expected: str) -> None:
    assert errors(source) == [f"p:{expected}: Can't use pattern matching inside a BEGIN block"]


def test_begin_refuses_groups() -> None:
    assert errors("begin { /x/ && len($1) == 1 {} }") == [
        "p:1:20-21: Can't use capture group references inside a BEGIN block"
    ]


@pytest.mark.parametrize(
    "source",
    [
        "gauge g\ng - g {}\ng++ {}\n~~g {}\n1 & 1 {}",
        "gauge a\ngauge b\na + b {}",
        "/(?P<a>x)(?P<a>y)/ { $a == $2 {} }",
        "const A /x/\nA\n~A {}",
        "const A /x/\nconst B A\nB + A && A || 1 == 1 {}",
        "bool(1) {}\n/(a)/ { defined($1) {} ~defined($0) {} }",
        "counter foo\n/(?P<foo>a)/ { foo++\n}",
        'text t\nt = subst(/(a)/, "b", t)\nt = subst(/(c)/, "b", t)\n',
        "def d { /(x)(?P<y>y)/ { next } }\ntext t\n@d { t = $1 + $y\n}",
        "def d { def e { next } @e { next } }\n@d { }",
        "def d { counter c\n/a/ { next } c++\n}\n@d { c++\n}",
        "const P /(b)/\n/(a)/ && $1 =~ /(c)/ && P {}",
    ],
)
def test_accepted(source: str) -> None:
    check(source)


def test_text_argument_of_subst_declares_no_groups() -> None:
    source = 'text t\nt = subst(/(a)/, "b", "c")\nt = $1\n'
    assert errors(source)[0].startswith("p:3:5-6: Capture group `$1' was not defined")


def test_references_are_bound() -> None:
    root, notes = check("counter c by k\nconst A /b(\\d+)/\n/(?P<n>a)(x)/ && A { c[$n + $1 + $2]++\n}")
    first, second = [node for node in only(root, ast.Pattern)[1:] if isinstance(node, ast.Pattern)]
    bound = {ref.name: ref for ref in only(root, ast.Capref) if isinstance(ref, ast.Capref)}
    assert (first.text, second.text) == (b"(?P<n>a)(x)", rb"b(\d+)")
    assert (bound["n"].pattern, bound["n"].group) == (first, 1)
    assert (bound["1"].pattern, bound["1"].group) == (second, 1)
    assert (bound["2"].pattern, bound["2"].group) == (first, 2)
    assert bound["1"].type is STRING
    assert notes == []


def test_a_constant_alone_and_a_metric_alone() -> None:
    root, _ = check("const A /x/\ngauge g\nA && g == 1 {}")
    cond = root.stmts[-1]
    assert isinstance(cond, ast.Cond)
    assert isinstance(cond.cond, ast.Binary)
    assert isinstance(cond.cond.lhs, ast.Pattern)
    index = only(root, ast.Index)[0]
    assert isinstance(index, ast.Index)
    assert index.keys == []
    assert isinstance(index.base, ast.Id)
    assert isinstance(index.base.symbol, ast.VarDecl)


def test_names_that_begin_a_condition() -> None:
    chain = "&& 1 == 1 || 2 == 2 {}"
    root, _ = check(f"const A /x/\nA + A {chain}")
    cond = root.stmts[-1]
    assert isinstance(cond, ast.Cond)
    assert isinstance(cond.cond, ast.Binary)
    assert cond.cond.op == "&&"
    assert isinstance(cond.cond.lhs, ast.Pattern)
    assert cond.cond.lhs.text == b"xx"
    root, _ = check(f"gauge a\na + a {chain}")
    cond = root.stmts[-1]
    assert isinstance(cond, ast.Cond)
    assert isinstance(cond.cond, ast.Binary)
    assert cond.cond.op == "||"


@pytest.mark.parametrize(
    ("use", "type_"),
    [
        ("g = 1", INT),
        ("g = 1.5", FLOAT),
        ('g = "a"', STRING),
        ("g++", INT),
        ("g += 2", INT),
        ("g = g + 1.5", FLOAT),
        ('g = g + "a"', STRING),
        ("g = len(g)", STRING),
        ("g = 1\ng = 1.5", INT),
        ("g = 1 == 1", BOOL),
        ("h = g\nh = 1.5", FLOAT),
    ],
)
def test_the_first_use_gives_a_metric_its_type(use: str, type_: object) -> None:
    root, _ = check(f"gauge g\ngauge h\nh\n{use}\n")
    decl = root.stmts[0]
    assert isinstance(decl, ast.VarDecl)
    assert decl.type is type_


def test_a_metric_without_a_use_that_tells_stays_open() -> None:
    root, _ = check("gauge g\ng\ntext t\nt\n")
    untyped, text = only(root, ast.VarDecl)
    assert isinstance(untyped, ast.VarDecl)
    assert isinstance(text, ast.VarDecl)
    assert isinstance(untyped.type, Variable)
    assert text.type is STRING


def test_conversions() -> None:
    root, _ = check("/(\\d+) (\\S+)/ { $1 + $2 == 1.5 {} 1 & $2 {} }")
    convs = [node for node in only(root, ast.Conv) if isinstance(node, ast.Conv)]
    kinds = [(type(conv.operand).__name__, conv.type and resolve(conv.type)) for conv in convs]
    assert kinds == [("Capref", STRING), ("FloatLit", STRING)]


def test_unused_groups_are_noted() -> None:
    _, notes = check("/(a)(?P<x>b)(c)/ { $3 == $1 {} }")
    assert notes == ["capture group reference `x' at p:1:1-16 appears to be unused"] * 2


@pytest.mark.parametrize(
    ("operands", "position"), [(97, None), (98, ":0:0"), (99, "p:4:5"), (100, "p:4:5-7"), (5_000, "p:4:5-9807")]
)
def test_recursion_depth(operands: int, position: str | None) -> None:
    source = f"gauge g\ngauge h\nh = 0\ng = {'+'.join(['h'] * operands)}\n"
    if position is None:
        check(source)
    else:
        assert errors(source) == [f"{position}: Expression exceeded maximum recursion depth of 100"]


@pytest.mark.slow
def test_depth_beyond_pythons_own() -> None:
    check("gauge h\n" + "+".join(["h"] * 2_500) + " > 1 {}", Options(max_recursion_depth=3_000))


def test_pattern_length() -> None:
    source = "const A /abcdefgh/\nA {}\nA + /ij/ {}\nA + /ijk/ {}"
    assert errors(source, Options(max_regexp_length=10)) == [
        "p:4:1-9: Exceeded maximum regular expression pattern length of 10 bytes with 11.",
        "\tExcessively long patterns are likely to cause compilation and runtime performance problems.",
    ]


def test_doubling_constants_end() -> None:
    lines = ["const A0 /aaaa/", *(f"const A{i + 1} A{i} + A{i}" for i in range(2_000)), "A2000 {}"]
    assert "with 9223372036854775807." in errors("\n".join(lines))[0]


@pytest.mark.slow
def test_decorators_of_decorators_end() -> None:
    defs = [f"def d{i} {{ {f'@d{i - 1}' if i else '1 == 1'} {{ next }} }}\n" for i in range(1_500)]
    start = time.process_time()
    assert errors("".join(defs) + "@d1499 {" + "x++\n" * 1_000 + "}")
    assert time.process_time() - start < 30
