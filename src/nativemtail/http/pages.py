"""The status page, the profile page, and the icon.

Plain HTML with inline style, no scripts, nothing loaded from elsewhere.  All foreign text (names of programs and files,
errors, log lines) passes through `_shown`, which escapes HTML and makes control characters and changes of writing
direction visible.
"""

from __future__ import annotations

import struct
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import islice
from urllib.parse import quote

from nativemtail._core import Fault
from nativemtail.gotext import duration
from nativemtail.telemetry.costs import Costs, PatternCost, ProgramCost
from nativemtail.telemetry.model import ProgramState, SourceState

_PROFILE_NOTE = (
    "What the running programs have cost since one of them last changed. Lines are counted; times are CPU times, "
    "estimated from samples of one run in 256. Prefilter, programs and the rest add up to the total. The rest is "
    "choosing programs for lines, which includes matching their triggers. A program’s time includes its other "
    "patterns; a pattern that several programs share shows its total cost in each of them."
)
_INPUT_SHOWN = 1000
_ERROR_SHOWN = 16_000
_SIZES_SHOWN = 100
_PROBLEMS_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The data that the status page shows."""

    addresses: Sequence[str]
    build: str
    uptime: float
    """Seconds."""
    not_ready: str = ""
    lines: int = 0
    programs: Sequence[ProgramState] = ()
    sources: Sequence[SourceState] = ()
    patterns: Sequence[str] = ()
    problems: Mapping[str, str] = field(default_factory=dict)
    """Problems with patterns and logs, by name."""
    dropped: Mapping[str, int] | None = None
    info: bool = True
    debugging: bool = True


def status(state: Status) -> bytes:
    """The page `/` in UTF-8 (spec cli-http.md §4.1)."""
    heading = "nativemtail on " + _shown(", ".join(state.addresses) or "no address")
    parts = [
        _HEAD.format(title=heading, style=_STYLE),
        f"<header>\n<h1>{heading}</h1>\n<p>Build: {_shown(state.build)}</p>\n{_links(state)}</header>\n",
        _tiles(state),
        *((_loader(state), _tailer(state)) if state.info else ()),
        "</main>\n</body>\n</html>\n",
    ]
    return "".join(parts).encode("utf-8", "replace")


def profile(costs: Costs, catching_up: str = "") -> bytes:
    """The page `/profile` in UTF-8: the cost of the running programs, the most expensive first, and the reasons.

    `catching_up` is what is left to read after the start, if anything.
    """
    programs = sorted(costs.programs, key=lambda program: -program.seconds)
    parts = [
        _HEAD.format(title="Profile", style=_STYLE),
        "<header>\n<h1>Profile</h1>\n",
        f"<p>{_PROFILE_NOTE}</p>\n",
        f"<p>{_shown(catching_up)}</p>\n" if catching_up else "",
        '<nav>\n<span><b>Back to</b> <a href="/">status</a></span>\n</nav>\n</header>\n',
        _tile_list(
            [
                ("Lines", f"{costs.lines:,}", "", False),
                ("Programs", f"{len(programs):,}", "", False),
                ("Time", duration(costs.seconds), "", False),
                ("Prefilter", _share(costs.prefilter_seconds, costs), duration(costs.prefilter_seconds), False),
                ("Rest", _share(costs.rest_seconds, costs), duration(costs.rest_seconds), False),
            ]
        ),
        _program_costs(programs, costs),
        *(_pattern_costs(number, program, costs) for number, program in enumerate(programs)),
        _metric_sizes(costs),
        "</main>\n</body>\n</html>\n",
    ]
    return "".join(parts).encode("utf-8", "replace")


def program_list(names: Sequence[str]) -> bytes:
    """The page `/progz`."""
    items = (f'<li><a href="?prog={_query(name)}">{_shown(name)}</a></li>' for name in names)
    return f"<ul>{''.join(items)}</ul>".encode("utf-8", "replace")


def fault_text(fault: Fault) -> str:
    """A run-time error as text, as the log has it."""
    text = _visible(str(fault))
    return text if len(text) <= _ERROR_SHOWN else f"{text[:_ERROR_SHOWN]}…"


# --- parts of the page ---------------------------------------------------------------------------------------


def _links(state: Status) -> str:
    groups = (
        ("Metrics", True, ("/metrics", "/metrics.json", "/json", "/graphite")),
        ("Info", state.info, ("/varz", "/progz", "/profile")),
        ("Debug", state.debugging, ("/debug/vars",)),
    )
    rows = (
        f"<span><b>{name}:</b> "
        + (" ".join(f'<a href="{path}">{path[1:]}</a>' for path in paths) if enabled else "disabled")
        + "</span>\n"
        for name, enabled, paths in groups
    )
    return f"<nav>\n{''.join(rows)}</nav>\n"


def _tiles(state: Status) -> str:
    programs = [program for program in state.programs if program.running or program.error]
    running = sum(program.running for program in programs)
    active = [source for source in state.sources if source.active]
    lag = sum(source.lag or 0 for source in active)
    dropped = sum((state.dropped or {}).values())
    problems = len(state.problems)
    tiles = [
        ("Status", "not ready" if state.not_ready else "ready", _shown(state.not_ready), bool(state.not_ready)),
        ("Uptime", _duration(state.uptime), "", False),
        ("Lines", f"{state.lines:,}", f"{dropped:,} dropped" if dropped else "", bool(dropped)),
        ("Programs", f"{running:,}", f"of {len(programs):,} running", running < len(programs)),
        ("Sources", f"{len(active):,}", f"{problems:,} not read" if problems else "", bool(problems)),
        ("Behind", _size(lag), "", False),
    ]
    return _tile_list(tiles)


def _tile_list(tiles: Iterable[tuple[str, str, str, bool]]) -> str:
    """`tiles`: name, value, note, and whether the note is a problem."""
    cells = (
        f"<div><dt>{name}</dt><dd>{value}<small{' class=bad' if bad else ''}>{note}</small></dd></div>\n"
        for name, value, note, bad in tiles
    )
    return f'<dl class="tiles">\n{"".join(cells)}</dl>\n'


def _loader(state: Status) -> str:
    head = ("Program", "State", "Lines", "Loads", "Load errors", "Unloads", "Run-time errors")
    rows = [_program(program, head) for program in sorted(state.programs, key=lambda program: program.name)]
    return _section("loader", "Program Loader", _table(head, rows, "No program has been found yet."))


def _program(program: ProgramState, head: Sequence[str]) -> str:
    name = _shown(program.name)
    if program.running:
        name = f'<a href="/progz?prog={_query(program.name)}">{name}</a>'
    counts = (program.lines, program.loads, program.load_errors, program.unloads, program.runtime_errors)
    row = _row(head, (name, _badge(program), *map(_count, counts)))
    if program.error:
        old = "<p>The version before it goes on running.</p>" if program.running else ""
        row += _details(
            len(head), f"<p>The last load failed:</p><pre>{_shown(program.error[:_ERROR_SHOWN])}</pre>{old}"
        )
    if program.warnings:
        text = "\n".join(program.warnings)[:_ERROR_SHOWN]
        row += _details(len(head), f"<p>Warnings when it was loaded:</p><pre>{_shown(text)}</pre>")
    if program.last_fault is not None:
        row += _details(len(head), _fault(program.last_fault))
    return f"<tbody>{row}</tbody>\n"


def _badge(program: ProgramState) -> str:
    match program.state:
        case "running":
            return '<span class="badge good" title="No compile errors">running</span>'
        case "outdated":
            return '<span class="badge warn">running, outdated</span>'
        case "failed":
            return '<span class="badge bad">failed</span>'
        case _:
            return '<span class="badge">unloaded</span>'


def _fault(fault: Fault) -> str:
    return (
        f"<p>Last run-time error, at line {fault.line} of {_shown(fault.file)}:</p><pre>{_shown(fault.message)}</pre>"
        f"<p>Input line from <code>{_shown(fault.source)}</code>:</p><pre>{escape(_input(fault))}</pre>"
    )


def _tailer(state: Status) -> str:
    head = ("Source", "Lines", "Bytes", "Lag", "Opens", "Truncations", "Errors")
    active = sorted((source for source in state.sources if source.active), key=lambda source: source.name)
    rows = [
        "<tbody>"
        + _row(
            head,
            (
                f"<code>{_shown(source.name)}</code>",
                _count(source.lines),
                _amount(source.bytes),
                "–" if source.lag is None else _amount(source.lag),
                *map(_count, (source.opens, source.truncations, source.errors)),
            ),
        )
        + "</tbody>\n"
        for source in active
    ]
    items = "".join(f"<li><code>{_shown(pattern)}</code></li>\n" for pattern in state.patterns)
    patterns = f"<h3>Patterns</h3>\n<ul>\n{items}</ul>\n" if items else ""
    wrong = "".join(
        f"<li><code>{_shown(name)}</code>: {_shown(why)}</li>\n"
        for name, why in islice(state.problems.items(), _PROBLEMS_SHOWN)
    )
    if len(state.problems) > _PROBLEMS_SHOWN:
        wrong += f"<li>{len(state.problems) - _PROBLEMS_SHOWN:,} more</li>\n"
    problems = f"<h3>Not read</h3>\n<ul>\n{wrong}</ul>\n" if wrong else ""
    dropped = [(reason, count) for reason, count in (state.dropped or {}).items() if count]
    losses = "".join(f"<li>{count:,} dropped: {_shown(reason)}</li>\n" for reason, count in dropped)
    table = _table(head, rows, "No log source has been found yet.")
    body = f"{patterns}{problems}<h3>Log files watched</h3>\n{table}"
    return _section("tailer", "Log Tailer", body + (f"<h3>Losses</h3>\n<ul>\n{losses}</ul>\n" if losses else ""))


def _program_costs(programs: Sequence[ProgramCost], costs: Costs) -> str:
    head = ("Program", "Ran on", "of lines", "Samples", "Time", "Share")
    rows = [
        "<tbody>"
        + _row(
            head,
            (
                f'<a href="#p{number}">{_shown(program.name)}</a>',
                _count(program.runs),
                _count(program.lines),
                _count(program.samples),
                duration(program.seconds),
                _share(program.seconds, costs),
            ),
        )
        + "</tbody>\n"
        for number, program in enumerate(programs)
    ]
    return _section("programs", "Programs", _table(head, rows, "No program is running."))


def _pattern_costs(number: int, program: ProgramCost, costs: Costs) -> str:
    head = ("Pattern", "Engine", "Captures", "Lines", "Matched", "Samples", "Time", "Share")
    rows = [_pattern_cost(pattern, head, costs) for pattern in program.patterns]
    why = f'<p class="why">{_shown(program.why[:1].upper() + program.why[1:])}.</p>\n'
    return _section(f"p{number}", _shown(program.name), why + _table(head, rows, "It has no patterns."))


def _metric_sizes(costs: Costs) -> str:
    head = ("Metric", "Program", "Label sets", "Bytes")
    rows = [
        "<tbody>"
        + _row(head, (_shown(size.metric), _shown(size.program), _count(size.series), _amount(size.bytes)))
        + "</tbody>\n"
        for size in costs.metrics[:_SIZES_SHOWN]
    ]
    more = len(costs.metrics) - len(rows)
    note = f'<p class="why">The {len(rows):,} largest; {more:,} smaller ones are not shown.</p>\n' if more > 0 else ""
    return _section("metrics", "Metrics", note + _table(head, rows, "There are no metrics."))


def _pattern_cost(pattern: PatternCost, head: Sequence[str], costs: Costs) -> str:
    cells = (
        f"<code>{_shown(pattern.shown)}</code>",
        _shown(pattern.engine),
        _count(pattern.captures),
        _count(pattern.tried),
        _count(pattern.matched),
        _count(pattern.samples),
        duration(pattern.seconds),
        _share(pattern.seconds, costs),
    )
    why = f"<p>Prefilter <code>{_shown(pattern.prefilter)}</code>: {_shown(pattern.why)}.</p>"
    hint = f"<p>Hint: {_shown(pattern.hint)}.</p>" if pattern.hint else ""
    return f"<tbody>{_row(head, cells)}{_details(len(head), why + hint)}</tbody>\n"


def _section(name: str, heading: str, body: str) -> str:
    return f'<section id="{name}">\n<h2>{heading}</h2>\n{body}</section>\n'


def _table(head: Sequence[str], rows: Sequence[str], empty: str) -> str:
    if not rows:
        return f'<p class="empty">{empty}</p>\n'
    cells = "".join(f'<th scope="col">{name}</th>' for name in head)
    return f'<div class="card"><table>\n<thead><tr>{cells}</tr></thead>\n{"".join(rows)}</table></div>\n'


def _row(head: Sequence[str], cells: Iterable[str]) -> str:
    """A row; the first cell is its header, `data-label` names the others on narrow screens, where they are stacked."""
    first, *rest = zip(head, cells, strict=True)
    return f'<tr><th scope="row">{first[1]}</th>{"".join(f"""<td data-label="{n}">{c}</td>""" for n, c in rest)}</tr>'


def _details(width: int, body: str) -> str:
    return f'<tr class="more"><td colspan="{width}">{body}</td></tr>'


# --- texts ---------------------------------------------------------------------------------------------------


def _visible(text: str) -> str:
    """Escape characters that are invisible or reorder text; newlines and tabs stay."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in _HIDDEN else _escaped(c) for c in text)


_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _shown(text: str) -> str:
    return escape(_visible(text))


def _input(fault: Fault) -> str:
    text = _visible(fault.input[:_INPUT_SHOWN].decode("utf-8", "surrogateescape"))
    more = len(fault.input) - _INPUT_SHOWN
    return f"{text}… ({more:,} more bytes)" if more > 0 else text


def _query(text: str) -> str:
    return quote(text, safe="", errors="surrogateescape")


def _count(value: int) -> str:
    return f"{value:,}" if value else '<span class="none">0</span>'


def _amount(size: int) -> str:
    return _size(size) if size else '<span class="none">0</span>'


def _size(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.4g} TB"


def _share(seconds: float, costs: Costs) -> str:
    return f"{100 * seconds / costs.seconds:.1f} %" if costs.seconds else "–"


def _duration(seconds: float) -> str:
    """The two largest units."""
    rest = int(seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        parts.append((count, unit))
    first = next((i for i, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2])


# --- appearance ----------------------------------------------------------------------------------------------

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="/favicon.ico">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
"""
_STYLE = """
:root{--paper:#f5f6f8;--card:#fff;--ink:#1d2530;--soft:#5a6573;--line:#e3e7ec;--link:#0b6b63;--well:#f2f4f7;
--good:#137a52;--good-bg:#e3f4ec;--warn:#8a5a00;--warn-bg:#fcf1d8;--bad:#b3261e;--bad-bg:#fce8e6}
@media (prefers-color-scheme:dark){:root{--paper:#11151a;--card:#1a2028;--ink:#e5e9ef;--soft:#98a4b3;--line:#2a323d;
--link:#5fd0c2;--well:#141920;--good:#6fd6a6;--good-bg:#16352a;--warn:#f0c268;--warn-bg:#3a2f15;--bad:#ff9a92;
--bad-bg:#41201e}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,"Segoe UI",Roboto,"Helvetica Neue",
"Noto Sans",sans-serif}
main{max-width:70rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{margin:0;font-size:1.7rem;line-height:1.25;letter-spacing:-.015em;overflow-wrap:anywhere}
h2{margin:2.75rem 0 .75rem;font-size:1.2rem;letter-spacing:-.01em}
h3{margin:1.25rem 0 .5rem;font-size:.8rem;font-weight:600;color:var(--soft);text-transform:uppercase;
letter-spacing:.06em}
header p{margin:.35rem 0 1rem;color:var(--soft);font-size:.9rem;overflow-wrap:anywhere}
a{color:var(--link);text-decoration:none;text-underline-offset:.2em}
a:hover,a:focus-visible{text-decoration:underline}
nav{display:flex;flex-wrap:wrap;gap:.25rem 2rem;font-size:.95rem}
nav b{font-weight:400;color:var(--soft)}
nav a{margin-left:.5rem;white-space:nowrap}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:1px;margin:1.75rem 0 0;
background:var(--line);border:1px solid var(--line);border-radius:.75rem;overflow:hidden}
.tiles div{padding:.9rem 1.1rem 1rem;background:var(--card)}
dt{color:var(--soft);font-size:.8rem}
dd{margin:.1rem 0 0;font-size:1.35rem;font-weight:600;letter-spacing:-.01em;font-variant-numeric:tabular-nums}
dd small{display:block;font-size:.85rem;font-weight:400;letter-spacing:0;color:var(--soft)}
dd small.bad{color:var(--bad)}
.card{background:var(--card);border:1px solid var(--line);border-radius:.75rem;overflow-x:auto}
table{width:100%;border-collapse:collapse;font-size:.95rem}
th,td{padding:.6rem .9rem;text-align:right;vertical-align:baseline;font-variant-numeric:tabular-nums}
th:first-child,[data-label=State]{text-align:left}
#loader thead th:nth-child(2){text-align:left}
thead th{color:var(--soft);font-size:.8rem;font-weight:500;white-space:nowrap}
tbody th{font-weight:500;overflow-wrap:anywhere}
tbody{border-top:1px solid var(--line)}
td{white-space:nowrap}
.why{margin:0 0 .75rem;color:var(--soft);overflow-wrap:anywhere}
.none{color:var(--soft);opacity:.55}
.badge{display:inline-block;padding:.05rem .6rem;border-radius:1rem;background:var(--well);color:var(--soft);
font-size:.8rem;font-weight:500;white-space:nowrap}
.badge.good{background:var(--good-bg);color:var(--good)}
.badge.warn{background:var(--warn-bg);color:var(--warn)}
.badge.bad{background:var(--bad-bg);color:var(--bad)}
.more td{padding-top:0;text-align:left;white-space:normal;color:var(--soft);font-size:.875rem}
.more p{margin:0 0 .3rem}
code,pre{font:.85em/1.5 ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
code{overflow-wrap:anywhere}
pre{margin:0 0 .6rem;padding:.6rem .8rem;max-height:18rem;overflow:auto;background:var(--well);color:var(--ink);
border-radius:.5rem;white-space:pre-wrap;overflow-wrap:anywhere}
ul{margin:0;padding-left:1.2rem}
.empty{margin:0;padding:1rem;border:1px dashed var(--line);border-radius:.75rem;color:var(--soft)}
@media (max-width:46rem){
main{padding:1.5rem .9rem 3rem}
h1{font-size:1.35rem}
.tiles{grid-template-columns:repeat(2,1fr)}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody{display:block}
tbody{padding:.7rem .9rem}
tbody:first-of-type{border-top:0}
tbody tr{display:grid;grid-template-columns:repeat(2,1fr);gap:.1rem 1.5rem}
tbody th{grid-column:1/-1;padding:0 0 .2rem;text-align:left}
tbody td{display:flex;justify-content:space-between;gap:.5rem;padding:.1rem 0;font-size:.875rem}
tbody td::before{content:attr(data-label);color:var(--soft)}
tbody td[data-label=State]{grid-column:1/-1;justify-content:start;padding-bottom:.35rem}
tbody td[data-label=State]::before{content:none}
tbody td[data-label=Engine]{grid-column:1/-1;white-space:normal;text-align:right}
tbody .more{display:block;margin-top:.6rem}
tbody .more td{display:block}
tbody .more td::before{content:none}
}
"""


def _favicon() -> bytes:
    """Three rising bars, 32 × 32, as a PNG inside an ICO."""
    bars = ((5, 18), (13, 11), (21, 4))
    rows = []
    for y in range(32):
        row = bytearray(32 * 4)
        for left, top in bars:
            if top <= y < 28:
                row[left * 4 : (left + 6) * 4] = b"\x0b\x8a\x7f\xff" * 6
        rows.append(b"\0" + bytes(row))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 6, 0, 0, 0)),
            (b"IDAT", zlib.compress(b"".join(rows), 9)),
            (b"IEND", b""),
        )
    )
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 32, 32, 0, 0, 1, 32, len(png), 22) + png


FAVICON = _favicon()
