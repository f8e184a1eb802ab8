"""Random typed mtail programs and lines for them, as hypothesis strategies.

A program is made of statements that know which metrics and capture groups they can see, so that most of it compiles and
does something; now and then a value has the wrong type.  Metric names begin with `PREFIX`, which `rename` replaces, so
that many programs can be loaded side by side.  What is left out, because Debian's mtail is known to do otherwise, is
said where it is left out, with the row of spec README.md or the mark of the other documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hypothesis import strategies as st

PREFIX = "p000"
Draw = Callable[[st.SearchStrategy[Any]], Any]


class Token(NamedTuple):
    """A piece of a pattern, the type of its group, and texts that it matches or nearly matches."""

    regex: str
    type: str
    samples: Sequence[str]


TOKENS = [
    Token(r"\d+", "Int", ["0", "1", "7", "42", "007", "200", "404", "1500", "9223372036854775807",
                          "9223372036854775808", "123456789012345678901"]),
    Token(r"-?\d+", "Int", ["-1", "5", "-0", "63", "64", "-9223372036854775808", "x"]),
    Token(r"[-+]?\d+", "Int", ["+3", "-3", "10"]),
    Token(r"200|404", "Int", ["200", "404", "500"]),
    Token(r"\d{1,3}", "Int", ["1", "12", "123", "1234"]),
    Token(r"\d+\.\d+", "Float", ["1.5", "0.001", "00.50", "1234567.25", "100000.0", "1" * 310 + ".0", "0.1", "2.0"]),
    Token(r"[+-]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?", "Float", ["1e5", "-2.5E-3", ".5", "1e21", "1e-7", "1e400", "3"]),
    Token(r"\d+(\.\d+)?", "Float", ["3", "3.25", "-1"]),
    Token(r"\w+", "String", ["foo", "bar", "err", "GET", "a_1", "x", "12ab"]),
    Token(r"\w*", "String", ["", "foo", "ß"]),
    Token(r"\S+", "String", ["foo", "a-b", "/x/y?z=1", "é", "日本", "[1]", "ÀÉ", "\x00b", "\U0001f600"]),
    Token(r"[a-z]+", "String", ["foo", "bar", "zed"]),
    Token(r"[^ ]*", "String", ["", "q", "ü-ü", "A"]),
    Token(r".*", "String", ["", "all of it", "İstanbul ǅ ß", "tab\there"]),
    Token(r".", "String", ["x", "é", "\x00"]),
    Token(r"GET|POST|PUT", "String", ["GET", "POST", "PUT", "get"]),
    Token(r"\d", "String", ["1", "9", "a"]),
    Token(r"(?i)ab+c", "String", ["ABC", "abbc", "aBBc", "ac"]),
    Token(r"0x[0-9a-f]+", "String", ["0x1f", "0xff", "0x"]),
    Token(r"[0-9a-f]+", "String", ["1f", "ff", "77", "8000000000000000", "zz"]),
    Token(r"NaN|[Ii]nf|\d+", "String", ["NaN", "Inf", "inf", "5"]),
    Token(r"(?:a|b)+?c?", "String", ["abc", "ab", "bbbb"]),
    Token(r"\p{L}+", "String", ["é", "日本", "abc", "ſ"]),
]  # fmt: skip

DATES = [
    ("2006-01-02T15:04:05", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"),
    ("Jan _2 15:04:05", r"\w{3}\s+\d+ \d\d:\d\d:\d\d"),
    ("02/Jan/2006:15:04:05 -0700", r"\d\d\/\w{3}\/\d{4}:\d\d:\d\d:\d\d [-+]\d{4}"),
    ("2006/01/02 15:04:05 MST", r"\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d [A-Z]{3,4}"),
    ("Mon Jan 2 15:04:05.000 2006", r"\w{3} \w{3} \d+ \d\d:\d\d:\d\d\.\d{3} \d{4}"),
]

SEPARATORS = [" ", " ", " ", ": ", "=", ",", "[", "/", "foo ", " err ", "ß", "日", "\t", "-", "ERROR ", "status="]
WORDS = ["foo", "err", "GET", "status", "ERROR", "日", "é", "connection closed", "a"]


def escaped(text: str) -> str:
    return "".join("\\" + c if c in "[]().*+?{}|^$\\/" else c for c in text)


@dataclass
class Metric:
    name: str
    kind: str
    type: str
    keys: int
    limit: int = 0


@dataclass
class Scope:
    """What statements at one place can see."""

    captures: dict[str, str] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)
    next: bool = False


class Case(NamedTuple):
    program: str
    lines: list[bytes]


@st.composite
def cases(draw: Draw, *, newest: bool = False, hostile: bool = False) -> Case:
    """A program and lines of which many match.

    `newest`: also what mtail does not have, or Debian's does not (several patterns in a condition, `!`, `else if`,
    `-=`, a minus in front, `defined`, small limits, begin).
    `hostile`: lines with bytes that are not UTF-8 and CR inside, which Debian's mtail stops at or drops (inputs.md §4).
    """
    writer = _Writer(draw, newest)
    text = writer.program()
    lines = draw(st.lists(_lines(writer.templates, hostile), min_size=1, max_size=12))
    return Case(text, lines)


class _Writer:
    def __init__(self, draw: Draw, newest: bool) -> None:
        self.draw = draw
        self.newest = newest
        self.metrics: list[Metric] = []
        self.declarations: list[str] = []
        self.constants: list[tuple[str, str, Scope]] = []
        self.decorators: list[tuple[str, Scope]] = []
        self.templates: list[list[Token | str]] = []
        self.layout: int | None = None
        self.groups = 0
        self.growing = False
        """A text metric is being set: were texts read for it, it could double with each line."""
        self.also_named: list[tuple[str, str]] = []
        self.indent = 0
        self.out: list[str] = []

    # --- choices ---------------------------------------------------------------------------------------------

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def often(self, percent: int) -> bool:
        return bool(self.draw(st.integers(0, 99)) < percent)

    def line(self, text: str) -> None:
        self.out.append("  " * self.indent + text)

    # --- the program -----------------------------------------------------------------------------------------

    def program(self) -> str:
        if self.newest and self.often(15):
            self.begin()
        self.statements(Scope(), depth=0, most=4, least=1)
        return "\n".join([*self.declarations, *self.out]) + "\n"

    def begin(self) -> None:
        self.line("begin {")
        self.indent += 1
        for _ in range(self.pick(1, 2)):
            self.write_metric(Scope())
        self.indent -= 1
        self.line("}")

    def statements(self, scope: Scope, depth: int, most: int, least: int = 0) -> None:
        self.indent += depth > 0
        seen = Scope(dict(scope.captures), dict(scope.dates), scope.next)
        for _ in range(self.draw(st.integers(least, most))):
            self.statement(seen, depth)
        self.indent -= depth > 0

    def statement(self, scope: Scope, depth: int) -> None:
        if depth == 0:
            kinds = ["cond"] * 8 + ["decorated"] * 2 + ["otherwise", "write"]
        elif depth < 3:
            kinds = ["write"] * 8 + ["cond"] * 3 + ["time"] * 2 + ["decorated", "otherwise", "del", "stop", "bare"]
        else:
            kinds = ["write"] * 5 + ["time", "del", "stop", "bare"]
        getattr(self, "write_" + self.pick(*kinds))(scope, depth)

    def write_cond(self, scope: Scope, depth: int) -> None:
        inner = Scope(dict(scope.captures), dict(scope.dates))
        self.line(self.condition(inner) + " {")
        self.statements(inner, depth + 1, 4)
        while self.newest and self.often(20):
            self.line(f"}} else if {self.condition(inner)} {{")
            self.statements(inner, depth + 1, 2)
        if self.often(25):
            self.line("} else {")
            # reading a group here is a run-time error, so most often it is not tried
            self.statements(inner if self.often(20) else scope, depth + 1, 2)
        self.line("}")

    def write_otherwise(self, scope: Scope, depth: int) -> None:
        self.line("otherwise {")
        self.statements(scope, depth + 1, 2)
        self.line("}")

    def write_decorated(self, scope: Scope, depth: int) -> None:
        name, seen = self.pick(*self.decorators) if self.decorators and self.often(60) else self.decorator()
        inner = Scope(scope.captures | seen.captures, scope.dates | seen.dates)
        self.line(f"@{name} {{")
        self.statements(inner, depth + 1, 4)
        self.line("}")

    def decorator(self) -> tuple[str, Scope]:
        """Written above everything; what it sees is what a decorated block sees."""
        kept, indent, self.out, self.indent = self.out, self.indent, [], 1
        seen = Scope()
        style = self.pick("plain", "plain", "around", "otherwise", "nested")
        if style == "nested" and self.decorators:
            name, inner = self.pick(*self.decorators)
            seen.captures |= inner.captures
            seen.dates |= inner.dates
            opener = f"@{name} {{"
        else:
            opener = self.condition(seen) + " {"
        self.line(opener)
        self.indent += 1
        if style != "plain":
            self.write_write(seen, 3)
        self.line("next")
        if style == "around":
            self.write_write(seen, 3)
        self.indent -= 1
        self.line("}")
        if style == "otherwise":
            self.line("otherwise {")
            self.indent += 1
            self.write_write(Scope(), 3)
            self.indent -= 1
            self.line("}")
        name = f"d{len(self.decorators)}"
        for number, name_of_it in self.also_named:  # decorated blocks know these by name alone
            if name_of_it in seen.captures and self.often(90):
                seen.captures.pop(number, None)
                seen.dates.pop(number, None)
        body, self.out, self.indent = self.out, kept, indent
        self.declarations += [f"def {name} {{", *body, "}"]
        self.decorators.append((name, seen))
        return name, seen

    def write_stop(self, scope: Scope, depth: int) -> None:
        self.line("stop")

    def write_bare(self, scope: Scope, depth: int) -> None:
        self.line(self.pick(*[f"len({self.text(scope, 1)})", f"int({self.text(scope, 1)})", self.primary(scope)]))

    def write_time(self, scope: Scope, depth: int) -> None:
        if scope.dates and self.often(80):
            name = self.pick(*sorted(scope.dates))
            self.line(f'strptime({name}, "{scope.dates[name]}")')
        else:
            # far times wrap around in Debian's mtail (time-range)
            text = self.pick("0", "1", "1700000000", "-5", f"len({self.text(scope, 1)})", 'strtol("ff", 16)')
            self.line(f"settime({text})")

    def write_del(self, scope: Scope, depth: int) -> None:
        metric = self.metric(scope, keyed=True)
        after = self.pick("", "", " after 1h", " after 24h30m", " after -5s", " after 0s")
        if self.newest and after and self.often(20):
            after = " after 1.5d"
        if self.newest and self.often(20):
            self.line(f"del {metric.name}")
        else:
            self.line(f"del {self.target(metric, scope)}{after}")

    def write_write(self, scope: Scope, depth: int) -> None:
        self.write_metric(scope)

    def write_metric(self, scope: Scope) -> None:
        metric = self.metric(scope)
        target = self.target(metric, scope)
        if metric.kind == "histogram":
            value = self.number(scope, 2, self.pick("Int", "Float")) if self.often(95) else self.text(scope, 1)
            self.line(f"{target} = {value}")
        elif metric.type == "Int" and self.often(60):
            self.line(target + self.pick("++", "++", "++", "--"))
        else:
            type_ = metric.type if self.often(92) else self.pick("Int", "Float", "String")
            self.growing = metric.type == "String"
            operators = ["=", "=", "+="] + ["-="] * (self.newest and metric.type != "String")
            self.line(f"{target} {self.pick(*operators)} {self.value(type_, scope, 2)}")
            self.growing = False

    # --- metrics ---------------------------------------------------------------------------------------------

    def metric(self, scope: Scope, *, type_: str | None = None, keyed: bool = False) -> Metric:
        known = [m for m in self.metrics if type_ in (None, m.type) and (m.keys or not keyed)]
        if type_:
            known = [m for m in known if m.kind != "histogram"]
        if known and self.often(65):
            found: Metric = self.pick(*known)
            return found
        return self.declare(type_, 1 if keyed else 0, read=type_ is not None)

    def declare(self, type_: str | None, least_keys: int, *, read: bool) -> Metric:
        kinds = {
            "Int": ["counter", "gauge", "timer"],
            "Float": ["gauge", "timer", "counter"],
            "String": ["text", "gauge"],
        }
        type_ = type_ or self.pick("Int", "Int", "Int", "Float", "String", "Buckets")
        kind = "histogram" if type_ == "Buckets" else self.pick(*kinds[type_])
        number = len(self.metrics)
        metric = Metric(f"{PREFIX}m{number}", kind, type_, max(least_keys, self.pick(0, 0, 1, 1, 2, 3)))
        name = metric.name
        if self.often(8):
            name = f'"{name}"' if self.often(50) else f'{name} as "{PREFIX}-as.{number} é"'
        text = f"{kind} {name}"
        if metric.keys:
            text += " by " + ", ".join(["k1", '"k-2"', "é3"][: metric.keys])
        if metric.kind == "histogram":
            text += " buckets " + self.pick("1, 2, 4", "0, 10, 100", "-1, 0.5, 1e3", "0.1, 0.2", "5, 1500, 100000")
        # a small limit acts at once in the newest mtail, at garbage collection in Debian's (successor.md §3.1)
        if self.newest and metric.keys and self.often(20):
            metric.limit = self.pick(1, 2, 3)
            text += f" limit {metric.limit}"
        elif metric.keys and self.often(8):
            text += f" limit {self.pick(0, -1, 100000)}"
        if self.often(6):
            text = "hidden " + text
        self.declarations.append(text)
        if read and self.often(80):  # a metric that nothing gives a type cannot be read
            value = {"Int": "1", "Float": "1.5", "String": '"a"'}[metric.type]
            self.declarations.append(f'getfilename() == "" {{\n  {self.target(metric, Scope())} = {value}\n}}')
        self.metrics.append(metric)
        return metric

    def target(self, metric: Metric, scope: Scope) -> str:
        keys = [self.key(scope) for _ in range(metric.keys)]
        if len(keys) == 2 and self.often(30):
            return metric.name + "".join(f"[{key}]" for key in keys)
        return metric.name + (f"[{', '.join(keys)}]" if keys else "")

    def key(self, scope: Scope) -> str:
        scalars = [metric.name for metric in self.metrics if not metric.keys and metric.type == "Int"]
        if scalars and self.often(5):
            return self.pick(*scalars) + "++"
        return self.value(self.pick("String", "String", "Int", "Float"), scope, 1)

    # --- conditions ------------------------------------------------------------------------------------------

    def condition(self, scope: Scope) -> str:
        kind = self.pick("pattern", "pattern", "pattern", "pattern", "pattern", "const", "concat", "both", "compare",
                         "match", "logic", "odd")  # fmt: skip
        if kind == "pattern":
            return self.pattern(scope)
        if kind == "const":
            return self.constant(scope)
        if kind == "concat":
            first = self.pattern(scope)
            # a second part's groups follow the first one's in number
            return f"{first} + /{self.pick('$', '', '.*', 'x?')}/"
        if self.newest and self.often(15):
            return self.logic(scope, 2, patterns=True)
        if kind == "both":
            first = self.pattern(scope)
            return f"{first} {self.pick('&&', '&&', '||')} {self.logic(scope, 1)}"
        if kind == "match":
            return self.match(scope)
        if kind == "compare":
            return self.comparison(scope, 2)
        if kind == "odd":
            return str(self.pick(f"~({self.number(scope, 1, 'Int')})", f"{self.increment(scope)}",
                                 f"{self.term(scope, 1, 'Int')} & 1", f"{self.term(scope, 1, 'Int')} - 7"))  # fmt: skip
        return self.logic(scope, 2)

    def increment(self, scope: Scope) -> str:
        return self.target(self.metric(scope, type_="Int"), scope) + self.pick("++", "--")

    def logic(self, scope: Scope, depth: int, *, patterns: bool = False) -> str:
        """`patterns`: with literals and `!` anywhere."""
        if depth and self.often(50):
            left, right = (self.logic(scope, depth - 1, patterns=patterns) for _ in range(2))
            text = f"{left} {self.pick('&&', '||')} {right}"
            if patterns and self.often(20):
                return f"!({text})"
            return f"({text})" if self.often(30) else text
        if patterns and self.often(60):
            return self.pick("", "", "!") + self.pattern(scope)
        kind = self.pick("compare", "compare", "match", "value", "not", "const")
        if kind == "match" and (self.newest or self.often(20)):
            return self.match(scope)
        if kind == "const" and self.newest:
            return self.constant(scope)
        if kind == "not":
            if self.newest and self.often(60):
                return f"~({self.comparison(scope, 1)})"  # of a Bool it fails in Debian's (not-bool)
            return f"~{self.term(scope, 0, 'Int')}"
        if kind == "value":
            if self.newest and scope.captures and self.often(50):
                return f"defined({self.pick(*sorted(scope.captures))})"
            return self.value(self.pick("Int", "Float", "String"), scope, 1)
        return self.comparison(scope, 1)

    def comparison(self, scope: Scope, depth: int) -> str:
        left = self.pick("Int", "Int", "Float", "String")
        right = left if self.often(80) else self.pick("Int", "Float", "String")
        operator = self.pick("<", ">", "<=", ">=", "==", "!=")
        return f"{self.value(left, scope, depth - 1)} {operator} {self.value(right, scope, depth - 1)}"

    def match(self, scope: Scope) -> str:
        left = self.primary(scope)
        operator = self.pick("=~", "=~", "!~")
        right = self.constant(scope) if self.often(15) else self.pattern(scope)
        if self.often(5):
            right = self.pick('"o+"', '"[0-9]"', '""')
        return f"{left} {operator} {right}"

    def primary(self, scope: Scope) -> str:
        texts = ['"foo bar 12"', "getfilename()", "12", "1.5", f"({self.text(scope, 1)})"]
        if scope.captures:
            texts += sorted(scope.captures) * 2
        return str(self.pick(*texts))

    # --- patterns --------------------------------------------------------------------------------------------

    def pattern(self, scope: Scope) -> str:
        """A pattern literal; its groups join `scope`."""
        return f"/{self.regex(scope)}/"

    def constant(self, scope: Scope) -> str:
        if not self.constants or self.often(40):
            inner = Scope()
            name = f"C{len(self.constants)}"
            self.declarations.append(f"const {name} /{self.regex(inner)}/")
            self.constants.append((name, name, inner))
        name, _, inner = self.pick(*self.constants)
        self.shadow(scope, inner)
        return name

    def shadow(self, scope: Scope, inner: Scope) -> None:
        for name, type_ in inner.captures.items():
            scope.captures[name] = type_
            scope.dates.pop(name, None)
        scope.dates |= inner.dates

    def regex(self, scope: Scope) -> str:
        inner = Scope()
        template: list[Token | str] = []
        parts = []
        number = 0
        if self.often(10):
            parts.append(self.pick("(?i)", "(?s)", "(?m)"))
        if self.often(35):
            parts.append("^")
        for at in range(self.pick(1, 1, 2, 2, 3)):
            if at or self.often(30):
                separator = self.pick(*SEPARATORS)
                parts.append(escaped(separator))
                template.append(separator)
            text, number = self.group(inner, template, number)
            parts.append(text)
        if self.often(20):
            parts.append("$")
        if not inner.dates and self.often(4):  # else the date may be empty, again and again (strptime-memo)
            parts.append("|" + escaped(self.pick(*WORDS)))
        self.templates.append(template)
        self.shadow(scope, inner)
        return "".join(parts)

    def group(self, inner: Scope, template: list[Token | str], number: int) -> tuple[str, int]:
        if self.often(12):
            word = self.pick(*WORDS)
            template.append(word)
            return escaped(word), number
        if self.often(12):
            # one layout for a program: Debian's memo knows the text alone (strptime-memo)
            self.layout = self.draw(st.integers(0, len(DATES) - 1)) if self.layout is None else self.layout
            layout, regex = DATES[self.layout]
            token = Token(regex, "String", [str(self.layout)])
        else:
            layout = ""
            token = self.pick(*TOKENS)
        template.append(token)
        if self.often(8) and not layout:
            return f"(?:{token.regex})", number
        number += 1
        text = f"({token.regex})"
        names = [f"${number}"]
        if self.often(35):
            self.groups += 1
            name = f"{self.pick('n', 'v', 'date', 'N')}{self.groups}"
            text = f"(?P<{name}>{token.regex})"
            names.append("$" + name)
            self.also_named.append((names[0], names[1]))
        optional = not layout and self.often(8)
        for name in names:
            inner.captures[name] = "String" if layout else token.type
            if layout:
                inner.dates[name] = layout
        number += token.regex.replace("(?:", "").replace("(?i)", "").count("(")
        return text + ("?" if optional else ""), number

    # --- values ----------------------------------------------------------------------------------------------

    def value(self, type_: str, scope: Scope, depth: int) -> str:
        return self.text(scope, depth) if type_ == "String" else self.number(scope, depth, type_)

    def captured(self, scope: Scope, type_: str) -> list[str]:
        return sorted(name for name, of in scope.captures.items() if of == type_)

    def number(self, scope: Scope, depth: int, type_: str) -> str:
        if depth and self.often(45):
            operators = ["+", "-", "*", "/", "%", "**"] + (["&", "|", "^", "<<", ">>"] if type_ == "Int" else [])
            operator = self.pick(*operators)
            left, right = self.term(scope, depth - 1, type_), self.term(scope, depth - 1, type_)
            if operator == "**":  # with other exponents the last digit depends on who computes the power
                right = self.pick("0", "1", "2") if type_ == "Int" else self.pick("0.0", "1.0", "2.0")
            if operator == "%" and left[-1].isdigit():  # Int literal % Float literal (fold-mod)
                operator = "+"
            return f"{left} {operator} {right}"
        return self.term(scope, depth, type_)

    def term(self, scope: Scope, depth: int, type_: str) -> str:
        groups = self.captured(scope, type_)
        if self.newest and self.often(8):
            return "-" + self.pick(*groups, "(3)", "(- 2.5)") if groups or depth else "-(1)"
        if groups and self.often(72):
            return str(self.pick(*groups))
        if depth and self.often(50):
            return self.deep_term(scope, depth - 1, type_)
        if self.often(20):
            return self.target(self.metric(scope, type_=type_), Scope() if self.often(50) else scope)
        if type_ == "Int":
            return str(self.pick("0", "1", "2", "3", "7", "10", "-1", "64", "1000000", "9223372036854775807", "010"))
        return str(self.pick("0.0", "1.5", "2.0", "-0.5", "1e3", "1e300", ".25", "1e-9", "1."))

    def deep_term(self, scope: Scope, depth: int, type_: str) -> str:
        if self.often(25):
            return f"({self.number(scope, depth, type_)})"
        if self.newest and self.often(25):
            return self.function_of_numbers(scope, depth, type_)
        if type_ == "Float":
            return f"float({self.value(self.pick('Int', 'Float', 'String'), scope, depth)})"
        return str(
            self.pick(
                f"int({self.value(self.pick('Int', 'String'), scope, depth)})",
                f"len({self.text(scope, depth)})",
                f"strtol({self.text(scope, depth)}, {self.pick('2', '8', '10', '16', '36', '37', '0')})",
            )
        )

    def function_of_numbers(self, scope: Scope, depth: int, type_: str) -> str:
        name = self.pick(
            "abs", "min", "max", *(["int"] if type_ == "Int" else ["floor", "ceil", "round", "sqrt", "ln"])
        )
        if name == "int":
            return f"int({self.number(scope, depth, 'Float')})"
        count = self.pick(2, 3) if name in ("min", "max") else 1
        return f"{name}({', '.join(self.number(scope, depth, type_) for _ in range(count))})"

    def text(self, scope: Scope, depth: int) -> str:
        groups = self.captured(scope, "String")
        if groups and self.often(72):
            return str(self.pick(*groups))
        if depth and self.often(60):
            return self.deep_text(scope, depth - 1)
        if not self.growing and self.often(8):
            return self.target(self.metric(scope, type_="String"), Scope())
        return str(self.pick('"foo"', '"42"', '"1.5"', '""', '"é-x"', '"a\\"b"', '"-"', '"Ä"', '"x y"', '"7f"'))

    def deep_text(self, scope: Scope, depth: int) -> str:
        kind = self.pick("cat", "string", "lower", "subst", "subst", "re", *(["part"] if self.newest else []))
        if kind == "part":
            return self.part_of_text(scope, depth)
        if kind == "cat":
            right = self.value(self.pick("String", "String", "Int", "Float"), scope, depth)
            return f"({self.text(scope, depth)} + {right})"
        if kind == "string":
            return f"string({self.value(self.pick('Int', 'Float', 'String'), scope, depth)})"
        if kind == "lower":
            return f"tolower({self.text(scope, depth)})"
        if kind == "subst":
            old, new = self.pick('"o"', '""', '"-"', '"é"', '"foo"'), self.pick('"0"', '""', '"<>"', '"$1"')
            return f"subst({old}, {new}, {self.text(scope, depth)})"
        # without groups: Debian's mtail lets them be read (subst-groups)
        regex = self.pick(r"\d+", "o*", "[aeiou]", "^f", r"\s", "é|x", "", ".", r"\b")
        return f"subst(/{regex}/, {self.pick(*QUOTED)}, {self.text(scope, depth)})"

    def part_of_text(self, scope: Scope, depth: int) -> str:
        text, number = self.text(scope, depth), self.pick("-2", "-1", "0", "1", "2", "3", "9223372036854775807")
        name = self.pick("toupper", "trim", "trimprefix", "trimsuffix", "substr", "split")
        rest = {
            "trimprefix": f", {self.text(scope, depth)}",
            "trimsuffix": ', "o"',
            "substr": f", {number}, {self.pick('0', '1', '5', '-3', '9223372036854775807')}",
            "split": f", {self.pick(*QUOTED)}, {number}",
        }
        return f"{name}({text}{rest.get(name, '')})"


QUOTED = ['"0"', '""', '"<>"', '"$1"', '"é"']


# --- lines -------------------------------------------------------------------------------------------------------

NOISE = st.one_of(
    st.sampled_from(["", "", " ", "foo", "12", "é", "\x00", "x" * 40, "日本語 ", "[", "-", "\u2028", "\u0085", "\v"]),
    st.text(st.characters(exclude_characters="\n\r\ufffd\\", codec="utf-8"), max_size=8),
)
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec Foo".split()


@st.composite
def _lines(draw: Draw, templates: list[list[Token | str]], hostile: bool) -> bytes:
    if not templates or draw(st.integers(0, 9)) == 0:
        text = draw(st.lists(NOISE, max_size=3).map("".join))
    else:
        text = "".join(_sample(draw, part) for part in draw(st.sampled_from(templates)))
        if draw(st.integers(0, 3)) == 0:
            text = draw(NOISE) + text
        if draw(st.integers(0, 3)) == 0:
            text += draw(NOISE)
        if draw(st.integers(0, 40)) == 0:
            text += draw(st.sampled_from(["a", "ab ", "é", "7", "foo: "])) * draw(st.integers(200, 3000))
        if draw(st.integers(0, 12)) == 0:
            text = text[: draw(st.integers(0, 12))]
    line = text.encode()
    if hostile:
        line = draw(_spoiled(line))
    return line + b"\r" if draw(st.integers(0, 15)) == 0 else line


@st.composite
def _spoiled(draw: Draw, line: bytes) -> bytes:
    if draw(st.integers(0, 2)):
        return line
    at = draw(st.integers(0, len(line)))
    noise = draw(
        st.sampled_from([b"\xff", b"\xc3", b"\xe6\x97", b"\xf0\x9f", b"\x80", b"\r", b"\xed\xa0\x80", b"\xef\xbf\xbd"])
    )
    return line[:at] + noise + line[at + draw(st.integers(0, 1)) :]


def _sample(draw: Draw, part: Token | str) -> str:
    if isinstance(part, str):
        return part
    if len(part.samples) == 1 and part.samples[0] in "01234":
        return _date(draw, int(part.samples[0]))
    return str(draw(st.sampled_from(part.samples)))


def _date(draw: Draw, layout: int) -> str:
    """A date, most often right."""
    number = st.integers
    year, month, day = draw(number(1970, 2030)), draw(number(1, 13)), draw(number(1, 31))
    clock = f"{draw(number(0, 24)):02}:{draw(number(0, 59)):02}:{draw(number(0, 60)):02}"
    name = MONTHS[month - 1]
    if layout == 0:
        return f"{year}-{month:02}-{day:02}T{clock}"
    if layout == 1:
        return f"{name} {day:2} {clock}"
    if layout == 2:
        return f"{day:02}/{name}/{year}:{clock} {draw(st.sampled_from(['+0000', '-0330', '+1400', '-2400']))}"
    if layout == 3:
        return f"{year}/{month:02}/{day:02} {clock} {draw(st.sampled_from(['UTC', 'CET', 'CEST', 'XYZ', 'GMT']))}"
    return f"Tue {name} {day} {clock}.{draw(number(0, 999)):03} {year}"


def rename(program: str, number: int) -> str:
    """The same program with other metric names, of the same length."""
    return program.replace(PREFIX, f"p{number:03}")
