"""The extension: engine and store.  Every call that may take long releases the GIL."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

COUNTER: int
GAUGE: int
TIMER: int
TEXT: int
HISTOGRAM: int

INT: int
FLOAT: int
STRING: int
BUCKETS: int

class Metric:
    """A named table from label values to data; lives in one `Store` at a time.

    `keys` in declaration order; `buckets` the declared bounds (strictly increasing, at least two) or `()`;
    `limit` at most that many label sets when positive.  A scalar counter or histogram starts with its datum.
    """

    name: str
    program: str
    kind: int
    type: int
    keys: tuple[str, ...]
    source: str
    buckets: tuple[float, ...]
    limit: int
    hidden: bool
    def __init__(
        self,
        name: str,
        program: str,
        kind: int,
        type: int,
        keys: Sequence[str] = ...,
        source: str = ...,
        buckets: Sequence[float] = ...,
        limit: int = ...,
        hidden: bool = ...,
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def memory(self) -> int:
        """Bytes held for label sets: slots, index, keys and values."""
    def inherit(self, old: Metric) -> None:
        """Move the data of `old` here: values, times and expiry; for label sets in both the old value wins.

        Label sets that only this metric has come behind the old ones.  `old` is empty afterwards; where readers or
        lines may look in between, use `Store.replace`.  Raises ValueError when type, keys or buckets differ.
        """

class Store:
    """All metrics, grouped by exported name, and the lock that readers and the engine share."""

    limit: int
    """Bytes; above it new label sets and growing texts are refused.  0: no limit."""
    @property
    def memory(self) -> int:
        """Bytes held by the metrics, and by what snapshots still show."""
    @property
    def refused(self) -> int:
        """How often `limit` refused something."""
    @property
    def over_limit(self) -> int:
        """How often `memory` came above `limit` so that something was refused."""
    def add(self, metric: Metric) -> None: ...
    def remove(self, metric: Metric) -> None: ...
    def replace(
        self, old: Sequence[Metric], new: Sequence[Metric], inherit: Sequence[tuple[Metric, Metric]] = ...
    ) -> None:
        """Exchange metrics in one step as readers see it; new ones take the place of old ones of the same name.

        In the same step `to.inherit(source)` for each pair (to, source) of `inherit`.  Raises ValueError, and changes
        nothing, when an old metric is not in the store, a new one is in one, or a pair does not fit.
        """
    def metrics(self) -> list[Metric]:
        """All metrics, families in order of first addition, within a family in load order."""
    def snapshot(self) -> Snapshot: ...
    def gc(self, now: int) -> int:
        """Trim to `limit` and drop expired label sets (spec runtime.md §5.2); `now` in nanoseconds; how many went."""

class Row:
    """One label set as a reader sees it."""

    labels: tuple[str, ...]
    time: int
    """Nanoseconds since the epoch."""
    expiry: int
    """Nanoseconds after `time`; 0: never."""
    value: int | float | bytes | None
    """None for histograms."""
    count: int
    sum: float
    buckets: tuple[tuple[float, int], ...]
    """Upper bound and count of each range, not cumulative; the last bound is infinity."""

class Snapshot:
    """A consistent view: no half of a line is in it.  Taking one costs a copy of the slots, not of the labels."""

    def metrics(self) -> list[Metric]: ...
    def rows(self, metric: Metric) -> Iterator[Row]:
        """In order of creation."""
    def count(self, metric: Metric) -> int:
        """How many rows it has."""

class Search:
    """Whether a pattern matches anywhere in a text, by RE2: in time linear in the text, whatever the pattern.

    `pattern` is what `to_re2` gives; `stepped`: it passes the characters in front of the match itself.  Raises
    ValueError for a pattern that RE2 does not take.
    """

    def __init__(self, pattern: bytes, *, stepped: bool = ...) -> None: ...
    def __call__(self, text: bytes) -> bool:
        """`text` is valid UTF-8."""

def match_engine(flags: int, captures: int, prefiltered: bool, onepass: bool, n: int) -> tuple[str, str]:
    """Which engine tries a pattern first on an ASCII line of `n` bytes, and which if that cannot say.

    "none", "one-pass", "PCRE2" or "RE2"; the arguments are as in `compiler.tables.PatternSpec`, `prefiltered` where one
    of its required literals was found.
    """

class TimeZone:
    """A `nativemtail.programs.zones.Zone` in C."""

    name: str
    def __init__(self, data: Any) -> None: ...

class Plan:
    """Immutable tables that engines read: patterns, gates, code.  Made from `compiler.tables.Tables`.

    What changes while lines run belongs to the engine, so that several may run one plan, in threads of their own too;
    their store is the one that the plan's metrics are in.

    `gated` False runs every program on every line, `vector` False leaves all gates to Hyperscan, `jit` False makes all
    captures with RE2.  All give the same results, which the tests rely on.  `database` is what another plan of the same
    tables gave.  Raises ValueError when a pattern or the gates cannot be compiled.
    """

    names: tuple[str, ...]
    warnings: list[str]
    def __init__(
        self,
        tables: Any,
        *,
        zone: TimeZone,
        patch_year: bool = ...,
        gated: bool = ...,
        vector: bool = ...,
        jit: bool = ...,
        database: bytes = ...,
    ) -> None: ...
    def database(self) -> bytes:
        """Hyperscan's database of the gates as bytes, for this version of it and this kind of processor."""
    @property
    def gated(self) -> bool:
        """Whether lines pass the gates before programs run on them."""
    @property
    def vector(self) -> bool:
        """Whether the vector scan finds all factors, so that Hyperscan is not asked."""

class Fault:
    """A run-time error of `program` (spec runtime.md §4); `line` is the program's line, `input` the log's."""

    program: str
    message: str
    line: int
    source: str
    input: bytes

class Cost:
    lines: int
    """Lines that there were."""
    runs: int
    """Lines that the program ran on, or the pattern was matched against."""
    matches: int
    """Lines that the pattern matched; -1 for a program."""
    samples: int
    """Runs or matches that were timed, about one in 256."""
    seconds: float
    """Of the processor, estimated from the samples; a program's has that of the patterns in it which it tried."""

class Profile:
    lines: int
    seconds: float
    """Of the processor; `gate_seconds`, those of all programs and `rest_seconds` together."""
    gate_seconds: float
    """What finding candidates took."""
    rest_seconds: float
    """Choosing programs for lines, by their patterns too, and what is between."""
    programs: dict[str, Cost]
    patterns: dict[bytes, Cost]

class Engine:
    """Runs a plan over blocks of lines, writing to the metrics that the plan names.

    Its methods may be called from several threads; blocks run one after another, first come, first served.  Who reads
    counts, costs or errors waits for no block.
    """

    def __init__(self, store: Store) -> None: ...
    def swap(self, plan: Plan) -> None:
        """Make `plan` the running one, between two blocks."""
    def exchange(
        self, plan: Plan, old: Sequence[Metric], new: Sequence[Metric], inherit: Sequence[tuple[Metric, Metric]] = ...
    ) -> None:
        """`Store.replace` and `swap` between the same two blocks of lines.

        Waits for the block that runs now, and for nobody who comes later.  Raises what `Store.replace` raises, and then
        changes nothing.
        """
    def begin(self, plan: Plan, program: int) -> None:
        """Run the `begin` blocks of a program once (spec successor.md §2.3).

        `plan` is the running one, or the one that `swap` is called with next, which then counts its run-time errors.
        """
    def open(self, name: str) -> int:
        """The number that stands for the source `name` (what `getfilename()` gives) in `scan`."""
    def close(self, source: int) -> None:
        """Give the number of a source back."""
    def scan(self, source: int, block: bytes | bytearray | memoryview, start: int = ..., end: int = ...) -> int:
        """Run every program over the lines in block[start:end]; the number of lines.

        Lines end at `\n`, one `\r` before it is dropped; the last line may lack its end.
        """
    def faults(self) -> tuple[list[Fault], dict[str, int]]:
        """Run-time errors since the last call: the first hundred of each program, and how many more each had."""
    def last_faults(self) -> dict[str, Fault]:
        """The last run-time error of each program that had one since the engine was made."""
    def lines_total(self) -> int: ...
    def program_lines(self) -> dict[str, int]:
        """Lines handed to each program after its filter, since the engine was made."""
    def program_faults(self) -> dict[str, int]:
        """Run-time errors of each program since the engine was made."""
    def forget_programs(self, names: Iterable[str]) -> None:
        """Drop the counts and last errors of programs that run no more."""
    def profile(self) -> Profile:
        """What lines have cost since the running plan began to run; kept all the time."""
    def program_times(self) -> dict[str, tuple[list[int], float]]:
        """How long a program ran on a line, for the programs that ran: counts by range, and the sum in seconds.

        The first ten ranges end (inclusively) at 2e-05·2**k seconds, the last has no end.  A sample: the first run of
        each program and then about one of 256; lines that the gates keep from a program are no runs.  Not scaled up.
        """

class FileWatcher:
    """inotify, with a thread that opens new files the moment they appear: they can be read though they are gone.

    It runs beside the interpreter, however long others hold the GIL.
    """

    HELD: int
    """At most so many files are held open until somebody reads their events; further ones are not opened."""
    EVENTS: int
    """At most so many events wait; if there are more, inotify's IN_Q_OVERFLOW comes after them."""
    def __init__(self, *, thread: bool = True) -> None:
        """Without a thread no file is opened in time.  OSError when the system refuses."""
    def fileno(self) -> int:
        """Readable when there may be events."""
    def add(self, path: str, mask: int) -> int:
        """Watch what `path` leads to; the number of the watch, the same for the same inode.  OSError."""
    def remove(self, number: int) -> None:
        """Stop watching; a watch that the kernel has dropped already is no error."""
    def open_new(self, number: int, directory: str, pieces: list[str]) -> None:
        """Open what appears in the watched `directory` from now on under a name that `pieces` let through.

        A single piece is the name.  Of several the first begins it, the last ends it, the others come in between.
        Others that were given for this directory still let through what they let through.  OSError.
        """
    def read(self, most: int) -> list[tuple[int, int, int, str, int]]:
        """The oldest events: watch, mask, cookie, name, and a descriptor (O_PATH) or -1.  The caller closes these.

        If there are fewer than `most`, nothing else has happened up to now.
        """
    def close(self) -> None: ...
