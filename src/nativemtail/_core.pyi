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

    `keys` are in declaration order; `buckets` are the declared bounds (strictly increasing, at least two) or `()`;
    `limit`, if positive, is the most series that the metric may have.  `version` stands for the text of its program,
    so that a saved metric shows which text it was counted by.  `help` is the text that pages show instead of the
    position, `unit` what the exported name ends in, both often empty; `labels` are the names and values that pages add
    to each series.  A counter or histogram without keys starts with
    its series.
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
    version: str
    help: str
    unit: str
    labels: tuple[tuple[str, str], ...]
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
        version: str = ...,
        help: str = ...,
        unit: str = ...,
        labels: Sequence[tuple[str, str]] = ...,
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def memory(self) -> int:
        """Bytes held for series: slots, index, keys and values."""
    def inherit(self, old: Metric) -> None:
        """Move the data of `old` here: values, times and expiry; for series in both, the old value wins.

        Series that only this metric has come after the old ones.  `old` is empty afterwards.  This is not atomic for
        readers and lines; `Store.replace` is.  Raises ValueError when type, keys or buckets differ.
        """

class Store:
    """All metrics, grouped by exported name, and the lock that readers and the engine share."""

    limit: int
    """Soft memory limit in bytes: above it, new series and growing texts are refused.  0: no limit."""
    @property
    def memory(self) -> int:
        """Bytes held by the metrics, and by data that snapshots still refer to."""
    @property
    def refused(self) -> int:
        """How many new series and growing texts were refused because of `limit`."""
    @property
    def over_limit(self) -> int:
        """How many times `memory` rose above `limit` so that something was refused."""
    def add(self, metric: Metric) -> None: ...
    def remove(self, metric: Metric) -> None: ...
    def replace(
        self, old: Sequence[Metric], new: Sequence[Metric], inherit: Sequence[tuple[Metric, Metric]] = ...
    ) -> None:
        """Exchange metrics atomically for readers; new ones take the place of old ones of the same name.

        In the same step calls `to.inherit(source)` for each pair (to, source) of `inherit`.  Raises ValueError, and
        changes nothing, if an old metric is not in the store, a new one is in one, or a pair does not fit.
        """
    def metrics(self) -> list[Metric]:
        """All metrics, families in order of first addition, within a family in load order."""
    def snapshot(self) -> Snapshot: ...
    def gc(self, now: int) -> int:
        """Trim to `limit` and drop expired series (spec runtime.md §5.2), `now` in nanoseconds; returns how many."""

class Row:
    """One series as a reader sees it."""

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
    """A consistent view: it never shows part of a line's effect.  Taking one copies the slots, but not the labels."""

    def metrics(self) -> list[Metric]: ...
    def rows(self, metric: Metric) -> Iterator[Row]:
        """In order of creation."""
    def count(self, metric: Metric) -> int:
        """How many rows it has."""

class Delta:
    """What changed in a store since the delta before, as of one instant; all of it at first, and if `whole`.

    Call `fix`, `copy`, then the rest, in any threads.  Whoever cannot save it calls `revert`.
    """

    def __init__(self, store: Store, *, whole: bool = ...) -> None: ...
    def fix(self, *, wait: bool = ...) -> bool:
        """Fix the instant: O(metrics), as no series is copied; from now until `copy` ends, no snapshot can be taken.

        Without `wait` it returns False, and nothing has happened, if a snapshot is being copied.
        """
    def copy(self) -> None:
        """Copy the changed slabs, in slices between which the engine runs."""
    def metrics(self) -> list[tuple[int, Metric, int, int]]:
        """All metrics of the instant in order, whatever changed: number, metric, first slot, and number of series.

        The number stays with the series when another metric inherits them.
        """
    def slabs(self, metric: int) -> Iterator[tuple[int, bytes | None]]:
        """The groups of slabs of the metric at that place in `metrics()` of which one has changed: number and image.

        The image is None if the group is empty now.
        """
    def release(self) -> None:
        """Free the copies; only `metrics` and `revert` may be called afterwards."""
    def revert(self) -> None:
        """Let what this delta has count as changed again."""

def restore_series(metric: Metric, number: int, head: int, count: int, slabs: Iterable[tuple[int, bytes]]) -> None:
    """Give a metric, which has never been in a store, the series of these slabs; the arguments are as in `Delta`.

    They do not count as changed.  Raises ValueError, and leaves it without series, if they are damaged or do not fit
    the metric's type and keys.
    """

def keep_history(metric: Metric, step: int, how: int) -> None:
    """Keep what lines write to the metric by their own time, in steps of so many nanoseconds.

    `how`: compiler.divisible.How.  For plans that keep writes, see compiler/packing.py.
    """

def take_history(metric: Metric) -> tuple[list[tuple[bytes, bytes]], bytes, bytes, bytes, bytes, bytes]:
    """What was kept: for each key the offsets of the label values and their bytes; of each series how many cells it has
    and the step in which it was removed; of each cell its key, value and time (core/history.hpp), all of 64 bits.
    """

def forget_history(metric: Metric) -> None:
    """Drop all series and what was kept of them."""

def end_history(metric: Metric, time: int) -> None:
    """Series that are removed from now on end at this time."""

def history_memory(metric: Metric) -> int: ...

class Search:
    """Tests whether a pattern matches anywhere in a text, by RE2: in linear time for every pattern.

    `pattern` is what `to_re2` gives; `stepped`: it consumes the characters before the match itself.  Raises
    ValueError for a pattern that RE2 rejects.
    """

    def __init__(self, pattern: bytes, *, stepped: bool = ...) -> None: ...
    def __call__(self, text: bytes) -> bool:
        """`text` is valid UTF-8."""

def whole_frames(data: bytes, at: int) -> tuple[bytes, int]:
    """The messages of the complete frames from `at` on (octet counting), each as a line; where the next one begins.

    Frames with a malformed length do not count as complete.  Raises ValueError if `at` is beyond the end.
    """

class TimeZone:
    """A `nativemtail.programs.zones.Zone` in C."""

    name: str
    def __init__(self, data: Any) -> None: ...

class Plan:
    """Immutable tables that engines read: patterns, prefilter, code.  Made from `compiler.tables.Tables`.

    All state that changes while lines run is in the engine, so several engines may share a plan, also in different
    threads; they then write to the store that has the plan's metrics.

    `prefiltered` False: no prefilter, every program runs on every line.  `teddy` False: the prefilter uses Hyperscan,
    not the multi-literal matcher.  `jit` False: RE2 finds all captures.  The results are always the same, which tests
    check.  `database` is the result of `database()` of another plan of the same tables.  Raises ValueError if a pattern
    or the prefilter cannot be compiled.
    """

    names: tuple[str, ...]
    warnings: list[str]
    def __init__(
        self,
        tables: Any,
        *,
        zone: TimeZone,
        patch_year: bool = ...,
        prefiltered: bool = ...,
        teddy: bool = ...,
        jit: bool = ...,
        database: bytes = ...,
    ) -> None: ...
    def database(self) -> bytes:
        """Hyperscan's database of the required literals, serialised; valid for its version and this processor only."""
    @property
    def prefiltered(self) -> bool:
        """Whether there is a usable prefilter."""
    @property
    def teddy(self) -> bool:
        """Whether the multi-literal matcher finds all required literals, so that Hyperscan is not used."""

class Fault:
    """A run-time error of `program` (spec runtime.md §4).

    `line` is the line in `file`, which is the program or a file that it includes; `input` is the log line.
    """

    program: str
    message: str
    file: str
    line: int
    source: str
    input: bytes

class Cost:
    lines: int
    """Lines that were processed."""
    runs: int
    """Lines that the program ran on, or the pattern was matched against."""
    matches: int
    """Lines that the pattern matched; -1 for a program."""
    samples: int
    """Runs or matches that were timed, about one in 256."""
    seconds: float
    """CPU time estimated from the samples; a program's includes that of the patterns which it tried."""

class Profile:
    lines: int
    seconds: float
    """CPU time: the sum of `prefilter_seconds`, `rest_seconds` and the seconds of all programs."""
    prefilter_seconds: float
    """CPU time of the prefilter."""
    rest_seconds: float
    """CPU time of selecting programs for lines, which includes matching triggers, and of everything else."""
    programs: dict[str, Cost]
    patterns: dict[bytes, Cost]

class Engine:
    """Runs a plan over blocks of lines, writing to the metrics that the plan names.

    Its methods may be called from several threads; blocks run one after another, in the order of the calls.
    Reading counts, costs or errors never waits for a block.
    """

    max_record: int
    """Most bytes of a record of several lines."""
    def __init__(self, store: Store) -> None: ...
    def swap(self, plan: Plan) -> None:
        """Make `plan` the running one, between two blocks.

        Open records go on where programs keep their record statement, and are completed for the other programs.
        Raises ValueError if its metrics are not in the store."""
    def exchange(
        self, plan: Plan, old: Sequence[Metric], new: Sequence[Metric], inherit: Sequence[tuple[Metric, Metric]] = ...
    ) -> None:
        """`Store.replace` and `swap` between the same two blocks of lines.

        Waits for the current block, but not for blocks that come later.  Raises what `Store.replace` raises, and
        ValueError if metrics of `plan` would not be in the store; then nothing changes.
        """
    def begin(self, plan: Plan, program: int) -> None:
        """Run the `begin` blocks of a program once (spec successor.md §2.3).

        `plan` is the running one, or the one that `swap` will be called with next; run-time errors are counted for it.
        Raises ValueError if metrics of `plan` are in another store.
        """
    def fix_clock(self, now: int, *, year: int = ..., assumed: bool = ...) -> None:
        """For histories: the clock stops at `now`, in nanoseconds, when the next log was written.

        A time without a year has that year; 0: the latest one in which it is at most a day after `now`.  `assumed`:
        lines that a program sets no time for have the time `now`.
        """
    def untimed(self) -> dict[str, tuple[int, list[int]]]:
        """By program, the lines that it wrote something for, but set no time: their number since the last call, and the
        numbers of the first ten since the clock was fixed, from 1; -1: unknown."""
    def take_frames(self, source: int) -> bytes:
        """The lines that a program with a gathering plan ran on, with their times, since the last call.

        Those that come next have `source` in their frame: a native-endian `qIIII` of time, source, and the lengths of
        the texts that follow (core/run/frames.pxi).
        """
    def replay(self, frames: bytes, changed: Sequence[int], *, year: int = ..., assumed: bool = ...) -> None:
        """Run the only program over these lines; `changed`: for each source what `fix_clock` takes."""
    def open(self, name: str) -> int:
        """The number that stands for the source `name` (what `getfilename()` gives) in `scan`."""
    def close(self, source: int) -> None:
        """Release the number of a source for reuse; its open records are completed."""
    def scan(
        self,
        source: int,
        block: bytes | bytearray | memoryview,
        start: int = ...,
        end: int = ...,
        connection: int = ...,
    ) -> int:
        """Run every program over the lines in block[start:end]; returns the number of lines.

        Lines end at `\n`, one `\r` before it is dropped; the last line may lack its end.  Programs with a record
        statement run over records, which are put together for each connection of a source by itself.
        """
    @property
    def has_records(self) -> bool:
        """Whether a running program has a record statement."""
    def finish(self, source: int, connection: int = ...) -> None:
        """The log, or a connection, has ended: its open records are completed."""
    def finish_all(self) -> None:
        """Complete all open records."""
    def finish_silent(self) -> float | None:
        """Complete the open records whose timeout is over.

        Returns after how many seconds the next one is, if no line comes; None if no record is open.
        """
    def fix(self, delta: Delta, *, wait: bool = ...) -> list[dict[str, Any]] | None:
        """`delta.fix` between two blocks, and the records that are open at that instant; None if that is not fixed."""
    def restore_records(self, records: Sequence[dict[str, Any]]) -> int:
        """Go on with the open records of another process, `fix` has them; how many no running program has.

        Those of logs that are not open are completed at once, those of connections when their timeout is over.
        """
    def records_cut(self) -> int:
        """How many records were cut because they reached a limit."""
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
        """Drop the counts and last errors of programs that no longer run."""
    def profile(self) -> Profile:
        """What lines have cost since the running plan was swapped in; always available."""
    def program_times(self) -> dict[str, tuple[list[int], float]]:
        """How long a program ran on a line, for the programs that ran: counts by range, and the sum in seconds.

        The first ten ranges end (inclusively) at 2e-05·2**k seconds, the last has no end.  Sampled: the first run of
        each program, then about one in 256; not scaled up.  Lines that a program is skipped on are not runs.
        """

class FileWatcher:
    """inotify, with a thread that opens new files as soon as they appear, so that they can be read even if deleted.

    The thread needs no GIL, so it is not delayed by Python code.
    """

    HELD: int
    """The most files that are kept open until their events are read; further ones are not opened."""
    EVENTS: int
    """The most events that are queued; if there are more, IN_Q_OVERFLOW is reported after them."""
    def __init__(self, *, thread: bool = True) -> None:
        """Without a thread, new files are opened only when `read` is called.  Raises OSError."""
    def fileno(self) -> int:
        """Readable when there may be events."""
    def add(self, path: str, mask: int) -> int:
        """Watch `path`; returns the number of the watch, which is the same for the same inode.  Raises OSError."""
    def remove(self, number: int) -> None:
        """Stop watching; it is no error if the kernel has already dropped the watch."""
    def open_new(self, number: int, directory: str, pieces: list[str]) -> None:
        """From now on open new files in the watched `directory` whose names match `pieces`.

        A single piece is the whole name.  With several, a name begins with the first, ends with the last, and has the
        others in between, in order.  Pieces given earlier for the directory remain valid.  Raises OSError.
        """
    def read(self, most: int) -> list[tuple[int, int, int, str, int]]:
        """The oldest events: watch, mask, cookie, name, and a descriptor (O_PATH) or -1, which the caller must close.

        Fewer than `most` means that there are no other events yet.
        """
    def close(self) -> None: ...
