"""The tree as an S-expression, for `--dump_ast` and `--dump_ast_types` (spec cli-http.md §3)."""

from __future__ import annotations

from collections.abc import Iterable

from nativemtail.compiler import ast, fields, records
from nativemtail.gotext import go_quote


def dump(root: ast.Block, *, types: bool = False) -> str:
    """One node per line, indented by two spaces; `types` adds the type of each expression after checking.

    Not recursive, because the tree of a program that has not been checked may be arbitrarily deep.
    """
    lines: list[str] = []
    stack: list[tuple[int, ast.Node | None]] = [(0, root)]
    while stack:
        depth, node = stack.pop()
        if node is None:
            lines[-1] += ")"
            continue
        lines.append("  " * depth + _head(node, types))
        stack.append((depth, None))
        stack.extend((depth + 1, child) for child in reversed(list(_children(node))))
    return "\n".join(lines)


def _head(node: ast.Node, types: bool) -> str:
    words = [f"( ;;{type(node).__name__} @ {node.pos}"]
    detail = _detail(node)
    if detail:
        words.append(detail)
    if types and isinstance(node, ast.Expr):
        words.append(f"<{node.type!r}>")
    return " ".join(words)


def _detail(node: ast.Node) -> str:
    """The fields of a node that are not nodes."""
    if isinstance(node, (ast.Id, ast.ConstDecl, ast.DecoDecl, ast.DecoUse, ast.Call)):
        return go_quote(node.name)
    if isinstance(node, (ast.Binary, ast.Unary)):
        return node.op
    if isinstance(node, (ast.IntLit, ast.FloatLit)):
        return repr(node.value)
    if isinstance(node, ast.StringLit):
        return go_quote(node.value.decode())
    if isinstance(node, ast.RegexLit):
        return f"/{node.text.decode()}/"
    if isinstance(node, ast.Capref):
        return f"${node.name}"
    if isinstance(node, ast.Fields):
        return fields.shown(node.text)
    if isinstance(node, ast.VarDecl):
        return _declaration(node)
    if isinstance(node, ast.LogFilter):
        return " ".join([*map(go_quote, node.names), *(f"!{go_quote(name)}" for name in node.excluded)])
    if isinstance(node, ast.Record):
        return str(records.framing(node)._replace(pattern=None)).removeprefix("record ")
    if isinstance(node, ast.Del) and node.after is not None:
        return f"after {node.after}ns"
    return ""


def _declaration(decl: ast.VarDecl) -> str:
    words = ["hidden"] if decl.hidden else []
    words += [decl.kind, go_quote(decl.name)]
    if decl.keys:
        words += ["by", ", ".join(map(go_quote, decl.keys))]
    if decl.exported != decl.name:
        words += ["as", go_quote(decl.exported)]
    if decl.limit:
        words += ["limit", str(decl.limit)]
    if decl.buckets is not None:
        words += ["buckets", ", ".join(map(repr, decl.buckets))]
    if decl.help:
        words += ["help", go_quote(decl.help)]
    if decl.unit is not None:
        words += ["unit", go_quote(decl.unit.value.decode())]
    return " ".join(words)


def _children(node: ast.Node) -> Iterable[ast.Node]:
    if isinstance(node, ast.Block):
        return node.stmts
    if isinstance(node, ast.ExprStmt):
        return (node.expr,)
    if isinstance(node, ast.Every):
        return filter(None, (node.subject, node.pattern, node.body, node.otherwise))
    if isinstance(node, ast.Record):
        return filter(None, (node.pattern,))
    if isinstance(node, ast.Cond):
        return filter(None, (node.cond, node.truth, node.otherwise))
    if isinstance(node, (ast.DecoDecl, ast.DecoUse, ast.Begin)):
        return (node.body,)
    if isinstance(node, ast.ConstDecl):
        return (node.pattern,)
    if isinstance(node, ast.Del):
        return (node.target,)
    return _operands(node)


def _operands(node: ast.Node) -> Iterable[ast.Node]:
    if isinstance(node, ast.Pattern):
        return node.parts
    if isinstance(node, ast.Binary):
        return (node.lhs, node.rhs)
    if isinstance(node, (ast.Unary, ast.Conv)):
        return (node.operand,)
    if isinstance(node, ast.Index):
        return (node.base, *node.keys)
    if isinstance(node, ast.Call):
        return node.args
    return ()
