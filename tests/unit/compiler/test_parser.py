"""Trees, positions and syntax errors (spec language.md §3, successor.md §2), as real mtail was seen to give them."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativemtail.compiler import ast, dump, parser
from nativemtail.compiler.errors import CompileError


def errors(source: str) -> list[str]:
    with pytest.raises(CompileError) as caught:
        parser.parse("p", source.encode())
    return str(caught.value).splitlines()


def shape(source: str) -> str:
    """The expression of the first statement, every operator in parentheses."""
    stmt = parser.parse("p", source.encode()).stmts[0]
    assert isinstance(stmt, (ast.ExprStmt, ast.Cond))
    expr = stmt.expr if isinstance(stmt, ast.ExprStmt) else stmt.cond
    assert expr is not None
    return written(expr)


def written(node: ast.Expr) -> str:
    if isinstance(node, ast.Binary):
        return f"({written(node.lhs)} {node.op} {written(node.rhs)})"
    if isinstance(node, ast.Unary):
        return f"{node.op}({written(node.operand)})"
    if isinstance(node, ast.Index):
        return f"{written(node.base)}[{' '.join(map(written, node.keys))}]"
    if isinstance(node, ast.Call):
        return f"{node.name}({' '.join(map(written, node.args))})"
    if isinstance(node, ast.Pattern):
        return "<" + " ".join(map(written, node.parts)) + ">"
    if isinstance(node, ast.RegexLit):
        return f"/{node.text.decode()}/"
    if isinstance(node, (ast.Id, ast.Capref)):
        return node.name
    assert isinstance(node, (ast.IntLit, ast.FloatLit, ast.StringLit))
    return node.value.decode() if isinstance(node.value, bytes) else str(node.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 2 * 3 ** 2\n", "(x = ((2 * 3) ** 2))"),
        ("x = 2 ** 3 ** 2\n", "(x = ((2 ** 3) ** 2))"),
        ("x += 1 + 2 * 3 << 4 < 5 & 6 && 7\n", "(x += (((((1 + (2 * 3)) << 4) < 5) & 6) && 7))"),
        ("x = 1 && 2 || 3 && 4\n", "(x = (((1 && 2) || 3) && 4))"),
        ("x = 1 +\n 2\n", "(x = (1 + 2))"),
        ("x = (1 + 2) * 3\n", "(x = ((1 + 2) * 3))"),
        ("~x++ {}", "~(++(x))"),
        ("~~x = 1\n", "(~(~(x)) = 1)"),
        ("x++ ++ {}", "++(++(x))"),
        ("x[1][2, $a]++\n", "++(x[1 2 a])"),
        ("c[/a/ + B, x =~ /c/] = 1\n", "(c[</a/ B> (x =~ </c/>)] = 1)"),
        ('subst(/a/, "b", "c") == "d" {}', "(subst(</a/> b c) == d)"),
        ("x =~ /a/ + B + /c/ && y {}", "((x =~ </a/ B /c/>) && y)"),
        ("x =~ (1 =~ 2) {}", "(x =~ (1 =~ 2))"),
        ("x =~ A + /b/ {}", "(x =~ <A /b/>)"),
        ("x =~ A[1] {}", "(x =~ A[1])"),
        ("/a/ && x || y {}", "(</a/> && (x || y))"),
        ("/a/ + B +\n /c/ {}", "</a/ B /c/>"),
        ("A && x || y {}", "((A && x) || y)"),
        ("A + B {}", "<A B>"),
        ("A + B +\n/c/ || x {}", "(<A B /c/> || x)"),
        ("a + b > 5 {}", "((a + b) > 5)"),
        ("a + b * 2 {}", "(a + (b * 2))"),
        ("a + b[1] + c {}", "((a + b[1]) + c)"),
        ("a + b + 1 {}", "((a + b) + 1)"),
        ("(a + b) {}", "<a b>"),
        ("/a/ && /b/ || x {}", "((</a/> && </b/>) || x)"),
        ("/a/ && x || /b/ {}", "((</a/> && x) || </b/>)"),
        ("/a/ && x || !y {}", "((</a/> && x) || !(y))"),
        ("(/a/ && x) || y {}", "((</a/> && x) || y)"),
        ("x == 1 && /a/ + B && C + D {}", "(((x == 1) && </a/ B>) && <C D>)"),
        ("x && A + b * 2 {}", "(x && (A + (b * 2)))"),
        ("!x > 5 && !!y =~ /a/ {}", "(!((x > 5)) && !(!((y =~ </a/>))))"),
        ("!/a/ + B {}", "!(</a/ B>)"),
        ("x = -y ** -2 - -3 -4\n", "(x = (((-(y) ** -2) - -3) - 4))"),
        ("x[a -1, -~b--]++ -1 {}", "(++(x[(a - 1) -(~(--(b)))]) - 1)"),
        ("a + b -1 {}", "((a + b) - 1)"),
        ("x -= 1\n", "(x -= 1)"),
        ("x-=-1\n", "(x -= -1)"),
        ('x[\n1,\n\n2\n] = (\n1 + len(\n"a"\n)\n)\n', "(x[1 2] = (1 + len(a)))"),
        ("x = 1 # a\n+ 2", "(x = (1 + 2))"),
        ("x = y # a\n/ z / 2\n", "(x = ((y / z) / 2))"),
        ("x = y # a\n/ z / # b\n {}", "(x = y)"),
        ("x = a + b # a\n/ z / && c {}", "(x = <a b>)"),
        ("defined($x) {}", "defined(x)"),
        ("defined++\n", "++(defined)"),
    ],
)
def test_expressions(source: str, expected: str) -> None:
    assert shape(source) == expected


STATEMENTS = """\
( ;;Block @ p:1:9
  ( ;;VarDecl @ p:1:9 counter "c" by "a", "b" as "x" limit 3)
  ( ;;VarDecl @ p:2:14-18 hidden gauge "g-h")
  ( ;;VarDecl @ p:3:11 histogram "h" buckets 1.0, 2.5)
  ( ;;ConstDecl @ p:4:7 "A"
    ( ;;Pattern @ p:5:1-3
      ( ;;RegexLit @ p:5:1-3 /x/)))
  ( ;;DecoDecl @ p:7:3-18 "d"
    ( ;;Block @ p:7:3-18
      ( ;;Cond @ p:7:3-18
        ( ;;Pattern @ p:7:3-16
          ( ;;RegexLit @ p:7:3-16 /a (?P<n>\\d+)/))
        ( ;;Block @ p:8:5-8
          ( ;;Next @ p:8:5-8))
        ( ;;Block @ p:10:5-8
          ( ;;Stop @ p:10:5-8)))))
  ( ;;DecoUse @ p:15:3-5 "d"
    ( ;;Block @ p:14:3-14
      ( ;;ExprStmt @ p:14:3-14
        ( ;;Unary @ p:14:3-14 ++
          ( ;;Index @ p:14:3-11
            ( ;;Id @ p:14:3 "c")
            ( ;;Capref @ p:14:5-6 $n)
            ( ;;StringLit @ p:14:9-11 "b"))))
      ( ;;Del @ p:15:3-26 after 3600000000000ns
        ( ;;Index @ p:15:7-16
          ( ;;Id @ p:15:7 "c")
          ( ;;StringLit @ p:15:9-11 "a")
          ( ;;StringLit @ p:15:14-16 "b")))))
  ( ;;Cond @ p:17:1-18
    ( ;;Block @ p:17:13-16
      ( ;;Stop @ p:17:13-16)))
  ( ;;Begin @ p:18:1-12
    ( ;;Block @ p:18:9-12
      ( ;;Stop @ p:18:9-12)))
  ( ;;LogFilter @ p:19:1-17 "a" "b"))"""

SOURCE = """\
counter c by a, b as "x" limit 3
hidden gauge "g-h"
histogram h buckets 1, 2.5
const A
/x/
def d {
  /a (?P<n>\\d+)/ {
    next
  } else {
    stop
  }
}
@d {
  c[$n, "b"]++
  del c["a", "b"] after 1h
}
otherwise { stop } begin { stop }
log_filter "a", b
""".replace("} begin", "}\nbegin")


def test_statements() -> None:
    assert dump.dump(parser.parse("p", SOURCE.encode())) == STATEMENTS


@pytest.mark.parametrize(
    ("source", "first"),
    [
        ("begin {}", ast.Begin),
        ("log_filter a\n", ast.LogFilter),
        ("counter begin begin++\n", ast.ExprStmt),
        ("const begin /x/ begin {}", ast.Cond),
        ("counter log_filter log_filter++\n", ast.ExprStmt),
        ("def d { counter begin next } @d { begin++\n }", ast.DecoUse),
    ],
)
def test_union_words(source: str, first: type[ast.Stmt]) -> None:
    assert isinstance(parser.parse("p", source.encode()).stmts[-1], first)


NO_EFFECT = "syntax error: statement with no effect, missing an assignment, `+' concatenation, or `{}' block?"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 == 1 { counter begin } begin++\n", "1:31-32: syntax error: unexpected INC, expecting LCURLY"),
        ("begin\n", "2:6: syntax error: unexpected NL, expecting LCURLY"),
        ("begin {} else {}", "1:10-13: syntax error: unexpected ELSE"),
        ("log_filter\n", "2:11: syntax error: unexpected NL, expecting STRING or ID"),
        ("log_filter /x/", "1:12: syntax error: unexpected DIV, expecting STRING or ID"),
        ('log_filter "a",\n+', "2:1: syntax error: unexpected PLUS, expecting STRING or ID"),
        ("x =~ A + 1 {}", "1:10: syntax error: unexpected INTLITERAL, expecting DIV"),
        ("A + 1 + /x/ {}", "1:9: syntax error: unexpected DIV, expecting BUILTIN"),
        ("1 + /b/ {", "1:5: syntax error: unexpected DIV, expecting BUILTIN"),
        ("/a/ == 1 {", "1:5-6: syntax error: unexpected EQ, expecting LCURLY"),
        ("1 + !x {", "1:5: syntax error: unexpected BANG, expecting BUILTIN"),
        ("del !x", "1:5: syntax error: unexpected BANG, expecting BUILTIN"),
        ("del -x", "1:5: syntax error: unexpected MINUS, expecting BUILTIN"),
        ("x {} else if {", "1:14: syntax error: unexpected LCURLY"),
        ("x {} else if y {} else z", "1:24: syntax error: unexpected ID, expecting LCURLY"),
        ("x = f[1\n, 2]", "2:1: syntax error: unexpected COMMA, expecting RSQUARE or COMMA"),
        ("x = (1\n + 2)", "2:2: syntax error: unexpected PLUS, expecting AND or OR or RPAREN"),
        ("a b\n", "1:3: syntax error: unexpected ID, expecting LCURLY"),
        ("a = 1 b\n", "1:7: syntax error: unexpected ID, expecting NL"),
        ("7[", "1:2: syntax error: unexpected indexing of an expression"),
        ("x++[", "1:4: syntax error: unexpected indexing of an expression"),
        ("/re/[", "1:5: syntax error: unexpected indexing of an expression"),
        ("x = 7[", "1:6: syntax error: unexpected LSQUARE, expecting NL"),
        ("(7[", "1:3: syntax error: unexpected LSQUARE, expecting AND or OR or RPAREN"),
        ("len(7[", "1:6: syntax error: unexpected LSQUARE, expecting RPAREN or COMMA"),
        ("x[/a/ 2]", "1:7: syntax error: unexpected INTLITERAL, expecting RSQUARE or COMMA"),
        ("x = len(1,)", "1:11: syntax error: unexpected RPAREN, expecting BUILTIN or DIV"),
        ("x =~ x++ {}", "1:7-8: syntax error: unexpected INC, expecting LCURLY"),
        ("1 + x =~ 1 {}", "1:7-8: syntax error: unexpected MATCH, expecting LCURLY"),
        ("x =~ 1 + 2 {}", "1:8: syntax error: unexpected PLUS, expecting LCURLY"),
        ("x =~ ~1 {}", "1:6: syntax error: unexpected NOT, expecting BUILTIN or DIV"),
        ("x + 1 = 2", "1:7: syntax error: unexpected ASSIGN, expecting LCURLY"),
        ("x = 5 = 6", "1:7: syntax error: unexpected ASSIGN, expecting NL"),
        ("x = \n\n1", "3:1: syntax error: unexpected NL, expecting BUILTIN"),
        ("g + 2\n", f"2:6: {NO_EFFECT}"),
        ("/lonely/\n", f"2:9: {NO_EFFECT}"),
        ("c++ }", "1:5: syntax error: unexpected RCURLY"),
        ("/a/ {\n stop\n", "3:1: syntax error: unexpected end of file, expecting '}' to end block"),
        ("x { y", "1:6: syntax error: unexpected end of file, expecting '}' to end block"),
        ("x { y[ ", "1:8: syntax error: unexpected $end, expecting BUILTIN or DIV"),
        ("c + 1 # foo", "1:12: syntax error: unexpected $end, expecting LCURLY"),
        ("{", "1:1: syntax error: unexpected LCURLY"),
        ("}", "1:1: syntax error: unexpected RCURLY"),
        ("hidden x", "1:8: syntax error: unexpected ID"),
        ("counter counter", "1:9-15: syntax error: unexpected COUNTER, expecting STRING or ID"),
        ("counter x by y,", "1:16: syntax error: unexpected $end, expecting STRING or ID"),
        ("counter x as y", "1:14: syntax error: unexpected ID, expecting STRING"),
        ("counter x limit y", "1:17: syntax error: unexpected ID, expecting INTLITERAL"),
        ("counter x limit 3, y", "1:18: syntax error: unexpected COMMA"),
        ("counter x buckets y", "1:19: syntax error: unexpected ID, expecting INTLITERAL or FLOATLITERAL"),
        ("const 1", "1:7: syntax error: unexpected INTLITERAL, expecting ID"),
        ("const A\n\n/x/", "3:1: syntax error: unexpected NL, expecting DIV"),
        ("const A /x/ + 1", "1:15: syntax error: unexpected INTLITERAL, expecting DIV"),
        ("const A /x/ [", "1:13: syntax error: unexpected LSQUARE"),
        ("def d 1", "1:7: syntax error: unexpected INTLITERAL, expecting LCURLY"),
        ("x { } else 1", "1:12: syntax error: unexpected INTLITERAL, expecting LCURLY"),
        ("otherwise { } else { }", "1:15-18: syntax error: unexpected ELSE"),
        ("del )", "1:5: syntax error: unexpected RPAREN, expecting BUILTIN"),
        ("del (1) after", "1:14: syntax error: unexpected $end, expecting DURATIONLITERAL"),
        ("len 1", "1:5: syntax error: unexpected INTLITERAL, expecting LPAREN"),
    ],
)  # fmt: skip
def test_syntax_error(source: str, expected: str) -> None:
    assert errors(source) == [f"p:{expected}"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("? ? ;\nx = )", ["1:1: Unexpected input: '?'", "1:3: Unexpected input: '?'", "1:5: Unexpected input: ';'",
                         "2:5: syntax error: unexpected RPAREN, expecting BUILTIN"]),
        ("/abc\n", ['1:2-4: Unterminated regular expression: "/abc"',
                    "1:2-4: syntax error: unexpected end of file, expecting '/' to end regex"]),
        ("del c after 3sd+", ['1:13-16: time: unknown unit "sd+" in duration "3sd+"',
                            "1:13-16: syntax error: unexpected INVALID, expecting DURATIONLITERAL"]),
        ("?", ["1:1: Unexpected input: '?'"]),
    ],
)  # fmt: skip
def test_lexical_errors_come_first(source: str, expected: list[str]) -> None:
    assert errors(source) == [f"p:{line}" for line in expected]


N = 20_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [b"x = " + b"(" * N, b"x = " + b"(" * N + b"1" + b")" * N + b"\n", b"~" * N + b"1 {}", b"1 == 1 {" * N,
     b"1 == 1 {" * N + b"}" * N, b"def a {" * N, b"x = " + b"g+" * N + b"g\n", b"a+" * N + b"a {}",
     b"/a/+" * N + b"/a/ {}", b"x = " + b"len(" * N, b"x" + b"[x" * N, b"x" + b"[1]" * N + b"\n", b"x" + b"++" * N],
    ids=["parens", "closed parens", "nots", "blocks", "closed blocks", "decorators", "sum", "names", "regexes",
         "calls", "keys", "indexes", "increments"],
)  # fmt: skip
def test_hostile_nesting_ends(source: bytes) -> None:
    start = time.process_time()
    with contextlib.suppress(CompileError):
        parser.parse("p", source)
    assert time.process_time() - start < 10


WORDS = """{ } ( ) [ ] + - ++ = += == =~ && || ~ * / /x/ A c $1 "s" 1 1.5 5s , len( del after next stop otherwise else
counter gauge const def d @d hidden by as limit buckets begin log_filter defined ? #""".split()


@given(st.lists(st.sampled_from([*WORDS, "\n"]), max_size=30))
def test_any_words_give_a_tree_or_errors_in_order(words: list[str]) -> None:
    try:
        parser.parse("p", " ".join(words).encode())
    except CompileError as error:
        texts = [text for _, text in error.errors]
        assert [text.startswith("syntax error") for text in texts[:-1]] == [False] * (len(texts) - 1)
