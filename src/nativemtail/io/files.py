"""Finding the files that patterns name, and reading one to its end (spec inputs.md §2, §3, §8)."""

from __future__ import annotations

import os
import stat

from nativemtail import plainfile
from nativemtail.gotext import explain
from nativemtail.io import doubts
from nativemtail.io.compressed import Corrupt, Truncated, decoder
from nativemtail.io.content import START, is_undecided, recognise
from nativemtail.io.lines import Buffer, LineReader
from nativemtail.io.patterns import Glob
from nativemtail.log import ERROR, INFO, WARNING, Log
from nativemtail.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterable, Iterator

    from nativemtail.io.compressed import Decoder

    Ignore = Callable[[str], object]
    """Takes a base name; true when a file of that name is not to be read."""

log = Log(__name__)

_COMPRESSED_NAMES = (".gz", ".zst", ".xz", ".bz2")


class Found(NamedTuple):
    """A path that can be read; `status` is that of the file behind symbolic links."""

    path: str
    status: os.stat_result

    @property
    def is_fifo(self) -> bool:
        return stat.S_ISFIFO(self.status.st_mode)


def find(globs: Iterable[Glob], ignore: Ignore) -> Iterator[Found]:
    """Every readable file once, under the name that comes first in the order of the patterns.

    Why a path that was written out cannot be read is shown without asking: it may be mistyped.
    """
    seen: set[str] = set()
    names: dict[tuple[int, int], str] = {}
    for glob in globs:
        paths = glob.expand()
        for doubt in filter(None, (doubts.of_text(glob), *doubts.of_directories(glob))):
            log.warning("%s: %s", glob.pattern, doubt)
        if not paths:
            log.log(ERROR if glob.is_literal else WARNING, "no file matches %s", glob.pattern)
        for path in paths:
            if path not in seen:
                seen.add(path)
                found = classify(path, ignore, ERROR if glob.is_literal else INFO)
                if not found:
                    continue
                name = names.setdefault((found.status.st_dev, found.status.st_ino), path)
                if name == path:
                    yield found
                else:
                    log.warning("%s is the same file as %s: it is read once, under that name", path, name)


def classify(path: str, ignore: Ignore, level: int) -> Found | None:
    """What `path` is, or None when it is not to be read: gone, a directory, ignored, neither file nor named pipe."""
    try:
        status = os.stat(path)
    except OSError as error:
        log.log(level, "%s", explain(error, "stat", path))
        return None
    if stat.S_ISDIR(status.st_mode):
        log.log(level, "%s is a directory", path)
        return None
    if ignore(os.path.basename(path)):
        return None
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
        log.log(level, 'unsupported file type: "%s"', path)
        return None
    return Found(path, status)


def read_to_end(path: str, reader: LineReader, buffer: Buffer) -> Iterator[int]:
    """Deliver all lines of a file, decoded if its first bytes say that it is compressed.

    Yields after each block how many bytes of the file have been used.  Raises OSError, and `Corrupt` once everything
    that could be decoded was delivered.
    """
    with plainfile.open_file(path) as raw:
        source = _decoder(path, raw)
        reader.begin()
        readinto = source.readinto if source else raw.readinto
        try:
            while reader.read(buffer, readinto):
                yield source.position if source else reader.bytes_read
        except (OSError, Corrupt):
            reader.finish()
            raise
        reader.finish()


def _decoder(path: str, raw: io.FileIO) -> Decoder | None:
    """What decodes the file; None if it is not compressed.  Raises `Corrupt` if it cannot be decoded."""
    start = os.pread(raw.fileno(), START, 0)
    content = recognise(start)
    if content is not None and not content.encoding:
        return decoder(content, raw)
    if start and path.endswith(_COMPRESSED_NAMES) and is_undecided(start):
        raise Truncated
    return None
