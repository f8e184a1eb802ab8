"""The printed tree; test_parser.py has one of every statement."""

from __future__ import annotations

from nativemtail.compiler import Options, checker, parser
from nativemtail.compiler.dump import dump


def test_types() -> None:
    root = parser.parse("p", b'gauge g\n1 == "a" || g > 1 {}')
    checker.check("p", root, Options())
    assert dump(root, types=True).splitlines()[2:] == [
        "  ( ;;Cond @ p:2:1-17",
        "    ( ;;Binary @ p:2:1-17 || <Bool>",
        "      ( ;;Binary @ p:2:1-8 == <Bool>",
        "        ( ;;Conv @ p:2:1 <String>",
        "          ( ;;IntLit @ p:2:1 1 <Int>))",
        '        ( ;;StringLit @ p:2:6-8 "a" <String>))',
        "      ( ;;Binary @ p:2:13-17 > <Bool>",
        "        ( ;;Index @ p:2:13 <Int>",
        '          ( ;;Id @ p:2:13 "g" <Int>))',
        "        ( ;;IntLit @ p:2:17 1 <Int>)))",
        "    ( ;;Block @ :0:0)))",
    ]


def test_deep_trees() -> None:
    depth = 3_000
    text = dump(parser.parse("p", b"~" * depth + b"1 {}"))
    assert text.count("Unary") == depth
    assert text.count("(") == text.count(")")
